/* SPDX-License-Identifier: Apache-2.0 */
/* Holds on plain arrays: all or none, the two cells, and each state that a kill leaves. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "limit/hold.h"
#include "support/test.h"

#define ACCOUNTS TKR_BOARD_ACCOUNTS_MIN
#define LIMIT 1000
#define THREADS 4
#define ROUNDS 20000

struct fixture {
    void *board_memory;
    void *reservations_memory;
    struct tkr_board board;
    struct tkr_sweep sweep;
    struct tkr_hold_claim claim[TKR_ACCOUNTS_MAX];
};

/* A slot, as it lies in a region; what it reserves is written before it holds. */
struct slot {
    _Atomic uint64_t word;
    _Atomic uint64_t more;
    _Atomic int64_t tokens;
};

static struct tkr_hold_slot words(struct slot *slot)
{
    return (struct tkr_hold_slot){&slot->word, &slot->more};
}

static enum tkr_hold_result take(const struct tkr_board *board, struct slot *slot, const struct tkr_hold_claim *claim,
                                 uint32_t count, int64_t tokens)
{
    atomic_store(&slot->tokens, tokens);
    return tkr_hold_take(board, words(slot), claim, count, tokens);
}

static int set_up(void **state)
{
    static const uint8_t boot_id[TKR_BOOT_ID_BYTES];
    struct fixture *f = calloc(1, sizeof(*f));
    uint64_t bytes = tkr_board_bytes(tkr_board_places(ACCOUNTS));

    if (f == NULL)
        return -1;
    f->board_memory = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    f->reservations_memory = aligned_alloc(4096, (tkr_reservations_bytes(tkr_board_places(ACCOUNTS)) + 4095) / 4096 * 4096);
    f->sweep.entry = calloc(tkr_board_places(ACCOUNTS), sizeof(*f->sweep.entry));
    f->sweep.number = calloc(ACCOUNTS, sizeof(*f->sweep.number));
    if (f->board_memory == NULL || f->reservations_memory == NULL || f->sweep.entry == NULL || f->sweep.number == NULL)
        return -1;
    memset(f->board_memory, 0, bytes);
    memset(f->reservations_memory, 0, tkr_reservations_bytes(tkr_board_places(ACCOUNTS)));
    tkr_board_format(f->board_memory, f->reservations_memory, ACCOUNTS, UINT64_MAX - 1, 5, boot_id);
    tkr_board_lay(&f->board, f->board_memory, f->reservations_memory, f->board_memory);
    for (uint32_t i = 0; i < TKR_ACCOUNTS_MAX; i++) {
        char id[2] = {(char)('a' + (int)i), 0};
        struct tkr_board_key key;
        tkr_board_key(&f->board, TKR_KIND_USER, id, 1, 20261101, &key);
        if (!tkr_board_take(&f->board, &key, UINT64_MAX, &f->claim[i].number) ||
            !tkr_board_find(&f->board, &key, &f->claim[i].number, &f->claim[i].seq))
            return -1;
        tkr_board_publish(&f->board, f->claim[i].number, LIMIT, 0, 1);
    }
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    free(f->board_memory);
    free(f->reservations_memory);
    free(f->sweep.entry);
    free(f->sweep.number);
    free(f);
    return 0;
}

static int64_t held(const struct fixture *f, uint32_t i)
{
    const struct tkr_board_cells *cells = &f->board.cells[f->claim[i].number];

    return atomic_load(&cells->cell[0]) + atomic_load(&cells->cell[1]);
}

/* A round of mending in which these slots are seen. */
static uint32_t mend(struct fixture *f, const struct slot *slot, uint32_t count)
{
    if (!tkr_sweep_begin(&f->board, &f->sweep))
        return 0;
    for (uint32_t i = 0; i < count; i++)
        (void)tkr_sweep_note(&f->board, &f->sweep, atomic_load(&slot[i].word), atomic_load(&slot[i].more),
                             atomic_load(&slot[i].tokens));
    return tkr_sweep_end(&f->board, &f->sweep);
}

