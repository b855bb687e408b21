/* SPDX-License-Identifier: Apache-2.0 */
/* What a restore decides of one account, case by case as sink/restore.h has them. */
#include <stdio.h>
#include <string.h>

#include "sink/dataset.h"
#include "sink/restore.h"
#include "support/sink.h"
#include "support/test.h"

#define SECOND UINT64_C(1000000000)
#define SEEN (UINT64_C(1795000000) * SECOND + 7)
#define A "00000000000000aa.0"
#define B "00000000000000bb.1"

/* One account: as the backup has it, as the sink has it now, and what comes of it. */
struct fixture {
    struct tkr_holdings backup;
    struct tkr_holdings now;
    struct tkr_holdings plan;
    struct tkr_source_seen source[2];
    struct tkr_restore_terms terms;
    struct tkr_restored restored;
};

static int set_up(void **state)
{
    static struct fixture fixture;

    fixture = (struct fixture){.source = {{A, SEEN}, {B, SEEN}}};
    fixture.terms = (struct tkr_restore_terms){.mark = "backup.x", .source = fixture.source, .source_count = 2};
    *state = &fixture;
    return tkr_holdings_begin(&fixture.backup, 0, "u", 1, SINK_TEST_CYCLE) &&
                   tkr_holdings_begin(&fixture.now, 0, "u", 1, SINK_TEST_CYCLE)
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    tkr_holdings_free(&f->backup);
    tkr_holdings_free(&f->now);
    tkr_holdings_free(&f->plan);
    return 0;
}

/* A record of a source; of a model, "" for the account's own. */
static void add(struct tkr_holdings *holdings, const char *model, const char *source, uint64_t life, int64_t tokens)
{
    struct tkr_record record = test_record(life, tokens, 0);

    assert_true(tkr_holding_add(tkr_holdings_of(holdings, model, strlen(model)), source, strlen(source), &record));
}

static void set_rest(struct tkr_holdings *holdings, const char *model, int64_t tokens)
{
    tkr_holdings_of(holdings, model, strlen(model))->rest.value[TKR_COUNTER_PROMPT] = tokens;
}

static enum tkr_restore_verdict decide(struct fixture *f)
{
    tkr_message why;

    assert_true(tkr_holdings_finish_rest(&f->backup, &why) && tkr_holdings_finish_rest(&f->now, &why));
    return tkr_restore_plan(&f->terms, &f->backup, &f->now, &f->plan, &f->restored);
}

