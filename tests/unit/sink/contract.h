/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every sink that keeps totals promises. Each program that includes this runs the cases against its own sink, which
 * contract_sink() gives: open, and emptied before each case.
 */
#ifndef TESTS_UNIT_SINK_CONTRACT_H
#define TESTS_UNIT_SINK_CONTRACT_H

#include <stdio.h>
#include <string.h>

#include "sink/contribution.h"
#include "support/random.h"
#include "support/sink.h"
#include "support/test.h"
#include "tokenring/tokenring.h"

static tkr_sink *contract_sink(void **state);

#define NONE test_record_none()

static void test_contract_first_contribution_is_the_total(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct tkr_usage_row row;

    assert_int_equal(test_contribute(sink, "u", NONE, test_record(1, 10, 5), NULL), TKR_OUTCOME_APPLIED);
    assert_true(test_usage(sink, "u", &row));
    assert_int_equal(row.counts.value[TKR_COUNTER_PROMPT], 10);
    assert_int_equal(row.counts.value[TKR_COUNTER_COMPLETION], 5);
    assert_int_equal(row.counts.value[TKR_COUNTER_TOTAL], 15);
    assert_int_equal(row.limit, -1);
    assert_int_equal(row.kind, TKR_KIND_USER);
}

static void test_contract_second_contribution_adds_the_difference(void **state)
{
    tkr_sink *sink = contract_sink(state);

    assert_int_equal(test_contribute(sink, "u", NONE, test_record(1, 10, 5), NULL), TKR_OUTCOME_APPLIED);
    assert_int_equal(test_contribute(sink, "u", test_record(1, 10, 5), test_record(1, 20, 5), NULL), TKR_OUTCOME_APPLIED);
    assert_int_equal(test_usage_total(sink, "u"), 25);
}

static void test_contract_all_counters_travel(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct tkr_record now = {.life = 7};
    struct tkr_usage_row row;

    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        now.counts.value[i] = 1000 + i;
    assert_int_equal(test_contribute(sink, "u", NONE, now, NULL), TKR_OUTCOME_APPLIED);
    assert_true(test_usage(sink, "u", &row));
    assert_memory_equal(&row.counts, &now.counts, sizeof(now.counts));
}

static void test_contract_resend_is_found_and_acknowledged(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct tkr_contribution item;

    for (int i = 0; i < 2; i++)
        assert_int_equal(test_contribute(sink, "u", NONE, test_record(1, 10, 5), &item),
                         i == 0 ? TKR_OUTCOME_APPLIED : TKR_OUTCOME_FOUND);
    assert_true(tkr_record_same(&item.found, &item.now));
    assert_int_equal(tkr_contribution_decide(&item, true), TKR_DECIDE_ACKNOWLEDGED);
    assert_int_equal(test_usage_total(sink, "u"), 15);
}

static void test_contract_zombie_after_newer_changes_nothing(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct tkr_contribution item;

    (void)test_contribute(sink, "u", NONE, test_record(1, 10, 0), NULL);
    (void)test_contribute(sink, "u", test_record(1, 10, 0), test_record(1, 20, 0), NULL);
    (void)test_contribute(sink, "u", test_record(1, 20, 0), test_record(1, 30, 0), NULL);
    assert_int_equal(test_contribute(sink, "u", test_record(1, 10, 0), test_record(1, 20, 0), &item), TKR_OUTCOME_FOUND);
    assert_int_equal(item.found.counts.value[TKR_COUNTER_PROMPT], 30);
    assert_int_equal(test_usage_total(sink, "u"), 30);
}

static void test_contract_newer_life_adds_all_of_it(void **state)
{
    tkr_sink *sink = contract_sink(state);

    (void)test_contribute(sink, "u", NONE, test_record(5, 10, 0), NULL);
    assert_int_equal(test_contribute(sink, "u", test_record(5, 10, 0), test_record(6, 3, 0), NULL), TKR_OUTCOME_APPLIED);
    assert_int_equal(test_contribute(sink, "u", test_record(6, 3, 0), test_record(7, 1, 0), NULL), TKR_OUTCOME_APPLIED);
    assert_int_equal(test_usage_total(sink, "u"), 14);
}

