/* SPDX-License-Identifier: Apache-2.0 */
/* What a wall clock that steps, lags or is told wrongly does to calls: nothing to their tokens, and nothing absurd to the rest. */
#include "support/clock_step.h"
#include "support/process.h"
#include "tokenring/callback.h"
#include "unit/producer/fixture.h"

#define PAUSE_MS 60
#define LEAST_MS 40    /* of the pause, by coarse clocks */
#define MOST_MS 100000 /* a call of a test, on a machine however loaded; a step is a thousand times that */
#define WEEK_NS (7 * CLOCK_STEP_DAY_NS)

static const int64_t steps_ns[] = {30 * CLOCK_STEP_DAY_NS, -30 * CLOCK_STEP_DAY_NS};

static int setup(void **state)
{
    clock_step_own = (struct clock_step){.ahead_ns = 0};
    return fixture_setup(state);
}

static int64_t wall_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * CLOCK_STEP_NS_PER_S + now.tv_nsec;
}

static struct drained look(void)
{
    struct drained found;

    assert_true(drain_directory(fixture_dir, true, &found));
    return found;
}

static tkr_usage usage_of(int64_t tokens)
{
    tkr_usage usage = TKR_USAGE_INIT;

    usage.prompt = usage.completion = tokens;
    return usage;
}

/* --- steps while a call is open --- */

enum way { PLAIN, WITH_MODEL, WAYS };

static tkr_start start_by(enum way way)
{
    tkr_start start = start_for("alice");

    start.cycle = way == WITH_MODEL ? CYCLE : 0;
    if (way == WITH_MODEL) {
        start.model = "gpt-4o";
        start.model_len = 6;
    }
    return start;
}

static void test_call_lasts_as_long_as_it_lasts_whatever_the_wall_clock_does(void **state)
{
    tkr_producer *producer = fixture_open(0, 0, 0);
    tkr_usage usage = usage_of(1);

    (void)state;
    for (size_t i = 0; i < 2 * WAYS; i++) {
        tkr_start start = start_by(i % WAYS);
        struct drained found;
        tkr_call call;
        assert_int_equal(record_one(producer, "warm", 1), TKR_OK); /* the thread has a channel, and a slot after the first */
        assert_int_equal(look().frames, 1);
        assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
        clock_step->ahead_ns += steps_ns[i / WAYS];
        process_sleep_ms(PAUSE_MS);
        assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
        found = look();
        assert_int_equal(found.frames, 1);
        assert_in_range(found.counts.value[TKR_COUNTER_DURATION], LEAST_MS, MOST_MS);
        assert_int_equal(found.bad_times, 0);
    }
    tkr_close(producer);
}

/* A start is told by the clock that steps: what is absurd then is no duration, and counted. */
static void test_told_start_before_a_step_makes_no_duration_and_is_counted(void **state)
{
    tkr_producer *producer = fixture_open(0, 0, 0);
    tkr_usage usage = usage_of(1);

    (void)state;
    for (uint64_t i = 0; i < 3; i++) {
        tkr_start start = start_by(PLAIN);
        struct drained found;
        tkr_call call;
        start.start_ns = wall_ns();
        assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
        process_sleep_ms(PAUSE_MS);
        if (i > 0)
            clock_step->ahead_ns += steps_ns[i - 1];
        assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
        found = look();
        assert_int_equal(found.frames, 1);
        assert_int_equal(found.counts.value[TKR_COUNTER_TOTAL], 2);
        assert_int_equal(found.bad_times, i);
        if (i == 0)
            assert_in_range(found.counts.value[TKR_COUNTER_DURATION], LEAST_MS, MOST_MS);
        else
            assert_int_equal(found.counts.value[TKR_COUNTER_DURATION], 0);
    }
    tkr_close(producer);
}

