/* SPDX-License-Identifier: Apache-2.0 */
#include "region/call.h"

#include "base/crash.h"
#include "event/encode.h"

#define PHASE_BITS 8
#define PHASE_MASK UINT64_C(0xff)
#define GENERATION_MASK ((UINT32_C(1) << TKR_CALL_GENERATION_BITS) - 1)
#define SLOT_MASK ((UINT32_C(1) << TKR_CALL_SLOT_BITS) - 1)
#define IDENTITY_SHIFT (TKR_CALL_GENERATION_BITS + TKR_CALL_SLOT_BITS)
#define TOKEN_MASK ((UINT64_C(1) << TKR_CALL_TOKEN_BITS) - 1)

static uint64_t state_of(uint64_t generation, enum tkr_call_phase phase)
{
    return generation << PHASE_BITS | (uint64_t)phase;
}

bool tkr_call_handle_split(uint64_t handle, uint16_t identity, uint32_t slot_count, uint32_t *ret_slot, uint32_t *ret_generation)
{
    *ret_slot = (uint32_t)(handle >> TKR_CALL_GENERATION_BITS) & SLOT_MASK;
    *ret_generation = (uint32_t)handle & GENERATION_MASK;
    return handle >> IDENTITY_SHIFT == identity && *ret_slot < slot_count;
}

uint64_t tkr_call_slot_begin(struct tkr_call_slot *slot, uint32_t number, uint16_t identity, const tkr_start *start,
                             uint32_t cycle, int64_t start_ns)
{
    uint64_t generation = atomic_load_explicit(&slot->state, memory_order_relaxed) >> PHASE_BITS; /* ours alone */

    slot->head_bytes = (uint32_t)tkr_frame_head_bytes(start);
    slot->prompt_estimate = start->prompt_estimate > 0 ? start->prompt_estimate : 0;
    slot->reserve = start->reserve > 0 ? start->reserve : 0;
    tkr_frame_head_put(slot->frame, slot->head_bytes, start, cycle, start_ns);
    atomic_store_explicit(&slot->end_position, TKR_CALL_POSITION_NONE, memory_order_relaxed);
    atomic_store_explicit(&slot->streamed, generation << TKR_CALL_TOKEN_BITS, memory_order_relaxed);
    TKR_CRASH(CALL_WRITTEN);
    /* Identity before state (P1). */
    atomic_store_explicit(&slot->state, state_of(generation, TKR_CALL_OPEN), memory_order_release);
    TKR_CRASH(CALL_OPENED);
    return (uint64_t)identity << IDENTITY_SHIFT | (uint64_t)number << TKR_CALL_GENERATION_BITS | (generation & GENERATION_MASK);
}

/* Why a handle of this generation does not open the slot in this state: an earlier generation has ended, a later one, or a
 * slot that was never begun in this one, was never given out. */
static int refusal(uint64_t state, uint32_t generation)
{
    uint32_t age = ((uint32_t)(state >> PHASE_BITS) - generation) & GENERATION_MASK;

    if (age == 0)
        return (state & PHASE_MASK) == TKR_CALL_ENDING ? TKR_EENDED : TKR_EHANDLE;
    return age <= GENERATION_MASK / 2 ? TKR_EENDED : TKR_EHANDLE;
}

static bool opens(uint64_t state, uint32_t generation)
{
    return (state & PHASE_MASK) == TKR_CALL_OPEN && ((uint32_t)(state >> PHASE_BITS) & GENERATION_MASK) == generation;
}

int tkr_call_slot_progress(struct tkr_call_slot *slot, uint32_t generation, int64_t tokens)
{
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_acquire); /* streamed of this generation (P1) */
    uint64_t told = atomic_load_explicit(&slot->streamed, memory_order_relaxed);
    uint64_t next;

    if (!opens(state, generation))
        return refusal(state, generation);
    /* The generation within the word makes a late teller miss the slot's next call. */
    next = (state >> PHASE_BITS) << TKR_CALL_TOKEN_BITS | (uint64_t)tokens;
    do {
        if ((told & ~TOKEN_MASK) != (next & ~TOKEN_MASK))
            return TKR_EENDED;
        if (told >= next)
            return TKR_OK;
    } while (!atomic_compare_exchange_weak_explicit(&slot->streamed, &told, next, memory_order_relaxed, memory_order_relaxed));
    return TKR_OK;
}

int tkr_call_slot_claim(struct tkr_call_slot *slot, uint32_t generation)
{
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);

    do {
        if (!opens(state, generation))
            return refusal(state, generation);
    } while (!atomic_compare_exchange_weak_explicit(&slot->state, &state, state_of(state >> PHASE_BITS, TKR_CALL_ENDING),
                                                    memory_order_acquire, /* pairs with begin's release (P1) */
                                                    memory_order_relaxed));
    return TKR_OK;
}

void tkr_call_slot_note(struct tkr_call_slot *slot, uint32_t lane, uint64_t position)
{
    atomic_store_explicit(&slot->end_lane, lane, memory_order_relaxed);
    atomic_store_explicit(&slot->end_position, position, memory_order_release); /* lane before position, for a kill */
    TKR_CRASH(CALL_NOTED);
}

void tkr_call_slot_free(struct tkr_call_slot *slot)
{
    uint64_t generation = atomic_load_explicit(&slot->state, memory_order_relaxed) >> PHASE_BITS; /* claimed: ours */

    TKR_CRASH(CALL_PUBLISHED);
    atomic_store_explicit(&slot->state, state_of(generation + 1, TKR_CALL_FREE), memory_order_release); /* P2 */
    TKR_CRASH(CALL_FREED);
}

bool tkr_call_slot_open(const struct tkr_call_slot *slot)
{
    return (atomic_load_explicit(&slot->state, memory_order_relaxed) & PHASE_MASK) != TKR_CALL_FREE;
}

bool tkr_call_slot_ending(const struct tkr_call_slot *slot)
{
    return (atomic_load_explicit(&slot->state, memory_order_relaxed) & PHASE_MASK) == TKR_CALL_ENDING;
}

int64_t tkr_call_slot_streamed(const struct tkr_call_slot *slot)
{
    return (int64_t)(atomic_load_explicit(&slot->streamed, memory_order_relaxed) & TOKEN_MASK);
}
