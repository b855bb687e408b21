/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/collector.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "collector/board.h"
#include "collector/discovery.h"
#include "collector/flusher.h"
#include "collector/home.h"
#include "region/guard.h"

#define LOOK_NS (50 * TKR_NS_PER_MS)
#define LAST_FLUSH_MS 10000

struct tkr_collector {
    struct tkr_collector_config config;
    struct tkr_home home;
    struct tkr_post *post;
    uint32_t post_count;
    struct tkr_worker *worker;
    uint32_t workers_started;
    struct tkr_notices notices;
    struct tkr_monitor monitor;
    struct tkr_shard **shard;       /* of the posts, for the keeper */
    struct tkr_guarded_board board; /* of limits */
    struct tkr_keeper *keeper;      /* of it; NULL: there is none */
    struct tkr_reaper *reaper;      /* the same */
    struct tkr_flusher *flusher;
    struct tkr_discovery *discovery;
    atomic_bool stop_workers;
};

/* As many shards as workers, or as many as there are files: a shard is served for life. */
static uint32_t count_shards(const struct tkr_collector *collector)
{
    uint32_t count = collector->config.workers;
    struct stat status;
    char name[32];

    for (uint32_t i = count; i < TKR_SHARDS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "shard-%u", i);
        if (fstatat(collector->home.folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
            count = i + 1;
    }
    return count;
}

static int open_shards(struct tkr_collector *collector, tkr_message *ret_message)
{
    collector->post_count = count_shards(collector);
    collector->post = calloc(collector->post_count, sizeof(*collector->post));
    collector->shard = calloc(collector->post_count, sizeof(struct tkr_shard *));
    if (collector->post == NULL || collector->shard == NULL)
        return tkr_message_set(ret_message, "no memory for %u shards", collector->post_count);
    for (uint32_t i = 0; i < collector->post_count; i++) {
        struct tkr_shard_options options = {collector->home.name, i, collector->config.accounts_max,
                                            collector->config.models_max};
        struct tkr_shard *shard;
        if (tkr_shard_open(collector->home.folder, &options, &shard, ret_message) != 0)
            return -1;
        if (shard->recovered)
            TKR_LOG(TKR_LOG_INFO, "shard-{shard}: put back a batch that a death had left unfinished", tkr_field_shard(i));
        collector->post[i].shard = shard;
        collector->post[i].number = i;
        collector->shard[i] = shard;
    }
    return 0;
}

/* The board last: it takes the place of the one that is there, and must not do so when nobody would look after it. */
static int make_limits(struct tkr_collector *collector, tkr_message *ret_message)
{
    uint32_t accounts = collector->config.board_accounts;

    if (tkr_keeper_open(&collector->config, &collector->board, collector->shard, collector->post_count,
                        &collector->monitor.keeper, &collector->monitor.limits, &collector->keeper, ret_message) != 0 ||
        tkr_reaper_open(&collector->board, accounts, &collector->reaper, ret_message) != 0)
        return -1;
    return tkr_board_make(collector->home.runtime, accounts, &collector->board.board, ret_message);
}

static void close_limits(struct tkr_collector *collector)
{
    tkr_reaper_close(collector->reaper);
    tkr_keeper_close(collector->keeper);
    tkr_board_unmap(&collector->board.board);
    collector->reaper = NULL;
    collector->keeper = NULL;
}

/* Without a board all else goes on, and no gateway here knows of a limit. */
static void open_limits(struct tkr_collector *collector)
{
    tkr_message message;

    if (make_limits(collector, &message) == 0) {
        collector->monitor.board = &collector->board;
        return;
    }
    close_limits(collector);
    TKR_LOG(TKR_LOG_WARNING, "{error}; limits are not known to gateways", tkr_field_error(message.text));
}

/* Each region holds a descriptor, and the usual soft limit of 1024 is for programs that use select(2). */
static void allow_many_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* if not, the regions beyond it wait */
}

