/* SPDX-License-Identifier: Apache-2.0 */
/* A board on plain arrays: taken, found, left, and any bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limit/board.h"
#include "support/test.h"

#define ACCOUNTS TKR_BOARD_ACCOUNTS_MIN
#define CYCLE UINT32_C(20261101)

struct fixture {
    void *board_memory;
    void *reservations_memory;
    uint64_t board_bytes;
    struct tkr_board board;
};

static const uint8_t boot_id[TKR_BOOT_ID_BYTES] = {1, 2, 3};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (f == NULL)
        return -1;
    f->board_bytes = tkr_board_bytes(tkr_board_places(ACCOUNTS));
    f->board_memory = aligned_alloc(4096, (f->board_bytes + 4095) / 4096 * 4096);
    f->reservations_memory = aligned_alloc(4096, (tkr_reservations_bytes(tkr_board_places(ACCOUNTS)) + 4095) / 4096 * 4096);
    if (f->board_memory == NULL || f->reservations_memory == NULL)
        return -1;
    memset(f->board_memory, 0, f->board_bytes);
    memset(f->reservations_memory, 0, tkr_reservations_bytes(tkr_board_places(ACCOUNTS)));
    tkr_board_format(f->board_memory, f->reservations_memory, ACCOUNTS, 77, 99, boot_id);
    tkr_board_lay(&f->board, f->board_memory, f->reservations_memory, f->board_memory);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    free(f->board_memory);
    free(f->reservations_memory);
    free(f);
    return 0;
}

static struct tkr_board_key key_of(const struct fixture *f, const char *id)
{
    struct tkr_board_key key;

    tkr_board_key(&f->board, TKR_KIND_USER, id, (uint32_t)strlen(id), CYCLE, &key);
    return key;
}

static bool find(const struct fixture *f, const char *id, uint32_t *ret_number)
{
    struct tkr_board_key key = key_of(f, id);
    uint64_t seq;

    return tkr_board_find(&f->board, &key, ret_number, &seq);
}

static bool take(struct fixture *f, const char *id, uint32_t *ret_number)
{
    struct tkr_board_key key = key_of(f, id);

    return tkr_board_take(&f->board, &key, UINT64_MAX, ret_number);
}

static void test_taken_account_is_found_and_no_other(void **state)
{
    struct fixture *f = *state;
    struct tkr_board_key key;
    char id[TKR_ID_BYTES_MAX + 1];
    uint32_t taken;
    uint32_t found;
    uint64_t seq;

    for (uint32_t len = 1; len <= TKR_ID_BYTES_MAX; len++) {
        memset(id, 'a', len);
        id[len] = '\0';
        assert_false(find(f, id, &found));
        assert_true(take(f, id, &taken));
        assert_true(find(f, id, &found));
        assert_int_equal(found, taken);
    }
    tkr_board_key(&f->board, TKR_KIND_TEAM, "a", 1, CYCLE, &key);
    assert_false(tkr_board_find(&f->board, &key, &found, &seq));
    tkr_board_key(&f->board, TKR_KIND_USER, "a", 1, CYCLE + 1, &key);
    assert_false(tkr_board_find(&f->board, &key, &found, &seq));
}

static void test_figures_are_those_published_and_what_is_counted_since(void **state)
{
    struct fixture *f = *state;
    struct tkr_board_key key = key_of(f, "alice");
    struct tkr_board_figures figures;
    uint32_t number;
    uint64_t seq;

    assert_true(take(f, "alice", &number));
    assert_true(tkr_board_find(&f->board, &key, &number, &seq));
    assert_true(tkr_board_read(&f->board, number, seq, &figures));
    assert_int_equal(figures.fresh_ns, 0);
    (void)atomic_fetch_add(&f->board.entry[number].counted, 40); /* before: subtracted from the base */
    tkr_board_publish(&f->board, number, 1000, 300 - 40, 5);
    (void)atomic_fetch_add(&f->board.entry[number].counted, 7);
    atomic_store(&f->board.cells[number].cell[0], 11);
    atomic_store(&f->board.cells[number].cell[1], 22);
    assert_true(tkr_board_read(&f->board, number, seq, &figures));
    assert_int_equal(figures.limit, 1000);
    assert_int_equal(figures.used, 307);
    assert_int_equal(figures.reserved, 33);
    assert_int_equal(figures.fresh_ns, 5);
    atomic_store(&f->board.cells[number].cell[1], INT64_MIN); /* nonsense holds nothing */
    assert_true(tkr_board_read(&f->board, number, seq, &figures));
    assert_int_equal(figures.reserved, 11);
}

