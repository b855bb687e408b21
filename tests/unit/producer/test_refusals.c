/* SPDX-License-Identifier: Apache-2.0 */
/* Every refusal has its code, is counted once under it, and changes nothing else; all that is accepted can be read. */
#include <sys/wait.h>

#include "support/random.h"
#include "unit/producer/fixture.h"

#define TIME_END_NS INT64_C(9214646400000000000)

static tkr_producer *producer;
static tkr_start start;
static tkr_usage usage;

static int setup(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    producer = fixture_open_small();
    return 0;
}

static int teardown(void **state)
{
    tkr_close(producer);
    return fixture_teardown(state);
}

static void good(void)
{
    start = start_for("alice");
    usage = (tkr_usage)TKR_USAGE_INIT;
    usage.prompt = 5;
    usage.completion = 6;
}

static struct drained look(void)
{
    struct drained found;

    assert_true(drain_directory(fixture_dir, false, &found));
    return found;
}

/* One more refusal of this code, and nothing else is different. */
static void check_only_refused(const struct drained *before, int code, unsigned times, const char *what)
{
    struct drained after = look();

    for (int i = 0; i < TKR_REFUSED_MAX; i++) {
        uint64_t expected = before->refused[i] + (i == -code ? times : 0);
        if (after.refused[i] != expected)
            fail_msg("%s: refusals of code -%d: %u, not %u", what, i, (unsigned)after.refused[i], (unsigned)expected);
        after.refused[i] = before->refused[i];
    }
    if (memcmp(&after, before, sizeof(after)) != 0)
        fail_msg("%s: something else has changed", what);
}

#define REFUSED(code, expression)                                                                                      \
    do {                                                                                                               \
        struct drained before = look();                                                                                \
        int result = (expression);                                                                                     \
        if (result != (code))                                                                                          \
            fail_msg("%s: %d, not %d", #expression, result, (int)(code));                                              \
        check_only_refused(&before, (code), 1, #expression);                                                           \
    } while (0)

/* A start with one thing wrong, in each function that takes one. */
#define BAD_START(code, change)                                                                                        \
    do {                                                                                                               \
        tkr_call call = 77;                                                                                            \
        good();                                                                                                        \
        change;                                                                                                        \
        REFUSED(code, tkr_record(producer, &start, &usage));                                                           \
        REFUSED(code, tkr_call_begin(producer, &start, &call));                                                        \
        assert_true(call == 77);                                                                                       \
        REFUSED(code, tkr_record_many(producer, &start, &usage, 1, NULL));                                             \
    } while (0)

/* A usage with one thing wrong, for a record and for the end of a call, which then is still open. */
#define BAD_USAGE(code, change)                                                                                        \
    do {                                                                                                               \
        tkr_call call = 0;                                                                                             \
        good();                                                                                                        \
        assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);                                             \
        change;                                                                                                        \
        REFUSED(code, tkr_record(producer, &start, &usage));                                                           \
        REFUSED(code, tkr_call_end(producer, call, &usage));                                                           \
        good();                                                                                                        \
        assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);                                                \
    } while (0)

static void test_refused_null_arguments(void **state)
{
    tkr_call call = 77;
    uint32_t recorded = 99;

    (void)state;
    good();
    REFUSED(TKR_EINVAL, tkr_record(producer, NULL, &usage));
    REFUSED(TKR_EINVAL, tkr_record(producer, &start, NULL));
    REFUSED(TKR_EINVAL, tkr_call_begin(producer, NULL, &call));
    REFUSED(TKR_EINVAL, tkr_call_begin(producer, &start, NULL));
    assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
    REFUSED(TKR_EINVAL, tkr_call_end(producer, call, NULL));
    assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
    REFUSED(TKR_EINVAL, tkr_record_many(producer, NULL, &usage, 3, &recorded));
    assert_int_equal(recorded, 0);
    REFUSED(TKR_EINVAL, tkr_record_many(producer, &start, NULL, 3, NULL));
    REFUSED(TKR_EINVAL, tkr_stat_read(producer, NULL));
}

