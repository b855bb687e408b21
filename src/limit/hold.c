/* SPDX-License-Identifier: Apache-2.0 */
#include "limit/hold.h"

#include <ck_pr.h>
#include <string.h>

#define COUNT_SHIFT 2
#define CELL_SHIFT 5
#define ENTRY_SHIFT 9
#define TAG_SHIFT (ENTRY_SHIFT + 2 * TKR_HOLD_ENTRY_BITS)
#define TAG_LOW_BITS (64 - TAG_SHIFT)
#define MORE_TAG_SHIFT (2 * TKR_HOLD_ENTRY_BITS)
#define ENTRY_MASK ((UINT64_C(1) << TKR_HOLD_ENTRY_BITS) - 1)
#define INLINE static inline __attribute__((always_inline)) /* one account is the usual: what follows is made for it, too */
#define TRIES 8 /* of a hold whose entries' epochs keep changing: they change some times a second at most */

/* --- words --- */

INLINE uint64_t word_of(const struct tkr_hold *hold, enum tkr_hold_state state)
{
    uint64_t word = (uint64_t)state | (uint64_t)hold->count << COUNT_SHIFT | hold->tag << TAG_SHIFT;

    for (uint32_t i = 0; i < hold->count; i++)
        word |= (uint64_t)hold->cell[i] << (CELL_SHIFT + i);
    for (uint32_t i = 0; i < hold->count && i < 2; i++)
        word |= (uint64_t)hold->entry[i] << (ENTRY_SHIFT + i * TKR_HOLD_ENTRY_BITS);
    return word;
}

uint64_t tkr_hold_word(const struct tkr_hold *hold, enum tkr_hold_state state)
{
    return word_of(hold, state);
}

uint64_t tkr_hold_more(const struct tkr_hold *hold)
{
    uint64_t more = hold->tag >> TAG_LOW_BITS << MORE_TAG_SHIFT;

    for (uint32_t i = 2; i < hold->count; i++)
        more |= (uint64_t)hold->entry[i] << ((i - 2) * TKR_HOLD_ENTRY_BITS);
    return more;
}

INLINE bool parse(const struct tkr_board *board, uint64_t word, uint64_t more, struct tkr_hold *ret_hold)
{
    ret_hold->count = (uint32_t)(word >> COUNT_SHIFT) & 7;
    ret_hold->tag = word >> TAG_SHIFT | more >> MORE_TAG_SHIFT << TAG_LOW_BITS;
    if ((word & TKR_HOLD_STATE_MASK) == TKR_HOLD_NONE || ret_hold->count < 1 || ret_hold->count > TKR_ACCOUNTS_MAX ||
        ret_hold->tag != tkr_hold_tag(board))
        return false;
    for (uint32_t i = 0; i < ret_hold->count; i++) {
        uint64_t from = i < 2 ? word >> (ENTRY_SHIFT + i * TKR_HOLD_ENTRY_BITS) : more >> ((i - 2) * TKR_HOLD_ENTRY_BITS);
        ret_hold->cell[i] = (uint32_t)(word >> (CELL_SHIFT + i)) & 1;
        ret_hold->entry[i] = (uint32_t)(from & ENTRY_MASK);
        if (ret_hold->entry[i] >= board->places)
            return false;
    }
    return true;
}

bool tkr_hold_parse(const struct tkr_board *board, uint64_t word, uint64_t more, struct tkr_hold *ret_hold)
{
    return parse(board, word, more, ret_hold);
}

bool tkr_hold_may_name(uint64_t word, uint64_t tag)
{
    return (word & TKR_HOLD_STATE_MASK) != TKR_HOLD_NONE && word >> TAG_SHIFT == (tag & ((UINT64_C(1) << TAG_LOW_BITS) - 1));
}

/* --- taking and giving --- */

INLINE void store_state(struct tkr_hold_slot slot, const struct tkr_hold *hold, enum tkr_hold_state state)
{
    atomic_store_explicit(slot.word, word_of(hold, state), memory_order_release);
}

INLINE void store_none(struct tkr_hold_slot slot)
{
    atomic_store_explicit(slot.word, TKR_HOLD_NONE, memory_order_release);
}

/*
 * Turns to the cells of the entries' present epochs. Returns the entries, as bits, whose epoch has changed: also by two, to the
 * same cell, which was made 0 in between.
 */
INLINE uint32_t turn_to_cells(const struct tkr_board *board, struct tkr_hold *hold, uint64_t epoch[TKR_ACCOUNTS_MAX])
{
    uint32_t changed = 0;

    for (uint32_t i = 0; i < hold->count; i++) {
        uint64_t now = atomic_load_explicit(&board->entry[hold->entry[i]].epoch, memory_order_acquire);
        changed |= (uint32_t)(now != epoch[i]) << i;
        epoch[i] = now;
        hold->cell[i] = (uint32_t)now & 1;
    }
    return changed;
}

