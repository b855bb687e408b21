/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sink's answers to a chunk do: acknowledged, sent again, parked, or a new life.
 *
 * Threads: the flusher's alone.
 */
#ifndef TKR_COLLECTOR_SETTLE_H
#define TKR_COLLECTOR_SETTLE_H

#include "collector/parcel.h"
#include "collector/parking.h"
#include "collector/recorded.h"

/*
 * Acts on a chunk's answers. An acknowledgement is one only with the chunk's number: what the sink applied without taking the
 * number up, it could lose again without its number falling. So that goes out once more, in a chunk that follows the number
 * found, and is found applied. false: so it is. What has been acknowledged is told to recorded.
 */
bool tkr_settle(struct tkr_parking *parking, struct tkr_recorded *recorded, struct tkr_parcel *parcel);

#endif
