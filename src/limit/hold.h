/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holds: what a call reserves against the limits of its accounts, in the cells of their entries, and the slot that vouches for
 * it.
 *
 *   slot:  word = state | count << 2 | cell of each << 5 | entry 0 << 9 | entry 1 << 30 | low 13 bits of the board's tag << 51
 *          more = entry 2 | entry 3 << 21 | the tag's other 22 bits << 42
 *          and, beside them, how many tokens
 *
 *   NONE --written--> JOINING --added to each cell--> HELD --its end--> LEAVING --published, or taken off each cell--> NONE
 *                        '--------- refused: no room ------------------^
 *
 * All accounts of a call or none: added to all, then looked at all; one over its limit, and all is given back.
 *
 * The end of a call that used something takes off only what it had reserved beyond that. The rest stays in the cells until the
 * collector has counted it: a release goes with the usage frame (event/frame.h), and the worker takes off what it says after it
 * has raised `counted`. So what a call reserved and then used is seen as reserved or as used at any moment, perhaps as both
 * (board P5). What could not be published is given back by its process at once.
 *
 * Who writes: the slot, its process, and the collector when that is dead; cells, all processes by atomic additions, and the
 * collector.
 *
 * Invariants
 *   I1  What is in a cell that counts is vouched for by a slot that is not NONE and names entry and cell, or by a release in a
 *       lane: the slot is written before the first addition, and cleared after the release is published and after the last
 *       subtraction of its process.
 *   I2  HELD  =>  added to each cell, nothing taken off, no release published.
 *   I3  A slot that is seen in JOINING after its entry's epoch has changed is written again, and what it has added to the old
 *       cell is nobody's (board P4).
 *   I4  From before its first addition until after its last subtraction a slot names the board, and what it adds to a board
 *       that was replaced before the slot named it is nobody's (limit/window.h P2).
 *   I5  Of a cell that is not for new calls: at any time after the slots were looked at and all releases obeyed that lanes had
 *       after that, what is to be taken off it later is at most what those slots held in it. A hold that no slot had then was
 *       given back, or its release was in a lane; and none comes in that counts (I3).
 *
 * What a kill leaves: NONE, nothing. HELD, what the collector takes off when it has settled the calls of the dead process: once,
 * since it clears the slot before. JOINING and LEAVING: some of the cells have it and others do not; nothing is taken off for the
 * slot, so that a cell may be too high, and never too low: this is drift, as is what came late (I3, I4), what a killed collector
 * had counted and not taken off, and what its process left to the collector. It is mended once the entry's epoch has moved on:
 * what the old cell has beyond what slots held there is nobody's (I5; tkr_sweep_*).
 *
 * A board that was replaced: its tag is not that of the slot or the release, and what was held goes with it.
 */
#ifndef TKR_LIMIT_HOLD_H
#define TKR_LIMIT_HOLD_H

#include "base/crash.h"
#include "limit/board.h"

enum tkr_hold_state { TKR_HOLD_NONE = 0, TKR_HOLD_JOINING = 1, TKR_HOLD_HELD = 2, TKR_HOLD_LEAVING = 3 };

#define TKR_HOLD_STATE_MASK UINT64_C(3)
#define TKR_HOLD_ENTRY_BITS 21
_Static_assert((TKR_BOARD_PLACES_MAX - 1) >> TKR_HOLD_ENTRY_BITS == 0, "an entry's number fits a slot");

/* Entries and cells of a hold. */
struct tkr_hold {
    uint32_t count;
    uint32_t entry[TKR_ACCOUNTS_MAX];
    uint32_t cell[TKR_ACCOUNTS_MAX];
    uint64_t tag; /* of the board, 35 bits */
};

/* Where a slot keeps it. */
struct tkr_hold_slot {
    _Atomic uint64_t *word;
    _Atomic uint64_t *more;
};

#define TKR_HOLD_TAG_MASK ((UINT64_C(1) << 35) - 1)

