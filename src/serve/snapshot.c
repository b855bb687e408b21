/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

int tkr_snapshot_open(struct tkr_snapshot *snapshot, struct tkr_collector *collector)
{
    memset(snapshot, 0, sizeof(*snapshot));
    snapshot->collector = collector;
    snapshot->config = tkr_collector_config(collector);
    snapshot->monitor = tkr_collector_monitor(collector);
    snapshot->user = calloc((size_t)snapshot->config->users_shown + 1, sizeof(*snapshot->user));
    return snapshot->user != NULL ? 0 : -1;
}

void tkr_snapshot_close(struct tkr_snapshot *snapshot)
{
    tkr_balance_free(&snapshot->balance);
    free(snapshot->user);
    snapshot->user = NULL;
}

/* --- the law --- */

static void grow(uint64_t *figure, uint64_t now)
{
    *figure = now > *figure ? now : *figure;
}

static void grow_all(struct tkr_balance *grown, const struct tkr_balance *now)
{
    grow(&grown->offered, now->offered);
    grow(&grown->counted, now->counted);
    grow(&grown->settled, now->settled);
    grow(&grown->unknown, now->unknown);
    grow(&grown->bad_times, now->bad_times);
    for (int i = 0; i < TKR_DROP_MAX; i++)
        grow(&grown->dropped[i], now->dropped[i]);
    for (int i = 0; i < TKR_REFUSED_MAX; i++)
        grow(&grown->refused[i], now->refused[i]);
}

/* When it cannot be read at one moment, the last one stays. */
static void take_balance(struct tkr_snapshot *snapshot)
{
    struct tkr_host_balance now;
    uint64_t overflow = 0;

    if (tkr_balance_read_law(snapshot->config->runtime_path, &now, &snapshot->why_not) != 0)
        return;
    tkr_balance_free(&snapshot->balance);
    snapshot->balance = now;
    grow_all(&snapshot->grown, &now.host);
    for (uint32_t i = 0; i < now.shard_count; i++)
        overflow += now.shard[i].overflow_charges;
    grow(&snapshot->overflow_charges, overflow);
    snapshot->has_balance = true;
}

/* --- limits --- */

static void look_at_board(void *argument)
{
    struct tkr_snapshot *snapshot = argument;
    const struct tkr_board *board = &tkr_collector_board(snapshot->collector)->board;
    struct tkr_board_account account;

    for (uint32_t i = 0; tkr_board_next(board, &i); i++) {
        if (tkr_board_copy(board, i, &account))
            snapshot->limits[tkr_board_judge(&account.figures, tkr_board_age_ns(&account.figures, snapshot->now_ns))]++;
    }
    snapshot->board_accounts = atomic_load_explicit(&board->header->accounts, memory_order_relaxed); /* a figure */
}

/* Cells are in a file that gateways may cut. */
static void take_limits(struct tkr_snapshot *snapshot)
{
    memset(snapshot->limits, 0, sizeof(snapshot->limits));
    snapshot->board_accounts = 0;
    if (tkr_collector_board(snapshot->collector) != NULL)
        (void)tkr_guarded_board_call(tkr_collector_board(snapshot->collector), look_at_board, snapshot); /* given up: nobody */
}

void tkr_snapshot_take(struct tkr_snapshot *snapshot)
{
    snapshot->now_ns = tkr_clock_monotonic_ns();
    take_balance(snapshot);
    take_limits(snapshot);
    snapshot->users = tkr_ranking_read(snapshot->monitor->ranking, snapshot->user, &snapshot->users_ended);
}

/* --- judging --- */

static uint64_t figure(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

void tkr_snapshot_judge(const struct tkr_snapshot *snapshot, struct tkr_status *ret_status)
{
    const struct tkr_shortage *shortage = &snapshot->monitor->shortage;
    struct tkr_status_known known = {.balance = snapshot->has_balance ? &snapshot->balance : NULL,
                                     .why_not = snapshot->why_not,
                                     .patience_ns = tkr_sink_patience_ns(&snapshot->config->sink),
                                     .dropped_recent = figure(&shortage->dropped_recent),
                                     .waiting_lanes = figure(&shortage->lanes),
                                     .tmpfs_bytes = figure(&shortage->tmpfs_bytes),
                                     .tmpfs_available = figure(&shortage->tmpfs_available),
                                     .no_board = tkr_monitor_no_board(snapshot->monitor)};

    known.stalled_ns = tkr_monitor_stalled_ns(snapshot->monitor, snapshot->now_ns, &known.stalled);
    tkr_status_judge(&known, ret_status);
}

bool tkr_snapshot_moves(struct tkr_collector *collector, tkr_message *ret_reason)
{
    const char *who;
    int64_t stalled_ns = tkr_monitor_stalled_ns(tkr_collector_monitor(collector), tkr_clock_monotonic_ns(), &who);

    return !tkr_status_stopped(who, stalled_ns, tkr_sink_patience_ns(&tkr_collector_config(collector)->sink), ret_reason);
}
