/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Discovery: finds regions by looking into the runtime directory, gives each to a shard for life, sees when their owners die,
 * and sweeps away what a death left half made. Runs in the collector's main thread.
 */
#ifndef TKR_COLLECTOR_DISCOVERY_H
#define TKR_COLLECTOR_DISCOVERY_H

#include "collector/home.h"
#include "collector/monitor.h"
#include "collector/reaper.h"
#include "collector/worker.h"

struct tkr_discovery;

/*
 * Prepares discovery over the posts and hands out feeds for all cursors in use, before workers run. reaper: of limits, may be
 * NULL. -1: no memory.
 */
int tkr_discovery_open(const struct tkr_home *home, struct tkr_post *posts, uint32_t post_count, struct tkr_reaper *reaper,
                       struct tkr_discovery **ret_discovery, tkr_message *ret_message);

/* A reaper is there, from now on: a board was made later. */
void tkr_discovery_reap(struct tkr_discovery *discovery, struct tkr_reaper *reaper);

/* One look: new regions to their posts, the dead marked, the done freed. Takes some ten microseconds plus one per region. */
void tkr_discovery_look(struct tkr_discovery *discovery);

/* What the last look found: gateways that are attached, and what cannot be read. */
uint64_t tkr_discovery_gateways(const struct tkr_discovery *discovery);
void tkr_discovery_unreadable(const struct tkr_discovery *discovery, struct tkr_unreadable *ret_unreadable);

/* The last look: all that cannot be read is tried once more, all owners are looked at. */
void tkr_discovery_look_last(struct tkr_discovery *discovery);

/* What is left in the directory that is not counted. */
struct tkr_left {
    uint64_t gateways;     /* that still run: what they record from now on waits */
    uint64_t unreadable;   /* regions, and the directory itself; region 0 says which and why */
    uint64_t other_layout; /* regions that wait for the collector of another version */
    uint64_t no_cursor;    /* regions for which this collector has no room */
    uint64_t unfinished;   /* regions of the dead whose calls are not all settled */
    uint64_t behind;       /* regions with records from before the end that are not counted, */
    uint64_t records;      /* and how many, with those since */
};

/* Once the workers have ended. */
void tkr_discovery_left(const struct tkr_discovery *discovery, struct tkr_left *ret_left);

/* Frees all feeds; the workers have ended. */
void tkr_discovery_close(struct tkr_discovery *discovery);

#endif
