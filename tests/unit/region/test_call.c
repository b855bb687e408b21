/* SPDX-License-Identifier: Apache-2.0 */
/* Open-call slots on a plain array: handles, races of enders and tellers, stale handles. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "region/call.h"
#include "support/test.h"

#define IDENTITY 0xbeefu
#define SLOTS 4u

static struct tkr_call_slot *slots;

static int make_slots(void **state)
{
    (void)state;
    slots = aligned_alloc(64, SLOTS * sizeof(*slots));
    if (slots == NULL)
        return -1;
    memset(slots, 0, SLOTS * sizeof(*slots)); /* as fresh memory of a region is */
    return 0;
}

static int free_slots(void **state)
{
    (void)state;
    free(slots);
    return 0;
}

static tkr_start start_of(const char *id)
{
    tkr_start start = TKR_START_INIT;

    start.account_count = 1;
    start.account[0] = (tkr_account){.id = id, .len = (uint32_t)strlen(id)};
    return start;
}

static uint64_t begin(uint32_t number, const char *id)
{
    tkr_start start = start_of(id);

    return tkr_call_slot_begin(&slots[number], number, IDENTITY, &start, 20240101, 1000, 0);
}

static uint32_t generation_of(uint64_t handle)
{
    uint32_t number;
    uint32_t generation;

    assert_true(tkr_call_handle_split(handle, IDENTITY, SLOTS, &number, &generation));
    return generation;
}

static int claim(uint64_t handle)
{
    uint32_t number;
    uint32_t generation;

    if (!tkr_call_handle_split(handle, IDENTITY, SLOTS, &number, &generation))
        return TKR_EHANDLE;
    return tkr_call_slot_claim(&slots[number], generation);
}

static int progress(uint64_t handle, int64_t tokens)
{
    uint32_t number;
    uint32_t generation;

    if (!tkr_call_handle_split(handle, IDENTITY, SLOTS, &number, &generation))
        return TKR_EHANDLE;
    return tkr_call_slot_progress(&slots[number], generation, tokens);
}

static void test_slot_begin_keeps_the_call_and_gives_a_handle(void **state)
{
    tkr_start start = start_of("alice");
    struct tkr_event event;
    uint64_t handle;
    uint32_t number;
    uint32_t generation;

    (void)state;
    start.prompt_estimate = 11;
    start.reserve = TKR_ABSENT;
    assert_false(tkr_call_slot_open(&slots[2]));
    handle = tkr_call_slot_begin(&slots[2], 2, IDENTITY, &start, 20240101, 1000, 0);
    assert_true(handle != 0);
    assert_true(tkr_call_handle_split(handle, IDENTITY, SLOTS, &number, &generation));
    assert_int_equal(number, 2);
    assert_int_equal(generation, 0);
    assert_true(tkr_call_slot_open(&slots[2]));
    assert_false(tkr_call_slot_ending(&slots[2]));
    assert_int_equal(slots[2].prompt_estimate, 11);
    assert_int_equal(slots[2].reserve, 0);
    assert_int_equal(tkr_call_slot_streamed(&slots[2]), 0);
    assert_true(atomic_load(&slots[2].end_position) == TKR_CALL_POSITION_NONE);
    assert_true(tkr_frame_decode(slots[2].frame, slots[2].head_bytes, &event));
    assert_int_equal(event.type, TKR_FRAME_OPEN);
    assert_memory_equal(event.account[0].id, "alice", 5);
}

static void test_handle_of_another_region_or_slot_is_not_ours(void **state)
{
    uint64_t handle = begin(1, "a");
    uint32_t number;
    uint32_t generation;

    (void)state;
    assert_false(tkr_call_handle_split(handle, IDENTITY + 1, SLOTS, &number, &generation));
    assert_false(tkr_call_handle_split(handle, IDENTITY, 1, &number, &generation));
    assert_false(tkr_call_handle_split(0, IDENTITY, SLOTS, &number, &generation));
    assert_false(tkr_call_handle_split(UINT64_MAX, IDENTITY, SLOTS, &number, &generation));
    assert_false(tkr_call_handle_split(handle & UINT64_C(0xffffffffffff), IDENTITY, SLOTS, &number, &generation));
}