static void assert_left(struct fixture *f, const char *why)
{
    assert_int_equal(decide(f), TKR_RESTORE_LEFT);
    if (strstr(f->restored.why, why) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", f->restored.why, why);
    assert_int_equal(f->restored.records, 0);
}

/* What is added in all, and what of it has no record; and how many records are written. */
static void assert_plan(struct fixture *f, int number, int64_t total, int64_t rest, uint32_t records)
{
    const struct tkr_holding *plan = &f->plan.holding[number];

    assert_int_equal(f->restored.verdict, TKR_RESTORE_DONE);
    assert_int_equal(plan->total.value[TKR_COUNTER_PROMPT], total);
    assert_int_equal(plan->rest.value[TKR_COUNTER_PROMPT], rest);
    assert_int_equal(plan->share_count, records);
}

static void test_missing_record_is_added_and_recorded_under_its_name(void **state)
{
    struct fixture *f = *state;

    add(&f->backup, "", A, 5, 100);
    assert_int_equal(decide(f), TKR_RESTORE_DONE);
    assert_plan(f, 0, 100, 0, 1);
    assert_string_equal(f->plan.holding[0].share[0].source, A);
    assert_int_equal(f->plan.holding[0].share[0].record.life, 5);
    assert_int_equal(f->restored.added.value[TKR_COUNTER_TOTAL], 100);
}

static void test_same_life_with_less_gets_the_difference(void **state)
{
    struct fixture *f = *state;

    add(&f->backup, "", A, 5, 100);
    add(&f->now, "", A, 5, 30);
    assert_int_equal(decide(f), TKR_RESTORE_DONE);
    assert_plan(f, 0, 70, 0, 1);
}

static void test_same_life_with_as_much_or_more_gets_nothing(void **state)
{
    struct fixture *f = *state;

    add(&f->backup, "", A, 5, 100);
    add(&f->backup, "", B, 5, 100);
    add(&f->now, "", A, 5, 100);
    add(&f->now, "", B, 5, 101);
    set_rest(&f->now, "", 999); /* of other programs: nothing is presumed */
    assert_int_equal(decide(f), TKR_RESTORE_DONE);
    assert_plan(f, 0, 0, 0, 0);
}

static void test_newer_life_stays_and_the_backups_joins_the_rest(void **state)
{
    struct fixture *f = *state;

    add(&f->backup, "", A, 5, 100);
    add(&f->now, "", A, 6, 3);
    assert_int_equal(decide(f), TKR_RESTORE_DONE);
    assert_plan(f, 0, 100, 100, 0);
}

static void test_older_life_is_left_alone(void **state)
{
    struct fixture *f = *state;

    add(&f->backup, "", A, 5, 100);
    add(&f->now, "", A, 4, 3);
    f->terms.anyway = true; /* nobody can know */
    assert_left(f, "the record of " A " there is of an older life");
}

static void test_records_that_contradict_are_left_alone(void **state)
{
    struct fixture *f = *state;

    add(&f->backup, "", A, 5, 100);
    add(&f->now, "", A, 5, 90);
    f->now.holding[0].share[0].record.counts.value[TKR_COUNTER_CALLS] = 1;
    assert_left(f, "is neither behind the backup's nor ahead of it");
}

static void test_rest_is_added_once_and_may_be_negative(void **state)
{
    struct fixture *f = *state;

    add(&f->backup, "", A, 5, 100);
    set_rest(&f->backup, "", -40); /* was reset */
    add(&f->now, "", A, 5, 130);
    assert_int_equal(decide(f), TKR_RESTORE_DONE);
    assert_plan(f, 0, -40, -40, 0);
    f->now.marked = true;
    assert_int_equal(decide(f), TKR_RESTORE_BEFORE);
    f->terms.anyway = true;
    assert_int_equal(decide(f), TKR_RESTORE_BEFORE);
}

static void test_unexplained_totals_are_left_alone_unless_anyway(void **state)
{
    struct fixture *f = *state;

    add(&f->backup, "", A, 5, 100);
    set_rest(&f->now, "", 1);
    assert_left(f, "that no record explains");
    set_rest(&f->now, "", -1);
    assert_left(f, "that no record explains");
    f->terms.anyway = true;
    assert_int_equal(decide(f), TKR_RESTORE_DONE);
    assert_plan(f, 0, 100, 0, 1);
}

/* R5: only where the backup has a rest in which it might be. */
static void test_life_before_the_backup_without_a_record_in_it_is_left_alone(void **state)
{
    struct fixture *f = *state;

    set_rest(&f->backup, "", 10);
    add(&f->now, "", B, SEEN - (uint64_t)TKR_RESTORE_SLACK_NS - 1, 3);
    assert_left(f, "is of before the backup");
    set_rest(&f->backup, "", 0);
    assert_int_equal(decide(f), TKR_RESTORE_DONE);
}

static void test_life_of_the_last_minute_before_the_backup_is_new(void **state)
{
    struct fixture *f = *state;

    set_rest(&f->backup, "", 10);
    add(&f->now, "", B, SEEN - (uint64_t)TKR_RESTORE_SLACK_NS, 3);
    assert_int_equal(decide(f), TKR_RESTORE_DONE);
    assert_plan(f, 0, 10, 10, 0);
}

static void test_retired_source_has_no_last_minute(void **state)
{
    struct fixture *f = *state;

    f->source[1].seen = UINT64_C(1795000000) * SECOND;
    set_rest(&f->backup, "", 10);
    add(&f->now, "", B, f->source[1].seen - 1, 3);
    assert_left(f, "is of before the backup");
    f->terms.source_count = 1; /* a source that came later is new, whatever its life */
    assert_int_equal(decide(f), TKR_RESTORE_DONE);
}

static void test_forgotten_account_is_not_brought_back(void **state)
{
    struct fixture *f = *state;

    add(&f->backup, "", A, 5, 100);
    f->now.forgotten = true;
    assert_int_equal(decide(f), TKR_RESTORE_FORGOTTEN);
}

static void test_overflow_is_left_alone_whole(void **state)
{
    struct fixture *f = *state;

    add(&f->backup, "", A, 5, 100);
    add(&f->now, "", B, 5, INT64_MAX - 99);
    assert_left(f, "above 2^63-1");
    tkr_holdings_of(&f->now, "", 0)->share[0].record = test_record(5, INT64_MAX - 100, 0);
    assert_int_equal(decide(f), TKR_RESTORE_DONE);
}

static void test_models_are_decided_on_one_by_one_and_done_together(void **state)
{
    struct fixture *f = *state;

    add(&f->backup, "", A, 5, 100);
    add(&f->backup, "m1", A, 6, 60);
    add(&f->backup, "m2", A, 7, 40);
    set_rest(&f->backup, "m3", 9);
    add(&f->now, "m1", A, 6, 10);
    add(&f->now, "m0", B, SEEN, 1); /* of no concern */
    set_rest(&f->now, "m0", 77);
    assert_int_equal(decide(f), TKR_RESTORE_DONE);
    assert_int_equal(f->plan.count, 4);
    assert_plan(f, 0, 100, 0, 1);
    assert_plan(f, 1, 50, 0, 1);
    assert_plan(f, 2, 40, 0, 1);
    assert_plan(f, 3, 9, 9, 0);
    set_rest(&f->now, "m2", 1);
    assert_left(f, "that no record explains");
}

static void test_limit_is_set_where_there_is_none(void **state)
{
    struct fixture *f = *state;

    f->backup.limit = 500;
    assert_int_equal(decide(f), TKR_RESTORE_DONE);
    assert_int_equal(f->plan.limit, 500);
    assert_true(f->restored.limit);
    for (int64_t there = 0; there < 2; there++) {
        f->now.limit = there;
        assert_int_equal(decide(f), TKR_RESTORE_DONE);
        assert_int_equal(f->plan.limit, -1);
        assert_false(f->restored.limit);
    }
}

static void test_number_of_a_retirement_is_kept_and_others_fall_to_the_lowest(void **state)
{
    (void)state;
    assert_int_equal(tkr_restore_seen(UINT64_C(1795000000) * SECOND), UINT64_C(1795000000) * SECOND);
    assert_int_equal(tkr_restore_seen(SEEN), SEEN / 1000 | 1);
    assert_true(tkr_seen_restored(tkr_restore_seen(SEEN)));
    assert_false(tkr_seen_retired(tkr_restore_seen(SEEN)));
    assert_int_equal(tkr_restore_seen(tkr_restore_seen(SEEN)), SEEN / 1000 | 1); /* of a backup that was made after a restore */
    assert_int_equal(tkr_restore_seen(0), TKR_SEEN_RESTORED);
    assert_false(tkr_seen_retired(TKR_SEEN_RESTORED));
}

/* --- holdings and data sets, as far as they decide nothing --- */

static void test_rest_is_what_no_record_explains(void **state)
{
    struct fixture *f = *state;
    tkr_message why;

    add(&f->now, "", A, 5, 100);
    add(&f->now, "", B, 5, 50);
    f->now.holding[0].total.value[TKR_COUNTER_PROMPT] = 120;
    assert_true(tkr_holdings_finish_totals(&f->now, &why));
    assert_int_equal(f->now.holding[0].rest.value[TKR_COUNTER_PROMPT], -30);
    assert_int_equal(f->now.holding[0].rest.value[TKR_COUNTER_TOTAL], -150);
    f->now.holding[0].total.value[TKR_COUNTER_PROMPT] = INT64_MIN;
    assert_false(tkr_holdings_finish_totals(&f->now, &why));
}

static void test_source_with_two_records_is_refused(void **state)
{
    struct fixture *f = *state;
    tkr_message why;

    add(&f->now, "", A, 5, 100);
    add(&f->now, "", A, 6, 100);
    assert_false(tkr_holdings_finish_totals(&f->now, &why));
    assert_non_null(strstr(why.text, "two records"));
}

static void test_memory_is_kept_from_account_to_account(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 3; i++) {
        for (int m = 0; m < 40; m++) {
            char model[8];
            (void)snprintf(model, sizeof(model), "m%d", m);
            add(&f->now, model, A, 5, m);
            add(&f->now, model, B, 5, m);
        }
        assert_true(tkr_holdings_sort(&f->now));
        assert_int_equal(tkr_holdings_find(&f->now, "m39", 3)->share_count, 2);
        assert_null(tkr_holdings_find(&f->now, "m4x", 3));
        assert_true(tkr_holdings_begin(&f->now, 0, "v", 1, SINK_TEST_CYCLE));
        assert_int_equal(f->now.count, 1);
    }
}

