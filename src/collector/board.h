/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a board: made anew by each collector, allocated whole, and put in the place of the last collector's, which is
 * marked as retired first (limit/layout.h).
 */
#ifndef TKR_COLLECTOR_BOARD_H
#define TKR_COLLECTOR_BOARD_H

#include "base/settings.h"
#include "limit/board.h"

/* Makes a board for so many accounts in the runtime directory. 0, or -1 with the reason: then no gateway finds one. */
int tkr_board_make(int runtime, uint32_t entries_max, struct tkr_board *ret_board, tkr_message *ret_message);

/* Unmaps it; the files stay, and grow old. Accepts one that was never made. */
void tkr_board_unmap(struct tkr_board *board);

/* Another process: opens the board that is there for reading. 1; 0: there is none of this boot and layout; -1 with the reason. */
int tkr_board_open(int runtime, struct tkr_board *ret_board, tkr_message *ret_message);

#endif
