/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/worker.h"

#include <time.h>

#include "base/clock.h"

#define PAUSE_MIN_NS (50 * TKR_NS_PER_US)
#define PAUSE_MAX_NS (8 * TKR_NS_PER_MS) /* bounds how long a record waits for an idle collector; a wake-up costs some 35 us */
#define TOUCH_NS (100 * TKR_NS_PER_MS)
#define LAST_DRAIN_NS (5 * TKR_NS_PER_S) /* for what was published when the end was asked for */

void tkr_post_give(struct tkr_post *post, struct tkr_feed *feed)
{
    feed->next = atomic_load_explicit(&post->inbox, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&post->inbox, &feed->next, feed, memory_order_release, /* feed before it */
                                                  memory_order_relaxed))
        continue;
}

/* Takes up what discovery brought; a feed that finds no cursor goes back to wait. */
static void take_inbox(const struct tkr_worker *worker, struct tkr_post *post)
{
    struct tkr_feed *feed = atomic_exchange_explicit(&post->inbox, NULL, memory_order_acquire);
    struct tkr_feed *next;

    post->waiting = 0;
    for (; feed != NULL; feed = next) {
        next = feed->next;
        if (feed->cursor != NULL) {
            tkr_feed_resume(feed);
            tkr_meter_begin(worker->meter, feed);
        } else if (!tkr_feed_adopt(post->shard, feed)) {
            post->waiting += tkr_shard_short_of_memory(post->shard);
            tkr_post_give(post, feed);
            continue;
        }
        tkr_feed_obeyed_all(feed);
        feed->next = post->feeds;
        post->feeds = feed;
    }
}

/* Tells producers that they are looked after, and looks at what they tell of themselves. */
static void touch(const struct tkr_worker *worker, struct tkr_feed *feed, int64_t now)
{
    if (feed->view == NULL || now - feed->touched_ns < TOUCH_NS)
        return;
    feed->touched_ns = now;
    tkr_meter_look(worker->meter, feed);
    (void)tkr_view_touch(feed->view, now);
}

/* Whoever is dead had stopped writing before its lock was seen free, so one look at empty lanes after that is the last. */
static bool drained(const struct tkr_feed *feed)
{
    if (feed->view == NULL || tkr_feed_state(feed) != TKR_CURSOR_ACTIVE)
        return true;
    for (uint32_t i = 0; i < feed->view->lane_count; i++) {
        uint64_t head;
        if (!tkr_view_lane_head(feed->view, i, &head) ||
            head != atomic_load_explicit(&feed->cursor->lane[i].position, memory_order_relaxed))
            return false;
    }
    return true;
}

/*
 * Settles and reclaims a dead owner's region once its lanes are empty. true: the feed is done with; *ret_more says that some of
 * its open calls are settled and others are not yet.
 */
static bool bury(struct tkr_worker *worker, struct tkr_post *post, struct tkr_feed *feed, bool *ret_more)
{
    if (!atomic_load_explicit(&feed->dead, memory_order_acquire) || !drained(feed))
        return false;
    if (feed->view != NULL && tkr_feed_state(feed) == TKR_CURSOR_ACTIVE &&
        (!tkr_view_lanes_refresh(feed->view) || !drained(feed)))
        return false;
    if (feed->view != NULL && tkr_feed_state(feed) != TKR_CURSOR_GONE) {
        bool settled = tkr_drain_settle(&worker->drain, post->shard, feed, worker->orphans);
        tkr_keeper_count(worker->keeper, post->number, &worker->drain);
        tkr_meter_count(worker->meter, &worker->drain);
        *ret_more |= !settled && !feed->settling_waits;
        if (!settled)
            return false;
        tkr_reaper_bury(worker->reaper, feed->view);
    }
    tkr_meter_look(worker->meter, feed);
    tkr_feed_reclaim(post->shard, feed);
    return feed->cursor == NULL;
}

/* Looks at each feed. true: there is more to settle at once. */
static bool look_after(struct tkr_worker *worker, struct tkr_post *post)
{
    int64_t now = tkr_clock_monotonic_ns();
    struct tkr_feed **link = &post->feeds;
    bool more = false;

    while (*link != NULL) {
        struct tkr_feed *feed = *link;
        touch(worker, feed, now);
        post->waiting += tkr_feed_waiting(feed);
        if (bury(worker, post, feed, &more)) {
            *link = feed->next;
            atomic_store_explicit(&feed->done, true, memory_order_release); /* discovery frees it: last touch */
        } else {
            link = &feed->next;
        }
    }
    return more;
}

