/* SPDX-License-Identifier: Apache-2.0 */
/* The board in its collector's hands: what happens when its reservations are cut. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "collector/board.h"
#include "region/guard.h"
#include "support/tempdir.h"
#include "support/test.h"

struct fixture {
    char path[TEMPDIR_BYTES];
    int directory;
    struct tkr_guarded_board guarded;
    uint32_t calls;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    tkr_message message;

    *state = f;
    if (f == NULL || tempdir_make(f->path) != 0)
        return -1;
    f->directory = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return f->directory < 0 ? -1 : tkr_board_make(f->directory, TKR_BOARD_ACCOUNTS_MIN, &f->guarded.board, &message);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    tkr_board_unmap(&f->guarded.board);
    (void)close(f->directory);
    tempdir_remove(f->path);
    free(f);
    return 0;
}

static void cut(const struct fixture *f)
{
    int fd = openat(f->directory, TKR_RESERVATIONS_NAME, O_RDWR | O_CLOEXEC);

    assert_int_equal(ftruncate(fd, 0), 0);
    (void)close(fd);
}

static void touch(void *argument)
{
    struct fixture *f = argument;

    f->calls++;
    tkr_board_ask(&f->guarded.board, 5, 77);
}

static bool retired(const struct fixture *f)
{
    return atomic_load(&f->guarded.board.header->retired) != 0;
}

static void test_whole_board_is_touched_and_stays(void **state)
{
    struct fixture *f = *state;
    uint64_t asked_s = 0;

    assert_true(tkr_guard_install()); /* cmocka has put its own handler over it, as in all below */
    assert_true(tkr_guarded_board_call(&f->guarded, touch, f));
    assert_true(tkr_guarded_board_asked(&f->guarded, 5, &asked_s));
    assert_int_equal(asked_s, 77);
    assert_int_equal(f->calls, 1);
    assert_false(retired(f));
}

static void test_board_found_cut_by_a_call_is_retired_and_touched_no_more(void **state)
{
    struct fixture *f = *state;
    uint64_t asked_s = 3;

    assert_true(tkr_guard_install());
    cut(f);
    assert_false(tkr_guarded_board_call(&f->guarded, touch, f));
    assert_true(retired(f));
    assert_false(tkr_guarded_board_call(&f->guarded, touch, f));
    assert_false(tkr_guarded_board_asked(&f->guarded, 5, &asked_s));
    assert_int_equal(f->calls, 1);
    assert_int_equal(asked_s, 3);
}

static void test_board_found_cut_by_a_look_is_retired_and_touched_no_more(void **state)
{
    struct fixture *f = *state;
    uint64_t asked_s = 3;

    assert_true(tkr_guard_install());
    cut(f);
    assert_false(tkr_guarded_board_asked(&f->guarded, 5, &asked_s));
    assert_int_equal(asked_s, 3);
    assert_true(retired(f));
    assert_false(tkr_guarded_board_call(&f->guarded, touch, f));
    assert_int_equal(f->calls, 0);
}

/* A collector that starts takes over what the last one left, if it is whole and of the size that is asked for. */
static void test_board_is_taken_over_as_it_is_or_not_at_all(void **state)
{
    struct fixture *f = *state;
    struct tkr_board other = {.header = NULL};
    tkr_message message;

    atomic_store(&f->guarded.board.cells[7].cell[0], 33);
    assert_int_equal(tkr_board_take_over(f->directory, 2 * TKR_BOARD_ACCOUNTS_MIN, &other, &message), 0);
    assert_int_equal(tkr_board_take_over(f->directory, TKR_BOARD_ACCOUNTS_MIN, &other, &message), 1);
    assert_int_equal(other.generation, f->guarded.board.generation);
    assert_int_equal(atomic_load(&other.cells[7].cell[0]), 33);
    tkr_board_unmap(&other);
    atomic_store(&f->guarded.board.header->retired, 1);
    assert_int_equal(tkr_board_take_over(f->directory, TKR_BOARD_ACCOUNTS_MIN, &other, &message), 0);
    atomic_store(&f->guarded.board.header->retired, 0);
    cut(f);
    assert_int_equal(tkr_board_take_over(f->directory, TKR_BOARD_ACCOUNTS_MIN, &other, &message), 0);
    tkr_board_unmap(&f->guarded.board);
    assert_int_equal(tkr_board_make(f->directory, TKR_BOARD_ACCOUNTS_MIN, &f->guarded.board, &message), 0);
    assert_int_equal(atomic_load(&f->guarded.board.header->waits), 1); /* calls may hold on the one before */
}

/* Sizes fit the tmpfs; but a board that is there keeps its size, or it could not be taken over, whatever is free now. */
static void test_board_fits_its_tmpfs_and_keeps_the_size_that_it_has(void **state)
{
    const struct tkr_tmpfs large = {.bytes = UINT64_C(12) << 30, .available = UINT64_C(12) << 30};
    const struct tkr_tmpfs unbounded = {.bytes = 0, .available = UINT64_MAX};
    const struct tkr_tmpfs small = {.bytes = 64 << 20, .available = 64 << 20};
    const struct tkr_tmpfs full = {.bytes = 64 << 20, .available = 0};
    struct fixture *f = *state;
    int elsewhere = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* there is no board */
    tkr_message message = {""};

    assert_int_equal(tkr_board_accounts_fit(elsewhere, &large, 65536), 65536);
    assert_int_equal(tkr_board_accounts_fit(elsewhere, &unbounded, TKR_BOARD_ACCOUNTS_MAX), TKR_BOARD_ACCOUNTS_MAX);
    assert_int_equal(tkr_board_accounts_fit(elsewhere, &small, 65536), 8192);
    assert_int_equal(tkr_board_accounts_fit(elsewhere, &small, 2000), 2000);
    assert_int_equal(tkr_board_accounts_fit(elsewhere, &full, 65536), TKR_BOARD_ACCOUNTS_MIN);
    assert_int_equal(tkr_board_accounts_fit(f->directory, &full, 65536), TKR_BOARD_ACCOUNTS_MIN); /* as it is */
    tkr_board_unmap(&f->guarded.board);
    assert_int_equal(tkr_board_make(f->directory, 8192, &f->guarded.board, &message), 0);
    assert_int_equal(tkr_board_accounts_fit(f->directory, &full, 65536), 8192);
    assert_int_equal(tkr_board_accounts_fit(f->directory, &small, 4096), 4096);   /* another is asked for */
    assert_int_equal(tkr_board_accounts_fit(f->directory, &large, 65536), 65536); /* there is room for it */
    assert_int_equal(close(elsewhere), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_board_fits_its_tmpfs_and_keeps_the_size_that_it_has, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_whole_board_is_touched_and_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_board_found_cut_by_a_call_is_retired_and_touched_no_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_board_found_cut_by_a_look_is_retired_and_touched_no_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_board_is_taken_over_as_it_is_or_not_at_all, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
