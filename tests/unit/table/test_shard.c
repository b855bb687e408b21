/* SPDX-License-Identifier: Apache-2.0 */
/* The shard's file: made, reopened, recovered, enlarged; a full table; counters at their end. */
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "table/reader.h"
#include "table/file.h"
#include "unit/table/fixture.h"

/* --- life of the file --- */

static void test_new_shard_is_empty(void **state)
{
    struct table *table = *state;

    assert_int_equal(table_accounts(table), 0);
    assert_int_equal(tkr_shard_cursor_count(table->shard), 0);
    assert_false(table->shard->recovered);
    assert_int_equal(table_files(table, "shard-0"), 1);
    assert_int_equal(table_files(table, "."), 2); /* nothing half made: only "." and ".." */
    assert_null(table_handover(table));
}

static void test_reopened_shard_has_its_counts(void **state)
{
    struct table *table = *state;

    assert_true(table_charge(table, "alice", 5));
    assert_true(table_charge(table, "bob", 7));
    table_reopen(table);
    assert_false(table->shard->recovered);
    assert_int_equal(table_value(table, "alice"), 5);
    assert_true(table_charge(table, "alice", 1)); /* the index finds it */
    assert_int_equal(table_value(table, "alice"), 6);
    assert_int_equal(table_accounts(table), 2);
}

static void test_two_shards_of_a_directory_share_nothing(void **state)
{
    struct table *table = *state;
    struct table other = *table;

    other.options.number = 1;
    table_open(&other);
    assert_true(table_charge(table, "alice", 5));
    assert_true(table_charge(&other, "alice", 7));
    assert_int_equal(table_value(table, "alice"), 5);
    assert_int_equal(table_value(&other, "alice"), 7);
    tkr_shard_close(other.shard);
}

/* --- recovery --- */

static void test_unfinished_batch_is_put_back(void **state)
{
    struct table *table = *state;
    uint64_t batch;
    uint64_t used;

    assert_true(table_charge(table, "alice", 5));
    used = atomic_load(&table->shard->header->law.arena_used);
    assert_true(tkr_batch_begin(table->shard));
    assert_true(table_add(table, "alice", 100));
    assert_true(table_add(table, "new in the lost batch", 100));
    batch = table->shard->batch;
    assert_int_equal(table_value(table, "alice"), 105);
    table_reopen(table); /* dies before the commit */
    assert_true(table->shard->recovered);
    assert_int_equal(table_value(table, "alice"), 5);
    assert_int_equal(table_value(table, "new in the lost batch"), -1);
    assert_int_equal(table_accounts(table), 1);
    assert_int_equal(atomic_load(&table->shard->header->law.arena_used), used); /* its memory is free again */
    assert_true(table->shard->batch > batch);
    assert_int_equal(atomic_load(&table->shard->header->committed), table->shard->batch);
    assert_true(table_charge(table, "another", 3));
    assert_true(atomic_load(&table_entry(table, "another")->stamp) > batch + 1);
    assert_ptr_equal(table_find(table, "another"), table->shard->arena + used);
    assert_true(table_charge(table, "alice", 1));
    assert_int_equal(table_value(table, "alice"), 6);
}

static void test_batch_lost_again_and_again_leaves_the_old_state(void **state)
{
    struct table *table = *state;
    uint64_t last = 0;

    assert_true(table_charge(table, "alice", 5));
    for (int i = 0; i < 20; i++) {
        assert_true(tkr_batch_begin(table->shard));
        for (int j = 0; j <= i; j++) {
            char id[16];
            (void)snprintf(id, sizeof(id), "lost %d", j);
            assert_true(table_add(table, "alice", 1));
            assert_true(table_add(table, id, 1));
        }
        table_reopen(table);
        assert_true(table->shard->recovered);
        assert_int_equal(table_value(table, "alice"), 5);
        assert_int_equal(table_accounts(table), 1);
        assert_true(table->shard->batch > last); /* numbers never come back */
        last = table->shard->batch;
        table_reopen(table);
        assert_false(table->shard->recovered); /* once is enough */
    }
}

static void test_committed_batch_stays_when_the_next_one_is_lost(void **state)
{
    struct table *table = *state;

    for (int i = 1; i <= 10; i++) {
        assert_true(table_charge(table, "alice", 1));
        assert_true(tkr_batch_begin(table->shard));
        if (i % 2 == 0)
            assert_true(table_add(table, "alice", 1000)); /* odd: dies with a batch that has done nothing yet */
        table_reopen(table);
        assert_int_equal(table_value(table, "alice"), i);
    }
}