int tkr_collector_open(const struct tkr_collector_config *config, struct tkr_collector **ret_collector, tkr_message *ret_message)
{
    struct tkr_collector *collector = calloc(1, sizeof(*collector));

    if (collector == NULL)
        return tkr_message_set(ret_message, "no memory for the collector");
    collector->config = *config;
    collector->home = (struct tkr_home)TKR_HOME_NONE;
    tkr_notices_open(&collector->notices);
    if (!tkr_monitor_open(&collector->monitor, config->workers, config->users_shown)) {
        (void)tkr_message_set(ret_message, "no memory for what the collector says of itself");
        goto fail;
    }
    collector->worker = aligned_alloc(64, config->workers * sizeof(*collector->worker));
    if (collector->worker == NULL) {
        (void)tkr_message_set(ret_message, "no memory for %u workers", config->workers);
        goto fail;
    }
    allow_many_files();
    if (!tkr_guard_install()) {
        (void)tkr_message_set(ret_message, "cannot install the handler for SIGBUS: %s", strerror(errno));
        goto fail;
    }
    if (tkr_home_open(config, &collector->home, ret_message) != 0 || open_shards(collector, ret_message) != 0 ||
        tkr_flusher_open(config, collector->home.folder, collector->post, collector->post_count, &collector->flusher,
                         ret_message) != 0)
        goto fail;
    open_limits(collector);
    if (tkr_discovery_open(&collector->home, collector->post, collector->post_count, collector->reaper, &collector->discovery,
                           ret_message) != 0)
        goto fail;
    tkr_flusher_attach(collector->flusher, &collector->notices, &collector->monitor);
    *ret_collector = collector;
    return 0;

fail:
    tkr_collector_close(collector);
    return -1;
}

static int start_workers(struct tkr_collector *collector, tkr_message *ret_message)
{
    for (uint32_t i = 0; i < collector->config.workers; i++) {
        struct tkr_worker *worker = &collector->worker[i];
        memset(worker, 0, offsetof(struct tkr_worker, drain));
        worker->posts = collector->post;
        worker->post_count = collector->post_count;
        worker->first = i;
        worker->stride = collector->config.workers;
        worker->orphans = collector->config.orphans;
        worker->stop = &collector->stop_workers;
        worker->notices = &collector->notices;
        worker->keeper = collector->keeper;
        worker->meter = collector->monitor.meter[i];
        worker->pulse = &collector->monitor.worker[i];
        if (pthread_create(&worker->thread, NULL, tkr_worker_run, worker) != 0)
            return tkr_message_set(ret_message, "cannot start worker %u of %u", i + 1, collector->config.workers);
        collector->workers_started++;
    }
    return 0;
}

static void end_workers(struct tkr_collector *collector)
{
    atomic_store_explicit(&collector->stop_workers, true, memory_order_relaxed); /* a flag; join orders the rest */
    while (collector->workers_started > 0)
        (void)pthread_join(collector->worker[--collector->workers_started].thread, NULL);
}

int tkr_collector_run(struct tkr_collector *collector, const atomic_bool *stop, void (*turn)(void *argument), void *argument,
                      tkr_message *ret_message)
{
    const struct timespec pause = {.tv_nsec = LOOK_NS};
    uint64_t left;
    int result = start_workers(collector, ret_message);

    if (result == 0)
        result = tkr_flusher_start(collector->flusher, ret_message);
    if (result == 0)
        result = tkr_keeper_start(collector->keeper, ret_message);
    while (result == 0 && !atomic_load_explicit(stop, memory_order_relaxed)) {
        tkr_discovery_look(collector->discovery);
        tkr_pulse_beat(&collector->monitor.main);
        if (turn != NULL)
            turn(argument);
        (void)nanosleep(&pause, NULL); /* a signal ends it early */
    }
    tkr_pulse_set(&collector->monitor.main, 0);
    if (turn != NULL)
        turn(argument);
    tkr_discovery_look(collector->discovery); /* a producer that came and went just now */
    end_workers(collector);
    tkr_keeper_end(collector->keeper);
    left = tkr_flusher_finish(collector->flusher, LAST_FLUSH_MS);
    if (result == 0 && left > 0)
        result = tkr_message_set(
            ret_message, "the sink did not take %" PRIu64 " accounts in time; they stay in %s and go out at the next start", left,
            collector->config.runtime_path);
    return result;
}

struct tkr_monitor *tkr_collector_monitor(struct tkr_collector *collector)
{
    return &collector->monitor;
}

const struct tkr_collector_config *tkr_collector_config(const struct tkr_collector *collector)
{
    return &collector->config;
}

struct tkr_guarded_board *tkr_collector_board(struct tkr_collector *collector)
{
    return collector->keeper != NULL ? &collector->board : NULL;
}

uint64_t tkr_collector_name(const struct tkr_collector *collector)
{
    return collector->home.name;
}

void tkr_collector_close(struct tkr_collector *collector)
{
    if (collector == NULL)
        return;
    tkr_discovery_close(collector->discovery);
    tkr_flusher_close(collector->flusher);
    close_limits(collector);
    for (uint32_t i = 0; collector->post != NULL && i < collector->post_count; i++)
        tkr_shard_close(collector->post[i].shard);
    free(collector->post);
    free(collector->shard);
    free(collector->worker);
    tkr_notices_close(&collector->notices);
    tkr_monitor_close(&collector->monitor);
    tkr_home_close(&collector->home);
    free(collector);
}
