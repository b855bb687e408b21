/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A feed: one region that is being drained into one shard. What has been counted of it stands in the shard's cursor; the
 * feed itself can be lost at any moment.
 *
 * Life of a region, as its cursor has it:
 *
 *   (no cursor) --adopt--> ACTIVE --drained, settled, owner dead--> GONE --file unlinked, cursor wiped--> FREE
 *                            |                                       ^
 *                            +--broke the rules--> QUARANTINED -------+ (owner dead)
 *
 * Adoption and each arrow is a batch of its own. A kill between GONE and FREE leaves a file that may be there still; opening
 * finishes it. Folding into the law happens in the batch that says GONE: exactly once.
 *
 * Threads: discovery makes and frees feeds; between, a feed is its shard's worker's alone, except the atomics and discovery's
 * marks.
 */
#ifndef TKR_COLLECTOR_FEED_H
#define TKR_COLLECTOR_FEED_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/buckets.h"
#include "region/view.h"
#include "table/shard.h"

struct tkr_feed {
    struct tkr_feed *next;     /* in the inbox, then in the worker's list */
    struct tkr_view *view;     /* NULL: the file is gone, only the cursor is left to be folded */
    struct tkr_cursor *cursor; /* NULL until adopted */
    uint32_t shard;            /* number */
    uint32_t lane_next;        /* where draining goes on, so that no lane waits for a busy one */
    int directory;             /* of the regions */
    char name[TKR_REGION_NAME_BYTES];
    int64_t touched_ns;                            /* when the region was told last that the collector is there */
    struct tkr_buckets_sum spent;                  /* what its handlers had taken when it was looked at last */
    uint64_t dropped[TKR_DROP_MAX];                /* records that were dropped of it then */
    uint64_t waiting[TKR_REGION_LANES_MAX / 64];   /* a bit for each lane whose next event waits for memory of the shard */
    bool settling_waits;                           /* an open call of its dead owner does */
    uint32_t goals;                                /* lanes that there were when the collector was asked to leave, */
    uint64_t goal[TKR_REGION_LANES_MAX];           /* and where their producers stood: it leaves once they are counted so far */
    _Atomic uint64_t obeyed[TKR_REGION_LANES_MAX]; /* worker: up to where all is counted, and then its releases obeyed */
    uint64_t mark[TKR_REGION_LANES_MAX];           /* discovery: where producers stood when their slots had been looked at */
    uint32_t marks;                                /* lanes that it has marked */
    atomic_bool dead;                              /* discovery: the owner's lock is free */
    atomic_bool done;                              /* worker: off its list; discovery may free it */
};

/* The cursor's state. */
static inline enum tkr_cursor_state tkr_feed_state(const struct tkr_feed *feed)
{
    return (enum tkr_cursor_state)atomic_load_explicit(&feed->cursor->state, memory_order_relaxed); /* the worker's own */
}

static inline void tkr_feed_lane_set_waiting(struct tkr_feed *feed, uint32_t lane, bool waits)
{
    uint64_t bit = UINT64_C(1) << lane % 64;

    feed->waiting[lane / 64] = waits ? feed->waiting[lane / 64] | bit : feed->waiting[lane / 64] & ~bit;
}

static inline bool tkr_feed_lane_waits(const struct tkr_feed *feed, uint32_t lane)
{
    return (feed->waiting[lane / 64] >> lane % 64 & 1) != 0;
}

/* Lanes, and an open call, that wait for memory. */
static inline uint32_t tkr_feed_waiting(const struct tkr_feed *feed)
{
    uint32_t count = feed->settling_waits;

    for (uint32_t i = 0; i < TKR_REGION_LANES_MAX / 64; i++)
        count += (uint32_t)__builtin_popcountll(feed->waiting[i]);
    return count;
}

/* Gives the feed a cursor of the shard, from where its lanes were last given back. false: none is to be had at present. */
bool tkr_feed_adopt(struct tkr_shard *shard, struct tkr_feed *feed);

/* Goes on with a cursor that an earlier collector left: says again what is counted, which it may have died before saying. */
void tkr_feed_resume(struct tkr_feed *feed);

/* Puts a region aside that broke the rules, within a batch: what it still held counts as dropped. */
void tkr_feed_quarantine(struct tkr_shard *shard, struct tkr_feed *feed);

/* Worker: all up to the cursor's positions is counted, and its releases are obeyed; of a region of which no more is read, all. */
void tkr_feed_obeyed_all(struct tkr_feed *feed);

/* Worker: the same of one lane, up to this position. */
static inline void tkr_feed_obeyed(struct tkr_feed *feed, uint32_t lane, uint64_t position)
{
    atomic_store_explicit(&feed->obeyed[lane], position, memory_order_release); /* counting and obeying before it */
}

/* Discovery: marks where the producers of a region stand now; what they published later, slots that were looked at before vouch
 * for. */
void tkr_feed_mark(struct tkr_feed *feed);

/* Discovery: is all up to the marks counted, and its releases obeyed? */
bool tkr_feed_passed(const struct tkr_feed *feed);

/* Counts more records of the feed as dropped by the collector, within a batch. */
void tkr_feed_drop(struct tkr_shard *shard, struct tkr_feed *feed, enum tkr_drop why, uint64_t count);

/* The collector leaves: notes what has been published until now. */
void tkr_feed_set_goals(struct tkr_feed *feed);

/* Is all counted, or counted as dropped, that was published by then? Also of a feed that nothing is read from any more. */
bool tkr_feed_reached(const struct tkr_feed *feed);

/* Records that its producers say they published and that are not counted. */
uint64_t tkr_feed_left(const struct tkr_feed *feed);

/* Folds a feed that has nothing left into the law, unlinks its file and frees its cursor. */
void tkr_feed_reclaim(struct tkr_shard *shard, struct tkr_feed *feed);

#endif
