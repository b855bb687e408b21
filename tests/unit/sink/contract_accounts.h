/* SPDX-License-Identifier: Apache-2.0 */
/* What every sink promises of limits, lookups, claims and forgetting, beside sink/contract.h. */
#ifndef TESTS_UNIT_SINK_CONTRACT_ACCOUNTS_H
#define TESTS_UNIT_SINK_CONTRACT_ACCOUNTS_H

#include "unit/sink/contract.h"

static struct tkr_usage_row contract_account(const char *id, uint32_t cycle)
{
    return (struct tkr_usage_row){.id = id, .id_len = (uint32_t)strlen(id), .cycle = cycle, .limit = -1};
}

static int set_limit(tkr_sink *sink, const char *id, uint32_t cycle, int64_t tokens)
{
    struct tkr_usage_row account = contract_account(id, cycle);
    tkr_message message = {""};
    int rc = sink->ops->limit_set(sink, &account, tokens, &message);

    if (rc < 0)
        fail_msg("%s", message.text);
    return rc;
}

static struct tkr_usage_found look_up(tkr_sink *sink, const char *id, uint32_t cycle)
{
    struct tkr_usage_row account = contract_account(id, cycle);
    struct tkr_usage_found found = {.present = false};
    tkr_message message = {""};

    if (sink->ops->lookup(sink, &account, 1, &found, &message) != 0)
        fail_msg("%s", message.text);
    return found;
}

static void test_contract_limits_are_set_changed_and_cleared(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct tkr_usage_found found;

    assert_int_equal(set_limit(sink, "u", SINK_TEST_CYCLE, TKR_LIMIT_NONE), 1);
    assert_int_equal(set_limit(sink, "u", 0, TKR_LIMIT_NONE), 1);
    assert_int_equal(set_limit(sink, "u", SINK_TEST_CYCLE, 7), 0);
    assert_int_equal(set_limit(sink, "u", SINK_TEST_CYCLE, INT64_MAX), 0);
    assert_int_equal(set_limit(sink, "u", 0, 1000), 0);
    found = look_up(sink, "u", SINK_TEST_CYCLE);
    assert_true(found.present);
    assert_int_equal(found.limit, INT64_MAX);
    assert_int_equal(found.standing, 1000);
    found = look_up(sink, "u", 20261201);
    assert_false(found.present); /* a standing limit is of no cycle */
    assert_int_equal(found.limit, -1);
    assert_int_equal(found.standing, 1000);
    assert_int_equal(set_limit(sink, "u", SINK_TEST_CYCLE, TKR_LIMIT_NONE), 0);
    assert_int_equal(set_limit(sink, "u", 0, TKR_LIMIT_NONE), 0);
    found = look_up(sink, "u", SINK_TEST_CYCLE);
    assert_false(found.present);
    assert_int_equal(found.limit, -1);
    assert_int_equal(found.standing, -1);
}

struct limits_seen {
    int64_t standing;
    int64_t of_cycle;
    int64_t used;
    int rows;
};

static int see_limit(const struct tkr_usage_row *row, void *arg)
{
    struct limits_seen *seen = arg;

    seen->rows++;
    *(row->cycle == 0 ? &seen->standing : &seen->of_cycle) += row->limit;
    seen->used += row->counts.value[TKR_COUNTER_TOTAL];
    return row->limit == 42 ? 9 : 0;
}

/* A limit of 0, of the cycle and standing: it holds, stays in a reset, is visited, and goes with a limit or when it is cleared.
 * */
