/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What handlers cost: a detailed token handler's start and end of a call with a prompt of 4 KB, against the same work by hand: the
 * estimate, tkr_call_begin and tkr_call_end. And the estimate alone, by gigabytes a second. Every call is read back.
 */
#include <alloca.h>
#include <string.h>

#include "base/clock.h"
#include "harness/bench.h"
#include "harness/consumer.h"
#include "support/tempdir.h"
#include "tokenring/callback.h"

#define LANE_BYTES (8u << 20)
#define CALLS 20000 /* at once: they fit a lane */
#define ROUNDS 16
#define PROMPT_BYTES 4096
#define PAGE_BYTES 4096
#define TEXT_BYTES (1u << 20)
#define ID "c0ffee00-1234-4567-89ab-0123456789ab" /* 36 bytes */
#define REPORTED 812
#define COMPLETION 94

static struct {
    char runtime[TEMPDIR_BYTES];
    tkr_producer *producer;
    struct bench_consumer consumer;
    tkr_callback *detailed;
    tkr_callback *composite;
    char prompt[PROMPT_BYTES + PAGE_BYTES];
    char text[TEXT_BYTES];
    tkr_chat_message message;
    tkr_response response;
    int failed;
} stage;

static inline void tell(tkr_start *start)
{
    start->account_count = 1;
    start->account[0].id = ID;
    start->account[0].len = sizeof(ID) - 1;
}

/* --- ways of a call --- */

static void by_hand(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        tkr_start start = TKR_START_INIT;
        tkr_usage usage = TKR_USAGE_INIT;
        tkr_call call;
        tell(&start);
        start.prompt_estimate = tkr_estimate_tokens(stage.message.content, PROMPT_BYTES, 4);
        stage.failed |= tkr_call_begin(stage.producer, &start, &call);
        usage.prompt = stage.response.prompt_tokens;
        usage.completion = stage.response.completion_tokens;
        stage.failed |= tkr_call_end(stage.producer, call, &usage);
    }
}

static void by_callback(tkr_callback *callback, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        tkr_callback_context context = TKR_CALLBACK_CONTEXT_INIT;
        tell(&context.start);
        stage.failed |= tkr_on_llm_start(callback, &stage.message, 1, &context);
        stage.failed |= tkr_on_llm_end(callback, &stage.response, &context);
    }
}

static void by_handler(uint64_t count)
{
    by_callback(stage.detailed, count);
}

static void by_composite(uint64_t count)
{
    by_callback(stage.composite, count);
}

/*
 * A processor takes a load for one that waits for an earlier store when both are at the same place of their pages, which costs either
 * way up to a third. Which ones are is chance: so each round has its stack and the prompt at other places of theirs.
 */
static __attribute__((noinline)) void make_calls(void (*way)(uint64_t), uint64_t round)
{
    volatile char *room = alloca(1 + 272 * round % PAGE_BYTES);

    room[0] = 0;
    stage.message.content = stage.prompt + 1040 * round % PAGE_BYTES;
    way(CALLS);
}

/* Nanoseconds per call: rounds that fit the lane, read back between them. Negative: it does not add up. */
static double time_calls(void (*way)(uint64_t))
{
    uint64_t rounds = bench_work(ROUNDS);
    uint64_t calls = stage.consumer.calls + rounds * CALLS;
    uint64_t tokens = stage.consumer.tokens + rounds * CALLS * (REPORTED + COMPLETION);
    int64_t spent_ns = 0;

    for (uint64_t round = 0; round < rounds; round++) {
        int64_t begun_ns = tkr_clock_monotonic_ns();
        make_calls(way, round);
        spent_ns += tkr_clock_monotonic_ns() - begun_ns;
        if (bench_consumer_drain(&stage.consumer) != 0)
            return -1;
    }
    if (stage.failed != 0)
        return bench_wrong("a call was not accepted: %d", stage.failed);
    if (stage.consumer.calls != calls || stage.consumer.tokens != tokens)
        return bench_wrong("calls made %llu, read %llu", (unsigned long long)calls, (unsigned long long)stage.consumer.calls);
    return (double)spent_ns / (double)(rounds * CALLS);
}

