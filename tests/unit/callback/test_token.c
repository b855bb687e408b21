/* SPDX-License-Identifier: Apache-2.0 */
/* Token handlers alone: what they count, when they refuse to be made, errors, what no call can have. */
#include "base/clock.h"
#include "unit/callback/fixture.h"

static int64_t counted(const struct drained *sum, int counter)
{
    return sum->counts.value[counter];
}

static void test_token_adds_the_total_and_the_call(void **state)
{
    tkr_callback *token = token_for("alice");
    tkr_response response = response_of(120, 7, 8);
    struct drained sum;

    (void)state;
    assert_int_equal(call_through(token, &response), 0);
    sum = found();
    assert_int_equal(sum.frames, 1);
    assert_int_equal(counted(&sum, TKR_COUNTER_TOTAL), 120);
    assert_int_equal(counted(&sum, TKR_COUNTER_PROMPT), 0);
    assert_int_equal(counted(&sum, TKR_COUNTER_COMPLETION), 0);
    assert_int_equal(counted(&sum, TKR_COUNTER_CALLS), 1);
    assert_int_equal(callback_stat(token).usage_missing, 0);
    assert_string_equal(tkr_callback_type(token), "token");
    tkr_callback_release(token);
}

static void test_token_without_usage_counts_the_call_and_says_so(void **state)
{
    static const int64_t totals[] = {TKR_ABSENT, 0, -5, TKR_TOKENS_MAX + 1};
    tkr_callback *token = token_for("alice");
    struct drained sum;

    (void)state;
    for (int i = 0; i < 4; i++) {
        tkr_response response = response_of(totals[i], 7, 8);
        assert_int_equal(call_through(token, &response), 0);
    }
    sum = found();
    assert_int_equal(counted(&sum, TKR_COUNTER_TOTAL), 0);
    assert_int_equal(counted(&sum, TKR_COUNTER_CALLS), 4);
    assert_int_equal(callback_stat(token).usage_missing, 4);
    assert_int_equal(callback_stat(token).corrected, 2);
    tkr_callback_release(token);
}

static void test_detailed_adds_parts_and_their_sum(void **state)
{
    tkr_callback *detailed = detailed_for(NULL);
    tkr_response reported = response_of(TKR_ABSENT, 10, 20);
    tkr_response total = response_of(30, TKR_ABSENT, TKR_ABSENT);
    struct drained sum;

    (void)state;
    assert_int_equal(call_through(detailed, &reported), 0);
    assert_int_equal(call_through(detailed, &total), 0); /* prompt estimated: 16 characters are 4 tokens */
    sum = found();
    assert_int_equal(counted(&sum, TKR_COUNTER_PROMPT), 10 + 4);
    assert_int_equal(counted(&sum, TKR_COUNTER_COMPLETION), 20 + 26);
    assert_int_equal(counted(&sum, TKR_COUNTER_TOTAL), 60);
    assert_int_equal(counted(&sum, TKR_COUNTER_ESTIMATED), 30);
    assert_int_equal(counted(&sum, TKR_COUNTER_CALLS), 2);
    tkr_callback_release(detailed);
}

/* Between start and end the call is open, with the estimate: that is what a death settles. */
static void test_detailed_call_is_open_from_start_to_end(void **state)
{
    const tkr_chat_message message = {.content = "sixteen letters.", .content_len = 16};
    tkr_callback *detailed = detailed_for(NULL);
    tkr_callback_context context = context_for("alice");
    tkr_response response = response_of(30, 10, 20);

    (void)state;
    assert_int_equal(tkr_on_llm_start(detailed, &message, 1, &context), 0);
    assert_int_equal(found().open_calls, 1);
    assert_int_equal(tkr_on_llm_end(detailed, &response, &context), 0);
    assert_int_equal(found().open_calls, 0);
    assert_int_equal(tkr_on_llm_end(detailed, &response, &context), 1); /* once more: nothing is begun any more */
    assert_int_equal(found().frames, 1);
    tkr_callback_release(detailed);
}