/* The feed that was looked at first comes last. */
static void rotate(struct tkr_post *post)
{
    struct tkr_feed *first = post->feeds;
    struct tkr_feed **link = &post->feeds;

    if (first == NULL || first->next == NULL)
        return;
    post->feeds = first->next;
    while (*link != NULL)
        link = &(*link)->next;
    *link = first;
    first->next = NULL;
}

/* One round over a post. true: there was something, or there may be more. */
static bool serve(struct tkr_worker *worker, struct tkr_post *post)
{
    bool more = false;
    bool resolving;
    bool settling;
    int events;

    take_inbox(worker, post);
    resolving = tkr_keeper_resolve(worker->keeper, post->number);
    events = tkr_drain_batch(&worker->drain, post->shard, post->feeds, &more);
    tkr_keeper_count(worker->keeper, post->number, &worker->drain);
    tkr_reaper_obey(worker->reaper, &worker->drain);
    tkr_meter_count(worker->meter, &worker->drain);
    tkr_notices_take(worker->notices, &worker->drain);
    settling = look_after(worker, post);
    tkr_shard_changed_answer(post->shard);
    rotate(post);
    return events > 0 || worker->drain.notices > 0 || (more && events >= 0) || settling || resolving;
}

/* A board may be made while workers are at work. */
static void look_for_limits(struct tkr_worker *worker)
{
    /* What it points to before it; pairs with the release in collector.c. */
    const struct tkr_limit_services *limits =
        worker->limits != NULL ? atomic_load_explicit(worker->limits, memory_order_acquire) : NULL;

    if (limits != NULL) {
        worker->keeper = limits->keeper;
        worker->reaper = limits->reaper;
    }
}

static bool serve_all(struct tkr_worker *worker)
{
    uint32_t waiting = 0;
    bool busy = false;

    look_for_limits(worker);
    for (uint32_t i = worker->first; i < worker->post_count; i += worker->stride) {
        busy |= serve(worker, &worker->posts[i]);
        waiting += worker->posts[i].waiting;
    }
    tkr_meter_wait(worker->meter, waiting);
    tkr_pulse_beat(worker->pulse);
    return busy;
}

/* --- leaving --- */

static void set_goals(struct tkr_worker *worker)
{
    for (uint32_t i = worker->first; i < worker->post_count; i += worker->stride) {
        take_inbox(worker, &worker->posts[i]); /* what discovery found last */
        for (struct tkr_feed *feed = worker->posts[i].feeds; feed != NULL; feed = feed->next)
            tkr_feed_set_goals(feed);
    }
}

/* Is all counted that was published when the end was asked for, and are the dead settled? */
static bool reached_all(const struct tkr_worker *worker)
{
    for (uint32_t i = worker->first; i < worker->post_count; i += worker->stride) {
        for (const struct tkr_feed *feed = worker->posts[i].feeds; feed != NULL; feed = feed->next) {
            if (!tkr_feed_reached(feed) || atomic_load_explicit(&feed->dead, memory_order_relaxed)) /* set before the end */
                return false;
        }
    }
    return true;
}

/* What gateways go on recording meanwhile does not keep a collector from leaving. What was not reached, discovery tells. */
static void finish(struct tkr_worker *worker)
{
    const struct timespec pause = {.tv_nsec = PAUSE_MIN_NS};
    int64_t deadline = tkr_clock_monotonic_ns() + LAST_DRAIN_NS;
    bool busy;

    set_goals(worker);
    do {
        busy = serve_all(worker);
        if (!busy)
            (void)nanosleep(&pause, NULL);
    } while (!reached_all(worker) && tkr_clock_monotonic_ns() < deadline);
}

void *tkr_worker_run(void *argument)
{
    struct tkr_worker *worker = argument;
    int64_t pause_ns = PAUSE_MIN_NS;

    while (!atomic_load_explicit(worker->stop, memory_order_relaxed)) {
        struct timespec pause = {.tv_nsec = pause_ns};
        if (serve_all(worker)) {
            pause_ns = PAUSE_MIN_NS;
            continue;
        }
        (void)nanosleep(&pause, NULL);
        pause_ns = 2 * pause_ns < PAUSE_MAX_NS ? 2 * pause_ns : PAUSE_MAX_NS;
    }
    finish(worker);
    tkr_pulse_set(worker->pulse, 0);
    return NULL;
}
