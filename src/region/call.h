/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open calls: slots in a region, over borrowed memory. What the collector needs to settle a call whose process died.
 *
 *   state = generation << 8 | phase
 *
 *     FREE --begin--> OPEN --end wins the CAS--> ENDING --frame published--> FREE, generation + 1
 *
 * Who writes: the process that owns the region; begin has the slot alone (it was popped from a free list), enders race with
 * a CAS on state, progress with a CAS on streamed. The collector reads a slot only after the process is dead.
 *
 * Invariants
 *   I1  phase is OPEN or ENDING  =>  head, estimates and frame are whole and do not change.
 *   I2  end_position is NONE from before OPEN until the ender that won notes where its frame will end.
 *   I3  a call has ended  <=>  ENDING, end_position is noted, and the head of lane end_lane has reached it;
 *       or the slot is FREE or of a later generation.
 *
 * Barrier pairs
 *   P1  state OPEN: identity before state; release, pairs with the ender's acquire. Without it an ender on another thread
 *       could copy the identity of the call before.
 *   P2  state FREE: all reads of the slot before it is given back; release, pairs with the acquire of the free list's pop.
 *   A kill needs no fence: a dead process leaves a prefix of its program order, and the compiler keeps the order of these
 *   atomic stores (the note is stored before the release of the lane's head).
 *
 * What a kill leaves: before OPEN, a call that never began; OPEN, an open call; ENDING without a note or with a note that
 * the lane did not reach, an open call; with a note that it reached, an ended one.
 *
 * How long a call took is measured by the process that began it, by a clock that does not step: the open frame's sequence is when
 * the call began, by CLOCK_MONOTONIC, its bit 0 clear; or 1 where the caller told a start. No other process reads it, so minor
 * 2.2 and older, which have 0 there, are not misread.
 *
 * A handle is identity << 48 | slot << 28 | generation (28 bits): identity is a non-zero number that begins at random and
 * differs between all regions that a process and its forked ancestors opened (of the last 65535).
 */
#ifndef TKR_REGION_CALL_H
#define TKR_REGION_CALL_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/crash.h"
#include "event/frame.h"

#define TKR_CALL_SLOT_BYTES 1536u
#define TKR_CALL_POSITION_NONE UINT64_MAX
#define TKR_CALL_GENERATION_BITS 28
#define TKR_CALL_SLOT_BITS 20
#define TKR_CALL_TOKEN_BITS 41 /* 0..2^40 */
#define TKR_CALL_START_TOLD 1u /* bit of the open frame's sequence */

enum tkr_call_phase { TKR_CALL_FREE = 0, TKR_CALL_OPEN = 1, TKR_CALL_ENDING = 2 };

struct tkr_call_slot {
    alignas(64) _Atomic uint64_t state;
    _Atomic uint64_t streamed; /* low bits of the generation << 41 | completion tokens told so far */
    _Atomic uint64_t end_position;
    _Atomic uint32_t end_lane;
    uint32_t head_bytes;        /* of frame */
    int64_t prompt_estimate;    /* tokens, 0: none */
    int64_t reserve;            /* tokens, 0: none */
    _Atomic uint64_t hold;      /* what it holds against limits (limit/hold.h), whatever the phase; 0: nothing */
    _Atomic uint64_t hold_more; /* the same, its second word */
    unsigned char frame[TKR_CALL_SLOT_BYTES - 64]; /* an open frame: header and identity */
};
_Static_assert(sizeof(struct tkr_call_slot) == TKR_CALL_SLOT_BYTES, "slots have no holes");
_Static_assert(TKR_FRAME_HEAD_BYTES_MAX <= TKR_CALL_SLOT_BYTES - 64, "the longest identity fits a slot");

#define TKR_CALL_PHASE_BITS 8
#define TKR_CALL_PHASE_MASK UINT64_C(0xff)
#define TKR_CALL_GENERATION_MASK ((UINT32_C(1) << TKR_CALL_GENERATION_BITS) - 1)
#define TKR_CALL_SLOT_MASK ((UINT32_C(1) << TKR_CALL_SLOT_BITS) - 1)
#define TKR_CALL_IDENTITY_SHIFT (TKR_CALL_GENERATION_BITS + TKR_CALL_SLOT_BITS)

static inline uint64_t tkr_call_state(uint64_t generation, enum tkr_call_phase phase)
{
    return generation << TKR_CALL_PHASE_BITS | (uint64_t)phase;
}

/* Slot number and generation of a handle, checked against the region's identity and the slots in use; false: not ours. */
static inline bool tkr_call_handle_split(uint64_t handle, uint16_t identity, uint32_t slot_count, uint32_t *ret_slot,
                                         uint32_t *ret_generation)
{
    *ret_slot = (uint32_t)(handle >> TKR_CALL_GENERATION_BITS) & TKR_CALL_SLOT_MASK;
    *ret_generation = (uint32_t)handle & TKR_CALL_GENERATION_MASK;
    return handle >> TKR_CALL_IDENTITY_SHIFT == identity && *ret_slot < slot_count;
}

/*
 * Begins a call in a slot that is FREE and the caller's alone, whose frame and head_bytes the caller has written: an open frame
 * (event/encode.h). Returns the handle.
 */
static inline uint64_t tkr_call_slot_begin_written(struct tkr_call_slot *slot, uint32_t number, uint16_t identity,
                                                   const tkr_start *start)
{
    uint64_t generation = atomic_load_explicit(&slot->state, memory_order_relaxed) >> TKR_CALL_PHASE_BITS; /* ours alone */

    slot->prompt_estimate = start->prompt_estimate > 0 ? start->prompt_estimate : 0;
    slot->reserve = start->reserve > 0 ? start->reserve : 0;
    atomic_store_explicit(&slot->end_position, TKR_CALL_POSITION_NONE, memory_order_relaxed);
    atomic_store_explicit(&slot->streamed, generation << TKR_CALL_TOKEN_BITS, memory_order_relaxed);
    TKR_CRASH(CALL_WRITTEN);
    /* Identity before state (P1). */
    atomic_store_explicit(&slot->state, tkr_call_state(generation, TKR_CALL_OPEN), memory_order_release);
    TKR_CRASH(CALL_OPENED);
    return (uint64_t)identity << TKR_CALL_IDENTITY_SHIFT | (uint64_t)number << TKR_CALL_GENERATION_BITS |
           (generation & TKR_CALL_GENERATION_MASK);
}

/* The same, writing the frame, whose sequence becomes `begun` (above). start is valid. */
uint64_t tkr_call_slot_begin(struct tkr_call_slot *slot, uint32_t number, uint16_t identity, const tkr_start *start,
                             uint32_t cycle, int64_t start_ns, uint64_t begun);

/* Is the call of this generation open, by the slot's state? */
static inline bool tkr_call_opens(uint64_t state, uint32_t generation)
{
    return (state & TKR_CALL_PHASE_MASK) == TKR_CALL_OPEN &&
           ((uint32_t)(state >> TKR_CALL_PHASE_BITS) & TKR_CALL_GENERATION_MASK) == generation;
}

/* Why it is not: TKR_EENDED or TKR_EHANDLE. */
int tkr_call_refusal(uint64_t state, uint32_t generation);

/* Raises the tokens streamed. 0, TKR_EENDED or TKR_EHANDLE. */
int tkr_call_slot_progress(struct tkr_call_slot *slot, uint32_t generation, int64_t tokens);

/* Wins or loses the right to end the call. 0 (then tkr_call_slot_free must follow), TKR_EENDED or TKR_EHANDLE. */
static inline int tkr_call_slot_claim(struct tkr_call_slot *slot, uint32_t generation)
{
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);

    do {
        if (!tkr_call_opens(state, generation))
            return tkr_call_refusal(state, generation);
    } while (!atomic_compare_exchange_weak_explicit(&slot->state, &state,
                                                    tkr_call_state(state >> TKR_CALL_PHASE_BITS, TKR_CALL_ENDING),
                                                    memory_order_acquire, /* pairs with begin's release (P1) */
                                                    memory_order_relaxed));
    return TKR_OK;
}