/* An application that ends its calls twice, or without a start, is told, and charged once. */
static void unmatched_in(tkr_callback *callback, uint64_t calls)
{
    tkr_callback_context context = context_for("alice");
    tkr_response response = response_of(30, 10, 20);
    tkr_call_error error = TKR_CALL_ERROR_INIT;
    struct drained before = found();
    struct drained sum;

    error.response = &response;
    assert_int_equal(tkr_on_llm_end(callback, &response, &context), 1);
    assert_int_equal(tkr_on_llm_error(callback, &error, &context), 1);
    assert_int_equal(tkr_on_llm_start(callback, NULL, 0, &context), 0);
    assert_int_equal(tkr_on_llm_start(callback, NULL, 0, &context), 1); /* it has started */
    assert_int_equal(tkr_on_llm_end(callback, &response, &context), 0);
    assert_int_equal(tkr_on_llm_end(callback, &response, &context), 1);
    assert_int_equal(tkr_on_llm_error(callback, &error, &context), 1);
    assert_int_equal(tkr_on_llm_start(callback, NULL, 0, &context), 0); /* the context serves again */
    assert_int_equal(tkr_on_llm_error(callback, &error, &context), 0);
    assert_int_equal(tkr_on_llm_error(callback, &error, &context), 1);
    sum = found();
    assert_int_equal(callback_stat(callback).unmatched, 6);
    assert_int_equal(callback_stat(callback).started, 2);
    assert_int_equal(callback_stat(callback).ended, 1);
    assert_int_equal(callback_stat(callback).errors, 1);
    assert_int_equal(callback_stat(callback).failed, 0);
    assert_int_equal(sum.frames - before.frames, calls);
    assert_int_equal(counted(&sum, TKR_COUNTER_TOTAL) - counted(&before, TKR_COUNTER_TOTAL), 30 * (int64_t)calls);
    assert_int_equal(sum.open_calls, 0);
    tkr_callback_release(callback);
}

static void test_ends_without_a_start_are_told_and_not_charged(void **state)
{
    tkr_callback_options options = options_for("alice");
    tkr_callback *limit = NULL;
    tkr_callback *performance = NULL;
    tkr_callback *twice = token_for("alice");
    tkr_callback *outer = composite_of(twice, NULL);

    (void)state;
    assert_int_equal(tkr_limit_callback(&options, &limit), TKR_OK);
    assert_int_equal(tkr_performance_callback(NULL, &performance), TKR_OK);
    assert_int_equal(tkr_composite_add(outer, composite_of(tkr_callback_hold(twice), NULL), TKR_CALLBACK_OWN), TKR_OK);
    unmatched_in(token_for("alice"), 2);
    unmatched_in(detailed_for("alice"), 2);
    unmatched_in(composite_of(detailed_for("alice"), token_for("alice")), 2);
    unmatched_in(outer, 2); /* a handler in two places sees all twice, and that is in order */
    unmatched_in(limit, 0);
    unmatched_in(performance, 0);
}

/* A reported total rules, whatever the estimate of the prompt is. */
static void test_detailed_total_below_the_estimate_is_charged_as_reported(void **state)
{
    tkr_callback *detailed = detailed_for(NULL);
    tkr_callback_context context = context_for("alice");
    tkr_response response = response_of(5, TKR_ABSENT, TKR_ABSENT);
    static char text[4000];
    const tkr_chat_message message = {.content = text, .content_len = sizeof(text)};
    struct drained sum;

    (void)state;
    memset(text, 'a', sizeof(text)); /* 1000 tokens by the estimate */
    assert_int_equal(tkr_on_llm_start(detailed, &message, 1, &context), 0);
    assert_int_equal(tkr_on_llm_end(detailed, &response, &context), 0);
    sum = found();
    assert_int_equal(counted(&sum, TKR_COUNTER_TOTAL), 5);
    assert_int_equal(counted(&sum, TKR_COUNTER_PROMPT), 5);
    assert_int_equal(counted(&sum, TKR_COUNTER_COMPLETION), 0);
    assert_int_equal(counted(&sum, TKR_COUNTER_ESTIMATED), 5);
    tkr_callback_release(detailed);
}

/* What a total has beyond its parts is charged: thoughts that a provider reports nowhere, or outside of the completion. */
static void test_detailed_total_above_its_parts_is_charged_as_reported(void **state)
{
    tkr_callback *detailed = detailed_for(NULL);
    tkr_response response = response_of(623, 20, 198);
    tkr_call_error error = TKR_CALL_ERROR_INIT;
    tkr_callback_context context = context_for("alice");
    struct drained sum;

    (void)state;
    response.reasoning_tokens = 405;
    error.response = &response;
    assert_int_equal(call_through(detailed, &response), 0);
    assert_int_equal(tkr_on_llm_start(detailed, NULL, 0, &context), 0);
    assert_int_equal(tkr_on_llm_error(detailed, &error, &context), 0);
    sum = found();
    assert_int_equal(counted(&sum, TKR_COUNTER_TOTAL), 2 * 623);
    assert_int_equal(counted(&sum, TKR_COUNTER_PROMPT), 2 * 20);
    assert_int_equal(counted(&sum, TKR_COUNTER_COMPLETION), 2 * 198);
    assert_int_equal(counted(&sum, TKR_COUNTER_REASONING), 2 * 405);
    assert_int_equal(counted(&sum, TKR_COUNTER_ESTIMATED), 0);
    tkr_callback_release(detailed);
}

