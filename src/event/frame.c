/* SPDX-License-Identifier: Apache-2.0 */
#include "event/frame.h"

#include <string.h>

#include "base/account.h"
#include "base/cycle.h"

#define FLAGS_KNOWN (TKR_FRAME_WIDE | TKR_FRAME_CALL_ID)
#define CALL_BYTES (TKR_CALL_ID_BYTES + sizeof(uint32_t))
#define KIND_BYTES sizeof(uint64_t)
#define US_PER_MS 1000

_Static_assert(TKR_FRAME_BYTES_MAX <= UINT16_MAX, "a frame's length is a 16-bit number");
_Static_assert(TKR_FRAME_ALIGN + sizeof(struct tkr_frame_release) == TKR_FRAME_RELEASE_BYTES, "releases have no holes");

size_t tkr_frame_length(const void *bytes, size_t available)
{
    uint16_t length;

    if (available < TKR_FRAME_ALIGN)
        return 0;
    memcpy(&length, bytes, sizeof(length));
    if (length < TKR_FRAME_ALIGN || length % TKR_FRAME_ALIGN != 0 || length > available)
        return 0;
    return length;
}

/* A cursor over bytes that are checked before they are read. */
struct input {
    const unsigned char *at;
    size_t left;
};

static const unsigned char *take(struct input *in, size_t count)
{
    const unsigned char *at = in->at;

    if (count > in->left)
        return NULL;
    in->at += count;
    in->left -= count;
    return at;
}

static bool take_text(struct input *in, uint32_t len, const char **ret_text)
{
    *ret_text = (const char *)take(in, len);
    return *ret_text != NULL && tkr_text_clean(*ret_text, len);
}

static bool take_account(struct input *in, tkr_account *ret_account)
{
    const unsigned char *lead = take(in, 2);

    if (lead == NULL || lead[0] == 0 || lead[1] > 1)
        return false;
    ret_account->len = lead[0];
    ret_account->kind = TKR_KIND_USER;
    ret_account->pad = 0;
    if (lead[1] == 1) {
        const unsigned char *kind = take(in, KIND_BYTES);
        if (kind == NULL)
            return false;
        memcpy(&ret_account->kind, kind, KIND_BYTES);
        if (ret_account->kind == TKR_KIND_USER || !tkr_kind_valid(ret_account->kind))
            return false;
    }
    return take_text(in, ret_account->len, &ret_account->id);
}

static bool take_identity(struct input *in, const struct tkr_frame_header *header, struct tkr_event *ret_event)
{
    if (header->account_count < 1 || header->account_count > TKR_ACCOUNTS_MAX || header->provider_len > TKR_PROVIDER_BYTES_MAX)
        return false;
    ret_event->account_count = header->account_count;
    for (uint32_t i = 0; i < header->account_count; i++) {
        if (!take_account(in, &ret_event->account[i]))
            return false;
    }
    ret_event->model_len = header->model_len;
    ret_event->provider_len = header->provider_len;
    if (!take_text(in, header->model_len, &ret_event->model) || !take_text(in, header->provider_len, &ret_event->provider))
        return false;
    ret_event->call_id = NULL;
    ret_event->attempt = 0;
    if (header->flags & TKR_FRAME_CALL_ID) {
        const unsigned char *call = take(in, CALL_BYTES);
        if (call == NULL)
            return false;
        ret_event->call_id = call;
        memcpy(&ret_event->attempt, call + TKR_CALL_ID_BYTES, sizeof(ret_event->attempt));
    }
    return in->left < TKR_FRAME_ALIGN;
}

static int64_t value_max(unsigned bit)
{
    if (bit == TKR_COUNTER_COST)
        return TKR_COST_MAX;
    if (bit == TKR_COUNTER_DURATION || bit == TKR_VALUE_FIRST_TOKEN_US)
        return INT64_MAX;
    return TKR_TOKENS_MAX;
}

#define VALUES_KNOWN \
    (((1u << TKR_COUNTER_COUNT) - 1 - (1u << TKR_COUNTER_CALLS) - (1u << TKR_COUNTER_ERRORS)) | (1u << TKR_VALUE_FIRST_TOKEN_US))