static void test_words_tell_what_they_were_made_of(void **state)
{
    struct fixture *f = *state;
    struct tkr_hold hold = {.count = 4, .entry = {1023, 1, 7, 512}, .cell = {1, 0, 1, 0}, .tag = tkr_hold_tag(&f->board)};
    struct tkr_hold read;

    for (hold.count = 1; hold.count <= TKR_ACCOUNTS_MAX; hold.count++) {
        assert_true(tkr_hold_parse(&f->board, tkr_hold_word(&hold, TKR_HOLD_HELD), tkr_hold_more(&hold), &read));
        assert_int_equal(read.count, hold.count);
        assert_memory_equal(read.entry, hold.entry, hold.count * sizeof(hold.entry[0]));
        assert_memory_equal(read.cell, hold.cell, hold.count * sizeof(hold.cell[0]));
    }
}

static void test_hold_is_taken_from_all_accounts_and_given_back(void **state)
{
    struct fixture *f = *state;
    struct slot slot = {0};

    for (uint32_t count = 1; count <= TKR_ACCOUNTS_MAX; count++) {
        assert_int_equal(take(&f->board, &slot, f->claim, count, 400), TKR_HOLD_OK);
        for (uint32_t i = 0; i < TKR_ACCOUNTS_MAX; i++)
            assert_int_equal(held(f, i), i < count ? 400 : 0);
        tkr_hold_give(&f->board, words(&slot), 400);
        assert_int_equal(atomic_load(&slot.word), 0);
        for (uint32_t i = 0; i < TKR_ACCOUNTS_MAX; i++)
            assert_int_equal(held(f, i), 0);
    }
}

static void test_hold_over_one_limit_is_held_on_none(void **state)
{
    struct fixture *f = *state;
    struct slot slot = {0};
    struct slot other = {0};

    assert_int_equal(take(&f->board, &other, &f->claim[2], 1, 700), TKR_HOLD_OK);
    assert_int_equal(take(&f->board, &slot, f->claim, 4, 301), TKR_HOLD_REFUSED);
    assert_int_equal(atomic_load(&slot.word), 0);
    for (uint32_t i = 0; i < TKR_ACCOUNTS_MAX; i++)
        assert_int_equal(held(f, i), i == 2 ? 700 : 0);
    assert_int_equal(take(&f->board, &slot, f->claim, 4, 300), TKR_HOLD_OK);
}

static void test_account_without_limit_holds_whatever_is_asked(void **state)
{
    struct fixture *f = *state;
    struct slot slot = {0};

    tkr_board_publish(&f->board, f->claim[0].number, 0, 5000, 1);
    assert_int_equal(take(&f->board, &slot, f->claim, 1, TKR_TOKENS_MAX), TKR_HOLD_OK);
    assert_int_equal(held(f, 0), TKR_TOKENS_MAX);
}

static void test_hold_on_an_entry_that_changed_hands_is_given_back(void **state)
{
    struct fixture *f = *state;
    struct slot slot = {0};

    f->claim[1].seq += 2;
    assert_int_equal(take(&f->board, &slot, f->claim, 2, 5), TKR_HOLD_MOVED);
    assert_int_equal(held(f, 0), 0);
    assert_int_equal(held(f, 1), 0);
    assert_int_equal(atomic_load(&slot.word), 0);
}

static void test_hold_of_another_board_is_let_go_of(void **state)
{
    struct fixture *f = *state;
    struct slot slot = {0};

    assert_int_equal(take(&f->board, &slot, f->claim, 1, 5), TKR_HOLD_OK);
    f->board.generation = 3;
    tkr_hold_release(&f->board, atomic_load(&slot.word), atomic_load(&slot.more), 5);
    tkr_hold_give(&f->board, words(&slot), 5);
    assert_int_equal(held(f, 0), 5);
    assert_int_equal(atomic_load(&slot.word), 0);
}

