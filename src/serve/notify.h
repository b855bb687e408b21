/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the service manager is told (sd_notify(3)): ready, what is going on, stopping; and, if it watches, that the loops move. It
 * restarts a collector that has not been heard of for the unit's WatchdogSec. Without a service manager, or in a build without
 * libsystemd, nothing is told. A collector that lingers asks for the time that it takes (EXTEND_TIMEOUT_USEC), so that the unit's
 * TimeoutStopSec need not know TOKENRING_LINGER_S.
 *
 * Threads: the main thread.
 */
#ifndef TKR_SERVE_NOTIFY_H
#define TKR_SERVE_NOTIFY_H

#include "collector/collector.h"

struct tkr_notify {
    struct tkr_collector *collector;
    const atomic_uint *stops; /* how often it was asked to leave */
    int64_t watchdog_ns;      /* between signs of life; 0: nobody watches */
    int64_t next_ns;          /* monotonic: of the next look */
    bool stalled;             /* it was told so */
    bool stopping;            /* the manager was told */
};

/* Ready. Collector and stops are borrowed. */
void tkr_notify_ready(struct tkr_notify *notify, struct tkr_collector *collector, const atomic_uint *stops);

/* From the loop that must move (tkr_collector_run), with the struct tkr_notify: a sign of life, if all others move too, and what is going on. */
void tkr_notify_turn(void *argument);

#endif
