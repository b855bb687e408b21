/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a limit costs its caller: a check of accounts that are hot, and of any of a million; a call that reserves against one
 * that does not. What is hot is some accounts in turn, of which the processor cannot foresee which are at home on the board; those
 * whose calls reserve are one that is at home, as two in three are, and, without a bound, those in turn. One thread; against the floor, a frame of a plain call that is copied into a lane and published. Every verdict
 * is looked at, every call is read back, and at the end nothing is reserved.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cycle.h"
#include "collector/board.h"
#include "event/encode.h"
#include "harness/bench.h"
#include "harness/consumer.h"
#include "ring/lane.h"
#include "support/random.h"
#include "support/tempdir.h"
#include "tokenring/tokenring.h"

#define LANE_BYTES (8u << 20)
#define CALLS 40000 /* at once: they fit a lane */
#define ROUNDS 25
#define ACCOUNTS 1000000u
#define HOT 16u /* accounts */
#define PROMPT 812
#define COMPLETION 94
#define LIMIT (INT64_C(1) << 50)

static struct {
    char runtime[TEMPDIR_BYTES];
    tkr_producer *producer;
    struct bench_consumer consumer;
    struct tkr_board board;
    uint32_t accounts;
    uint64_t checked;
    char (*id)[40];
    uint32_t cycle; /* this month's */
    tkr_account hot[HOT];
    uint32_t at_home; /* of them, one that is */
    bool in_turn;
    tkr_start start;
    tkr_usage usage;
    int failed; /* a code, or a verdict that was not expected */
} stage;

static struct {
    alignas(TKR_LINE_SEPARATION) struct tkr_lane lane;
    struct tkr_lane_writer writer;
    unsigned char frame[TKR_FRAME_BYTES_MAX];
    size_t bytes;
    unsigned char *data;
} floor_lane;

static tkr_account account_of(uint32_t i)
{
    return (tkr_account){.id = stage.id[i], .len = (uint32_t)strlen(stage.id[i])};
}

/* --- ways --- */

static void publish(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct tkr_frame_header *frame = tkr_lane_reserve(&floor_lane.writer, floor_lane.bytes);
        if (frame == NULL) {
            stage.failed = TKR_EFULL;
            return;
        }
        memcpy(frame, floor_lane.frame, floor_lane.bytes);
        frame->sequence = floor_lane.writer.sequence + 1;
        tkr_lane_publish(&floor_lane.writer);
    }
    atomic_store_explicit(&floor_lane.lane.free, floor_lane.writer.head, memory_order_release);
}

static void check(uint32_t i)
{
    tkr_account account = account_of(i);
    tkr_limit limit = TKR_LIMIT_INIT;

    stage.failed |= tkr_limit_check(stage.producer, &account, stage.cycle, PROMPT, &limit);
    stage.failed |= limit.verdict != TKR_LIMIT_ALLOWED;
}

static void check_hot(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        check((uint32_t)(i % HOT));
}

static void check_cold(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        check((uint32_t)(stage.checked++ % stage.accounts));
}

static void begin_end(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        tkr_call call = 0;
        stage.start.account[0] = stage.hot[stage.in_turn ? i % HOT : stage.at_home];
        stage.failed |= tkr_call_begin(stage.producer, &stage.start, &call);
        stage.failed |= tkr_call_end(stage.producer, call, &stage.usage);
    }
}

static void reserve_end(uint64_t count)
{
    stage.start.reserve = PROMPT + COMPLETION;
    begin_end(count);
    stage.start.reserve = 0;
}

/* As most calls do: less than they reserve, which is given back at once. */
static void reserve_more_end(uint64_t count)
{
    stage.start.reserve = 4 * (PROMPT + COMPLETION);
    begin_end(count);
    stage.start.reserve = 0;
}

static void reserve_in_turn(uint64_t count)
{
    stage.in_turn = true;
    reserve_end(count);
    stage.in_turn = false;
}

/* Nanoseconds each; calls: as many are read back. Negative: it does not add up. */
static double time_way(void (*way)(uint64_t), bool calls)
{
    uint64_t rounds = bench_work(ROUNDS);
    uint64_t expected = stage.consumer.calls + (calls ? rounds * CALLS : 0);
    int64_t spent_ns = 0;

    for (uint64_t round = 0; round < rounds; round++) {
        int64_t begun_ns = tkr_clock_monotonic_ns();
        way(CALLS);
        spent_ns += tkr_clock_monotonic_ns() - begun_ns;
        if (bench_consumer_drain(&stage.consumer) != 0)
            return -1;
    }
    if (stage.failed != 0)
        return bench_wrong("a call or a verdict was not as expected: %d", stage.failed);
    if (stage.consumer.calls != expected)
        return bench_wrong("calls made %llu, read %llu", (unsigned long long)expected, (unsigned long long)stage.consumer.calls);
    return (double)spent_ns / (double)(rounds * CALLS);
}

