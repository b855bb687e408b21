/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing frames (event/frame.h has the format). Inline: it is the half of every recorded call that is not checking. Two steps,
 * as an open call writes its head when it begins and its values when it ends:
 *
 *     head_bytes = tkr_frame_head_bytes(start)              header and identity: accounts, model, provider, call id
 *     tkr_frame_head_put(frame, head_bytes, start, ...)     an open frame without values; its sequence is 0
 *     tkr_frame_finish(frame, head_bytes, values, sequence) a usage frame of tkr_frame_bytes(head_bytes, values)
 */
#ifndef TKR_EVENT_ENCODE_H
#define TKR_EVENT_ENCODE_H

#include <string.h>

#include "base/account.h"
#include "event/frame.h"

static inline void tkr_frame_values_init(struct tkr_frame_values *values, uint8_t error)
{
    values->count = 0;
    values->present = 0;
    values->error = error;
    values->any = 0;
}

/* Adds a value; value is not negative, bits come in ascending order. */
static inline void tkr_frame_value_add(struct tkr_frame_values *values, unsigned bit, int64_t value)
{
    if (value == 0)
        return;
    values->value[values->count++] = value;
    values->present |= (uint16_t)(1u << bit);
    values->any |= value;
}

/* Does some value need more than 32 bits? */
static inline bool tkr_frame_values_wide(const struct tkr_frame_values *values)
{
    return values->any > (int64_t)UINT32_MAX;
}

static inline bool tkr_start_has_call_id(const tkr_start *start)
{
    uint64_t half[2];

    memcpy(half, start->call_id, sizeof(half));
    return (half[0] | half[1] | start->attempt) != 0;
}

/* Bytes of header and identity: where the values begin. start is valid. */
static inline size_t tkr_frame_head_bytes(const tkr_start *start)
{
    size_t bytes = TKR_FRAME_HEADER_BYTES + start->model_len + start->provider_len;

    for (uint32_t i = 0; i < start->account_count; i++)
        bytes += 2 + (start->account[i].kind != TKR_KIND_USER ? sizeof(uint64_t) : 0) + start->account[i].len;
    if (tkr_start_has_call_id(start))
        bytes += TKR_CALL_ID_BYTES + sizeof(start->attempt);
    return TKR_FRAME_ROUND(bytes);
}

/* Bytes of the whole frame with these values after a head of head_bytes. */
static inline size_t tkr_frame_bytes(size_t head_bytes, const struct tkr_frame_values *values)
{
    return TKR_FRAME_ROUND(head_bytes + values->count * (tkr_frame_values_wide(values) ? 8u : 4u));
}

static inline unsigned char *tkr_frame_put(unsigned char *at, const void *bytes, size_t count)
{
    if (count > 0)
        memcpy(at, bytes, count);
    return at + count;
}

/* Copies an id of at least 16 bytes and looks at it on the way: false when it has a control character. Blocks of 16, of which the
 * last overlaps the one before, cost less than two calls. */
#define TKR_SHORT_ID_BYTES 16u
static inline bool tkr_frame_put_clean(unsigned char *at, const char *id, size_t len)
{
    tkr_bytes16 block = tkr_bytes16_load(id + len - sizeof(block));
    tkr_bytes16 bad = tkr_control_bytes(block);

    memcpy(at + len - sizeof(block), &block, sizeof(block));
    for (; len > sizeof(block); len -= sizeof(block), id += sizeof(block), at += sizeof(block)) {
        block = tkr_bytes16_load(id);
        bad |= tkr_control_bytes(block);
        memcpy(at, &block, sizeof(block));
    }
    return !tkr_bytes16_any(bad);
}

/* The same for shorter ones: two words that overlap where there are 8 bytes. */
static inline bool tkr_frame_put_clean_short(unsigned char *at, const char *id, size_t len)
{
    uint64_t first;
    uint64_t last;

    if (len < sizeof(first)) {
        for (size_t i = 0; i < len; i++)
            at[i] = (unsigned char)id[i];
        return tkr_text_clean_short(id, len);
    }
    memcpy(&first, id, sizeof(first));
    memcpy(&last, id + len - sizeof(last), sizeof(last));
    memcpy(at, &first, sizeof(first));
    memcpy(at + len - sizeof(last), &last, sizeof(last));
    return (tkr_control_bytes8(first) | tkr_control_bytes8(last)) == 0;
}

