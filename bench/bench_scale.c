/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of many threads and of many processes: recorded all together while no collector runs, each into a lane that has room for
 * them; into one that must grow; and while a collector drains them. As many calls in all, whoever makes them, and every one is
 * found in the lanes, or counted.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "collector/balance.h"
#include "harness/bench.h"
#include "harness/consumer.h"
#include "harness/crew.h"
#include "region/guard.h"
#include "support/process.h"
#include "support/tempdir.h"
#include "tokenring/tokenring.h"

#define CALLS 640000
#define CALL_BYTES 96                             /* at least what a call's frame has */
#define ID "c0ffee00-1234-4567-89ab-0123456789ab" /* 36 bytes */
#define PROMPT 812
#define COMPLETION 94
#define DEADLINE_MS 60000
#define COUNTS_MAX 6

/* Who calls, and how many of them. */
struct setting {
    const char *what;
    bool processes;
    unsigned counts;
    unsigned count[COUNTS_MAX];
};

static const struct setting threads = {"threads", false, 6, {1, 2, 4, 8, 16, 64}};
static const struct setting processes = {"processes", true, 5, {1, 2, 4, 8, 16}};
static const struct setting bound = {"threads", false, 2, {2, 64}};
static const struct setting one = {"threads", false, 1, {1}};

static struct {
    char dir[TEMPDIR_BYTES]; /* of a run, or of the collector */
    char runtime[TEMPDIR_BYTES + 8];
    tkr_options options;
    tkr_start start;
    tkr_usage usage;
    tkr_producer *producer; /* of all threads; a process opens its own */
    bool processes;
    uint64_t total;   /* calls of a run, for all to share */
    uint64_t calls;   /* of each thread or process */
    uint64_t counted; /* by the collector, when all is well */
    struct process collector;
} stage;

/* --- callers --- */

static int record(uint64_t calls)
{
    int failed = TKR_OK;

    for (uint64_t i = 0; i < calls; i++)
        failed |= tkr_record(stage.producer, &stage.start, &stage.usage);
    return failed;
}

/* The first call finds a lane. */
static int prepare(void *unused, unsigned number)
{
    int result = TKR_OK;

    (void)unused;
    (void)number;
    if (stage.processes)
        result = tkr_open(&stage.options, &stage.producer);
    return result == TKR_OK ? record(1) : result;
}

static int work(void *unused, unsigned number)
{
    (void)unused;
    (void)number;
    return record(stage.calls);
}

/* Calls of a run, the first ones included. */
static uint64_t calls_of(unsigned count)
{
    return count * (stage.calls + 1);
}

/* Millions of calls a second of so many; 0 after bench_wrong. */
static double run_crew(bool in_processes, unsigned count)
{
    struct bench_crew crew = {.count = count, .processes = in_processes, .prepare = prepare, .work = work};
    double ns;

    stage.processes = in_processes;
    stage.calls = stage.total / count;
    if (!in_processes && tkr_open(&stage.options, &stage.producer) != TKR_OK)
        return bench_wrong("no producer"), 0;
    ns = bench_crew_run(&crew);
    if (!in_processes)
        tkr_close(stage.producer);
    return ns > 0 ? (double)(count * stage.calls) * 1e3 / ns : 0;
}

/* --- alone: all is read back --- */

static int make_dir(void)
{
    if (tempdir_make(stage.dir) != 0)
        return bench_wrong("no directory");
    (void)snprintf(stage.runtime, sizeof(stage.runtime), "%s/run", stage.dir);
    stage.options.runtime_dir = stage.runtime;
    return mkdir(stage.runtime, 0700) == 0 ? 0 : bench_wrong("no directory");
}

static int read_back(uint64_t calls)
{
    struct bench_consumer consumer;
    uint64_t tokens = calls * (PROMPT + COMPLETION);
    int result = bench_consumer_open(&consumer, stage.runtime);

    if (result == 0)
        result = bench_consumer_drain(&consumer);
    if (result == 0 && (consumer.calls != calls || consumer.tokens != tokens))
        result = bench_wrong("calls made %llu, in the lanes %llu", (unsigned long long)calls, (unsigned long long)consumer.calls);
    bench_consumer_close(&consumer);
    return result;
}

static uint32_t lane_with_room(unsigned count)
{
    uint32_t bytes = 16u << 10;

    while (bytes < stage.total / count * CALL_BYTES)
        bytes *= 2;
    return bytes;
}

/* lane_bytes 0: with room for all. */
static double run_alone(bool in_processes, unsigned count, uint32_t lane_bytes)
{
    double rate;

    if (make_dir() != 0)
        return 0;
    stage.options.lane_bytes = lane_bytes != 0 ? lane_bytes : lane_with_room(count);
    rate = run_crew(in_processes, count);
    if (rate > 0 && read_back(calls_of(count)) != 0)
        rate = 0;
    tempdir_remove(stage.dir);
    return rate;
}

/* --- with a collector --- */

static int start_collector(void)
{
    static const char *const argv[] = {TEST_BIN_DIR "/tokenringd", NULL};
    char runtime[sizeof(stage.runtime) + 32];
    const char *const env[] = {runtime, "TOKENRING_SINK=null", "TOKENRING_WORKERS=1", NULL};

    if (make_dir() != 0)
        return -1;
    (void)snprintf(runtime, sizeof(runtime), "TOKENRING_RUNTIME_DIR=%s", stage.runtime);
    stage.counted = 0;
    stage.options.lane_bytes = 0;
    if (process_start(&stage.collector, argv, env) != 0 ||
        process_wait_text(&stage.collector, PROCESS_STDERR, "collecting in", DEADLINE_MS) != 0)
        return bench_wrong("no collector: %s", process_text(&stage.collector, PROCESS_STDERR));
    return 0;
}

