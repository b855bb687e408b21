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

/* Why an entry waits whose record is missing, when it cannot be known whether its total is, too. */
extern const char tkr_settle_record_lost[];

/*
 * Acts on a chunk's answers. An acknowledgement is one only with the chunk's number: what the sink applied without taking the
 * number up, it could lose again without its number falling. So that goes out once more, in a chunk that follows the number
 * found, and is found applied. false: so it is. What is acknowledged is told.
 *
 * After the sink went back, a record that was acknowledged and is missing is lost, and its total with it, where the sink went
 * back to before its life. Else it is doubtful: it may have been deleted before, and its total be there. Those of a recheck are
 * left to the caller, in front of the parcel (parcel->doubtful); others leave the queues until the recheck comes to them.
 */
bool tkr_settle(struct tkr_parking *parking, struct tkr_told *told, struct tkr_parcel *parcel);

#endif
