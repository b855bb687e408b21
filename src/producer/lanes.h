/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The region's lanes as channels take them: one that is idle, else a new one, within the budget. A lane that its channel
 * leaves stays for the collector to drain and is then free for anyone.
 *
 * Locks: the caller holds live->mutex, and the channel's where that is shared.
 */
#ifndef TKR_PRODUCER_LANES_H
#define TKR_PRODUCER_LANES_H

#include <stdbool.h>
#include <stdint.h>

struct tkr_channel;
struct tkr_producer;

/* A lane for a channel that needs room: an idle one with room_min bytes, a new one of bytes_new, or any that takes a frame.
 * to_share: may be the last one. 0; TKR_EFULL, TKR_ENOSPC. */
int tkr_lane_obtain(struct tkr_producer *producer, uint64_t room_min, uint64_t bytes_new, bool to_share, uint32_t *ret_lane);

/* Puts the channel on a lane that nobody has; the one that it had is given back. */
void tkr_lane_attach(struct tkr_producer *producer, struct tkr_channel *channel, uint32_t lane);

/* Would a lane for one thread leave a lane, at least one still to be made, for the others to share? */
bool tkr_lane_to_spare(const struct tkr_producer *producer);

/* Size of the lane that the channel moves to when its own is full. */
uint64_t tkr_lane_bytes_next(const struct tkr_producer *producer, const struct tkr_channel *channel);

/* Is all drained that the channel has written to lanes that it has left? false: it is not, or that is not known. */
bool tkr_lanes_left_drained(struct tkr_channel *channel);

#endif