INLINE void add(const struct tkr_board *board, const struct tkr_hold *hold, uint32_t entries, int64_t tokens)
{
    for (uint32_t i = 0; i < hold->count; i++) {
        if ((entries >> i & 1) == 0)
            continue;
        (void)atomic_fetch_add_explicit(&board->cells[hold->entry[i]].cell[hold->cell[i]], tokens, memory_order_seq_cst); /* P3 */
        TKR_CRASH(HOLD_ADDED);
    }
}

/*
 * Adds to the cells of the entries' present epochs, which the slot names. Where the epoch has changed meanwhile, the sweeper may
 * have made the cell 0 before the addition or after it: it is left there as drift, and added to the other one. false: they keep
 * changing; or the board was replaced, and the addition went to whatever lies there now.
 */
INLINE bool join(const struct tkr_board *board, struct tkr_hold_slot slot, struct tkr_hold *hold, int64_t tokens)
{
    uint32_t missing = (1u << hold->count) - 1;
    uint64_t epoch[TKR_ACCOUNTS_MAX] = {0};

    (void)turn_to_cells(board, hold, epoch);
    atomic_store_explicit(slot.more, tkr_hold_more(hold), memory_order_release);
    for (int tries = 0; missing != 0; tries++) {
        if (tries == TRIES)
            return false;
        store_state(slot, hold, TKR_HOLD_JOINING);
        TKR_CRASH(HOLD_JOINING);
        add(board, hold, missing, tokens);
        ck_pr_fence_atomic_load(); /* P4, window P2: the slot, then epochs and turn */
        if (!tkr_board_shown(board))
            return false;
        missing = turn_to_cells(board, hold, epoch);
    }
    return true;
}

/* Looks at what the addition has made of it. */
INLINE enum tkr_hold_result look(const struct tkr_board *board, const struct tkr_hold_claim *claim, uint32_t count)
{
    enum tkr_hold_result result = TKR_HOLD_OK;

    for (uint32_t i = 0; i < count; i++) {
        struct tkr_board_figures figures;
        if (!tkr_board_read(board, claim[i].number, claim[i].seq, &figures))
            return TKR_HOLD_MOVED;
        if (figures.limit > 0 && figures.used > figures.limit - figures.reserved)
            result = TKR_HOLD_REFUSED;
    }
    if (atomic_load_explicit(&board->header->retired, memory_order_seq_cst) != 0) /* P7 */
        return TKR_HOLD_MOVED;
    return tkr_board_shown(board) ? result : TKR_HOLD_MOVED;
}

INLINE void leave(const struct tkr_board *board, struct tkr_hold_slot slot, const struct tkr_hold *hold, int64_t tokens)
{
    store_state(slot, hold, TKR_HOLD_LEAVING); /* a kill needs the order only */
    TKR_CRASH(HOLD_LEAVING);
    for (uint32_t i = 0; i < hold->count; i++) {
        (void)atomic_fetch_sub_explicit(&board->cells[hold->entry[i]].cell[hold->cell[i]], tokens, memory_order_release);
        TKR_CRASH(HOLD_TAKEN_OFF);
    }
    /* Subtractions before it: who makes a cell 0, or maps another there, that this slot names no more, does so after them. */
    store_none(slot);
    TKR_CRASH(HOLD_GIVEN);
}

INLINE enum tkr_hold_result take(const struct tkr_board *board, struct tkr_hold_slot slot, const struct tkr_hold_claim *claim,
                                 uint32_t count, int64_t tokens)
{
    struct tkr_hold hold = {.count = count, .tag = tkr_hold_tag(board)};
    enum tkr_hold_result result;

    for (uint32_t i = 0; i < count; i++)
        hold.entry[i] = claim[i].number;
    if (!join(board, slot, &hold, tokens)) {
        store_none(slot);
        return TKR_HOLD_MOVED;
    }
    result = look(board, claim, count);
    if (result != TKR_HOLD_OK) {
        leave(board, slot, &hold, tokens);
        return result;
    }
    store_state(slot, &hold, TKR_HOLD_HELD); /* additions before it (I2) */
    TKR_CRASH(HOLD_HELD);
    return TKR_HOLD_OK;
}

enum tkr_hold_result tkr_hold_take(const struct tkr_board *board, struct tkr_hold_slot slot, const struct tkr_hold_claim *claim,
                                   uint32_t count, int64_t tokens)
{
    return count == 1 ? take(board, slot, claim, 1, tokens) : take(board, slot, claim, count, tokens);
}

void tkr_hold_give(const struct tkr_board *board, struct tkr_hold_slot slot, int64_t tokens)
{
    struct tkr_hold hold;
    uint64_t word = atomic_load_explicit(slot.word, memory_order_relaxed); /* the process' own */

    if (board != NULL && parse(board, word, atomic_load_explicit(slot.more, memory_order_relaxed), &hold))
        leave(board, slot, &hold, tokens);
    else
        store_none(slot);
}

void tkr_hold_left(const struct tkr_board *board, struct tkr_hold_slot slot, int64_t tokens)
{
    if (tokens > 0)
        tkr_hold_give(board, slot, tokens);
    else
        store_none(slot);
}

