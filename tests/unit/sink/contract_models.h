/* SPDX-License-Identifier: Apache-2.0 */
/* What every sink promises of models of accounts, beside sink/contract.h, which is included before. */
#ifndef TESTS_UNIT_SINK_CONTRACT_MODELS_H
#define TESTS_UNIT_SINK_CONTRACT_MODELS_H

#include <stdio.h>

#include "unit/sink/contract.h"

static void test_contract_models_and_account_have_totals_of_their_own(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct tkr_usage_query accounts = {.any_kind = 1};
    struct tkr_usage_query models = {.any_kind = 1, .by_model = true};

    assert_int_equal(test_contribute(sink, "u", NONE, test_record(1, 10, 5), NULL), TKR_OUTCOME_APPLIED);
    assert_int_equal(test_contribute_model(sink, "u", "a", NONE, test_record(2, 7, 0), NULL), TKR_OUTCOME_APPLIED);
    assert_int_equal(test_contribute_model(sink, "u", "b", NONE, test_record(3, 3, 5), NULL), TKR_OUTCOME_APPLIED);
    assert_int_equal(test_contribute_model(sink, "u", "a", test_record(2, 7, 0), test_record(2, 8, 1), NULL),
                     TKR_OUTCOME_APPLIED);
    assert_int_equal(test_usage_total(sink, "u"), 15);
    assert_int_equal(test_model_total(sink, "u", "a"), 9);
    assert_int_equal(test_model_total(sink, "u", "b"), 8);
    assert_int_equal(test_usage_count(sink, &accounts), 1);
    assert_int_equal(test_usage_count(sink, &models), 2);
}

static void test_contract_models_all_counters_travel(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct tkr_record now = {.life = 7};

    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        now.counts.value[i] = 1000 + i;
    assert_int_equal(test_contribute_model(sink, "u", "m", NONE, now, NULL), TKR_OUTCOME_APPLIED);
    assert_int_equal(test_model_total(sink, "u", "m"), 1000 + TKR_COUNTER_TOTAL);
}

static void test_contract_models_resend_and_zombie_change_nothing(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct tkr_contribution item;

    (void)test_contribute_model(sink, "u", "m", NONE, test_record(1, 10, 0), NULL);
    assert_int_equal(test_contribute_model(sink, "u", "m", NONE, test_record(1, 10, 0), &item), TKR_OUTCOME_FOUND);
    assert_int_equal(tkr_contribution_decide(&item, true), TKR_DECIDE_ACKNOWLEDGED);
    (void)test_contribute_model(sink, "u", "m", test_record(1, 10, 0), test_record(1, 30, 0), NULL);
    assert_int_equal(test_contribute_model(sink, "u", "m", test_record(1, 10, 0), test_record(1, 20, 0), &item),
                     TKR_OUTCOME_FOUND);
    assert_int_equal(item.found.counts.value[TKR_COUNTER_PROMPT], 30);
    assert_int_equal(test_model_total(sink, "u", "m"), 30);
}

static void test_contract_models_newer_life_adds_and_removal_keeps_the_total(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct tkr_contribution item;

    (void)test_contribute_model(sink, "u", "m", NONE, test_record(5, 10, 0), NULL);
    assert_int_equal(test_contribute_model(sink, "u", "m", test_record(5, 10, 0), test_record(6, 3, 0), NULL),
                     TKR_OUTCOME_APPLIED);
    assert_int_equal(test_contribute_model(sink, "u", "m", test_record(6, 3, 0), NONE, NULL), TKR_OUTCOME_APPLIED);
    assert_int_equal(test_model_total(sink, "u", "m"), 13);
    assert_int_equal(test_contribute_model(sink, "u", "m", test_record(6, 3, 0), test_record(6, 4, 0), &item), TKR_OUTCOME_FOUND);
    assert_int_equal(item.found.life, 0);
}