/* By a handler, tracked and not: with one open call, a second one is recorded at its end. */
static void test_handlers_call_lasts_as_long_as_it_lasts(void **state)
{
    tkr_producer *producer = fixture_open(0, 0, 1);
    tkr_callback_options options = TKR_CALLBACK_OPTIONS_INIT;
    tkr_callback *handler = NULL;

    (void)state;
    options.producer = producer;
    assert_int_equal(tkr_detailed_token_callback(&options, &handler), 0);
    for (size_t i = 0; i < 2; i++) {
        tkr_callback_context context[2] = {TKR_CALLBACK_CONTEXT_INIT, TKR_CALLBACK_CONTEXT_INIT};
        tkr_response response = TKR_RESPONSE_INIT;
        int64_t duration_ms;
        response.prompt_tokens = response.completion_tokens = 1;
        for (int c = 0; c < 2; c++) {
            context[c].start = start_for("alice");
            assert_int_equal(tkr_on_llm_start(handler, NULL, 0, &context[c]), 0);
        }
        clock_step->ahead_ns += steps_ns[i];
        process_sleep_ms(PAUSE_MS);
        for (int c = 0; c < 2; c++)
            assert_int_equal(tkr_on_llm_end(handler, &response, &context[c]), 0);
        duration_ms = look().counts.value[TKR_COUNTER_DURATION];
        assert_in_range(duration_ms, 2 * LEAST_MS, MOST_MS);
    }
    tkr_callback_release(handler);
    tkr_close(producer);
}

/* --- times that are told --- */

static void test_told_end_after_a_step_makes_no_duration_and_is_counted(void **state)
{
    tkr_producer *producer = fixture_open(0, 0, 0);
    uint64_t bad = 0;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        tkr_start start = start_by(PLAIN);
        tkr_usage usage = usage_of(1);
        struct drained found;
        tkr_call call;
        assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
        clock_step->ahead_ns += steps_ns[i];
        usage.first_token_ns = usage.end_ns = wall_ns();
        assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
        found = look();
        assert_int_equal(found.frames, 1);
        assert_int_equal(found.counts.value[TKR_COUNTER_TOTAL], 2);
        assert_int_equal(found.counts.value[TKR_COUNTER_DURATION], 0);
        assert_int_equal(found.bad_times, ++bad);
    }
    tkr_close(producer);
}

static void test_told_times_make_a_duration_up_to_a_week(void **state)
{
    static const struct {
        int64_t start_ns, first_ns, end_ns; /* 0: not told */
        int64_t duration_ms;
        bool bad;
    } cases[] = {
        {CLOCK_STEP_DAY_NS, CLOCK_STEP_DAY_NS + 1, CLOCK_STEP_DAY_NS + 2000000, 2, false},
        {CLOCK_STEP_DAY_NS, 0, CLOCK_STEP_DAY_NS + WEEK_NS, WEEK_NS / 1000000, false},
        {CLOCK_STEP_DAY_NS, 0, CLOCK_STEP_DAY_NS + WEEK_NS + 1, 0, true},
        {CLOCK_STEP_DAY_NS, 0, CLOCK_STEP_DAY_NS - 1, 0, true},
        {CLOCK_STEP_DAY_NS, CLOCK_STEP_DAY_NS - 1, CLOCK_STEP_DAY_NS + 3000000, 3, true},
        {CLOCK_STEP_DAY_NS, 2 * WEEK_NS, CLOCK_STEP_DAY_NS + 3000000, 3, true},
        {CLOCK_STEP_DAY_NS, 0, 0, 0, false},
        {0, 5, 5, 0, false}, /* of a call without a start nothing is known */
    };
    tkr_producer *producer = fixture_open(0, 0, 0);
    uint64_t bad = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tkr_start start = start_for("alice");
        tkr_usage usage = usage_of(1);
        struct drained found;
        tkr_call call;
        start.start_ns = cases[i].start_ns;
        usage.first_token_ns = cases[i].first_ns;
        usage.end_ns = cases[i].end_ns;
        bad += cases[i].bad;
        assert_int_equal(tkr_record(producer, &start, &usage), TKR_OK);
        found = look();
        assert_int_equal(found.counts.value[TKR_COUNTER_DURATION], cases[i].duration_ms);
        assert_int_equal(found.bad_times, bad);
        if (cases[i].start_ns == 0 || cases[i].end_ns == 0)
            continue; /* tkr_call_end has what is not told, now */
        bad += cases[i].bad;
        assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
        assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
        found = look();
        assert_int_equal(found.counts.value[TKR_COUNTER_DURATION], cases[i].duration_ms);
        assert_int_equal(found.bad_times, bad);
    }
    tkr_close(producer);
}

