/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a board: taken over from the last collector or, where that cannot be, made anew, allocated whole, and put in the
 * place of those that are there, which are marked as retired first (limit/layout.h).
 *
 * Cells are in a file that gateways may cut. So a collector's threads touch them under guard only, and a board that was cut is
 * given up: it is marked as retired, gateways look for another, and nobody here touches its cells again. All else is in the
 * file that the collector alone may write, and needs no guard.
 */
#ifndef TKR_COLLECTOR_BOARD_H
#define TKR_COLLECTOR_BOARD_H

#include "base/settings.h"
#include "base/tmpfs.h"
#include "limit/board.h"

/*
 * How many accounts the board of this runtime directory is to have, of as many as are wanted: half of them, and half again, until board
 * and reservations take at most an eighth of the tmpfs, and half of what is free. A board that is there and was made when more was
 * free keeps its size, so that it can be taken over. TKR_BOARD_ACCOUNTS_MIN at least.
 */
uint32_t tkr_board_accounts_fit(int runtime, const struct tkr_tmpfs *tmpfs, uint32_t wanted);

/*
 * Makes a board for so many accounts in the runtime directory. It waits (its header) if it takes the place of another, on which
 * calls may hold something. 0; -1 with the reason: then no gateway finds one.
 */
int tkr_board_make(int runtime, uint32_t accounts_max, struct tkr_board *ret_board, tkr_message *ret_message);

/*
 * Takes over the board that is there, if it is whole, ours, of this boot, of this layout and for so many accounts: gateways and
 * what they hold stay with it (limit/layout.h). 1; 0: there is none such; -1 with the reason: there is, and cannot be mapped.
 */
int tkr_board_take_over(int runtime, uint32_t accounts_max, struct tkr_board *ret_board, tkr_message *ret_message);

/* The board that this collector serves. Zeroed until it is made. */
struct tkr_guarded_board {
    struct tkr_board board;
    atomic_bool given_up; /* set once, by whoever finds it cut; a flag: it orders nothing */
};

/*
 * Calls a function that touches cells, as tkr_guarded_call does. false: the board was given up, before, and then nothing was
 * called, or now, and then the function was left where it faulted. Any thread of the collector.
 */
bool tkr_guarded_board_call(struct tkr_guarded_board *guarded, void (*call)(void *argument), void *argument);

/* Reads when somebody last asked for an entry. false: the board was given up, before or now. Any thread of the collector. */
bool tkr_guarded_board_asked(struct tkr_guarded_board *guarded, uint32_t number, uint64_t *ret_asked_s);

/* Unmaps it; the files stay, and grow old. Accepts one that was never made. */
void tkr_board_unmap(struct tkr_board *board);

/* Another process: opens the board that is there for reading. 1; 0: there is none of this boot and layout; -1 with the reason. */
int tkr_board_open(int runtime, struct tkr_board *ret_board, tkr_message *ret_message);

#endif
