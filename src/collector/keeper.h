/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper: which accounts are on the board, and what it says of them (limit/layout.h, I2).
 *
 *   gateway -> WATCH frame -> worker -> wanted -> keeper's thread: takes the account up -> workers: where each shard has it
 *                                                      |
 *                               sink -> looked up -> published -> gateway
 *
 * An account is taken up when a gateway asks for it and it is not there. From then on the workers add what they count of it.
 * Before it is looked up first, each worker has told where its shard has it (`link`), so that the keeper can sum what is counted
 * and not yet acknowledged. Many are on the way at once, in each of these steps; none waits for another but in its turn.
 *
 * What is known is looked up again (collector/due.h): each flush interval, at least each second, while gateways ask for it, and
 * while it refuses or cannot be read, since what refuses must not be old and what is mended is to be seen; each few seconds
 * else, or later, where there is so much of it that the sink would have no time for others.
 *
 * Nobody leaves the board for whom somebody asks. Where it is full with such accounts, those beyond stay unknown: that is
 * counted and said. Ahead of the begin of a cycle accounts are put on the board for it (collector/turns.h).
 *
 * What the shards have of an account is read as any reader reads it, in a committed state, and only if it is still of this
 * account: an entry that was forgotten has nothing that the sink has not.
 *
 * Who writes: `wanted` (collector/wanted.h), workers; `link`, the worker whose shard it is; `taken`, the thread.
 * Of the board: `counted`, workers; epochs, the reaper (collector/reaper.h); cells, the reaper and gateways; all else, the
 * thread, which looks at cells, under guard, when an entry is to change hands and to see when somebody last asked.
 *
 * Barrier pairs
 *   P1  link, then resolved (release); the thread loads resolved (acquire), then link.
 *   P2  the entry's key, then taken_count (release); a worker loads taken_count (acquire), then taken and the key.
 *
 * When the board was given up (collector/board.h), no account is taken up any more; those that are there are looked up still.
 *
 * When the sink fails, nothing is published: figures grow old, and gateways see how old; what is counted goes on. A limit that
 * cannot be read leaves the last one that could be, else the standing one, in force; totals that cannot be, as a failing sink.
 * Both are said, with the account's name.
 */
#ifndef TKR_COLLECTOR_KEEPER_H
#define TKR_COLLECTOR_KEEPER_H

#include "collector/config.h"
#include "table/shard.h"

struct tkr_drain;
struct tkr_guarded_board;
struct tkr_keeper;
struct tkr_limit_figures;
struct tkr_pulse;

/*
 * Opens the thread's own sink. The board, of config's board_accounts, and the shards stay the caller's and outlive the keeper;
 * the board may be made later, before anything below is called but close. pulse, borrowed, is the thread's sign of life; or
 * NULL. figures are borrowed too. 0, or -1 with the reason.
 */
int tkr_keeper_open(const struct tkr_collector_config *config, struct tkr_guarded_board *guarded, struct tkr_shard *const *shard,
                    uint32_t shard_count, struct tkr_pulse *pulse, struct tkr_limit_figures *figures,
                    struct tkr_keeper **ret_keeper, tkr_message *ret_message);

/* Starts the thread, which takes up the accounts that the board has. -1: the system refused. */
int tkr_keeper_start(struct tkr_keeper *keeper, tkr_message *ret_message);

/* Ends the thread, which waits for an answer of the sink at most. Accepts NULL, as all below. */
void tkr_keeper_end(struct tkr_keeper *keeper);

void tkr_keeper_close(struct tkr_keeper *keeper);

/* Worker, after the commit: adds what a batch of the shard has counted, and takes what it was asked to watch. */
void tkr_keeper_count(struct tkr_keeper *keeper, uint32_t shard, const struct tkr_drain *drain);

/* Worker, between batches: tells where its shard has the accounts that were taken up since, or some of them. true: there are
 * more. */
bool tkr_keeper_resolve(struct tkr_keeper *keeper, uint32_t shard);

#endif
