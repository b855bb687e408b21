/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A histogram of durations: 16 steps to each doubling, so that a percentile is at most 1/16 too high. Threads: any number add and
 * read; a reader's sums are exact when nobody adds.
 */
#ifndef TKR_CALLBACK_HISTOGRAM_H
#define TKR_CALLBACK_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define TKR_HISTOGRAM_STEPS 16u
#define TKR_HISTOGRAM_PLACES (60u * TKR_HISTOGRAM_STEPS)

struct tkr_histogram {
    _Atomic uint64_t in[TKR_HISTOGRAM_PLACES];
};

/* A sum of histograms, for one who reads. */
struct tkr_histogram_sum {
    uint64_t count;
    uint64_t in[TKR_HISTOGRAM_PLACES];
};

/* ns below 0 count as 0. */
void tkr_histogram_add(struct tkr_histogram *histogram, int64_t ns);

void tkr_histogram_sum_up(const struct tkr_histogram *histogram, struct tkr_histogram_sum *sum);

/* Nanoseconds that a share (0..1) of the durations did not exceed; 0: there are none. */
int64_t tkr_histogram_percentile(const struct tkr_histogram_sum *sum, double share);

#endif