static void test_refused_null_producer_is_no_crash(void **state)
{
    tkr_stat stat = TKR_STAT_INIT;
    tkr_call call = 77;
    uint32_t recorded = 99;
    struct drained before = look();

    (void)state;
    good();
    assert_int_equal(tkr_record(NULL, &start, &usage), TKR_EINVAL);
    assert_int_equal(tkr_record_many(NULL, &start, &usage, 1, &recorded), TKR_EINVAL);
    assert_int_equal(tkr_call_begin(NULL, &start, &call), TKR_EINVAL);
    assert_int_equal(tkr_call_progress(NULL, 1, 1), TKR_EINVAL);
    assert_int_equal(tkr_call_end(NULL, 1, &usage), TKR_EINVAL);
    assert_int_equal(tkr_sync(NULL, 0), TKR_EINVAL);
    assert_int_equal(tkr_stat_read(NULL, &stat), TKR_EINVAL);
    tkr_close(NULL);
    check_only_refused(&before, 0, 0, "NULL producer");
}

static void test_refused_accounts(void **state)
{
    static char long_id[256];

    (void)state;
    memset(long_id, 'x', sizeof(long_id));
    BAD_START(TKR_EACCOUNT, start.account_count = 0);
    BAD_START(TKR_EACCOUNT, start.account_count = 5);
    BAD_START(TKR_EACCOUNT, start.account_count = UINT32_MAX);
    BAD_START(TKR_EACCOUNT, start.account[0].id = NULL);
    BAD_START(TKR_EACCOUNT, start.account[0].len = 0);
    BAD_START(TKR_EACCOUNT, start.account_count = 2); /* the second is not there */
    BAD_START(TKR_EACCOUNT, (start.account[0].id = long_id, start.account[0].len = 256));
    BAD_START(TKR_EACCOUNT, (start.account[0].id = long_id, start.account[0].len = UINT32_MAX));
    BAD_START(TKR_EACCOUNT, (start.account[0].id = "a\0b", start.account[0].len = 3));
    BAD_START(TKR_EACCOUNT, start.account[0].id = "ali\ne");
    BAD_START(TKR_EACCOUNT, start.account[0].id = "\x1flice");
    BAD_START(TKR_EACCOUNT, start.account[0].id = "alic\x7f");
    BAD_START(TKR_EACCOUNT, (start.account_count = 2, start.account[1] = start.account[0])); /* charged twice */
    BAD_START(TKR_EACCOUNT,
              (start.account_count = 4, start.account[1] = (tkr_account){.id = "b", .len = 1},
               start.account[2] = (tkr_account){.id = "c", .len = 1}, start.account[3] = start.account[0]));
    good();
    start.account[0].id = long_id;
    start.account[0].len = 255;
    assert_int_equal(tkr_record(producer, &start, &usage), TKR_OK);
    good();
    start.account_count = 2; /* the same id of another kind is another account */
    start.account[1] = (tkr_account){.kind = TKR_KIND_TEAM, .id = "alice", .len = 5};
    assert_int_equal(tkr_record(producer, &start, &usage), TKR_OK);
    assert_int_equal(look().frames, 2);
}

static void test_refused_kinds(void **state)
{
    (void)state;
    BAD_START(TKR_EKIND, start.account[0].kind = UINT64_MAX);
    BAD_START(TKR_EKIND, start.account[0].kind = 27);
    BAD_START(TKR_EKIND, start.account[0].kind = UINT64_C(1) << 63);
    BAD_START(TKR_EKIND, start.account[0].kind = 21 | 19 << 5 | 5 << 10 | 18 << 15); /* "user" in letters */
}

static void test_refused_texts(void **state)
{
    static char long_text[256];

    (void)state;
    memset(long_text, 'm', sizeof(long_text));
    BAD_START(TKR_ETEXT, (start.model = long_text, start.model_len = 256));
    BAD_START(TKR_ETEXT, (start.model = NULL, start.model_len = 1));
    BAD_START(TKR_ETEXT, (start.model = "a\nb", start.model_len = 3));
    BAD_START(TKR_ETEXT, (start.provider = long_text, start.provider_len = 64));
    BAD_START(TKR_ETEXT, (start.provider = NULL, start.provider_len = 1));
    BAD_START(TKR_ETEXT, (start.provider = "\x7f", start.provider_len = 1));
    BAD_START(TKR_ETEXT, (start.provider = long_text, start.provider_len = UINT32_MAX));
    good();
    start.model = start.provider = long_text;
    start.model_len = 255;
    start.provider_len = 63;
    assert_int_equal(tkr_record(producer, &start, &usage), TKR_OK);
    assert_int_equal(look().frames, 1);
}

