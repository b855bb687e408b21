/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a call costs its caller: recorded in one shot, many at once, begun and ended; by one thread that is hot, against the floor,
 * a frame of the same bytes that is copied into a lane and published, and nothing else. Every call is read back.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "event/encode.h"
#include "harness/bench.h"
#include "harness/consumer.h"
#include "harness/latency.h"
#include "ring/lane.h"
#include "support/tempdir.h"
#include "tokenring/tokenring.h"

#define LANE_BYTES (8u << 20)
#define CALLS 40000 /* at once: they fit a lane */
#define ROUNDS 25
#define MANY 32
#define ID "c0ffee00-1234-4567-89ab-0123456789ab" /* 36 bytes */
#define PROMPT 812
#define COMPLETION 94
#define MODEL "gpt-4o-mini-2024-07-18"
#define PROVIDER "openai"
#define START_NS INT64_C(1700000000000000000)

static struct {
    char runtime[TEMPDIR_BYTES];
    tkr_producer *producer;
    struct bench_consumer consumer;
    tkr_start start;
    tkr_usage usage;
    uint64_t calls; /* made and not yet read back */
    int failed;     /* a code, when a call was not accepted */
} stage;

/* --- ways to emit `count` calls --- */

static void record(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        stage.failed |= tkr_record(stage.producer, &stage.start, &stage.usage);
}

/* What a real gateway tells besides: model, provider, its own id of the call, times. */
static void record_told(uint64_t count)
{
    tkr_start start = stage.start;
    tkr_usage usage = stage.usage;

    start.model = MODEL;
    start.model_len = sizeof(MODEL) - 1;
    start.provider = PROVIDER;
    start.provider_len = sizeof(PROVIDER) - 1;
    start.start_ns = START_NS;
    usage.first_token_ns = START_NS + 300 * TKR_NS_PER_MS;
    usage.end_ns = START_NS + 2 * TKR_NS_PER_S;
    for (uint64_t i = 0; i < count; i++) {
        memcpy(start.call_id, &(uint64_t[2]){START_NS, i + 1}, sizeof(start.call_id));
        stage.failed |= tkr_record(stage.producer, &start, &usage);
    }
}

static void record_many(uint64_t count)
{
    static tkr_start start[MANY];
    static tkr_usage usage[MANY];

    for (int i = 0; i < MANY; i++) {
        start[i] = stage.start;
        usage[i] = stage.usage;
    }
    for (uint64_t i = 0; i < count; i += MANY)
        stage.failed |= tkr_record_many(stage.producer, start, usage, MANY, NULL);
}

static void begin_end(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        tkr_call call;
        stage.failed |= tkr_call_begin(stage.producer, &stage.start, &call);
        stage.failed |= tkr_call_end(stage.producer, call, &stage.usage);
    }
}

static void begin_progress_end(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        tkr_call call;
        stage.failed |= tkr_call_begin(stage.producer, &stage.start, &call);
        stage.failed |= tkr_call_progress(stage.producer, call, COMPLETION / 2);
        stage.failed |= tkr_call_end(stage.producer, call, &stage.usage);
    }
}

/* Nanoseconds per call, hot: rounds that fit the lane, read back between them. Negative: it does not add up. */
static double time_calls(void (*way)(uint64_t))
{
    uint64_t rounds = bench_work(ROUNDS);
    uint64_t calls = stage.consumer.calls + rounds * CALLS;
    uint64_t tokens = stage.consumer.tokens + rounds * CALLS * (PROMPT + COMPLETION);
    int64_t spent_ns = 0;

    for (uint64_t round = 0; round < rounds; round++) {
        int64_t begun_ns = tkr_clock_monotonic_ns();
        way(CALLS);
        spent_ns += tkr_clock_monotonic_ns() - begun_ns;
        if (bench_consumer_drain(&stage.consumer) != 0)
            return -1;
    }
    if (stage.failed != TKR_OK)
        return bench_wrong("a call was not accepted: %s", tkr_strerror(stage.failed));
    if (stage.consumer.calls != calls || stage.consumer.tokens != tokens)
        return bench_wrong("calls made %llu, read %llu", (unsigned long long)calls, (unsigned long long)stage.consumer.calls);
    return (double)spent_ns / (double)(rounds * CALLS);
}

