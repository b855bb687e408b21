/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a call costs its caller: a histogram of nanoseconds per call, one value for each batch of calls that was timed
 * as a whole. Processes add to one histogram in shared memory.
 *
 * Values are kept in 1/64 ns (a batch of 64 calls that took N ns adds N), below 64 exactly and above in 32 steps to
 * each power of two, so what is read is off by 1.6 % at most.
 */
#ifndef TOOLS_TRAFFIC_COST_H
#define TOOLS_TRAFFIC_COST_H

#include <stdatomic.h>
#include <stdint.h>

#define TKR_COST_BATCH 64 /* calls timed as one */
#define TKR_COST_STEP_BITS 5
#define TKR_COST_BUCKETS ((64 - TKR_COST_STEP_BITS + 1) << TKR_COST_STEP_BITS)

/* All zero at first. */
struct tkr_cost {
    _Atomic uint64_t bucket[TKR_COST_BUCKETS];
};

/* Adds a batch of TKR_COST_BATCH calls that took so long. Lock-free. */
void tkr_cost_add(struct tkr_cost *cost, uint64_t batch_ns);

/* Median, in ns per call; negative when nothing was added. */
double tkr_cost_median_ns(const struct tkr_cost *cost);

#endif