static void test_refused_cycles_and_numbers_of_a_start(void **state)
{
    (void)state;
    BAD_START(TKR_ECYCLE, start.cycle = 20240230);
    BAD_START(TKR_ECYCLE, start.cycle = 1);
    BAD_START(TKR_ECYCLE, start.cycle = 19691231);
    BAD_START(TKR_ECYCLE, start.cycle = 22620101);
    BAD_START(TKR_ECYCLE, start.cycle = UINT32_MAX);
    BAD_START(TKR_ERANGE, start.start_ns = -1);
    BAD_START(TKR_ERANGE, start.start_ns = INT64_MIN);
    BAD_START(TKR_ERANGE, start.start_ns = TIME_END_NS);
    BAD_START(TKR_ERANGE, start.start_ns = INT64_MAX);
    BAD_START(TKR_ERANGE, start.prompt_estimate = -2);
    BAD_START(TKR_ERANGE, start.prompt_estimate = TKR_TOKENS_MAX + 1);
    BAD_START(TKR_ERANGE, start.reserve = -2);
    BAD_START(TKR_ERANGE, start.reserve = INT64_MAX);
}

static void test_refused_numbers_of_a_usage(void **state)
{
    (void)state;
#define BAD_TOKENS(field)                                                                                              \
    BAD_USAGE(TKR_ERANGE, usage.field = -2);                                                                           \
    BAD_USAGE(TKR_ERANGE, usage.field = INT64_MIN);                                                                    \
    BAD_USAGE(TKR_ERANGE, usage.field = TKR_TOKENS_MAX + 1);                                                           \
    BAD_USAGE(TKR_ERANGE, usage.field = INT64_MAX)
    BAD_TOKENS(prompt);
    BAD_TOKENS(completion);
    BAD_TOKENS(total);
    BAD_TOKENS(cached);
    BAD_TOKENS(cache_write);
    BAD_TOKENS(reasoning);
#undef BAD_TOKENS
    BAD_USAGE(TKR_ERANGE, usage.cost_nano_usd = -2);
    BAD_USAGE(TKR_ERANGE, usage.cost_nano_usd = TKR_COST_MAX + 1);
    BAD_USAGE(TKR_ERANGE, usage.first_token_ns = -2);
    BAD_USAGE(TKR_ERANGE, usage.first_token_ns = TIME_END_NS);
    BAD_USAGE(TKR_ERANGE, usage.end_ns = -2);
    BAD_USAGE(TKR_ERANGE, usage.end_ns = INT64_MAX);
    BAD_USAGE(TKR_ERANGE, usage.error = -1);
    BAD_USAGE(TKR_ERANGE, usage.error = 256);
    BAD_USAGE(TKR_ERANGE, usage.estimated = 8);
    BAD_USAGE(TKR_ERANGE, usage.estimated = UINT32_MAX);
}

/* A total that is not told is prompt + completion, and a total too. */
static void test_refused_sum_beyond_what_one_call_can_use(void **state)
{
    (void)state;
    BAD_USAGE(TKR_ERANGE, (usage.prompt = TKR_TOKENS_MAX, usage.completion = TKR_TOKENS_MAX));
    BAD_USAGE(TKR_ERANGE, (usage.prompt = TKR_TOKENS_MAX, usage.completion = 1));
    good();
    usage.prompt = usage.completion = usage.total = TKR_TOKENS_MAX; /* told, it is taken as told */
    assert_int_equal(tkr_record(producer, &start, &usage), TKR_OK);
    (void)look();
}

static void test_accepted_largest_figures_are_read_back(void **state)
{
    struct drained found;

    (void)state;
    good();
    usage.prompt = usage.cached = usage.cache_write = TKR_TOKENS_MAX;
    usage.completion = TKR_ABSENT;
    usage.reasoning = TKR_TOKENS_MAX;
    usage.cost_nano_usd = TKR_COST_MAX;
    usage.estimated = 7;
    usage.error = 255;
    start.start_ns = 1;
    usage.first_token_ns = usage.end_ns = TIME_END_NS - 1;
    assert_int_equal(tkr_record(producer, &start, &usage), TKR_OK);
    found = look();
    assert_int_equal(found.frames, 1);
    assert_true(found.counts.value[TKR_COUNTER_PROMPT] == TKR_TOKENS_MAX);
    assert_true(found.counts.value[TKR_COUNTER_COMPLETION] == 0);
    assert_true(found.counts.value[TKR_COUNTER_TOTAL] == TKR_TOKENS_MAX);
    assert_true(found.counts.value[TKR_COUNTER_CACHED] == TKR_TOKENS_MAX);
    assert_true(found.counts.value[TKR_COUNTER_CACHE_WRITE] == TKR_TOKENS_MAX);
    assert_true(found.counts.value[TKR_COUNTER_REASONING] == TKR_TOKENS_MAX);
    assert_true(found.counts.value[TKR_COUNTER_ESTIMATED] == TKR_TOKENS_MAX);
    assert_true(found.counts.value[TKR_COUNTER_COST] == TKR_COST_MAX);
    assert_true(found.counts.value[TKR_COUNTER_DURATION] == TIME_END_NS / 1000000);
    assert_int_equal(found.counts.value[TKR_COUNTER_ERRORS], 1);
}