static inline uint64_t tkr_hold_tag(const struct tkr_board *board)
{
    return board->generation & TKR_HOLD_TAG_MASK;
}

uint64_t tkr_hold_word(const struct tkr_hold *hold, enum tkr_hold_state state);
uint64_t tkr_hold_more(const struct tkr_hold *hold);

/* Reads what a slot's words say. false: they name no hold on this board. Whatever they are, no index is beyond it. */
bool tkr_hold_parse(const struct tkr_board *board, uint64_t word, uint64_t more, struct tkr_hold *ret_hold);

/* May a slot with this word name a board of this tag? true for some others too: it is the tag's low bits that are compared. */
bool tkr_hold_may_name(uint64_t word, uint64_t tag);

/* What was asked for an account: its entry and what vouches for it. */
struct tkr_hold_claim {
    uint32_t number;
    uint64_t seq;
};

enum tkr_hold_result {
    TKR_HOLD_OK,
    TKR_HOLD_REFUSED, /* one of the limits has no room: nothing is held */
    TKR_HOLD_MOVED    /* the board was replaced, or entries changed hands or epochs meanwhile, again and again: nothing is held */
};

/* Holds tokens on the entries of count claims. The slot is NONE, and names the same number of tokens. Lock-free. */
enum tkr_hold_result tkr_hold_take(const struct tkr_board *board, struct tkr_hold_slot slot, const struct tkr_hold_claim *claim,
                                   uint32_t count, int64_t tokens);

/* Gives back what a slot holds, if it is of this board, which may have been replaced or be NULL; the slot is NONE then. Its
 * process alone. */
void tkr_hold_give(const struct tkr_board *board, struct tkr_hold_slot slot, int64_t tokens);

/*
 * The end of a call, in two steps: before it, and a release of what it used, are published at once; and after. Returns the word
 * that the release has. Its process alone.
 */
static inline uint64_t tkr_hold_leave(struct tkr_hold_slot slot)
{
    uint64_t word = atomic_load_explicit(slot.word, memory_order_relaxed) | TKR_HOLD_LEAVING; /* of its two bits all */

    atomic_store_explicit(slot.word, word, memory_order_release); /* a kill needs the order only */
    TKR_CRASH(HOLD_LEAVING);
    return word;
}

/* The second: gives back those tokens of what it held that the release does not have. */
void tkr_hold_left(const struct tkr_board *board, struct tkr_hold_slot slot, int64_t tokens);

/* Collector: takes off what a release says after what its call used was counted, or what a slot of the dead held that was
 * cleared. */
void tkr_hold_release(const struct tkr_board *board, uint64_t word, uint64_t more, int64_t tokens);

/* --- mending, by one thread of the collector --- */

/*
 * What it keeps of an entry. A round drains a cell that is not for new calls: notes what slots hold there and, when the workers
 * have obeyed all releases that lanes had after that, takes off what is in the cell beyond it (I5).
 */
struct tkr_sweep_entry {
    int64_t before;
    int64_t held;
    uint8_t draining; /* 1 + the cell; 0: none */
    bool busy;        /* a slot is joining it or leaving it, and may hold less there than it says */
};

struct tkr_sweep {
    struct tkr_sweep_entry *entry; /* of each place of the board; zeros at first */
    uint32_t *number;              /* room for each account: the entries of this round */
    uint32_t count;
};

/*
 * Begins a round: entries with something in their cell go on to the other one, if that is done with. Slots are looked at after
 * it. false: no cell has anything, and no round is needed.
 */
bool tkr_sweep_begin(const struct tkr_board *board, struct tkr_sweep *sweep);

/* Notes what a slot says: of all processes, the dead too. false: it names another board. */
bool tkr_sweep_note(const struct tkr_board *board, struct tkr_sweep *sweep, uint64_t word, uint64_t more, int64_t tokens);

/* Ends a round in which all slots were seen, and then all releases obeyed. Returns the cells that were mended. */
uint32_t tkr_sweep_end(const struct tkr_board *board, struct tkr_sweep *sweep);

#endif
