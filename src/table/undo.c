/* SPDX-License-Identifier: Apache-2.0 */
#include "table/undo.h"

#include <string.h>

#include "base/crash.h"

struct record {
    uint64_t offset;
    uint64_t bytes;
};

void tkr_undo_begin(struct tkr_undo *undo, uint64_t batch)
{
    atomic_store_explicit(&undo->used, 0, memory_order_relaxed);
    TKR_CRASH(UNDO_RESET);
    atomic_store_explicit(&undo->batch, batch, memory_order_release); /* used before batch, for a kill */
    TKR_CRASH(UNDO_BEGUN);
}

void tkr_undo_save(struct tkr_undo *undo, const unsigned char *base, uint64_t offset, size_t bytes)
{
    uint64_t used = atomic_load_explicit(&undo->used, memory_order_relaxed);
    struct record record = {offset, bytes};

    if (TKR_BROKEN(UNDO))
        return;
    memcpy(undo->records + used, &record, sizeof(record));
    memcpy(undo->records + used + sizeof(record), base + offset, bytes);
    TKR_CRASH(UNDO_RECORDED);
    atomic_store_explicit(&undo->used, used + sizeof(record) + bytes, memory_order_release); /* record before used */
    TKR_CRASH(UNDO_SAVED);
}

static void put_back(unsigned char *object, const unsigned char *old, uint64_t bytes, uint64_t stamp)
{
    _Atomic uint64_t *word = (_Atomic uint64_t *)object;

    atomic_store_explicit(&word[0], stamp, memory_order_relaxed); /* not committed: readers keep off (I2) */
    TKR_CRASH(RECOVERY_STAMPED);
    for (uint64_t i = bytes / sizeof(uint64_t) - 1; i > 0; i--) {
        uint64_t value;
        memcpy(&value, old + i * sizeof(value), sizeof(value));
        atomic_store_explicit(&word[i], value, memory_order_release); /* after the stamp (P1) */
        TKR_CRASH(RECOVERY_HALF);
    }
}

bool tkr_undo_roll_back(const struct tkr_undo *undo, uint64_t undo_bytes, unsigned char *base, uint64_t file_bytes,
                        uint64_t stamp)
{
    uint64_t used = atomic_load_explicit(&undo->used, memory_order_relaxed);
    struct record record;

    if (undo_bytes < sizeof(*undo) || used > undo_bytes - sizeof(*undo))
        return false;
    for (uint64_t at = 0; at < used; at += sizeof(record) + record.bytes) {
        if (used - at < sizeof(record))
            return false;
        memcpy(&record, undo->records + at, sizeof(record));
        if (record.bytes == 0 || record.bytes % sizeof(uint64_t) != 0 || record.offset % sizeof(uint64_t) != 0 ||
            record.bytes > used - at - sizeof(record) || record.offset > file_bytes ||
            record.bytes > file_bytes - record.offset)
            return false;
        put_back(base + record.offset, undo->records + at + sizeof(record), record.bytes, stamp);
    }
    return true;
}
