/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record() and other ways to tell of the same call, in turn in one run: callers on one processor, servers and readers on another.
 * Then record() and the one ring that all threads share, by threads. Whoever was told says how much: what does not arrive, or
 * arrives twice, is no figure.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "harness/bench.h"
#include "harness/consumer.h"
#include "harness/crew.h"
#include "peers/payload.h"
#include "peers/peers.h"
#include "peers/ring.h"
#include "support/tempdir.h"
#include "tokenring/tokenring.h"

#define LANE_BYTES (8u << 20)
#define AT_ONCE 40000 /* calls: they fit the lane */
#define CALLS 400000
#define SHARED_CALLS 640000
#define SHARED_SLOTS (1u << 20)
#define CALL_BYTES 96 /* at least what a call's frame has */

static struct {
    char runtime[TEMPDIR_BYTES];
    tkr_producer *producer;
    struct bench_consumer consumer;
    tkr_start start;
    tkr_usage usage;
    uint64_t calls; /* of each thread */
} stage;

/* --- record() --- */

static int open_producer(uint32_t lane_bytes)
{
    tkr_options options = TKR_OPTIONS_INIT;

    if (tempdir_make(stage.runtime) != 0)
        return bench_wrong("no directory");
    options.runtime_dir = stage.runtime;
    options.lane_bytes = lane_bytes;
    if (tkr_open(&options, &stage.producer) != TKR_OK)
        return bench_wrong("no producer");
    return bench_consumer_open(&stage.consumer, stage.runtime);
}

static void close_producer(void)
{
    bench_consumer_close(&stage.consumer);
    tkr_close(stage.producer);
    tempdir_remove(stage.runtime);
    stage.producer = NULL;
    memset(&stage.consumer, 0, sizeof(stage.consumer));
}

static int record(uint64_t calls)
{
    int failed = TKR_OK;

    for (uint64_t i = 0; i < calls; i++)
        failed |= tkr_record(stage.producer, &stage.start, &stage.usage);
    return failed;
}

static int read_back(uint64_t calls)
{
    if (bench_consumer_drain(&stage.consumer) != 0)
        return -1;
    if (stage.consumer.calls != calls || stage.consumer.tokens != calls * PAYLOAD_TOKENS)
        return bench_wrong("calls made %llu, read %llu", (unsigned long long)calls, (unsigned long long)stage.consumer.calls);
    return 0;
}

/* Nanoseconds a call; negative after bench_wrong. */
static double time_record(void)
{
    uint64_t calls = bench_work(CALLS);
    int64_t spent_ns = 0;

    for (uint64_t done = 0; done < calls; done += AT_ONCE) {
        uint64_t before = stage.consumer.calls;
        int64_t begun_ns = tkr_clock_monotonic_ns();
        int failed = record(AT_ONCE);
        spent_ns += tkr_clock_monotonic_ns() - begun_ns;
        if (failed != TKR_OK)
            return bench_wrong("a call was not accepted: %s", tkr_strerror(failed));
        if (read_back(before + AT_ONCE) != 0)
            return -1;
    }
    return (double)spent_ns / (double)((calls + AT_ONCE - 1) / AT_ONCE * AT_ONCE);
}

/* --- record() and its peers --- */

struct rival {
    const struct peer *peer;
    const char *bound_name; /* NULL: none */
    double bound;
    int state; /* what open said */
    uint64_t calls;
    struct bench_series ns;
};

static struct rival rivals[] = {
    {.peer = &peer_ring},
    {.peer = &peer_lttng, .bound_name = "record() against LTTng-UST, times faster", .bound = 8},
    {.peer = &peer_statsd},
    {.peer = &peer_json, .bound_name = "record() against a JSON line on a socket, times faster", .bound = 80},
    {.peer = &peer_prometheus},
    {.peer = &peer_redis, .bound_name = "record() against HINCRBY x3 per call, times faster", .bound = 2000},
};
#define RIVALS (sizeof(rivals) / sizeof(rivals[0]))

static void open_rivals(void)
{
    for (size_t i = 0; i < RIVALS; i++) {
        struct rival *rival = &rivals[i];
        if (!bench_wants(rival->peer->name, rival->bound_name != NULL)) {
            rival->peer = NULL;
            continue;
        }
        rival->state = rival->peer->open();
        if (rival->state == PEER_NOT_INSTALLED)
            bench_skipped(rival->bound_name != NULL ? rival->bound_name : rival->peer->name, rival->peer->package);
    }
}

static int run_rival(struct rival *rival)
{
    uint64_t calls = bench_work(rival->peer->calls);
    double ns = rival->peer->emit(calls);

    if (ns <= 0)
        return -1;
    rival->calls += calls;
    bench_add(&rival->ns, ns / (double)calls);
    return 0;
}

