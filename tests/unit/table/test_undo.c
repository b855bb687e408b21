/* SPDX-License-Identifier: Apache-2.0 */
/* The undo log on a plain array: every state that a kill can leave, store by store, and logs that no kill leaves. */
#include <stdio.h>
#include <string.h>

#include "support/test.h"
#include "table/undo.h"

#define OBJECTS 4
#define WORDS 4 /* of an object, its stamp included */
#define LOG_BYTES 512
#define COMMITTED 10u
#define BATCH 11u
#define RECOVERY 12u
#define RECORD_BYTES TKR_UNDO_RECORD_BYTES(WORDS * 8)

/* What a shard's file would hold. */
struct memory {
    uint64_t object[OBJECTS][WORDS];
    union {
        struct tkr_undo undo;
        uint64_t log[LOG_BYTES / 8];
    };
};

/* Stores of a process that dies after so many of them. */
struct dying {
    struct memory *memory;
    int left;
};

static void put(struct dying *dying, uint64_t *word, uint64_t value)
{
    if (dying->left == 0)
        return;
    dying->left--;
    *word = value;
}

static uint64_t old_value(int object, int word)
{
    return word == 0 ? 7u + (uint64_t)object : 1000u * (uint64_t)object + (uint64_t)word;
}

static uint64_t new_value(int object, int word)
{
    return 500000u + old_value(object, word);
}

static uint64_t offset_of(int object)
{
    return (uint64_t)object * WORDS * 8;
}

/* Committed objects, and the log that batch 10 left behind: object 3 as it was before that batch. */
static void memory_make(struct memory *memory)
{
    memset(memory, 0, sizeof(*memory));
    for (int i = 0; i < OBJECTS; i++) {
        for (int j = 0; j < WORDS; j++)
            memory->object[i][j] = old_value(i, j);
    }
    memory->log[0] = COMMITTED;
    memory->log[1] = RECORD_BYTES;
    memory->log[8] = offset_of(3);
    memory->log[9] = WORDS * 8;
    memory->log[10] = 5;
    for (int j = 1; j < WORDS; j++)
        memory->log[10 + j] = 99;
}

static void touch_by_hand(struct dying *dying, int object)
{
    struct memory *memory = dying->memory;
    uint64_t *record = &memory->log[8 + memory->log[1] / 8];

    if (dying->left == 0)
        return;
    put(dying, &record[0], offset_of(object));
    put(dying, &record[1], WORDS * 8);
    for (int j = 0; j < WORDS; j++)
        put(dying, &record[2 + j], memory->object[object][j]);
    put(dying, &memory->log[1], memory->log[1] + RECORD_BYTES);
    put(dying, &memory->object[object][0], BATCH);
    for (int j = 1; j < WORDS; j++)
        put(dying, &memory->object[object][j], new_value(object, j));
}

/* Batch 11 changes objects 0, 2 and 3, store by store in the program's order. Returns the stores that were left. */
static int batch_by_hand(struct memory *memory, int stores)
{
    struct dying dying = {memory, stores};

    put(&dying, &memory->log[1], 0);
    put(&dying, &memory->log[0], BATCH);
    touch_by_hand(&dying, 0);
    touch_by_hand(&dying, 2);
    touch_by_hand(&dying, 3);
    return dying.left;
}

/* The same by the code under test. */
static void batch_by_code(struct memory *memory)
{
    static const int touched[] = {0, 2, 3};

    tkr_undo_begin(&memory->undo, BATCH);
    for (int i = 0; i < 3; i++) {
        tkr_undo_touch(&memory->undo, (unsigned char *)memory->object, offset_of(touched[i]), WORDS * 8, BATCH);
        for (int j = 1; j < WORDS; j++)
            memory->object[touched[i]][j] = new_value(touched[i], j);
        tkr_undo_touch(&memory->undo, (unsigned char *)memory->object, offset_of(touched[i]), WORDS * 8, BATCH);
    }
}

static bool roll_back(struct memory *memory)
{
    return tkr_undo_roll_back(&memory->undo, LOG_BYTES, (unsigned char *)memory->object, sizeof(memory->object), RECOVERY);
}

