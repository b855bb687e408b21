/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "harness/bench.h"
#include "harness/stock.h"
#include "table/reader.h"

#define DAEMON BENCH_BIN_DIR "/tokenringd"
#define DEADLINE_MS 60000
#define LOOK_MS 5

int bench_daemon_open(struct bench_daemon *daemon, const char *env)
{
    tkr_options options = TKR_OPTIONS_INIT;

    memset(daemon, 0, sizeof(*daemon));
    if (tempdir_make(daemon->runtime) != 0)
        return bench_wrong("no directory");
    (void)snprintf(daemon->runtime_env, sizeof(daemon->runtime_env), "TOKENRING_RUNTIME_DIR=%s", daemon->runtime);
    daemon->env[0] = daemon->runtime_env;
    daemon->env[1] = "TOKENRING_MAX_ACCOUNTS=2000000";
    daemon->env[2] = env;
    options.runtime_dir = daemon->runtime;
    if (tkr_open(&options, &daemon->producer) != TKR_OK)
        return bench_wrong("no producer");
    return bench_consumer_open(&daemon->consumer, daemon->runtime);
}

int bench_daemon_start(struct bench_daemon *daemon)
{
    const char *const argv[] = {DAEMON, NULL};

    return process_start(&daemon->process, argv, daemon->env) == 0 ? 0 : bench_wrong("no collector");
}

int bench_daemon_stop(struct bench_daemon *daemon)
{
    int status;

    process_signal(&daemon->process, SIGTERM);
    if (process_wait(&daemon->process, DEADLINE_MS) != 0)
        return bench_wrong("the collector does not end");
    status = process_exit_code(&daemon->process);
    if (status != 0)
        (void)bench_wrong("the collector: %s", process_text(&daemon->process, PROCESS_STDERR));
    process_end(&daemon->process);
    return status == 0 ? 0 : -1;
}

void bench_daemon_close(struct bench_daemon *daemon)
{
    process_end(&daemon->process);
    bench_consumer_close(&daemon->consumer);
    tkr_close(daemon->producer);
    tempdir_remove(daemon->runtime);
}

int bench_daemon_record(struct bench_daemon *daemon, uint32_t first, uint32_t count)
{
    char id[BENCH_STOCK_ID_BYTES + 1];
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;
    int result = TKR_OK;

    start.cycle = BENCH_STOCK_CYCLE;
    start.account_count = 1;
    start.account[0] = (tkr_account){.id = id, .len = BENCH_STOCK_ID_BYTES};
    usage.prompt = 812;
    usage.completion = 94;
    for (uint32_t i = 0; i < count && result == TKR_OK; i++) {
        bench_stock_id(first + i, id);
        result = tkr_record(daemon->producer, &start, &usage);
        daemon->calls += result == TKR_OK;
    }
    return result == TKR_OK ? 0 : bench_wrong("a call was not accepted: %s", tkr_strerror(result));
}

int bench_daemon_fill(struct bench_daemon *daemon, uint32_t accounts)
{
    return bench_daemon_record(daemon, 0, accounts) == 0 && bench_daemon_drained(daemon) == 0 ? bench_daemon_flushed(daemon) : -1;
}

uint64_t bench_daemon_freed(struct bench_daemon *daemon)
{
    uint64_t freed = 0;

    (void)bench_consumer_take_up(&daemon->consumer);
    for (uint32_t i = 0; i < daemon->consumer.count; i++) {
        struct tkr_view *view = daemon->consumer.view[i];
        (void)tkr_view_lanes_refresh(view);
        for (uint32_t lane = 0; lane < view->lane_count; lane++)
            freed += atomic_load_explicit(&view->mapped_lanes[lane].free, memory_order_acquire);
    }
    return freed;
}

static bool empty(struct bench_daemon *daemon)
{
    (void)bench_consumer_take_up(&daemon->consumer);
    for (uint32_t i = 0; i < daemon->consumer.count; i++) {
        struct tkr_view *view = daemon->consumer.view[i];
        (void)tkr_view_lanes_refresh(view);
        for (uint32_t lane = 0; lane < view->lane_count; lane++) {
            uint64_t head;
            if (!tkr_view_lane_head(view, lane, &head) ||
                head != atomic_load_explicit(&view->mapped_lanes[lane].free, memory_order_acquire))
                return false;
        }
    }
    return true;
}

int bench_daemon_drained(struct bench_daemon *daemon)
{
    long deadline = process_now_ms() + DEADLINE_MS;

    while (!empty(daemon)) {
        if (!process_running(&daemon->process) || process_now_ms() > deadline)
            return bench_wrong("the collector does not drain: %s", process_text(&daemon->process, PROCESS_STDERR));
        process_sleep_ms(LOOK_MS);
    }
    return 0;
}

/* What all accounts have: calls, and what the sink is not known to have. */
static int sum(const struct bench_daemon *daemon, uint64_t *ret_calls, uint64_t *ret_unflushed)
{
    char path[TEMPDIR_BYTES + 16];
    struct tkr_entry_copy copy;
    struct tkr_reader *reader = NULL;
    tkr_counts unflushed;
    tkr_message why = {"no shard"};
    int directory;
    int found;

    (void)snprintf(path, sizeof(path), "%s/collector", daemon->runtime);
    directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    found = directory >= 0 ? tkr_reader_open(directory, 0, &reader, &why) : -1;
    if (directory >= 0)
        (void)close(directory);
    if (found != 1)
        return bench_wrong("%s", why.text);
    *ret_calls = *ret_unflushed = 0;
    while (tkr_reader_next(reader, &copy)) {
        tkr_entry_copy_unflushed(&copy, &unflushed);
        *ret_calls += (uint64_t)copy.counts.value[TKR_COUNTER_CALLS];
        *ret_unflushed += (uint64_t)unflushed.value[TKR_COUNTER_CALLS];
    }
    tkr_reader_close(reader);
    return 0;
}

int bench_daemon_flushed(struct bench_daemon *daemon)
{
    long deadline = process_now_ms() + DEADLINE_MS;
    uint64_t calls;
    uint64_t unflushed;

    do {
        process_sleep_ms(20 * LOOK_MS);
        if (sum(daemon, &calls, &unflushed) != 0)
            return -1;
    } while (unflushed > 0 && process_now_ms() < deadline);
    return unflushed == 0 ? 0 : bench_wrong("the collector does not flush");
}

int bench_daemon_check(struct bench_daemon *daemon)
{
    uint64_t calls;
    uint64_t unflushed;

    if (bench_daemon_drained(daemon) != 0 || sum(daemon, &calls, &unflushed) != 0)
        return -1;
    return calls == daemon->calls
               ? 0
               : bench_wrong("calls made %llu, counted %llu", (unsigned long long)daemon->calls, (unsigned long long)calls);
}