static void run_in_turn(struct bench_series *record_ns)
{
    (void)time_record(); /* the first calls find lanes and caches */
    for (unsigned repeat = 0; repeat < bench_repeats(); repeat++) {
        double ns = time_record();
        if (ns <= 0)
            return;
        bench_add(record_ns, ns);
        for (size_t i = 0; i < RIVALS; i++) {
            if (rivals[i].peer != NULL && rivals[i].state == 0)
                rivals[i].state = run_rival(&rivals[i]);
        }
    }
}

static void print_rival(const struct rival *rival, const struct bench_series *record_ns)
{
    struct bench_series ratio = bench_ratio(&rival->ns, record_ns);

    bench_figure(rival->peer->name, "time", "ns", &rival->ns);
    if (rival->bound_name != NULL)
        bench_bound(rival->bound_name, &ratio, BENCH_AT_LEAST, rival->bound);
    else
        bench_figure(rival->peer->name, "against record", "times", &ratio);
}

static void bench_rivals(void)
{
    struct bench_series record_ns = {.count = 0};

    bench_pin(0);
    open_rivals();
    bench_pin(1);
    if (open_producer(LANE_BYTES) == 0)
        run_in_turn(&record_ns);
    bench_figure("record", "time", "ns", &record_ns);
    for (size_t i = 0; i < RIVALS; i++) {
        struct rival *rival = &rivals[i];
        if (rival->peer != NULL && rival->state == 0 && rival->peer->check(rival->calls) == 0)
            print_rival(rival, &record_ns);
        if (rival->peer != NULL)
            rival->peer->close();
    }
    close_producer();
}

/* --- record() and the shared ring, by threads --- */

static int prepare(void *unused, unsigned number)
{
    (void)unused;
    (void)number;
    return stage.producer != NULL ? record(1) : ring_put(1);
}

static int work(void *unused, unsigned number)
{
    (void)unused;
    (void)number;
    return stage.producer != NULL ? record(stage.calls) : ring_put(stage.calls);
}

static double run_crew(unsigned count)
{
    struct bench_crew crew = {.count = count, .prepare = prepare, .work = work};

    return (double)(stage.calls * count) * 1e3 / bench_crew_run(&crew);
}

/* Millions of calls a second; not positive after bench_wrong. */
static double run_lanes(unsigned count)
{
    uint32_t lane_bytes = 16u << 10;
    double rate = -1;

    while (lane_bytes < stage.calls * CALL_BYTES)
        lane_bytes *= 2;
    if (open_producer(lane_bytes) == 0)
        rate = run_crew(count);
    if (rate > 0 && read_back((stage.calls + 1) * count) != 0)
        rate = -1;
    close_producer();
    return rate;
}

static double run_ring(unsigned count)
{
    double rate = -1;

    if (ring_make(SHARED_SLOTS) == 0)
        rate = run_crew(count);
    if (rate > 0 && ring_read() != (stage.calls + 1) * count)
        rate = bench_wrong("%u threads: the ring has not what they put", count);
    ring_free();
    return rate;
}

static void bench_threads(unsigned count)
{
    struct bench_series lanes = {.count = 0};
    struct bench_series ring = {.count = 0};
    char name[64];

    stage.calls = bench_work(SHARED_CALLS) / count;
    for (unsigned repeat = 0; repeat < bench_repeats(); repeat++) {
        double of_lanes = run_lanes(count);
        double of_ring = run_ring(count);
        if (of_lanes <= 0 || of_ring <= 0)
            return;
        bench_add(&lanes, of_lanes);
        bench_add(&ring, of_ring);
    }
    (void)snprintf(name, sizeof(name), "record, %2u threads", count);
    bench_figure(name, "rate", "M calls/s", &lanes);
    (void)snprintf(name, sizeof(name), "ck_ring shared, %2u threads", count);
    bench_figure(name, "rate", "M calls/s", &ring);
}

int main(int argc, char **argv)
{
    bench_begin(argc, argv, "peers");
    stage.start = (tkr_start)TKR_START_INIT;
    stage.start.account_count = 1;
    stage.start.account[0] = (tkr_account){.id = PAYLOAD_ID, .len = PAYLOAD_ID_BYTES};
    stage.usage = (tkr_usage)TKR_USAGE_INIT;
    stage.usage.prompt = PAYLOAD_PROMPT;
    stage.usage.completion = PAYLOAD_COMPLETION;
    bench_rivals();
    /* Of more threads than processors one waits for another that does not run: in the ring for whole time slices. */
    for (unsigned count = 1; count <= bench_processors() && count <= BENCH_CREW_MAX && bench_wants("threads", false); count *= 2)
        bench_threads(count);
    return bench_end();
}
