/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a collector healthy? A judgement, with the reasons, of what is known of it: to itself, or to another process that reads its
 * shared memory.
 *
 *   healthy    all is as it should be
 *   degraded   it counts, and somebody should look: the sink does not take usage, accounts are put aside, records were dropped,
 *              what it holds is in danger, ...
 *   unhealthy  it does not count as it should: none runs, a loop has stopped, the law does not hold
 *
 * Threads: any.
 */
#ifndef TKR_COLLECTOR_STATUS_H
#define TKR_COLLECTOR_STATUS_H

#include "collector/balance.h"

#define TKR_STALLED_NS \
    (30 * INT64_C(1000000000)) /* a loop that has not moved for so long, beyond the sink's timeouts, has stopped */
#define TKR_STATUS_REASONS_MAX 11u

enum tkr_status_grade { TKR_STATUS_HEALTHY, TKR_STATUS_DEGRADED, TKR_STATUS_UNHEALTHY };

struct tkr_status {
    enum tkr_status_grade grade;
    uint32_t reasons;
    tkr_message reason[TKR_STATUS_REASONS_MAX];
};

/* What is known. */
struct tkr_status_known {
    const struct tkr_host_balance *balance; /* NULL: it cannot be read */
    tkr_message why_not;                    /* then */
    const char *stalled;                    /* the loop that has not moved for longest */
    int64_t stalled_ns;                     /* for so long */
    int64_t patience_ns;                    /* beyond TKR_STALLED_NS: what the sink may take */
    uint64_t dropped_lately;                /* records, in the last ten minutes, as far as somebody has watched */
    bool no_board;                          /* gateways know no limits */
};

/* "healthy", "degraded", "unhealthy". */
extern const char *const tkr_status_word[];

/* Has a loop stopped? Then with the reason. */
bool tkr_status_stopped(const char *loop, int64_t stalled_ns, int64_t patience_ns, tkr_message *ret_reason);

void tkr_status_judge(const struct tkr_status_known *known, struct tkr_status *ret_status);

#endif