static void test_accepted_estimates_are_a_part_of_the_total(void **state)
{
    static const struct {
        int64_t prompt, completion, total;
        uint32_t flags;
        int64_t estimated, sum;
    } cases[] = {
        {10, 20, -1, 0, 0, 30},   {10, 20, -1, 1, 10, 30}, {10, 20, -1, 2, 20, 30}, {10, 20, -1, 3, 30, 30},
        {10, 20, -1, 4, 30, 30},  {10, 20, 50, 4, 50, 50}, {10, 20, 50, 3, 30, 50}, {10, 20, 5, 3, 5, 5},
        {-1, -1, -1, 7, 0, 0},    {-1, 20, -1, 3, 20, 20}, {0, 0, 0, 7, 0, 0},      {-1, -1, 9, 3, 0, 9},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct drained found;
        good();
        usage.prompt = cases[i].prompt;
        usage.completion = cases[i].completion;
        usage.total = cases[i].total;
        usage.estimated = cases[i].flags;
        assert_int_equal(tkr_record(producer, &start, &usage), TKR_OK);
        assert_true(drain_directory(fixture_dir, true, &found));
        assert_int_equal(found.frames, 1);
        assert_int_equal(found.counts.value[TKR_COUNTER_ESTIMATED], cases[i].estimated);
        assert_int_equal(found.counts.value[TKR_COUNTER_TOTAL], cases[i].sum);
    }
}

/* Times of a call that go backwards, as clocks do, give no duration. */
static void test_accepted_end_before_start_lasts_nothing(void **state)
{
    struct drained found;

    (void)state;
    good();
    start.start_ns = 2000000000;
    usage.first_token_ns = usage.end_ns = 1000000000;
    assert_int_equal(tkr_record(producer, &start, &usage), TKR_OK);
    usage.end_ns = 5000000000;
    assert_int_equal(tkr_record(producer, &start, &usage), TKR_OK);
    found = look();
    assert_int_equal(found.counts.value[TKR_COUNTER_DURATION], 3000);
}

static int64_t random_figure(struct test_random *random, int64_t max)
{
    switch (test_random_below(random, 5)) {
    case 0:
        return TKR_ABSENT;
    case 1:
        return 0;
    case 2:
        return max;
    default:
        return (int64_t)test_random_below(random, (uint64_t)max + 1);
    }
}

/* Whatever is accepted can be decoded: a frame that the collector refuses would cost the whole region. */
static void test_accepted_random_calls_can_all_be_read(void **state)
{
    struct test_random random = test_random_start();
    char ids[TKR_ACCOUNTS_MAX][TKR_ID_BYTES_MAX];
    uint64_t accepted = 0;
    uint64_t found_frames = 0;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        int result;
        good();
        start.account_count = 1 + (uint32_t)test_random_below(&random, 4);
        for (uint32_t j = 0; j < start.account_count; j++) {
            memset(ids[j], 'a' + (int)j, sizeof(ids[j]));
            start.account[j] = (tkr_account){.id = ids[j], .len = 1 + (uint32_t)test_random_below(&random, 255),
                                             .kind = j % 2 ? TKR_KIND_TEAM : TKR_KIND_USER};
        }
        start.model = ids[0];
        start.model_len = (uint32_t)test_random_below(&random, start.account[0].len + 1);
        start.attempt = (uint32_t)test_random_below(&random, 2);
        start.start_ns = random_figure(&random, TIME_END_NS - 1);
        start.cycle = test_random_below(&random, 2) == 0 ? 0 : 20240229;
        usage.prompt = random_figure(&random, TKR_TOKENS_MAX);
        usage.completion = random_figure(&random, TKR_TOKENS_MAX);
        usage.total = random_figure(&random, TKR_TOKENS_MAX);
        usage.cached = random_figure(&random, TKR_TOKENS_MAX);
        usage.reasoning = random_figure(&random, 1000);
        usage.cost_nano_usd = random_figure(&random, TKR_COST_MAX);
        usage.first_token_ns = random_figure(&random, TIME_END_NS - 1);
        usage.end_ns = random_figure(&random, TIME_END_NS - 1);
        usage.estimated = (uint32_t)test_random_below(&random, 8);
        usage.error = (int32_t)test_random_below(&random, 256);
        result = tkr_record(producer, &start, &usage);
        assert_true(result == TKR_OK || result == TKR_ERANGE); /* a sum that is too large, a start at -1 */
        accepted += result == TKR_OK;
        if (i % 500 == 499) {
            struct drained found;
            assert_true(drain_directory(fixture_dir, true, &found));
            found_frames += found.frames;
        }
    }
    assert_int_equal(found_frames, accepted);
    assert_true(accepted > 10000);
}

