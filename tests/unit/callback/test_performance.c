/* SPDX-License-Identifier: Apache-2.0 */
/* Performance handlers: histogram, groups, slow calls, comparison. */
#include <pthread.h>

#include "base/clock.h"
#include "callback/histogram.h"
#include "support/light.h"
#include "support/random.h"
#include "unit/callback/fixture.h"

static void test_histogram_is_at_most_a_sixteenth_too_high(void **state)
{
    struct test_random random = test_random_start();

    (void)state;
    for (int i = 0; i < 20000; i++) {
        static struct tkr_histogram histogram;
        static struct tkr_histogram_sum sum;
        int64_t ns = (int64_t)(test_random_next(&random) >> (4 + test_random_below(&random, 60)));
        int64_t found;

        memset(&histogram, 0, sizeof(histogram));
        memset(&sum, 0, sizeof(sum));
        tkr_histogram_add(&histogram, ns);
        tkr_histogram_sum_up(&histogram, &sum);
        found = tkr_histogram_percentile(&sum, 0.5);
        if (found < ns || found - ns > ns / 16)
            fail_msg("%lld is found as %lld", (long long)ns, (long long)found);
        if (test_light(16) < 16 && i > 200)
            break;
    }
}

static void test_histogram_percentiles(void **state)
{
    static struct tkr_histogram histogram;
    static struct tkr_histogram_sum sum;

    (void)state;
    assert_int_equal(tkr_histogram_percentile(&sum, 0.5), 0);
    for (int i = 1; i <= 15; i++) /* each has a place of its own */
        tkr_histogram_add(&histogram, i);
    tkr_histogram_add(&histogram, -4);
    tkr_histogram_sum_up(&histogram, &sum);
    assert_int_equal(sum.count, 16);
    assert_int_equal(tkr_histogram_percentile(&sum, 0), 0);
    assert_int_equal(tkr_histogram_percentile(&sum, 0.5), 7);
    assert_int_equal(tkr_histogram_percentile(&sum, 1), 15);
    tkr_histogram_add(&histogram, INT64_MAX);
}

/* --- calls --- */

static void call(tkr_callback *performance, const char *model, const char *variant, bool good)
{
    const tkr_attribute attribute = {.key = "variant", .key_len = 7, .value = variant, .value_len = (uint32_t)strlen(variant)};
    tkr_callback_context context = context_for("alice");
    tkr_response response = response_of(1, TKR_ABSENT, TKR_ABSENT);
    tkr_call_error error = TKR_CALL_ERROR_INIT;

    context.start.model = model;
    context.start.model_len = (uint32_t)strlen(model);
    context.start.provider = "openai";
    context.start.provider_len = 6;
    context.attribute = &attribute;
    context.attribute_count = 1;
    assert_int_equal(tkr_on_llm_start(performance, NULL, 0, &context), 0);
    assert_int_equal(good ? tkr_on_llm_end(performance, &response, &context) : tkr_on_llm_error(performance, &error, &context),
                     0);
}

static tkr_performance read_of(tkr_callback *performance, const char *model, const char *provider, const char *label)
{
    tkr_performance found_of = TKR_PERFORMANCE_INIT;

    assert_int_equal(tkr_performance_read(performance, model, provider, label, &found_of), TKR_OK);
    return found_of;
}

static void test_performance_groups_by_model_provider_and_label(void **state)
{
    tkr_callback *performance = NULL;

    (void)state;
    assert_int_equal(tkr_performance_callback(NULL, &performance), TKR_OK);
    for (int i = 0; i < 30; i++) {
        call(performance, "gpt-4o", "a", i % 10 != 0);
        call(performance, "gpt-4o", "b", true);
        call(performance, "claude", "a", true);
    }
    assert_int_equal(read_of(performance, NULL, NULL, NULL).calls, 90);
    assert_int_equal(read_of(performance, NULL, NULL, NULL).groups, 3);
    assert_int_equal(read_of(performance, "gpt-4o", NULL, NULL).calls, 60);
    assert_int_equal(read_of(performance, "gpt-4o", "openai", "a").errors, 3);
    assert_true(read_of(performance, "gpt-4o", "openai", "a").success_rate == 1.0 - 3.0 / 30.0);
    assert_true(read_of(performance, "gpt-4o", NULL, "b").success_rate == 1.0);
    assert_int_equal(read_of(performance, "gpt-4", NULL, NULL).calls, 0);
    assert_true(read_of(performance, "gpt-4", NULL, NULL).success_rate == 1.0);
    assert_int_equal(read_of(performance, NULL, "anthropic", NULL).calls, 0);
    tkr_callback_release(performance);
}

