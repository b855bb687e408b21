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
#include "collector/losses.h"
#include "region/guard.h"

#define LOOK_NS (50 * TKR_NS_PER_MS)
#define LAST_FLUSH_MS 10000
#define LIMITS_PAUSE_MIN_NS TKR_NS_PER_S /* before a board that could not be made is tried again: the first time, and at most */
#define LIMITS_PAUSE_MAX_NS (60 * TKR_NS_PER_S)

struct tkr_collector {
    struct tkr_collector_config config;
    struct tkr_home home;
    struct tkr_post *post;
    uint32_t post_count;
    struct tkr_worker *worker;
    uint32_t workers_started;
    struct tkr_notices notices;
    struct tkr_monitor monitor;
    struct tkr_losses losses;
    struct tkr_shard **shard;                            /* of the posts, for the keeper */
    struct tkr_guarded_board board;                      /* of limits */
    struct tkr_limit_services limits;                    /* NULL in it: there is no board */
    _Atomic(struct tkr_limit_services *) limits_at_work; /* for workers; NULL: there is none yet */
    int64_t limits_pause_ns;                             /* between tries to make a board; 0: none has failed */
    int64_t limits_retry_ns;                             /* monotonic: of the next one */
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

/*
 * Memory that defaults want is not there everywhere: containers often get 64 MiB. The board is made smaller then, and what is
 * recommended is said: eight boards of the size that was asked for, or TKR_TMPFS_RECOMMENDED_BYTES.
 */
static void fit_board(struct tkr_collector *collector)
{
    uint32_t wanted = collector->config.board_accounts;
    uint32_t places = tkr_board_places(wanted);
    uint64_t recommended = 8 * (tkr_board_bytes(places) + tkr_reservations_bytes(places));
    struct tkr_tmpfs tmpfs;

    if (!tkr_tmpfs_read(collector->home.runtime, &tmpfs))
        return;
    if (recommended < TKR_TMPFS_RECOMMENDED_BYTES)
        recommended = TKR_TMPFS_RECOMMENDED_BYTES;
    collector->config.board_accounts = tkr_board_accounts_fit(collector->home.runtime, &tmpfs, wanted);
    if (tmpfs.bytes != 0 && tmpfs.bytes < recommended)
        tkr_log(TKR_LOG_WARNING,
                "%s is on a tmpfs of %" PRIu64 " MiB, of which %" PRIu64 " are free; %" PRIu64 " MiB are recommended (mount -o "
                "remount,size=...; docker run --shm-size): what gateways record while no collector runs has to fit",
                collector->config.runtime_path, tmpfs.bytes >> 20, tmpfs.available >> 20, recommended >> 20);
    if (collector->config.board_accounts < wanted)
        tkr_log(
            TKR_LOG_WARNING,
            "the board of limits has room for %u accounts instead of %u (TOKENRING_BOARD_ACCOUNTS): an eighth of the tmpfs, and "
            "half of what is free of it, hold no more",
            collector->config.board_accounts, wanted);
}

/* The board that is there, with all that calls hold; else a new one. */
static int find_board(struct tkr_collector *collector, uint32_t accounts, tkr_message *ret_message)
{
    int result = tkr_board_take_over(collector->home.runtime, accounts, &collector->board.board, ret_message);

    if (result == 0)
        result = tkr_board_make(collector->home.runtime, accounts, &collector->board.board, ret_message);
    if (result < 0)
        return -1;
    tkr_reaper_wait(collector->limits.reaper);
    return 0;
}

/* The board last: it takes the place of the one that is there, and must not do so when nobody would look after it. */
static int make_limits(struct tkr_collector *collector, tkr_message *ret_message)
{
    uint32_t accounts = collector->config.board_accounts;

    if (tkr_keeper_open(&collector->config, &collector->board, collector->shard, collector->post_count,
                        &collector->monitor.keeper, &collector->monitor.limits, &collector->limits.keeper, ret_message) != 0 ||
        tkr_reaper_open(&collector->board, accounts, &collector->limits.reaper, ret_message) != 0)
        return -1;
    return find_board(collector, accounts, ret_message);
}

static void close_limits(struct tkr_collector *collector)
{
    tkr_reaper_close(collector->limits.reaper);
    tkr_keeper_close(collector->limits.keeper);
    tkr_board_unmap(&collector->board.board);
    collector->limits = (struct tkr_limit_services){NULL, NULL};
}

/* Without a board all else goes on, and no gateway here knows of a limit; so it is tried again, and said once. */
static bool open_limits(struct tkr_collector *collector)
{
    tkr_message message;

    if (make_limits(collector, &message) == 0) {
        atomic_store_explicit(&collector->monitor.board, &collector->board, memory_order_release);
        return true;
    }
    close_limits(collector);
    if (collector->limits_pause_ns == 0)
        TKR_LOG(TKR_LOG_WARNING, "{error}; limits are not known to gateways; trying again", tkr_field_error(message.text));
    collector->limits_pause_ns = collector->limits_pause_ns == 0                    ? LIMITS_PAUSE_MIN_NS
                                 : collector->limits_pause_ns < LIMITS_PAUSE_MAX_NS ? 2 * collector->limits_pause_ns
                                                                                    : LIMITS_PAUSE_MAX_NS;
    collector->limits_retry_ns = tkr_clock_monotonic_ns() + collector->limits_pause_ns;
    return false;
}

/* Workers find it, and the main thread's own. */
static int start_limits(struct tkr_collector *collector, tkr_message *ret_message)
{
    if (collector->limits.keeper == NULL)
        return 0;
    if (tkr_keeper_start(collector->limits.keeper, ret_message) != 0)
        return -1;
    tkr_discovery_reap(collector->discovery, collector->limits.reaper);
    /* The board and all that works on it before it; pairs with the acquire in worker.c. */
    atomic_store_explicit(&collector->limits_at_work, &collector->limits, memory_order_release);
    return 0;
}

/* While there is no board. */
static int retry_limits(struct tkr_collector *collector, tkr_message *ret_message)
{
    if (collector->limits.keeper != NULL || tkr_clock_monotonic_ns() < collector->limits_retry_ns || !open_limits(collector))
        return 0;
    tkr_log(TKR_LOG_INFO, "the board of limits is made: limits are known to gateways");
    return start_limits(collector, ret_message);
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
    fit_board(collector);
    tkr_losses_open(&collector->losses, collector->home.runtime, collector->config.runtime_path);
    (void)open_limits(collector);
    if (tkr_discovery_open(&collector->home, collector->post, collector->post_count, NULL, &collector->discovery, ret_message) !=
        0)
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
        memset((void *)worker, 0, offsetof(struct tkr_worker, drain));
        worker->posts = collector->post;
        worker->post_count = collector->post_count;
        worker->first = i;
        worker->stride = collector->config.workers;
        worker->orphans = collector->config.orphans;
        worker->stop = &collector->stop_workers;
        worker->notices = &collector->notices;
        worker->limits = &collector->limits_at_work;
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

/* --- running --- */

/* Shows others what discovery has found. */
static void tell_found(struct tkr_collector *collector)
{
    struct tkr_unreadable unreadable;

    atomic_store_explicit(&collector->monitor.gateways, tkr_discovery_gateways(collector->discovery),
                          memory_order_relaxed); /* a figure */
    tkr_discovery_unreadable(collector->discovery, &unreadable);
    if (unreadable.count > 0 || collector->monitor.unreadable.count > 0) /* this thread's own */
        tkr_monitor_unreadable_set(&collector->monitor, &unreadable);
}

/* One round of the main loop. */
static void look(struct tkr_collector *collector, void (*turn)(void *argument), void *argument)
{
    const struct timespec pause = {.tv_nsec = LOOK_NS};

    tkr_discovery_look(collector->discovery);
    tell_found(collector);
    tkr_losses_look(&collector->losses, &collector->monitor, tkr_clock_monotonic_ns(), false);
    tkr_pulse_beat(&collector->monitor.main);
    if (turn != NULL)
        turn(argument);
    (void)nanosleep(&pause, NULL); /* a signal ends it early */
}

/* Goes on for the gateways that are attached: what they record last would else wait for a collector that may never come. */
static void linger(struct tkr_collector *collector, const atomic_uint *stops, void (*turn)(void *argument), void *argument)
{
    int64_t until_ns = tkr_clock_monotonic_ns() + (int64_t)collector->config.linger_s * TKR_NS_PER_S;

    tkr_discovery_look(collector->discovery); /* a gateway that came just now */
    if (collector->config.linger_s == 0 || tkr_discovery_gateways(collector->discovery) == 0)
        return;
    TKR_LOG(TKR_LOG_INFO,
            tkr_discovery_gateways(collector->discovery) == 1
                ? "asked to leave while {gateways} gateway runs: collecting until it has gone, {seconds} s at most"
                : "asked to leave while {gateways} gateways run: collecting until they have gone, {seconds} s at most",
            tkr_field_gateways(tkr_discovery_gateways(collector->discovery)), tkr_field_seconds(collector->config.linger_s));
    atomic_store_explicit(&collector->monitor.linger_until_ns, until_ns, memory_order_relaxed); /* a figure */
    while (atomic_load_explicit(stops, memory_order_relaxed) < 2 && tkr_discovery_gateways(collector->discovery) > 0 &&
           tkr_clock_monotonic_ns() < until_ns)
        look(collector, turn, argument);
    atomic_store_explicit(&collector->monitor.linger_until_ns, 0, memory_order_relaxed);
}

/* --- the end --- */

/* Says what is left in the directory or in memory, each in a line. 0: nothing is. */
static int judge_left(const struct tkr_collector *collector, const struct tkr_left *left, uint64_t unflushed,
                      tkr_message *ret_message)
{
    struct tkr_unreadable unreadable;

    tkr_discovery_unreadable(collector->discovery, &unreadable);
    if (left->unreadable > 0)
        TKR_LOG(TKR_LOG_ERROR, "not counted, since they cannot be read: regions of gateways: {files}; the first: {reason}",
                tkr_field_files(left->unreadable), tkr_field_reason(unreadable.region[0].reason));
    if (left->no_cursor > 0)
        TKR_LOG(TKR_LOG_ERROR, "not counted, for lack of room: regions of gateways: {files}", tkr_field_files(left->no_cursor));
    if (left->behind > 0)
        TKR_LOG(TKR_LOG_ERROR, "not counted in time: {records} records of {gateways} gateways", tkr_field_records(left->records),
                tkr_field_gateways(left->behind));
    if (left->unfinished > 0)
        TKR_LOG(TKR_LOG_ERROR, "not settled in time: open calls of {gateways} gateways that have ended",
                tkr_field_gateways(left->unfinished));
    if (left->other_layout > 0)
        TKR_LOG(TKR_LOG_ERROR, "not counted, since the collector of another version reads them: regions of gateways: {files}",
                tkr_field_files(left->other_layout));
    if (unflushed > 0)
        return tkr_message_set(ret_message,
                               "the sink did not take %" PRIu64 " accounts in time; they stay in %s and go out at the next start",
                               unflushed, collector->config.runtime_path);
    if (left->unreadable + left->no_cursor + left->behind + left->unfinished + left->other_layout == 0)
        return 0;
    return tkr_message_set(ret_message, "not all is counted; what is left stays in %s for the next collector",
                           collector->config.runtime_path);
}

/* Of those that go on recording, once all before is counted. */
static void say_attached(const struct tkr_left *left)
{
    if (left->gateways > 0)
        TKR_LOG(TKR_LOG_WARNING,
                left->gateways == 1
                    ? "{gateways} gateway still runs: what it records from now on waits in its lanes for the next collector"
                    : "{gateways} gateways still run: what they record from now on waits in their lanes for the next collector",
                tkr_field_gateways(left->gateways));
}

int tkr_collector_run(struct tkr_collector *collector, const atomic_uint *stops, void (*turn)(void *argument), void *argument,
                      tkr_message *ret_message)
{
    struct tkr_left left;
    uint64_t unflushed;
    int result = start_limits(collector, ret_message);

    if (result == 0)
        result = start_workers(collector, ret_message);
    if (result == 0)
        result = tkr_flusher_start(collector->flusher, ret_message);
    while (result == 0 && atomic_load_explicit(stops, memory_order_relaxed) == 0) {
        result = retry_limits(collector, ret_message);
        look(collector, turn, argument);
    }
    if (result == 0)
        linger(collector, stops, turn, argument);
    tkr_pulse_set(&collector->monitor.main, 0);
    if (turn != NULL)
        turn(argument);
    tkr_discovery_look_last(collector->discovery); /* a producer that came and went just now */
    tell_found(collector);
    end_workers(collector);
    tkr_losses_look(&collector->losses, &collector->monitor, tkr_clock_monotonic_ns(), true);
    tkr_keeper_end(collector->limits.keeper);
    unflushed = tkr_flusher_finish(collector->flusher, LAST_FLUSH_MS);
    if (result != 0)
        return result;
    tkr_discovery_left(collector->discovery, &left);
    say_attached(&left);
    return judge_left(collector, &left, unflushed, ret_message);
}

void tkr_collector_note(struct tkr_collector *collector, enum tkr_problem problem, const tkr_message *message)
{
    tkr_flusher_note(collector->flusher, problem, message);
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
    return collector->limits.keeper != NULL ? &collector->board : NULL;
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