static inline unsigned char *tkr_frame_put_account(unsigned char *at, const tkr_account *account)
{
    *at++ = (unsigned char)account->len;
    *at++ = account->kind != TKR_KIND_USER;
    if (account->kind != TKR_KIND_USER)
        at = tkr_frame_put(at, &account->kind, sizeof(account->kind));
    if (account->len < TKR_SHORT_ID_BYTES)
        return tkr_frame_put(at, account->id, account->len);
    (void)tkr_frame_put_clean(at, account->id, account->len); /* its answer is known, and costs nothing where nobody asks */
    return at + account->len;
}

/* Writes the identity behind the header, zeros up to head_bytes. Returns the header's flags. */
static inline uint8_t tkr_frame_put_identity(void *frame, size_t head_bytes, const tkr_start *start)
{
    unsigned char *at = (unsigned char *)frame + TKR_FRAME_HEADER_BYTES;

    memset((unsigned char *)frame + head_bytes - TKR_FRAME_ALIGN, 0, TKR_FRAME_ALIGN);
    for (uint32_t i = 0; i < start->account_count; i++)
        at = tkr_frame_put_account(at, &start->account[i]);
    at = tkr_frame_put(at, start->model, start->model_len);
    at = tkr_frame_put(at, start->provider, start->provider_len);
    if (!tkr_start_has_call_id(start))
        return 0;
    at = tkr_frame_put(at, start->call_id, TKR_CALL_ID_BYTES);
    (void)tkr_frame_put(at, &start->attempt, sizeof(start->attempt));
    return TKR_FRAME_CALL_ID;
}

/* Writes header and identity, as an open frame without values, into head_bytes = tkr_frame_head_bytes(start) bytes. */
static inline void tkr_frame_head_put(void *frame, size_t head_bytes, const tkr_start *start, uint32_t cycle, int64_t start_ns)
{
    struct tkr_frame_header *header = frame;
    uint8_t flags = tkr_frame_put_identity(frame, head_bytes, start);

    header->bytes = (uint16_t)head_bytes;
    header->values_offset = (uint16_t)head_bytes;
    header->type = TKR_FRAME_OPEN;
    header->flags = flags;
    header->values = 0;
    header->sequence = 0;
    header->start_ns = start_ns;
    header->cycle = cycle;
    header->account_count = (uint8_t)start->account_count;
    header->error = 0;
    header->model_len = (uint8_t)start->model_len;
    header->provider_len = (uint8_t)start->provider_len;
}

/* Makes a frame of this type of a head: adds values and sequence. frame has tkr_frame_bytes(head_bytes, values) bytes. */
static inline void tkr_frame_finish_as(void *frame, size_t head_bytes, enum tkr_frame_type type,
                                       const struct tkr_frame_values *values, uint64_t sequence)
{
    struct tkr_frame_header *header = frame;
    unsigned char *at = (unsigned char *)frame + head_bytes;
    size_t bytes = tkr_frame_bytes(head_bytes, values);

    header->bytes = (uint16_t)bytes;
    header->type = (uint8_t)type;
    header->values = values->present;
    header->error = values->error;
    header->sequence = sequence;
    if (__builtin_expect(tkr_frame_values_wide(values), 0)) {
        header->flags |= TKR_FRAME_WIDE;
        (void)tkr_frame_put(at, values->value, values->count * sizeof(int64_t));
        return;
    }
    if (values->count % 2 != 0)
        memset(at + values->count * sizeof(uint32_t), 0, sizeof(uint32_t));
    for (uint32_t i = 0; i < values->count; i++) {
        uint32_t narrow = (uint32_t)values->value[i];
        at = tkr_frame_put(at, &narrow, sizeof(narrow));
    }
}

static inline void tkr_frame_finish(void *frame, size_t head_bytes, const struct tkr_frame_values *values, uint64_t sequence)
{
    tkr_frame_finish_as(frame, head_bytes, TKR_FRAME_USAGE, values, sequence);
}

/*
 * The commonest frame: one user, nothing else of the call, prompt and completion and their sum from 1 to 2^32-1, and perhaps a
 * duration. The same bytes as those of the functions above make, at a third of the instructions: word by word, since an array that
 * is copied at once is first made in memory, and then waited for.
 */
#define TKR_FRAME_PLAIN_VALUES (1u << TKR_COUNTER_PROMPT | 1u << TKR_COUNTER_COMPLETION | 1u << TKR_COUNTER_TOTAL)
#define TKR_FRAME_PLAIN_VALUES_BYTES 16u

