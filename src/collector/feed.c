/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/feed.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crash.h"
#include "base/log.h"
#include "region/guard.h"

static uint64_t get(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed); /* the worker's own words */
}

/*
 * Lanes that an earlier collector has counted from, whose shard was set aside since, go on behind what it counted: from their
 * start they would seem to break the rules. What a lane says of itself is its owner's word, and harms nobody else.
 */
static void adopt_lanes(struct tkr_shard *shard, const struct tkr_feed *feed)
{
    for (uint32_t i = 0; i < feed->view->lane_count; i++) {
        struct tkr_lane_cursor *cursor = &feed->cursor->lane[i];
        const struct tkr_lane *lane = &feed->view->mapped_lanes[i];
        uint64_t position;
        uint64_t sequence;
        if (!tkr_guarded_load(&lane->free, &position) || !tkr_guarded_load(&lane->counted, &sequence) || position == 0)
            continue;
        tkr_batch_touch(shard, cursor, sizeof(*cursor));
        tkr_batch_set(&cursor->position, position);
        tkr_batch_set(&cursor->sequence, sequence);
        tkr_batch_add(&feed->cursor->adopted, sequence);
    }
}

bool tkr_feed_adopt(struct tkr_shard *shard, struct tkr_feed *feed)
{
    struct tkr_cursor *cursor = tkr_shard_cursor_unused(shard);
    uint64_t id[2];

    if (cursor == NULL || !tkr_batch_begin(shard))
        return false;
    memcpy(id, feed->view->id, sizeof(id));
    tkr_batch_touch(shard, cursor, TKR_CURSOR_HEAD_BYTES);
    tkr_batch_set(&cursor->state, TKR_CURSOR_ACTIVE);
    tkr_batch_set(&cursor->id[0], id[0]);
    tkr_batch_set(&cursor->id[1], id[1]);
    tkr_batch_set(&cursor->inode, feed->view->inode);
    feed->cursor = cursor;
    if (tkr_view_lanes_refresh(feed->view)) /* if not, draining finds that out */
        adopt_lanes(shard, feed);
    TKR_CRASH(ADOPT_WRITTEN);
    tkr_batch_commit(shard);
    TKR_CRASH(ADOPTED);
    return true;
}

void tkr_feed_resume(struct tkr_feed *feed)
{
    if (feed->view == NULL || tkr_feed_state(feed) != TKR_CURSOR_ACTIVE || !tkr_view_lanes_refresh(feed->view))
        return;
    for (uint32_t i = 0; i < feed->view->lane_count; i++) {
        const struct tkr_lane_cursor *lane = &feed->cursor->lane[i];
        (void)tkr_view_lane_release(feed->view, i, get(&lane->position), get(&lane->sequence));
    }
}

/* --- releases --- */

void tkr_feed_obeyed_all(struct tkr_feed *feed)
{
    bool active = tkr_feed_state(feed) == TKR_CURSOR_ACTIVE;

    for (uint32_t i = 0; i < TKR_REGION_LANES_MAX; i++)
        tkr_feed_obeyed(feed, i, active ? get(&feed->cursor->lane[i].position) : UINT64_MAX);
}

void tkr_feed_mark(struct tkr_feed *feed)
{
    if (!tkr_view_lane_heads(feed->view, feed->mark, &feed->marks))
        feed->marks = 0; /* cut by its owner: nothing is read from it any more */
}

bool tkr_feed_passed(const struct tkr_feed *feed)
{
    for (uint32_t i = 0; i < feed->marks; i++) {
        if (atomic_load_explicit(&feed->obeyed[i], memory_order_acquire) < feed->mark[i])
            return false;
    }
    return true;
}

void tkr_feed_drop(struct tkr_shard *shard, struct tkr_feed *feed, enum tkr_drop why, uint64_t count)
{
    tkr_batch_touch(shard, feed->cursor, TKR_CURSOR_HEAD_BYTES);
    tkr_batch_add(&feed->cursor->dropped[why], count);
}

