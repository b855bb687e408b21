/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing metrics: families of samples, as text for Prometheus (exposition format 0.0.4) or as OpenMetrics 1.0. Both have the same
 * names; OpenMetrics tells a counter's family without _total, and ends with # EOF.
 *
 * Values of labels may be any UTF-8; what is none is the caller's to leave out. Samples of a family follow each other.
 *
 * Threads: one at a time.
 */
#ifndef TKR_SERVE_EXPOSITION_H
#define TKR_SERVE_EXPOSITION_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buckets.h"

enum tkr_metric_type { TKR_METRIC_COUNTER, TKR_METRIC_GAUGE, TKR_METRIC_HISTOGRAM };

/* A metric: its name without _total, _bucket and the like. */
struct tkr_metric {
    const char *name;
    enum tkr_metric_type type;
    const char *help;
};

struct tkr_label {
    const char *name;
    const char *value;
    uint32_t len; /* bytes of value */
};

struct tkr_exposition {
    FILE *out;
    bool openmetrics;
};

/* Begins a family. */
void tkr_exposition_family(const struct tkr_exposition *exposition, const struct tkr_metric *metric);

/* A sample of a counter or a gauge. */
void tkr_exposition_count(const struct tkr_exposition *exposition, const struct tkr_metric *metric, const struct tkr_label *label,
                          uint32_t labels, uint64_t value);
void tkr_exposition_real(const struct tkr_exposition *exposition, const struct tkr_metric *metric, const struct tkr_label *label,
                         uint32_t labels, double value);

/* A histogram: bounds and sum are in units of which so many are one second. */
void tkr_exposition_histogram(const struct tkr_exposition *exposition, const struct tkr_metric *metric,
                              const struct tkr_label *label, uint32_t labels, const struct tkr_bounds *bounds,
                              const struct tkr_buckets_sum *buckets, double per_second);

void tkr_exposition_end(const struct tkr_exposition *exposition);

#endif
