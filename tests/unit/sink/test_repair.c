/* SPDX-License-Identifier: Apache-2.0 */
/* What is decided about a record that is missing: sink/repair.h, free of any sink. */
#include <stdlib.h>
#include <string.h>

#include "sink/repair.h"
#include "support/sink.h"
#include "support/test.h"

#define K test_record(5, 10, 4).counts
#define N test_record(5, 30, 9).counts

struct fixture {
    struct tkr_holdings holdings;
    struct tkr_contribution item;
    struct tkr_repair repair;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (f == NULL || !tkr_holdings_begin(&f->holdings, TKR_KIND_USER, "u", 1, SINK_TEST_CYCLE))
        return -1;
    f->item = (struct tkr_contribution){.known = {5, K}, .now = {5, N}};
    f->repair.item = &f->item;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    tkr_holdings_free(&f->holdings);
    free(f);
    return 0;
}

static tkr_counts sum(tkr_counts a, tkr_counts b)
{
    assert_true(tkr_counts_add(&a, &b));
    return a;
}

static bool same(const tkr_counts *a, tkr_counts b)
{
    return memcmp(a, &b, sizeof(b)) == 0;
}

static tkr_counts plus(tkr_counts counts, int counter, int64_t n)
{
    counts.value[counter] += n;
    return counts;
}

/* With that total; taken_off NULL: resets leave no trace. */
static enum tkr_repair_verdict decide(struct fixture *f, tkr_counts total, struct tkr_repair_terms terms,
                                      const tkr_counts *taken_off)
{
    tkr_message why;

    f->holdings.holding[0].total = total;
    assert_true(tkr_holdings_finish_totals(&f->holdings, &why));
    tkr_repair_decide(&f->repair, "me.0", &terms, &f->holdings, taken_off, NULL);
    return f->repair.verdict;
}

#define REFUSE ((struct tkr_repair_terms){.choice = TKR_REPAIR_REFUSE})
#define CHOOSE(c) ((struct tkr_repair_terms){.choice = (c)})

static void test_total_tells_whether_it_has_it(void **state)
{
    struct fixture *f = *state;
    struct tkr_record other = test_record(2, 1000, 50);

    assert_true(tkr_holding_add(&f->holdings.holding[0], "other.0", 7, &other));
    assert_int_equal(decide(f, sum(other.counts, K), REFUSE, NULL), TKR_REPAIR_COUNTED);
    assert_true(same(&f->repair.record.counts, K));
    assert_int_equal(f->repair.record.life, 5);
    assert_int_equal(decide(f, sum(other.counts, N), REFUSE, NULL), TKR_REPAIR_COUNTED);
    assert_true(same(&f->repair.record.counts, N));
    assert_int_equal(decide(f, other.counts, REFUSE, NULL), TKR_REPAIR_LACKING);
    assert_true(tkr_counts_zero(&f->repair.record.counts));
    assert_false(f->repair.chosen);
}

/* The host's other sources that miss their records, too, are in what is unexplained; one that has its record is not. */
static void test_total_has_what_siblings_miss_too(void **state)
{
    struct fixture *f = *state;
    struct tkr_record there = test_record(2, 1000, 50);
    struct tkr_repair_sibling sibling[] = {{"me.1", test_record(2, 70, 7).counts, test_record(2, 75, 8).counts},
                                           {"me.2", there.counts, there.counts}};

    f->repair.sibling = sibling;
    f->repair.sibling_count = 2;
    assert_true(tkr_holding_add(&f->holdings.holding[0], "me.2", 4, &there));
    assert_int_equal(decide(f, sum(sum(there.counts, K), sibling[0].known), REFUSE, NULL), TKR_REPAIR_COUNTED);
    assert_true(same(&f->repair.record.counts, K));
    assert_int_equal(decide(f, sum(sum(there.counts, N), sibling[0].now), REFUSE, NULL), TKR_REPAIR_COUNTED);
    assert_true(same(&f->repair.record.counts, N));
    assert_int_equal(decide(f, sum(there.counts, K), REFUSE, NULL), TKR_REPAIR_UNKNOWN);
    assert_int_equal(decide(f, sum(sum(there.counts, K), sibling[0].now), REFUSE, NULL), TKR_REPAIR_UNKNOWN);
    assert_int_equal(decide(f, there.counts, REFUSE, NULL), TKR_REPAIR_LACKING);
}

/* One counter that does not fit, by one, and it is not known. */
static void test_any_counter_that_does_not_fit_makes_it_unknown(void **state)
{
    struct fixture *f = *state;
    tkr_counts zero = {{0}};

    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        for (int64_t n = -1; n <= 1; n += 2) {
            assert_int_equal(decide(f, plus(K, i, n), REFUSE, NULL), TKR_REPAIR_UNKNOWN);
            assert_int_equal(decide(f, plus(N, i, n), REFUSE, NULL), TKR_REPAIR_UNKNOWN);
            assert_int_equal(decide(f, plus(zero, i, n), REFUSE, NULL), TKR_REPAIR_UNKNOWN);
        }
    }
}

/* Rows of resets are known, so the rest never falls: what is below what was acknowledged cannot be in it. */
static void test_total_of_rows_that_is_below_lacks_it(void **state)
{
    struct fixture *f = *state;
    tkr_counts none = {{0}};
    tkr_counts taken_off = {{-7}};

    assert_int_equal(decide(f, plus(K, TKR_COUNTER_PROMPT, -1), REFUSE, &none), TKR_REPAIR_LACKING);
    assert_int_equal(decide(f, plus(K, TKR_COUNTER_PROMPT, 1), REFUSE, &none), TKR_REPAIR_UNKNOWN);
    assert_int_equal(decide(f, plus(K, TKR_COUNTER_PROMPT, -7), REFUSE, &taken_off), TKR_REPAIR_COUNTED);
    assert_int_equal(decide(f, taken_off, REFUSE, &taken_off), TKR_REPAIR_LACKING);
}

