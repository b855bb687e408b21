/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flusher: usage table to sink. One thread over all shards.
 *
 * A pass takes each shard's changed entries, sends them in chunks with a window in flight, and notes what the sink answers.
 * Between passes nothing is in flight, so no entry is ever in flight twice. What could not be sent stays queued; what the sink
 * cannot take (poison, conflict, ambiguity: sink/contribution.h) is parked, reported, and tried again slowly.
 */
#ifndef TKR_COLLECTOR_FLUSHER_H
#define TKR_COLLECTOR_FLUSHER_H

#include "collector/config.h"
#include "collector/health.h"
#include "collector/worker.h"

struct tkr_flusher;

/* Prepares the flusher and its sink; does not connect. folder: the collector's, for health.h. -1 with the reason. */
int tkr_flusher_open(const struct tkr_collector_config *config, int folder, struct tkr_post *posts, uint32_t post_count,
                     struct tkr_flusher **ret_flusher, tkr_message *ret_message);

/* What it publishes besides, and whom it tells how it fares: borrowed. Before it is started. */
void tkr_flusher_attach(struct tkr_flusher *flusher, struct tkr_notices *notices, struct tkr_monitor *monitor);

/* Lets others see a problem from the beginning on. Before it is started. */
void tkr_flusher_note(struct tkr_flusher *flusher, enum tkr_problem problem, const tkr_message *message);

/* Starts its thread. -1: the system refused. */
int tkr_flusher_start(struct tkr_flusher *flusher, tkr_message *ret_message);

/*
 * Ends the thread once the workers have ended: sends all that is left, waiting for the sink at most deadline_ms.
 * Returns the entries that the sink has not acknowledged; they stay in memory for the next collector.
 */
uint64_t tkr_flusher_finish(struct tkr_flusher *flusher, uint32_t deadline_ms);

void tkr_flusher_close(struct tkr_flusher *flusher);

#endif
