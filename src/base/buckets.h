/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts by size: how many of what was measured were at most so large, and their sum; what becomes a histogram for Prometheus.
 *
 * Threads: one adds, any reads; each word is of its own moment, and only grows.
 */
#ifndef TKR_BASE_BUCKETS_H
#define TKR_BASE_BUCKETS_H

#include <stdatomic.h>
#include <stdint.h>

#define TKR_BOUNDS_MAX 16u

/* Largest sizes of the buckets but the last, which has all beyond. */
struct tkr_bounds {
    uint32_t count;
    uint64_t at[TKR_BOUNDS_MAX];
};

struct tkr_buckets {
    _Atomic uint64_t sum;
    _Atomic uint64_t in[TKR_BOUNDS_MAX + 1];
};

/* Adds to a word of which the caller is the only writer. */
static inline void tkr_add_own(_Atomic uint64_t *word, uint64_t more)
{
    atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) + more, memory_order_relaxed); /* a sum */
}

/* The bucket of a size. */
static inline uint32_t tkr_bounds_find(const struct tkr_bounds *bounds, uint64_t size)
{
    uint32_t bucket = 0;

    while (bucket < bounds->count && size > bounds->at[bucket])
        bucket++;
    return bucket;
}

/* times: how many of this size. */
static inline void tkr_buckets_add(struct tkr_buckets *buckets, const struct tkr_bounds *bounds, uint64_t size, uint64_t times)
{
    tkr_add_own(&buckets->in[tkr_bounds_find(bounds, size)], times);
    tkr_add_own(&buckets->sum, size * times);
}

/* What one who reads makes of it. */
struct tkr_buckets_sum {
    uint64_t sum;
    uint64_t count;
    uint64_t in[TKR_BOUNDS_MAX + 1];
};

static inline void tkr_buckets_sum_up(const struct tkr_buckets *buckets, struct tkr_buckets_sum *sum)
{
    sum->sum += atomic_load_explicit(&buckets->sum, memory_order_relaxed); /* sums of their own moments, here and below */
    for (uint32_t i = 0; i <= TKR_BOUNDS_MAX; i++) {
        uint64_t in = atomic_load_explicit(&buckets->in[i], memory_order_relaxed);
        sum->in[i] += in;
        sum->count += in;
    }
}

#endif
