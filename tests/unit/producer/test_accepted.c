/* SPDX-License-Identifier: Apache-2.0 */
/* All that is accepted can be read, to the largest figures. */
#include "support/random.h"
#include "unit/producer/refusals.h"

#define TIME_END_NS INT64_C(9214646400000000000)
#define WEEK_NS INT64_C(604800000000000) /* the longest duration */

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
    usage.first_token_ns = usage.end_ns = 1 + WEEK_NS;
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
    assert_true(found.counts.value[TKR_COUNTER_DURATION] == WEEK_NS / 1000000);
    assert_int_equal(found.counts.value[TKR_COUNTER_ERRORS], 1);
}

static void test_accepted_estimates_are_a_part_of_the_total(void **state)
{
    static const struct {
        int64_t prompt, completion, total;
        uint32_t flags;
        int64_t estimated, sum;
    } cases[] = {
        {10, 20, -1, 0, 0, 30},  {10, 20, -1, 1, 10, 30}, {10, 20, -1, 2, 20, 30}, {10, 20, -1, 3, 30, 30},
        {10, 20, -1, 4, 30, 30}, {10, 20, 50, 4, 50, 50}, {10, 20, 50, 3, 30, 50}, {10, 20, 5, 3, 5, 5},
        {-1, -1, -1, 7, 0, 0},   {-1, 20, -1, 3, 20, 20}, {0, 0, 0, 7, 0, 0},      {-1, -1, 9, 3, 0, 9},
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
            start.account[j] = (tkr_account){.id = ids[j],
                                             .len = 1 + (uint32_t)test_random_below(&random, 255),
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

/* What was used elsewhere: figures without a call; the total is the sum, or what is told. */
static void test_accepted_increments_add_figures_and_no_calls(void **state)
{
    struct drained found;

    (void)state;
    good();
    assert_int_equal(tkr_increment(producer, &start, &usage), TKR_OK);
    usage.total = 0;
    usage.completion = TKR_ABSENT;
    assert_int_equal(tkr_increment(producer, &start, &usage), TKR_OK);
    usage.error = TKR_ERROR_TIMEOUT;
    assert_int_equal(tkr_increment(producer, &start, &usage), TKR_OK);
    assert_int_equal(tkr_record(producer, &start, &usage), TKR_OK);
    found = look();
    assert_int_equal(found.frames, 4);
    assert_int_equal(found.counts.value[TKR_COUNTER_PROMPT], 20);
    assert_int_equal(found.counts.value[TKR_COUNTER_COMPLETION], 6);
    assert_int_equal(found.counts.value[TKR_COUNTER_TOTAL], 11);
    assert_int_equal(found.counts.value[TKR_COUNTER_CALLS], 1);
    assert_int_equal(found.counts.value[TKR_COUNTER_ERRORS], 1);
    REFUSED(TKR_EINVAL, tkr_increment(producer, NULL, &usage));
    usage.prompt = -5;
    REFUSED(TKR_ERANGE, tkr_increment(producer, &start, &usage));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PRODUCER_TEST(test_accepted_increments_add_figures_and_no_calls),
        PRODUCER_TEST(test_accepted_largest_figures_are_read_back),
        PRODUCER_TEST(test_accepted_estimates_are_a_part_of_the_total),
        PRODUCER_TEST(test_accepted_end_before_start_lasts_nothing),
        PRODUCER_TEST(test_accepted_random_calls_can_all_be_read),
        PRODUCER_TEST(test_accepted_default_cycle_at_the_end_of_time_can_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
