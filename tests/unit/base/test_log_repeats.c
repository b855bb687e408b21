/* SPDX-License-Identifier: Apache-2.0 */
/* Lines that are said again: what is let through, what is counted, and that all of it is told of in the end. */
#include <stdio.h>

#include "base/clock.h"
#include "base/log_repeats.h"
#include "support/random.h"
#include "support/test.h"

#define WINDOW_NS (60 * TKR_NS_PER_S)

static struct tkr_log_repeats repeats;

static int set_up(void **state)
{
    (void)state;
    memset(&repeats, 0, sizeof(repeats));
    repeats.window_ns = WINDOW_NS;
    return 0;
}

static struct tkr_log_body body_of(enum tkr_log_level level, const char *text)
{
    static const struct tkr_log_style style = {.format = TKR_LOG_TEXT};
    struct tkr_log_body body;

    tkr_log_body_make(&style, level, text, NULL, 0, &body);
    return body;
}

static bool said(const char *text, int64_t at_s)
{
    struct tkr_log_body body = body_of(TKR_LOG_WARNING, text);

    return tkr_log_repeats_take(&repeats, &body, at_s * TKR_NS_PER_S);
}

static void assert_due(const char *text, uint64_t times, int64_t seconds, int64_t at_s, bool all)
{
    struct tkr_log_more more;
    const struct tkr_log_body *body = tkr_log_repeats_due(&repeats, at_s * TKR_NS_PER_S, all, &more);

    assert_non_null(body);
    assert_int_equal(body->bytes, strlen(text));
    assert_memory_equal(body->text, text, body->bytes);
    assert_int_equal(more.times, times);
    assert_int_equal(more.seconds, seconds);
}

static void assert_nothing_due(int64_t at_s, bool all)
{
    struct tkr_log_more more;

    assert_null(tkr_log_repeats_due(&repeats, at_s * TKR_NS_PER_S, all, &more));
}

static void test_the_first_are_said_and_the_rest_is_told_when_the_window_is_over(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(said("again", i / 50), i < (int)TKR_LOG_REPEATS_SAID);
    assert_nothing_due(59, false);
    assert_true(tkr_log_repeats_next_ns(&repeats) == WINDOW_NS);
    assert_due("again", 1000 - TKR_LOG_REPEATS_SAID, 60, 60, false);
    assert_nothing_due(60, false);
    assert_true(tkr_log_repeats_next_ns(&repeats) == INT64_MAX);
    assert_true(said("again", 61)); /* a window of its own */
}

static void test_at_the_end_windows_are_not_waited_for(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        (void)said("again", 5);
    assert_due("again", 10 - TKR_LOG_REPEATS_SAID, 2, 7, true);
    assert_nothing_due(7, true);
}

static void test_a_line_now_and_then_is_always_said(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_nothing_due(60 * i, false);
        assert_true(said("now and then", 60 * i));
    }
    assert_nothing_due(100000, true);
}

static void test_lines_that_differ_in_text_or_level_are_not_the_same(void **state)
{
    struct tkr_log_body error = body_of(TKR_LOG_ERROR, "again");

    (void)state;
    for (int i = 0; i < 10; i++)
        (void)said("again", 1);
    assert_true(said("again.", 1));
    assert_true(said("agaim", 1));
    assert_true(tkr_log_repeats_take(&repeats, &error, TKR_NS_PER_S));
}

/* More lines than are kept in mind: the oldest that is not counted goes; where all are counted, others pass. */
static void test_nothing_is_left_out_that_is_not_told_of(void **state)
{
    struct test_random random = test_random_start();
    struct tkr_log_more more;
    uint64_t told = 0;
    uint64_t put = 0;
    int64_t at_s = 0;

    (void)state;
    for (int i = 0; i < 100000; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "line %d", (int)test_random_below(&random, 1 + test_random_below(&random, 100)));
        at_s += test_random_below(&random, 50) == 0;
        while (tkr_log_repeats_due(&repeats, at_s * TKR_NS_PER_S, false, &more) != NULL)
            told += more.times;
        told += said(text, at_s);
        put++;
    }
    assert_true(told < put); /* some are waiting */
    while (tkr_log_repeats_due(&repeats, at_s * TKR_NS_PER_S, true, &more) != NULL)
        told += more.times;
    assert_int_equal(told, put);
}

static void test_when_all_that_is_kept_is_counted_others_pass(void **state)
{
    char text[32];

    (void)state;
    for (int i = 0; i < 4 * (int)TKR_LOG_REPEATS_MAX; i++) {
        (void)snprintf(text, sizeof(text), "line %d", i / 4);
        (void)said(text, 1);
    }
    for (int i = 0; i < 10; i++)
        assert_true(said("another", 2));
    assert_false(said("line 0", 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_the_first_are_said_and_the_rest_is_told_when_the_window_is_over, set_up),
        cmocka_unit_test_setup(test_at_the_end_windows_are_not_waited_for, set_up),
        cmocka_unit_test_setup(test_a_line_now_and_then_is_always_said, set_up),
        cmocka_unit_test_setup(test_lines_that_differ_in_text_or_level_are_not_the_same, set_up),
        cmocka_unit_test_setup(test_nothing_is_left_out_that_is_not_told_of, set_up),
        cmocka_unit_test_setup(test_when_all_that_is_kept_is_counted_others_pass, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