/* What the producer says it published and is not counted. */
static uint64_t left_in_lanes(const struct tkr_feed *feed)
{
    uint64_t left = 0;

    for (uint32_t i = 0; i < feed->view->lane_count; i++)
        left += tkr_view_lane_left(feed->view, i, get(&feed->cursor->lane[i].sequence));
    return left;
}

void tkr_feed_set_goals(struct tkr_feed *feed)
{
    feed->goals = 0;
    if (feed->view == NULL || tkr_feed_state(feed) != TKR_CURSOR_ACTIVE)
        return;
    (void)tkr_view_lanes_refresh(feed->view); /* broken: draining finds out, and sets it aside */
    while (feed->goals < feed->view->lane_count && tkr_view_lane_head(feed->view, feed->goals, &feed->goal[feed->goals]))
        feed->goals++;
}

bool tkr_feed_reached(const struct tkr_feed *feed)
{
    if (feed->view == NULL || tkr_feed_state(feed) != TKR_CURSOR_ACTIVE)
        return true;
    for (uint32_t i = 0; i < feed->goals; i++) {
        if ((int64_t)(feed->goal[i] - get(&feed->cursor->lane[i].position)) > 0)
            return false;
    }
    return true;
}

uint64_t tkr_feed_left(const struct tkr_feed *feed)
{
    return feed->view != NULL && tkr_feed_state(feed) == TKR_CURSOR_ACTIVE ? left_in_lanes(feed) : 0;
}

void tkr_feed_quarantine(struct tkr_shard *shard, struct tkr_feed *feed)
{
    uint64_t left = left_in_lanes(feed);

    if (left == 0)
        left = 1; /* how much it was nobody can know: at least that it happened is counted */
    tkr_feed_drop(shard, feed, TKR_DROP_CORRUPT, left);
    tkr_batch_set(&feed->cursor->set_aside, left);
    tkr_batch_set(&feed->cursor->state, TKR_CURSOR_QUARANTINED);
    TKR_LOG(TKR_LOG_ERROR,
            "{region} of process {pid} ({command}) broke the rules of its format and is set aside; records lost: {records}",
            tkr_field_region(feed->name, strlen(feed->name)), tkr_field_pid(feed->view->pid),
            tkr_field_command(feed->view->command, strlen(feed->view->command)), tkr_field_records(left));
}

/* What the owner of a quarantined region went on publishing is lost as well, and was offered. Within the batch that folds it. */
static void drop_rest(struct tkr_shard *shard, struct tkr_feed *feed)
{
    uint64_t left;

    (void)tkr_view_lanes_refresh(feed->view); /* as far as its lanes can be understood */
    left = left_in_lanes(feed);
    if (left > get(&feed->cursor->set_aside))
        tkr_feed_drop(shard, feed, TKR_DROP_CORRUPT, left - get(&feed->cursor->set_aside));
    TKR_LOG(TKR_LOG_WARNING, "{region}, which was set aside, has lost its owner; records and open calls lost in all: {records}",
            tkr_field_region(feed->name, strlen(feed->name)), tkr_field_records(get(&feed->cursor->dropped[TKR_DROP_CORRUPT])));
}

