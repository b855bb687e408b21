/* SPDX-License-Identifier: Apache-2.0 */
/* What is called healthy, degraded and unhealthy, and why. */
#include <string.h>

#include "base/clock.h"
#include "collector/status.h"
#include "support/test.h"

static struct tkr_host_balance balance;
static struct tkr_health health;

static int set_up(void **state)
{
    (void)state;
    memset(&balance, 0, sizeof(balance));
    memset(&health, 0, sizeof(health));
    health.state = TKR_HEALTH_GOOD;
    balance.collector_running = true;
    balance.health = &health;
    return 0;
}

static struct tkr_status_known known(void)
{
    return (struct tkr_status_known){.balance = &balance, .stalled = "worker", .patience_ns = 10 * TKR_NS_PER_S};
}

static struct tkr_status judge(const struct tkr_status_known *what)
{
    struct tkr_status status;

    tkr_status_judge(what, &status);
    return status;
}

static void expect(const struct tkr_status_known *what, enum tkr_status_grade grade, const char *reason)
{
    struct tkr_status status = judge(what);

    assert_int_equal(status.grade, grade);
    assert_int_equal(status.reasons, 1);
    if (strstr(status.reason[0].text, reason) == NULL)
        fail_msg("%s", status.reason[0].text);
}

static void test_status_of_a_collector_that_has_nothing_is_healthy(void **state)
{
    struct tkr_status_known what = known();
    struct tkr_status status = judge(&what);

    (void)state;
    assert_int_equal(status.grade, TKR_STATUS_HEALTHY);
    assert_int_equal(status.reasons, 0);
    assert_string_equal(tkr_status_word[status.grade], "healthy");
    balance.health = NULL; /* nothing was said yet */
    assert_int_equal(judge(&what).grade, TKR_STATUS_HEALTHY);
}

static void test_status_of_a_loop_that_stands_still_is_unhealthy_after_a_while(void **state)
{
    struct tkr_status_known what = known();
    tkr_message reason;

    (void)state;
    what.stalled_ns = 40 * TKR_NS_PER_S;
    assert_int_equal(judge(&what).grade, TKR_STATUS_HEALTHY);
    assert_false(tkr_status_stopped(what.stalled, what.stalled_ns, what.patience_ns, &reason));
    what.stalled_ns++;
    expect(&what, TKR_STATUS_UNHEALTHY, "the loop of the worker has not moved for 40 s");
}

static void test_status_of_a_law_that_does_not_hold_is_unhealthy(void **state)
{
    struct tkr_status_known what = known();

    (void)state;
    balance.host.offered = 2;
    balance.host.counted = 1;
    expect(&what, TKR_STATUS_UNHEALTHY, "the law does not hold");
    balance.host.dropped[0] = 1;
    assert_int_equal(judge(&what).grade, TKR_STATUS_HEALTHY);
}

static void test_status_without_a_collector_is_unhealthy(void **state)
{
    struct tkr_status_known what = known();

    (void)state;
    balance.collector_running = false;
    expect(&what, TKR_STATUS_UNHEALTHY, "no collector runs");
}

static void test_status_is_degraded_while_it_counts_and_somebody_should_look(void **state)
{
    struct tkr_balance_shard shard = {.overflow_charges = 3};
    struct tkr_status_known what = known();

    (void)state;
    health.state = TKR_HEALTH_FAILING;
    health.since_monotonic_ns = tkr_clock_monotonic_ns() - 5 * TKR_NS_PER_S;
    memcpy(health.error, "no answer", 10);
    expect(&what, TKR_STATUS_DEGRADED, "the sink has not taken usage for 5 s: no answer");
    health.state = TKR_HEALTH_GOOD;
    health.parked = 2;
    expect(&what, TKR_STATUS_DEGRADED, "cannot take 2 accounts");
    health.parked = 0;
    memcpy(health.advice, "it may evict", 13);
    expect(&what, TKR_STATUS_DEGRADED, "it may evict");
    health.advice[0] = '\0';
    memcpy(health.problem[TKR_PROBLEM_LOG], "the log goes elsewhere", 23);
    expect(&what, TKR_STATUS_DEGRADED, "the log goes elsewhere");
    health.problem[TKR_PROBLEM_LOG][0] = '\0';
    what.dropped_recent = 7;
    expect(&what, TKR_STATUS_DEGRADED, "7 records were dropped");
    what.dropped_recent = 0;
    what.waiting_lanes = 3;
    what.tmpfs_bytes = 64 << 20;
    what.tmpfs_available = 4096;
    expect(&what, TKR_STATUS_DEGRADED,
           "3 lanes wait, since the tmpfs of the runtime directory has no memory for more accounts (4 of");
    what.waiting_lanes = 0;
    what.no_board = true;
    expect(&what, TKR_STATUS_DEGRADED, "limits are not known");
    what.no_board = false;
    balance.shard = &shard;
    balance.shard_count = 1;
    expect(&what, TKR_STATUS_DEGRADED, "3 charges went to the account ~overflow");
    balance.shard_count = 0;
    what.balance = NULL;
    memcpy(what.why_not.text, "no memory", 10);
    expect(&what, TKR_STATUS_DEGRADED, "cannot be read: no memory");
}

static void test_status_takes_the_worst_of_all_reasons(void **state)
{
    struct tkr_status_known what = known();
    struct tkr_status status;

    (void)state;
    health.state = TKR_HEALTH_FAILING;
    health.parked = 1;
    health.advice[0] = '!';
    for (int i = 0; i < TKR_PROBLEM_COUNT; i++)
        health.problem[i][0] = '!';
    balance.collector_running = false;
    balance.host.offered = 1;
    what.stalled_ns = INT64_MAX;
    what.no_board = true;
    what.dropped_recent = 1;
    what.waiting_lanes = 1;
    status = judge(&what);
    assert_int_equal(status.grade, TKR_STATUS_UNHEALTHY);
    assert_int_equal(status.reasons, 9 + TKR_PROBLEM_COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_status_of_a_collector_that_has_nothing_is_healthy, set_up),
        cmocka_unit_test_setup(test_status_of_a_loop_that_stands_still_is_unhealthy_after_a_while, set_up),
        cmocka_unit_test_setup(test_status_of_a_law_that_does_not_hold_is_unhealthy, set_up),
        cmocka_unit_test_setup(test_status_without_a_collector_is_unhealthy, set_up),
        cmocka_unit_test_setup(test_status_is_degraded_while_it_counts_and_somebody_should_look, set_up),
        cmocka_unit_test_setup(test_status_takes_the_worst_of_all_reasons, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
