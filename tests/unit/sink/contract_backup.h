/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every sink promises of backups, beside sink/contract.h, which is included before. Each program says what an emptied sink
 * is: contract_emptied() loses all that contract_sink() has.
 */
#ifndef TESTS_UNIT_SINK_CONTRACT_BACKUP_H
#define TESTS_UNIT_SINK_CONTRACT_BACKUP_H

#include <stdio.h>

#include "sink/dataset.h"
#include "unit/sink/contract.h"
#include "unit/sink/copies.h"

static tkr_sink *contract_emptied(void **state);

static void test_contract_holdings_are_records_and_the_rest(void **state)
{
    tkr_sink *sink = contract_sink(state);
    const struct tkr_holdings *u;
    struct copies *copies;

    contribute_as(sink, "aa.0", "u", "", NONE, test_record(5, 10, 0));
    contribute_as(sink, "aa.0", "u", "", test_record(5, 10, 0), test_record(6, 3, 0)); /* life 5 is of the rest */
    contribute_as(sink, "bb.1", "u", "", NONE, test_record(7, 100, 0));
    contribute_as(sink, "bb.1", "u", "m:1", NONE, test_record(8, 60, 0));
    contribute_as(sink, "cc.0", "gone", "", NONE, test_record(9, 4, 0));
    contribute_as(sink, "cc.0", "gone", "", test_record(9, 4, 0), NONE);
    copies = copies_make(sink);
    assert_int_equal(copies->count, 2);
    u = copy_of(copies, "u");
    assert_int_equal(u->count, 2);
    assert_int_equal(u->holding[0].share_count, 2);
    assert_int_equal(copy_record(u, "", "aa.0").life, 6);
    assert_int_equal(copy_record(u, "", "bb.1").counts.value[TKR_COUNTER_PROMPT], 100);
    assert_int_equal(prompt_of(&u->holding[0].rest), 10);
    assert_int_equal(prompt_of(&u->holding[0].total), 113);
    assert_int_equal(copy_record(u, "m:1", "bb.1").life, 8);
    assert_int_equal(prompt_of(&copy_of(copies, "gone")->holding[0].rest), 4);
    copies_free(copies);
}

/* After a reset the rest is what was taken off. */
static void test_contract_restored_totals_are_as_they_were(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct tkr_contribution item;
    struct copies *copies;

    contribute_as(sink, "aa.0", "u", "", NONE, test_record(5, 10, 0));
    contribute_as(sink, "bb.1", "u", "", NONE, test_record(7, 100, 0));
    contribute_as(sink, "bb.1", "u", "m", NONE, test_record(8, 60, 0));
    reset_user(sink, "u");
    contribute_as(sink, "bb.1", "u", "", test_record(7, 100, 0), test_record(7, 103, 0));
    contribute_as(sink, "bb.1", "u", "m", test_record(8, 60, 0), test_record(8, 62, 0));
    copies = copies_make(sink);
    sink = contract_emptied(state);
    restore_all(sink, copies, TKR_RESTORE_DONE);
    assert_int_equal(test_usage_total(sink, "u"), 3);
    assert_int_equal(test_model_total(sink, "u", "m"), 2);
    restore_all(sink, copies, TKR_RESTORE_BEFORE);
    assert_int_equal(test_usage_total(sink, "u"), 3);
    /* its collector, which knows nothing of it, finds what it sent and goes on */
    contribute_as(sink, "bb.1", "u", "", test_record(7, 103, 0), test_record(7, 110, 0));
    contribute_as(sink, "bb.1", "u", "m", test_record(8, 62, 0), test_record(9, 1, 0));
    assert_int_equal(test_usage_total(sink, "u"), 10);
    assert_int_equal(test_model_total(sink, "u", "m"), 3);
    assert_int_equal(test_contribute(sink, "u", NONE, test_record(1, 1, 0), &item), TKR_OUTCOME_APPLIED); /* a new one */
    copies_free(copies);
}