/* The last moment of time, in a zone where it is already the year after. */
static void test_accepted_default_cycle_at_the_end_of_time_can_be_read(void **state)
{
    tkr_options options = fixture_options();
    tkr_producer *east = NULL;
    struct drained found;

    (void)state;
    options.utc_offset_minutes = 1440;
    assert_int_equal(tkr_open(&options, &east), TKR_OK);
    good();
    start.cycle = 0;
    start.start_ns = TIME_END_NS - 1;
    assert_int_equal(tkr_record(east, &start, &usage), TKR_OK);
    found = look();
    assert_int_equal(found.frames, 1);
    tkr_close(east);
}

/* --- sizes --- */

static void test_size_impossible_is_refused(void **state)
{
    static const uint32_t sizes[] = {0, 1, 4, 8, 31, 97, 99, 103, 4097, 5000, UINT32_MAX};
    tkr_stat stat = TKR_STAT_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        BAD_START(TKR_ESIZE, start.size = sizes[i]);
    for (size_t i = 0; i < 5; i++)
        BAD_USAGE(TKR_ESIZE, usage.size = sizes[i]);
    BAD_USAGE(TKR_ESIZE, usage.size = 4097);
    BAD_USAGE(TKR_ESIZE, usage.size = sizeof(usage) - 1); /* no structure with 64-bit fields is that long */
    BAD_START(TKR_ESIZE, start.size = sizeof(start) - 1);
    stat.size = 4;
    REFUSED(TKR_ESIZE, tkr_stat_read(producer, &stat));
    stat.size = 5000;
    REFUSED(TKR_ESIZE, tkr_stat_read(producer, &stat));
}

/* An older caller: what it does not have is at its default, whatever lies behind its structure. */
static void test_size_older_structures_take_defaults(void **state)
{
    struct drained found;
    tkr_call call;

    (void)state;
    good();
    start.size = offsetof(tkr_start, model);
    memset((char *)&start + start.size, 0xff, sizeof(start) - start.size);
    usage.size = offsetof(tkr_usage, total);
    memset((char *)&usage + usage.size, 0x7f, sizeof(usage) - usage.size);
    assert_int_equal(tkr_record(producer, &start, &usage), TKR_OK);
    assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
    assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
    found = look();
    assert_int_equal(found.frames, 2);
    assert_int_equal(found.counts.value[TKR_COUNTER_PROMPT], 10);
    assert_int_equal(found.counts.value[TKR_COUNTER_TOTAL], 22);
    assert_int_equal(found.counts.value[TKR_COUNTER_COST], 0);
}

static void test_size_newer_structures_are_taken_when_what_is_new_is_zero(void **state)
{
    struct {
        tkr_start start;
        uint64_t news[4];
    } new_start = {.start = start_for("alice"), .news = {0}};
    struct {
        tkr_usage usage;
        uint64_t news[4];
    } new_usage = {.usage = TKR_USAGE_INIT, .news = {0}};
    struct drained found;
    tkr_call call = 77;

    (void)state;
    new_start.start.size = sizeof(new_start);
    new_usage.usage.size = sizeof(new_usage);
    new_usage.usage.prompt = 5;
    assert_int_equal(tkr_record(producer, &new_start.start, &new_usage.usage), TKR_OK);
    for (int i = 0; i < 4; i++) {
        new_start.news[i] = i == 3 ? UINT64_C(1) << 63 : 1;
        REFUSED(TKR_ESIZE, tkr_record(producer, &new_start.start, &new_usage.usage));
        REFUSED(TKR_ESIZE, tkr_call_begin(producer, &new_start.start, &call));
        new_start.news[i] = 0;
        new_usage.news[i] = 1;
        REFUSED(TKR_ESIZE, tkr_record(producer, &new_start.start, &new_usage.usage));
        new_usage.news[i] = 0;
    }
    found = look();
    assert_int_equal(found.frames, 1);
    assert_int_equal(found.counts.value[TKR_COUNTER_PROMPT], 5);
}

