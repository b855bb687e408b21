/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reaper: takes off the board's cells what no living call holds, so that nobody waits for the dead (limit/hold.h has the
 * argument).
 *
 *   discovery: an owner died   -> its slots              -> what they held is given back, once: tkr_reaper_bury
 *              each so often   -> slots of all who live  -> what they hold in which cell
 *                                                        -> an old cell that has more is made that: tkr_reaper_sweep_*
 *
 * The first is exact for calls whose hold was whole. The second mends what is left: of calls that a kill found half joined or
 * half gone, and of additions that came late. Its rounds go by epochs: new calls are sent to the entry's other cell, so that
 * the old one only loses; what it has beyond what slots hold there is nobody's. A round in which some region or slot could not be
 * seen, or in which the cell changed, ends nothing, and the next one tries again.
 *
 * Who writes: epochs and all of the reaper, the collector's main thread; cells, besides, gateways.
 *
 * Barrier pairs: none of its own. Begin changes epochs, then regions are listed and slots read (limit/layout.h P4, whose fence is
 * in tkr_sweep_begin): so a region that is not listed, or a slot that says nothing, can only begin with the new epoch.
 *
 * Slots are in regions, which their owners may cut, and are read as such (region/view.h). Of a board that was given up nothing is
 * touched (collector/board.h). What a kill leaves: nothing, since the board goes with its collector.
 *
 * Threads: the collector's main thread, where discovery is.
 */
#ifndef TKR_COLLECTOR_REAPER_H
#define TKR_COLLECTOR_REAPER_H

#include "base/settings.h"
#include "collector/board.h"
#include "region/view.h"

struct tkr_reaper;

/* The board, of so many accounts, stays the caller's and may be made later. 0, or -1 with the reason: no memory. */
int tkr_reaper_open(struct tkr_guarded_board *guarded, uint32_t accounts_max, struct tkr_reaper **ret_reaper,
                    tkr_message *ret_message);

/* Accepts NULL. */
void tkr_reaper_close(struct tkr_reaper *reaper);

/* Gives back what the open calls of a dead owner held. Once for each. Accepts NULL. */
void tkr_reaper_bury(struct tkr_reaper *reaper, const struct tkr_view *view);

/*
 * A round. false: it is not time yet, no cell has anything, or the board was given up; then there is none. Accepts NULL, which
 * has none either.
 */
bool tkr_reaper_sweep_begin(struct tkr_reaper *reaper);

/* In a round: sees the slots of a living owner, whose region was listed after the begin. false: the round is not whole. */
bool tkr_reaper_sweep(struct tkr_reaper *reaper, const struct tkr_view *view);

/* Ends it. whole: each region of a living owner was seen, and each answered true. */
void tkr_reaper_sweep_end(struct tkr_reaper *reaper, bool whole);

#endif