/* --- the stage --- */

static int make_floor(void)
{
    size_t head_bytes = tkr_frame_head_bytes(&stage.start);
    struct tkr_frame_values values = {.count = 0};

    tkr_frame_value_add(&values, TKR_COUNTER_PROMPT, PROMPT);
    tkr_frame_value_add(&values, TKR_COUNTER_COMPLETION, COMPLETION);
    tkr_frame_value_add(&values, TKR_COUNTER_TOTAL, PROMPT + COMPLETION);
    tkr_frame_head_put(floor_lane.frame, head_bytes, &stage.start, stage.cycle, 1);
    tkr_frame_finish(floor_lane.frame, head_bytes, &values, 0);
    floor_lane.bytes = tkr_frame_bytes(head_bytes, &values);
    floor_lane.lane.capacity = LANE_BYTES;
    floor_lane.data = mmap(NULL, LANE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (floor_lane.data == MAP_FAILED)
        return bench_wrong("no memory");
    tkr_lane_writer_attach(&floor_lane.writer, &floor_lane.lane, floor_lane.data);
    return 0;
}

static int make_accounts(void)
{
    stage.id = calloc(stage.accounts, sizeof(*stage.id));
    if (stage.id == NULL)
        return bench_wrong("no memory");
    for (uint32_t i = 0; i < stage.accounts; i++)
        (void)snprintf(stage.id[i], sizeof(stage.id[i]), "%08x-1234-4567-89ab-0123456789ab", i * UINT32_C(2654435761));
    return 0;
}

/* How far from home it is; -1: it is not there. */
static int64_t distance_of(const char *id)
{
    struct tkr_board_key key;
    uint32_t number;
    uint64_t seq;

    tkr_board_key(&stage.board, TKR_KIND_USER, id, (uint32_t)strlen(id), stage.cycle, &key);
    if (!tkr_board_find(&stage.board, &key, &number, &seq))
        return -1;
    return (number - tkr_board_place(&stage.board, key.hash, 0)) & (stage.board.places - 1);
}

static void put(const char *id)
{
    struct tkr_board_key key;
    uint32_t number;

    tkr_board_key(&stage.board, TKR_KIND_USER, id, (uint32_t)strlen(id), stage.cycle, &key);
    if (!tkr_board_take(&stage.board, &key, UINT64_MAX, &number))
        stage.failed |= bench_wrong("no room on the board");
    else
        tkr_board_publish(&stage.board, number, LIMIT, 0, tkr_clock_monotonic_ns());
}

/*
 * All accounts, each in an entry at random: a caller has the id that it asks for at hand, so it is the board alone that is cold.
 * In place of any that left for others, the one before is asked for again.
 */
static int fill_board(void)
{
    uint32_t *order = calloc(stage.accounts, sizeof(*order));
    struct test_random random = {1}; /* the same each time */

    if (order == NULL)
        return bench_wrong("no memory");
    for (uint32_t i = 0; i < stage.accounts; i++) {
        uint32_t j = (uint32_t)test_random_below(&random, i + 1); /* Fisher-Yates, from the inside out */
        order[i] = order[j];
        order[j] = i;
    }
    for (uint32_t i = 0; i < stage.accounts; i++)
        put(stage.id[order[i]]);
    free(order);
    if (distance_of(stage.id[0]) < 0)
        put(stage.id[0]);
    for (uint32_t i = 1; i < stage.accounts; i++) {
        if (distance_of(stage.id[i]) < 0)
            memcpy(stage.id[i], stage.id[i - 1], sizeof(stage.id[i]));
    }
    for (uint32_t i = 0; i < HOT; i++) {
        stage.hot[i] = account_of(i);
        stage.at_home = distance_of(stage.id[i]) == 0 ? i : stage.at_home;
    }
    return stage.failed;
}

static int make_board(void)
{
    int directory = open(stage.runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    tkr_message message = {"no directory"};
    int result = directory >= 0 ? tkr_board_make(directory, stage.accounts, &stage.board, &message) : -1;

    if (directory >= 0)
        (void)close(directory);
    return result == 0 ? fill_board() : bench_wrong("%s", message.text);
}

static int set_up(void)
{
    tkr_options options = TKR_OPTIONS_INIT;
    struct tkr_cycle_span month;

    stage.accounts = (uint32_t)bench_work(ACCOUNTS);
    if (tempdir_make(stage.runtime) != 0)
        return bench_wrong("no directory");
    if (make_accounts() != 0)
        return -1;
    options.runtime_dir = stage.runtime;
    options.lane_bytes = LANE_BYTES;
    options.limit_max_age_ms = 86400000;
    tkr_cycle_find(&(struct tkr_cycle_rule){.anchor_day = 1}, tkr_clock_coarse_ns(), &month);
    stage.cycle = month.cycle;
    stage.start = (tkr_start)TKR_START_INIT;
    stage.start.account_count = 1;
    stage.start.account[0] = account_of(0);
    stage.usage = (tkr_usage)TKR_USAGE_INIT;
    stage.usage.prompt = PROMPT;
    stage.usage.completion = COMPLETION;
    bench_pin(1);
    if (make_floor() != 0)
        return -1;
    if (tkr_open(&options, &stage.producer) != TKR_OK)
        return bench_wrong("no producer");
    if (bench_consumer_open(&stage.consumer, stage.runtime) != 0)
        return -1;
    stage.consumer.board = &stage.board;
    return make_board();
}

static void expect_reserved(int64_t tokens)
{
    tkr_account account = account_of(0);
    tkr_limit limit = TKR_LIMIT_INIT;

    if (tkr_limit_check(stage.producer, &account, stage.cycle, 0, &limit) != TKR_OK || limit.reserved != tokens)
        (void)bench_wrong("%lld tokens are reserved, not %lld", (long long)limit.reserved, (long long)tokens);
}

/* A call that reserves does hold, and nothing is held that no call holds. */
static void look_at_reserved(void)
{
    tkr_call call = 0;

    stage.start.account[0] = account_of(0);
    expect_reserved(0);
    stage.start.reserve = PROMPT;
    stage.failed |= tkr_call_begin(stage.producer, &stage.start, &call);
    stage.start.reserve = 0;
    expect_reserved(PROMPT);
    stage.failed |= tkr_call_end(stage.producer, call, &stage.usage);
    expect_reserved(PROMPT); /* until it is counted */
    stage.failed |= bench_consumer_drain(&stage.consumer);
    expect_reserved(0);
}

static void bench_hot(void)
{
    static const struct {
        const char *name;
        void (*way)(uint64_t);
        bool calls;
    } ways[] = {{"floor: publish of a plain call's frame", publish, false},
                {"check, a hot account", check_hot, false},
                {"check, any of 1,000,000 accounts", check_cold, false},
                {"begin + end", begin_end, true},
                {"begin with reserve + end", reserve_end, true},
                {"begin with reserve + end, accounts in turn", reserve_in_turn, true},
                {"begin with reserve + end that used a quarter of it", reserve_more_end, true}};
    enum { WAYS = sizeof(ways) / sizeof(ways[0]) };
    struct bench_series ns[WAYS] = {{.count = 0}};
    struct bench_series ratio;

    for (unsigned i = 0; i < bench_repeats(); i++) {
        for (int way = 0; way < WAYS; way++)
            bench_add(&ns[way], time_way(ways[way].way, ways[way].calls));
    }
    look_at_reserved();
    for (int way = 0; way < WAYS; way++)
        bench_figure(ways[way].name, "time", "ns", &ns[way]);
    ratio = bench_ratio(&ns[1], &ns[0]);
    bench_bound("a check of a hot account against a raw publish", &ratio, BENCH_AT_MOST, 12.0);
    ratio = bench_ratio(&ns[2], &ns[0]);
    bench_bound("a check of any account against a raw publish", &ratio, BENCH_AT_MOST, 100.0);
    ratio = bench_ratio(&ns[4], &ns[3]);
    bench_bound("begin with reserve + end against without", &ratio, BENCH_AT_MOST, 2.5);
}

int main(int argc, char **argv)
{
    bench_begin(argc, argv, "limit");
    if (set_up() == 0 && bench_wants("hot", true))
        bench_hot();
    bench_consumer_close(&stage.consumer);
    tkr_close(stage.producer);
    tkr_board_unmap(&stage.board);
    tempdir_remove(stage.runtime);
    free(stage.id);
    return bench_end();
}