/* Notes, before the frame is published, where it will end (I3). */
static inline void tkr_call_slot_note(struct tkr_call_slot *slot, uint32_t lane, uint64_t position)
{
    atomic_store_explicit(&slot->end_lane, lane, memory_order_relaxed);
    atomic_store_explicit(&slot->end_position, position, memory_order_release); /* lane before position, for a kill */
    TKR_CRASH(CALL_NOTED);
}

/* Gives a claimed slot back; the generation moves on. */
static inline void tkr_call_slot_free(struct tkr_call_slot *slot)
{
    uint64_t generation = atomic_load_explicit(&slot->state, memory_order_relaxed) >> TKR_CALL_PHASE_BITS; /* claimed: ours */

    TKR_CRASH(CALL_PUBLISHED);
    atomic_store_explicit(&slot->state, tkr_call_state(generation + 1, TKR_CALL_FREE), memory_order_release); /* P2 */
    TKR_CRASH(CALL_FREED);
}

/* Has begun and not ended, as its phase says: for counting in a living process. */
bool tkr_call_slot_open(const struct tkr_call_slot *slot);

/* Has an ender that won, whose frame may or may not have been published. */
bool tkr_call_slot_ending(const struct tkr_call_slot *slot);

/* Completion tokens streamed, of a slot that nobody changes. */
int64_t tkr_call_slot_streamed(const struct tkr_call_slot *slot);

#endif