/* The words of cursors and of the law go back together with the entries. */
static void test_unfinished_batch_gives_back_cursors_and_law(void **state)
{
    struct table *table = *state;
    struct tkr_cursor *cursor = tkr_shard_cursor_unused(table->shard);

    assert_non_null(cursor);
    assert_true(tkr_batch_begin(table->shard));
    tkr_batch_touch(table->shard, cursor, TKR_CURSOR_HEAD_BYTES);
    tkr_batch_set(&cursor->state, TKR_CURSOR_ACTIVE);
    tkr_batch_touch(table->shard, &cursor->lane[3], sizeof(cursor->lane[3]));
    tkr_batch_set(&cursor->lane[3].position, 640);
    tkr_batch_commit(table->shard);
    assert_true(tkr_batch_begin(table->shard));
    tkr_batch_touch(table->shard, cursor, TKR_CURSOR_HEAD_BYTES);
    tkr_batch_set(&cursor->state, TKR_CURSOR_GONE);
    tkr_batch_add(&cursor->dropped[2], 9);
    tkr_batch_touch(table->shard, &cursor->lane[3], sizeof(cursor->lane[3]));
    tkr_batch_set(&cursor->lane[3].position, 1280);
    tkr_batch_add(&tkr_batch_law(table->shard)->gone_regions, 1);
    table_reopen(table);
    cursor = &table->shard->cursor[0];
    assert_int_equal(tkr_shard_cursor_count(table->shard), 1);
    assert_int_equal(atomic_load(&cursor->state), TKR_CURSOR_ACTIVE);
    assert_int_equal(atomic_load(&cursor->dropped[2]), 0);
    assert_int_equal(atomic_load(&cursor->lane[3].position), 640);
    assert_int_equal(atomic_load(&table->shard->header->law.gone_regions), 0);
}

static void test_largest_batch_fits_the_log(void **state)
{
    struct table *table = *state;
    static tkr_counts counts;
    static struct tkr_charge charge[TKR_BATCH_CHARGES_MAX];
    static char id[TKR_BATCH_CHARGES_MAX][16];

    counts = counts_of(1);
    table->options.accounts_max = TKR_BATCH_CHARGES_MAX;
    table_reopen(table);
    for (uint32_t i = 0; i < TKR_BATCH_CHARGES_MAX; i++) {
        (void)snprintf(id[i], sizeof(id[i]), "user %u", i);
        charge[i] = charge_of(id[i], &counts, i);
    }
    while (tkr_shard_cursor_count(table->shard) < TKR_BATCH_LANES_MAX) {
        struct tkr_cursor *cursor = tkr_shard_cursor_unused(table->shard);
        assert_non_null(cursor);
        assert_true(tkr_batch_begin(table->shard));
        tkr_batch_touch(table->shard, cursor, TKR_CURSOR_HEAD_BYTES);
        tkr_batch_set(&cursor->state, TKR_CURSOR_ACTIVE);
        tkr_batch_commit(table->shard);
    }
    for (int round = 0; round < 2; round++) { /* the second finds all entries old: each is saved */
        assert_true(tkr_batch_begin(table->shard));
        tkr_batch_apply(table->shard, charge, TKR_BATCH_CHARGES_MAX);
        (void)tkr_batch_law(table->shard);
        for (uint32_t i = 0; i < TKR_BATCH_LANES_MAX; i++) { /* as many lanes as may be, each of another region that broke */
            struct tkr_cursor *cursor = &table->shard->cursor[i];
            tkr_batch_touch(table->shard, cursor, TKR_CURSOR_HEAD_BYTES);
            tkr_batch_touch(table->shard, &cursor->lane[i % TKR_SHARD_LANES_MAX], sizeof(cursor->lane[0]));
        }
        assert_true(sizeof(struct tkr_undo) + atomic_load(&table->shard->undo->used) <= table->shard->header->undo_bytes);
        if (round == 0)
            tkr_batch_commit(table->shard);
    }
    table_reopen(table);
    assert_true(table->shard->recovered);
    for (uint32_t i = 0; i < TKR_BATCH_CHARGES_MAX; i += 37)
        assert_int_equal(table_value(table, id[i]), 1);
}

