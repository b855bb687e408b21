/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot: what is known of a collector at one moment, for metrics and health: the law from shared memory, limits from the
 * board, the rest from the monitor. Figures that only grow never fall from one snapshot to the next, although what they are
 * read from may be out of reach for a moment.
 *
 * Threads: one at a time.
 */
#ifndef TKR_SERVE_SNAPSHOT_H
#define TKR_SERVE_SNAPSHOT_H

#include "collector/balance.h"
#include "collector/collector.h"
#include "collector/status.h"
#include "limit/board.h"

struct tkr_snapshot {
    struct tkr_collector *collector;
    const struct tkr_collector_config *config;
    struct tkr_monitor *monitor;
    int64_t now_ns;                  /* monotonic */
    struct tkr_host_balance balance; /* health is NULL if nothing was said */
    bool has_balance;
    tkr_message why_not;
    struct tkr_balance grown; /* of the host: what only grows, as large as it was ever seen */
    uint64_t overflow_charges;
    struct tkr_ranking_row *user;
    uint32_t users;
    uint64_t users_ended;
    uint64_t limits[TKR_BOARD_VERDICTS];
    uint64_t board_accounts;
};

/* Prepares one. -1: no memory; to be closed all the same. */
int tkr_snapshot_open(struct tkr_snapshot *snapshot, struct tkr_collector *collector);
void tkr_snapshot_close(struct tkr_snapshot *snapshot);

/* Looks anew. */
void tkr_snapshot_take(struct tkr_snapshot *snapshot);

/* Judges it (collector/status.h). */
void tkr_snapshot_judge(const struct tkr_snapshot *snapshot, struct tkr_status *ret_status);

/* Have all loops moved lately? false with the reason. Cheap; needs no snapshot, and no lock. */
bool tkr_snapshot_moves(struct tkr_collector *collector, tkr_message *ret_reason);

#endif
