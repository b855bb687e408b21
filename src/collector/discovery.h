/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Discovery: finds regions by looking into the runtime directory, gives each to a shard for life, sees when their owners die,
 * and sweeps away what a death left half made. Runs in the collector's main thread.
 */
#ifndef TKR_COLLECTOR_DISCOVERY_H
#define TKR_COLLECTOR_DISCOVERY_H

#include "collector/home.h"
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

/* Frees all feeds; the workers have ended. */
void tkr_discovery_close(struct tkr_discovery *discovery);

#endif
