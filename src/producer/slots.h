/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which slots of the region hold no call. Any thread takes and gives, without a lock while there are some; a thread with a
 * channel of its own keeps one for its next call, which then costs it no atomic operation.
 */
#ifndef TKR_PRODUCER_SLOTS_H
#define TKR_PRODUCER_SLOTS_H

#include "producer/producer.h"

#define TKR_SLOTS_KEPT_PART 16u /* threads keep slots only where that is at most such a part of them */

/* Memory for the links of a region's free slots; a child has links of its own. 0; TKR_ENOMEM. */
int tkr_slots_map(struct tkr_live *live, uint32_t slots_max);

void tkr_slots_unmap(struct tkr_live *live, uint32_t slots_max);

/* As tkr_slot_take and tkr_slot_give, from and to all threads. */
int tkr_slot_take_any(struct tkr_producer *producer, uint32_t *ret_slot);
void tkr_slot_give_any(struct tkr_producer *producer, uint32_t slot);

/* The slot that the channel keeps goes back to all. */
void tkr_slot_give_kept(struct tkr_producer *producer, struct tkr_channel *channel);

/* A slot for a call, the caller's alone. channel is the thread's, or NULL. 0; TKR_ECALLS, TKR_ENOSPC. */
static inline int tkr_slot_take(struct tkr_producer *producer, struct tkr_channel *channel, uint32_t *ret_slot)
{
    if (channel == NULL || channel->slot == 0)
        return tkr_slot_take_any(producer, ret_slot);
    *ret_slot = channel->slot - 1;
    channel->slot = 0;
    return TKR_OK;
}

/* Gives back a slot whose call has ended. */
static inline void tkr_slot_give(struct tkr_producer *producer, struct tkr_channel *channel, uint32_t slot)
{
    if (channel == NULL || channel->shared || channel->slot != 0 ||
        producer->geometry.slots_max < TKR_CHANNELS_MAX * TKR_SLOTS_KEPT_PART)
        tkr_slot_give_any(producer, slot);
    else
        channel->slot = slot + 1;
}

#endif
