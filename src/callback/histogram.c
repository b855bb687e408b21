/* SPDX-License-Identifier: Apache-2.0 */
#include "callback/histogram.h"

#define STEP_BITS 4

/* Below 16 ns a place each; then 16 to each doubling. */
static uint32_t place_of(uint64_t ns)
{
    uint32_t doubling = ns < TKR_HISTOGRAM_STEPS ? 0 : 63 - (uint32_t)__builtin_clzll(ns) - STEP_BITS + 1;

    return doubling == 0 ? (uint32_t)ns : doubling * TKR_HISTOGRAM_STEPS + (uint32_t)(ns >> (doubling - 1)) - TKR_HISTOGRAM_STEPS;
}

/* The longest duration of a place. */
static uint64_t longest_of(uint32_t place)
{
    uint32_t doubling = place / TKR_HISTOGRAM_STEPS;

    if (doubling == 0)
        return place;
    return ((uint64_t)(place % TKR_HISTOGRAM_STEPS + TKR_HISTOGRAM_STEPS + 1) << (doubling - 1)) - 1;
}

void tkr_histogram_add(struct tkr_histogram *histogram, int64_t ns)
{
    uint32_t place = place_of(ns > 0 ? (uint64_t)ns : 0);

    (void)atomic_fetch_add_explicit(&histogram->in[place < TKR_HISTOGRAM_PLACES ? place : TKR_HISTOGRAM_PLACES - 1], 1,
                                    memory_order_relaxed); /* a sum */
}

void tkr_histogram_sum_up(const struct tkr_histogram *histogram, struct tkr_histogram_sum *sum)
{
    for (uint32_t i = 0; i < TKR_HISTOGRAM_PLACES; i++) {
        uint64_t in = atomic_load_explicit(&histogram->in[i], memory_order_relaxed); /* of sums */
        sum->in[i] += in;
        sum->count += in;
    }
}

int64_t tkr_histogram_percentile(const struct tkr_histogram_sum *sum, double share)
{
    uint64_t wanted = (uint64_t)((double)sum->count * share + 0.999999);
    uint64_t seen = 0;
    uint32_t place = 0;

    if (sum->count == 0)
        return 0;
    while (place < TKR_HISTOGRAM_PLACES - 1 && (seen += sum->in[place]) < wanted)
        place++;
    return (int64_t)longest_of(place);
}