static inline size_t tkr_frame_plain_head_bytes(const tkr_account *user)
{
    return TKR_FRAME_ROUND(TKR_FRAME_HEADER_BYTES + 2 + user->len);
}

static inline void tkr_frame_put_word(unsigned char *frame, size_t offset, uint64_t word)
{
    memcpy(frame + offset, &word, sizeof(word));
}

/* Of the head all but what tkr_frame_plain_open or tkr_frame_plain_finish writes; short_id: the id has less than TKR_SHORT_ID_BYTES.
 * false: it has control characters. */
static inline __attribute__((always_inline)) bool tkr_frame_plain_head_put(unsigned char *frame, size_t head_bytes,
                                                                           const tkr_account *user, bool short_id, uint32_t cycle,
                                                                           int64_t start_ns)
{
    unsigned char *id = frame + TKR_FRAME_HEADER_BYTES + 2;

    tkr_frame_put_word(frame, 16, (uint64_t)start_ns);
    tkr_frame_put_word(frame, 24, (uint64_t)cycle << TKR_FRAME_SHIFT(24, 4) | UINT64_C(1) << TKR_FRAME_SHIFT(28, 1));
    tkr_frame_put_word(frame, head_bytes - 8, 0);
    tkr_frame_put_word(frame, TKR_FRAME_HEADER_BYTES, (uint64_t)user->len << TKR_FRAME_SHIFT(0, 1)); /* and no kind */
    return short_id ? tkr_frame_put_clean_short(id, user->id, user->len) : tkr_frame_put_clean(id, user->id, user->len);
}

/* A release (event/frame.h) of TKR_FRAME_RELEASE_BYTES. */
static inline void tkr_frame_release_put(unsigned char *frame, const struct tkr_frame_release *release)
{
    tkr_frame_put_word(frame, 0,
                       (uint64_t)TKR_FRAME_RELEASE_BYTES << TKR_FRAME_SHIFT(0, 2) | (uint64_t)TKR_FRAME_RELEASE
                                                                                        << TKR_FRAME_SHIFT(4, 1));
    tkr_frame_put_word(frame, 8, release->word);
    tkr_frame_put_word(frame, 16, release->more);
    tkr_frame_put_word(frame, 24, (uint64_t)release->tokens);
}

/* The rest of an open frame; sequence: as event/frame.h has it. */
static inline void tkr_frame_plain_open(unsigned char *frame, size_t head_bytes, uint64_t sequence)
{
    tkr_frame_put_word(frame, 0,
                       (uint64_t)head_bytes << TKR_FRAME_SHIFT(0, 2) | (uint64_t)head_bytes << TKR_FRAME_SHIFT(2, 2) |
                           (uint64_t)TKR_FRAME_OPEN << TKR_FRAME_SHIFT(4, 1));
    tkr_frame_put_word(frame, 8, sequence);
}

/* As tkr_frame_finish, of any head; flags are those of the head, duration_us 0 is none. */
static inline void tkr_frame_plain_finish(unsigned char *frame, size_t head_bytes, uint8_t flags, uint32_t prompt,
                                          uint32_t completion, uint32_t duration_us, uint64_t sequence)
{
    uint64_t values = TKR_FRAME_PLAIN_VALUES | (uint64_t)(duration_us != 0) << TKR_COUNTER_DURATION;

    tkr_frame_put_word(frame, 0,
                       (uint64_t)(head_bytes + TKR_FRAME_PLAIN_VALUES_BYTES) << TKR_FRAME_SHIFT(0, 2) |
                           (uint64_t)head_bytes << TKR_FRAME_SHIFT(2, 2) | (uint64_t)TKR_FRAME_USAGE << TKR_FRAME_SHIFT(4, 1) |
                           (uint64_t)flags << TKR_FRAME_SHIFT(5, 1) | values << TKR_FRAME_SHIFT(6, 2));
    tkr_frame_put_word(frame, 8, sequence);
    tkr_frame_put_word(frame, head_bytes,
                       (uint64_t)prompt << TKR_FRAME_SHIFT(0, 4) | (uint64_t)completion << TKR_FRAME_SHIFT(4, 4));
    tkr_frame_put_word(frame, head_bytes + 8,
                       (uint64_t)(prompt + completion) << TKR_FRAME_SHIFT(0, 4) | (uint64_t)duration_us << TKR_FRAME_SHIFT(4, 4));
}

#endif