/* Never below 0: what a hostile slot or frame says was held is not all there. */
static void take_off(_Atomic int64_t *cell, int64_t tokens)
{
    int64_t before = atomic_load_explicit(cell, memory_order_relaxed);
    int64_t after;

    do {
        after = before > tokens ? before - tokens : 0;
    } while (!atomic_compare_exchange_weak_explicit(cell, &before, after, memory_order_release, memory_order_relaxed)); /* P5 */
}

void tkr_hold_release(const struct tkr_board *board, uint64_t word, uint64_t more, int64_t tokens)
{
    struct tkr_hold hold;

    if (tokens < 0 || tokens > TKR_TOKENS_MAX || !tkr_hold_parse(board, word, more, &hold))
        return;
    for (uint32_t i = 0; i < hold.count; i++) {
        take_off(&board->cells[hold.entry[i]].cell[hold.cell[i]], tokens);
        TKR_CRASH(HOLD_RELEASED);
    }
}

/* --- mending --- */

/* What is to be drained of an entry: the cell for new calls, which go on to the other one; else what late additions left there. */
static uint8_t begin_one(struct tkr_board_entry *entry, const struct tkr_board_cells *cells)
{
    uint64_t epoch = atomic_load_explicit(&entry->epoch, memory_order_relaxed); /* this thread's own */
    uint32_t cell = (uint32_t)epoch & 1;

    if (atomic_load_explicit(&cells->cell[cell], memory_order_relaxed) != 0)
        atomic_store_explicit(&entry->epoch, epoch + 1, memory_order_relaxed);
    else if (atomic_load_explicit(&cells->cell[cell ^ 1], memory_order_relaxed) != 0)
        cell ^= 1;
    else
        return 0;
    return (uint8_t)(1 + cell);
}

static _Atomic int64_t *drained(const struct tkr_board *board, const struct tkr_sweep *sweep, uint32_t number)
{
    return &board->cells[number].cell[sweep->entry[number].draining - 1];
}

bool tkr_sweep_begin(const struct tkr_board *board, struct tkr_sweep *sweep)
{
    sweep->count = 0;
    for (uint32_t i = 0; sweep->count < board->accounts_max && tkr_board_next(board, &i); i++) {
        struct tkr_sweep_entry *entry = &sweep->entry[i];
        if (entry->draining == 0)
            entry->draining = begin_one(&board->entry[i], &board->cells[i]);
        if (entry->draining != 0)
            sweep->number[sweep->count++] = i;
    }
    atomic_thread_fence(memory_order_seq_cst); /* epochs before cells and slots (P4) */
    for (uint32_t i = 0; i < sweep->count; i++) {
        struct tkr_sweep_entry *entry = &sweep->entry[sweep->number[i]];
        entry->before =
            atomic_load_explicit(drained(board, sweep, sweep->number[i]), memory_order_acquire); /* before the slots */
        entry->held = 0;
        entry->busy = false;
    }
    return sweep->count > 0;
}

/* Beyond what a cell is read as, nobody needs to know more. */
static int64_t sum(int64_t held, int64_t tokens)
{
    bool fits = tokens >= 0 && tokens <= TKR_TOKENS_MAX && held < INT64_MAX / 4;

    return fits ? held + tokens : held;
}

bool tkr_sweep_note(const struct tkr_board *board, struct tkr_sweep *sweep, uint64_t word, uint64_t more, int64_t tokens)
{
    struct tkr_hold hold;

    if (!tkr_hold_parse(board, word, more, &hold))
        return (word & TKR_HOLD_STATE_MASK) == TKR_HOLD_NONE;
    for (uint32_t i = 0; i < hold.count; i++) {
        struct tkr_sweep_entry *entry = &sweep->entry[hold.entry[i]];
        if (entry->draining != 1 + hold.cell[i])
            continue;
        entry->busy |= (word & TKR_HOLD_STATE_MASK) != TKR_HOLD_HELD;
        entry->held = sum(entry->held, tokens);
    }
    return true;
}

/*
 * What a cell has beyond what slots held in it is drift, whoever left it since (I5). It may have less than that, too: some of
 * those have left; if it did not change, somebody wrote nonsense into it. 1: it was made that.
 */
static uint32_t end_one(_Atomic int64_t *cell, const struct tkr_sweep_entry *entry)
{
    int64_t now = atomic_load_explicit(cell, memory_order_acquire);
    bool nonsense = now < entry->held && now == entry->before && !entry->busy;

    if (now <= entry->held && !nonsense)
        return 0;
    (void)atomic_fetch_add_explicit(cell, (int64_t)((uint64_t)entry->held - (uint64_t)now), memory_order_acq_rel);
    return 1;
}

uint32_t tkr_sweep_end(const struct tkr_board *board, struct tkr_sweep *sweep)
{
    uint32_t mended = 0;

    for (uint32_t i = 0; i < sweep->count; i++) {
        struct tkr_sweep_entry *entry = &sweep->entry[sweep->number[i]];
        mended += end_one(drained(board, sweep, sweep->number[i]), entry);
        entry->draining = 0;
    }
    return mended;
}