/* --- one by one --- */

#define SINGLES 20000
static const double percents[] = {50, 99, 99.9};
enum { PERCENTS = sizeof(percents) / sizeof(percents[0]) };

static void nothing(uint64_t unused)
{
    (void)unused;
}

/* Percentiles of single calls, in ns, each less what looking at the clock twice takes. 0, or -1 after bench_wrong. */
static int time_singles(void (*way)(uint64_t), struct bench_series ns[PERCENTS])
{
    static struct bench_latency latency[2]; /* of nothing, and of the way */
    void (*const ways[])(uint64_t) = {nothing, way};
    uint64_t singles = bench_work(SINGLES);

    memset(latency, 0, sizeof(latency));
    for (uint64_t i = 0; i < singles; i++) {
        for (int k = 0; k < 2; k++) {
            int64_t begun_ns = tkr_clock_monotonic_ns();
            ways[k](1);
            bench_latency_add(&latency[k], tkr_clock_monotonic_ns() - begun_ns);
        }
    }
    for (int i = 0; i < PERCENTS; i++)
        bench_add(&ns[i],
                  (double)bench_latency_percentile(&latency[1], percents[i]) - (double)bench_latency_percentile(&latency[0], 50));
    if (bench_consumer_drain(&stage.consumer) != 0)
        return -1;
    return stage.failed == TKR_OK ? 0 : bench_wrong("a call was not accepted: %s", tkr_strerror(stage.failed));
}

static void bench_singles(void)
{
    static const struct {
        const char *name;
        void (*way)(uint64_t);
    } ways[] = {{"record, one by one", record}, {"begin + end, one by one", begin_end}};
    enum { WAYS = sizeof(ways) / sizeof(ways[0]) };
    struct bench_series ns[WAYS][PERCENTS] = {{{.count = 0}}};
    uint64_t calls = stage.consumer.calls + WAYS * bench_repeats() * bench_work(SINGLES);
    char metric[16];

    for (unsigned i = 0; i < bench_repeats(); i++) {
        for (int way = 0; way < WAYS; way++) {
            if (time_singles(ways[way].way, ns[way]) != 0)
                return;
        }
    }
    if (stage.consumer.calls != calls) {
        (void)bench_wrong("calls made %llu, read %llu", (unsigned long long)calls, (unsigned long long)stage.consumer.calls);
        return;
    }
    for (int way = 0; way < WAYS; way++) {
        for (int i = 0; i < PERCENTS; i++) {
            (void)snprintf(metric, sizeof(metric), "p%g", percents[i]);
            bench_figure(ways[way].name, metric, "ns", &ns[way][i]);
        }
    }
}

/* --- the floor --- */

static struct {
    alignas(TKR_LINE_SEPARATION) struct tkr_lane lane;
    struct tkr_lane_writer writer;
    unsigned char frame[TKR_FRAME_BYTES_MAX];
    size_t bytes;
    unsigned char *data; /* shared memory, as a region's */
} floor_lane;