static void test_size_of_stat_says_how_much_is_written(void **state)
{
    struct {
        tkr_stat stat;
        uint64_t behind;
    } room;

    (void)state;
    memset(&room, 0x5a, sizeof(room));
    room.stat.size = offsetof(tkr_stat, dropped);
    assert_int_equal(record_one(producer, "alice", 1), TKR_OK);
    assert_int_equal(tkr_stat_read(producer, &room.stat), TKR_OK);
    assert_int_equal(room.stat.size, offsetof(tkr_stat, dropped));
    assert_int_equal(room.stat.offered, 1);
    assert_true(room.stat.dropped == UINT64_C(0x5a5a5a5a5a5a5a5a));
    room.stat.size = sizeof(room); /* a newer caller */
    assert_int_equal(tkr_stat_read(producer, &room.stat), TKR_OK);
    assert_int_equal(room.stat.dropped, 0);
}

/* --- handles --- */

static void test_handle_refusals(void **state)
{
    tkr_call call = 0;

    (void)state;
    good();
    REFUSED(TKR_EHANDLE, tkr_call_end(producer, 0, &usage));
    REFUSED(TKR_EHANDLE, tkr_call_progress(producer, 0, 1));
    assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
    REFUSED(TKR_EHANDLE, tkr_call_end(producer, UINT64_MAX, &usage));
    REFUSED(TKR_EHANDLE, tkr_call_end(producer, call + 1, &usage));                /* a call still to come */
    REFUSED(TKR_EHANDLE, tkr_call_end(producer, call + (1u << 28), &usage));       /* a slot never begun */
    REFUSED(TKR_EHANDLE, tkr_call_end(producer, call + (INT64_C(1) << 40), &usage)); /* no slot */
    REFUSED(TKR_ERANGE, tkr_call_progress(producer, call, -1));
    REFUSED(TKR_ERANGE, tkr_call_progress(producer, call, TKR_TOKENS_MAX + 1));
    assert_int_equal(tkr_call_progress(producer, call, TKR_TOKENS_MAX), TKR_OK);
    assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
    REFUSED(TKR_EENDED, tkr_call_end(producer, call, &usage));
    REFUSED(TKR_EENDED, tkr_call_progress(producer, call, 1));
    assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
    assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
    assert_int_equal(look().frames, 2);
}

static void test_handle_of_another_producer_is_refused(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        tkr_producer *other = fixture_open(16384, 16384, 10);
        tkr_call call = 0;
        good();
        assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
        assert_int_equal(tkr_call_end(other, call, &usage), TKR_EHANDLE);
        assert_int_equal(tkr_call_progress(other, call, 1), TKR_EHANDLE);
        assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
        assert_int_equal(tkr_call_begin(other, &start, &call), TKR_OK);
        assert_int_equal(tkr_call_end(producer, call, &usage), TKR_EHANDLE);
        tkr_close(other);
    }
}

static void test_handle_of_a_producer_closed_and_opened_again_is_refused(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        tkr_producer *other = fixture_open(16384, 16384, 10);
        tkr_call call = 0;
        good();
        assert_int_equal(tkr_call_begin(other, &start, &call), TKR_OK);
        tkr_close(other);
        other = fixture_open(16384, 16384, 10);
        assert_int_equal(tkr_call_end(other, call, &usage), TKR_EHANDLE);
        tkr_close(other);
    }
}

static int in_child(tkr_call call)
{
    tkr_call own = 0;

    if (tkr_call_progress(producer, call, 1) != TKR_EHANDLE || tkr_call_end(producer, call, &usage) != TKR_EHANDLE)
        return 1;
    if (tkr_call_begin(producer, &start, &own) != TKR_OK || own == call)
        return 2;
    if (tkr_call_end(producer, call, &usage) != TKR_EHANDLE) /* still not, now that the slot has a call of ours */
        return 3;
    return tkr_call_end(producer, own, &usage) == TKR_OK ? 0 : 4;
}

