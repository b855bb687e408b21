/* SPDX-License-Identifier: Apache-2.0 */
#include "region/call.h"

#include "event/encode.h"

#define TOKEN_MASK ((UINT64_C(1) << TKR_CALL_TOKEN_BITS) - 1)

uint64_t tkr_call_slot_begin(struct tkr_call_slot *slot, uint32_t number, uint16_t identity, const tkr_start *start,
                             uint32_t cycle, int64_t start_ns, uint64_t begun)
{
    slot->head_bytes = (uint32_t)tkr_frame_head_bytes(start);
    tkr_frame_head_put(slot->frame, slot->head_bytes, start, cycle, start_ns);
    ((struct tkr_frame_header *)slot->frame)->sequence = begun;
    return tkr_call_slot_begin_written(slot, number, identity, start);
}

/* An earlier generation has ended; a later one, or a slot that was never begun in this one, was never given out. */
int tkr_call_refusal(uint64_t state, uint32_t generation)
{
    uint32_t age = ((uint32_t)(state >> TKR_CALL_PHASE_BITS) - generation) & TKR_CALL_GENERATION_MASK;

    if (age == 0)
        return (state & TKR_CALL_PHASE_MASK) == TKR_CALL_ENDING ? TKR_EENDED : TKR_EHANDLE;
    return age <= TKR_CALL_GENERATION_MASK / 2 ? TKR_EENDED : TKR_EHANDLE;
}

int tkr_call_slot_progress(struct tkr_call_slot *slot, uint32_t generation, int64_t tokens)
{
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_acquire); /* streamed of this generation (P1) */
    uint64_t told = atomic_load_explicit(&slot->streamed, memory_order_relaxed);
    uint64_t next;

    if (!tkr_call_opens(state, generation))
        return tkr_call_refusal(state, generation);
    /* The generation within the word makes a late teller miss the slot's next call. */
    next = (state >> TKR_CALL_PHASE_BITS) << TKR_CALL_TOKEN_BITS | (uint64_t)tokens;
    do {
        if ((told & ~TOKEN_MASK) != (next & ~TOKEN_MASK))
            return TKR_EENDED;
        if (told >= next)
            return TKR_OK;
    } while (!atomic_compare_exchange_weak_explicit(&slot->streamed, &told, next, memory_order_relaxed, memory_order_relaxed));
    return TKR_OK;
}

bool tkr_call_slot_open(const struct tkr_call_slot *slot)
{
    return (atomic_load_explicit(&slot->state, memory_order_relaxed) & TKR_CALL_PHASE_MASK) != TKR_CALL_FREE;
}

bool tkr_call_slot_ending(const struct tkr_call_slot *slot)
{
    return (atomic_load_explicit(&slot->state, memory_order_relaxed) & TKR_CALL_PHASE_MASK) == TKR_CALL_ENDING;
}

int64_t tkr_call_slot_streamed(const struct tkr_call_slot *slot)
{
    return (int64_t)(atomic_load_explicit(&slot->streamed, memory_order_relaxed) & TOKEN_MASK);
}