/* Labels hold ':' and '/', look like counters and sources, and may be of any bytes that a name may have. */
static void test_contract_models_of_any_bytes_stay_apart(void **state)
{
    char longest[TKR_LABEL_BYTES_MAX + 1];
    const char *const models[] = {"gpt-4o",
                                  "openai/gpt-4o",
                                  "ft:gpt-4o:org::abc",
                                  ":",
                                  "/",
                                  "a:prompt_tokens",
                                  "prompt_tokens",
                                  "test.0:m",
                                  "m",
                                  "p/ct",
                                  "\xe6\xa8\xa1\xe5\x9e\x8b",
                                  "\xff\xfe",
                                  "it's",
                                  "%a*/(.*)",
                                  " ",
                                  longest};
    const size_t count = sizeof(models) / sizeof(models[0]);
    tkr_sink *sink = contract_sink(state);
    struct tkr_usage_query all = {.any_kind = 1, .by_model = true};

    memset(longest, 'x', TKR_LABEL_BYTES_MAX);
    longest[TKR_LABEL_BYTES_MAX] = '\0';
    for (size_t i = 0; i < count; i++)
        assert_int_equal(test_contribute_model(sink, "a:2026-11-01", models[i], NONE, test_record(1, (int64_t)i + 1, 0), NULL),
                         TKR_OUTCOME_APPLIED);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(test_model_total(sink, "a:2026-11-01", models[i]), (int64_t)i + 1);
    assert_int_equal(test_usage_count(sink, &all), (int)count);
}