static tkr_slow_call slow;
static int slow_calls;

static void note_slow(void *user, const tkr_slow_call *one)
{
    assert_ptr_equal(user, &slow);
    slow = *one;
    slow_calls++;
}

static void test_performance_reports_slow_calls(void **state)
{
    tkr_performance_options options = TKR_PERFORMANCE_OPTIONS_INIT;
    const struct timespec pause = {.tv_nsec = 3000000};
    tkr_callback *performance = NULL;
    tkr_callback_context context = context_for("alice");
    tkr_response response = response_of(1, TKR_ABSENT, TKR_ABSENT);

    (void)state;
    options.slow_ms = 1;
    options.on_slow = note_slow;
    options.user = &slow;
    options.producer = producer;
    slow_calls = 0;
    assert_int_equal(tkr_performance_callback(&options, &performance), TKR_OK);
    assert_int_equal(tkr_on_llm_start(performance, NULL, 0, &context), 0);
    (void)nanosleep(&pause, NULL); /* a call that takes its time */
    assert_int_equal(tkr_on_llm_end(performance, &response, &context), 0);
    assert_int_equal(slow_calls, 1);
    assert_true(slow.duration_ns >= 3000000);
    assert_int_equal(callback_stat(performance).slow, 1);
    assert_int_equal(read_of(performance, NULL, NULL, NULL).slow, 1);
    assert_true(read_of(performance, NULL, NULL, NULL).p50_ns >= 3000000);
    assert_true(read_of(performance, NULL, NULL, NULL).max_ns >= read_of(performance, NULL, NULL, NULL).mean_ns);
    assert_int_equal(found().frames, 0); /* a notice is nobody's usage */
    tkr_callback_release(performance);
}

static void test_performance_compares_two_labels(void **state)
{
    tkr_comparison comparison = TKR_COMPARISON_INIT;
    tkr_callback *performance = NULL;

    (void)state;
    assert_int_equal(tkr_performance_callback(NULL, &performance), TKR_OK);
    for (int i = 0; i < 400; i++) {
        call(performance, "gpt-4o", "old", i % 4 != 0);
        call(performance, "gpt-4o", "new", i % 20 != 0);
    }
    assert_int_equal(tkr_performance_compare(performance, "old", "new", &comparison), TKR_OK);
    assert_int_equal(comparison.a.calls, 400);
    assert_int_equal(comparison.b.errors, 20);
    assert_true(comparison.success_difference > 0.199 && comparison.success_difference < 0.201);
    assert_true(comparison.success_z > 7.9 && comparison.success_z < 8.0); /* 0.2 / sqrt(0.85 * 0.15 / 200) */
    assert_true(comparison.mean_ratio > 0 && comparison.p95_ratio > 0);
    assert_int_equal(tkr_performance_compare(performance, "old", "none", &comparison), TKR_OK);
    assert_true(comparison.success_z == 0 && comparison.mean_ratio == 0);
    assert_int_equal(tkr_performance_compare(performance, NULL, "new", &comparison), TKR_EINVAL);
    tkr_callback_release(performance);
}

static void test_performance_beyond_its_groups_counts_in_the_last(void **state)
{
    tkr_callback *performance = NULL;

    (void)state;
    assert_int_equal(tkr_performance_callback(NULL, &performance), TKR_OK);
    for (int i = 0; i < 100; i++) {
        char model[16];
        (void)snprintf(model, sizeof(model), "model-%d", i);
        call(performance, model, "a", true);
    }
    assert_int_equal(read_of(performance, NULL, NULL, NULL).calls, 100);
    assert_int_equal(read_of(performance, NULL, NULL, NULL).groups, 64);
    assert_int_equal(read_of(performance, "model-62", NULL, NULL).calls, 1);
    assert_int_equal(read_of(performance, "", NULL, NULL).calls, 37);
    tkr_callback_release(performance);
}

