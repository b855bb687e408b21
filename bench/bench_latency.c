/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long after record() a call is seen: by a reader of the collector's table, as `tokenring usage` reads it, and in Redis, in the
 * user's hash. The collector is idle before each call, for so long as lets it come to rest, and a random while more. Each call is
 * waited for by looking again and again, and is timed singly.
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "harness/bench.h"
#include "harness/host.h"
#include "harness/latency.h"
#include "tokenring/tokenring.h"
#include "traffic/random.h"

#define REST_NS (15 * TKR_NS_PER_MS) /* the collector's pauses have grown to their largest by then */
#define REST_MORE_NS (8 * TKR_NS_PER_MS)
#define LOST_NS (30 * TKR_NS_PER_S)
#define PROMPT 812
#define COMPLETION 94
#define TOKENS (PROMPT + COMPLETION)
#define CYCLE 20261101u
#define ID "c0ffee00-1234-4567-89ab-0123456789ab" /* 36 bytes */

struct setting {
    const char *name;
    uint64_t calls; /* of each repeat */
    enum tkr_sink_kind sink;
    uint32_t flush_ms;
    int64_t (*seen_tokens)(void);
};

static struct {
    struct bench_host host;
    tkr_producer *producer;
    redisContext *redis;
    struct tkr_traffic_random random;
    int64_t tokens; /* recorded */
} stage;

static int64_t seen_by_reader(void)
{
    return bench_host_counted(&stage.host);
}

static int64_t seen_in_redis(void)
{
    redisReply *reply = redisCommand(stage.redis, "HGET token_usage:" ID ":2026-11-01 total_tokens");
    int64_t tokens = reply != NULL && reply->type == REDIS_REPLY_STRING ? strtoll(reply->str, NULL, 10) : 0;

    freeReplyObject(reply);
    return tokens;
}

static int record(void)
{
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;
    int result;

    start.cycle = CYCLE;
    start.account_count = 1;
    start.account[0].id = ID;
    start.account[0].len = sizeof(ID) - 1;
    usage.prompt = PROMPT;
    usage.completion = COMPLETION;
    result = tkr_record(stage.producer, &start, &usage);
    if (result != TKR_OK)
        return bench_wrong("a call was not accepted: %s", tkr_strerror(result));
    stage.tokens += TOKENS;
    return 0;
}

static void rest(uint64_t more_ns)
{
    struct timespec pause = {.tv_nsec = REST_NS + (int64_t)tkr_traffic_random_below(&stage.random, more_ns)};

    (void)nanosleep(&pause, NULL);
}

/* Nanoseconds until the call was seen; -1 after bench_wrong. */
static int64_t time_call(int64_t (*seen_tokens)(void))
{
    int64_t begun_ns = tkr_clock_monotonic_ns();
    int64_t now_ns;
    int64_t seen;

    if (record() != 0)
        return -1;
    do {
        seen = seen_tokens();
        now_ns = tkr_clock_monotonic_ns();
    } while (seen < stage.tokens && now_ns - begun_ns < LOST_NS);
    if (seen != stage.tokens)
        return bench_wrong("tokens recorded %lld, seen %lld", (long long)stage.tokens, (long long)seen);
    return now_ns - begun_ns;
}

static int run_repeat(const struct setting *setting, struct bench_series *p50, struct bench_series *p99)
{
    struct bench_latency latency = {.count = 0};
    uint64_t rest_more_ns = REST_MORE_NS;
    uint64_t calls = bench_work(setting->calls);

    if (setting->sink == TKR_SINK_REDIS) /* so that calls come at any time between two flushes */
        rest_more_ns = (setting->flush_ms != 0 ? setting->flush_ms : 900) * TKR_NS_PER_MS;
    for (uint64_t i = 0; i < calls; i++) {
        int64_t ns;
        rest(rest_more_ns);
        ns = time_call(setting->seen_tokens);
        if (ns < 0)
            return -1;
        bench_latency_add(&latency, ns);
    }
    bench_add(p50, (double)bench_latency_percentile(&latency, 50) / 1e6);
    bench_add(p99, (double)bench_latency_percentile(&latency, 99) / 1e6);
    return 0;
}

static int set_up(const struct setting *setting)
{
    struct bench_host_options host = {.sink = setting->sink, .workers = 1, .flush_ms = setting->flush_ms};
    tkr_options options = TKR_OPTIONS_INIT;

    stage.tokens = 0;
    stage.random = tkr_traffic_random_for(1, 0);
    bench_pin(1);
    if (bench_host_start(&stage.host, &host) != 0)
        return -1;
    bench_pin(0);
    if (setting->sink == TKR_SINK_REDIS && (stage.redis = redis_server_context(&stage.host.server)) == NULL)
        return bench_wrong("no connection to Redis");
    options.runtime_dir = stage.host.runtime;
    if (tkr_open(&options, &stage.producer) != TKR_OK)
        return bench_wrong("no producer");
    return time_call(setting->seen_tokens) < 0 ? -1 : 0; /* the region is found, the account is made */
}

static void tear_down(void)
{
    if (stage.producer != NULL)
        tkr_close(stage.producer);
    if (stage.redis != NULL)
        redisFree(stage.redis);
    stage.producer = NULL;
    stage.redis = NULL;
    bench_host_remove(&stage.host);
}

static void run_setting(const struct setting *setting, bool bound)
{
    struct bench_series p50 = {.count = 0};
    struct bench_series p99 = {.count = 0};
    int result = set_up(setting);

    for (unsigned i = 0; result == 0 && i < bench_repeats(); i++)
        result = run_repeat(setting, &p50, &p99);
    if (result == 0) {
        bench_figure(setting->name, "p50", "ms", &p50);
        bench_figure(setting->name, "p99", "ms", &p99);
        if (bound) {
            bench_bound("seen by a reader after record(), collector idle before: p50 in ms", &p50, BENCH_AT_MOST, 5);
            bench_bound("seen by a reader after record(), collector idle before: p99 in ms", &p99, BENCH_AT_MOST, 12);
        }
    }
    tear_down();
}

int main(int argc, char **argv)
{
    static const struct setting settings[] = {
        {"seen by a reader", 200, TKR_SINK_NULL, 0, seen_by_reader},
        {"in Redis, flushed every 10 ms", 100, TKR_SINK_REDIS, 10, seen_in_redis},
        {"in Redis, flushed every second", 5, TKR_SINK_REDIS, 0, seen_in_redis},
    };

    bench_begin(argc, argv, "latency");
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (!bench_wants(settings[i].name, i == 0))
            continue;
        if (settings[i].sink == TKR_SINK_REDIS && !bench_host_has_redis())
            bench_skipped(settings[i].name, "redis-server is not installed (package redis-server)");
        else
            run_setting(&settings[i], i == 0);
    }
    return bench_end();
}