static void test_contradictions_are_counted_by_cause(void **state)
{
    static const struct {
        int64_t total, prompt, completion, cached, reasoning;
        size_t field; /* of tkr_callback_stat, that grows */
    } cases[] = {
        {0, 0, 0, TKR_ABSENT, TKR_ABSENT, offsetof(tkr_callback_stat, zero_usage)},
        {10, 10, 0, TKR_ABSENT, TKR_ABSENT, offsetof(tkr_callback_stat, zero_completion)},
        {10, 0, 10, TKR_ABSENT, TKR_ABSENT, offsetof(tkr_callback_stat, zero_prompt)},
        {31, 10, 20, TKR_ABSENT, TKR_ABSENT, offsetof(tkr_callback_stat, total_above_parts)},
        {29, 10, 20, TKR_ABSENT, TKR_ABSENT, offsetof(tkr_callback_stat, total_below_parts)},
        {30, 10, 20, 11, TKR_ABSENT, offsetof(tkr_callback_stat, cached_above_prompt)},
        {30, 10, 20, TKR_ABSENT, 21, offsetof(tkr_callback_stat, reasoning_above_completion)},
        {TKR_ABSENT, TKR_TOKENS_MAX, TKR_TOKENS_MAX, TKR_ABSENT, TKR_ABSENT, offsetof(tkr_callback_stat, sum_above_max)},
    };

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        size_t of = i / 2;
        tkr_callback *callback = i % 2 == 0 ? detailed_for(NULL) : token_for(NULL);
        tkr_response response = response_of(cases[of].total, cases[of].prompt, cases[of].completion);
        tkr_callback_stat stat;
        uint64_t sum = 0;
        response.content = "An answer.";
        response.content_len = 10;
        response.cached_tokens = cases[of].cached;
        response.reasoning_tokens = cases[of].reasoning;
        for (int call = 0; call < 3; call++)
            (void)call_through(callback, &response);
        stat = callback_stat(callback);
        for (size_t at = offsetof(tkr_callback_stat, zero_usage); at < sizeof(stat); at += sizeof(uint64_t))
            sum += *(const uint64_t *)(const void *)((const char *)&stat + at);
        assert_int_equal(*(const uint64_t *)(const void *)((const char *)&stat + cases[of].field), 3);
        assert_int_equal(sum, 3); /* and no other */
        tkr_callback_release(callback);
    }
}

/* A caller of the first version gets as much as it has room for. */
static void test_stat_of_an_older_size_is_filled_so_far(void **state)
{
    tkr_callback *token = token_for("alice");
    tkr_callback_stat stat = TKR_CALLBACK_STAT_INIT;
    tkr_callback_context context = context_for("alice");
    tkr_response response = response_of(5, TKR_ABSENT, TKR_ABSENT);

    (void)state;
    assert_int_equal(tkr_on_llm_end(token, &response, &context), 1);
    stat.size = offsetof(tkr_callback_stat, dropped_thread);
    stat.unmatched = 77;
    assert_int_equal(tkr_callback_stat_read(token, &stat), TKR_OK);
    assert_int_equal(stat.size, offsetof(tkr_callback_stat, dropped_thread));
    assert_int_equal(stat.unmatched, 77);
    stat.size = 8;
    assert_int_equal(tkr_callback_stat_read(token, &stat), TKR_ESIZE);
    assert_int_equal(callback_stat(token).unmatched, 1);
    tkr_callback_release(token);
}

static void test_error_records_kind_and_duration_and_what_is_reported(void **state)
{
    tkr_callback *detailed = detailed_for(NULL);
    tkr_callback_context context = context_for("alice");
    tkr_response response = response_of(TKR_ABSENT, 10, TKR_ABSENT);
    tkr_call_error error = TKR_CALL_ERROR_INIT;
    struct drained sum;

    (void)state;
    error.kind = TKR_ERROR_TIMEOUT;
    error.response = &response;
    context.start.start_ns = tkr_clock_unix_ns() - 3600 * TKR_NS_PER_S;
    assert_int_equal(tkr_on_llm_start(detailed, NULL, 0, &context), 0);
    assert_int_equal(tkr_on_llm_error(detailed, &error, &context), 0);
    sum = found();
    assert_int_equal(counted(&sum, TKR_COUNTER_ERRORS), 1);
    assert_int_equal(counted(&sum, TKR_COUNTER_TOTAL), 10);
    assert_int_equal(counted(&sum, TKR_COUNTER_ESTIMATED), 0);
    assert_in_range(counted(&sum, TKR_COUNTER_DURATION), 3600 * 1000 - 20, 3600 * 1000 + 600 * 1000);
    assert_int_equal(callback_stat(detailed).errors, 1);
    error.kind = TKR_ERROR_NONE;
    assert_int_equal(tkr_on_llm_error(detailed, &error, &context), TKR_ERANGE);
    tkr_callback_release(detailed);
}

