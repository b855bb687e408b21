/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the collector healthy? A judgement of a snapshot, with the reasons.
 *
 *   healthy    all is as it should be
 *   degraded   it counts, and somebody should look: the sink does not take usage, accounts are put aside, records were dropped, ...
 *   unhealthy  it does not count as it should: a loop has stopped, the law does not hold
 *
 * Threads: any.
 */
#ifndef TKR_SERVE_STATUS_H
#define TKR_SERVE_STATUS_H

#include "serve/snapshot.h"

#define TKR_STALLED_NS \
    (30 * INT64_C(1000000000)) /* a loop that has not moved for so long, beyond the sink's timeouts, has stopped */
#define TKR_STATUS_REASONS_MAX 8u

enum tkr_status_grade { TKR_STATUS_HEALTHY, TKR_STATUS_DEGRADED, TKR_STATUS_UNHEALTHY };

struct tkr_status {
    enum tkr_status_grade grade;
    uint32_t reasons;
    tkr_message reason[TKR_STATUS_REASONS_MAX];
};

/* "healthy", "degraded", "unhealthy". */
extern const char *const tkr_status_word[];

/* Do the loops move? false with the reason. Cheap; needs no snapshot. */
bool tkr_status_moves(const struct tkr_monitor *monitor, const struct tkr_collector_config *config, tkr_message *ret_reason);

void tkr_status_judge(const struct tkr_snapshot *snapshot, struct tkr_status *ret_status);

#endif
