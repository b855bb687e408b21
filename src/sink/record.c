/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/record.h"

#include <string.h>

/* total - prompt - completion may need 65 bits; modulo 2^64 it is unique, since the other two are known. */
static uint64_t total_expected(const tkr_counts *counts)
{
    return (uint64_t)counts->value[TKR_COUNTER_PROMPT] + (uint64_t)counts->value[TKR_COUNTER_COMPLETION];
}

static uint64_t zigzag(uint64_t d)
{
    return (d << 1) ^ (0 - (d >> 63));
}

static uint64_t zigzag_undo(uint64_t z)
{
    return (z >> 1) ^ (0 - (z & 1));
}

static uint64_t packed_value(const tkr_counts *counts, int counter)
{
    uint64_t value = (uint64_t)counts->value[counter];

    return counter == TKR_COUNTER_TOTAL ? zigzag(value - total_expected(counts)) : value;
}

static unsigned char *put_varint(unsigned char *at, uint64_t value)
{
    for (; value > 0x7f; value >>= 7)
        *at++ = (unsigned char)(value | 0x80);
    *at++ = (unsigned char)value;
    return at;
}

/* Returns what follows, or NULL. Bits beyond 64 fall off; the comparison in tkr_record_decode notices. */
static const unsigned char *get_varint(const unsigned char *at, const unsigned char *end, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (unsigned shift = 0; at < end && shift < 7 * TKR_VARINT_BYTES_MAX; shift += 7) {
        value |= (uint64_t)(*at & 0x7f) << shift;
        if ((*at++ & 0x80) == 0) {
            *ret_value = value;
            return at;
        }
    }
    return NULL;
}

size_t tkr_record_encode(const struct tkr_record *record, unsigned char ret_bytes[TKR_RECORD_BYTES_MAX])
{
    unsigned char *at = ret_bytes;
    int count = TKR_COUNTER_COUNT;

    if (record->life == 0)
        return 0;
    while (count > 0 && packed_value(&record->counts, count - 1) == 0)
        count--;
    at = put_varint(at, record->life);
    for (int i = 0; i < count; i++)
        at = put_varint(at, packed_value(&record->counts, i));
    return (size_t)(at - ret_bytes);
}

static bool decode_loosely(const unsigned char *at, const unsigned char *end, struct tkr_record *ret_record)
{
    uint64_t value;

    at = get_varint(at, end, &ret_record->life);
    for (int i = 0; i < TKR_COUNTER_COUNT && at != NULL; i++) {
        value = 0;
        if (at < end)
            at = get_varint(at, end, &value);
        if (i == TKR_COUNTER_TOTAL)
            value = zigzag_undo(value) + total_expected(&ret_record->counts);
        if (value > INT64_MAX)
            return false;
        ret_record->counts.value[i] = (int64_t)value;
    }
    return at == end && ret_record->life != 0;
}

bool tkr_record_decode(const void *bytes, size_t len, struct tkr_record *ret_record)
{
    unsigned char again[TKR_RECORD_BYTES_MAX];
    struct tkr_record record = {0};

    if (len > sizeof(again))
        return false;
    if (len > 0 && !decode_loosely(bytes, (const unsigned char *)bytes + len, &record))
        return false;
    if (tkr_record_encode(&record, again) != len || memcmp(again, bytes, len) != 0)
        return false;
    *ret_record = record;
    return true;
}