static void test_handle_from_before_a_fork_is_refused_in_the_child(void **state)
{
    const int children = fixture_children(50);
    tkr_call call = 0;
    struct drained found;

    (void)state;
    good();
    assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
    for (int i = 0; i < children; i++) {
        int status = 0;
        pid_t child = fork();
        if (child == 0)
            _exit(in_child(call));
        assert_true(child > 0 && waitpid(child, &status, 0) == child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
    found = look();
    assert_int_equal(found.regions, children + 1);
    assert_int_equal(found.alive, 1);
    assert_int_equal(found.frames, children + 1);
    assert_int_equal(found.open_calls, 0);
    assert_int_equal(found.refused[-TKR_EHANDLE], 3 * children);
}

/* --- opening --- */

static void test_open_bad_options_are_refused(void **state)
{
    struct drained before = look();

    (void)state;
#define BAD_OPTION(code, change)                                                                                       \
    do {                                                                                                               \
        tkr_options options = fixture_options();                                                                       \
        tkr_producer *none = (tkr_producer *)&options;                                                                 \
        change;                                                                                                        \
        if (tkr_open(&options, &none) != (code))                                                                       \
            fail_msg("%s was not refused with %d", #change, (int)(code));                                              \
        assert_ptr_equal(none, &options);                                                                              \
    } while (0)
    BAD_OPTION(TKR_ESIZE, options.size = 0);
    BAD_OPTION(TKR_ESIZE, options.size = 3);
    BAD_OPTION(TKR_ESIZE, options.size = 4097);
    BAD_OPTION(TKR_EINVAL, options.flags = 2);
    BAD_OPTION(TKR_EINVAL, options.flags = UINT32_MAX);
    BAD_OPTION(TKR_ERANGE, options.max_open_calls = 1000001);
    BAD_OPTION(TKR_ERANGE, options.lane_bytes = 1);
    BAD_OPTION(TKR_ERANGE, options.lane_bytes = 8192);
    BAD_OPTION(TKR_ERANGE, options.lane_bytes = 16384 + 8);
    BAD_OPTION(TKR_ERANGE, options.lane_bytes = 49152);
    BAD_OPTION(TKR_ERANGE, options.lane_bytes = 128u << 20);
    BAD_OPTION(TKR_ERANGE, options.region_bytes_max = 1);
    BAD_OPTION(TKR_ERANGE, options.region_bytes_max = 65535); /* smaller than the default lane */
    BAD_OPTION(TKR_ERANGE, options.region_bytes_max = UINT64_MAX);
    BAD_OPTION(TKR_ERANGE, options.utc_offset_minutes = 1441);
    BAD_OPTION(TKR_ERANGE, options.utc_offset_minutes = -1441);
    BAD_OPTION(TKR_ECYCLE, options.anchor_day = 32);
    BAD_OPTION(TKR_ECYCLE, options.anchor_day = -1);
    BAD_OPTION(TKR_ENODIR, options.runtime_dir = "/nowhere/at/all");
    BAD_OPTION(TKR_ENODIR, options.runtime_dir = "/dev/null");
    BAD_OPTION(TKR_ETMPFS, options.runtime_dir = "/proc");
#undef BAD_OPTION
    assert_int_equal(tkr_open(NULL, NULL), TKR_EINVAL);
    check_only_refused(&before, 0, 0, "tkr_open");
}

static void test_open_with_the_least_is_enough(void **state)
{
    struct {
        uint32_t size, flags;
    } oldest = {8, 0};
    tkr_producer *least = NULL;

    (void)state;
    assert_int_equal(setenv("TOKENRING_RUNTIME_DIR", fixture_dir, 1), 0);
    assert_int_equal(tkr_open((const tkr_options *)(const void *)&oldest, &least), TKR_OK);
    assert_int_equal(record_one(least, "alice", 1), TKR_OK);
    tkr_close(least);
    assert_int_equal(tkr_open(NULL, &least), TKR_OK);
    assert_int_equal(record_one(least, "alice", 1), TKR_OK);
    tkr_close(least);
    assert_int_equal(unsetenv("TOKENRING_RUNTIME_DIR"), 0);
    assert_int_equal(look().frames, 2);
}

/* --- many --- */

static void test_many_stops_at_the_first_that_fails(void **state)
{
    tkr_start starts[5];
    tkr_usage usages[5];
    uint32_t recorded = 99;
    struct drained found;

    (void)state;
    good();
    for (int i = 0; i < 5; i++) {
        starts[i] = start;
        usages[i] = usage;
        usages[i].prompt = 1 << i;
    }
    assert_int_equal(tkr_record_many(producer, starts, usages, 5, &recorded), TKR_OK);
    assert_int_equal(recorded, 5);
    starts[3].account_count = 0;
    assert_int_equal(tkr_record_many(producer, starts, usages, 5, &recorded), TKR_EACCOUNT);
    assert_int_equal(recorded, 3);
    assert_int_equal(tkr_record_many(producer, starts, usages, 5, NULL), TKR_EACCOUNT);
    assert_int_equal(tkr_record_many(producer, starts, usages, 0, &recorded), TKR_OK);
    assert_int_equal(recorded, 0);
    assert_int_equal(tkr_record_many(producer, NULL, NULL, 0, NULL), TKR_OK);
    found = look();
    assert_int_equal(found.frames, 11);
    assert_int_equal(found.counts.value[TKR_COUNTER_PROMPT], 31 + 7 + 7);
    assert_int_equal(found.refused[-TKR_EACCOUNT], 2);
}

static void test_many_elements_have_the_size_that_the_first_states(void **state)
{
    struct {
        tkr_start start;
        uint64_t news[2];
    } starts[4];
    struct {
        tkr_usage usage;
        uint64_t news[1];
    } usages[4];
    uint32_t recorded = 0;
    struct drained found;

    (void)state;
    memset(starts, 0, sizeof(starts));
    memset(usages, 0, sizeof(usages));
    good();
    for (int i = 0; i < 4; i++) {
        starts[i].start = start;
        starts[i].start.size = sizeof(starts[i]);
        usages[i].usage = usage;
        usages[i].usage.size = sizeof(usages[i]);
        usages[i].usage.prompt = 1 << i;
    }
    assert_int_equal(tkr_record_many(producer, &starts[0].start, &usages[0].usage, 4, &recorded), TKR_OK);
    assert_int_equal(recorded, 4);
    found = look();
    assert_int_equal(found.frames, 4);
    assert_int_equal(found.counts.value[TKR_COUNTER_PROMPT], 15);
}

#define PRODUCER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PRODUCER_TEST(test_refused_null_arguments),
        PRODUCER_TEST(test_refused_null_producer_is_no_crash),
        PRODUCER_TEST(test_refused_accounts),
        PRODUCER_TEST(test_refused_kinds),
        PRODUCER_TEST(test_refused_texts),
        PRODUCER_TEST(test_refused_cycles_and_numbers_of_a_start),
        PRODUCER_TEST(test_refused_numbers_of_a_usage),
        PRODUCER_TEST(test_refused_sum_beyond_what_one_call_can_use),
        PRODUCER_TEST(test_accepted_largest_figures_are_read_back),
        PRODUCER_TEST(test_accepted_estimates_are_a_part_of_the_total),
        PRODUCER_TEST(test_accepted_end_before_start_lasts_nothing),
        PRODUCER_TEST(test_accepted_random_calls_can_all_be_read),
        PRODUCER_TEST(test_accepted_default_cycle_at_the_end_of_time_can_be_read),
        PRODUCER_TEST(test_size_impossible_is_refused),
        PRODUCER_TEST(test_size_older_structures_take_defaults),
        PRODUCER_TEST(test_size_newer_structures_are_taken_when_what_is_new_is_zero),
        PRODUCER_TEST(test_size_of_stat_says_how_much_is_written),
        PRODUCER_TEST(test_handle_refusals),
        PRODUCER_TEST(test_handle_of_another_producer_is_refused),
        PRODUCER_TEST(test_handle_of_a_producer_closed_and_opened_again_is_refused),
        PRODUCER_TEST(test_handle_from_before_a_fork_is_refused_in_the_child),
        PRODUCER_TEST(test_open_bad_options_are_refused),
        PRODUCER_TEST(test_open_with_the_least_is_enough),
        PRODUCER_TEST(test_many_stops_at_the_first_that_fails),
        PRODUCER_TEST(test_many_elements_have_the_size_that_the_first_states),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