static void test_full_board_lets_the_one_leave_that_nobody_asked_for(void **state)
{
    struct fixture *f = *state;
    char id[32];
    uint32_t number;
    uint32_t lost = 0;

    for (uint32_t i = 0; i < 3 * ACCOUNTS; i++) {
        (void)snprintf(id, sizeof(id), "user-%u", i);
        assert_true(take(f, id, &number));
        assert_true(number < f->board.places);
        tkr_board_ask(&f->board, number, 1000 + i);
        assert_true(find(f, id, &number));
    }
    for (uint32_t i = 3 * ACCOUNTS - 100; i < 3 * ACCOUNTS; i++) { /* among the last, few have left */
        (void)snprintf(id, sizeof(id), "user-%u", i);
        lost += !find(f, id, &number);
    }
    assert_true(lost < 10);
}

static void test_account_whose_calls_hold_something_stays(void **state)
{
    struct fixture *f = *state;
    char id[32];
    uint32_t number;
    uint32_t keeper;

    assert_true(take(f, "holds", &keeper));
    atomic_store(&f->board.cells[keeper].cell[1], 1);
    for (uint32_t i = 0; i < 4 * ACCOUNTS; i++) {
        (void)snprintf(id, sizeof(id), "user-%u", i);
        if (take(f, id, &number))
            tkr_board_ask(&f->board, number, 1000 + i);
    }
    assert_true(find(f, "holds", &number));
    assert_int_equal(number, keeper);
    for (uint32_t i = 0; i < f->board.places; i++)
        atomic_store(&f->board.cells[i].cell[0], 1);
    assert_false(take(f, "no room", &number));
    assert_false(find(f, "no room", &number));
}

static void test_reader_of_an_account_that_left_is_told(void **state)
{
    struct fixture *f = *state;
    struct tkr_board_key key = key_of(f, "user-0");
    struct tkr_board_figures figures;
    char id[32];
    uint32_t number;
    uint32_t left;
    uint64_t seq;

    assert_true(take(f, "user-0", &number));
    assert_true(tkr_board_find(&f->board, &key, &left, &seq));
    for (uint32_t i = 1; find(f, "user-0", &number) && i < 64 * ACCOUNTS; i++) {
        uint32_t other;
        (void)snprintf(id, sizeof(id), "user-%u", i);
        assert_true(take(f, id, &other));
        tkr_board_ask(&f->board, other, 1000 + i);
    }
    assert_false(find(f, "user-0", &number));
    assert_false(tkr_board_read(&f->board, left, seq, &figures));
}

