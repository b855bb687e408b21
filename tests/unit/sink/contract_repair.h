/* SPDX-License-Identifier: Apache-2.0 */
/* What every sink promises of records that are missing, beside sink/contract_backup.h, which is included before. */
#ifndef TESTS_UNIT_SINK_CONTRACT_REPAIR_H
#define TESTS_UNIT_SINK_CONTRACT_REPAIR_H

#include "sink/repair.h"
#include "unit/sink/contract_backup.h"

/* Repairs one record of source "aa.0", of which was acknowledged what is known. */
static struct tkr_repair repair_of(tkr_sink *sink, const char *model, struct tkr_record known, struct tkr_record now,
                                   struct tkr_repair_terms terms)
{
    static struct tkr_contribution item;
    struct tkr_repair repair = {.item = &item};
    tkr_message message = {""};

    item = (struct tkr_contribution){.kind = TKR_KIND_USER,
                                     .id = "u",
                                     .id_len = 1,
                                     .cycle = SINK_TEST_CYCLE,
                                     .model = model,
                                     .model_len = (uint32_t)strlen(model),
                                     .known = known,
                                     .now = now};
    if (sink->ops->repair(sink, "aa.0", &terms, &repair, 1, &message) != 0)
        fail_msg("%s", message.text);
    return repair;
}

#define REFUSE ((struct tkr_repair_terms){.choice = TKR_REPAIR_REFUSE})
#define CHOOSE(c) ((struct tkr_repair_terms){.choice = (c)})

/* A record that was removed, its total being there: written anew, nothing is added, and it goes on from there. */
static void test_contract_repair_writes_a_record_whose_total_is_there(void **state)
{
    tkr_sink *sink = contract_sink(state);
    static const char *const model[] = {"", "m:1"};

    for (int i = 0; i < 2; i++) {
        struct tkr_repair repair;

        contribute_as(sink, "bb.0", "u", model[i], NONE, test_record(9, 100, 1));
        contribute_as(sink, "aa.0", "u", model[i], NONE, test_record(5, 10, 2));
        contribute_as(sink, "aa.0", "u", model[i], test_record(5, 10, 2), NONE);
        repair = repair_of(sink, model[i], test_record(5, 10, 2), test_record(5, 13, 2), REFUSE);
        assert_int_equal(repair.verdict, TKR_REPAIR_COUNTED);
        assert_int_equal(prompt_of(&repair.others), 100);
        assert_int_equal(repair_of(sink, model[i], test_record(5, 10, 2), test_record(5, 13, 2), REFUSE).verdict,
                         TKR_REPAIR_NEEDLESS);
        contribute_as(sink, "aa.0", "u", model[i], test_record(5, 10, 2), test_record(5, 13, 2));
    }
    assert_int_equal(test_usage_total(sink, "u"), 101 + 15);
    assert_int_equal(test_model_total(sink, "u", "m:1"), 101 + 15);
}

/* A reply was lost: the total has all that was counted. */
static void test_contract_repair_knows_what_was_not_acknowledged(void **state)
{
    tkr_sink *sink = contract_sink(state);

    contribute_as(sink, "aa.0", "u", "", NONE, test_record(5, 13, 2));
    contribute_as(sink, "aa.0", "u", "", test_record(5, 13, 2), NONE);
    assert_int_equal(repair_of(sink, "", test_record(5, 10, 2), test_record(5, 13, 2), REFUSE).verdict, TKR_REPAIR_COUNTED);
    contribute_as(sink, "aa.0", "u", "", test_record(5, 13, 2), test_record(5, 14, 2));
    assert_int_equal(test_usage_total(sink, "u"), 16);
}

static void test_contract_repair_makes_a_record_of_nothing_where_the_total_lacks_it(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct tkr_repair_terms dry = {.dry_run = true};

    contribute_as(sink, "bb.0", "u", "", NONE, test_record(9, 100, 0));
    assert_int_equal(repair_of(sink, "", test_record(5, 10, 0), test_record(5, 13, 0), dry).verdict, TKR_REPAIR_LACKING);
    assert_int_equal(repair_of(sink, "", test_record(5, 10, 0), test_record(5, 13, 0), REFUSE).verdict, TKR_REPAIR_LACKING);
    assert_int_equal(test_usage_total(sink, "u"), 100);
    contribute_as(sink, "aa.0", "u", "", test_record(5, 0, 0), test_record(5, 13, 0));
    assert_int_equal(test_usage_total(sink, "u"), 113);
}

/* An older life is in the total, and no record says how much. */
static void test_contract_repair_of_what_is_unknown_does_as_is_chosen(void **state)
{
    static const struct {
        enum tkr_repair_choice choice;
        int64_t recorded;
    } choices[] = {{TKR_REPAIR_RECORD, 10}, {TKR_REPAIR_UNEXPLAINED, 17}, {TKR_REPAIR_RESEND, 0}};

    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
        tkr_sink *sink = contract_emptied(state);
        struct tkr_repair repair;

        assert_int_equal(sink->ops->connect(sink, &(tkr_message){""}), 0);
        contribute_as(sink, "aa.0", "u", "", NONE, test_record(4, 7, 0));
        contribute_as(sink, "aa.0", "u", "", test_record(4, 7, 0), test_record(5, 10, 0));
        contribute_as(sink, "aa.0", "u", "", test_record(5, 10, 0), NONE);
        repair = repair_of(sink, "", test_record(5, 10, 0), test_record(5, 20, 0), REFUSE);
        assert_int_equal(repair.verdict, TKR_REPAIR_UNKNOWN);
        assert_int_equal(prompt_of(&repair.unexplained), 17);
        repair = repair_of(sink, "", test_record(5, 10, 0), test_record(5, 20, 0), CHOOSE(choices[i].choice));
        assert_true(repair.chosen);
        assert_int_equal(prompt_of(&repair.record.counts), choices[i].recorded);
        assert_int_equal(test_usage_total(sink, "u"), 17);
        contribute_as(sink, "aa.0", "u", "", test_record(5, choices[i].recorded, 0), test_record(5, 20, 0));
        assert_int_equal(test_usage_total(sink, "u"), 17 + 20 - choices[i].recorded);
    }
}

