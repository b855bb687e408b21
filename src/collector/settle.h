/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sink's answers to a chunk do: acknowledged, sent again, parked, or a new life.
 *
 * Threads: the flusher's alone.
 */
#ifndef TKR_COLLECTOR_SETTLE_H
#define TKR_COLLECTOR_SETTLE_H

#include "collector/monitor.h"
#include "collector/parcel.h"
#include "collector/parking.h"
#include "collector/recorded.h"

/* Who is told what the sink has acknowledged. */
struct tkr_told {
    struct tkr_monitor *monitor;  /* NULL: nobody */
    struct tkr_recorded recorded; /* zeroed: nobody wants it */
};

/*
 * Acts on a chunk's answers. An acknowledgement is one only with the chunk's number: what the sink applied without taking the
 * number up, it could lose again without its number falling. So that goes out once more, in a chunk that follows the number
 * found, and is found applied. false: so it is. What is acknowledged is told.
 */
bool tkr_settle(struct tkr_parking *parking, struct tkr_told *told, struct tkr_parcel *parcel);

#endif
