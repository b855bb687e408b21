/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the call to the totals: producer processes, a real tokenringd, a real sink. Calls a second over some seconds, as fast as
 * the collector takes them: a producer that is BACKLOG calls ahead waits. Nothing is dropped, and in the end the sink has every
 * token. Against drain alone (harness/alone.h), in turn.
 *
 * While 200 scrapes a second ask for metrics, against none, in turn: what those cost.
 *
 * The producers have one half of the processors, the collector the other, as far as its workers fit there.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "harness/alone.h"
#include "harness/bench.h"
#include "harness/crowd.h"
#include "harness/host.h"
#include "harness/scraper.h"
#include "tokenring/tokenring.h"

#define PRODUCERS_MAX 16
#define LANE_BYTES (8u << 20)
#define BACKLOG 16384 /* calls */
#define BURST 512     /* between looks at the backlog */
#define BACKLOG_WAIT_NS (50 * TKR_NS_PER_US)
#define RUN_MS 1500
#define DRAWS (1u << 18)
#define SYNC_MS 30000
#define ALONE_FILLS 4
#define PROMPT 812
#define COMPLETION 94
#define TOKENS (PROMPT + COMPLETION)
#define CYCLE 20261101u
#define SCRAPES 200 /* a second */

struct setting {
    enum tkr_sink_kind sink;
    uint32_t producers;
    uint32_t accounts;
    uint32_t workers;
};

/* What producers tell, in memory that they share with the bench. */
struct told {
    _Atomic uint32_t ready;
    atomic_bool go;
    atomic_bool stop;
    struct {
        alignas(128) _Atomic uint64_t calls; /* the warm-up's too */
        _Atomic uint64_t timed;
        _Atomic int64_t counted_ns; /* when all was counted */
    } of[PRODUCERS_MAX];
};

static struct {
    struct bench_host host;
    struct bench_alone alone;
    struct bench_crowd crowd;
    uint32_t *draw; /* [DRAWS], who calls */
    struct told *told;
    uint64_t calls; /* of this host so far */
    uint64_t calls_alone;
} stage;

static int record(tkr_producer *producer, uint32_t account)
{
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;

    start.cycle = CYCLE;
    start.account_count = 1;
    start.account[0].id = stage.crowd.id[account];
    start.account[0].len = BENCH_ID_BYTES;
    usage.prompt = PROMPT;
    usage.completion = COMPLETION;
    return tkr_record(producer, &start, &usage);
}

static void sleep_ns(int64_t ns)
{
    struct timespec pause = {ns / TKR_NS_PER_S, ns % TKR_NS_PER_S};

    (void)nanosleep(&pause, NULL);
}

/* --- a producer process; its exit status says which step failed --- */

/* Every account once, so that what is timed finds them all in the table. */
static int warm_up(tkr_producer *producer, const struct setting *setting, uint32_t number, uint64_t *ret_calls)
{
    for (uint32_t i = number; i < setting->accounts; i += setting->producers, ++*ret_calls) {
        if (record(producer, i) != TKR_OK)
            return -1;
    }
    return tkr_sync(producer, SYNC_MS);
}

static int keep_behind(tkr_producer *producer)
{
    tkr_stat stat = TKR_STAT_INIT;

    while (tkr_stat_read(producer, &stat) == TKR_OK) {
        if (stat.in_lanes <= BACKLOG)
            return 0;
        sleep_ns(BACKLOG_WAIT_NS);
    }
    return -1;
}

static int call_until_told(tkr_producer *producer, uint32_t number, uint64_t *ret_calls)
{
    uint32_t at = number * (DRAWS / PRODUCERS_MAX);

    while (!atomic_load_explicit(&stage.told->stop, memory_order_relaxed)) {
        for (int i = 0; i < BURST; i++, ++*ret_calls) {
            if (record(producer, stage.draw[at++ % DRAWS]) != TKR_OK)
                return -1;
        }
        if (keep_behind(producer) != 0)
            return -1;
    }
    return 0;
}

