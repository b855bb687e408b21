/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector: all of it, as a library. tokenringd is a thin main around it.
 *
 * Threads: discovery in the caller's thread, workers over the shards, one flusher. Shards share nothing; what passes between
 * threads passes through a post's inbox (discovery to worker) and a shard's list of changes (worker to flusher).
 */
#ifndef TKR_COLLECTOR_COLLECTOR_H
#define TKR_COLLECTOR_COLLECTOR_H

#include <stdatomic.h>

#include "collector/board.h"
#include "collector/config.h"
#include "collector/health.h"
#include "collector/monitor.h"

struct tkr_collector;

/*
 * Takes the runtime directory, recovers the shards and prepares everything; starts no thread. Installs the SIGBUS handler that
 * regions of strangers need. 0, or -1 with a sentence.
 */
int tkr_collector_open(const struct tkr_collector_config *config, struct tkr_collector **ret_collector, tkr_message *ret_message);

/*
 * Collects until *stops is not 0 (counted up by a signal handler, say); then, with TOKENRING_LINGER_S, until no gateway is attached,
 * so many seconds have passed, or *stops is above 1; then counts what was recorded by then, flushes, and returns. turn, if
 * not NULL, is called with its argument some twenty times a second until then, and once more before the last flush.
 * 0: all that was recorded is counted and in the sink. -1 with the reason: threads could not be started, or something in the
 * runtime directory is not counted, or the sink did not take all; it stays there for the next collector. What gateways record that
 * are still attached waits for that too, and the log says how many there are.
 */
int tkr_collector_run(struct tkr_collector *collector, const atomic_uint *stops, void (*turn)(void *argument), void *argument,
                      tkr_message *ret_message);

/* Others are told of a problem (collector/health.h) from now on. Before it runs. */
void tkr_collector_note(struct tkr_collector *collector, enum tkr_problem problem, const tkr_message *message);

/* What it has to say of itself; its own, from open to close. */
struct tkr_monitor *tkr_collector_monitor(struct tkr_collector *collector);

const struct tkr_collector_config *tkr_collector_config(const struct tkr_collector *collector);

/* Its board of limits; NULL: there is none. */
struct tkr_guarded_board *tkr_collector_board(struct tkr_collector *collector);

/* Its name, as the sink knows it. */
uint64_t tkr_collector_name(const struct tkr_collector *collector);

void tkr_collector_close(struct tkr_collector *collector);

#endif