/* A start a century ago and an end that is now: no call lasts so long. */
static void test_start_long_ago_without_an_end_makes_no_duration(void **state)
{
    tkr_producer *producer = fixture_open(0, 0, 0);
    tkr_start start = start_for("alice");
    tkr_usage usage = usage_of(1);
    struct drained found;
    tkr_call call;

    (void)state;
    start.start_ns = 1;
    assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
    assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
    found = look();
    assert_int_equal(found.counts.value[TKR_COUNTER_CALLS], 1);
    assert_int_equal(found.counts.value[TKR_COUNTER_DURATION], 0);
    assert_int_equal(found.bad_times, 1);
    tkr_close(producer);
}

/* --- the boundary of a cycle --- */

#define NOVEMBER_NS (INT64_C(1793491200) * CLOCK_STEP_NS_PER_S) /* 2026-11-01T00:00:00Z */
#define MS INT64_C(1000000)

/* Each way of naming a cycle of a call that does not tell its start, once. Returns how many frames that are. */
static int call_by_all_ways(tkr_producer *producer)
{
    tkr_usage usage = usage_of(1);
    tkr_limit limit = TKR_LIMIT_INIT;
    tkr_account alice = {.id = "alice", .len = 5};

    for (int way = 0; way < 3; way++) {
        tkr_start start = start_for(way == 1 ? "an account with an id that is long" : "alice");
        tkr_call call;
        start.cycle = 0;
        if (way == 2) {
            start.model = "gpt-4o";
            start.model_len = 6;
        }
        assert_int_equal(tkr_record(producer, &start, &usage), TKR_OK);
        assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
        assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
    }
    assert_int_equal(tkr_limit_check(producer, &alice, 0, 1, &limit), TKR_OK);
    return 6;
}

/* The coarse clock is behind by a tick, 10 ms at most, and time() with it. */
static void test_first_milliseconds_of_a_month_belong_to_it(void **state)
{
    static const struct {
        int64_t at_ns;
        uint32_t cycle;
    } moments[] = {
        {NOVEMBER_NS - 2000 * MS, 20261001}, {NOVEMBER_NS - 1, 20261001},         {NOVEMBER_NS, 20261101},
        {NOVEMBER_NS + 1, 20261101},         {NOVEMBER_NS + 4 * MS, 20261101},    {NOVEMBER_NS + 9 * MS, 20261101},
        {NOVEMBER_NS + 20 * MS, 20261101},   {NOVEMBER_NS + 2000 * MS, 20261101},
    };
    tkr_producer *producer = fixture_open(0, 0, 0);

    (void)state;
    clock_step->coarse_behind_ns = 10 * MS;
    for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
        struct drained found;
        int frames;
        clock_step->stands_ns = moments[i].at_ns;
        frames = call_by_all_ways(producer);
        frames += call_by_all_ways(producer); /* with what the thread remembers by now */
        found = look();
        assert_int_equal(found.frames, frames);
        if (found.cycles != (uint64_t)frames * moments[i].cycle)
            fail_msg("%lld ns from the month's begin: of %d calls some are in another cycle than %u",
                     (long long)(moments[i].at_ns - NOVEMBER_NS), frames, moments[i].cycle);
    }
    tkr_close(producer);
}

#define CLOCK_TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLOCK_TEST(test_call_lasts_as_long_as_it_lasts_whatever_the_wall_clock_does),
        CLOCK_TEST(test_told_start_before_a_step_makes_no_duration_and_is_counted),
        CLOCK_TEST(test_handlers_call_lasts_as_long_as_it_lasts),
        CLOCK_TEST(test_told_end_after_a_step_makes_no_duration_and_is_counted),
        CLOCK_TEST(test_told_times_make_a_duration_up_to_a_week),
        CLOCK_TEST(test_start_long_ago_without_an_end_makes_no_duration),
        CLOCK_TEST(test_first_milliseconds_of_a_month_belong_to_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
