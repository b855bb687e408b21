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
 * A handle is identity << 48 | slot << 28 | generation (28 bits): identity is a non-zero number that begins at random and
 * differs between all regions that a process and its forked ancestors opened (of the last 65535).
 */
#ifndef TKR_REGION_CALL_H
#define TKR_REGION_CALL_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "event/frame.h"

#define TKR_CALL_SLOT_BYTES 1536u
#define TKR_CALL_POSITION_NONE UINT64_MAX
#define TKR_CALL_GENERATION_BITS 28
#define TKR_CALL_SLOT_BITS 20
#define TKR_CALL_TOKEN_BITS 41 /* 0..2^40 */

enum tkr_call_phase { TKR_CALL_FREE = 0, TKR_CALL_OPEN = 1, TKR_CALL_ENDING = 2 };

struct tkr_call_slot {
    alignas(64) _Atomic uint64_t state;
    _Atomic uint64_t streamed; /* low bits of the generation << 41 | completion tokens told so far */
    _Atomic uint64_t end_position;
    _Atomic uint32_t end_lane;
    uint32_t head_bytes;     /* of frame */
    int64_t prompt_estimate; /* tokens, 0: none */
    int64_t reserve;         /* tokens, 0: none */
    uint64_t reserved[2];
    unsigned char frame[TKR_CALL_SLOT_BYTES - 64]; /* an open frame: header and identity */
};
_Static_assert(sizeof(struct tkr_call_slot) == TKR_CALL_SLOT_BYTES, "slots have no holes");
_Static_assert(TKR_FRAME_HEAD_BYTES_MAX <= TKR_CALL_SLOT_BYTES - 64, "the longest identity fits a slot");

/* Slot number and generation of a handle, checked against the region's identity and the slots in use; false: not ours. */
bool tkr_call_handle_split(uint64_t handle, uint16_t identity, uint32_t slot_count, uint32_t *ret_slot, uint32_t *ret_generation);

/* Begins a call in a slot that is FREE and the caller's alone. start is valid. Returns the handle. */
uint64_t tkr_call_slot_begin(struct tkr_call_slot *slot, uint32_t number, uint16_t identity, const tkr_start *start,
                             uint32_t cycle, int64_t start_ns);

/* Raises the tokens streamed. 0, TKR_EENDED or TKR_EHANDLE. */
int tkr_call_slot_progress(struct tkr_call_slot *slot, uint32_t generation, int64_t tokens);

/* Wins or loses the right to end the call. 0 (then tkr_call_slot_free must follow), TKR_EENDED or TKR_EHANDLE. */
int tkr_call_slot_claim(struct tkr_call_slot *slot, uint32_t generation);

/* Notes, before the frame is published, where it will end (I3). */
void tkr_call_slot_note(struct tkr_call_slot *slot, uint32_t lane, uint64_t position);

/* Gives a claimed slot back; the generation moves on. */
void tkr_call_slot_free(struct tkr_call_slot *slot);

/* Has begun and not ended, as its phase says: for counting in a living process. */
bool tkr_call_slot_open(const struct tkr_call_slot *slot);

/* Has an ender that won, whose frame may or may not have been published. */
bool tkr_call_slot_ending(const struct tkr_call_slot *slot);

/* Completion tokens streamed, of a slot that nobody changes. */
int64_t tkr_call_slot_streamed(const struct tkr_call_slot *slot);

#endif