/* Adds what is known of the region to the law's numbers of regions that are gone. */
static void fold(struct tkr_shard *shard, const struct tkr_feed *feed)
{
    struct tkr_law *law = tkr_batch_law(shard);
    const struct tkr_cursor *cursor = feed->cursor;
    uint64_t producer_dropped[TKR_DROP_MAX] = {0};
    uint64_t refused[TKR_REFUSED_MAX] = {0};
    uint64_t bad_times = 0;
    uint64_t counted = get(&cursor->settled);
    uint64_t offered = get(&cursor->orphans) - get(&cursor->adopted); /* modulo 2^64: the sequences are added below */

    if (feed->view != NULL)
        (void)tkr_view_counters(feed->view, producer_dropped, refused); /* truncated: what was read until then */
    for (uint32_t i = 0; i < TKR_SHARD_LANES_MAX; i++) {
        counted += get(&cursor->lane[i].counted);
        offered += get(&cursor->lane[i].sequence);
    }
    for (int i = 0; i < TKR_DROP_MAX; i++) {
        tkr_batch_add(&law->gone_dropped[i], producer_dropped[i] + get(&cursor->dropped[i]));
        offered += producer_dropped[i];
    }
    /* What was set aside had been offered too, though no frame that was read says so. */
    offered += get(&cursor->dropped[TKR_DROP_CORRUPT]);
    for (int i = 0; i < TKR_REFUSED_MAX; i++)
        tkr_batch_add(&law->gone_refused[i], refused[i]);
    tkr_batch_add(&law->gone_offered, offered);
    tkr_batch_add(&law->gone_counted, counted);
    tkr_batch_add(&law->gone_settled, get(&cursor->settled));
    tkr_batch_add(&law->gone_unknown, get(&cursor->unknown));
    if (feed->view != NULL && tkr_view_bad_times(feed->view, &bad_times))
        tkr_batch_add(&law->gone_bad_times, bad_times);
    tkr_batch_add(&law->gone_regions, 1);
}

/* Zeroes the lanes of a cursor that is GONE: nobody reads them until the next region takes it. */
static void wipe_lanes(struct tkr_cursor *cursor)
{
    for (uint32_t i = 0; i < TKR_SHARD_LANES_MAX; i++) {
        tkr_batch_set(&cursor->lane[i].position, 0);
        tkr_batch_set(&cursor->lane[i].sequence, 0);
        tkr_batch_set(&cursor->lane[i].counted, 0);
    }
}

static void wipe_head(struct tkr_shard *shard, struct tkr_cursor *cursor)
{
    _Atomic uint64_t *word = (_Atomic uint64_t *)cursor;

    tkr_batch_touch(shard, cursor, TKR_CURSOR_HEAD_BYTES);
    for (size_t i = 1; i < TKR_CURSOR_HEAD_BYTES / sizeof(*word); i++)
        tkr_batch_set(&word[i], 0); /* state becomes FREE */
}

/* Removes the file, unless another one has its name. One that died in here may have left it retired, and so without a view. */
static void remove_file(struct tkr_feed *feed)
{
    struct stat status;

    if (feed->view != NULL)
        tkr_view_retire(feed->view);
    TKR_CRASH(REGION_RETIRED);
    if (fstatat(feed->directory, feed->name, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_ino == get(&feed->cursor->inode))
        (void)unlinkat(feed->directory, feed->name, 0); /* gone already: as good */
}

void tkr_feed_reclaim(struct tkr_shard *shard, struct tkr_feed *feed)
{
    bool gone = tkr_feed_state(feed) == TKR_CURSOR_GONE;

    if (!gone) {
        if (!tkr_batch_begin(shard))
            return;
        if (feed->view != NULL && tkr_feed_state(feed) == TKR_CURSOR_QUARANTINED)
            drop_rest(shard, feed);
        fold(shard, feed);
        TKR_CRASH(FOLDED);
        tkr_batch_touch(shard, feed->cursor, TKR_CURSOR_HEAD_BYTES);
        tkr_batch_set(&feed->cursor->state, TKR_CURSOR_GONE);
        tkr_batch_commit(shard);
        TKR_CRASH(REGION_GONE);
    }
    if (gone || feed->view != NULL)
        remove_file(feed);
    TKR_CRASH(REGION_UNLINKED);
    if (!tkr_batch_begin(shard))
        return;
    wipe_lanes(feed->cursor);
    TKR_CRASH(LANES_WIPED);
    wipe_head(shard, feed->cursor);
    TKR_CRASH(CURSOR_FREED);
    tkr_batch_commit(shard);
    feed->cursor = NULL;
}