static int produce(const struct setting *setting, uint32_t number)
{
    tkr_options options = TKR_OPTIONS_INIT;
    tkr_stat stat = TKR_STAT_INIT;
    tkr_producer *producer;
    uint64_t warm = 0;
    uint64_t timed = 0;

    options.runtime_dir = stage.host.runtime;
    options.lane_bytes = LANE_BYTES;
    if (tkr_open(&options, &producer) != TKR_OK)
        return 1;
    if (warm_up(producer, setting, number, &warm) != 0)
        return 2;
    (void)atomic_fetch_add(&stage.told->ready, 1);
    while (!atomic_load(&stage.told->go))
        sleep_ns(BACKLOG_WAIT_NS);
    if (call_until_told(producer, number, &timed) != 0)
        return 3;
    if (tkr_sync(producer, SYNC_MS) != TKR_OK)
        return 4;
    atomic_store(&stage.told->of[number].counted_ns, tkr_clock_monotonic_ns());
    atomic_store(&stage.told->of[number].timed, timed);
    atomic_store(&stage.told->of[number].calls, warm + timed);
    if (tkr_stat_read(producer, &stat) != TKR_OK || stat.offered != warm + timed || stat.in_lanes != 0 || stat.dropped != 0)
        return 5;
    tkr_close(producer);
    return 0;
}

/* --- one run of all producers --- */

static int start_producers(const struct setting *setting, pid_t child[PRODUCERS_MAX])
{
    memset(stage.told, 0, sizeof(*stage.told));
    for (uint32_t i = 0; i < setting->producers; i++) {
        child[i] = fork();
        if (child[i] < 0)
            return bench_wrong("no process");
        if (child[i] == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            _exit(produce(setting, i));
        }
    }
    return 0;
}