static void test_account_and_cycle_of_the_handler_go_before_the_context(void **state)
{
    tkr_callback_options options = options_for("bob");
    tkr_callback *callback;
    tkr_response response = response_of(5, TKR_ABSENT, TKR_ABSENT);
    struct drained sum;

    (void)state;
    options.cycle = "2023-02-28";
    assert_int_equal(tkr_token_callback(&options, &callback), TKR_OK);
    assert_int_equal(call_through(callback, &response), 0);
    sum = found();
    assert_int_equal(sum.cycles, 20230228);
    assert_true(sum.mix == drain_mix("bob", 3, 0));
    tkr_callback_release(callback);
}

static void test_options_that_are_no_good_are_refused(void **state)
{
    tkr_callback_options options = options_for("alice");
    tkr_callback *callback = NULL;

    (void)state;
#define REFUSED_WITH(code, change)                                                \
    do {                                                                          \
        options = options_for("alice");                                           \
        change;                                                                   \
        assert_int_equal(tkr_token_callback(&options, &callback), code);          \
        assert_int_equal(tkr_detailed_token_callback(&options, &callback), code); \
        assert_null(callback);                                                    \
    } while (0)
    REFUSED_WITH(TKR_EACCOUNT, options.account.id = ""; options.account.len = 0);
    REFUSED_WITH(TKR_EACCOUNT, options.account.id = NULL); /* with a length: a bug of the caller's */
    REFUSED_WITH(TKR_EACCOUNT, options.account.id = "a\nb"; options.account.len = 3);
    REFUSED_WITH(TKR_EKIND, options.account.kind = 1u << 31);
    REFUSED_WITH(TKR_ECYCLE, options.cycle = "2023-02-29");
    REFUSED_WITH(TKR_ECYCLE, options.cycle = "2023-2-28");
    REFUSED_WITH(TKR_ECYCLE, options.cycle = "");
    REFUSED_WITH(TKR_EINVAL, options.producer = NULL);
    REFUSED_WITH(TKR_ESIZE, options.size--);
    REFUSED_WITH(TKR_ERANGE, options.characters_per_token = 1001);
    assert_int_equal(tkr_token_callback(NULL, &callback), TKR_EINVAL);
    assert_int_equal(tkr_token_callback(&options, NULL), TKR_EINVAL);
    assert_int_equal(setenv("TOKEN_ESTIMATION_RATIO", "four", 1), 0);
    REFUSED_WITH(TKR_ERANGE, (void)0);
    assert_int_equal(setenv("TOKEN_ESTIMATION_RATIO", "2", 1), 0);
    options = options_for("alice");
    assert_int_equal(tkr_detailed_token_callback(&options, &callback), TKR_OK);
    assert_int_equal(unsetenv("TOKEN_ESTIMATION_RATIO"), 0);
    tkr_callback_release(callback);
}

static void test_settings_name_what_is_wrong(void **state)
{
    static const struct {
        const char *name;
        const char *value;
        const char *says;
    } cases[] = {
        {"TOKEN_ESTIMATION_RATIO", "0", "TOKEN_ESTIMATION_RATIO=0: allowed is an integer from 1 to 1000"},
        {"ENABLE_PERFORMANCE_MONITORING", "yes", "ENABLE_PERFORMANCE_MONITORING=yes: allowed are true and false"},
        {"PERFORMANCE_LOG_THRESHOLD", "1s", "PERFORMANCE_LOG_THRESHOLD=1s: allowed is an integer from 1 to 86400000"},
    };
    tkr_callback_settings settings = TKR_CALLBACK_SETTINGS_INIT;
    char text[128];

    (void)state;
    assert_int_equal(tkr_callback_settings_read(&settings, text, sizeof(text)), TKR_OK);
    assert_int_equal(settings.characters_per_token, 4);
    assert_int_equal(settings.performance, 1);
    assert_int_equal(settings.slow_ms, 1000);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(setenv(cases[i].name, cases[i].value, 1), 0);
        assert_int_equal(tkr_callback_settings_read(&settings, text, sizeof(text)), TKR_ERANGE);
        assert_string_equal(text, cases[i].says);
        assert_int_equal(unsetenv(cases[i].name), 0);
    }
    settings.size = 1;
    assert_int_equal(tkr_callback_settings_read(&settings, NULL, 0), TKR_ESIZE);
}