/* A recovery that dies after so many stores: stamp, then from the end to the front. */
static int roll_back_by_hand(struct memory *memory, int stores)
{
    struct dying dying = {memory, stores};

    for (uint64_t at = 0; at < memory->log[1]; at += RECORD_BYTES) {
        const uint64_t *record = &memory->log[8 + at / 8];
        uint64_t *object = (uint64_t *)((unsigned char *)memory->object + record[0]);
        put(&dying, &object[0], RECOVERY);
        for (int j = WORDS - 1; j > 0; j--)
            put(&dying, &object[j], record[2 + j]);
    }
    return dying.left;
}

/* Contents are the committed ones; what has another stamp than before has the recovery's. */
static void assert_put_back(const struct memory *memory)
{
    for (int i = 0; i < OBJECTS; i++) {
        if (memory->object[i][0] != old_value(i, 0))
            assert_int_equal(memory->object[i][0], RECOVERY);
        for (int j = 1; j < WORDS; j++)
            assert_int_equal(memory->object[i][j], old_value(i, j));
    }
}

static void recover(struct memory *memory)
{
    if (memory->log[0] > COMMITTED)
        assert_true(roll_back(memory));
    assert_put_back(memory);
}

#define STORES 1000 /* more than a batch makes */

static void test_batch_by_hand_is_what_the_code_leaves(void **state)
{
    struct memory by_hand;
    struct memory by_code;

    (void)state;
    memory_make(&by_hand);
    memory_make(&by_code);
    assert_true(batch_by_hand(&by_hand, STORES) > 0);
    batch_by_code(&by_code);
    assert_memory_equal(&by_hand, &by_code, sizeof(by_hand));
}

static void test_recovery_by_hand_is_what_the_code_does(void **state)
{
    struct memory by_hand;
    struct memory by_code;

    (void)state;
    memory_make(&by_code);
    batch_by_code(&by_code);
    by_hand = by_code;
    assert_true(roll_back(&by_code));
    assert_true(roll_back_by_hand(&by_hand, STORES) > 0);
    assert_memory_equal(&by_hand, &by_code, sizeof(by_hand));
}

static void test_kill_after_any_store_of_a_batch_is_put_back(void **state)
{
    int stores = 0;

    (void)state;
    for (int left = 0; left == 0; stores++) {
        struct memory memory;
        memory_make(&memory);
        left = batch_by_hand(&memory, stores);
        recover(&memory);
    }
    assert_true(stores > 30);
}

static void test_kill_after_any_store_of_a_recovery_is_put_back_again(void **state)
{
    (void)state;
    for (int killed = 0, left = 0; left == 0; killed++) {
        int left_of_recovery = 0;
        for (int stores = 0; left_of_recovery == 0; stores++) {
            struct memory memory;
            memory_make(&memory);
            left = batch_by_hand(&memory, killed);
            if (memory.log[0] <= COMMITTED)
                break;
            left_of_recovery = roll_back_by_hand(&memory, stores);
            recover(&memory);
        }
    }
}

/* The states by their names, as table/undo.h has them. */
static void test_used_reset_but_batch_old_puts_nothing_back(void **state)
{
    struct memory memory;

    (void)state;
    memory_make(&memory);
    memory.log[1] = 0;
    assert_int_equal(memory.log[0], COMMITTED);
    recover(&memory);
    assert_int_equal(memory.object[3][0], old_value(3, 0)); /* not 5: that is what batch 10 replaced */
}

static void test_record_written_but_not_used_is_not_put_back(void **state)
{
    struct memory memory;

    (void)state;
    memory_make(&memory);
    memory.log[0] = BATCH;
    memory.log[1] = 0;
    memory.log[8] = offset_of(3); /* half a record of garbage over what was there */
    memory.log[9] = UINT64_MAX;
    recover(&memory);
    for (int i = 0; i < OBJECTS; i++)
        assert_int_equal(memory.object[i][0], old_value(i, 0));
}