static void test_slot_never_begun_is_no_handle(void **state)
{
    uint64_t handle = begin(0, "a");
    uint64_t of_free_slot = handle + (UINT64_C(1) << TKR_CALL_GENERATION_BITS);

    (void)state;
    assert_int_equal(claim(of_free_slot), TKR_EHANDLE);
    assert_int_equal(progress(of_free_slot, 1), TKR_EHANDLE);
    assert_int_equal(claim(handle + 1), TKR_EHANDLE); /* a generation that is still to come */
    assert_int_equal(progress(handle + 1, 1), TKR_EHANDLE);
    assert_int_equal(claim(handle), TKR_OK);
}

static void test_slot_ended_twice_is_told(void **state)
{
    uint64_t handle = begin(0, "a");

    (void)state;
    assert_int_equal(claim(handle), TKR_OK);
    assert_true(tkr_call_slot_ending(&slots[0]));
    assert_int_equal(claim(handle), TKR_EENDED);
    assert_int_equal(progress(handle, 1), TKR_EENDED);
    tkr_call_slot_free(&slots[0]);
    assert_false(tkr_call_slot_open(&slots[0]));
    assert_int_equal(claim(handle), TKR_EENDED);
    assert_int_equal(progress(handle, 1), TKR_EENDED);
}

static void test_slot_stale_handles_miss_the_next_calls(void **state)
{
    uint64_t handles[50];

    (void)state;
    for (int i = 0; i < 50; i++) {
        handles[i] = begin(0, "a");
        for (int j = 0; j < i; j++) {
            assert_true(handles[j] != handles[i]);
            assert_int_equal(claim(handles[j]), TKR_EENDED);
            assert_int_equal(progress(handles[j], 100), TKR_EENDED);
        }
        assert_int_equal(tkr_call_slot_streamed(&slots[0]), 0);
        assert_int_equal(claim(handles[i]), TKR_OK);
        tkr_call_slot_free(&slots[0]);
    }
}

/* The generation's 28 bits in the handle, and 23 in the word of the progress, may wrap under a call. */
static void test_slot_generations_wrap_without_harm(void **state)
{
    static const uint64_t generations[] = {(1u << 23) - 2, (1u << 28) - 2, UINT64_C(1) << 40, (UINT64_C(1) << 56) - 2};

    (void)state;
    for (size_t i = 0; i < sizeof(generations) / sizeof(generations[0]); i++) {
        uint64_t before = 0;
        atomic_store(&slots[0].state, generations[i] << 8);
        for (int j = 0; j < 5; j++) {
            uint64_t handle = begin(0, "a");
            assert_int_equal(progress(handle, 7), TKR_OK);
            assert_int_equal(tkr_call_slot_streamed(&slots[0]), 7);
            if (before != 0) {
                assert_int_equal(progress(before, 9), TKR_EENDED);
                assert_int_equal(claim(before), TKR_EENDED);
            }
            assert_int_equal(claim(handle), TKR_OK);
            tkr_call_slot_free(&slots[0]);
            before = handle;
        }
    }
}

static void test_slot_progress_only_rises(void **state)
{
    uint64_t handle = begin(0, "a");

    (void)state;
    assert_int_equal(progress(handle, 5), TKR_OK);
    assert_int_equal(progress(handle, 3), TKR_OK);
    assert_int_equal(tkr_call_slot_streamed(&slots[0]), 5);
    assert_int_equal(progress(handle, 0), TKR_OK);
    assert_int_equal(tkr_call_slot_streamed(&slots[0]), 5);
    assert_int_equal(progress(handle, TKR_TOKENS_MAX), TKR_OK);
    assert_true(tkr_call_slot_streamed(&slots[0]) == TKR_TOKENS_MAX);
    assert_int_equal(generation_of(handle), 0);
}

/* Freed between a late teller's look at the state and its store, and begun anew: the generation in the word stops it.
 */
