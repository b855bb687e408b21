/* SPDX-License-Identifier: Apache-2.0 */
/* What the keeper works by: accounts on their way to it, what is due, and turns of cycles. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "collector/due.h"
#include "collector/turns.h"
#include "collector/wanted.h"
#include "support/test.h"

#define BLOCKS 2000u
#define EACH 5u
#define WORKERS 3u

/* --- wanted --- */

struct pushing {
    struct tkr_wanted_queue *queue;
    uint32_t worker;
};

static bool push_block(struct tkr_wanted_queue *queue, uint32_t worker, uint32_t number)
{
    struct tkr_wanted_block *block = tkr_wanted_begin(queue, EACH, EACH * 32);
    char id[32];

    if (block == NULL)
        return false;
    for (uint32_t i = 0; i < EACH; i++) {
        int len = snprintf(id, sizeof(id), "%u-%u", worker, number * EACH + i);
        tkr_wanted_add(block, &(struct tkr_wanted){.account = {.kind = worker, .id = id, .len = (uint32_t)len},
                                                   .cycle = 20261101,
                                                   .next = number * EACH + i});
    }
    return tkr_wanted_push(queue, block);
}

static void *push_all(void *argument)
{
    const struct pushing *pushing = argument;

    for (uint32_t i = 0; i < BLOCKS; i++) {
        while (!push_block(pushing->queue, pushing->worker, i))
            continue;
    }
    return NULL;
}

