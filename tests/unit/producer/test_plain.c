/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commonest calls have a way of their own (producer/plain.h). Whatever a caller tells, it must do what the way of all calls does:
 * each call is made twice, in two processes' regions, once as it is and once in structures of a later version, which take the
 * long way. Answers, frames, counters and refusals must be the same.
 */
#include "support/random.h"
#include "unit/producer/fixture.h"

#define CALLS 20000
#define LOOK_EVERY 100
#define START_NS INT64_C(1706800000000000000)

struct way {
    char directory[TEMPDIR_BYTES];
    tkr_producer *producer;
    bool later; /* structures of a later version */
};

static struct way ways[2];

static int open_ways(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        tkr_options options = TKR_OPTIONS_INIT;
        if (tempdir_make(ways[i].directory) != 0)
            return -1;
        options.runtime_dir = ways[i].directory;
        options.lane_bytes = 16384;    /* wraps often */
        options.max_open_calls = 4096; /* so many that threads keep slots */
        ways[i].later = i == 1;
        if (tkr_open(&options, &ways[i].producer) != TKR_OK)
            return -1;
    }
    return 0;
}

static int close_ways(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        tkr_close(ways[i].producer);
        tempdir_remove(ways[i].directory);
    }
    return 0;
}

/* --- calls --- */

static struct test_random numbers;

static bool one_in(uint64_t n)
{
    return test_random_below(&numbers, n) == 0;
}

/* A figure on one side or the other of what is plain. */
static int64_t figure(void)
{
    static const int64_t edges[] = {-2,
                                    -1,
                                    0,
                                    1,
                                    (INT64_C(1) << 31) - 1,
                                    INT64_C(1) << 31,
                                    (INT64_C(1) << 31) + 1,
                                    UINT32_MAX,
                                    TKR_TOKENS_MAX,
                                    TKR_TOKENS_MAX + 1,
                                    INT64_MIN,
                                    INT64_MAX};

    return one_in(6) ? edges[test_random_below(&numbers, sizeof(edges) / sizeof(edges[0]))]
                     : 1 + (int64_t)test_random_below(&numbers, 100000);
}

static void make_id(char id[TKR_ID_BYTES_MAX + 2], tkr_account *ret_account)
{
    uint32_t len = one_in(50) ? (uint32_t)test_random_below(&numbers, 258) : 1 + (uint32_t)test_random_below(&numbers, 50);

    for (uint32_t i = 0; i < len && i < TKR_ID_BYTES_MAX + 2; i++)
        id[i] = (char)(0x80 + test_random_below(&numbers, 0x80));
    if (one_in(20) && len > 0 && len <= TKR_ID_BYTES_MAX)
        id[test_random_below(&numbers, len)] = (char)test_random_below(&numbers, 0x81);
    ret_account->id = one_in(200) ? NULL : id;
    ret_account->len = len;
    ret_account->kind = one_in(20) ? test_random_next(&numbers) >> test_random_below(&numbers, 64) : TKR_KIND_USER;
}

static void make_start(char id[TKR_ID_BYTES_MAX + 2], tkr_start *start)
{
    static const int64_t times[] = {-1, INT64_MIN, INT64_MAX, INT64_C(9214646399999999999), INT64_C(9214646400000000000), 1};

    *start = (tkr_start)TKR_START_INIT;
    start->account_count = one_in(50) ? (uint32_t)test_random_below(&numbers, 6) : 1;
    make_id(id, &start->account[0]);
    start->start_ns = START_NS + (int64_t)test_random_below(&numbers, 100) * 86400 * 1000000000; /* months pass */
    if (one_in(30))
        start->start_ns = times[test_random_below(&numbers, sizeof(times) / sizeof(times[0]))];
    if (one_in(30))
        start->cycle = one_in(2) ? CYCLE : 20240230;
    if (one_in(30)) {
        start->model = "gpt-4o";
        start->model_len = (uint32_t)test_random_below(&numbers, 7);
    }
    if (one_in(30)) {
        start->provider = "openai";
        start->provider_len = (uint32_t)test_random_below(&numbers, 7);
    }
    if (one_in(30))
        start->call_id[test_random_below(&numbers, 16)] = 1;
    if (one_in(30))
        start->attempt = 1;
    if (one_in(10))
        start->prompt_estimate = figure();
    if (one_in(10))
        start->reserve = figure();
}