/* --- cases --- */

static void bench_handlers(void)
{
    static const struct {
        const char *name;
        void (*way)(uint64_t);
    } ways[] = {{"by hand: estimate, begin, end", by_hand},
                {"detailed handler, prompt of 4 KB", by_handler},
                {"composite of detailed and performance, prompt of 4 KB", by_composite}};
    enum { WAYS = sizeof(ways) / sizeof(ways[0]) };
    struct bench_series ns[WAYS] = {{.count = 0}};
    struct bench_series ratio;

    for (unsigned i = 0; i < bench_repeats(); i++) {
        for (int way = 0; way < WAYS; way++)
            bench_add(&ns[way], time_calls(ways[way].way));
    }
    for (int way = 0; way < WAYS; way++)
        bench_figure(ways[way].name, "time", "ns", &ns[way]);
    ratio = bench_ratio(&ns[1], &ns[0]);
    bench_bound("detailed handler's start and end against the same by hand, prompt of 4 KB", &ratio, BENCH_AT_MOST, 1.4);
}

static void bench_estimate(void)
{
    struct bench_series rate = {.count = 0};
    uint64_t times = bench_work(200);

    for (unsigned i = 0; i < bench_repeats(); i++) {
        int64_t begun_ns = tkr_clock_monotonic_ns();
        int64_t tokens = 0;
        for (uint64_t n = 0; n < times; n++)
            tokens += tkr_estimate_tokens(stage.text, sizeof(stage.text), 4);
        if (tokens != (int64_t)(times * sizeof(stage.text) / 4)) {
            (void)bench_wrong("the estimate is %lld", (long long)tokens);
            return;
        }
        bench_add(&rate, (double)(times * sizeof(stage.text)) / (double)(tkr_clock_monotonic_ns() - begun_ns));
    }
    bench_bound("estimate of ASCII, GB/s", &rate, BENCH_AT_LEAST, 2.0);
}

static int make_handlers(void)
{
    tkr_callback_options options = TKR_CALLBACK_OPTIONS_INIT;
    tkr_callback *performance;

    options.producer = stage.producer;
    options.characters_per_token = 4;
    if (tkr_detailed_token_callback(&options, &stage.detailed) != TKR_OK || tkr_composite_callback(&stage.composite) != TKR_OK ||
        tkr_performance_callback(NULL, &performance) != TKR_OK ||
        tkr_composite_add(stage.composite, stage.detailed, TKR_CALLBACK_BORROW) != TKR_OK ||
        tkr_composite_add(stage.composite, performance, TKR_CALLBACK_OWN) != TKR_OK)
        return bench_wrong("no handlers");
    return 0;
}

static int set_up(void)
{
    tkr_options options = TKR_OPTIONS_INIT;

    if (tempdir_make(stage.runtime) != 0)
        return bench_wrong("no directory");
    options.runtime_dir = stage.runtime;
    options.lane_bytes = LANE_BYTES;
    memset(stage.prompt, 'a', sizeof(stage.prompt));
    memset(stage.text, 'a', sizeof(stage.text));
    stage.message = (tkr_chat_message){.role = "user", .role_len = 4, .content_len = PROMPT_BYTES};
    stage.response = (tkr_response)TKR_RESPONSE_INIT;
    stage.response.prompt_tokens = REPORTED;
    stage.response.completion_tokens = COMPLETION;
    bench_pin(1);
    if (tkr_open(&options, &stage.producer) != TKR_OK)
        return bench_wrong("no producer");
    return make_handlers() == 0 ? bench_consumer_open(&stage.consumer, stage.runtime) : -1;
}

int main(int argc, char **argv)
{
    bench_begin(argc, argv, "callback");
    if (set_up() == 0) {
        if (bench_wants("handlers", true))
            bench_handlers();
        if (bench_wants("estimate", true))
            bench_estimate();
    }
    bench_consumer_close(&stage.consumer);
    tkr_callback_release(stage.composite);
    tkr_callback_release(stage.detailed);
    tkr_close(stage.producer);
    tempdir_remove(stage.runtime);
    return bench_end();
}