static void test_contract_limit_of_zero_blocks(void **state)
{
    tkr_sink *sink = contract_sink(state);
    const struct tkr_give_up never = {NULL, NULL};
    struct tkr_usage_row account = contract_account("u", SINK_TEST_CYCLE);
    struct limits_seen seen = {.rows = 0};
    struct tkr_usage_found found;
    tkr_message message;
    tkr_counts before;

    assert_int_equal(set_limit(sink, "u", SINK_TEST_CYCLE, 700), 0);
    assert_int_equal(set_limit(sink, "u", SINK_TEST_CYCLE, 0), 0);
    assert_int_equal(set_limit(sink, "u", 0, 0), 0);
    found = look_up(sink, "u", SINK_TEST_CYCLE);
    assert_int_equal(found.limit, 0);
    assert_int_equal(found.standing, 0);
    assert_int_equal(tkr_usage_limit(&found), 0);
    assert_int_equal(sink->ops->limits(sink, &never, see_limit, &seen, &message), 0);
    assert_int_equal(seen.rows, 2);
    assert_int_equal(seen.of_cycle + seen.standing, 0);
    assert_true(sink->ops->reset(sink, &account, &before, &message) >= 0);
    assert_int_equal(look_up(sink, "u", SINK_TEST_CYCLE).limit, 0);
    assert_int_equal(set_limit(sink, "u", SINK_TEST_CYCLE, 5), 0);
    assert_int_equal(look_up(sink, "u", SINK_TEST_CYCLE).limit, 5);
    assert_int_equal(set_limit(sink, "u", SINK_TEST_CYCLE, 0), 0);
    assert_int_equal(set_limit(sink, "u", SINK_TEST_CYCLE, TKR_LIMIT_NONE), 0);
    found = look_up(sink, "u", SINK_TEST_CYCLE);
    assert_int_equal(found.limit, TKR_LIMIT_NONE);
    assert_int_equal(tkr_usage_limit(&found), 0); /* the standing one */
    assert_int_equal(set_limit(sink, "u", 0, TKR_LIMIT_NONE), 0);
    assert_int_equal(look_up(sink, "u", SINK_TEST_CYCLE).standing, TKR_LIMIT_NONE);
}

static int claim(tkr_sink *sink, const char *id, uint32_t cycle, uint32_t percent)
{
    struct tkr_usage_row account = contract_account(id, cycle);
    tkr_message message = {""};
    int rc = sink->ops->claim(sink, &account, percent, &message);

    if (rc < 0)
        fail_msg("%s", message.text);
    return rc;
}

/* Who claims first is told so; a reset of the cycle, and forgetting, give the claims back. */
static void test_contract_claims_are_of_the_first_until_reset_or_forgotten(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct tkr_usage_row account = contract_account("u", SINK_TEST_CYCLE);
    tkr_message message;
    tkr_counts before;
    uint32_t cycles;

    (void)test_contribute(sink, "u", NONE, test_record(1, 3, 2), NULL);
    assert_int_equal(claim(sink, "u", SINK_TEST_CYCLE, 50), 1);
    assert_int_equal(claim(sink, "u", SINK_TEST_CYCLE, 50), 0);
    assert_int_equal(claim(sink, "u", SINK_TEST_CYCLE, 80), 1);
    assert_int_equal(claim(sink, "u", 20261201, 50), 1);
    assert_int_equal(claim(sink, "v", SINK_TEST_CYCLE, 50), 1);
    assert_int_equal(sink->ops->reset(sink, &account, &before, &message), 0);
    assert_int_equal(claim(sink, "u", SINK_TEST_CYCLE, 50), 1);
    assert_int_equal(claim(sink, "u", 20261201, 50), 0);
    assert_int_equal(sink->ops->forget(sink, &account, &cycles, &message), 0);
    assert_int_equal(claim(sink, "u", SINK_TEST_CYCLE, 50), 1);
    assert_int_equal(claim(sink, "v", SINK_TEST_CYCLE, 50), 0);
}

static void test_contract_limit_stays_beside_totals_and_resets(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct tkr_usage_row account = contract_account("u", SINK_TEST_CYCLE);
    struct tkr_usage_row row;
    tkr_message message;
    tkr_counts before;

    assert_int_equal(set_limit(sink, "u", SINK_TEST_CYCLE, 100), 0);
    assert_int_equal(test_contribute(sink, "u", NONE, test_record(1, 10, 5), NULL), TKR_OUTCOME_APPLIED);
    assert_true(test_usage(sink, "u", &row));
    assert_int_equal(row.limit, 100);
    assert_int_equal(sink->ops->reset(sink, &account, &before, &message), 0);
    assert_int_equal(look_up(sink, "u", SINK_TEST_CYCLE).limit, 100);
    assert_int_equal(look_up(sink, "u", SINK_TEST_CYCLE).counts.value[TKR_COUNTER_TOTAL], 0);
}

#define LOOKED_UP 450

