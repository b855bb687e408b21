/* SPDX-License-Identifier: Apache-2.0 */
/* Handles that are no call of this producer, or not any more. */
#include <sys/wait.h>

#include "unit/producer/refusals.h"

static void test_handle_refusals(void **state)
{
    tkr_call call = 0;

    (void)state;
    good();
    REFUSED(TKR_EHANDLE, tkr_call_end(producer, 0, &usage));
    REFUSED(TKR_EHANDLE, tkr_call_progress(producer, 0, 1));
    assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
    REFUSED(TKR_EHANDLE, tkr_call_end(producer, UINT64_MAX, &usage));
    REFUSED(TKR_EHANDLE, tkr_call_end(producer, call + 1, &usage));                  /* a call still to come */
    REFUSED(TKR_EHANDLE, tkr_call_end(producer, call + (1u << 28), &usage));         /* a slot never begun */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        PRODUCER_TEST(test_handle_refusals),
        PRODUCER_TEST(test_handle_of_another_producer_is_refused),
        PRODUCER_TEST(test_handle_of_a_producer_closed_and_opened_again_is_refused),
        PRODUCER_TEST(test_handle_from_before_a_fork_is_refused_in_the_child),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