static void make_usage(tkr_usage *usage)
{
    int64_t *more[] = {&usage->total,     &usage->cached,        &usage->cache_write,
                       &usage->reasoning, &usage->cost_nano_usd, &usage->first_token_ns};

    *usage = (tkr_usage)TKR_USAGE_INIT;
    usage->prompt = figure();
    usage->completion = figure();
    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
        if (one_in(40))
            *more[i] = figure();
    }
    if (one_in(40))
        usage->estimated = (uint32_t)test_random_below(&numbers, 10);
    if (one_in(40))
        usage->error = (int32_t)test_random_below(&numbers, 300) - 10;
    /* Told: the two ways look at the clock at different times. */
    usage->end_ns = START_NS + (int64_t)test_random_below(&numbers, 10000) * 1000000000000;
}

/* --- made by both ways --- */

struct later {
    union {
        tkr_start start;
        tkr_usage usage;
    } of;
    uint64_t news[2];
};

static const void *in_later(struct later *memory, const void *bytes, size_t size)
{
    uint32_t later_size = (uint32_t)size + sizeof(uint64_t);

    memset(memory, 0, sizeof(*memory));
    memcpy(memory, bytes, size);
    memcpy(memory, &later_size, sizeof(later_size));
    return memory;
}

/* Recorded in one shot, or begun, told of and ended; the answers together. */
static int make_call(const struct way *way, const tkr_start *start, const tkr_usage *usage, bool one_shot, bool twice)
{
    struct later start_memory;
    struct later usage_memory;
    tkr_call call = 0;
    int result;

    if (way->later) {
        start = in_later(&start_memory, start, sizeof(*start));
        usage = in_later(&usage_memory, usage, sizeof(*usage));
    }
    if (one_shot)
        return tkr_record(way->producer, start, usage);
    result = tkr_call_begin(way->producer, start, &call);
    if (result != TKR_OK)
        return result;
    (void)tkr_call_progress(way->producer, call, 7);
    result = tkr_call_end(way->producer, call, usage);
    return twice ? 100 * result + tkr_call_end(way->producer, call, usage) : result;
}

static void check_same(uint64_t calls)
{
    struct drained found[2];

    for (int i = 0; i < 2; i++)
        assert_true(drain_directory(ways[i].directory, true, &found[i]));
    if (memcmp(&found[0], &found[1], sizeof(found[0])) != 0)
        fail_msg("by call %llu the two ways differ: %llu and %llu frames, %lld and %lld tokens", (unsigned long long)calls,
                 (unsigned long long)found[0].frames, (unsigned long long)found[1].frames,
                 (long long)found[0].counts.value[TKR_COUNTER_TOTAL], (long long)found[1].counts.value[TKR_COUNTER_TOTAL]);
}

static void test_plain_way_does_what_the_way_of_all_calls_does(void **state)
{
    uint64_t count = fixture_under_memcheck() ? CALLS / 20 : CALLS;

    (void)state;
    numbers = test_random_start();
    for (uint64_t i = 0; i < count; i++) {
        char id[TKR_ID_BYTES_MAX + 2];
        tkr_start start;
        tkr_usage usage;
        bool one_shot = one_in(2);
        bool twice = one_in(10);
        int result[2];

        make_start(id, &start);
        make_usage(&usage);
        if (start.account_count > 1 && start.account_count <= TKR_ACCOUNTS_MAX)
            start.account[1] = (tkr_account){.id = "team", .len = 4, .kind = TKR_KIND_TEAM};
        for (int way = 0; way < 2; way++)
            result[way] = make_call(&ways[way], &start, &usage, one_shot, twice);
        if (result[0] != result[1])
            fail_msg("call %llu: %d and %d", (unsigned long long)i, result[0], result[1]);
        if (i % LOOK_EVERY == LOOK_EVERY - 1)
            check_same(i);
    }
    check_same(count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_plain_way_does_what_the_way_of_all_calls_does, open_ways, close_ways),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