static void test_choice_is_only_for_what_is_unknown(void **state)
{
    struct fixture *f = *state;
    tkr_counts between = plus(K, TKR_COUNTER_PROMPT, 3);

    assert_int_equal(decide(f, K, CHOOSE(TKR_REPAIR_RESEND), NULL), TKR_REPAIR_COUNTED);
    assert_int_equal(decide(f, (tkr_counts){{0}}, CHOOSE(TKR_REPAIR_RECORD), NULL), TKR_REPAIR_LACKING);
    assert_false(f->repair.chosen);
    assert_int_equal(decide(f, between, CHOOSE(TKR_REPAIR_RECORD), NULL), TKR_REPAIR_COUNTED);
    assert_true(same(&f->repair.record.counts, K));
    assert_true(f->repair.chosen);
    assert_int_equal(decide(f, between, CHOOSE(TKR_REPAIR_UNEXPLAINED), NULL), TKR_REPAIR_COUNTED);
    assert_true(same(&f->repair.record.counts, between));
    assert_int_equal(decide(f, between, CHOOSE(TKR_REPAIR_RESEND), NULL), TKR_REPAIR_LACKING);
    assert_true(tkr_counts_zero(&f->repair.record.counts));
    /* more than was ever counted, or less than nothing, cannot be all its own */
    assert_int_equal(decide(f, plus(N, TKR_COUNTER_PROMPT, 1), CHOOSE(TKR_REPAIR_UNEXPLAINED), NULL), TKR_REPAIR_UNKNOWN);
    assert_int_equal(decide(f, plus(K, TKR_COUNTER_COST, -1), CHOOSE(TKR_REPAIR_UNEXPLAINED), NULL), TKR_REPAIR_UNKNOWN);
    assert_false(f->repair.chosen);
}

static void test_record_that_is_there_and_what_was_forgotten_are_left(void **state)
{
    struct fixture *f = *state;
    struct tkr_record mine = test_record(5, 1, 1);

    f->holdings.forgotten = true;
    assert_int_equal(decide(f, K, CHOOSE(TKR_REPAIR_RESEND), NULL), TKR_REPAIR_FORGOTTEN);
    assert_true(tkr_holding_add(&f->holdings.holding[0], "me.0", 4, &mine));
    assert_int_equal(decide(f, K, CHOOSE(TKR_REPAIR_RESEND), NULL), TKR_REPAIR_NEEDLESS);
}

static void test_model_that_the_sink_does_not_have_is_lacking(void **state)
{
    struct fixture *f = *state;

    f->item.model = "m";
    f->item.model_len = 1;
    assert_int_equal(decide(f, K, REFUSE, NULL), TKR_REPAIR_LACKING);
}

static void test_figures_that_do_not_fit_and_what_cannot_be_read_are_left(void **state)
{
    struct fixture *f = *state;
    struct tkr_record all = test_record(2, 0, 0);
    tkr_counts least = {{0}};
    tkr_message why;

    all.counts.value[TKR_COUNTER_COST] = INT64_MAX;
    least.value[TKR_COUNTER_COST] = -2;
    assert_true(tkr_holding_add(&f->holdings.holding[0], "other.0", 7, &all));
    f->holdings.holding[0].total = least;
    assert_false(tkr_holdings_finish_totals(&f->holdings, &why));
    tkr_repair_decide(&f->repair, "me.0", &REFUSE, &f->holdings, NULL, NULL);
    assert_int_equal(f->repair.verdict, TKR_REPAIR_UNREADABLE);
    tkr_repair_decide(&f->repair, "me.0", &REFUSE, NULL, NULL, "no such thing");
    assert_int_equal(f->repair.verdict, TKR_REPAIR_UNREADABLE);
    assert_string_equal(f->repair.why, "no such thing");
}

/* Numbers of chunks tell what the sink cannot have had, but for none at all. */
static void test_life_above_the_sinks_number_was_never_in_it(void **state)
{
    const uint64_t seen = UINT64_C(1795000000000000001);

    (void)state;
    assert_true(tkr_seen_before(seen, seen + 1));
    assert_false(tkr_seen_before(seen, seen));
    assert_false(tkr_seen_before(0, seen)); /* somebody may have deleted it */
    assert_true(tkr_seen_before(TKR_SEEN_RESTORED, seen));
    assert_true(tkr_seen_before(seen / 1000 | 1, seen + 2000)); /* a restore's */
    assert_false(tkr_seen_before(seen / 1000 | 1, seen - 2000));
    assert_false(tkr_seen_before(seen, TKR_LIFE_TIMED_END)); /* a life that numbers do not follow */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_total_tells_whether_it_has_it),
        T(test_total_has_what_siblings_miss_too),
        T(test_any_counter_that_does_not_fit_makes_it_unknown),
        T(test_total_of_rows_that_is_below_lacks_it),
        T(test_choice_is_only_for_what_is_unknown),
        T(test_record_that_is_there_and_what_was_forgotten_are_left),
        T(test_model_that_the_sink_does_not_have_is_lacking),
        T(test_figures_that_do_not_fit_and_what_cannot_be_read_are_left),
        T(test_life_above_the_sinks_number_was_never_in_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
