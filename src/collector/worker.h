/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers: threads that each serve whole shards. A shard at work is a post: its feeds, an inbox that discovery fills and a
 * list that is the worker's alone.
 */
#ifndef TKR_COLLECTOR_WORKER_H
#define TKR_COLLECTOR_WORKER_H

#include <pthread.h>

#include "collector/drain.h"
#include "collector/keeper.h"
#include "collector/monitor.h"
#include "collector/notices.h"
#include "collector/reaper.h"

/* A shard with its feeds. */
struct tkr_post {
    struct tkr_shard *shard;
    uint32_t number;                  /* of the post */
    _Atomic(struct tkr_feed *) inbox; /* feeds to take up; any thread pushes, the worker takes all */
    struct tkr_feed *feeds;           /* the worker's */
};

/* What works on limits. */
struct tkr_limit_services {
    struct tkr_keeper *keeper;
    struct tkr_reaper *reaper;
};

/* A thread and the posts that it serves: every `stride`th from `first` on. */
struct tkr_worker {
    pthread_t thread;
    struct tkr_post *posts;
    uint32_t post_count;
    uint32_t first;
    uint32_t stride;
    enum tkr_orphan_policy orphans;
    const atomic_bool *stop;
    struct tkr_notices *notices;                        /* of all workers; NULL: nobody wants them */
    const _Atomic(struct tkr_limit_services *) *limits; /* NULL in it: there is no board, perhaps later */
    struct tkr_keeper *keeper;                          /* of them, as the worker has found it; NULL: none */
    struct tkr_reaper *reaper;                          /* the same */
    struct tkr_meter *meter;                            /* its own; NULL: nobody wants it */
    struct tkr_pulse *pulse;                            /* that it moves; may be NULL */
    struct tkr_drain drain;
};

/* Hands a feed to the post's worker. Any thread. */
void tkr_post_give(struct tkr_post *post, struct tkr_feed *feed);

/*
 * The thread's body: drains until *stop, then once more all that the lanes hold at that moment, and returns. argument is the
 * struct tkr_worker.
 */
void *tkr_worker_run(void *argument);

#endif
