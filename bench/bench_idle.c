/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a collector takes that has nothing to do: processor time, threads and wake-ups with 0, 100 and 10,000 lanes that are open
 * and quiet. Each lane carried one call, and all of them are in the table.
 */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "harness/bench.h"
#include "harness/daemon.h"

#define LANES_AT_ONCE 250 /* of one producer */
#define LANE_BYTES (16u << 10)
#define WATCH_MS 2000

struct idle {
    struct bench_daemon daemon;
    tkr_producer **producer;
    uint32_t producers;
};

/* What the kernel has counted of all threads of a process. */
struct usage {
    double cpu_ns;
    double wakes;
    unsigned threads;
};

/* --- lanes: a thread's first call opens one, and all threads are there until each has one --- */

struct opener {
    pthread_t thread;
    pthread_barrier_t *all;
    tkr_producer *producer;
    int result;
};

static void *open_lane(void *argument)
{
    struct opener *opener = argument;
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;

    start.account_count = 1;
    start.account[0] = (tkr_account){.id = "idle", .len = 4};
    usage.prompt = 1;
    opener->result = tkr_record(opener->producer, &start, &usage);
    (void)pthread_barrier_wait(opener->all);
    return NULL;
}

static int open_lanes(tkr_producer *producer, uint32_t lanes)
{
    struct opener *opener = calloc(lanes, sizeof(*opener));
    pthread_barrier_t all;
    int result = opener == NULL || pthread_barrier_init(&all, NULL, lanes) != 0 ? -1 : 0;

    for (uint32_t i = 0; i < lanes && result == 0; i++) {
        opener[i].all = &all;
        opener[i].producer = producer;
        if (pthread_create(&opener[i].thread, NULL, open_lane, &opener[i]) != 0)
            exit(bench_wrong("no thread") == 0); /* those that wait would wait for ever */
    }
    for (uint32_t i = 0; i < lanes && result == 0; i++) {
        (void)pthread_join(opener[i].thread, NULL);
        result = opener[i].result;
    }
    free(opener);
    return result == 0 ? 0 : bench_wrong("no lane");
}

static int add_producer(struct idle *idle, uint32_t lanes)
{
    tkr_options options = TKR_OPTIONS_INIT;

    options.runtime_dir = idle->daemon.runtime;
    options.lane_bytes = LANE_BYTES;
    if (tkr_open(&options, &idle->producer[idle->producers]) != TKR_OK)
        return bench_wrong("no producer");
    idle->daemon.calls += lanes;
    return open_lanes(idle->producer[idle->producers++], lanes);
}

/* --- what it takes --- */

/* The number that follows in the file of a thread. */
static double number_in(pid_t pid, const char *task, const char *file, const char *before)
{
    char path[96];
    char line[256];
    size_t len = strlen(before);
    double value = 0;
    FILE *stream;

    (void)snprintf(path, sizeof(path), "/proc/%d/task/%s/%s", (int)pid, task, file);
    stream = fopen(path, "re");
    if (stream == NULL)
        return 0;
    while (fgets(line, sizeof(line), stream) != NULL) {
        if (strncmp(line, before, len) != 0)
            continue;
        value = strtod(line + len, NULL);
        break;
    }
    (void)fclose(stream);
    return value;
}

static struct usage usage_of(pid_t pid)
{
    struct usage usage = {0};
    char path[64];
    DIR *tasks;

    (void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    tasks = opendir(path);
    for (const struct dirent *task; tasks != NULL && (task = readdir(tasks)) != NULL;) {
        if (task->d_name[0] == '.')
            continue;
        usage.cpu_ns += number_in(pid, task->d_name, "schedstat", "");
        usage.wakes += number_in(pid, task->d_name, "status", "voluntary_ctxt_switches:");
        usage.threads++;
    }
    if (tasks != NULL)
        (void)closedir(tasks);
    return usage;
}

static void watch(struct idle *idle, struct bench_series figures[3])
{
    for (unsigned i = 0; i < bench_repeats(); i++) {
        int64_t begun_ns = tkr_clock_monotonic_ns();
        struct usage before = usage_of(idle->daemon.process.pid);
        struct usage after;
        double ns;

        process_sleep_ms((int)bench_work(WATCH_MS));
        after = usage_of(idle->daemon.process.pid);
        ns = (double)(tkr_clock_monotonic_ns() - begun_ns);
        bench_add(&figures[0], (after.cpu_ns - before.cpu_ns) / ns * 100);
        bench_add(&figures[1], (after.wakes - before.wakes) / ns * TKR_NS_PER_S);
        bench_add(&figures[2], after.threads);
    }
}

static void print(uint32_t lanes, struct bench_series figures[3])
{
    char name[64];

    (void)snprintf(name, sizeof(name), "idle collector, %u idle lanes", lanes);
    bench_figure(name, "wake-ups", "/s", &figures[1]);
    bench_figure(name, "threads", "threads", &figures[2]);
    if (lanes != 100) {
        bench_figure(name, "processor", "% of a core", &figures[0]);
        return;
    }
    (void)snprintf(name, sizeof(name), "idle collector, %u idle lanes, %% of a core", lanes);
    bench_bound(name, &figures[0], BENCH_AT_MOST, 1);
}

static void bench_lanes(uint32_t lanes)
{
    struct idle idle = {.producer = calloc(lanes / LANES_AT_ONCE + 1, sizeof(tkr_producer *))};
    struct bench_series figures[3] = {{.count = 0}};
    int result = bench_daemon_open(&idle.daemon, "TOKENRING_SINK=null");

    if (result == 0)
        result = bench_daemon_start(&idle.daemon);
    for (uint32_t left = lanes; result == 0 && left > 0; left -= left < LANES_AT_ONCE ? left : LANES_AT_ONCE)
        result = add_producer(&idle, left < LANES_AT_ONCE ? left : LANES_AT_ONCE);
    if (result == 0)
        result = bench_daemon_record(&idle.daemon, 0, 1);
    if (result == 0 && bench_daemon_drained(&idle.daemon) == 0 && bench_daemon_flushed(&idle.daemon) == 0) {
        watch(&idle, figures);
        if (bench_daemon_check(&idle.daemon) == 0)
            print(lanes, figures);
    }
    for (uint32_t i = 0; i < idle.producers; i++)
        tkr_close(idle.producer[i]);
    free(idle.producer);
    bench_daemon_close(&idle.daemon);
}

int main(int argc, char **argv)
{
    bench_begin(argc, argv, "idle");
    if (bench_wants("0 lanes", false))
        bench_lanes(0);
    if (bench_wants("100 lanes", true))
        bench_lanes(100);
    if (bench_wants("10000 lanes", false))
        bench_lanes(10000);
    return bench_end();
}
