/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Losses and shortage, noticed as they happen: records that were dropped, and lanes that wait because the tmpfs has no memory for the
 * accounts in them. Said in the log, and noted in the monitor, from where health and metrics have it.
 *
 * Workers count what they see (collector/meter.h). Threads: the collector's main thread.
 */
#ifndef TKR_COLLECTOR_LOSSES_H
#define TKR_COLLECTOR_LOSSES_H

#include "collector/monitor.h"

struct tkr_losses {
    int directory;          /* on the tmpfs, borrowed */
    const char *path;       /* its name, borrowed */
    uint64_t dropped;       /* records seen so far */
    int64_t dropped_ns;     /* monotonic: when some were seen last */
    int64_t say_dropped_ns; /* monotonic: not said again before */
    int64_t say_waiting_ns; /* the same */
    uint64_t said[TKR_DROP_MAX];
    bool waiting; /* said, and not over yet */
};

void tkr_losses_open(struct tkr_losses *losses, int directory, const char *path);

/* Looks at what the workers have counted since the last look. now_ns: monotonic; last: what was not said yet is said now. */
void tkr_losses_look(struct tkr_losses *losses, struct tkr_monitor *monitor, int64_t now_ns, bool last);

#endif