static int end_producers(uint32_t count, pid_t child[PRODUCERS_MAX])
{
    int result = 0;

    for (uint32_t i = 0; i < count; i++) {
        int status = 0;
        if (child[i] <= 0)
            continue;
        if (waitpid(child[i], &status, 0) != child[i] || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
            result = bench_wrong("producer %u failed at step %d", i, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
        stage.calls += atomic_load(&stage.told->of[i].calls);
    }
    return result;
}

static bool ended(pid_t child)
{
    siginfo_t info = {.si_pid = 0};

    return waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == child;
}

/* false: one has failed. */
static bool all_ready(uint32_t count, const pid_t child[PRODUCERS_MAX])
{
    while (atomic_load(&stage.told->ready) < count) {
        for (uint32_t i = 0; i < count; i++) {
            if (ended(child[i]))
                return false;
        }
        sleep_ns(TKR_NS_PER_MS);
    }
    return true;
}

/* M events a second from the first call until the last is counted; 0: it does not add up. */
static double sustain(const struct setting *setting)
{
    pid_t child[PRODUCERS_MAX] = {0};
    uint64_t timed = 0;
    int64_t begun_ns;
    int64_t end_ns = 0;
    bool ready = start_producers(setting, child) == 0 && all_ready(setting->producers, child);

    begun_ns = tkr_clock_monotonic_ns();
    atomic_store(&stage.told->go, true);
    if (ready)
        sleep_ns((int64_t)bench_work(RUN_MS) * TKR_NS_PER_MS);
    atomic_store(&stage.told->stop, true);
    if (end_producers(setting->producers, child) != 0 || !ready)
        return 0;
    for (uint32_t i = 0; i < setting->producers; i++) {
        int64_t counted_ns = atomic_load(&stage.told->of[i].counted_ns);
        end_ns = counted_ns > end_ns ? counted_ns : end_ns;
        timed += atomic_load(&stage.told->of[i].timed);
    }
    return (double)timed * 1e3 / (double)(end_ns - begun_ns);
}

/* The same, while metrics are asked for. */
static double sustain_scraped(const struct setting *setting)
{
    struct bench_scraper scraper;
    int64_t begun_ns = tkr_clock_monotonic_ns();
    double rate;
    double asked;

    if (bench_scraper_start(&scraper, stage.host.http, SCRAPES) != 0)
        return 0;
    rate = sustain(setting);
    asked = (double)bench_scraper_end(&scraper) * 1e9 / (double)(tkr_clock_monotonic_ns() - begun_ns);
    if (asked < 0.95 * (double)bench_work(SCRAPES)) { /* a quick run may be on a busy machine */
        (void)bench_wrong("%.0f pages a second, not %d", asked, SCRAPES);
        return 0;
    }
    return rate;
}

/* --- drain alone: the same calls --- */

static int fill_alone(uint64_t calls)
{
    static uint32_t at;

    for (uint64_t i = 0; i < calls; i++, at++) {
        int result = record(stage.alone.producer[i % BENCH_ALONE_LANES], stage.draw[at % DRAWS]);
        if (result != TKR_OK)
            return bench_wrong("a call was not accepted: %s", tkr_strerror(result));
    }
    stage.calls_alone += calls;
    return 0;
}

static int warm_up_alone(uint32_t accounts)
{
    for (uint32_t i = 0; i < accounts; i++) {
        if (record(stage.alone.producer[i % BENCH_ALONE_LANES], i) != TKR_OK)
            return bench_wrong("a call was not accepted");
        stage.calls_alone++;
        if (i % BENCH_ALONE_CALLS == BENCH_ALONE_CALLS - 1)
            (void)bench_alone_drain(&stage.alone);
    }
    (void)bench_alone_drain(&stage.alone);
    return 0;
}

/* M events a second; 0: it does not add up. */
static double drain_alone(void)
{
    uint64_t calls = bench_work(BENCH_ALONE_CALLS);
    int64_t spent_ns = 0;

    for (int i = 0; i < ALONE_FILLS; i++) {
        if (fill_alone(calls) != 0)
            return 0;
        spent_ns += bench_alone_drain(&stage.alone);
    }
    if (stage.alone.events != stage.calls_alone) {
        (void)bench_wrong("drain alone: %llu calls, counted %llu", (unsigned long long)stage.calls_alone,
                          (unsigned long long)stage.alone.events);
        return 0;
    }
    return (double)(calls * ALONE_FILLS) * 1e3 / (double)spent_ns;
}

/* --- sustained --- */

static void place_collector(uint32_t workers)
{
    if (workers > (bench_processors() + 1) / 2)
        bench_pin_some(0, bench_processors());
    else
        bench_pin_some(bench_processors() / 2, bench_processors() - bench_processors() / 2);
}

static void place_producers(uint32_t workers)
{
    bool shared = workers > (bench_processors() + 1) / 2 || bench_processors() == 1;

    bench_pin_some(0, shared ? bench_processors() : bench_processors() / 2);
}

static int check_sustained(const struct setting *setting)
{
    int64_t made = (int64_t)stage.calls * TOKENS;
    int64_t counted = bench_host_counted(&stage.host);
    int64_t flushed;

    if (counted != made)
        return bench_wrong("tokens recorded %lld, counted %lld", (long long)made, (long long)counted);
    if (bench_host_end_collector(&stage.host) != 0)
        return -1;
    flushed = setting->sink == TKR_SINK_NULL ? made : bench_host_in_sink(&stage.host);
    return flushed == made ? 0 : bench_wrong("tokens recorded %lld, in the sink %lld", (long long)made, (long long)flushed);
}

static int run_sustained(const struct setting *setting, struct bench_series *rate, struct bench_series *alone,
                         struct bench_series *scraped)
{
    struct bench_host_options options = {.sink = setting->sink, .workers = setting->workers};
    double value;

    stage.calls = 0;
    place_collector(setting->workers);
    if (bench_host_start(&stage.host, &options) != 0)
        return -1;
    for (unsigned i = 0; i < bench_repeats(); i++) {
        place_collector(setting->workers); /* drain alone has the processor of the collector */
        if (alone != NULL && (value = drain_alone()) > 0)
            bench_add(alone, value);
        place_producers(setting->workers);
        value = sustain(setting);
        if (value <= 0)
            return -1;
        bench_add(rate, value);
        if (scraped != NULL && (value = sustain_scraped(setting)) > 0)
            bench_add(scraped, value);
    }
    return check_sustained(setting);
}

static void bench_sustained(const struct setting *setting, bool against_alone)
{
    struct bench_series rate = {.count = 0};
    struct bench_series alone = {.count = 0};
    struct bench_series scraped = {.count = 0};
    struct bench_series ratio;
    char name[96];

    (void)snprintf(name, sizeof(name), "sustained to %s, %u producers, %u accounts, %u workers",
                   bench_host_sink_name(setting->sink), setting->producers, setting->accounts, setting->workers);
    if (!bench_wants(name, against_alone))
        return;
    if (setting->sink == TKR_SINK_REDIS && !bench_host_has_redis()) {
        bench_skipped(name, "redis-server is not installed (package redis-server)");
        return;
    }
    if (bench_crowd_make(&stage.crowd, setting->accounts, BENCH_ZIPF) == 0 &&
        (!against_alone || (bench_alone_make(&stage.alone, setting->accounts) == 0 && warm_up_alone(setting->accounts) == 0))) {
        for (uint32_t i = 0; i < DRAWS; i++)
            stage.draw[i] = bench_crowd_draw(&stage.crowd);
        if (run_sustained(setting, &rate, against_alone ? &alone : NULL, against_alone ? &scraped : NULL) == 0) {
            bench_figure(name, "rate", "M events/s", &rate);
            ratio = bench_ratio(&rate, &alone);
            if (against_alone) {
                bench_figure("drain alone, the same calls", "rate", "M events/s", &alone);
                bench_bound("end to end to the null sink against drain alone", &ratio, BENCH_AT_LEAST, 0.8);
                bench_figure("the same while metrics are asked for 200 times a second", "rate", "M events/s", &scraped);
                ratio = bench_ratio(&scraped, &rate);
                bench_bound("draining while metrics are asked for 200 times a second against not", &ratio, BENCH_AT_LEAST, 0.95);
            }
        }
    }
    bench_host_remove(&stage.host);
    if (against_alone)
        bench_alone_remove(&stage.alone);
    bench_crowd_free(&stage.crowd);
}

int main(int argc, char **argv)
{
    static const struct setting settings[] = {
        {TKR_SINK_NULL, 2, 100000, 1}, /* the one with a bound */
        {TKR_SINK_SQLITE, 2, 100000, 1}, {TKR_SINK_REDIS, 2, 100000, 1}, {TKR_SINK_NULL, 1, 100000, 1},
        {TKR_SINK_NULL, 4, 100000, 1},   {TKR_SINK_NULL, 8, 100000, 1},  {TKR_SINK_NULL, 2, 1000, 1},
        {TKR_SINK_NULL, 2, 1000000, 1},  {TKR_SINK_NULL, 2, 100000, 2},
    };

    bench_begin(argc, argv, "flow");
    stage.draw = calloc(DRAWS, sizeof(*stage.draw));
    stage.told = mmap(NULL, sizeof(*stage.told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (stage.draw == NULL || stage.told == MAP_FAILED)
        return bench_wrong("no memory"), bench_end();
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        struct setting setting = settings[i];
        setting.accounts = (uint32_t)bench_work(setting.accounts);
        bench_sustained(&setting, i == 0);
    }
    (void)munmap(stage.told, sizeof(*stage.told));
    free(stage.draw);
    return bench_end();
}