/* The frame that record() makes of the same call, and memory for many of them. */
static int make_floor(void)
{
    size_t head_bytes = tkr_frame_head_bytes(&stage.start);
    struct tkr_frame_values values = {.count = 0};

    tkr_frame_value_add(&values, TKR_COUNTER_PROMPT, PROMPT);
    tkr_frame_value_add(&values, TKR_COUNTER_COMPLETION, COMPLETION);
    tkr_frame_value_add(&values, TKR_COUNTER_TOTAL, PROMPT + COMPLETION);
    tkr_frame_head_put(floor_lane.frame, head_bytes, &stage.start, 20240201, 1);
    tkr_frame_finish(floor_lane.frame, head_bytes, &values, 0);
    floor_lane.bytes = tkr_frame_bytes(head_bytes, &values);
    floor_lane.lane.capacity = LANE_BYTES;
    floor_lane.data = mmap(NULL, LANE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (floor_lane.data == MAP_FAILED)
        return bench_wrong("no memory");
    tkr_lane_writer_attach(&floor_lane.writer, &floor_lane.lane, floor_lane.data);
    return 0;
}

static void publish(uint64_t count)
{
    size_t bytes = floor_lane.bytes;

    for (uint64_t i = 0; i < count; i++) {
        struct tkr_frame_header *frame = tkr_lane_reserve(&floor_lane.writer, bytes);
        if (frame == NULL) {
            stage.failed = TKR_EFULL;
            return;
        }
        memcpy(frame, floor_lane.frame, bytes);
        frame->sequence = floor_lane.writer.sequence + 1;
        tkr_lane_publish(&floor_lane.writer);
    }
}

static double time_floor(void)
{
    uint64_t rounds = bench_work(ROUNDS);
    int64_t spent_ns = 0;
    uint64_t published = floor_lane.writer.sequence + rounds * CALLS;

    for (uint64_t round = 0; round < rounds; round++) {
        int64_t begun_ns = tkr_clock_monotonic_ns();
        publish(CALLS);
        spent_ns += tkr_clock_monotonic_ns() - begun_ns;
        atomic_store_explicit(&floor_lane.lane.free, floor_lane.writer.head, memory_order_release);
    }
    if (atomic_load_explicit(&floor_lane.lane.sequence, memory_order_relaxed) != published || stage.failed != TKR_OK)
        return bench_wrong("the floor's frames do not add up");
    return (double)spent_ns / (double)(rounds * CALLS);
}

/* --- cases --- */

static void bench_hot(void)
{
    static const struct {
        const char *name;
        void (*way)(uint64_t);
    } ways[] = {{"record", record},
                {"record_many of 32", record_many},
                {"begin + end", begin_end},
                {"begin + progress + end", begin_progress_end},
                {"record, all told that a gateway knows", record_told}};
    enum { WAYS = sizeof(ways) / sizeof(ways[0]) };
    struct bench_series floor_ns = {.count = 0};
    struct bench_series told_ns = {.count = 0};
    struct bench_series ns[WAYS] = {{.count = 0}};
    struct bench_series ratio;

    for (unsigned i = 0; i < bench_repeats(); i++) {
        bench_add(&floor_ns, time_floor());
        for (int way = 0; way < WAYS; way++)
            bench_add(&ns[way], time_calls(ways[way].way));
        stage.start.start_ns = START_NS;
        bench_add(&told_ns, time_calls(record));
        stage.start.start_ns = 0;
    }
    bench_figure("floor: publish of as many bytes", "time", "ns", &floor_ns);
    for (int way = 0; way < WAYS; way++)
        bench_figure(ways[way].name, "time", "ns", &ns[way]);
    bench_figure("record, start told", "time", "ns", &told_ns);
    ratio = bench_ratio(&ns[0], &floor_ns);
    bench_bound("record() against a raw publish of as many bytes", &ratio, BENCH_AT_MOST, 3.0);
    ratio = bench_ratio(&ns[2], &ns[0]);
    bench_bound("begin + end against record()", &ratio, BENCH_AT_MOST, 3.0);
}

static int set_up(void)
{
    tkr_options options = TKR_OPTIONS_INIT;

    if (tempdir_make(stage.runtime) != 0)
        return bench_wrong("no directory");
    options.runtime_dir = stage.runtime;
    options.lane_bytes = LANE_BYTES;
    stage.start = (tkr_start)TKR_START_INIT;
    stage.start.account_count = 1;
    stage.start.account[0].id = ID;
    stage.start.account[0].len = sizeof(ID) - 1;
    stage.usage = (tkr_usage)TKR_USAGE_INIT;
    stage.usage.prompt = PROMPT;
    stage.usage.completion = COMPLETION;
    bench_pin(1);
    if (make_floor() != 0)
        return -1;
    if (tkr_open(&options, &stage.producer) != TKR_OK)
        return bench_wrong("no producer");
    return bench_consumer_open(&stage.consumer, stage.runtime);
}

int main(int argc, char **argv)
{
    bench_begin(argc, argv, "emit");
    if (set_up() == 0) {
        if (bench_wants("hot", true))
            bench_hot();
        if (bench_wants("one by one", false))
            bench_singles();
    }
    bench_consumer_close(&stage.consumer);
    tkr_close(stage.producer);
    tempdir_remove(stage.runtime);
    return bench_end();
}