static void test_wanted_come_once_and_in_order_of_each_worker(void **state)
{
    struct tkr_wanted_queue queue = {.oldest = NULL};
    struct pushing pushing[WORKERS];
    pthread_t thread[WORKERS];
    uint32_t next[WORKERS] = {0};
    struct tkr_wanted wanted;
    char id[32];

    (void)state;
    assert_true(tkr_wanted_empty(&queue));
    for (uint32_t i = 0; i < WORKERS; i++) {
        pushing[i] = (struct pushing){&queue, i};
        assert_int_equal(pthread_create(&thread[i], NULL, push_all, &pushing[i]), 0);
    }
    for (uint32_t taken = 0; taken < WORKERS * BLOCKS * EACH;) {
        if (!tkr_wanted_take(&queue, &wanted))
            continue;
        assert_true(wanted.account.kind < WORKERS);
        assert_int_equal(wanted.next, next[wanted.account.kind]++);
        (void)snprintf(id, sizeof(id), "%u-%u", (unsigned)wanted.account.kind, wanted.next);
        assert_int_equal(wanted.account.len, strlen(id));
        assert_memory_equal(wanted.account.id, id, wanted.account.len);
        taken++;
    }
    for (uint32_t i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_false(tkr_wanted_take(&queue, &wanted));
    assert_int_equal(atomic_load(&queue.bytes), 0);
}

static void test_wanted_beyond_the_bound_are_not_taken_and_what_is_empty_is_no_block(void **state)
{
    struct tkr_wanted_queue queue = {.oldest = NULL};
    uint32_t blocks = 0;

    (void)state;
    assert_false(tkr_wanted_push(&queue, tkr_wanted_begin(&queue, 10, 100)));
    assert_int_equal(atomic_load(&queue.bytes), 0);
    assert_null(tkr_wanted_begin(&queue, UINT32_MAX, UINT32_MAX));
    while (push_block(&queue, 0, blocks))
        blocks++;
    assert_true(blocks * EACH > 100000);
    assert_true(atomic_load(&queue.bytes) <= TKR_WANTED_BYTES_MAX);
    tkr_wanted_free(&queue);
    assert_true(tkr_wanted_empty(&queue));
    assert_int_equal(atomic_load(&queue.bytes), 0);
}

/* --- due --- */

static void test_due_places_come_in_the_order_in_which_they_were_put(void **state)
{
    struct tkr_due_place place[16] = {{.due_ns = 0}};
    struct tkr_due due = {.place = place};
    uint32_t number = 0;
    int64_t due_ns = 0;

    (void)state;
    assert_false(tkr_due_first(&due, TKR_DUE_NEW, &number, &due_ns));
    for (uint32_t i = 0; i < 16; i++)
        tkr_due_put(&due, TKR_DUE_BUSY, i, 100 + i);
    tkr_due_remove(&due, 0);
    tkr_due_remove(&due, 7);
    tkr_due_remove(&due, 15);
    tkr_due_remove(&due, 15);
    tkr_due_put(&due, TKR_DUE_IDLE, 3, 500);
    tkr_due_put(&due, TKR_DUE_BUSY, 1, 200); /* from where it was to the end */
    for (uint32_t i = 2; i <= 14; i++) {
        if (i == 3 || i == 7)
            continue;
        assert_true(tkr_due_first(&due, TKR_DUE_BUSY, &number, &due_ns));
        assert_int_equal(number, i);
        assert_int_equal(due_ns, 100 + i);
        tkr_due_remove(&due, number);
    }
    assert_true(tkr_due_first(&due, TKR_DUE_BUSY, &number, &due_ns));
    assert_int_equal(number, 1);
    assert_int_equal(due.list[TKR_DUE_BUSY].count, 1);
    tkr_due_remove(&due, number);
    assert_false(tkr_due_first(&due, TKR_DUE_BUSY, &number, &due_ns));
    assert_true(tkr_due_first(&due, TKR_DUE_IDLE, &number, &due_ns));
    assert_int_equal(number, 3);
}

/* --- turns --- */

#define NOW_S INT64_C(1796000000)

static const struct tkr_turn *find_turn(const struct tkr_turns *turns, uint32_t cycle, uint32_t next)
{
    for (uint32_t i = 0; i < TKR_TURNS_MAX; i++) {
        if (turns->turn[i].cycle == cycle && turns->turn[i].next == next)
            return &turns->turn[i];
    }
    fail_msg("no turn from %u to %u", cycle, next);
    return &turns->turn[0];
}

static void test_turn_is_near_from_some_time_before_the_first_to_the_last_who_has_it(void **state)
{
    struct tkr_turns turns = {{{.cycle = 0}}};
    const struct tkr_turn *turn;

    (void)state;
    assert_true(tkr_turns_note(&turns, 20261101, 20261201, NOW_S + 5000, NOW_S));
    assert_false(tkr_turns_note(&turns, 20261101, 20261201, NOW_S + 5000, NOW_S));
    assert_true(tkr_turns_note(&turns, 20261101, 20261201, NOW_S + 1400, NOW_S)); /* further east */
    assert_true(tkr_turns_note(&turns, 20261101, 20261102, NOW_S + 9000, NOW_S)); /* days */
    turn = find_turn(&turns, 20261101, 20261201);
    assert_false(tkr_turn_near(turn, NOW_S + 1400 - TKR_TURN_AHEAD_S - 1));
    assert_true(tkr_turn_near(turn, NOW_S + 1400 - TKR_TURN_AHEAD_S));
    assert_true(tkr_turn_near(turn, NOW_S + 5000));
    assert_false(tkr_turn_near(turn, NOW_S + 5001));
    assert_int_equal(find_turn(&turns, 20261101, 20261102)->last_s, NOW_S + 9000);
}

static void test_turn_that_cannot_be_is_passed_over(void **state)
{
    struct tkr_turns turns = {{{.cycle = 0}}};

    (void)state;
    assert_false(tkr_turns_note(&turns, 20261101, 20261101, NOW_S + 1, NOW_S));
    assert_false(tkr_turns_note(&turns, 20261101, 20261001, NOW_S + 1, NOW_S));
    assert_false(tkr_turns_note(&turns, 20261101, 20261301, NOW_S + 1, NOW_S));
    assert_false(tkr_turns_note(&turns, 20261101, 20261201, NOW_S - 3 * 86400, NOW_S));
    assert_false(tkr_turns_note(&turns, 20261101, 20261201, NOW_S + 100 * 86400, NOW_S));
    for (uint32_t i = 0; i < TKR_TURNS_MAX; i++)
        assert_true(tkr_turns_note(&turns, 20261101, 20261201 + i % 28 + i / 28 * 10000, NOW_S + 1 + i, NOW_S));
    assert_false(tkr_turns_note(&turns, 20251101, 20251201, NOW_S + 1, NOW_S));      /* there is no place, */
    assert_true(tkr_turns_note(&turns, 20251101, 20251201, NOW_S + 100, NOW_S + 3)); /* until one is over */
}

static void test_walk_of_a_turn_is_over_before_it(void **state)
{
    const uint32_t places = 1 << 21;
    struct tkr_turn turn = {.cycle = 20261101, .next = 20261201, .first_s = NOW_S + TKR_TURN_AHEAD_S, .last_s = NOW_S + 5000};
    int64_t steps = 0;

    (void)state;
    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint64_t at = 0; at < places; steps++)
            at += tkr_turn_step(&turn, places, NOW_S + steps * TKR_TURN_STEP_NS / TKR_NS_PER_S);
    }
    assert_true(steps * TKR_TURN_STEP_NS / TKR_NS_PER_S < TKR_TURN_AHEAD_S * 2 / 3);
    assert_true(tkr_turn_step(&turn, places, turn.first_s - 2) >= places / 10); /* it was learned late */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wanted_come_once_and_in_order_of_each_worker),
        cmocka_unit_test(test_wanted_beyond_the_bound_are_not_taken_and_what_is_empty_is_no_block),
        cmocka_unit_test(test_due_places_come_in_the_order_in_which_they_were_put),
        cmocka_unit_test(test_turn_is_near_from_some_time_before_the_first_to_the_last_who_has_it),
        cmocka_unit_test(test_turn_that_cannot_be_is_passed_over),
        cmocka_unit_test(test_walk_of_a_turn_is_over_before_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
