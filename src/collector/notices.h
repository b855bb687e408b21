/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notices: what gateways' handlers have to say (event/frame.h), summed by the type of the handler, and logged, some a minute by name.
 * The sums are the collector's own and begin with it; the law does not know them.
 *
 * Threads: any; a lock is taken. Notices are rare.
 */
#ifndef TKR_COLLECTOR_NOTICES_H
#define TKR_COLLECTOR_NOTICES_H

#include <pthread.h>

#include "collector/drain.h"
#include "collector/health.h"

struct tkr_notices {
    pthread_mutex_t mutex;
    uint32_t lines_left; /* of the log, until lines_until_ns */
    int64_t lines_until_ns;
    uint64_t unsaid;
    uint64_t types; /* in sum[]; the last is of all that come beyond */
    struct tkr_health_handler sum[TKR_HEALTH_HANDLERS_MAX];
};

void tkr_notices_open(struct tkr_notices *notices);
void tkr_notices_close(struct tkr_notices *notices);

/* Takes what the last batch brought. notices may be NULL: then nobody wants them. */
void tkr_notices_take(struct tkr_notices *notices, const struct tkr_drain *drain);

/* The sums, for others to see. notices may be NULL. */
void tkr_notices_tell(struct tkr_notices *notices, struct tkr_health *health);

#endif
