/* SPDX-License-Identifier: Apache-2.0 */
/* A shard's file that is not the one that was left: of another boot, copied, damaged, cut, half made. */
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "table/file.h"
#include "unit/table/fixture.h"

static int kept(size_t set_aside)
{
    return set_aside < TKR_ASIDE_KEPT ? (int)set_aside : TKR_ASIDE_KEPT;
}

static void assert_set_aside(struct table *table)
{
    table_open(table);
    assert_int_equal(table_accounts(table), 0);
    assert_int_equal(table_files(table, "shard-0"), 1);
    assert_int_equal(table_files(table, "aside-"), 1);
    assert_true(table_charge(table, "alice", 1));
}

static void test_file_of_another_boot_is_set_aside(void **state)
{
    struct table *table = *state;

    assert_true(table_charge(table, "alice", 5));
    table_close(table);
    table_patch(table, offsetof(struct tkr_shard_header, boot_id), "\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17", TKR_BOOT_ID_BYTES);
    assert_set_aside(table);
}

static void test_copied_file_is_set_aside(void **state)
{
    struct table *table = *state;
    char command[3 * TEMPDIR_BYTES];

    assert_true(table_charge(table, "alice", 5));
    table_close(table);
    (void)snprintf(command, sizeof(command), "cd %s && cp shard-0 copy && mv copy shard-0", table->dir);
    assert_int_equal(system(command), 0); /* NOLINT: a fixed command in a directory of our own */
    assert_set_aside(table);
}

static void test_damaged_file_is_set_aside(void **state)
{
    static const struct {
        size_t offset;
        uint32_t value;
    } wrong[] = {
        {offsetof(struct tkr_shard_header, magic), 1},
        {offsetof(struct tkr_shard_header, counters), 0},
        {offsetof(struct tkr_shard_header, regions_max), UINT32_MAX},
        {offsetof(struct tkr_shard_header, undo_bytes), 8},
        {offsetof(struct tkr_shard_header, arena_offset), 4096},
        {offsetof(struct tkr_shard_header, bytes) + 4, 77},
        {offsetof(struct tkr_shard_header, law.arena_used) + 4, 77},
        {offsetof(struct tkr_shard_header, cursors_used), TKR_SHARD_REGIONS_MAX + 1},
    };
    struct table *table = *state;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        table_close(table);
        table_patch(table, wrong[i].offset, &wrong[i].value, sizeof(wrong[i].value));
        table_open(table);
        assert_int_equal(table_files(table, "aside-"), kept(i + 1));
        assert_int_equal(table_accounts(table), 0);
    }
}

/* Names begin with the time, so the last ones in the order of names are kept. */
static void test_files_set_aside_do_not_pile_up(void **state)
{
    static const char *const before[] = {"aside-1-shard-0", "aside-22-shard-0", "aside-3-shard-1", "aside-shard-0", "aside-4-x"};
    struct table *table = *state;

    for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
        int fd = openat(table->directory, before[i], O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        (void)close(fd);
    }
    for (int i = 1; i <= 2 * TKR_ASIDE_KEPT; i++) {
        table_close(table);
        table_patch(table, offsetof(struct tkr_shard_header, magic), "?", 1);
        table_open(table);
        assert_int_equal(faccessat(table->directory, "aside-1-shard-0", F_OK, 0) == 0, i + 2 <= TKR_ASIDE_KEPT);
        assert_int_equal(faccessat(table->directory, "aside-22-shard-0", F_OK, 0) == 0, i + 1 <= TKR_ASIDE_KEPT);
    }
    for (size_t i = 2; i < sizeof(before) / sizeof(before[0]); i++) /* another shard's, and what is none */
        assert_int_equal(faccessat(table->directory, before[i], F_OK, 0), 0);
    assert_int_equal(table_files(table, "aside-"), TKR_ASIDE_KEPT + 3);
}