/* Twice backed up and lost: what the first restore added is in the second backup, whatever it was called. */
static void test_contract_what_was_restored_is_backed_up_again(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct copies *first;
    struct copies *second;

    contribute_as(sink, "aa.0", "u", "", NONE, test_record(5, 10, 0));
    contribute_as(sink, "aa.0", "u", "", test_record(5, 10, 0), test_record(6, 3, 0));
    contribute_as(sink, "aa.0", "u", "m", NONE, test_record(5, 10, 0));
    contribute_as(sink, "aa.0", "u", "m", test_record(5, 10, 0), NONE);
    first = copies_make(sink);
    sink = contract_emptied(state);
    restore_all(sink, first, TKR_RESTORE_DONE);
    second = copies_make(sink);
    assert_int_equal(second->count, first->count);
    assert_int_equal(prompt_of(&second->line[0].holdings.holding[0].rest), 10);
    assert_int_equal(prompt_of(&second->line[0].holdings.holding[1].rest), 10);
    assert_int_equal(second->line[0].holdings.holding[0].share_count, 1);
    copies_free(first);
    copies_free(second);
}

static void test_contract_restore_meets_what_was_sent_again(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct copies *copies;

    contribute_as(sink, "aa.0", "u", "", NONE, test_record(5, 10, 0));
    contribute_as(sink, "bb.1", "u", "", NONE, test_record(5, 100, 0));
    contribute_as(sink, "cc.0", "u", "", NONE, test_record(5, 1000, 0));
    contribute_as(sink, "dd.0", "u", "", NONE, test_record(5, 10000, 0));
    copies = copies_make(sink);
    sink = contract_emptied(state);
    contribute_as(sink, "bb.1", "u", "", NONE, test_record(5, 90, 0));   /* not all of it yet */
    contribute_as(sink, "cc.0", "u", "", NONE, test_record(5, 1003, 0)); /* and more */
    contribute_as(sink, "dd.0", "u", "", NONE, test_record(6, 7, 0));    /* a newer life */
    contribute_as(sink, "ee.0", "u", "", NONE, test_record(5, 20000, 0));
    restore_all(sink, copies, TKR_RESTORE_DONE);
    assert_int_equal(test_usage_total(sink, "u"), 10 + 100 + 1003 + 10007 + 20000);
    contribute_as(sink, "bb.1", "u", "", test_record(5, 100, 0), test_record(5, 101, 0));
    contribute_as(sink, "dd.0", "u", "", test_record(6, 7, 0), test_record(6, 8, 0));
    assert_int_equal(test_usage_total(sink, "u"), 10 + 101 + 1003 + 10008 + 20000);
    copies_free(copies);
}

static void test_contract_dry_run_says_the_same_and_changes_nothing(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct tkr_restored restored;
    struct copies *copies;

    contribute_as(sink, "aa.0", "u", "", NONE, test_record(5, 10, 0));
    copies = copies_make(sink);
    sink = contract_emptied(state);
    contribute_as(sink, "aa.0", "u", "", NONE, test_record(5, 4, 0));
    for (int dry = 1; dry >= 0; dry--) {
        restored = restore_one(sink, &copies->line[0].holdings, dry == 1, false);
        assert_int_equal(restored.verdict, TKR_RESTORE_DONE);
        assert_int_equal(prompt_of(&restored.added), 6);
        assert_int_equal(restored.records, 1);
        assert_int_equal(test_usage_total(sink, "u"), dry == 1 ? 4 : 10);
    }
    copies_free(copies);
}

static void test_contract_limits_are_restored_where_there_is_none(void **state)
{
    struct tkr_usage_row row = {.id = "u", .id_len = 1};
    tkr_sink *sink = contract_sink(state);
    struct tkr_usage_found found;
    struct copies *copies;
    tkr_message message;

    row.cycle = SINK_TEST_CYCLE;
    assert_int_equal(sink->ops->limit_set(sink, &row, 700, &message), 0); /* of a cycle without usage */
    row.cycle = 0;
    assert_int_equal(sink->ops->limit_set(sink, &row, 800, &message), 0);
    copies = copies_make(sink);
    assert_int_equal(copies->count, 2);
    for (int there = 0; there < 2; there++) {
        sink = contract_emptied(state);
        row.cycle = 0;
        if (there == 1)
            assert_int_equal(sink->ops->limit_set(sink, &row, 900, &message), 0);
        restore_all(sink, copies, TKR_RESTORE_DONE);
        row.cycle = SINK_TEST_CYCLE;
        assert_int_equal(sink->ops->lookup(sink, &row, 1, &found, &message), 0);
        assert_int_equal(found.limit, 700);
        assert_int_equal(found.standing, there == 1 ? 900 : 800);
    }
    copies_free(copies);
}