static void test_what_the_dead_held_is_given_back_and_never_more(void **state)
{
    struct fixture *f = *state;
    struct slot slot = {0};

    assert_int_equal(take(&f->board, &slot, f->claim, 3, 5), TKR_HOLD_OK);
    tkr_hold_release(&f->board, atomic_load(&slot.word), atomic_load(&slot.more), -1);
    tkr_hold_release(&f->board, atomic_load(&slot.word), atomic_load(&slot.more), TKR_TOKENS_MAX + 1);
    assert_int_equal(held(f, 1), 5);
    tkr_hold_release(&f->board, atomic_load(&slot.word), atomic_load(&slot.more), TKR_TOKENS_MAX); /* a hostile one */
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(held(f, i), 0);
}

/* Killed while joining or leaving: added to `added` cells of three, the slot says `state`. */
static void leave_behind(struct fixture *f, struct slot *slot, enum tkr_hold_state hold_state, uint32_t added)
{
    struct tkr_hold hold = {.count = 3, .tag = tkr_hold_tag(&f->board)};

    for (uint32_t i = 0; i < 3; i++) {
        hold.entry[i] = f->claim[i].number;
        hold.cell[i] = (uint32_t)atomic_load(&f->board.entry[hold.entry[i]].epoch) & 1;
        if (i < added)
            (void)atomic_fetch_add(&f->board.cells[hold.entry[i]].cell[hold.cell[i]], 50);
    }
    atomic_store(&slot->more, tkr_hold_more(&hold));
    atomic_store(&slot->word, tkr_hold_word(&hold, hold_state));
}

static void test_each_leaving_of_a_kill_is_mended_and_the_living_keep_theirs(void **state)
{
    struct fixture *f = *state;

    for (int hold_state = TKR_HOLD_JOINING; hold_state <= TKR_HOLD_LEAVING; hold_state += 2) {
        for (uint32_t added = 0; added <= 3; added++) {
            struct slot dead = {0};
            struct slot living = {0};
            assert_int_equal(take(&f->board, &living, f->claim, 3, 100), TKR_HOLD_OK);
            leave_behind(f, &dead, (enum tkr_hold_state)hold_state, added);
            for (uint32_t i = 0; i < 3; i++)
                assert_int_equal(held(f, i), i < added ? 150 : 100); /* too high, never too low */
            assert_int_equal(mend(f, &living, 1), added);
            for (int round = 0; round < 3; round++) {
                for (uint32_t i = 0; i < 3; i++)
                    assert_int_equal(held(f, i), 100); /* what the living hold, who go on */
                assert_int_equal(mend(f, &living, 1), 0);
            }
            tkr_hold_give(&f->board, words(&living), 100);
            for (uint32_t i = 0; i < 3; i++)
                assert_int_equal(held(f, i), 0);
        }
    }
}

static void test_new_calls_go_to_the_other_cell_while_old_ones_keep_theirs(void **state)
{
    struct fixture *f = *state;
    struct slot slot[2] = {0};
    const struct tkr_board_cells *cells = &f->board.cells[f->claim[0].number];

    assert_int_equal(take(&f->board, &slot[0], f->claim, 1, 10), TKR_HOLD_OK);
    assert_int_equal(mend(f, slot, 2), 0);
    assert_int_equal(take(&f->board, &slot[1], f->claim, 1, 20), TKR_HOLD_OK);
    assert_int_equal(atomic_load(&cells->cell[0]), 10);
    assert_int_equal(atomic_load(&cells->cell[1]), 20);
    assert_int_equal(mend(f, slot, 2), 0);
    tkr_hold_give(&f->board, words(&slot[0]), 10);
    assert_int_equal(mend(f, slot, 2), 0);
    assert_int_equal(held(f, 0), 20);
    tkr_hold_give(&f->board, words(&slot[1]), 20);
    assert_int_equal(held(f, 0), 0);
}