static void test_contract_forgotten_life_is_found_and_resent(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct tkr_contribution item;

    (void)test_contribute(sink, "u", NONE, test_record(5, 10, 0), NULL);
    assert_int_equal(test_contribute(sink, "u", NONE, test_record(6, 3, 0), &item), TKR_OUTCOME_FOUND);
    assert_int_equal(item.found.life, 5);
    assert_int_equal(tkr_contribution_decide(&item, true), TKR_DECIDE_RESEND);
    assert_int_equal(test_contribute(sink, "u", item.known, item.now, NULL), TKR_OUTCOME_APPLIED);
    assert_int_equal(test_usage_total(sink, "u"), 13);
}

static void test_contract_record_expected_but_absent_changes_nothing(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct tkr_contribution item;

    assert_int_equal(test_contribute(sink, "u", test_record(1, 10, 0), test_record(1, 20, 0), &item), TKR_OUTCOME_FOUND);
    assert_int_equal(item.found.life, 0);
    assert_int_equal(test_usage_total(sink, "u"), -1);
}

static void test_contract_two_sources_add_up(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct test_chunk chunk;
    tkr_message message;

    for (int i = 0; i < 2; i++) {
        test_chunk_begin(&chunk, i == 0 ? "0123456789abcdef.1" : "0123456789abcdef.12", 0, 1);
        (void)test_chunk_add(&chunk, "u", NONE, test_record(1, 10, i));
        assert_int_equal(test_chunk_send(sink, &chunk, &message), 0);
        assert_int_equal(chunk.item[0].outcome, TKR_OUTCOME_APPLIED);
        assert_int_equal(chunk.chunk.seen_found, 0);
    }
    assert_int_equal(test_usage_total(sink, "u"), 21);
}

static void test_contract_zero_vector_is_recorded_and_confirmed(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct tkr_contribution item;

    assert_int_equal(test_contribute(sink, "u", NONE, test_record(9, 0, 0), NULL), TKR_OUTCOME_APPLIED);
    assert_int_equal(test_contribute(sink, "u", test_record(9, 0, 0), test_record(9, 0, 0), NULL), TKR_OUTCOME_APPLIED);
    assert_int_equal(test_contribute(sink, "u", NONE, test_record(9, 4, 0), &item), TKR_OUTCOME_FOUND);
    assert_int_equal(item.found.life, 9);
}

static void test_contract_beyond_2_to_53_is_exact(void **state)
{
    const int64_t a = INT64_C(9007199254740993);
    tkr_sink *sink = contract_sink(state);

    (void)test_contribute(sink, "u", NONE, test_record(1, a, 0), NULL);
    (void)test_contribute(sink, "u", test_record(1, a, 0), test_record(1, 2 * a + 1, 0), NULL);
    assert_int_equal(test_usage_total(sink, "u"), 2 * a + 1);
}

static void test_contract_overflow_is_poison_and_neighbours_pass(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct test_chunk chunk;
    tkr_message message;

    (void)test_contribute(sink, "full", NONE, test_record(1, INT64_MAX - 1, 0), NULL);
    test_chunk_begin(&chunk, "other.0", 0, 1);
    (void)test_chunk_add(&chunk, "before", NONE, test_record(1, 1, 0));
    (void)test_chunk_add(&chunk, "full", NONE, test_record(1, 2, 0));
    (void)test_chunk_add(&chunk, "after", NONE, test_record(1, 3, 0));
    assert_int_equal(test_chunk_send(sink, &chunk, &message), 0);
    assert_int_equal(chunk.item[0].outcome, TKR_OUTCOME_APPLIED);
    assert_int_equal(chunk.item[1].outcome, TKR_OUTCOME_POISON);
    assert_int_not_equal(strlen(chunk.item[1].reason), 0);
    assert_int_equal(chunk.item[2].outcome, TKR_OUTCOME_APPLIED);
    assert_int_equal(test_usage_total(sink, "full"), INT64_MAX - 1);
    assert_int_equal(test_usage_total(sink, "after"), 3);
    test_chunk_begin(&chunk, "other.0", 1, 2); /* nothing was recorded, so less can still come as the first */
    (void)test_chunk_add(&chunk, "full", NONE, test_record(1, 1, 0));
    assert_int_equal(test_chunk_send(sink, &chunk, &message), 0);
    assert_int_equal(chunk.item[0].outcome, TKR_OUTCOME_APPLIED);
    assert_int_equal(test_usage_total(sink, "full"), INT64_MAX);
}