static void test_data_set_is_read_back_as_it_was_written_and_nothing_else_is_understood(void **state)
{
    static const char *const bad[] = {"",
                                      "0123456789abcdef",
                                      "0123456789abcdef 5 - -",
                                      "0123456789abcdef 5 - - begun",
                                      "0123456789abcdeF 5 - - -",
                                      "0123456789abcdef 05 - - -",
                                      "0123456789abcdef 5 - - - ",
                                      "0123456789abcdef 5 0123456789abcdef - begun",
                                      "0123456789abcdef 5 0123456789abcdef 0123456789abcdef half",
                                      "0123456789abcdef -5 - - -"};
    struct tkr_dataset set = {.id = "0123456789abcdef", .begun_s = 5};
    char text[TKR_DATASET_TEXT_BYTES];
    struct tkr_dataset again;

    (void)state;
    for (int i = 0; i < 3; i++) {
        tkr_dataset_format(&set, text);
        assert_true(tkr_dataset_parse(text, strlen(text), &again));
        assert_memory_equal(&again, &set, sizeof(set));
        memcpy(set.backup, "fedcba9876543210", sizeof(set.backup));
        memcpy(set.of, "0000000000000001", sizeof(set.of));
        set.whole = i == 1;
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(tkr_dataset_parse(bad[i], strlen(bad[i]), &again));
    tkr_dataset_format(&(struct tkr_dataset){.id = ""}, text);
    assert_string_equal(text, "");
}

#define RESTORE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RESTORE_TEST(test_missing_record_is_added_and_recorded_under_its_name),
        RESTORE_TEST(test_same_life_with_less_gets_the_difference),
        RESTORE_TEST(test_same_life_with_as_much_or_more_gets_nothing),
        RESTORE_TEST(test_newer_life_stays_and_the_backups_joins_the_rest),
        RESTORE_TEST(test_older_life_is_left_alone),
        RESTORE_TEST(test_records_that_contradict_are_left_alone),
        RESTORE_TEST(test_rest_is_added_once_and_may_be_negative),
        RESTORE_TEST(test_unexplained_totals_are_left_alone_unless_anyway),
        RESTORE_TEST(test_life_before_the_backup_without_a_record_in_it_is_left_alone),
        RESTORE_TEST(test_life_of_the_last_minute_before_the_backup_is_new),
        RESTORE_TEST(test_retired_source_has_no_last_minute),
        RESTORE_TEST(test_forgotten_account_is_not_brought_back),
        RESTORE_TEST(test_overflow_is_left_alone_whole),
        RESTORE_TEST(test_models_are_decided_on_one_by_one_and_done_together),
        RESTORE_TEST(test_limit_is_set_where_there_is_none),
        RESTORE_TEST(test_number_of_a_retirement_is_kept_and_others_fall_to_the_lowest),
        RESTORE_TEST(test_rest_is_what_no_record_explains),
        RESTORE_TEST(test_source_with_two_records_is_refused),
        RESTORE_TEST(test_memory_is_kept_from_account_to_account),
        RESTORE_TEST(test_data_set_is_read_back_as_it_was_written_and_nothing_else_is_understood),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
