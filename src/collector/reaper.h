/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reaper: takes off the board's cells what no call holds any more, so that nobody waits for it (limit/hold.h has the
 * argument).
 *
 *   worker:    a batch is counted  -> its releases                -> what ended calls used is taken off: tkr_reaper_obey
 *              an owner is settled -> its slots                   -> what they held is given back: tkr_reaper_bury
 *   main:      each so often       -> slots of all regions        -> what they hold in which cell
 *                                  -> where all lanes stand then, and once the workers are there
 *                                                                 -> what an old cell has beyond it is taken off:
 *                                                                    tkr_reaper_sweep_*
 *
 * The first two are exact for calls whose hold was whole. The third mends what is left: of calls that a kill found half joined or
 * half gone, of additions that came late, and of releases that nobody obeyed: those that a killed collector had counted, and what
 * a gateway could not publish in time (producer/limits.c). Its rounds go by epochs: new calls are sent to the entry's other cell,
 * so that the old one only loses. A round in which some region or slot could not be seen ends nothing, and the next one tries
 * again; and so does one whose lanes are not drained, for as long as they are not.
 *
 * Who writes: epochs and the sweep, the collector's main thread; cells, besides, gateways and workers.
 *
 * Barrier pairs: none of its own. Begin changes epochs, then regions are listed and slots read (limit/layout.h P4, whose fence is
 * in tkr_sweep_begin): so a region that is not listed, or a slot that says nothing, can only begin with the new epoch. A gateway
 * publishes a release, then clears the slot (release); a slot is read (acquire), then the lanes' heads. A worker takes off what
 * releases say, then says how far it is (release); that is read (acquire) before the cells are looked at.
 *
 * What a kill leaves: a slot of the dead is cleared before what it held is taken off; a release is obeyed after its batch is
 * committed. So nothing is taken off twice, and what is not taken off is drift, which the next collector's rounds find.
 *
 * Slots are in regions, which their owners may cut, and are read as such (region/view.h). Of a board that was given up nothing is
 * touched (collector/board.h).
 */
#ifndef TKR_COLLECTOR_REAPER_H
#define TKR_COLLECTOR_REAPER_H

#include "base/settings.h"
#include "collector/board.h"
#include "collector/drain.h"
#include "region/view.h"

struct tkr_reaper;

/* The board, of so many accounts, stays the caller's and may be made later. 0, or -1 with the reason: no memory. */
int tkr_reaper_open(struct tkr_guarded_board *guarded, uint32_t accounts_max, struct tkr_reaper **ret_reaper,
                    tkr_message *ret_message);

/*
 * Before the rounds: if the board waits, since it has taken the place of another, nothing is published on it until a round finds
 * that no slot names another board, and the workers have counted what ended before that; or for a minute.
 */
void tkr_reaper_wait(struct tkr_reaper *reaper);

/* Accepts NULL. */
void tkr_reaper_close(struct tkr_reaper *reaper);

/* --- workers, each of its own regions; accept NULL: there is no board --- */

/* Obeys the releases of a batch that is committed, and counted on the board (tkr_keeper_count); then its lanes are that far. */
void tkr_reaper_obey(struct tkr_reaper *reaper, const struct tkr_drain *drain);

/* Gives back what the slots of a dead owner hold, whose lanes are drained and whose open calls are settled and counted. */
void tkr_reaper_bury(struct tkr_reaper *reaper, struct tkr_view *view);

/* --- the main thread; all accept NULL, which has no rounds --- */

/* Begins a round. false: it is not time yet, one waits, no cell has anything, or the board was given up; then there is none. */
bool tkr_reaper_sweep_begin(struct tkr_reaper *reaper);

/* In a round: sees the slots of a region that was listed after the begin. false: the round is not whole. */
bool tkr_reaper_sweep(struct tkr_reaper *reaper, const struct tkr_view *view);

/* All slots are seen; whole: each region was, and each answered true. Then it waits for the lanes. */
void tkr_reaper_sweep_wait(struct tkr_reaper *reaper, bool whole);

bool tkr_reaper_sweep_waits(const struct tkr_reaper *reaper);

/* Ends it: all that lanes had when the slots had been seen is obeyed. */
void tkr_reaper_sweep_end(struct tkr_reaper *reaper);

#endif