static void test_log_that_leads_nowhere_refuses_to_open(void **state)
{
    struct table *table = *state;
    struct tkr_shard *shard = NULL;
    tkr_message message = {""};
    uint64_t wrong = UINT64_MAX;
    uint64_t undo_offset = table->shard->header->undo_offset;

    assert_true(tkr_batch_begin(table->shard));
    assert_true(table_add(table, "alice", 1));
    table_close(table);
    table_patch(table, undo_offset + offsetof(struct tkr_undo, used), &wrong, sizeof(wrong));
    assert_int_equal(tkr_shard_open(table->directory, &table->options, &shard, &message), -1);
    assert_non_null(strstr(message.text, "undo log"));
}

/* --- more accounts --- */

static void charge_many(struct table *table, int from, int to)
{
    assert_true(tkr_batch_begin(table->shard));
    for (int i = from; i < to; i++) {
        char id[256];
        if (i % 1000 == 999) {
            tkr_batch_commit(table->shard);
            assert_true(tkr_batch_begin(table->shard));
        }
        (void)snprintf(id, sizeof(id), "%0250d", i);
        assert_true(table_add(table, id, 1));
    }
    tkr_batch_commit(table->shard);
}

static void test_larger_maximum_makes_the_file_larger(void **state)
{
    struct table *table = *state;
    uint64_t bytes = table->shard->header->bytes;

    charge_many(table, 0, 1000);
    assert_int_equal(table_accounts(table), 1000);
    table->options.accounts_max = 30000;
    table_reopen(table);
    assert_true(table->shard->header->bytes > bytes);
    charge_many(table, 1000, 30000);
    assert_int_equal(table_accounts(table), 30000);
    assert_int_equal(table_value(table, TKR_OVERFLOW_ID), -1);
    table_reopen(table);
    assert_int_equal(table_accounts(table), 30000);
    table->options.accounts_max = 1000; /* a smaller one keeps what is there */
    table_reopen(table);
    assert_int_equal(table_accounts(table), 30000);
    assert_true(table_charge(table, "alice", 1));
    assert_int_equal(table_value(table, TKR_OVERFLOW_ID), 1);
}

/* Killed while the file was made larger: its length, then `bytes`, then `arena_bytes`. */
static void test_kill_while_made_larger_loses_nothing(void **state)
{
    struct table *table = *state;

    assert_true(table_charge(table, "alice", 5));
    for (int stage = 0; stage < 3; stage++) {
        uint64_t more = table->shard->header->bytes + (UINT64_C(1) << 21);
        uint64_t arena_offset = table->shard->header->arena_offset;
        uint64_t arena_bytes = more - arena_offset;
        int fd;
        table_close(table);
        fd = openat(table->directory, "shard-0", O_RDWR | O_CLOEXEC);
        assert_int_equal(ftruncate(fd, (off_t)more), 0);
        (void)close(fd);
        if (stage == 1)
            table_patch(table, offsetof(struct tkr_shard_header, bytes), &more, sizeof(more));
        if (stage == 2)
            table_patch(table, offsetof(struct tkr_shard_header, arena_bytes), &arena_bytes, sizeof(arena_bytes));
        table_open(table);
        assert_int_equal(table_files(table, "aside-"), 0);
        assert_int_equal(table_value(table, "alice"), 5);
        assert_int_equal(table->shard->header->bytes, more);
        assert_int_equal(table->shard->header->arena_bytes, arena_bytes);
    }
}

/* --- a full table --- */

static void test_full_table_charges_overflow_and_counts_it(void **state)
{
    struct table *table = *state;

    charge_many(table, 0, 1000);
    assert_true(table_charge(table, "one too many", 7));
    assert_true(table_charge(table, "two too many", 11));
    assert_int_equal(table_value(table, "one too many"), -1);
    assert_int_equal(table_value(table, TKR_OVERFLOW_ID), 18);
    assert_int_equal(atomic_load(&table->shard->header->law.overflow_charges), 2);
    charge_many(table, 0, 1000); /* the old ones go on */
    assert_int_equal(atomic_load(&table->shard->header->law.overflow_charges), 2);
    table_reopen(table);
    assert_true(table_charge(table, "one too many", 1));
    assert_int_equal(table_value(table, TKR_OVERFLOW_ID), 19);
    assert_int_equal(table_accounts(table), 1001);
}