static void test_contract_repair_leaves_what_was_forgotten(void **state)
{
    tkr_sink *sink = contract_sink(state);
    const struct tkr_usage_row row = {.id = "u", .id_len = 1};
    tkr_message message = {""};
    uint32_t cycles;

    contribute_as(sink, "aa.0", "u", "", NONE, test_record(5, 10, 0));
    assert_int_equal(sink->ops->forget(sink, &row, &cycles, &message), 0);
    assert_int_equal(repair_of(sink, "", test_record(5, 10, 0), test_record(5, 13, 0), CHOOSE(TKR_REPAIR_RESEND)).verdict,
                     TKR_REPAIR_FORGOTTEN);
}

/* One that is bare is added where there is nothing, and else finds nothing. */
static void test_contract_bare_contribution_is_added_only_to_nothing(void **state)
{
    tkr_sink *sink = contract_sink(state);
    tkr_message message = {""};
    struct test_chunk chunk;

    contribute_as(sink, "aa.0", "u", "", NONE, test_record(5, 10, 0));
    contribute_as(sink, "aa.0", "u", "", test_record(5, 10, 0), NONE);
    test_chunk_begin(&chunk, "aa.0", 0, 0);
    test_chunk_add(&chunk, "u", NONE, test_record(5, 10, 0))->bare = true;
    test_chunk_add(&chunk, "v", NONE, test_record(5, 10, 0))->bare = true;
    assert_int_equal(test_chunk_send(sink, &chunk, &message), 0);
    assert_int_equal(chunk.item[0].outcome, TKR_OUTCOME_FOUND);
    assert_int_equal(chunk.item[0].found.life, 0);
    assert_int_equal(chunk.item[1].outcome, TKR_OUTCOME_APPLIED);
    assert_int_equal(test_usage_total(sink, "u"), 10);
    assert_int_equal(test_usage_total(sink, "v"), 10);
}

/* The sink lost it, and a backup was restored that is older than the life: the total has nothing of it, whatever it has. */
static void test_contract_repair_after_a_restore_knows_what_the_backup_cannot_have(void **state)
{
    const uint64_t backed_up = UINT64_C(1795000000000000001);
    const struct tkr_source_seen source = {.source = "bb.0", .seen = backed_up};
    const struct tkr_restore_terms terms = {.mark = MARK, .source = &source, .source_count = 1};
    const uint64_t newer = backed_up + 1;
    const uint64_t older = backed_up - 2 * (uint64_t)TKR_RESTORE_SLACK_NS;
    tkr_sink *sink = contract_sink(state);
    struct copies *copies;
    struct tkr_restored restored;
    tkr_message message = {""};

    contribute_as(sink, "bb.0", "u", "", NONE, test_record(4, 70, 0));
    contribute_as(sink, "bb.0", "u", "", test_record(4, 70, 0), NONE);
    copies = copies_make(sink);
    sink = contract_emptied(state);
    assert_int_equal(sink->ops->restore(sink, &terms, copy_of(copies, "u"), 1, &restored, &message), 0);
    assert_int_equal(test_usage_total(sink, "u"), 70);
    assert_int_equal(repair_of(sink, "", test_record(older, 10, 0), test_record(older, 10, 0),
                               (struct tkr_repair_terms){.lost = true, .dry_run = true})
                         .verdict,
                     TKR_REPAIR_UNKNOWN);
    assert_int_equal(
        repair_of(sink, "", test_record(newer, 10, 0), test_record(newer, 10, 0), (struct tkr_repair_terms){.dry_run = true})
            .verdict,
        TKR_REPAIR_UNKNOWN);
    assert_int_equal(
        repair_of(sink, "", test_record(newer, 10, 0), test_record(newer, 10, 0), (struct tkr_repair_terms){.lost = true})
            .verdict,
        TKR_REPAIR_LACKING);
    copies_free(copies);
}

#define CONTRACT_REPAIR_TEST(test, setup, teardown) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define CONTRACT_REPAIR_TESTS(setup, teardown)                                                                          \
    CONTRACT_REPAIR_TEST(test_contract_repair_writes_a_record_whose_total_is_there, setup, teardown),                   \
        CONTRACT_REPAIR_TEST(test_contract_repair_knows_what_was_not_acknowledged, setup, teardown),                    \
        CONTRACT_REPAIR_TEST(test_contract_repair_makes_a_record_of_nothing_where_the_total_lacks_it, setup, teardown), \
        CONTRACT_REPAIR_TEST(test_contract_repair_of_what_is_unknown_does_as_is_chosen, setup, teardown),               \
        CONTRACT_REPAIR_TEST(test_contract_repair_leaves_what_was_forgotten, setup, teardown),                          \
        CONTRACT_REPAIR_TEST(test_contract_bare_contribution_is_added_only_to_nothing, setup, teardown),                \
        CONTRACT_REPAIR_TEST(test_contract_repair_after_a_restore_knows_what_the_backup_cannot_have, setup, teardown)

#endif
