/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the start of a collector's process until it drains again, with many accounts in memory: after an orderly end, and after a
 * SIGKILL in the middle of draining; and the part of it that opening the shard takes, in this process. All calls are in the table
 * at the end.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "harness/bench.h"
#include "harness/daemon.h"
#include "harness/stock.h"

#define ACCOUNTS 1000000
#define BACKLOG 200000 /* calls, so that a kill finds the collector at work */

/* --- the shard alone --- */

static void bench_open(bool flushed)
{
    struct bench_stock stock;
    struct bench_series ms = {.count = 0};
    char name[96];
    double ns;
    int result = bench_stock_open(&stock, 1, (uint32_t)bench_work(ACCOUNTS));

    if (result == 0)
        result = bench_stock_change(&stock, 3);
    for (uint32_t at = 0; result == 0 && flushed && at < stock.shard->changed->count; at++) {
        struct tkr_entry *entry = tkr_shard_entry(stock.shard, stock.shard->changed->reference[at]);
        tkr_counts counts;
        for (int i = 0; i < TKR_COUNTER_COUNT; i++)
            counts.value[i] = atomic_load_explicit(&entry->counts[i], memory_order_relaxed); /* nobody writes */
        tkr_entry_known_set(entry, atomic_load_explicit(&entry->life, memory_order_relaxed), &counts);
    }
    for (unsigned i = 0; result == 0 && i < bench_repeats(); i++) {
        result = bench_stock_reopen(&stock, &ns);
        bench_add(&ms, ns / TKR_NS_PER_MS);
    }
    (void)snprintf(name, sizeof(name), "shard opened, %u accounts, %s", stock.accounts, flushed ? "all flushed" : "none flushed");
    if (result == 0 && bench_stock_check(&stock) == 0)
        bench_figure(name, "time", "ms", &ms);
    bench_stock_close(&stock);
}

/* --- the collector --- */

/* Milliseconds from the start of the process until the lane moves. */
static int restart(struct bench_daemon *daemon, double *ret_ms)
{
    uint64_t stood = bench_daemon_freed(daemon);
    int64_t begun_ns = tkr_clock_monotonic_ns();

    if (bench_daemon_start(daemon) != 0)
        return -1;
    while (bench_daemon_freed(daemon) == stood) {
        if (tkr_clock_monotonic_ns() - begun_ns > 60 * TKR_NS_PER_S)
            return bench_wrong("it does not drain");
        tkr_clock_sleep_ns(100 * TKR_NS_PER_US);
    }
    *ret_ms = (double)(tkr_clock_monotonic_ns() - begun_ns) / TKR_NS_PER_MS;
    return 0;
}

static int end(struct bench_daemon *daemon, bool killed)
{
    uint64_t stood = bench_daemon_freed(daemon);

    if (!killed)
        return bench_daemon_stop(daemon) == 0 ? bench_daemon_record(daemon, 0, 1) : -1;
    if (bench_daemon_record(daemon, 0, BACKLOG) != 0)
        return -1;
    while (bench_daemon_freed(daemon) == stood)
        tkr_clock_sleep_ns(50 * TKR_NS_PER_US);
    process_signal(&daemon->process, SIGKILL);
    process_end(&daemon->process);
    return bench_daemon_record(daemon, 0, 1);
}

static void bench_restart(bool killed)
{
    struct bench_daemon daemon;
    struct bench_series ms = {.count = 0};
    char name[96];
    double took_ms = 0;
    uint32_t accounts = (uint32_t)bench_work(ACCOUNTS);
    int result = bench_daemon_open(&daemon, "TOKENRING_SINK=null");

    if (result == 0)
        result = bench_daemon_start(&daemon);
    if (result == 0)
        result = bench_daemon_fill(&daemon, accounts);
    for (unsigned i = 0; result == 0 && i < bench_repeats(); i++) {
        result = end(&daemon, killed);
        if (result == 0)
            result = restart(&daemon, &took_ms);
        if (result == 0)
            result = bench_daemon_drained(&daemon);
        bench_add(&ms, took_ms);
    }
    if (result == 0 && bench_daemon_check(&daemon) == 0) {
        (void)snprintf(name, sizeof(name), "restart after %s until draining, %u accounts, ms", killed ? "SIGKILL" : "SIGTERM",
                       accounts);
        bench_bound(name, &ms, BENCH_AT_MOST, 300);
    }
    bench_daemon_close(&daemon);
}

int main(int argc, char **argv)
{
    bench_begin(argc, argv, "start");
    if (bench_wants("open flushed", false))
        bench_open(true);
    if (bench_wants("open", false))
        bench_open(false);
    if (bench_wants("restart orderly", true))
        bench_restart(false);
    if (bench_wants("restart killed", true))
        bench_restart(true);
    return bench_end();
}
