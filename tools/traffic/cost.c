/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/cost.h"

#define STEPS (1U << TKR_COST_STEP_BITS)

/* Buckets below 2 * STEPS hold one value; then each power of two has STEPS of them. */
static unsigned bucket_of(uint64_t value)
{
    unsigned shift;

    if (value < 2 * STEPS)
        return (unsigned)value;
    shift = 63U - (unsigned)__builtin_clzll(value) - TKR_COST_STEP_BITS;
    return (shift << TKR_COST_STEP_BITS) + (unsigned)(value >> shift);
}

/* The middle of what the bucket holds. */
static double value_of(unsigned bucket)
{
    unsigned shift;
    uint64_t low;

    if (bucket < 2 * STEPS)
        return bucket;
    shift = (bucket >> TKR_COST_STEP_BITS) - 1;
    low = (uint64_t)(STEPS + bucket % STEPS) << shift;
    return (double)low + (double)((UINT64_C(1) << shift) - 1) / 2;
}

void tkr_cost_add(struct tkr_cost *cost, uint64_t batch_ns)
{
    /* relaxed: a count of its own; read when the writers have ended */
    atomic_fetch_add_explicit(&cost->bucket[bucket_of(batch_ns)], 1, memory_order_relaxed);
}

double tkr_cost_median_ns(const struct tkr_cost *cost)
{
    uint64_t all = 0;
    uint64_t below = 0;
    unsigned bucket = 0;

    for (unsigned i = 0; i < TKR_COST_BUCKETS; i++)
        all += atomic_load_explicit(&cost->bucket[i], memory_order_relaxed);
    if (all == 0)
        return -1;
    for (;; bucket++) {
        below += atomic_load_explicit(&cost->bucket[bucket], memory_order_relaxed);
        if (2 * below >= all)
            break;
    }
    return value_of(bucket) / TKR_COST_BATCH;
}