static void test_contract_less_than_recorded_is_never_subtracted(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct test_chunk chunk;
    tkr_message message;

    (void)test_contribute(sink, "u", NONE, test_record(1, 10, 0), NULL);
    test_chunk_begin(&chunk, "test.0", UINT64_MAX, UINT64_MAX);
    (void)test_chunk_add(&chunk, "a", NONE, test_record(1, 1, 0));
    (void)test_chunk_add(&chunk, "u", test_record(1, 10, 0), test_record(1, 9, 5));
    (void)test_chunk_add(&chunk, "b", NONE, test_record(1, 2, 0));
    assert_int_equal(test_chunk_send(sink, &chunk, &message), 0);
    assert_int_equal(chunk.item[0].outcome, TKR_OUTCOME_APPLIED);
    assert_int_equal(chunk.item[1].outcome, TKR_OUTCOME_POISON);
    assert_int_equal(chunk.item[2].outcome, TKR_OUTCOME_APPLIED);
    assert_int_equal(test_usage_total(sink, "u"), 10);
    assert_int_equal(test_usage_total(sink, "b"), 2);
}

static void test_contract_kinds_and_cycles_never_mix(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct tkr_usage_query query = {.id = "x", .id_len = 1, .any_kind = 1};
    struct test_chunk chunk;
    uint64_t kind;
    tkr_message message;

    assert_int_equal(tkr_kind("a_b", &kind), 0);
    test_chunk_begin(&chunk, "test.0", 0, 1);
    (void)test_chunk_add(&chunk, "x", NONE, test_record(1, 1, 0));
    test_chunk_add(&chunk, "x", NONE, test_record(1, 2, 0))->kind = TKR_KIND_TEAM;
    test_chunk_add(&chunk, "x", NONE, test_record(1, 3, 0))->kind = kind;
    test_chunk_add(&chunk, "x", NONE, test_record(1, 4, 0))->cycle = 20261201;
    assert_int_equal(test_chunk_send(sink, &chunk, &message), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(chunk.item[i].outcome, TKR_OUTCOME_APPLIED);
    assert_int_equal(test_usage_total(sink, "x"), 1);
    assert_int_equal(test_usage_count(sink, &query), 4);
    query.cycle = 20261201;
    assert_int_equal(test_usage_count(sink, &query), 1);
    query = (struct tkr_usage_query){.kind = kind};
    assert_int_equal(test_usage_count(sink, &query), 1);
    query = (struct tkr_usage_query){.any_kind = 1, .cycle = SINK_TEST_CYCLE};
    assert_int_equal(test_usage_count(sink, &query), 3);
    query = (struct tkr_usage_query){.any_kind = 1, .cycle = 20270101};
    assert_int_equal(test_usage_count(sink, &query), 0);
}

static void test_contract_ids_of_any_bytes_stay_apart(void **state)
{
    char longest[TKR_ID_BYTES_MAX + 1];
    const char *const ids[] = {"a:b",    ":",        "a:2026-11-01", "{x}",    "{0}", "}{",       " ",
                               " lead",  "it's",     "say \"hi\"",   "back\\", "a*",  "a?",       "[ab]",
                               "^[a-z]", "\xc3\xa9", "\xff\xfe",     "%00",    "--",  "x'; DROP", longest};
    const size_t count = sizeof(ids) / sizeof(ids[0]);
    struct tkr_usage_query all = {.any_kind = 1};
    tkr_sink *sink = contract_sink(state);
    struct test_chunk chunk;
    tkr_message message;

    memset(longest, '*', TKR_ID_BYTES_MAX);
    longest[TKR_ID_BYTES_MAX] = '\0';
    test_chunk_begin(&chunk, "test.0", 0, 1);
    for (size_t i = 0; i < count; i++)
        (void)test_chunk_add(&chunk, ids[i], NONE, test_record(1, (int64_t)i + 1, 0));
    assert_int_equal(test_chunk_send(sink, &chunk, &message), 0);
    for (size_t i = 0; i < count; i++) {
        struct tkr_usage_query every_cycle = {.id = ids[i], .id_len = (uint32_t)strlen(ids[i])};

        assert_int_equal(chunk.item[i].outcome, TKR_OUTCOME_APPLIED);
        assert_int_equal(test_usage_total(sink, ids[i]), (int64_t)i + 1);
        assert_int_equal(test_usage_count(sink, &every_cycle), 1);
    }
    assert_int_equal(test_usage_count(sink, &all), (int)count);
}

static void send_seen(tkr_sink *sink, uint64_t expected, uint64_t next, uint64_t found)
{
    struct test_chunk chunk;
    tkr_message message;

    test_chunk_begin(&chunk, "seen.0", expected, next);
    assert_int_equal(test_chunk_send(sink, &chunk, &message), 0);
    assert_int_equal(chunk.chunk.seen_found, found);
}

static void test_contract_seen_advances_only_from_what_was_expected(void **state)
{
    tkr_sink *sink = contract_sink(state);

    send_seen(sink, 0, 1, 0);
    send_seen(sink, 1, 2, 1);
    send_seen(sink, 1, 2, 2); /* a resend */
    send_seen(sink, 7, 8, 2); /* the sink went back */
    send_seen(sink, 2, UINT64_C(1) << 62, 2);
    send_seen(sink, 5, 6, UINT64_C(1) << 62);
}

static void test_contract_window_answers_in_order(void **state)
{
    tkr_sink *sink = contract_sink(state);
    static struct test_chunk chunks[16];
    struct tkr_chunk *collected;
    tkr_message message;

    assert_in_range(sink->window, 1, 16);
    assert_int_equal(sink->ops->connect(sink, &message), 0);
    assert_int_equal(sink->ops->connect(sink, &message), 0); /* idempotent */
    for (uint32_t i = 0; i < sink->window; i++) {
        test_chunk_begin(&chunks[i], "test.0", i, i + 1);
        (void)test_chunk_add(&chunks[i], "u", i == 0 ? NONE : test_record(1, (int64_t)i, 0), test_record(1, (int64_t)i + 1, 0));
        assert_int_equal(sink->ops->submit(sink, &chunks[i].chunk, &message), 0);
    }
    for (uint32_t i = 0; i < sink->window; i++) {
        assert_int_equal(sink->ops->collect(sink, &collected, &message), 0);
        assert_ptr_equal(collected, &chunks[i].chunk);
        assert_int_equal(chunks[i].item[0].outcome, TKR_OUTCOME_APPLIED);
        assert_int_equal(chunks[i].chunk.seen_found, i);
    }
    assert_int_equal(sink->ops->collect(sink, &collected, &message), -1);
    assert_int_equal(test_usage_total(sink, "u"), (int64_t)sink->window);
}

static void test_contract_disconnected_sink_takes_nothing(void **state)
{
    tkr_sink *sink = contract_sink(state);
    struct test_chunk chunk;
    struct tkr_chunk *collected;
    tkr_message message;

    test_chunk_begin(&chunk, "test.0", 0, 1);
    sink->ops->disconnect(sink);
    sink->ops->disconnect(sink);
    assert_int_equal(sink->ops->submit(sink, &chunk.chunk, &message), -1);
    assert_int_equal(sink->ops->collect(sink, &collected, &message), -1);
    assert_int_equal(test_chunk_send(sink, &chunk, &message), 0);
}

static int stop_at_second(const struct tkr_usage_row *row, void *arg)
{
    (void)row;
    return ++*(int *)arg == 2 ? 42 : 0;
}

static void test_contract_visitor_stops_the_reading(void **state)
{
    struct tkr_usage_query all = {.any_kind = 1};
    tkr_sink *sink = contract_sink(state);
    tkr_message message;
    int visited = 0;

    (void)test_contribute(sink, "a", NONE, test_record(1, 1, 0), NULL);
    (void)test_contribute(sink, "b", NONE, test_record(1, 1, 0), NULL);
    (void)test_contribute(sink, "c", NONE, test_record(1, 1, 0), NULL);
    assert_int_equal(sink->ops->read(sink, &all, stop_at_second, &visited, &message), 42);
    assert_int_equal(visited, 2);
}

static bool is_past(void *arg)
{
    return *(int *)arg >= 1;
}

static void test_contract_reading_that_is_given_up_fails(void **state)
{
    int visited = 1;
    struct tkr_usage_query all = {.any_kind = 1, .give_up = {is_past, &visited}};
    tkr_sink *sink = contract_sink(state);
    tkr_message message = {""};

    (void)test_contribute(sink, "a", NONE, test_record(1, 1, 0), NULL);
    assert_int_equal(sink->ops->read(sink, &all, stop_at_second, &visited, &message), -1);
    assert_string_equal(message.text, "reading was given up");
    assert_int_equal(visited, 1);
}

/* What a flusher knows of an account of one source, and what it should come to. */
struct walk {
    char id[8];
    struct tkr_record known;
    struct tkr_record now;
    int64_t sum; /* of older lives */
};

#define WALKERS 12
#define STEPS 300

static void walk_grow(struct walk *walk, struct test_random *random)
{
    if (test_random_below(random, 10) == 0) { /* the entry was forgotten and came back */
        walk->sum += walk->now.counts.value[TKR_COUNTER_TOTAL];
        walk->now = test_record(walk->now.life + 1, 0, 0);
        walk->known = NONE;
    }
    walk->now = test_record(walk->now.life, walk->now.counts.value[TKR_COUNTER_PROMPT] + (int64_t)test_random_below(random, 1000),
                            walk->now.counts.value[TKR_COUNTER_COMPLETION] + (int64_t)test_random_below(random, 3));
}

/*
 * Sends all until all is acknowledged; replies get lost on the way. Lives are acknowledged before they are forgotten. A chunk's
 * number is higher than any before.
 */
static void walk_settle(tkr_sink *sink, struct walk *walk, struct test_random *random, uint64_t *number)
{
    bool settled = false;
    tkr_message message;

    for (int round = 0; !settled; round++) {
        struct test_chunk chunk;
        struct tkr_chunk *collected;

        assert_in_range(round, 0, 50);
        test_chunk_begin(&chunk, "walk.0", *number, *number + 1);
        ++*number;
        for (int i = 0; i < WALKERS; i++)
            (void)test_chunk_add(&chunk, walk[i].id, walk[i].known, walk[i].now);
        assert_int_equal(sink->ops->connect(sink, &message), 0);
        assert_int_equal(sink->ops->submit(sink, &chunk.chunk, &message), 0);
        if (test_random_below(random, 3) == 0) {
            sink->ops->disconnect(sink); /* it may or may not have been applied */
            continue;
        }
        assert_int_equal(sink->ops->collect(sink, &collected, &message), 0);
        settled = true;
        for (int i = 0; i < WALKERS; i++) {
            enum tkr_decision decision = tkr_contribution_decide(&chunk.item[i], false);

            assert_true(decision == TKR_DECIDE_ACKNOWLEDGED || decision == TKR_DECIDE_RESEND);
            walk[i].known = chunk.item[i].known;
            settled = settled && decision == TKR_DECIDE_ACKNOWLEDGED;
        }
    }
}

static void test_contract_random_walk_with_lost_replies_is_exact(void **state)
{
    struct test_random random = test_random_start();
    tkr_sink *sink = contract_sink(state);
    struct walk walk[WALKERS] = {0};
    uint64_t number = 0;

    for (int i = 0; i < WALKERS; i++) {
        walk[i].id[0] = (char)('a' + i);
        walk[i].now.life = 1;
    }
    for (int step = 0; step < STEPS; step++) {
        for (int i = 0; i < WALKERS; i++)
            walk_grow(&walk[i], &random);
        walk_settle(sink, walk, &random, &number);
    }
    for (int i = 0; i < WALKERS; i++)
        assert_int_equal(test_usage_total(sink, walk[i].id), walk[i].sum + walk[i].now.counts.value[TKR_COUNTER_TOTAL]);
}

static void test_contract_sound_sink_gives_no_advice(void **state)
{
    tkr_sink *sink = contract_sink(state);
    tkr_message advice = {"before"};
    tkr_message message = {""};

    for (int i = 0; i < 2; i++) {
        assert_int_equal(sink->ops->advise(sink, &advice, &message), 0);
        assert_string_equal(advice.text, "");
        assert_int_equal(test_contribute(sink, "u", NONE, test_record(1, 10, 5), NULL),
                         i == 0 ? TKR_OUTCOME_APPLIED : TKR_OUTCOME_FOUND);
    }
}

#define CONTRACT_TESTS(setup, teardown)                                                                             \
    cmocka_unit_test_setup_teardown(test_contract_first_contribution_is_the_total, setup, teardown),                \
        cmocka_unit_test_setup_teardown(test_contract_second_contribution_adds_the_difference, setup, teardown),    \
        cmocka_unit_test_setup_teardown(test_contract_all_counters_travel, setup, teardown),                        \
        cmocka_unit_test_setup_teardown(test_contract_resend_is_found_and_acknowledged, setup, teardown),           \
        cmocka_unit_test_setup_teardown(test_contract_zombie_after_newer_changes_nothing, setup, teardown),         \
        cmocka_unit_test_setup_teardown(test_contract_newer_life_adds_all_of_it, setup, teardown),                  \
        cmocka_unit_test_setup_teardown(test_contract_forgotten_life_is_found_and_resent, setup, teardown),         \
        cmocka_unit_test_setup_teardown(test_contract_record_expected_but_absent_changes_nothing, setup, teardown), \
        cmocka_unit_test_setup_teardown(test_contract_two_sources_add_up, setup, teardown),                         \
        cmocka_unit_test_setup_teardown(test_contract_zero_vector_is_recorded_and_confirmed, setup, teardown),      \
        cmocka_unit_test_setup_teardown(test_contract_beyond_2_to_53_is_exact, setup, teardown),                    \
        cmocka_unit_test_setup_teardown(test_contract_overflow_is_poison_and_neighbours_pass, setup, teardown),     \
        cmocka_unit_test_setup_teardown(test_contract_less_than_recorded_is_never_subtracted, setup, teardown),     \
        cmocka_unit_test_setup_teardown(test_contract_kinds_and_cycles_never_mix, setup, teardown),                 \
        cmocka_unit_test_setup_teardown(test_contract_ids_of_any_bytes_stay_apart, setup, teardown),                \
        cmocka_unit_test_setup_teardown(test_contract_seen_advances_only_from_what_was_expected, setup, teardown),  \
        cmocka_unit_test_setup_teardown(test_contract_window_answers_in_order, setup, teardown),                    \
        cmocka_unit_test_setup_teardown(test_contract_disconnected_sink_takes_nothing, setup, teardown),            \
        cmocka_unit_test_setup_teardown(test_contract_sound_sink_gives_no_advice, setup, teardown),                 \
        cmocka_unit_test_setup_teardown(test_contract_visitor_stops_the_reading, setup, teardown),                  \
        cmocka_unit_test_setup_teardown(test_contract_reading_that_is_given_up_fails, setup, teardown),             \
        cmocka_unit_test_setup_teardown(test_contract_random_walk_with_lost_replies_is_exact, setup, teardown)

#endif
