/* SPDX-License-Identifier: Apache-2.0 */
/* Which slots of the region hold no call. Any thread takes and gives, without a lock while there are some. */
#ifndef TKR_PRODUCER_SLOTS_H
#define TKR_PRODUCER_SLOTS_H

#include <stdint.h>

struct tkr_live;
struct tkr_producer;

/* Memory for the links of a region's free slots; a child has links of its own. 0; TKR_ENOMEM. */
int tkr_slots_map(struct tkr_live *live, uint32_t slots_max);

void tkr_slots_unmap(struct tkr_live *live, uint32_t slots_max);

/* A slot for a call, the caller's alone. 0; TKR_ECALLS, TKR_ENOSPC. */
int tkr_slot_take(struct tkr_producer *producer, uint32_t *ret_slot);

/* Gives back a slot whose call has ended. */
void tkr_slot_give(struct tkr_producer *producer, uint32_t slot);

#endif
