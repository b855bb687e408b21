/* SPDX-License-Identifier: Apache-2.0 */
#include "table/undo.h"

#include <string.h>

#include "base/crash.h"

/* Records are written in words of their own size; readers look again whether they may use them. */
#define UNCHECKED __attribute__((no_sanitize("thread")))

struct record {
    uint64_t offset;
    uint64_t bytes;
};

void tkr_undo_begin(struct tkr_undo *undo, uint64_t batch)
{
    atomic_store_explicit(&undo->used, 0, memory_order_relaxed);
    TKR_CRASH(UNDO_RESET);
    atomic_store_explicit(&undo->batch, batch, memory_order_release); /* used before batch, for a kill */
    /* The number before the records that follow: a reader that found one of them overwritten also finds the number changed. */
    atomic_thread_fence(memory_order_release);
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

/* Acquire: what is read after it, the batch's number last, is not older (the fence in tkr_undo_begin). */
UNCHECKED static uint64_t word_at(const unsigned char *at)
{
    return atomic_load_explicit((const _Atomic uint64_t *)at, memory_order_acquire);
}

/* The record of an object of at least bytes; NULL: there is none. */
UNCHECKED static const unsigned char *find(const struct tkr_undo *undo, uint64_t used, uint64_t offset, size_t bytes)
{
    for (uint64_t at = 0; used - at >= sizeof(struct record);) {
        const unsigned char *record = undo->records + at;
        uint64_t record_bytes = word_at(record + offsetof(struct record, bytes));
        if (record_bytes == 0 || record_bytes % sizeof(uint64_t) != 0 || record_bytes > used - at - sizeof(struct record))
            return NULL;
        if (word_at(record + offsetof(struct record, offset)) == offset && record_bytes >= bytes)
            return record + sizeof(struct record);
        at += sizeof(struct record) + record_bytes;
    }
    return NULL;
}

bool tkr_undo_read(const struct tkr_undo *undo, uint64_t undo_bytes, const _Atomic uint64_t *committed, uint64_t offset,
                   size_t bytes, uint64_t *ret_words)
{
    uint64_t batch = atomic_load_explicit(&undo->batch, memory_order_acquire);
    uint64_t used = atomic_load_explicit(&undo->used, memory_order_acquire); /* the records before it */
    const unsigned char *old;

    if (batch <= atomic_load_explicit(committed, memory_order_acquire) || undo_bytes < sizeof(*undo) ||
        used > undo_bytes - sizeof(*undo))
        return false;
    old = find(undo, used, offset, bytes);
    if (old == NULL)
        return false;
    for (size_t i = 0; i < bytes / sizeof(*ret_words); i++)
        ret_words[i] = word_at(old + i * sizeof(*ret_words));
    /* Within a batch the log is only added to: the same number, what was read is that batch's. */
    return atomic_load_explicit(&undo->batch, memory_order_relaxed) == batch;
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
            record.bytes > used - at - sizeof(record) || record.offset > file_bytes || record.bytes > file_bytes - record.offset)
            return false;
        put_back(base + record.offset, undo->records + at + sizeof(record), record.bytes, stamp);
    }
    return true;
}
