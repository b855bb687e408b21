/* SPDX-License-Identifier: Apache-2.0 */
#include "limit/hold.h"

#include <string.h>

#include "base/crash.h"

#define COUNT_SHIFT 2
#define CELL_SHIFT 5
#define ENTRY_SHIFT 9
#define TAG_SHIFT 49
#define TAG_LOW_BITS 15
#define MORE_TAG_SHIFT 40
#define ENTRY_MASK ((UINT64_C(1) << TKR_HOLD_ENTRY_BITS) - 1)
#define TRIES 8 /* of a hold whose entries' epochs keep changing: they change some times a second at most */

/* --- words --- */

uint64_t tkr_hold_word(const struct tkr_hold *hold, enum tkr_hold_state state)
{
    uint64_t word = (uint64_t)state | (uint64_t)hold->count << COUNT_SHIFT | hold->tag << TAG_SHIFT;

    for (uint32_t i = 0; i < hold->count; i++)
        word |= (uint64_t)hold->cell[i] << (CELL_SHIFT + i);
    for (uint32_t i = 0; i < hold->count && i < 2; i++)
        word |= (uint64_t)hold->entry[i] << (ENTRY_SHIFT + i * TKR_HOLD_ENTRY_BITS);
    return word;
}

uint64_t tkr_hold_more(const struct tkr_hold *hold)
{
    uint64_t more = hold->tag >> TAG_LOW_BITS << MORE_TAG_SHIFT;

    for (uint32_t i = 2; i < hold->count; i++)
        more |= (uint64_t)hold->entry[i] << ((i - 2) * TKR_HOLD_ENTRY_BITS);
    return more;
}

bool tkr_hold_parse(const struct tkr_board *board, uint64_t word, uint64_t more, struct tkr_hold *ret_hold)
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
        if (ret_hold->entry[i] >= board->entries_max)
            return false;
    }
    return true;
}

/* --- taking and giving --- */

static uint32_t cell_of(const struct tkr_board *board, uint32_t number)
{
    return (uint32_t)atomic_load_explicit(&board->entry[number].epoch, memory_order_seq_cst) & 1; /* P4 */
}

/* Writes a slot that names the cells of the entries' present epochs. false: they keep changing. */
static bool join(const struct tkr_board *board, struct tkr_hold_slot slot, const struct tkr_hold_claim *claim,
                 struct tkr_hold *hold)
{
    for (int tries = 0; tries < TRIES; tries++) {
        bool same = true;
        for (uint32_t i = 0; i < hold->count; i++) {
            hold->entry[i] = claim[i].number;
            hold->cell[i] = cell_of(board, claim[i].number);
        }
        atomic_store_explicit(slot.more, tkr_hold_more(hold), memory_order_release);
        atomic_store_explicit(slot.word, tkr_hold_word(hold, TKR_HOLD_JOINING), memory_order_seq_cst); /* P4: then epochs again */
        for (uint32_t i = 0; i < hold->count; i++)
            same &= cell_of(board, claim[i].number) == hold->cell[i];
        if (same)
            return true;
    }
    return false;
}

static void add(const struct tkr_board *board, const struct tkr_hold *hold, int64_t tokens)
{
    for (uint32_t i = 0; i < hold->count; i++) {
        (void)atomic_fetch_add_explicit(&board->cells[hold->entry[i]].cell[hold->cell[i]], tokens, memory_order_seq_cst); /* P3 */
        TKR_CRASH(HOLD_ADDED);
    }
}

/* Looks at what the addition has made of it. */
static enum tkr_hold_result look(const struct tkr_board *board, const struct tkr_hold_claim *claim, uint32_t count)
{
    enum tkr_hold_result result = TKR_HOLD_OK;

    for (uint32_t i = 0; i < count; i++) {
        struct tkr_board_figures figures;
        if (!tkr_board_read(board, claim[i].number, claim[i].seq, &figures))
            return TKR_HOLD_MOVED;
        if (figures.limit > 0 && figures.used > figures.limit - figures.reserved)
            result = TKR_HOLD_REFUSED;
    }
    return result;
}

static void leave(const struct tkr_board *board, struct tkr_hold_slot slot, const struct tkr_hold *hold, int64_t tokens)
{
    atomic_store_explicit(slot.word, tkr_hold_word(hold, TKR_HOLD_LEAVING),
                          memory_order_release); /* a kill needs the order only */
    TKR_CRASH(HOLD_LEAVING);
    for (uint32_t i = 0; i < hold->count; i++) {
        (void)atomic_fetch_sub_explicit(&board->cells[hold->entry[i]].cell[hold->cell[i]], tokens, memory_order_release);
        TKR_CRASH(HOLD_TAKEN_OFF);
    }
    /*
     * Subtractions before it: who makes a cell 0 that this slot does not name any more does so after them (acquire, by the
     * reader).
     */
    atomic_store_explicit(slot.word, TKR_HOLD_NONE, memory_order_release);
    TKR_CRASH(HOLD_GIVEN);
}