static void *calls_of_thread(void *performance)
{
    for (int i = 0; i < test_light(2000); i++)
        call(performance, i % 3 == 0 ? "gpt-4o" : "claude", i % 2 == 0 ? "a" : "b", i % 5 != 0);
    return NULL;
}

static void test_performance_of_many_threads_adds_up(void **state)
{
    enum { THREADS = 6 };
    pthread_t thread[THREADS];
    tkr_callback *performance = NULL;

    (void)state;
    assert_int_equal(tkr_performance_callback(NULL, &performance), TKR_OK);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, calls_of_thread, performance), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_int_equal(read_of(performance, NULL, NULL, NULL).calls, (uint64_t)(THREADS * test_light(2000)));
    assert_int_equal(read_of(performance, NULL, NULL, NULL).groups, 4);
    assert_int_equal(read_of(performance, NULL, NULL, NULL).errors, (uint64_t)(THREADS * test_light(2000) / 5));
    tkr_callback_release(performance);
}

static void test_performance_measures_nothing_where_the_environment_says_so(void **state)
{
    tkr_callback_context context = context_for("alice");
    tkr_performance measured = TKR_PERFORMANCE_INIT;
    tkr_response response = TKR_RESPONSE_INIT;
    tkr_callback *performance;

    (void)state;
    assert_int_equal(setenv("ENABLE_PERFORMANCE_MONITORING", "False", 1), 0);
    assert_int_equal(tkr_performance_callback(NULL, &performance), TKR_OK);
    assert_int_equal(tkr_on_llm_start(performance, NULL, 0, &context), 0);
    assert_int_equal(tkr_on_llm_end(performance, &response, &context), 0);
    assert_int_equal(tkr_performance_read(performance, NULL, NULL, NULL, &measured), TKR_OK);
    assert_int_equal(measured.calls, 0);
    tkr_callback_release(performance);
    assert_int_equal(setenv("ENABLE_PERFORMANCE_MONITORING", "no", 1), 0);
    assert_int_equal(tkr_performance_callback(NULL, &performance), TKR_ERANGE);
    assert_int_equal(unsetenv("ENABLE_PERFORMANCE_MONITORING"), 0);
}

static void test_performance_options_that_are_no_good_are_refused(void **state)
{
    tkr_performance_options options = TKR_PERFORMANCE_OPTIONS_INIT;
    tkr_performance found_of = TKR_PERFORMANCE_INIT;
    tkr_callback *performance = NULL;
    tkr_callback *token = token_for("alice");

    (void)state;
    options.slow_ms = 86400001;
    assert_int_equal(tkr_performance_callback(&options, &performance), TKR_ERANGE);
    options.slow_ms = 0;
    options.label = "a key of an attribute that is longer than sixty-three bytes, which is too long";
    assert_int_equal(tkr_performance_callback(&options, &performance), TKR_ERANGE);
    options.size = 4;
    assert_int_equal(tkr_performance_callback(&options, &performance), TKR_ESIZE);
    assert_int_equal(tkr_performance_read(token, NULL, NULL, NULL, &found_of), TKR_EINVAL);
    assert_null(performance);
    tkr_callback_release(token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histogram_is_at_most_a_sixteenth_too_high),
        cmocka_unit_test(test_histogram_percentiles),
        CALLBACK_TEST(test_performance_groups_by_model_provider_and_label),
        CALLBACK_TEST(test_performance_reports_slow_calls),
        CALLBACK_TEST(test_performance_compares_two_labels),
        CALLBACK_TEST(test_performance_beyond_its_groups_counts_in_the_last),
        CALLBACK_TEST(test_performance_of_many_threads_adds_up),
        CALLBACK_TEST(test_performance_measures_nothing_where_the_environment_says_so),
        CALLBACK_TEST(test_performance_options_that_are_no_good_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