static void test_touched_object_gets_the_recoverys_stamp(void **state)
{
    struct memory memory;

    (void)state;
    memory_make(&memory);
    batch_by_code(&memory);
    recover(&memory);
    assert_int_equal(memory.object[0][0], RECOVERY);
    assert_int_equal(memory.object[1][0], old_value(1, 0));
    assert_int_equal(memory.object[2][0], RECOVERY);
    assert_int_equal(memory.object[3][0], RECOVERY);
}

static void test_touch_twice_saves_once(void **state)
{
    struct memory memory;

    (void)state;
    memory_make(&memory);
    batch_by_code(&memory);
    assert_int_equal(memory.log[1], 3 * RECORD_BYTES);
}

static void test_begin_forgets_the_batch_before(void **state)
{
    struct memory memory;

    (void)state;
    memory_make(&memory);
    batch_by_code(&memory);
    tkr_undo_begin(&memory.undo, BATCH + 1);
    assert_int_equal(memory.log[0], BATCH + 1);
    assert_int_equal(memory.log[1], 0);
    assert_true(roll_back(&memory));
    assert_int_equal(memory.object[0][1], new_value(0, 1));
}

/* --- logs that no kill leaves --- */

static void assert_refused(const struct memory *damaged)
{
    struct memory memory = *damaged;

    assert_false(roll_back(&memory));
}

static void test_log_that_leads_nowhere_is_refused(void **state)
{
    struct memory good;
    struct memory memory;

    (void)state;
    memory_make(&good);
    batch_by_code(&good);
    memory = good;
    memory.log[1] = LOG_BYTES - sizeof(struct tkr_undo) + 8; /* beyond the log */
    assert_refused(&memory);
    memory.log[1] = UINT64_MAX;
    assert_refused(&memory);
    memory = good;
    memory.log[1] = RECORD_BYTES + 8; /* half a record's head */
    assert_refused(&memory);
    memory.log[1] = 2 * RECORD_BYTES - 8; /* a record without its end */
    assert_refused(&memory);
    memory = good;
    memory.log[9] = 0; /* an object of no bytes */
    assert_refused(&memory);
    memory.log[9] = 12; /* not a multiple of 8 */
    assert_refused(&memory);
    memory.log[9] = UINT64_MAX - 7; /* longer than the log, and wraps */
    assert_refused(&memory);
    memory = good;
    memory.log[8] = 4; /* not aligned */
    assert_refused(&memory);
    memory.log[8] = sizeof(memory.object); /* behind the file */
    assert_refused(&memory);
    memory.log[8] = sizeof(memory.object) - 8; /* partly behind it */
    assert_refused(&memory);
    memory.log[8] = UINT64_MAX - 7;
    assert_refused(&memory);
}

static void test_log_shorter_than_its_head_is_refused(void **state)
{
    struct memory memory;

    (void)state;
    memory_make(&memory);
    assert_false(tkr_undo_roll_back(&memory.undo, sizeof(struct tkr_undo) - 1, (unsigned char *)memory.object,
                                    sizeof(memory.object), RECOVERY));
    memory.log[1] = 0;
    assert_true(tkr_undo_roll_back(&memory.undo, sizeof(struct tkr_undo), (unsigned char *)memory.object, sizeof(memory.object),
                                   RECOVERY));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_by_hand_is_what_the_code_leaves),
        cmocka_unit_test(test_recovery_by_hand_is_what_the_code_does),
        cmocka_unit_test(test_kill_after_any_store_of_a_batch_is_put_back),
        cmocka_unit_test(test_kill_after_any_store_of_a_recovery_is_put_back_again),
        cmocka_unit_test(test_used_reset_but_batch_old_puts_nothing_back),
        cmocka_unit_test(test_record_written_but_not_used_is_not_put_back),
        cmocka_unit_test(test_touched_object_gets_the_recoverys_stamp),
        cmocka_unit_test(test_touch_twice_saves_once),
        cmocka_unit_test(test_begin_forgets_the_batch_before),
        cmocka_unit_test(test_log_that_leads_nowhere_is_refused),
        cmocka_unit_test(test_log_shorter_than_its_head_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
