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
    assert_int_equal(tkr_on_llm_end(detailed, &response, &context), 0); /* once more: nothing is begun any more */
    assert_int_equal(found().frames, 1);
    tkr_callback_release(detailed);
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