static void test_contract_lookup_of_many_gives_each_its_own(void **state)
{
    static struct tkr_usage_row account[LOOKED_UP];
    static struct tkr_usage_found found[LOOKED_UP];
    static char id[LOOKED_UP][16];
    tkr_sink *sink = contract_sink(state);
    tkr_message message = {""};

    for (int i = 0; i < LOOKED_UP; i++) {
        (void)snprintf(id[i], sizeof(id[i]), "%s:%d", i % 2 == 0 ? "\xff*" : "'\"", i);
        account[i] = contract_account(id[i], SINK_TEST_CYCLE);
        if (i % 10 == 0)
            (void)test_contribute(sink, id[i], NONE, test_record(1, i + 1, 0), NULL);
        if (i % 15 == 0)
            (void)set_limit(sink, id[i], i % 2 == 0 ? 0 : SINK_TEST_CYCLE, i + 1);
    }
    assert_int_equal(sink->ops->lookup(sink, account, LOOKED_UP, found, &message), 0);
    for (int i = 0; i < LOOKED_UP; i++) {
        assert_int_equal(found[i].counts.value[TKR_COUNTER_TOTAL], i % 10 == 0 ? i + 1 : 0);
        assert_int_equal(found[i].standing, i % 15 == 0 && i % 2 == 0 ? i + 1 : -1);
        assert_int_equal(found[i].limit, i % 15 == 0 && i % 2 == 1 ? i + 1 : -1);
        assert_int_equal(found[i].present, i % 10 == 0 || (i % 15 == 0 && i % 2 == 1));
    }
    assert_int_equal(sink->ops->lookup(sink, account, 0, found, &message), 0);
}

static void test_contract_limits_are_visited(void **state)
{
    tkr_sink *sink = contract_sink(state);
    int past = 1;
    const struct tkr_give_up never = {NULL, NULL};
    const struct tkr_give_up at_once = {is_past, &past};
    struct limits_seen seen = {.rows = 0};
    tkr_message message = {""};

    (void)test_contribute(sink, "free", NONE, test_record(1, 4, 0), NULL);
    (void)test_contribute(sink, "a:b", NONE, test_record(1, 3, 0), NULL);
    assert_int_equal(set_limit(sink, "a:b", SINK_TEST_CYCLE, 10), 0);
    assert_int_equal(set_limit(sink, "a:b", 0, 200), 0);
    assert_int_equal(set_limit(sink, "unused", 20261201, 20), 0);
    assert_int_equal(set_limit(sink, "2026-11-01", 0, 300), 0);
    assert_int_equal(sink->ops->limits(sink, &never, see_limit, &seen, &message), 0);
    assert_int_equal(seen.rows, 4);
    assert_int_equal(seen.standing, 500);
    assert_int_equal(seen.of_cycle, 30);
    assert_int_equal(seen.used, 3);
    assert_int_equal(set_limit(sink, "stop", SINK_TEST_CYCLE, 42), 0);
    assert_int_equal(sink->ops->limits(sink, &never, see_limit, &seen, &message), 9);
    assert_int_equal(sink->ops->limits(sink, &at_once, see_limit, &seen, &message), -1);
    assert_string_equal(message.text, "reading was given up");
}

static int forget(tkr_sink *sink, const char *id, uint32_t *ret_cycles)
{
    struct tkr_usage_row account = contract_account(id, 0);
    tkr_message message = {""};
    int rc = sink->ops->forget(sink, &account, ret_cycles, &message);

    if (rc < 0)
        fail_msg("%s", message.text);
    return rc;
}

static void test_contract_forget_erases_one_account_whole(void **state)
{
    struct tkr_usage_query all = {.any_kind = 1};
    tkr_sink *sink = contract_sink(state);
    struct test_chunk chunk;
    struct tkr_usage_found found;
    tkr_message message;
    uint32_t cycles = 77;

    assert_int_equal(forget(sink, "a*", &cycles), 1);
    assert_int_equal(cycles, 77);
    test_chunk_begin(&chunk, "test.0", 0, 1);
    (void)test_chunk_add(&chunk, "a*", NONE, test_record(1, 1, 0));
    test_chunk_add(&chunk, "a*", NONE, test_record(1, 2, 0))->cycle = 20261201;
    test_chunk_add(&chunk, "a*", NONE, test_record(1, 3, 0))->kind = TKR_KIND_TEAM;
    (void)test_chunk_add(&chunk, "ab", NONE, test_record(1, 4, 0));
    (void)test_chunk_add(&chunk, "a*:2026-11-01", NONE, test_record(1, 5, 0));
    assert_int_equal(test_chunk_send(sink, &chunk, &message), 0);
    (void)set_limit(sink, "a*", 0, 9);
    (void)set_limit(sink, "a*", SINK_TEST_CYCLE, 9);
    (void)set_limit(sink, "ab", 0, 8);
    assert_int_equal(forget(sink, "a*", &cycles), 0);
    assert_int_equal(cycles, 2);
    found = look_up(sink, "a*", SINK_TEST_CYCLE);
    assert_false(found.present);
    assert_int_equal(found.standing, -1);
    assert_int_equal(test_usage_count(sink, &all), 3);
    assert_int_equal(test_usage_total(sink, "ab"), 4);
    assert_int_equal(look_up(sink, "ab", SINK_TEST_CYCLE).standing, 8);
    assert_int_equal(forget(sink, "a*", &cycles), 1);
}

