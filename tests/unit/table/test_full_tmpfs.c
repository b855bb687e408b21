/* SPDX-License-Identifier: Apache-2.0 */
/* A shard on a tmpfs that is full: a refusal with its cause, never a signal. Needs root, for a mount of its own. */
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <time.h>

#include "unit/table/fixture.h"

#define ID_BYTES 24

static int set_up(void **state)
{
    struct table *table = calloc(1, sizeof(*table));

    *state = table;
    return table != NULL && tempdir_make(table->dir) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    struct table *table = *state;

    tkr_shard_close(table->shard);
    (void)close(table->directory);
    (void)umount2(table->dir, MNT_DETACH);
    tempdir_remove(table->dir);
    free(table);
    return 0;
}

static void mount_small(struct table *table, const char *size)
{
    assert_int_equal(mount("tmpfs", table->dir, "tmpfs", 0, size), 0);
    table->directory = open(table->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(table->directory >= 0);
    table->options = (struct tkr_shard_options){.name = 1, .number = 0, .accounts_max = 1000000};
}

/* Leaves so many pages, or as few as there are. */
static void fill_up(const struct table *table, int pages_left)
{
    static const char zeros[4096];
    int fd = openat(table->directory, "filler", O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    off_t bytes = 0;

    assert_true(fd >= 0);
    while (write(fd, zeros, sizeof(zeros)) > 0)
        bytes += (off_t)sizeof(zeros);
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(ftruncate(fd, bytes > pages_left * 4096 ? bytes - pages_left * 4096 : 0), 0);
    assert_int_equal(close(fd), 0);
}

static void test_shard_that_finds_no_room_is_not_made(void **state)
{
    struct table *table = *state;
    tkr_message message = {""};

    mount_small(table, "size=128k");
    assert_int_equal(tkr_shard_open(table->directory, &table->options, &table->shard, &message), -1);
    assert_non_null(strstr(message.text, strerror(ENOSPC)));
    assert_int_equal(faccessat(table->directory, ".shard-0", F_OK, 0), -1); /* nothing half made */
    assert_int_equal(faccessat(table->directory, "shard-0", F_OK, 0), -1);
}

/* Waits until memory that was refused may be asked for again. */
static void wait_for_another_try(const struct table *table)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    while (tkr_shard_short_of_memory(table->shard))
        (void)nanosleep(&pause, NULL);
}

/* No memory for any entry: the event waits, and nothing of it is counted. */
static void test_first_account_without_memory_waits(void **state)
{
    struct table *table = *state;
    tkr_counts counts = counts_of(1);
    struct tkr_charge charge = charge_of("alice", &counts, 0);

    mount_small(table, "size=8m");
    table_open(table);
    fill_up(table, 4);
    assert_true(tkr_batch_begin(table->shard));
    tkr_batch_apply(table->shard, &charge, 1);
    tkr_batch_commit(table->shard);
    assert_true(charge.waits);
    assert_false(charge.refused);
    assert_int_equal(table_accounts(table), 0);
    assert_true(tkr_shard_short_of_memory(table->shard));
    assert_int_equal(unlinkat(table->directory, "filler", 0), 0);
    wait_for_another_try(table);
    assert_true(table_charge(table, "alice", 1)); /* and when there is room again, counted */
    assert_int_equal(table_value(table, "alice"), 1);
}

/*
 * Memory ends in the middle: known accounts go on, and new ones wait. Nothing goes to the account of strangers, which is for those
 * beyond TOKENRING_MAX_ACCOUNTS.
 */
static void test_accounts_beyond_the_memory_wait(void **state)
{
    struct table *table = *state;
    char id[ID_BYTES];
    int own = 0;

    mount_small(table, "size=8m");
    table_open(table);
    assert_true(table_charge(table, "first", 1));
    fill_up(table, 0);
    for (bool counted = true; counted; own += counted) {
        (void)snprintf(id, sizeof(id), "user %d", own);
        counted = table_charge(table, id, 1);
    }
    assert_in_range(own, 100, 19999);
    assert_true(table_charge(table, "first", 1));
    assert_int_equal(table_value(table, "first"), 2);
    assert_int_equal(table_value(table, id), -1);
    assert_int_equal(table_value(table, TKR_OVERFLOW_ID), -1);
    table_reopen(table);
    assert_int_equal(table_accounts(table), own + 1);
    assert_false(table_charge(table, id, 5));
    assert_int_equal(unlinkat(table->directory, "filler", 0), 0);
    wait_for_another_try(table);
    assert_true(table_charge(table, id, 5));
    assert_int_equal(table_value(table, id), 5);
}

/* The last 64 KiB of a tmpfs are as good as others. */
static void test_memory_is_used_to_the_last_step(void **state)
{
    struct table *table = *state;
    char id[ID_BYTES];
    int more = 0;

    mount_small(table, "size=8m");
    table_open(table);
    assert_true(table_charge(table, "first", 1));
    for (int i = 0; table->shard->arena_allocated - atomic_load(&table->shard->header->law.arena_used) > 1024; i++) {
        (void)snprintf(id, sizeof(id), "fill %d", i);
        assert_true(table_charge(table, id, 1));
    }
    fill_up(table, 20); /* less than two steps of the least size */
    for (bool counted = true; counted; more += counted) {
        (void)snprintf(id, sizeof(id), "more %d", more);
        counted = table_charge(table, id, 1);
    }
    assert_in_range(more, 100, 500);
}

static void test_cursors_beyond_the_memory_are_none(void **state)
{
    struct table *table = *state;
    uint32_t count = 0;

    mount_small(table, "size=8m");
    table_open(table);
    fill_up(table, 64);
    for (struct tkr_cursor *cursor; (cursor = tkr_shard_cursor_unused(table->shard)) != NULL; count++)
        memset((void *)cursor, 1, sizeof(*cursor)); /* all of it is there */
    assert_in_range(count, 5, 200);
    assert_int_equal(tkr_shard_cursor_count(table->shard), count);
}

/* Both files must have room at once; until then the older one keeps everything. */
static void test_shard_that_finds_no_room_to_be_carried_over_stays_as_it_is(void **state)
{
    static const int pages_left[] = {0, 20, 66}; /* nothing fits; the log half; the log, not the entries */
    struct table *table = *state;
    const uint32_t regions_max = 4;
    tkr_message message = {""};
    int fd;

    mount_small(table, "size=8m");
    table_open(table);
    assert_true(table_charge(table, "alice", 5));
    tkr_shard_close(table->shard);
    table->shard = NULL;
    fd = openat(table->directory, "shard-0", O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, &regions_max, sizeof(regions_max), offsetof(struct tkr_shard_header, regions_max)),
                     sizeof(regions_max));
    assert_int_equal(close(fd), 0);
    for (size_t i = 0; i < sizeof(pages_left) / sizeof(pages_left[0]); i++) {
        fill_up(table, pages_left[i]);
        assert_int_equal(tkr_shard_open(table->directory, &table->options, &table->shard, &message), -1);
        assert_non_null(strstr(message.text, strerror(ENOSPC)));
        assert_non_null(strstr(message.text, "stays as it is"));
        assert_int_equal(faccessat(table->directory, ".shard-0", F_OK, 0), -1); /* nothing half made */
        assert_int_equal(unlinkat(table->directory, "filler", 0), 0);
    }
    table_open(table);
    assert_int_equal(table_value(table, "alice"), 5);
    assert_int_equal(table->shard->header->regions_max, TKR_SHARD_REGIONS_MAX);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_shard_that_finds_no_room_is_not_made), T(test_first_account_without_memory_waits),
        T(test_accounts_beyond_the_memory_wait),      T(test_memory_is_used_to_the_last_step),
        T(test_cursors_beyond_the_memory_are_none),   T(test_shard_that_finds_no_room_to_be_carried_over_stays_as_it_is),
    };

    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "", MS_REC | MS_PRIVATE, NULL) != 0) {
        (void)puts("skipped: mounting a tmpfs needs root");
        return TEST_SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