static bool take_value(struct tkr_frame_values *values, unsigned bit, uint64_t value)
{
    if (value > (uint64_t)value_max(bit))
        return false;
    values->value[values->count++] = (int64_t)value;
    values->any |= (int64_t)value;
    return true;
}

/* Every value that 4 bytes hold is in range. */
static void take_narrow(const unsigned char *at, uint32_t count, struct tkr_frame_values *values)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t value;
        memcpy(&value, at + i * sizeof(value), sizeof(value));
        values->value[i] = value;
        values->any |= value;
    }
    values->count = count;
}

static bool take_wide(const unsigned char *at, unsigned present, struct tkr_frame_values *values)
{
    for (; present != 0; present &= present - 1, at += sizeof(uint64_t)) {
        uint64_t value;
        memcpy(&value, at, sizeof(value));
        if (!take_value(values, (unsigned)__builtin_ctz(present), value))
            return false;
    }
    return true;
}

/* The values in at[0..left), which end the frame: nothing but what rounds it up may follow. */
static bool take_values(const unsigned char *at, size_t left, const struct tkr_frame_header *header,
                        struct tkr_frame_values *ret_values)
{
    uint32_t count = (uint32_t)__builtin_popcount(header->values);
    bool wide = (header->flags & TKR_FRAME_WIDE) != 0;

    if ((header->values & ~VALUES_KNOWN) != 0 || TKR_FRAME_ROUND(count * (wide ? 8u : 4u)) != left)
        return false;
    ret_values->count = 0;
    ret_values->present = header->values;
    ret_values->error = header->error;
    ret_values->any = 0;
    if (wide)
        return take_wide(at, header->values, ret_values);
    take_narrow(at, count, ret_values);
    return true;
}

static bool take_release(const unsigned char *frame, size_t length, struct tkr_frame_release *ret_release)
{
    if (length != TKR_FRAME_RELEASE_BYTES)
        return false;
    memcpy(ret_release, frame + TKR_FRAME_ALIGN, sizeof(*ret_release));
    return ret_release->tokens >= 0 && ret_release->tokens <= TKR_TOKENS_MAX;
}

bool tkr_frame_decode(const void *bytes, size_t length, struct tkr_event *ret_event)
{
    const unsigned char *frame = bytes;
    struct tkr_frame_header header;
    struct input in;

    ret_event->type = frame[offsetof(struct tkr_frame_header, type)];
    if (ret_event->type == TKR_FRAME_RELEASE)
        return take_release(frame, length, &ret_event->release);
    if (ret_event->type < TKR_FRAME_USAGE || ret_event->type > TKR_FRAME_WATCH)
        return ret_event->type != 0;
    if (length < TKR_FRAME_HEADER_BYTES)
        return false;
    memcpy(&header, frame, sizeof(header));
    if (header.values_offset < TKR_FRAME_HEADER_BYTES || header.values_offset > length ||
        header.values_offset % TKR_FRAME_ALIGN != 0 || (header.flags & ~FLAGS_KNOWN) != 0 || header.start_ns < 0 ||
        !tkr_cycle_valid(header.cycle))
        return false;
    ret_event->sequence = header.sequence;
    ret_event->start_ns = header.start_ns;
    ret_event->cycle = header.cycle;
    in = (struct input){frame + TKR_FRAME_HEADER_BYTES, header.values_offset - TKR_FRAME_HEADER_BYTES};
    if (!take_identity(&in, &header, ret_event))
        return false;
    return take_values(frame + header.values_offset, length - header.values_offset, &header, &ret_event->values);
}

void tkr_event_counts(const struct tkr_event *event, tkr_counts *ret_counts)
{
    const int64_t *value = event->values.value;

    for (unsigned rest = event->values.present; rest != 0; rest &= rest - 1, value++) {
        unsigned bit = (unsigned)__builtin_ctz(rest);
        if (bit == TKR_COUNTER_DURATION)
            ret_counts->value[bit] += *value / US_PER_MS + (*value % US_PER_MS >= US_PER_MS / 2);
        else if (bit < TKR_COUNTER_COUNT)
            ret_counts->value[bit] += *value;
    }
    if (event->type == TKR_FRAME_INCREMENT)
        return;
    ret_counts->value[TKR_COUNTER_CALLS] += 1;
    ret_counts->value[TKR_COUNTER_ERRORS] += event->values.error != 0;
}
