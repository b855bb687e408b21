/* SPDX-License-Identifier: Apache-2.0 */
#include "region/spent.h"

#define US UINT64_C(1000) /* in nanoseconds */

const struct tkr_bounds tkr_spent_bounds = {
    13, {250, 500, 1 * US, 2500, 5 * US, 10 * US, 25 * US, 50 * US, 100 * US, 1000 * US, 10000 * US, 100000 * US, 1000000 * US}};
_Static_assert(TKR_SPENT_BUCKETS == 14, "the region has a bucket for each bound, and one for all beyond");

void tkr_region_spend(struct tkr_region *region, uint64_t ns, uint64_t times)
{
    struct tkr_region_header *header = region->header;

    (void)atomic_fetch_add_explicit(&header->spent[tkr_bounds_find(&tkr_spent_bounds, ns)], times,
                                    memory_order_relaxed); /* sums */
    (void)atomic_fetch_add_explicit(&header->spent_ns, ns * times, memory_order_relaxed);
}
