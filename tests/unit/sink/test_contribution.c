/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/contribution.h"
#include "support/sink.h"
#include "support/test.h"

#define NONE test_record_none()

static enum tkr_decision decide(struct tkr_record known, struct tkr_record now, struct tkr_record found, bool in_order,
                                struct tkr_record *ret_known)
{
    struct tkr_contribution item = {.known = known, .now = now, .found = found, .outcome = TKR_OUTCOME_FOUND};
    enum tkr_decision decision = tkr_contribution_decide(&item, in_order);

    *ret_known = item.known;
    return decision;
}

static void assert_decision(struct tkr_record known, struct tkr_record now, struct tkr_record found, bool in_order,
                            enum tkr_decision expected, struct tkr_record known_after)
{
    struct tkr_record after;

    assert_int_equal(decide(known, now, found, in_order, &after), expected);
    assert_true(tkr_record_same(&after, &known_after));
}

static void test_decision_applied_is_acknowledged(void **state)
{
    struct tkr_contribution item = {.now = test_record(1, 2, 3), .outcome = TKR_OUTCOME_APPLIED};

    (void)state;
    assert_int_equal(tkr_contribution_decide(&item, true), TKR_DECIDE_ACKNOWLEDGED);
    assert_true(tkr_record_same(&item.known, &item.now));
}

static void test_decision_poison_is_parked_and_known_stays(void **state)
{
    struct tkr_contribution item = {.known = test_record(1, 1, 1), .now = test_record(1, 2, 3), .outcome = TKR_OUTCOME_POISON};
    struct tkr_record before = item.known;

    (void)state;
    assert_int_equal(tkr_contribution_decide(&item, true), TKR_DECIDE_PARK);
    assert_true(tkr_record_same(&item.known, &before));
}

static void test_decision_found_what_was_sent_is_acknowledged(void **state)
{
    (void)state;
    assert_decision(NONE, test_record(2, 5, 5), test_record(2, 5, 5), true, TKR_DECIDE_ACKNOWLEDGED, test_record(2, 5, 5));
}

static void test_decision_found_behind_is_sent_from_there(void **state)
{
    (void)state;
    assert_decision(NONE, test_record(2, 5, 5), test_record(2, 4, 5), true, TKR_DECIDE_RESEND, test_record(2, 4, 5));
    assert_decision(test_record(2, 5, 0), test_record(2, 5, 5), test_record(2, 1, 0), false, TKR_DECIDE_RESEND,
                    test_record(2, 1, 0));
}

static void test_decision_found_older_life_is_sent_from_there(void **state)
{
    (void)state;
    assert_decision(NONE, test_record(2, 5, 5), test_record(1, 400, 5), true, TKR_DECIDE_RESEND, test_record(1, 400, 5));
}

static void test_decision_found_newer_life_or_more_is_conflict(void **state)
{
    struct tkr_record known = test_record(2, 1, 0);

    (void)state;
    assert_decision(known, test_record(2, 5, 5), test_record(3, 0, 0), true, TKR_DECIDE_CONFLICT, known);
    assert_decision(known, test_record(2, 5, 5), test_record(2, 6, 5), true, TKR_DECIDE_CONFLICT, known);
    assert_decision(known, test_record(2, 5, 5), test_record(2, 6, 0), false, TKR_DECIDE_CONFLICT, known);
}

static void test_decision_record_gone_depends_on_order(void **state)
{
    struct tkr_record known = test_record(2, 1, 0);

    (void)state;
    assert_decision(known, test_record(2, 5, 5), NONE, true, TKR_DECIDE_AMBIGUOUS, known);
    assert_decision(known, test_record(2, 5, 5), NONE, false, TKR_DECIDE_RESEND, NONE);
    assert_decision(test_record(1, 1, 0), test_record(2, 5, 5), NONE, true, TKR_DECIDE_RESEND, NONE);
}

static void test_decision_record_erased_begins_a_new_life_when_in_order(void **state)
{
    struct tkr_record known = test_record(2, 1, 0);
    struct tkr_contribution item = {.known = known, .now = test_record(2, 5, 5), .outcome = TKR_OUTCOME_FOUND, .erased = true};

    (void)state;
    assert_int_equal(tkr_contribution_decide(&item, true), TKR_DECIDE_ERASED);
    assert_true(tkr_record_same(&item.known, &known));
    assert_int_equal(tkr_contribution_decide(&item, false), TKR_DECIDE_RESEND); /* the sink went back: all of it */
    item.known = test_record(1, 1, 0);
    assert_int_equal(tkr_contribution_decide(&item, true), TKR_DECIDE_RESEND); /* nothing of this life was there */
    item.found = item.now;
    assert_int_equal(tkr_contribution_decide(&item, true), TKR_DECIDE_ACKNOWLEDGED);
}

static void test_delta_within_a_life_is_the_difference(void **state)
{
    struct tkr_contribution item = {.known = test_record(2, 3, 1), .now = test_record(2, 5, 1)};
    tkr_counts delta;

    (void)state;
    assert_true(tkr_contribution_delta(&item, &delta));
    assert_int_equal(delta.value[TKR_COUNTER_PROMPT], 2);
    assert_int_equal(delta.value[TKR_COUNTER_COMPLETION], 0);
    assert_int_equal(delta.value[TKR_COUNTER_TOTAL], 2);
}

static void test_delta_across_lives_is_all_of_it(void **state)
{
    struct tkr_contribution item = {.known = test_record(1, 300, 100), .now = test_record(2, 5, 1)};
    tkr_counts delta;

    (void)state;
    assert_true(tkr_contribution_delta(&item, &delta));
    assert_int_equal(delta.value[TKR_COUNTER_TOTAL], 6);
}

static void test_delta_below_known_is_refused(void **state)
{
    struct tkr_contribution item = {.known = test_record(2, 3, 9), .now = test_record(2, 5, 8)};
    tkr_counts delta = {{-7}};

    (void)state;
    assert_false(tkr_contribution_delta(&item, &delta));
    assert_int_equal(delta.value[0], -7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decision_applied_is_acknowledged),
        cmocka_unit_test(test_decision_poison_is_parked_and_known_stays),
        cmocka_unit_test(test_decision_found_what_was_sent_is_acknowledged),
        cmocka_unit_test(test_decision_found_behind_is_sent_from_there),
        cmocka_unit_test(test_decision_found_older_life_is_sent_from_there),
        cmocka_unit_test(test_decision_found_newer_life_or_more_is_conflict),
        cmocka_unit_test(test_decision_record_gone_depends_on_order),
        cmocka_unit_test(test_decision_record_erased_begins_a_new_life_when_in_order),
        cmocka_unit_test(test_delta_within_a_life_is_the_difference),
        cmocka_unit_test(test_delta_across_lives_is_all_of_it),
        cmocka_unit_test(test_delta_below_known_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