static void test_contract_forgotten_account_is_not_restored(void **state)
{
    const struct tkr_usage_row row = {.id = "u", .id_len = 1};
    tkr_sink *sink = contract_sink(state);
    struct copies *copies;
    tkr_message message;
    uint32_t cycles;

    contribute_as(sink, "aa.0", "u", "", NONE, test_record(5, 10, 0));
    copies = copies_make(sink);
    assert_int_equal(sink->ops->forget(sink, &row, &cycles, &message), 0);
    restore_all(sink, copies, TKR_RESTORE_FORGOTTEN);
    assert_int_equal(test_usage_total(sink, "u"), -1);
    copies_free(copies);
}

static void test_contract_unexplained_totals_are_left_alone_unless_anyway(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct copies *copies;

    contribute_as(sink, "aa.0", "u", "", NONE, test_record(5, 10, 0));
    copies = copies_make(sink);
    sink = contract_emptied(state);
    contribute_as(sink, "bb.0", "u", "", NONE, test_record(5, 3, 0));
    contribute_as(sink, "bb.0", "u", "", test_record(5, 3, 0), NONE);
    restore_all(sink, copies, TKR_RESTORE_LEFT);
    assert_int_equal(test_usage_total(sink, "u"), 3);
    assert_int_equal(restore_one(sink, &copies->line[0].holdings, false, true).verdict, TKR_RESTORE_DONE);
    assert_int_equal(test_usage_total(sink, "u"), 13);
    copies_free(copies);
}

static void test_contract_ids_and_models_of_any_bytes_come_back(void **state)
{
    static const char *const ids[] = {"a:b",   "{x}", "\xff\xfe\x80", "\xe6\xa8\xa1", "*?[]\\", "' OR 1=1", "~overflow",
                                      "\"\\/", " "};
    tkr_sink *sink = contract_sink(state);
    const int count = (int)(sizeof(ids) / sizeof(ids[0]));
    struct copies *copies;

    for (int i = 0; i < count; i++) {
        contribute_as(sink, "aa.0", ids[i], "", NONE, test_record(5, 10 + i, 0));
        contribute_as(sink, "aa.0", ids[i], ids[count - 1 - i], NONE, test_record(6, 20 + i, 0));
    }
    copies = copies_make(sink);
    assert_int_equal(copies->count, count);
    sink = contract_emptied(state);
    restore_all(sink, copies, TKR_RESTORE_DONE);
    for (int i = 0; i < count; i++) {
        assert_int_equal(test_usage_total(sink, ids[i]), 10 + i);
        assert_int_equal(test_model_total(sink, ids[i], ids[count - 1 - i]), 20 + i);
    }
    copies_free(copies);
}

static void test_contract_restored_totals_beyond_2_to_53_are_exact_and_overflow_is_left_alone(void **state)
{
    const int64_t big = INT64_C(9007199254740993);
    tkr_sink *sink = contract_sink(state);
    struct copies *copies;

    contribute_as(sink, "aa.0", "u", "", NONE, test_record(5, big, 0));
    copies = copies_make(sink);
    sink = contract_emptied(state);
    contribute_as(sink, "bb.0", "u", "", NONE, test_record(5, 2 * big, 0));
    restore_all(sink, copies, TKR_RESTORE_DONE);
    assert_int_equal(test_usage_total(sink, "u"), 3 * big);
    sink = contract_emptied(state);
    contribute_as(sink, "bb.0", "u", "", NONE, test_record(5, INT64_MAX - 5, 0));
    restore_all(sink, copies, TKR_RESTORE_LEFT);
    assert_int_equal(test_usage_total(sink, "u"), INT64_MAX - 5);
    copies_free(copies);
}

static void test_contract_data_set_is_replaced_only_as_it_was_read(void **state)
{
    struct tkr_dataset first = {.id = "0123456789abcdef", .begun_s = 5};
    struct tkr_dataset second = {.id = "fedcba9876543210", .begun_s = 6};
    struct tkr_dataset none = {.id = ""};
    tkr_sink *sink = contract_sink(state);
    struct tkr_dataset read;
    tkr_message message;

    assert_int_equal(sink->ops->dataset(sink, &read, &message), 0);
    assert_string_equal(read.id, "");
    assert_int_equal(sink->ops->dataset_set(sink, &none, &first, &message), 0);
    assert_int_equal(sink->ops->dataset_set(sink, &none, &second, &message), 1);
    assert_int_equal(sink->ops->dataset(sink, &read, &message), 0);
    assert_memory_equal(&read, &first, sizeof(read));
    assert_int_equal(sink->ops->dataset_set(sink, &first, &second, &message), 0);
    assert_int_equal(sink->ops->dataset_set(sink, &first, &first, &message), 1);
    sink = contract_emptied(state);
    assert_true(sink->ops->dataset(sink, &read, &message) >= 0);
    assert_string_equal(read.id, ""); /* lost with the rest */
}

