/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A frame: one event of a call's life as it lies in a lane, complete in itself. Nothing ever joins two frames.
 *
 * Numbers are in the host's byte order (a lane never leaves its host), frames are aligned to 8 bytes.
 *
 *   offset  bytes
 *        0      2  bytes of the frame, a multiple of 8, this field included
 *        2      2  offset of the values, a multiple of 8 (0 in padding)
 *        4      1  type: 1 padding, 2 usage, 3 open (a call's slot only, never in a lane), 4 increment, 5 notice, 6 watch,
 *                  7 release
 *        5      1  flags: 1 values are 8 bytes wide, else 4; 2 call id and attempt are there
 *        6      2  which values are there: bit i
 *        8      8  sequence: 1, 2, 3, ... over the usage and increment frames of one lane   (padding ends before this);
 *                  of an open frame: when its call began, CLOCK_MONOTONIC in ns, for its own process alone; 1 where the caller
 *                  told the start (region/call.h)
 *       16      8  start of the call, Unix ns
 *       24      4  cycle, yyyymmdd
 *       28      1  accounts, 1..4
 *       29      1  error: 0, or TKR_ERROR_*
 *       30      1  bytes of the model's name
 *       31      1  bytes of the provider's name
 *       32         accounts: { 1: bytes of the id, 1: 1 when a kind follows, 8: the kind, id }
 *                  model, provider, [16: call id, 4: attempt], zeros up to the offset of the values
 *                  values in the order of their bits, zeros up to the end
 *
 * Value bits: 0..14 increments of the counters of base/counters.def, where calls and errors are implied by the type and
 * by error and never there, and duration is in microseconds; 15 time to the first token, microseconds. A value of 0 is
 * left out.
 *
 * A release, 32 bytes, has only the first 8 of these, zeros but bytes and type, and behind them what a call held against limits
 * (limit/hold.h): 8: the slot's word, 8: its second word, 8: tokens. It follows the usage frame of its call in the same lane, and
 * a collector obeys it when that is counted.
 *
 * Written by event/encode.h. A reader copies a frame out of shared memory before it decodes: tkr_frame_decode trusts nothing
 * but its arguments.
 */
#ifndef TKR_EVENT_FRAME_H
#define TKR_EVENT_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/counters.h"
#include "event/contradictions.h"
#include "tokenring/tokenring.h"

enum tkr_frame_type {
    TKR_FRAME_PADDING = 1,
    TKR_FRAME_USAGE = 2,     /* a call that has ended */
    TKR_FRAME_OPEN = 3,      /* one that has begun; in its slot only, never in a lane */
    TKR_FRAME_INCREMENT = 4, /* figures that are no call */
    TKR_FRAME_NOTICE = 5,    /* something for the collector to log and to count; nothing is charged */
    TKR_FRAME_WATCH = 6,     /* somebody asks for the limit of its account and cycle; nothing is charged */
    TKR_FRAME_RELEASE = 7    /* what a call held against limits is to be given back; nothing is charged */
};

/* Values of a watch: when its cycle ends, Unix time in seconds, and which cycle follows, yyyymmdd. Older gateways tell neither.
 * */
#define TKR_WATCH_END_S TKR_COUNTER_PROMPT
#define TKR_WATCH_NEXT TKR_COUNTER_COMPLETION

/* What a notice is about: its error. Its model is the type of the handler. */
enum tkr_notice {
    TKR_NOTICE_FAILED = 1,    /* a handler failed; value of TKR_COUNTER_PROMPT: its TKR_E*, its sign turned, or OWN_ANSWER */
    TKR_NOTICE_SLOW = 2,      /* a call took longer than the threshold: its duration */
    TKR_NOTICE_CORRECTED = 3, /* a figure below zero counts as 0; value of TKR_COUNTER_PROMPT: how many since the last notice */
    TKR_NOTICE_USAGE_MISSING = 4, /* a call ended without usage */
    TKR_NOTICE_DROPPED = 5,       /* an asynchronous handler's queue was full, or it hung; value as of CORRECTED */
    TKR_NOTICE_UNMATCHED = 6,     /* an end without a start, a second end, a second start */
    TKR_NOTICE_CONTRADICTORY = 7, /* and above, one for each of event/contradictions.def; value as of CORRECTED */
    TKR_NOTICE_COUNT = TKR_NOTICE_CONTRADICTORY + TKR_CONTRADICTIONS
};
#define TKR_NOTICE_OWN_ANSWER (INT64_C(1) << 32) /* plus what a handler of one's own answered, as 32 bits */

#define TKR_FRAME_ALIGN 8u
#define TKR_FRAME_HEADER_BYTES 32u
#define TKR_VALUE_FIRST_TOKEN_US 15
#define TKR_VALUE_COUNT 16
#define TKR_FRAME_ROUND(n) (((n) + TKR_FRAME_ALIGN - 1) & ~(size_t)(TKR_FRAME_ALIGN - 1))
#define TKR_FRAME_HEAD_BYTES_MAX                                                                                   \
    TKR_FRAME_ROUND(TKR_FRAME_HEADER_BYTES + TKR_ACCOUNTS_MAX * (2 + 8 + TKR_ID_BYTES_MAX) + TKR_MODEL_BYTES_MAX + \
                    TKR_PROVIDER_BYTES_MAX + 16 + 4)
#define TKR_FRAME_BYTES_MAX (TKR_FRAME_HEAD_BYTES_MAX + TKR_VALUE_COUNT * 8)
#define TKR_FRAME_RELEASE_BYTES 32u
#define TKR_FRAME_PAIR_BYTES_MAX (TKR_FRAME_BYTES_MAX + TKR_FRAME_RELEASE_BYTES) /* a call's end and its release, at once */

/* Is it charged, and numbered? Else there is nothing in it for an account. */
static inline bool tkr_frame_type_charges(enum tkr_frame_type type)
{
    return type == TKR_FRAME_USAGE || type == TKR_FRAME_INCREMENT;
}

/* The first 32 bytes of every frame but padding, which has only the first 8. */
struct tkr_frame_header {
    uint16_t bytes;
    uint16_t values_offset;
    uint8_t type;
    uint8_t flags;
    uint16_t values;
    uint64_t sequence;
    int64_t start_ns;
    uint32_t cycle;
    uint8_t account_count;
    uint8_t error;
    uint8_t model_len;
    uint8_t provider_len;
};
_Static_assert(sizeof(struct tkr_frame_header) == TKR_FRAME_HEADER_BYTES, "the frame's header has no holes");

/* What a call held, as its slot had it, and how much of it is left to be given back. */
struct tkr_frame_release {
    uint64_t word;
    uint64_t more;
    int64_t tokens; /* 0..TKR_TOKENS_MAX */
};

/* Bits to shift a number of so many bytes by, for its place at this offset in a word of 8 bytes of the header. */
#define TKR_FRAME_SHIFT(offset, bytes) \
    (8 * (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? (offset) % 8 : 8 - (offset) % 8 - (bytes)))

/* What a call used, packed: values in the order of their bits, none of them 0. */
struct tkr_frame_values {
    int64_t value[TKR_VALUE_COUNT];
    uint32_t count;
    uint16_t present;
    uint8_t error;
    int64_t any; /* all values or'ed: do they fit 32 bits? */
};

#define TKR_FRAME_WIDE 1u
#define TKR_FRAME_CALL_ID 2u
#define TKR_CALL_ID_BYTES 16u

/* A decoded frame. Pointers lead into the bytes that were decoded. */
struct tkr_event {
    enum tkr_frame_type type;
    uint64_t sequence;
    int64_t start_ns;
    uint32_t cycle;
    uint32_t account_count;
    tkr_account account[TKR_ACCOUNTS_MAX];
    const char *model;
    const char *provider;
    uint32_t model_len;
    uint32_t provider_len;
    const uint8_t *call_id; /* 16 bytes, or NULL */
    uint32_t attempt;
    struct tkr_frame_values values;
    struct tkr_frame_release release; /* of TKR_FRAME_RELEASE, which has nothing else */
};

/*
 * Reads the length of the frame that begins at bytes[0..available). 0: not a frame, or it does not fit.
 * Needs 8 bytes. Pure.
 */
size_t tkr_frame_length(const void *bytes, size_t available);

/*
 * Decodes and checks a frame of exactly length bytes (from tkr_frame_length) that nobody else can change.
 * false: it breaks the format or one of the API's ranges; then ret_event is undefined. A type that this version does not
 * know is true with only the type set: skip it. Pure.
 */
bool tkr_frame_decode(const void *bytes, size_t length, struct tkr_event *ret_event);

/*
 * Adds what an event counts to a vector: its values; one call, unless it is an increment, and one error if that failed; duration
 * in rounded milliseconds. The sums stay in range as a call's ranges are bounded and the vector starts from 0.
 */
void tkr_event_counts(const struct tkr_event *event, tkr_counts *ret_counts);

#endif
