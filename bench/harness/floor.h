/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aggregation without any protection, as floors for the drain: the same frames, decoded by the same code.
 *
 *   batched  the drain's batches, hashes and prefetches into a plain table: no undo log, no stamps, no lists of changes
 *   ck_hs    one lookup in Concurrency Kit's hash set per charge, as it comes
 */
#ifndef BENCH_HARNESS_FLOOR_H
#define BENCH_HARNESS_FLOOR_H

#include <ck_hs.h>
#include <stddef.h>
#include <stdint.h>

#include "base/counters.h"

struct bench_floor_entry {
    tkr_counts counts;
    uint64_t kind;
    uint32_t cycle;
    uint32_t id_len;
    char id[40];
};

struct bench_floor {
    struct bench_floor_entry *entry; /* [count_max] */
    uint32_t count;
    uint32_t count_max;
    uint64_t *slot; /* hash >> 32 << 32 | entry + 1 */
    uint64_t mask;
    ck_hs_t set;
};

/* Room for so many accounts of ids of at most 40 bytes. 0, or -1 after bench_wrong. */
int bench_floor_make(struct bench_floor *floor, uint32_t accounts);
void bench_floor_free(struct bench_floor *floor);

/* Takes whole frames in bytes[0..count). Returns the bytes taken; the rest is a frame that was cut. */
size_t bench_floor_batched(struct bench_floor *floor, const unsigned char *bytes, size_t count);
size_t bench_floor_ck_hs(struct bench_floor *floor, const unsigned char *bytes, size_t count);

/* Sum over all entries. */
int64_t bench_floor_total(const struct bench_floor *floor);

#endif