static void test_any_words_name_no_entry_beyond_the_board(void **state)
{
    struct fixture *f = *state;
    uint64_t random = 88172645463325252u;
    struct tkr_hold hold;

    for (uint32_t i = 0; i < 200000; i++) {
        uint64_t tag = tkr_hold_tag(&f->board);
        uint64_t more;
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        more = (random * 5 & ((UINT64_C(1) << 40) - 1)) | tag >> 15 << 40;
        if (!tkr_hold_parse(&f->board, (random & ((UINT64_C(1) << 49) - 1)) | tag << 49, more, &hold))
            continue;
        assert_in_range(hold.count, 1, TKR_ACCOUNTS_MAX);
        for (uint32_t j = 0; j < hold.count; j++)
            assert_true(hold.entry[j] < f->board.places && hold.cell[j] < 2);
    }
}

/* --- threads --- */

struct crowd {
    struct fixture *f;
    struct slot slot[THREADS];
    _Atomic uint32_t next;
    _Atomic uint32_t running;
    _Atomic int64_t most;
    _Atomic int64_t now;
};

static void note_most(struct crowd *crowd, int64_t now)
{
    int64_t most = atomic_load(&crowd->most);

    while (now > most && !atomic_compare_exchange_weak(&crowd->most, &most, now))
        continue;
}

static void *hold_and_give(void *argument)
{
    struct crowd *crowd = argument;
    struct slot *slot = &crowd->slot[atomic_fetch_add(&crowd->next, 1)];

    for (uint32_t i = 0; i < ROUNDS; i++) {
        if (take(&crowd->f->board, slot, crowd->f->claim, 2, 400) != TKR_HOLD_OK)
            continue;
        note_most(crowd, atomic_fetch_add(&crowd->now, 400) + 400);
        (void)atomic_fetch_sub(&crowd->now, 400);
        tkr_hold_give(&crowd->f->board, words(slot), 400);
    }
    (void)atomic_fetch_sub(&crowd->running, 1);
    return NULL;
}

/* Had anything been taken off that a thread holds, its own giving back would leave less than nothing. */
static void expect_none_too_low(const struct fixture *f)
{
    for (uint32_t i = 0; i < 2; i++) {
        const struct tkr_board_cells *cells = &f->board.cells[f->claim[i].number];
        assert_true(atomic_load(&cells->cell[0]) >= 0);
        assert_true(atomic_load(&cells->cell[1]) >= 0);
    }
}

/* Nobody dies, but the epochs move all the time: additions come late, and what they leave is mended. */
static void test_threads_never_hold_more_than_the_limit_while_cells_are_mended(void **state)
{
    struct crowd crowd = {.f = *state, .running = THREADS};
    pthread_t thread[THREADS];

    for (uint32_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, hold_and_give, &crowd), 0);
    while (atomic_load(&crowd.running) > 0) {
        expect_none_too_low(crowd.f);
        (void)mend(crowd.f, crowd.slot, THREADS);
    }
    for (uint32_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    expect_none_too_low(crowd.f);
    assert_true(atomic_load(&crowd.most) <= LIMIT);
    for (int round = 0; round < 2; round++)
        (void)mend(crowd.f, crowd.slot, THREADS);
    assert_int_equal(held(crowd.f, 0), 0);
    assert_int_equal(held(crowd.f, 1), 0);
}

/* --- threads whose calls are counted late --- */

#define GATEWAYS 3
#define USES 7
#define RESERVES 10
#define ROOM INT64_C(200003) /* of which the last tokens are never used: 200003 is no sum of uses */

/* A lane: releases of calls that have ended, in their order. */
struct ends {
    _Atomic uint64_t head;   /* published */
    _Atomic uint64_t obeyed; /* counted, and then taken off */
    uint64_t word[ROOM / USES + 1];
    uint64_t more[ROOM / USES + 1];
};