static void test_full_table_has_an_overflow_per_cycle(void **state)
{
    struct table *table = *state;
    tkr_counts counts = counts_of(3);

    charge_many(table, 0, 1000);
    for (uint32_t cycle = 20270101; cycle <= 20270120; cycle++) {
        struct tkr_charge charge = charge_of("stranger", &counts, 0);
        charge.cycle = cycle;
        charge.kind = TKR_KIND_TEAM;
        assert_true(tkr_batch_begin(table->shard));
        tkr_batch_apply(table->shard, &charge, 1);
        tkr_batch_commit(table->shard);
        assert_false(charge.refused);
        assert_non_null(table_find_key(table, TKR_KIND_USER, TKR_OVERFLOW_ID, sizeof(TKR_OVERFLOW_ID) - 1, cycle));
    }
    assert_int_equal(table_accounts(table), 1020);
}

/* All accounts of one event that find no room go to the same entry: it is charged for each of them. */
static void test_full_table_charges_overflow_once_for_each_account_of_an_event(void **state)
{
    struct table *table = *state;
    tkr_counts counts = counts_of(3);
    struct tkr_charge charge[3];

    charge_many(table, 0, 1000);
    for (int i = 0; i < 3; i++)
        charge[i] = charge_of(i == 0 ? "x" : i == 1 ? "y" : "z", &counts, 0);
    assert_true(tkr_batch_begin(table->shard));
    tkr_batch_apply(table->shard, charge, 3);
    tkr_batch_commit(table->shard);
    assert_int_equal(table_value(table, TKR_OVERFLOW_ID), 9);
    assert_int_equal(atomic_load(&table->shard->header->law.overflow_charges), 3);
}

/* --- counters at their end --- */

static void apply(struct table *table, struct tkr_charge *charge, uint32_t count)
{
    assert_true(tkr_batch_begin(table->shard));
    tkr_batch_apply(table->shard, charge, count);
    tkr_batch_commit(table->shard);
}

/* Brings an account close to 2^63-1 as far as its counters are looked at: by legal steps it would take ages. */
static void fill_up(struct table *table, const char *id, int64_t room)
{
    assert_true(table_charge(table, id, (INT64_C(1) << 62)));
    assert_true(table_charge(table, id, INT64_MAX - (INT64_C(1) << 62) - room));
    assert_int_equal(table_value(table, id), INT64_MAX - room);
}

static void test_counter_at_its_end_takes_exactly_what_fits(void **state)
{
    struct table *table = *state;

    fill_up(table, "alice", 10);
    assert_false(table_charge(table, "alice", 11));
    assert_int_equal(table_value(table, "alice"), INT64_MAX - 10);
    assert_true(table_charge(table, "alice", 10));
    assert_int_equal(table_value(table, "alice"), INT64_MAX);
    assert_false(table_charge(table, "alice", 1));
    assert_true(table_charge(table, "alice", 0));
}

static void test_overflow_refuses_the_event_for_all_its_accounts(void **state)
{
    struct table *table = *state;
    tkr_counts counts = counts_of(11);
    tkr_counts fits = counts_of(1);
    struct tkr_charge charge[5];

    fill_up(table, "alice", 10);
    assert_true(table_charge(table, "bob", 5));
    charge[0] = charge_of("carol", &fits, 0);
    charge[1] = charge_of("bob", &counts, 1);
    charge[2] = charge_of("alice", &counts, 1);
    charge[3] = charge_of("dave", &counts, 1);
    charge[4] = charge_of("bob", &fits, 2);
    apply(table, charge, 5);
    assert_false(charge[0].refused);
    for (int i = 1; i <= 3; i++) {
        assert_true(charge[i].refused);
        assert_false(charge[i].waits);
    }
    assert_false(charge[4].refused);
    assert_int_equal(table_value(table, "alice"), INT64_MAX - 10);
    assert_int_equal(table_value(table, "bob"), 6);
    assert_int_equal(table_value(table, "carol"), 1);
    assert_true(table_value(table, "dave") <= 0);
}