static void test_slot_progress_word_of_the_next_call_is_not_raised(void **state)
{
    uint64_t handle = begin(0, "a");
    uint64_t state_before = atomic_load(&slots[0].state);

    (void)state;
    assert_int_equal(claim(handle), TKR_OK);
    tkr_call_slot_free(&slots[0]);
    (void)begin(0, "b");
    atomic_store(&slots[0].state, state_before); /* what the late teller saw */
    assert_int_equal(progress(handle, 1000), TKR_EENDED);
    assert_int_equal(tkr_call_slot_streamed(&slots[0]), 0);
}

#define RACE_SLOTS 1000u
#define RACE_ROUNDS 5

struct race {
    struct tkr_call_slot *slots;
    uint64_t handles[RACE_SLOTS];
    pthread_barrier_t barrier;
    _Atomic unsigned won;
    _Atomic unsigned ended;
};

/* Claims all the calls of a round, as the other thread does at the same time. */
static void *race_to_end(void *context)
{
    struct race *race = context;

    for (int round = 0; round < RACE_ROUNDS; round++) {
        (void)pthread_barrier_wait(&race->barrier);
        for (uint32_t i = 0; i < RACE_SLOTS; i++) {
            int result = tkr_call_slot_claim(&race->slots[i], (uint32_t)race->handles[i] & 0xfffffff);
            (void)atomic_fetch_add(result == TKR_OK ? &race->won : &race->ended, result == TKR_OK || result == TKR_EENDED);
        }
        (void)pthread_barrier_wait(&race->barrier);
    }
    return NULL;
}

static void test_slot_of_two_enders_exactly_one_wins(void **state)
{
    static struct race race;
    tkr_start start = start_of("a");
    pthread_t threads[2];

    (void)state;
    race.slots = aligned_alloc(64, RACE_SLOTS * sizeof(*race.slots));
    assert_non_null(race.slots);
    memset(race.slots, 0, RACE_SLOTS * sizeof(*race.slots));
    assert_int_equal(pthread_barrier_init(&race.barrier, NULL, 3), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, race_to_end, &race), 0);
    for (int round = 0; round < RACE_ROUNDS; round++) {
        for (uint32_t i = 0; i < RACE_SLOTS; i++)
            race.handles[i] = tkr_call_slot_begin(&race.slots[i], i, IDENTITY, &start, 20240101, 1, 0);
        (void)pthread_barrier_wait(&race.barrier);
        (void)pthread_barrier_wait(&race.barrier);
        for (uint32_t i = 0; i < RACE_SLOTS; i++)
            tkr_call_slot_free(&race.slots[i]);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(race.won, RACE_ROUNDS * RACE_SLOTS);
    assert_int_equal(race.ended, RACE_ROUNDS * RACE_SLOTS);
    (void)pthread_barrier_destroy(&race.barrier);
    free(race.slots);
}

#define TELLS 20000

static void *tell(void *context)
{
    const uint64_t *handle = context;

    for (int64_t i = 1; i <= TELLS; i++) {
        if (progress(*handle, i) != TKR_OK)
            return context;
    }
    return NULL;
}

static void test_slot_progress_of_many_tellers_keeps_the_highest(void **state)
{
    pthread_t threads[3];
    uint64_t handle = begin(0, "a");
    void *failed = NULL;

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, tell, &handle), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(tkr_call_slot_streamed(&slots[0]), TELLS);
}

#define SLOT_TEST(name) cmocka_unit_test_setup_teardown(name, make_slots, free_slots)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SLOT_TEST(test_slot_begin_keeps_the_call_and_gives_a_handle),
        SLOT_TEST(test_handle_of_another_region_or_slot_is_not_ours),
        SLOT_TEST(test_slot_never_begun_is_no_handle),
        SLOT_TEST(test_slot_ended_twice_is_told),
        SLOT_TEST(test_slot_stale_handles_miss_the_next_calls),
        SLOT_TEST(test_slot_generations_wrap_without_harm),
        SLOT_TEST(test_slot_progress_only_rises),
        SLOT_TEST(test_slot_progress_word_of_the_next_call_is_not_raised),
        SLOT_TEST(test_slot_of_two_enders_exactly_one_wins),
        SLOT_TEST(test_slot_progress_of_many_tellers_keeps_the_highest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