/* Begun anew beside it, the lanes' records that it has counted and not given back would count twice. */
static void test_file_of_an_unknown_layout_is_refused_and_left_as_it_is(void **state)
{
    static const struct {
        size_t offset;
        uint32_t value;
        uint32_t was;
        const char *who;
    } unknown[] = {
        {offsetof(struct tkr_shard_header, major), TKR_SHARD_MAJOR + 1, TKR_SHARD_MAJOR, "the newer"},
        {offsetof(struct tkr_shard_header, major), TKR_SHARD_MAJOR_OLDEST - 1, TKR_SHARD_MAJOR, "an older"},
        {offsetof(struct tkr_shard_header, counters), TKR_COUNTER_COUNT + 1, TKR_COUNTER_COUNT, "the newer"},
    };
    struct table *table = *state;
    tkr_message message;

    assert_true(table_charge(table, "alice", 5));
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        table_close(table);
        table_patch(table, unknown[i].offset, &unknown[i].value, sizeof(unknown[i].value));
        assert_int_equal(tkr_shard_open(table->directory, &table->options, &table->shard, &message), -1);
        assert_non_null(strstr(message.text, "shard-0 has layout"));
        assert_non_null(strstr(message.text, unknown[i].who));
        assert_int_equal(table_files(table, "aside-"), 0);
        table_patch(table, unknown[i].offset, &unknown[i].was, sizeof(unknown[i].was));
        table_open(table);
        assert_int_equal(table_value(table, "alice"), 5);
    }
}

static void test_short_file_is_set_aside(void **state)
{
    static const off_t length[] = {0, 1, sizeof(struct tkr_shard_header) - 1, TKR_SHARD_HEADER_BYTES, 1 << 20};
    struct table *table = *state;

    for (size_t i = 0; i < sizeof(length) / sizeof(length[0]); i++) {
        int fd;
        table_close(table);
        fd = openat(table->directory, "shard-0", O_RDWR | O_CLOEXEC);
        assert_int_equal(ftruncate(fd, length[i]), 0);
        (void)close(fd);
        table_open(table);
        assert_int_equal(table_files(table, "aside-"), kept(i + 1));
        assert_true(table_charge(table, "alice", 1));
    }
}

static void test_link_in_its_place_is_refused(void **state)
{
    struct table *table = *state;
    tkr_message message = {""};

    table_close(table);
    assert_int_equal(renameat(table->directory, "shard-0", table->directory, "elsewhere"), 0);
    assert_int_equal(symlinkat("elsewhere", table->directory, "shard-0"), 0);
    assert_int_equal(tkr_shard_open(table->directory, &table->options, &table->shard, &message), -1);
    assert_non_null(strstr(message.text, "shard-0"));
    table->shard = NULL;
}

static void test_file_left_half_made_is_no_obstacle(void **state)
{
    struct table *table = *state;
    int fd;

    table_close(table);
    assert_int_equal(unlinkat(table->directory, "shard-0", 0), 0);
    fd = openat(table->directory, ".shard-0", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    table_open(table);
    assert_int_equal(table_files(table, "."), 2);
}

/* The name is that of the contributions in the sink: with another one the same usage would be sent twice. */
static void test_shard_keeps_the_name_it_was_made_with(void **state)
{
    struct table *table = *state;

    assert_true(table_charge(table, "alice", 5));
    table->options.name = 0x1234;
    table_reopen(table);
    assert_int_equal(table->shard->header->name, 0xabcdef);
    assert_int_equal(table_value(table, "alice"), 5);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, table_set_up, table_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_file_of_another_boot_is_set_aside),
        T(test_copied_file_is_set_aside),
        T(test_damaged_file_is_set_aside),
        T(test_files_set_aside_do_not_pile_up),
        T(test_file_of_an_unknown_layout_is_refused_and_left_as_it_is),
        T(test_short_file_is_set_aside),
        T(test_link_in_its_place_is_refused),
        T(test_file_left_half_made_is_no_obstacle),
        T(test_shard_keeps_the_name_it_was_made_with),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
