/* SPDX-License-Identifier: Apache-2.0 */
/* The page of metrics (serve/metrics.def), out of a snapshot and the monitor behind it. */
#ifndef TKR_SERVE_METRICS_H
#define TKR_SERVE_METRICS_H

#include "serve/exposition.h"
#include "serve/snapshot.h"

/* Writes all families. scrapes: how often metrics were asked for. Threads: one at a time for a snapshot. */
void tkr_metrics_write(const struct tkr_exposition *exposition, const struct tkr_snapshot *snapshot, uint64_t scrapes);

#endif