static enum tkr_decision decide_after(tkr_sink *sink, const char *source, uint64_t number, struct tkr_record known,
                                      struct tkr_record now)
{
    struct test_chunk chunk;
    tkr_message message;

    test_chunk_begin(&chunk, source, number, number + 1);
    (void)test_chunk_add(&chunk, "u", known, now);
    assert_int_equal(test_chunk_send(sink, &chunk, &message), 0);
    return tkr_contribution_decide(&chunk.item[0], true);
}

/* Two sources count on after the account was forgotten: the second one finds totals again, those of the first. */
static void test_contract_forgotten_account_is_erased_for_every_source(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct tkr_record ten = test_record(1, 10, 0);
    uint32_t cycles;

    assert_int_equal(decide_after(sink, "a.0", 0, NONE, ten), TKR_DECIDE_ACKNOWLEDGED);
    assert_int_equal(decide_after(sink, "a.1", 0, NONE, ten), TKR_DECIDE_ACKNOWLEDGED);
    assert_int_equal(forget(sink, "u", &cycles), 0);
    assert_int_equal(decide_after(sink, "a.0", 1, ten, test_record(1, 13, 0)), TKR_DECIDE_ERASED);
    assert_int_equal(decide_after(sink, "a.0", 2, NONE, test_record(2, 3, 0)), TKR_DECIDE_ACKNOWLEDGED);
    assert_int_equal(decide_after(sink, "a.1", 1, ten, test_record(1, 14, 0)), TKR_DECIDE_ERASED);
    assert_int_equal(decide_after(sink, "a.1", 2, NONE, test_record(2, 4, 0)), TKR_DECIDE_ACKNOWLEDGED);
    assert_int_equal(test_usage_total(sink, "u"), 7);
}

/* A first contribution expects no record: it is new, and is counted. */
static void test_contract_first_contribution_after_forgetting_is_the_total(void **state)
{
    tkr_sink *sink = contract_sink(state);
    uint32_t cycles;

    (void)test_contribute(sink, "u", NONE, test_record(1, 10, 0), NULL);
    assert_int_equal(forget(sink, "u", &cycles), 0);
    assert_int_equal(test_contribute(sink, "u", NONE, test_record(2, 3, 0), NULL), TKR_OUTCOME_APPLIED);
    assert_int_equal(test_usage_total(sink, "u"), 3);
}

#define CONTRACT_ACCOUNTS_TESTS(setup, teardown)                                                                          \
    cmocka_unit_test_setup_teardown(test_contract_limits_are_set_changed_and_cleared, setup, teardown),                   \
        cmocka_unit_test_setup_teardown(test_contract_limit_of_zero_blocks, setup, teardown),                             \
        cmocka_unit_test_setup_teardown(test_contract_claims_are_of_the_first_until_reset_or_forgotten, setup, teardown), \
        cmocka_unit_test_setup_teardown(test_contract_limit_stays_beside_totals_and_resets, setup, teardown),             \
        cmocka_unit_test_setup_teardown(test_contract_lookup_of_many_gives_each_its_own, setup, teardown),                \
        cmocka_unit_test_setup_teardown(test_contract_limits_are_visited, setup, teardown),                               \
        cmocka_unit_test_setup_teardown(test_contract_forget_erases_one_account_whole, setup, teardown),                  \
        cmocka_unit_test_setup_teardown(test_contract_forgotten_account_is_erased_for_every_source, setup, teardown),     \
        cmocka_unit_test_setup_teardown(test_contract_first_contribution_after_forgetting_is_the_total, setup, teardown)

#endif