struct host {
    struct fixture *f;
    struct slot slot[GATEWAYS];
    struct ends ends[GATEWAYS];
    _Atomic uint32_t next;
    _Atomic uint32_t running;
    _Atomic uint32_t counting;
    _Atomic int64_t begun; /* calls */
};

static void *make_calls(void *argument)
{
    struct host *host = argument;
    uint32_t number = atomic_fetch_add(&host->next, 1);
    struct slot *slot = &host->slot[number];
    struct ends *ends = &host->ends[number];
    uint32_t refused = 0;

    while (refused < 1000) {
        uint64_t at = atomic_load(&ends->head);
        if (take(&host->f->board, slot, host->f->claim, 2, RESERVES) != TKR_HOLD_OK) {
            refused++;
            (void)sched_yield();
            continue;
        }
        (void)atomic_fetch_add(&host->begun, 1);
        refused = 0;
        ends->word[at] = tkr_hold_leave(words(slot));
        ends->more[at] = atomic_load(&slot->more);
        atomic_store_explicit(&ends->head, at + 1, memory_order_release);
        tkr_hold_left(&host->f->board, words(slot), RESERVES - USES);
    }
    (void)atomic_fetch_sub(&host->running, 1);
    return NULL;
}

static void obey(struct host *host, struct ends *ends)
{
    const struct tkr_board *board = &host->f->board;
    uint64_t head = atomic_load_explicit(&ends->head, memory_order_acquire);

    for (uint64_t at = atomic_load(&ends->obeyed); at < head; at++) {
        for (uint32_t i = 0; i < 2; i++)
            (void)atomic_fetch_add_explicit(&board->entry[host->f->claim[i].number].counted, USES, memory_order_release);
        tkr_hold_release(board, ends->word[at], ends->more[at], USES);
    }
    atomic_store_explicit(&ends->obeyed, head, memory_order_release);
}

static void *count_calls(void *argument)
{
    struct host *host = argument;
    bool last = false;

    while (!last) {
        last = atomic_load(&host->running) == 0;
        for (uint32_t i = 0; i < GATEWAYS; i++)
            obey(host, &host->ends[i]);
    }
    (void)atomic_fetch_sub(&host->counting, 1);
    return NULL;
}

/* A round, as the collector's main thread does it: slots, then heads, then wait until the worker is there. */
static void sweep_host(struct host *host)
{
    uint64_t head[GATEWAYS];

    if (!tkr_sweep_begin(&host->f->board, &host->f->sweep))
        return;
    for (uint32_t i = 0; i < GATEWAYS; i++) {
        struct slot *slot = &host->slot[i];
        (void)tkr_sweep_note(&host->f->board, &host->f->sweep, atomic_load(&slot->word), atomic_load(&slot->more),
                             atomic_load(&slot->tokens));
    }
    for (uint32_t i = 0; i < GATEWAYS; i++)
        head[i] = atomic_load_explicit(&host->ends[i].head, memory_order_acquire);
    for (uint32_t i = 0; i < GATEWAYS; i++) {
        while (atomic_load_explicit(&host->ends[i].obeyed, memory_order_acquire) < head[i])
            (void)sched_yield();
    }
    (void)tkr_sweep_end(&host->f->board, &host->f->sweep);
}