/* As many accounts as a board takes, while they come and go: all that are on it are found, where a walk comes to them. */
/* What a keeper's death leaves of an account that was to leave, or to come; others keep what their calls hold. */
static void test_board_that_is_taken_over_keeps_its_accounts_and_knows_nothing_of_them(void **state)
{
    struct fixture *f = *state;
    struct tkr_board_key key = key_of(f, "stays");
    struct tkr_board_figures figures;
    uint32_t stays;
    uint32_t leaving;
    uint32_t coming;
    uint32_t number;
    uint64_t seq;
    uint64_t seq_now;

    assert_true(take(f, "stays", &stays));
    assert_true(take(f, "leaving", &leaving));
    assert_true(take(f, "coming", &coming));
    tkr_board_publish(&f->board, stays, 1000, 400, 5);
    tkr_board_publish(&f->board, leaving, 1000, 400, 5);
    (void)atomic_fetch_add(&f->board.entry[stays].counted, 7);
    atomic_store(&f->board.cells[stays].cell[1], 30);
    assert_true(tkr_board_find(&f->board, &key, &number, &seq));
    (void)atomic_fetch_add(&f->board.entry[leaving].seq, 1);                               /* cells not looked at yet */
    (void)atomic_fetch_and(&f->board.taken[coming / 64], ~(UINT64_C(1) << (coming % 64))); /* not anybody's yet */
    atomic_store(&f->board.header->accounts, 3);
    tkr_board_resume(&f->board);
    assert_int_equal(atomic_load(&f->board.header->accounts), 2);
    assert_false(tkr_board_read(&f->board, stays, seq, &figures)); /* who has found it before is told */
    assert_true(tkr_board_find(&f->board, &key, &number, &seq_now) && number == stays);
    assert_true(tkr_board_read(&f->board, stays, seq_now, &figures));
    assert_int_equal(figures.fresh_ns, 0);
    assert_int_equal(figures.reserved, 30);
    assert_true(find(f, "leaving", &number) && number == leaving);
    assert_int_equal(atomic_load(&f->board.entry[leaving].fresh_ns), 0);
    assert_false(find(f, "coming", &number));
    assert_true(take(f, "coming", &number));
    assert_true(find(f, "coming", &number));
    for (int i = 0; i < 2; i++) { /* a death in it is as if it had not begun */
        (void)atomic_fetch_or(&f->board.entry[stays].seq, 1);
        tkr_board_resume(&f->board);
        assert_true(find(f, "stays", &number) && number == stays);
    }
    assert_int_equal(atomic_load(&f->board.header->accounts), 3);
}

static void test_walk_comes_to_those_that_are_found(void **state)
{
    struct fixture *f = *state;
    struct tkr_board_account account;
    uint64_t seen = 0;
    uint32_t farthest = 0;
    uint32_t at;

    for (uint32_t i = 0; i < 20 * ACCOUNTS; i++) {
        char id[32];
        (void)snprintf(id, sizeof(id), "user-%u", i);
        assert_true(take(f, id, &at));
        tkr_board_ask(&f->board, at, i);
        assert_true(atomic_load(&f->board.header->accounts) <= ACCOUNTS);
    }
    for (uint32_t i = 0; tkr_board_next(&f->board, &i); i++) {
        struct tkr_board_key key;
        uint64_t seq;
        uint32_t home;
        assert_true(tkr_board_copy(&f->board, i, &account));
        tkr_board_key(&f->board, account.kind, account.id, account.id_len, account.cycle, &key);
        assert_true(tkr_board_find(&f->board, &key, &at, &seq));
        assert_int_equal(at, i);
        home = (uint32_t)key.hash & (f->board.places - 1);
        farthest = (i - home) % f->board.places > farthest ? (i - home) % f->board.places : farthest;
        seen++;
    }
    assert_int_equal(seen, ACCOUNTS);
    assert_int_equal(seen, atomic_load(&f->board.header->accounts));
    assert_true(farthest > 1); /* some are away from home */
    at = f->board.places + 64;
    assert_false(tkr_board_next(&f->board, &at));
}

