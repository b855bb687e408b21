/* SPDX-License-Identifier: Apache-2.0 */
/* The region's histogram of what handlers take (region/layout.h): nanoseconds, and the bounds of its buckets. */
#ifndef TKR_REGION_SPENT_H
#define TKR_REGION_SPENT_H

#include "base/buckets.h"
#include "region/region.h"

/* From 250 ns to a second. */
extern const struct tkr_bounds tkr_spent_bounds;

/* Adds an event that took so long and counts for so many. Threads: any. */
void tkr_region_spend(struct tkr_region *region, uint64_t ns, uint64_t times);

#endif