/* Ended and not counted yet is held, and drift is mended all the while: not one token beyond the limit, and none lost. */
static void test_calls_that_are_counted_late_use_the_limit_to_the_last_call_and_no_more(void **state)
{
    struct host *host = calloc(1, sizeof(*host));
    struct fixture *f = *state;
    pthread_t thread[GATEWAYS + 1];
    int64_t used;

    assert_non_null(host);
    host->f = f;
    host->running = GATEWAYS;
    host->counting = 1;
    for (uint32_t i = 0; i < 2; i++)
        tkr_board_publish(&f->board, f->claim[i].number, ROOM, 0, 1);
    for (uint32_t i = 0; i < GATEWAYS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, make_calls, host), 0);
    assert_int_equal(pthread_create(&thread[GATEWAYS], NULL, count_calls, host), 0);
    while (atomic_load(&host->counting) > 0) {
        expect_none_too_low(f);
        (void)atomic_fetch_add(&f->board.cells[f->claim[0].number].cell[0], 3); /* drift */
        sweep_host(host);
    }
    for (uint32_t i = 0; i <= GATEWAYS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    sweep_host(host);
    sweep_host(host);
    expect_none_too_low(f);
    used = atomic_load(&host->begun) * USES;
    print_message("limit %lld, used %lld\n", (long long)ROOM, (long long)used);
    assert_true(used <= ROOM);
    assert_int_equal(held(f, 0), 0);
    assert_int_equal(held(f, 1), 0);
    while (take(&f->board, &host->slot[0], f->claim, 2, USES) == TKR_HOLD_OK) {
        used += USES;
        for (uint32_t i = 0; i < 2; i++)
            (void)atomic_fetch_add(&f->board.entry[f->claim[i].number].counted, USES);
        tkr_hold_give(&f->board, words(&host->slot[0]), USES);
    }
    assert_true(used <= ROOM && used > ROOM - USES);
    free(host);
}

/* Drift in either cell, while calls hold in both. */
static void test_drift_is_mended_beside_calls_that_go_on_in_both_cells(void **state)
{
    struct fixture *f = *state;
    struct tkr_board_cells *cells = &f->board.cells[f->claim[0].number];
    struct slot slot[2] = {0};

    assert_int_equal(take(&f->board, &slot[0], f->claim, 1, 10), TKR_HOLD_OK);
    assert_int_equal(mend(f, slot, 2), 0);
    assert_int_equal(take(&f->board, &slot[1], f->claim, 1, 20), TKR_HOLD_OK);
    for (int round = 0; round < 4; round++) {
        (void)atomic_fetch_add(&cells->cell[round & 1], 7);
        assert_int_equal(held(f, 0), 37);
        assert_int_equal(mend(f, slot, 2) + mend(f, slot, 2), 1);
        assert_int_equal(atomic_load(&cells->cell[0]), 10);
        assert_int_equal(atomic_load(&cells->cell[1]), 20);
    }
}

/* What joins or leaves while a round goes on is no drift, and what came late is; what somebody claims to hold beyond what there
 * is changes nothing. */
static void test_round_takes_off_only_what_no_slot_vouches_for(void **state)
{
    struct fixture *f = *state;
    struct tkr_board_cells *cells = &f->board.cells[f->claim[0].number];
    struct slot slot = {0};
    struct slot leaving = {0};

    assert_int_equal(take(&f->board, &slot, f->claim, 1, 10), TKR_HOLD_OK);
    leave_behind(f, &leaving, TKR_HOLD_LEAVING, 1);
    assert_true(tkr_sweep_begin(&f->board, &f->sweep));
    (void)tkr_sweep_note(&f->board, &f->sweep, slot.word, slot.more, 10);
    (void)tkr_sweep_note(&f->board, &f->sweep, leaving.word, leaving.more, 50);
    (void)atomic_fetch_add(&cells->cell[0], 5);
    assert_int_equal(tkr_sweep_end(&f->board, &f->sweep), 1);
    assert_int_equal(held(f, 0), 60);
    assert_int_equal(mend(f, &slot, 1), 1);
    assert_int_equal(held(f, 0), 10);
    for (int64_t tokens = -1; tokens < 2; tokens += 2) {
        assert_true(tkr_sweep_begin(&f->board, &f->sweep));
        (void)tkr_sweep_note(&f->board, &f->sweep, slot.word, slot.more, tokens > 0 ? INT64_MAX : INT64_MIN);
        (void)tkr_sweep_note(&f->board, &f->sweep, slot.word, slot.more, 10);
        assert_int_equal(tkr_sweep_end(&f->board, &f->sweep), 0);
    }
    assert_int_equal(held(f, 0), 10);
}