enum tkr_hold_result tkr_hold_take(const struct tkr_board *board, struct tkr_hold_slot slot, const struct tkr_hold_claim *claim,
                                   uint32_t count, int64_t tokens)
{
    struct tkr_hold hold = {.count = count, .tag = tkr_hold_tag(board)};
    enum tkr_hold_result result;

    if (!join(board, slot, claim, &hold)) {
        atomic_store_explicit(slot.word, TKR_HOLD_NONE, memory_order_release); /* nothing was added */
        return TKR_HOLD_MOVED;
    }
    TKR_CRASH(HOLD_JOINING);
    add(board, &hold, tokens);
    result = look(board, claim, count);
    if (result != TKR_HOLD_OK) {
        leave(board, slot, &hold, tokens);
        return result;
    }
    atomic_store_explicit(slot.word, tkr_hold_word(&hold, TKR_HOLD_HELD), memory_order_release); /* additions before it (I2) */
    TKR_CRASH(HOLD_HELD);
    return TKR_HOLD_OK;
}

void tkr_hold_give(const struct tkr_board *board, struct tkr_hold_slot slot, int64_t tokens)
{
    struct tkr_hold hold;
    uint64_t word = atomic_load_explicit(slot.word, memory_order_relaxed); /* the process' own */

    if (tkr_hold_parse(board, word, atomic_load_explicit(slot.more, memory_order_relaxed), &hold))
        leave(board, slot, &hold, tokens);
    else
        atomic_store_explicit(slot.word, TKR_HOLD_NONE, memory_order_release);
}

/* Never below 0: what a hostile slot says it held is not all there. */
static void take_off(_Atomic int64_t *cell, int64_t tokens)
{
    int64_t before = atomic_load_explicit(cell, memory_order_relaxed);
    int64_t after;

    do {
        after = before > tokens ? before - tokens : 0;
    } while (!atomic_compare_exchange_weak_explicit(cell, &before, after, memory_order_relaxed, memory_order_relaxed));
}

void tkr_hold_give_dead(const struct tkr_board *board, uint64_t word, uint64_t more, int64_t tokens)
{
    struct tkr_hold hold;

    if ((word & TKR_HOLD_STATE_MASK) != TKR_HOLD_HELD || tokens < 0 || tokens > TKR_TOKENS_MAX ||
        !tkr_hold_parse(board, word, more, &hold))
        return;
    for (uint32_t i = 0; i < hold.count; i++)
        take_off(&board->cells[hold.entry[i]].cell[hold.cell[i]], tokens);
}

/* --- mending --- */

static uint64_t entries_used(const struct tkr_board *board)
{
    return atomic_load_explicit(&board->header->entries_used, memory_order_acquire);
}

bool tkr_sweep_begin(const struct tkr_board *board, struct tkr_sweep *sweep)
{
    uint64_t used = entries_used(board);
    bool any = false;

    memset(sweep->named, 0, used);
    for (uint64_t i = 0; i < used; i++) {
        uint64_t epoch = atomic_load_explicit(&board->entry[i].epoch, memory_order_relaxed); /* this thread's own */
        any |= sweep->draining[i] != 0;
        if (sweep->draining[i] != 0 || atomic_load_explicit(&board->cells[i].cell[epoch & 1], memory_order_relaxed) == 0)
            continue;
        any = true;
        sweep->draining[i] = (uint8_t)(1 + (epoch & 1));
        atomic_store_explicit(&board->entry[i].epoch, epoch + 1, memory_order_relaxed);
    }
    atomic_thread_fence(memory_order_seq_cst); /* epochs before the slots that are looked at next (P4) */
    return any;
}

void tkr_sweep_note(const struct tkr_board *board, struct tkr_sweep *sweep, uint64_t word, uint64_t more)
{
    struct tkr_hold hold;

    if (!tkr_hold_parse(board, word, more, &hold))
        return;
    for (uint32_t i = 0; i < hold.count; i++)
        sweep->named[hold.entry[i]] |= (uint8_t)(1u << hold.cell[i]);
}

uint32_t tkr_sweep_end(const struct tkr_board *board, struct tkr_sweep *sweep)
{
    uint64_t used = entries_used(board);
    uint32_t mended = 0;

    for (uint64_t i = 0; i < used; i++) {
        uint32_t old = sweep->draining[i] - 1u;
        if (sweep->draining[i] == 0 || (sweep->named[i] >> old & 1) != 0)
            continue;
        mended += atomic_exchange_explicit(&board->cells[i].cell[old], 0, memory_order_relaxed) != 0; /* nobody's (I1) */
        sweep->draining[i] = 0;
    }
    return mended;
}