static void test_one_counter_at_its_end_refuses_all_counters(void **state)
{
    struct table *table = *state;
    tkr_counts counts = counts_of(0);
    struct tkr_charge charge = charge_of("alice", &counts, 0);

    counts.value[TKR_COUNTER_COST] = INT64_MAX - 5;
    counts.value[TKR_COUNTER_PROMPT] = 3;
    apply(table, &charge, 1);
    counts.value[TKR_COUNTER_COST] = 6;
    apply(table, &charge, 1);
    assert_true(charge.refused);
    assert_int_equal(atomic_load(&table_entry(table, "alice")->counts[TKR_COUNTER_PROMPT]), 3);
    counts.value[TKR_COUNTER_COST] = 5;
    apply(table, &charge, 1);
    assert_false(charge.refused);
    assert_int_equal(atomic_load(&table_entry(table, "alice")->counts[TKR_COUNTER_PROMPT]), 6);
}

/* Each charge of the event fits, both together do not. */
static void test_account_named_twice_in_an_event_is_refused_when_the_sum_overflows(void **state)
{
    struct table *table = *state;
    tkr_counts counts = counts_of(6);
    struct tkr_charge charge[2];

    fill_up(table, "alice", 10);
    charge[0] = charge_of("alice", &counts, 0);
    charge[1] = charge_of("alice", &counts, 0);
    apply(table, charge, 2);
    assert_true(charge[0].refused);
    assert_int_equal(table_value(table, "alice"), INT64_MAX - 10);
    counts = counts_of(5);
    apply(table, charge, 2);
    assert_false(charge[0].refused);
    assert_int_equal(table_value(table, "alice"), INT64_MAX);
}

static void test_overflow_is_refused_after_reopening_too(void **state)
{
    struct table *table = *state;

    fill_up(table, "alice", 10);
    table_reopen(table);
    assert_false(table_charge(table, "alice", 11));
    assert_int_equal(table_value(table, "alice"), INT64_MAX - 10);
}

/* --- lives --- */

static void test_lives_grow_strictly_also_after_a_lost_batch(void **state)
{
    struct table *table = *state;
    uint64_t last = 0;

    for (int i = 0; i < 300; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "user %d", i);
        assert_true(table_charge(table, id, 1));
        assert_true(table_entry(table, id)->life > last);
        last = table_entry(table, id)->life;
        if (i % 50 == 49) {
            assert_true(tkr_batch_begin(table->shard));
            assert_true(table_add(table, "lost", 1));
            table_reopen(table);
        }
    }
    assert_true(last <= (uint64_t)tkr_clock_unix_ns()); /* real time, not ahead of it */
}

static void test_life_grows_when_the_clock_is_behind(void **state)
{
    struct table *table = *state;
    uint64_t ahead = (uint64_t)tkr_clock_unix_ns() + UINT64_C(1000000000000000);

    assert_true(tkr_batch_begin(table->shard));
    tkr_batch_set(&tkr_batch_law(table->shard)->life_last, ahead);
    tkr_batch_commit(table->shard);
    assert_true(table_charge(table, "alice", 1));
    assert_true(table_charge(table, "bob", 1));
    assert_int_equal(table_entry(table, "alice")->life, ahead + 1);
    assert_int_equal(table_entry(table, "bob")->life, ahead + 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, table_set_up, table_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_new_shard_is_empty),
        T(test_reopened_shard_has_its_counts),
        T(test_two_shards_of_a_directory_share_nothing),
        T(test_unfinished_batch_is_put_back),
        T(test_batch_lost_again_and_again_leaves_the_old_state),
        T(test_committed_batch_stays_when_the_next_one_is_lost),
        T(test_unfinished_batch_gives_back_cursors_and_law),
        T(test_largest_batch_fits_the_log),
        T(test_log_that_leads_nowhere_refuses_to_open),
        T(test_larger_maximum_makes_the_file_larger),
        T(test_kill_while_made_larger_loses_nothing),
        T(test_full_table_charges_overflow_and_counts_it),
        T(test_full_table_has_an_overflow_per_cycle),
        T(test_full_table_charges_overflow_once_for_each_account_of_an_event),
        T(test_counter_at_its_end_takes_exactly_what_fits),
        T(test_overflow_refuses_the_event_for_all_its_accounts),
        T(test_one_counter_at_its_end_refuses_all_counters),
        T(test_account_named_twice_in_an_event_is_refused_when_the_sum_overflows),
        T(test_overflow_is_refused_after_reopening_too),
        T(test_lives_grow_strictly_also_after_a_lost_batch),
        T(test_life_grows_when_the_clock_is_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