/* The slot's call ends while the round goes on, before or after the collector obeys its release: it is never taken off twice. */
static void test_round_in_which_a_call_ends_takes_off_nothing_of_it(void **state)
{
    struct fixture *f = *state;

    for (int obeyed_first = 0; obeyed_first < 2; obeyed_first++) {
        struct slot ended = {0};
        struct slot other = {0};
        uint64_t word;
        assert_int_equal(take(&f->board, &ended, f->claim, 1, 100), TKR_HOLD_OK);
        assert_int_equal(take(&f->board, &other, f->claim, 1, 40), TKR_HOLD_OK);
        assert_true(tkr_sweep_begin(&f->board, &f->sweep));
        (void)tkr_sweep_note(&f->board, &f->sweep, ended.word, ended.more, 100);
        (void)tkr_sweep_note(&f->board, &f->sweep, other.word, other.more, 40);
        word = tkr_hold_leave(words(&ended));
        tkr_hold_left(&f->board, words(&ended), 70);
        if (obeyed_first)
            tkr_hold_release(&f->board, word, ended.more, 30);
        (void)tkr_sweep_end(&f->board, &f->sweep);
        if (!obeyed_first)
            tkr_hold_release(&f->board, word, ended.more, 30);
        assert_int_equal(held(f, 0), 40);
        tkr_hold_give(&f->board, words(&other), 40);
        assert_int_equal(held(f, 0), 0);
    }
}

static void test_end_keeps_what_was_used_until_it_is_counted(void **state)
{
    struct fixture *f = *state;
    struct tkr_board_figures figures;
    struct slot slot = {0};
    uint64_t word;

    assert_int_equal(take(&f->board, &slot, f->claim, 2, 400), TKR_HOLD_OK);
    word = tkr_hold_leave(words(&slot));
    assert_int_equal(held(f, 0), 400); /* nothing is published yet */
    tkr_hold_left(&f->board, words(&slot), 100);
    assert_int_equal(atomic_load(&slot.word), 0);
    assert_int_equal(held(f, 0), 300);
    assert_int_equal(held(f, 1), 300);
    for (uint32_t i = 0; i < 2; i++)
        (void)atomic_fetch_add(&f->board.entry[f->claim[i].number].counted, 300);
    tkr_hold_release(&f->board, word, slot.more, 300);
    assert_true(tkr_board_read(&f->board, f->claim[1].number, f->claim[1].seq, &figures));
    assert_int_equal(figures.used, 300);
    assert_int_equal(figures.reserved, 0);
}

static void test_late_addition_is_mended_in_whichever_cell_it_is(void **state)
{
    struct fixture *f = *state;
    struct tkr_board_cells *cells = &f->board.cells[f->claim[0].number];
    struct slot none = {0};

    for (uint32_t cell = 0; cell < 2; cell++) {
        atomic_store(&cells->cell[cell], 50);
        assert_int_equal(mend(f, &none, 1), 1);
        assert_int_equal(held(f, 0), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_words_tell_what_they_were_made_of, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hold_is_taken_from_all_accounts_and_given_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hold_over_one_limit_is_held_on_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_account_without_limit_holds_whatever_is_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hold_on_an_entry_that_changed_hands_is_given_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hold_of_another_board_is_let_go_of, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_the_dead_held_is_given_back_and_never_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_each_leaving_of_a_kill_is_mended_and_the_living_keep_theirs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_new_calls_go_to_the_other_cell_while_old_ones_keep_theirs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_any_words_name_no_entry_beyond_the_board, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_drift_is_mended_beside_calls_that_go_on_in_both_cells, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_round_takes_off_only_what_no_slot_vouches_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_round_in_which_a_call_ends_takes_off_nothing_of_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_end_keeps_what_was_used_until_it_is_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_calls_that_are_counted_late_use_the_limit_to_the_last_call_and_no_more, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_late_addition_is_mended_in_whichever_cell_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads_never_hold_more_than_the_limit_while_cells_are_mended, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