static int find_source(const char *source, uint64_t seen, void *arg)
{
    struct tkr_source_seen *found = arg;

    if (strcmp(source, found->source) == 0)
        found->seen = seen;
    return 0;
}

static void test_contract_sources_get_numbers_where_they_have_none(void **state)
{
    const struct tkr_source_seen given[] = {{"aa.0", 1}, {"bb.0", 2000000000}};
    struct tkr_source_seen found = {.source = "aa.0"};
    tkr_sink *sink = contract_sink(state);
    struct test_chunk chunk;
    tkr_message message;

    test_chunk_begin(&chunk, "aa.0", 0, 77);
    assert_int_equal(test_chunk_send(sink, &chunk, &message), 0);
    assert_int_equal(sink->ops->sources_set(sink, given, 2, &message), 0);
    assert_int_equal(sink->ops->sources(sink, find_source, &found, &message), 0);
    assert_int_equal(found.seen, 77);
    memcpy(found.source, "bb.0", 5);
    assert_int_equal(sink->ops->sources(sink, find_source, &found, &message), 0);
    assert_int_equal(found.seen, 2000000000);
    assert_int_equal(sink->ops->sources_set(sink, NULL, 0, &message), 0);
}

static int stop_at_third(const struct tkr_holdings *holdings, const char *why, void *arg)
{
    (void)holdings;
    (void)why;
    return ++*(int *)arg == 3 ? 42 : 0;
}

static void test_contract_visit_of_holdings_is_stopped_by_its_visitor(void **state)
{
    tkr_sink *sink = contract_sink(state);
    tkr_message message;
    char id[8];
    int count = 0;

    for (int i = 0; i < 5; i++) {
        (void)snprintf(id, sizeof(id), "u%d", i);
        contribute_as(sink, "aa.0", id, "", NONE, test_record(5, 1, 0));
    }
    assert_int_equal(sink->ops->holdings(sink, stop_at_third, &count, &message), 42);
    assert_int_equal(count, 3);
}

#define CONTRACT_BACKUP_TEST(test, setup, teardown) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define CONTRACT_BACKUP_TESTS(setup, teardown)                                                                         \
    CONTRACT_BACKUP_TEST(test_contract_holdings_are_records_and_the_rest, setup, teardown),                            \
        CONTRACT_BACKUP_TEST(test_contract_restored_totals_are_as_they_were, setup, teardown),                         \
        CONTRACT_BACKUP_TEST(test_contract_what_was_restored_is_backed_up_again, setup, teardown),                     \
        CONTRACT_BACKUP_TEST(test_contract_restore_meets_what_was_sent_again, setup, teardown),                        \
        CONTRACT_BACKUP_TEST(test_contract_dry_run_says_the_same_and_changes_nothing, setup, teardown),                \
        CONTRACT_BACKUP_TEST(test_contract_limits_are_restored_where_there_is_none, setup, teardown),                  \
        CONTRACT_BACKUP_TEST(test_contract_forgotten_account_is_not_restored, setup, teardown),                        \
        CONTRACT_BACKUP_TEST(test_contract_unexplained_totals_are_left_alone_unless_anyway, setup, teardown),          \
        CONTRACT_BACKUP_TEST(test_contract_ids_and_models_of_any_bytes_come_back, setup, teardown),                    \
        CONTRACT_BACKUP_TEST(test_contract_restored_totals_beyond_2_to_53_are_exact_and_overflow_is_left_alone, setup, \
                             teardown),                                                                                \
        CONTRACT_BACKUP_TEST(test_contract_data_set_is_replaced_only_as_it_was_read, setup, teardown),                 \
        CONTRACT_BACKUP_TEST(test_contract_sources_get_numbers_where_they_have_none, setup, teardown),                 \
        CONTRACT_BACKUP_TEST(test_contract_visit_of_holdings_is_stopped_by_its_visitor, setup, teardown)

#endif