/* Where nobody is left that is away from home, nobody is looked for there. */
static void test_reach_is_of_those_that_are_there(void **state)
{
    struct fixture *f = *state;
    struct tkr_board_key key;
    char id[32];
    uint32_t first = 0;
    uint32_t second = 0;
    uint32_t third;

    assert_true(take(f, "user-0", &first));
    for (uint32_t i = 1; second != (first + 1) % f->board.places; i++) { /* until one comes that has the same home */
        (void)snprintf(id, sizeof(id), "user-%u", i);
        key = key_of(f, id);
        if (((uint32_t)key.hash & (f->board.places - 1)) == first)
            assert_true(take(f, id, &second));
    }
    assert_int_equal((atomic_load(&f->board.entry[first].shape) & TKR_BOARD_REACH_MASK) >> TKR_BOARD_REACH_SHIFT, 1);
    for (uint32_t i = 0; find(f, id, &third); i++) {
        char other[32];
        (void)snprintf(other, sizeof(other), "other-%u", i);
        if (take(f, other, &third))
            tkr_board_ask(&f->board, third, 1000 + i);
        tkr_board_ask(&f->board, first, 2000000 + i); /* it is the other that leaves */
    }
    assert_true(find(f, "user-0", &third));
    for (uint32_t i = 0; i < f->board.places; i++) {
        uint64_t reach = (atomic_load(&f->board.entry[i].shape) & TKR_BOARD_REACH_MASK) >> TKR_BOARD_REACH_SHIFT;
        uint32_t end = (uint32_t)(i + reach) % f->board.places;
        struct tkr_board_account account;
        if (reach == 0)
            continue;
        assert_true(tkr_board_copy(&f->board, end, &account)); /* the farthest of this home is there */
        tkr_board_key(&f->board, account.kind, account.id, account.id_len, account.cycle, &key);
        assert_int_equal((uint32_t)key.hash & (f->board.places - 1), i);
    }
}

static void test_any_bytes_are_read_within_bounds(void **state)
{
    struct fixture *f = *state;
    uint64_t random = 88172645463325252u;
    unsigned char *bytes = f->board_memory;
    struct tkr_board_figures figures;
    uint32_t number;
    uint64_t seq;

    for (uint64_t i = TKR_BOARD_HEADER_BYTES; i < f->board_bytes; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        bytes[i] = (unsigned char)random;
    }
    for (uint32_t i = 0; i < 100000; i++) {
        char id[32];
        struct tkr_board_key key;
        (void)snprintf(id, sizeof(id), "%u", i);
        key = key_of(f, id);
        if (tkr_board_find(&f->board, &key, &number, &seq))
            assert_true(number < f->board.places);
        (void)tkr_board_read(&f->board, i % f->board.places, i, &figures);
        assert_true(figures.reserved >= 0);
    }
}

static void test_headers_that_do_not_fit_are_no_board(void **state)
{
    struct fixture *f = *state;
    struct tkr_board_header board = *(struct tkr_board_header *)f->board_memory;
    struct tkr_board_header reservations = *(struct tkr_board_header *)f->reservations_memory;
    const uint8_t other_boot[TKR_BOOT_ID_BYTES] = {9};
    uint64_t bytes = tkr_reservations_bytes(tkr_board_places(ACCOUNTS));
    struct tkr_board_header changed;

    assert_true(tkr_board_fits(&board, f->board_bytes, &reservations, bytes, boot_id));
    assert_false(tkr_board_fits(&board, f->board_bytes, &reservations, bytes, other_boot));
    assert_false(tkr_board_fits(&board, f->board_bytes - 1, &reservations, bytes, boot_id));
    assert_false(tkr_board_fits(&board, f->board_bytes, &reservations, bytes - 64, boot_id));
#define REFUSES(field, value) \
    changed = board;          \
    changed.field = (value);  \
    assert_false(tkr_board_fits(&changed, f->board_bytes, &reservations, bytes, boot_id))
    REFUSES(magic, 0);
    REFUSES(major, TKR_BOARD_MAJOR + 1);
    REFUSES(generation, 78);
    REFUSES(accounts_max, ACCOUNTS + 1);
    REFUSES(accounts_max, 0);
    REFUSES(accounts_max, UINT32_MAX);
    REFUSES(places, 0);
    REFUSES(places, UINT32_MAX);
#undef REFUSES
    changed = board;
    changed.minor = TKR_BOARD_MINOR + 1;
    assert_true(tkr_board_fits(&changed, f->board_bytes, &reservations, bytes, boot_id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_taken_account_is_found_and_no_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_figures_are_those_published_and_what_is_counted_since, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_board_lets_the_one_leave_that_nobody_asked_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_account_whose_calls_hold_something_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reader_of_an_account_that_left_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_board_that_is_taken_over_keeps_its_accounts_and_knows_nothing_of_them, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_walk_comes_to_those_that_are_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reach_is_of_those_that_are_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_any_bytes_are_read_within_bounds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_headers_that_do_not_fit_are_no_board, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
