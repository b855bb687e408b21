/* SPDX-License-Identifier: Apache-2.0 */
#include "support/test.h"

#include <math.h>

#include "traffic/cost.h"

/* Median of batches that took from_ns..to_ns, step_ns apart. */
static double median_of(uint64_t from_ns, uint64_t to_ns, uint64_t step_ns)
{
    static struct tkr_cost cost;

    cost = (struct tkr_cost){{0}};
    tkr_cost_add(&cost, from_ns);
    for (uint64_t ns = from_ns; to_ns - ns >= step_ns;) {
        ns += step_ns;
        tkr_cost_add(&cost, ns);
    }
    return tkr_cost_median_ns(&cost);
}

static void test_cost_median_is_near_the_true_one(void **state)
{
    (void)state;
    assert_true(fabs(median_of(0, 62, 1) - 31.0 / TKR_COST_BATCH) < 1e-9);
    for (double ns = 100; ns < 1e12; ns *= 3) {
        uint64_t low = (uint64_t)(ns * 0.5);
        uint64_t high = (uint64_t)(ns * 1.5);
        double expected = (double)(low + high) / 2 / TKR_COST_BATCH;
        double found = median_of(low, high, (high - low) / 100 + 1);

        assert_true(fabs(found / expected - 1) < 0.016 + 0.01); /* a bucket, and a step of the values */
    }
}

static void test_cost_one_slow_batch_does_not_move_the_median(void **state)
{
    static struct tkr_cost cost;

    (void)state;
    for (int i = 0; i < 100; i++)
        tkr_cost_add(&cost, 64 * 40);
    tkr_cost_add(&cost, UINT64_MAX);
    assert_true(fabs(tkr_cost_median_ns(&cost) - 40) < 40 * 0.016);
}

static void test_cost_of_any_length_has_a_bucket(void **state)
{
    (void)state;
    for (int bit = 0; bit < 64; bit++) {
        uint64_t ns = UINT64_MAX >> bit;

        assert_true(fabs(median_of(ns, ns, 1) / ((double)ns / TKR_COST_BATCH) - 1) < 0.016);
    }
}

static void test_cost_of_nothing_is_negative(void **state)
{
    static struct tkr_cost cost;

    (void)state;
    assert_true(tkr_cost_median_ns(&cost) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cost_median_is_near_the_true_one),
        cmocka_unit_test(test_cost_one_slow_batch_does_not_move_the_median),
        cmocka_unit_test(test_cost_of_any_length_has_a_bucket),
        cmocka_unit_test(test_cost_of_nothing_is_negative),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