static void end_collector(void)
{
    process_signal(&stage.collector, SIGTERM);
    if (process_wait(&stage.collector, DEADLINE_MS) != 0 || process_exit_code(&stage.collector) != 0)
        (void)bench_wrong("the collector did not end well: %s", process_text(&stage.collector, PROCESS_STDERR));
    process_end(&stage.collector);
    tempdir_remove(stage.dir);
}

/* Waits until the host's balance has this much counted, and nothing dropped or left. */
static int wait_counted(uint64_t calls)
{
    long end = process_now_ms() + DEADLINE_MS;
    struct tkr_host_balance balance;
    tkr_message why;
    uint64_t counted;
    uint64_t dropped;

    do {
        process_sleep_ms(2);
        if (tkr_balance_read(stage.runtime, &balance, &why) != 0)
            return bench_wrong("%s", why.text);
        counted = balance.host.counted;
        dropped = tkr_balance_dropped(&balance.host);
        tkr_balance_free(&balance);
    } while (counted < calls && dropped == 0 && process_now_ms() < end);
    if (counted != calls || dropped != 0)
        return bench_wrong("calls made %llu, counted %llu, dropped %llu", (unsigned long long)calls, (unsigned long long)counted,
                           (unsigned long long)dropped);
    return 0;
}

static double run_drained(bool in_processes, unsigned count, uint32_t unused)
{
    double rate = run_crew(in_processes, count);

    (void)unused;
    stage.counted += calls_of(count);
    return rate > 0 && wait_counted(stage.counted) == 0 ? rate : 0;
}

/* --- cases --- */

typedef double run_way(bool in_processes, unsigned count, uint32_t lane_bytes);

/* All counts in turn, again and again. false: after bench_wrong. */
static bool measure(const struct setting *setting, run_way *way, uint32_t lane_bytes, struct bench_series rate[COUNTS_MAX])
{
    for (unsigned repeat = 0; repeat < bench_repeats(); repeat++) {
        for (unsigned i = 0; i < setting->counts; i++) {
            double value = way(setting->processes, setting->count[i], lane_bytes);
            if (value <= 0)
                return false;
            bench_add(&rate[i], value);
        }
    }
    return true;
}

static void print(const struct setting *setting, const char *where, const struct bench_series rate[COUNTS_MAX])
{
    char name[96];

    for (unsigned i = 0; i < setting->counts; i++) {
        (void)snprintf(name, sizeof(name), "record, %2u %s, %s", setting->count[i], setting->what, where);
        bench_figure(name, "rate", "M calls/s", &rate[i]);
    }
}

static void bench_case(const struct setting *setting, const char *where, run_way *way, uint32_t lane_bytes)
{
    struct bench_series rate[COUNTS_MAX] = {{.count = 0}};

    if (measure(setting, way, lane_bytes, rate))
        print(setting, where, rate);
}

static void bench_bound_of_threads(void)
{
    struct bench_series rate[COUNTS_MAX] = {{.count = 0}};
    struct bench_series ratio;

    /* Waking 64 threads takes about a millisecond, so each has more to do; and as the machine drifts, more often. */
    stage.total = bench_work(2 * CALLS);
    for (int i = 0; i < 3 && rate[0].count + bench_repeats() <= BENCH_REPEATS_MAX; i++) {
        if (!measure(&bound, run_alone, 0, rate))
            return;
    }
    stage.total = bench_work(CALLS);
    ratio = bench_ratio(&rate[1], &rate[0]);
    bench_bound("64 threads in turn on 2 cores: total throughput against 2 threads", &ratio, BENCH_AT_LEAST, 0.9);
}

static void bench_drained(void)
{
    /* Of one priority, even a real-time one, producers and collector would wait for each other's end instead of sharing. */
    (void)sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0});
    if (start_collector() == 0) {
        bench_case(&threads, "a collector draining", run_drained, 0);
        bench_case(&processes, "a collector draining", run_drained, 0);
    }
    end_collector();
}

int main(int argc, char **argv)
{
    bench_begin(argc, argv, "scale");
    tkr_guard_install();
    stage.total = bench_work(CALLS);
    stage.options = (tkr_options)TKR_OPTIONS_INIT;
    stage.start = (tkr_start)TKR_START_INIT;
    stage.start.account_count = 1;
    stage.start.account[0] = (tkr_account){.id = ID, .len = sizeof(ID) - 1};
    stage.usage = (tkr_usage)TKR_USAGE_INIT;
    stage.usage.prompt = PROMPT;
    stage.usage.completion = COMPLETION;
    if (bench_wants("64 threads in turn", true))
        bench_bound_of_threads();
    if (bench_wants("threads", false))
        bench_case(&threads, "alone", run_alone, 0);
    if (bench_wants("processes", false))
        bench_case(&processes, "alone", run_alone, 0);
    if (bench_wants("growing", false))
        bench_case(&one, "lane growing from 64 KiB", run_alone, 64u << 10);
    if (bench_wants("collector", false))
        bench_drained();
    return bench_end();
}