/* A context without a good account: the handler fails, the caller is told a number, the process goes on. */
static void test_bad_context_is_a_failure_that_is_counted(void **state)
{
    tkr_callback *token = token_for(NULL);
    tkr_callback_context context = context_for("alice");
    tkr_response response = response_of(5, TKR_ABSENT, TKR_ABSENT);

    (void)state;
    context.start.account_count = 0;
    assert_int_equal(tkr_on_llm_start(token, NULL, 0, &context), 1);
    assert_int_equal(tkr_on_llm_end(token, &response, &context), 0);
    assert_int_equal(callback_stat(token).failed, 1);
    context.size = 8;
    assert_int_equal(tkr_on_llm_start(token, NULL, 0, &context), TKR_ESIZE);
    assert_int_equal(tkr_on_llm_start(token, NULL, 3, &context), TKR_ESIZE);
    assert_int_equal(tkr_on_llm_start(NULL, NULL, 0, &context), TKR_EINVAL);
    assert_int_equal(tkr_on_llm_end(token, NULL, NULL), TKR_EINVAL);
    assert_int_equal(found().frames, 0);
    tkr_callback_release(token);
}

/* More calls than are tracked: those beyond are recorded when they end. */
static void test_calls_beyond_those_tracked_are_counted_too(void **state)
{
    enum { CALLS = 100 };
    static tkr_callback_context context[CALLS];
    tkr_callback *detailed = detailed_for(NULL);
    tkr_response response = response_of(TKR_ABSENT, 1, 2);
    struct drained sum;

    (void)state;
    for (int i = 0; i < CALLS; i++) {
        context[i] = context_for("alice");
        assert_int_equal(tkr_on_llm_start(detailed, NULL, 0, &context[i]), 0);
    }
    assert_int_equal(found().open_calls, 64);
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(tkr_on_llm_end(detailed, &response, &context[i]), 0);
    sum = found();
    assert_int_equal(counted(&sum, TKR_COUNTER_CALLS), CALLS);
    assert_int_equal(counted(&sum, TKR_COUNTER_TOTAL), 3 * CALLS);
    assert_int_equal(sum.open_calls, 0);
    tkr_callback_release(detailed);
}

/* Together beyond what one call can use: refused, told, and the call is not left open. */
static void test_sum_beyond_a_call_is_a_failure_and_the_call_ends(void **state)
{
    tkr_callback *detailed = detailed_for(NULL);
    tkr_response response = response_of(TKR_ABSENT, TKR_TOKENS_MAX, TKR_TOKENS_MAX);
    struct drained sum;

    (void)state;
    assert_int_equal(call_through(detailed, &response), 1);
    sum = found();
    assert_int_equal(sum.open_calls, 0);
    assert_int_equal(counted(&sum, TKR_COUNTER_CALLS), 1);
    assert_int_equal(counted(&sum, TKR_COUNTER_TOTAL), 0);
    assert_int_equal(callback_stat(detailed).failed, 1);
    tkr_callback_release(detailed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CALLBACK_TEST(test_token_adds_the_total_and_the_call),
        CALLBACK_TEST(test_token_without_usage_counts_the_call_and_says_so),
        CALLBACK_TEST(test_detailed_adds_parts_and_their_sum),
        CALLBACK_TEST(test_detailed_call_is_open_from_start_to_end),
        CALLBACK_TEST(test_ends_without_a_start_are_told_and_not_charged),
        CALLBACK_TEST(test_detailed_total_below_the_estimate_is_charged_as_reported),
        CALLBACK_TEST(test_detailed_total_above_its_parts_is_charged_as_reported),
        CALLBACK_TEST(test_contradictions_are_counted_by_cause),
        CALLBACK_TEST(test_stat_of_an_older_size_is_filled_so_far),
        CALLBACK_TEST(test_error_records_kind_and_duration_and_what_is_reported),
        CALLBACK_TEST(test_account_and_cycle_of_the_handler_go_before_the_context),
        CALLBACK_TEST(test_options_that_are_no_good_are_refused),
        CALLBACK_TEST(test_settings_name_what_is_wrong),
        CALLBACK_TEST(test_bad_context_is_a_failure_that_is_counted),
        CALLBACK_TEST(test_calls_beyond_those_tracked_are_counted_too),
        CALLBACK_TEST(test_sum_beyond_a_call_is_a_failure_and_the_call_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