static void test_contract_models_of_kinds_and_cycles_never_mix(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct test_chunk chunk;
    struct tkr_usage_query query = {.kind = TKR_KIND_TEAM, .by_model = true};
    tkr_message message;

    test_chunk_begin(&chunk, "test.0", 0, 1);
    for (int i = 0; i < 4; i++) {
        struct tkr_contribution *item = test_chunk_add(&chunk, "x", NONE, test_record(1, 1 + i, 0));
        item->model = "m";
        item->model_len = i == 3 ? 0 : 1;
        item->kind = i == 1 ? TKR_KIND_TEAM : TKR_KIND_USER;
        item->cycle = i == 2 ? 20261201 : SINK_TEST_CYCLE;
    }
    assert_int_equal(test_chunk_send(sink, &chunk, &message), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(chunk.item[i].outcome, TKR_OUTCOME_APPLIED);
    assert_int_equal(test_model_total(sink, "x", "m"), 1);
    assert_int_equal(test_usage_total(sink, "x"), 4);
    assert_int_equal(test_usage_count(sink, &query), 1);
    query = (struct tkr_usage_query){.any_kind = 1, .by_model = true};
    assert_int_equal(test_usage_count(sink, &query), 3);
    query = (struct tkr_usage_query){.any_kind = 1, .by_model = true, .cycle = 20261201, .id = "x", .id_len = 1};
    assert_int_equal(test_usage_count(sink, &query), 1);
}

static void test_contract_models_overflow_is_poison_and_neighbours_pass(void **state)
{
    tkr_sink *sink = contract_sink(state);
    const char *const model[] = {"before", "full", "after", "after"};
    struct test_chunk chunk;
    tkr_message message;

    (void)test_contribute_model(sink, "u", "full", NONE, test_record(1, INT64_MAX - 1, 0), NULL);
    test_chunk_begin(&chunk, "other.0", 0, 1);
    for (int i = 0; i < 4; i++) {
        struct tkr_contribution *item = test_chunk_add(&chunk, i == 3 ? "v" : "u", NONE, test_record(1, 2 + i, 0));
        item->model = model[i];
        item->model_len = (uint32_t)strlen(model[i]);
    }
    (void)test_chunk_add(&chunk, "u", NONE, test_record(1, 9, 0));
    assert_int_equal(test_chunk_send(sink, &chunk, &message), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(chunk.item[i].outcome, i == 1 ? TKR_OUTCOME_POISON : TKR_OUTCOME_APPLIED);
    assert_int_not_equal(strlen(chunk.item[1].reason), 0);
    assert_int_equal(test_model_total(sink, "u", "full"), INT64_MAX - 1);
    assert_int_equal(test_model_total(sink, "u", "before"), 2);
    assert_int_equal(test_model_total(sink, "u", "after"), 4);
    assert_int_equal(test_usage_total(sink, "u"), 9);
}

/* What records() visits of one collector. */
struct records_seen {
    char text[512];
};

static int note_record(const struct tkr_usage_row *row, void *arg)
{
    struct records_seen *seen = arg;
    size_t len = strlen(seen->text);

    (void)snprintf(seen->text + len, sizeof(seen->text) - len, "%.*s/%.*s ", (int)row->id_len, row->id, (int)row->model_len,
                   row->model_len > 0 ? row->model : "");
    return 0;
}

static void test_contract_models_records_are_visited_of_the_collector_alone(void **state)
{
    const char name[] = "0123456789abcdef";
    const char *const source[] = {"0123456789abcdef.1", "0123456789abcdee.0"};
    tkr_sink *sink = contract_sink(state);
    struct records_seen seen = {""};
    struct test_chunk chunk;
    tkr_message message;

    for (int i = 0; i < 2; i++) {
        struct tkr_contribution *item;
        test_chunk_begin(&chunk, source[i], 0, 1);
        (void)test_chunk_add(&chunk, "u", NONE, test_record(1, 1, 0));
        item = test_chunk_add(&chunk, "u", NONE, test_record(1, 1, 0));
        item->model = i == 0 ? "its:own" : "another";
        item->model_len = 7;
        assert_int_equal(test_chunk_send(sink, &chunk, &message), 0);
    }
    assert_int_equal(sink->ops->records(sink, name, note_record, &seen, &message), 0);
    assert_non_null(strstr(seen.text, "u/ "));
    assert_non_null(strstr(seen.text, "u/its:own "));
    assert_null(strstr(seen.text, "another"));
}

static void test_contract_reset_takes_the_models_along(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct tkr_usage_row account = {.id = "u", .id_len = 1, .cycle = SINK_TEST_CYCLE};
    tkr_counts before;
    tkr_message message;

    (void)test_contribute(sink, "u", NONE, test_record(1, 10, 5), NULL);
    (void)test_contribute_model(sink, "u", "a", NONE, test_record(1, 6, 5), NULL);
    (void)test_contribute_model(sink, "u", "b:c", NONE, test_record(1, 4, 0), NULL);
    (void)test_contribute_model(sink, "v", "a", NONE, test_record(1, 8, 0), NULL);
    assert_int_equal(sink->ops->reset(sink, &account, &before, &message), 0);
    assert_int_equal(before.value[TKR_COUNTER_TOTAL], 15);
    assert_in_range(test_model_total(sink, "u", "a") + 1, 0, 1); /* a row of 0, or none */
    assert_in_range(test_model_total(sink, "u", "b:c") + 1, 0, 1);
    assert_int_equal(test_model_total(sink, "v", "a"), 8);
    assert_int_equal(test_contribute_model(sink, "u", "a", test_record(1, 6, 5), test_record(1, 7, 5), NULL),
                     TKR_OUTCOME_APPLIED); /* the records stayed */
    assert_int_equal(test_model_total(sink, "u", "a"), 1);
}

#define CONTRACT_MODELS_TESTS(setup, teardown)                                                                              \
    cmocka_unit_test_setup_teardown(test_contract_models_and_account_have_totals_of_their_own, setup, teardown),            \
        cmocka_unit_test_setup_teardown(test_contract_models_all_counters_travel, setup, teardown),                         \
        cmocka_unit_test_setup_teardown(test_contract_models_resend_and_zombie_change_nothing, setup, teardown),            \
        cmocka_unit_test_setup_teardown(test_contract_models_newer_life_adds_and_removal_keeps_the_total, setup, teardown), \
        cmocka_unit_test_setup_teardown(test_contract_models_of_any_bytes_stay_apart, setup, teardown),                     \
        cmocka_unit_test_setup_teardown(test_contract_models_of_kinds_and_cycles_never_mix, setup, teardown),               \
        cmocka_unit_test_setup_teardown(test_contract_models_overflow_is_poison_and_neighbours_pass, setup, teardown),      \
        cmocka_unit_test_setup_teardown(test_contract_models_records_are_visited_of_the_collector_alone, setup, teardown),  \
        cmocka_unit_test_setup_teardown(test_contract_reset_takes_the_models_along, setup, teardown)

#endif
