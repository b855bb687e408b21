/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/flusher.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "collector/delivery.h"
#include "collector/forget.h"

#define ANSWER_NS (200 * TKR_NS_PER_MS) /* a worker answers within its longest pause, if it gets a processor */
#define ANSWER_POLL_NS TKR_NS_PER_MS
#define POLL_NS (100 * TKR_NS_PER_MS) /* while something waits */
#define BACKOFF_MAX_NS (5 * TKR_NS_PER_S)
#define PROBE_NS TKR_NS_PER_S /* between looks whether the sink has gone back */

struct tkr_flusher {
    struct tkr_delivery delivery;
    uint32_t interval_ms;
    uint64_t forget_after_s;
    struct tkr_health health;
    struct tkr_health_file *health_file; /* NULL: it could not be made */
    struct tkr_notices *notices;         /* NULL: there are none */
    uint32_t attempts;                   /* failures in a row before the sink is called failing */
    bool local;                          /* the sink is a file of this host */
    int64_t backoff_min_ns;
    tkr_message said;      /* the failure that the log has */
    int64_t backoff_ns;    /* of the last failure */
    int64_t not_before_ns; /* no try before */
    int64_t probe_ns;      /* next probe */
    uint64_t random;
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool finish;
    bool workers_ended; /* the flusher answers for them */
};

/* --- taking what has changed --- */

static void wait_for_answers(struct tkr_flusher *flusher)
{
    const struct timespec pause = {.tv_nsec = ANSWER_POLL_NS};
    int64_t deadline = tkr_clock_monotonic_ns() + ANSWER_NS;

    for (uint32_t i = 0; i < flusher->delivery.outlet_count; i++) {
        while (!tkr_shard_changed_answered(flusher->delivery.outlet[i].shard) && tkr_clock_monotonic_ns() < deadline)
            (void)nanosleep(&pause, NULL);
    }
}

/* Requests are the worker's from the question to the answer: a question that is still open is not asked again. */
static void ask(struct tkr_flusher *flusher, struct tkr_outlet *outlet)
{
    uint64_t now_s = (uint64_t)(tkr_clock_boot_ns() / TKR_NS_PER_S);

    if (!tkr_shard_changed_answered(outlet->shard))
        return;
    tkr_forget_take(outlet); /* an answer that came late */
    tkr_forget_mark(outlet, now_s, flusher->forget_after_s);
    tkr_forget_request(outlet, now_s, flusher->forget_after_s);
    tkr_shard_changed_ask(outlet->shard);
}

static void take_changed(struct tkr_flusher *flusher)
{
    bool ended;

    (void)pthread_mutex_lock(&flusher->mutex);
    ended = flusher->workers_ended;
    (void)pthread_mutex_unlock(&flusher->mutex);
    for (uint32_t i = 0; i < flusher->delivery.outlet_count; i++) {
        ask(flusher, &flusher->delivery.outlet[i]);
        if (ended)
            tkr_shard_changed_answer(flusher->delivery.outlet[i].shard);
    }
    wait_for_answers(flusher);
    for (uint32_t i = 0; i < flusher->delivery.outlet_count; i++) {
        struct tkr_outlet *outlet = &flusher->delivery.outlet[i];
        struct tkr_changed *list = outlet->taken != NULL ? outlet->taken : tkr_shard_changed_take(outlet->shard);
        if (tkr_shard_changed_answered(outlet->shard))
            tkr_forget_take(outlet);
        if (list != NULL)
            tkr_outlet_enqueue(outlet, list);
    }
}

/* --- failures --- */

static uint64_t next_random(struct tkr_flusher *flusher)
{
    uint64_t z = flusher->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 (Steele, Lea, Flood 2014) */

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void set_state(struct tkr_health *health, enum tkr_health_state state)
{
    if (health->state != state) {
        health->since_ns = tkr_clock_unix_ns();
        health->since_monotonic_ns = tkr_clock_monotonic_ns();
    }
    health->state = state;
    health->failures = 0;
    memset(health->error, 0, sizeof(health->error));
}

/* Once when it begins; again when there is another reason. Reasons that take turns are the log's to limit. */
static void tell_failure(struct tkr_flusher *flusher, const tkr_message *message)
{
    if (flusher->health.state != TKR_HEALTH_FAILING)
        TKR_LOG(TKR_LOG_WARNING, "the sink does not take usage: {error}; it is kept here, trying again",
                tkr_field_error(message->text));
    else if (strcmp(flusher->said.text, message->text) != 0)
        TKR_LOG(TKR_LOG_WARNING, "the sink still takes no usage, now: {error}", tkr_field_error(message->text));
    flusher->said = *message;
}

/*
 * The first tries that fail may be a hiccup; beyond them the sink is called failing, and the log has it. A file that cannot be
 * written at the start is no hiccup.
 */
static void note_failure(struct tkr_flusher *flusher, const tkr_message *message)
{
    struct tkr_health *health = &flusher->health;
    uint64_t failures = ++health->failures;

    if (failures < flusher->attempts && (!flusher->local || health->answered_ns != 0)) {
        TKR_LOG(TKR_LOG_DEBUG,
                "a try to flush failed, number {failures} of {attempts} before the sink is called failing: {error}",
                tkr_field_failures(failures), tkr_field_attempts(flusher->attempts), tkr_field_error(message->text));
        return;
    }
    tell_failure(flusher, message);
    set_state(health, TKR_HEALTH_FAILING);
    health->failures = failures;
    (void)snprintf(health->error, sizeof(health->error), "%s", message->text);
}

static void note_success(struct tkr_flusher *flusher)
{
    int64_t now = tkr_clock_monotonic_ns();

    if (flusher->health.state == TKR_HEALTH_FAILING)
        TKR_LOG(TKR_LOG_INFO, "the sink takes usage again, after {duration_ms} ms",
                tkr_field_duration_ms((now - flusher->health.since_monotonic_ns) / TKR_NS_PER_MS));
    set_state(&flusher->health, TKR_HEALTH_GOOD);
    flusher->health.answered_ns = tkr_clock_unix_ns();
    flusher->health.answered_monotonic_ns = now;
}

/* Once when there is something to say, when it changes, and when it is over. */
static void note_advice(struct tkr_flusher *flusher)
{
    struct tkr_health *health = &flusher->health;
    const char *advice = flusher->delivery.advice.text;

    if (strcmp(health->advice, advice) == 0)
        return;
    if (advice[0] != '\0')
        TKR_LOG(TKR_LOG_WARNING, "the sink's settings endanger what it holds: {reason}", tkr_field_reason(advice));
    else
        tkr_log(TKR_LOG_INFO, "the sink's settings no longer endanger what it holds, as far as it lets us see");
    memset(health->advice, 0, sizeof(health->advice));
    (void)snprintf(health->advice, sizeof(health->advice), "%s", advice);
}

static void set_problem(struct tkr_health *health, enum tkr_problem problem, const tkr_message *message)
{
    memset(health->problem[problem], 0, sizeof(health->problem[problem]));
    (void)snprintf(health->problem[problem], sizeof(health->problem[problem]), "%s", message->text);
}

/* The log has it once when it begins, and when it is over. */
static void note_wal(struct tkr_flusher *flusher)
{
    struct tkr_health *health = &flusher->health;
    const tkr_sink *sink = flusher->delivery.sink;
    bool before = health->problem[TKR_PROBLEM_WAL][0] != '\0';
    tkr_message message = {""};

    health->wal_bytes = sink->ops->wal_bytes != NULL ? sink->ops->wal_bytes(sink) : 0;
    if (health->wal_bytes > TKR_HEALTH_WAL_BYTES)
        (void)tkr_message_set(&message,
                              "%.130s: its write-ahead log has %" PRIu64 " MiB and grows while a reader keeps a transaction "
                              "open; end that reader (fuser lists who has the file open)",
                              health->sink, health->wal_bytes >> 20);
    set_problem(health, TKR_PROBLEM_WAL, &message);
    if (message.text[0] != '\0' && !before)
        TKR_LOG(TKR_LOG_WARNING, "{reason}", tkr_field_reason(message.text));
    else if (message.text[0] == '\0' && before)
        tkr_log(TKR_LOG_INFO, "the ledger's write-ahead log is small again");
}

/* The log's own thread has said it. */
static void note_log(struct tkr_flusher *flusher)
{
    tkr_message message = {""};

    (void)tkr_log_problem(&message); /* empty without one */
    set_problem(&flusher->health, TKR_PROBLEM_LOG, &message);
}

/* Exponential back-off with full jitter. */
static void back_off(struct tkr_flusher *flusher)
{
    flusher->backoff_ns = flusher->backoff_ns == 0 ? flusher->backoff_min_ns : 2 * flusher->backoff_ns;
    if (flusher->backoff_ns > BACKOFF_MAX_NS && flusher->backoff_ns > flusher->backoff_min_ns)
        flusher->backoff_ns = BACKOFF_MAX_NS > flusher->backoff_min_ns ? BACKOFF_MAX_NS : flusher->backoff_min_ns;
    flusher->not_before_ns = tkr_clock_monotonic_ns() + (int64_t)(next_random(flusher) % (uint64_t)flusher->backoff_ns);
}

/* The flusher's own loop moves: this is it. */
static void tell_limits(struct tkr_monitor *monitor, struct tkr_health *health)
{
    tkr_message named;

    if (monitor == NULL)
        return;
    health->limits_unreadable = tkr_monitor_limits_unreadable(monitor, &named);
    health->limits_no_room = tkr_monitor_no_room(monitor, tkr_clock_monotonic_ns());
    memcpy(health->limit_unreadable, named.text, sizeof(health->limit_unreadable));
}

static void tell_loops(const struct tkr_monitor *monitor, struct tkr_health *health)
{
    const char *who = "main";

    health->seen_ns = tkr_clock_monotonic_ns();
    health->stalled_ns = monitor != NULL ? tkr_monitor_stalled_ns(monitor, health->seen_ns, &who) : 0;
    (void)snprintf(health->stalled, sizeof(health->stalled), "%s", who);
    health->no_board = monitor != NULL && tkr_monitor_no_board(monitor);
}

/* Figures of the main thread. */
static void tell_shortage(const struct tkr_monitor *monitor, struct tkr_health *health)
{
    if (monitor == NULL)
        return;
    health->waiting_lanes = atomic_load_explicit(&monitor->shortage.lanes, memory_order_relaxed); /* figures, here and below */
    health->dropped_recent = atomic_load_explicit(&monitor->shortage.dropped_recent, memory_order_relaxed);
    health->tmpfs_bytes = atomic_load_explicit(&monitor->shortage.tmpfs_bytes, memory_order_relaxed);
    health->tmpfs_available = atomic_load_explicit(&monitor->shortage.tmpfs_available, memory_order_relaxed);
}

/* What cannot be read of the directory, and is not counted. */
static void tell_unreadable(struct tkr_monitor *monitor, struct tkr_health *health)
{
    struct tkr_unreadable unreadable;

    if (monitor == NULL)
        return;
    tkr_monitor_unreadable(monitor, &unreadable);
    health->unreadable = unreadable.count;
    health->unreadable_named = unreadable.named;
    memcpy(health->unreadable_region, unreadable.region, sizeof(health->unreadable_region));
}

static void publish(struct tkr_flusher *flusher)
{
    struct tkr_health *health = &flusher->health;
    const struct tkr_parking *parking = &flusher->delivery.parking;

    health->parked = tkr_delivery_parked(&flusher->delivery);
    health->named = parking->named;
    memcpy(health->account, parking->account, sizeof(health->account));
    tkr_notices_tell(flusher->notices, health);
    tell_loops(flusher->delivery.told.monitor, health);
    tell_shortage(flusher->delivery.told.monitor, health);
    tell_unreadable(flusher->delivery.told.monitor, health);
    tell_limits(flusher->delivery.told.monitor, health);
    tkr_health_publish(flusher->health_file, health);
}

/* --- telling the monitor --- */

static uint64_t count_waiting(const struct tkr_delivery *delivery)
{
    uint64_t waiting = 0;

    for (uint32_t i = 0; i < delivery->outlet_count; i++)
        waiting += delivery->outlet[i].queue.count - delivery->outlet[i].queue.first;
    return waiting;
}

static uint64_t count_rechecks(const struct tkr_delivery *delivery)
{
    uint64_t rechecks = 0;

    for (uint32_t i = 0; i < delivery->outlet_count; i++)
        rechecks += delivery->outlet[i].rechecks;
    return rechecks;
}

/* What waits now has waited since the first pass that left something. */
static void tell_monitor(struct tkr_flusher *flusher, int64_t begun_ns)
{
    struct tkr_monitor *monitor = flusher->delivery.told.monitor;
    struct tkr_flush_figures *flush;
    uint64_t waiting;

    if (monitor == NULL)
        return;
    flush = &monitor->flush;
    waiting = count_waiting(&flusher->delivery);
    atomic_store_explicit(&flush->waiting, waiting, memory_order_relaxed); /* figures, here and below */
    atomic_store_explicit(&flush->parked_now, tkr_delivery_parked(&flusher->delivery), memory_order_relaxed);
    atomic_store_explicit(&flush->rechecks, count_rechecks(&flusher->delivery), memory_order_relaxed);
    if (waiting == 0)
        atomic_store_explicit(&flush->unflushed_since_ns, 0, memory_order_relaxed);
    else if (atomic_load_explicit(&flush->unflushed_since_ns, memory_order_relaxed) == 0)
        atomic_store_explicit(&flush->unflushed_since_ns, begun_ns, memory_order_relaxed);
    tkr_ranking_decide(monitor->ranking, begun_ns);
    tkr_pulse_beat(&monitor->flusher);
}

/* --- passes --- */

static void set_probes(struct tkr_flusher *flusher, int64_t now)
{
    if (now < flusher->probe_ns)
        return;
    flusher->probe_ns = now + PROBE_NS;
    tkr_delivery_probe(&flusher->delivery);
}

/* Sends what there is, unless the sink is left alone at present. true: all queues are empty. */
static bool send(struct tkr_flusher *flusher, int64_t now)
{
    tkr_message message = {""};
    bool sends = count_waiting(&flusher->delivery) > 0; /* and no empty chunks only */

    if (!tkr_delivery_busy(&flusher->delivery))
        return true;
    TKR_CRASH(FLUSH_TAKEN);
    if (now < flusher->not_before_ns)
        return false;
    if (tkr_delivery_serve(&flusher->delivery, &message) != 0) {
        tkr_delivery_fail(&flusher->delivery);
        if (flusher->delivery.told.monitor != NULL)
            tkr_add_own(&flusher->delivery.told.monitor->flush.failures, 1);
        note_failure(flusher, &message);
        back_off(flusher);
        return false;
    }
    note_success(flusher);
    if (sends && flusher->delivery.told.monitor != NULL)
        tkr_buckets_add(&flusher->delivery.told.monitor->flush.duration, &tkr_flush_bounds,
                        (uint64_t)((tkr_clock_monotonic_ns() - now) / TKR_NS_PER_US), 1);
    flusher->backoff_ns = 0;
    return !tkr_delivery_queued(&flusher->delivery);
}

/* One pass; with take set, over what has changed since the last one. true: all queues are empty. */
static bool pass(struct tkr_flusher *flusher, bool take)
{
    int64_t now = tkr_clock_monotonic_ns();
    bool done;

    if (take)
        take_changed(flusher);
    set_probes(flusher, now);
    tkr_parking_tell(&flusher->delivery.parking, now);
    if (flusher->health.state != TKR_HEALTH_FAILING) /* else they only wait elsewhere */
        tkr_delivery_unpark(&flusher->delivery, now);
    done = send(flusher, now);
    tkr_recorded_say(&flusher->delivery.told.recorded);
    tkr_parking_tell(&flusher->delivery.parking, tkr_clock_monotonic_ns());
    note_advice(flusher);
    note_wal(flusher);
    note_log(flusher);
    publish(flusher);
    tell_monitor(flusher, now);
    return done;
}

/* Waits until the next pass is due or the end is asked for. true: it is. */
static bool wait_for_next(struct tkr_flusher *flusher, int64_t at_ns)
{
    struct timespec at = {.tv_sec = at_ns / TKR_NS_PER_S, .tv_nsec = at_ns % TKR_NS_PER_S};
    bool finish;

    (void)pthread_mutex_lock(&flusher->mutex);
    while (!flusher->finish && tkr_clock_monotonic_ns() < at_ns) {
        if (pthread_cond_timedwait(&flusher->wake, &flusher->mutex, &at) == ETIMEDOUT)
            break;
    }
    finish = flusher->finish;
    (void)pthread_mutex_unlock(&flusher->mutex);
    return finish;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* When there is something to do again, besides the next flush. */
static int64_t next_turn(struct tkr_flusher *flusher, int64_t flush_ns, bool done)
{
    int64_t now = tkr_clock_monotonic_ns();
    int64_t turn = earlier(flush_ns, flusher->probe_ns);

    if (tkr_delivery_rechecking(&flusher->delivery))
        turn = earlier(turn, flusher->delivery.recheck_ns);
    if (!done)
        turn = earlier(turn, now + POLL_NS);
    return turn > flusher->not_before_ns ? turn : flusher->not_before_ns;
}

static void *run(void *argument)
{
    struct tkr_flusher *flusher = argument;
    int64_t interval_ns = (int64_t)flusher->interval_ms * TKR_NS_PER_MS;
    int64_t flush_ns = tkr_clock_monotonic_ns() + interval_ns;
    int64_t turn_ns = tkr_clock_monotonic_ns(); /* looks at the sink at once */

    while (!wait_for_next(flusher, turn_ns)) {
        bool due = tkr_clock_monotonic_ns() >= flush_ns;
        bool done = pass(flusher, due);
        if (due && (flush_ns += interval_ns) < tkr_clock_monotonic_ns())
            flush_ns = tkr_clock_monotonic_ns() + interval_ns; /* it stretches until a pass is through */
        turn_ns = next_turn(flusher, flush_ns, done);
    }
    if (flusher->delivery.told.monitor != NULL)
        tkr_pulse_set(&flusher->delivery.told.monitor->flusher, 0);
    return NULL;
}

/* --- life --- */

static void open_outlets(struct tkr_flusher *flusher, const struct tkr_post *posts)
{
    for (uint32_t i = 0; i < flusher->delivery.outlet_count; i++)
        tkr_outlet_open(&flusher->delivery.outlet[i], posts[i].shard);
}

/* Others are told nothing, where the folder has no room for it. */
static void open_health(struct tkr_flusher *flusher, const struct tkr_collector_config *config, int folder)
{
    tkr_message sink;

    tkr_sink_describe(&config->sink, &sink);
    (void)snprintf(flusher->health.sink, sizeof(flusher->health.sink), "%s", sink.text);
    flusher->health.since_ns = tkr_clock_unix_ns();
    flusher->health.since_monotonic_ns = flusher->health.seen_ns = tkr_clock_monotonic_ns();
    flusher->health.patience_ns = tkr_sink_patience_ns(&config->sink);
    flusher->health_file = tkr_health_open(folder);
    if (flusher->health_file == NULL)
        tkr_log(TKR_LOG_WARNING, "cannot make the file that tells others about the sink: tokenring stat will not");
    tkr_health_publish(flusher->health_file, &flusher->health);
}

static bool make_wake(struct tkr_flusher *flusher)
{
    pthread_condattr_t attributes;
    bool made = pthread_condattr_init(&attributes) == 0 && pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                pthread_mutex_init(&flusher->mutex, NULL) == 0 && pthread_cond_init(&flusher->wake, &attributes) == 0;

    (void)pthread_condattr_destroy(&attributes);
    return made;
}

int tkr_flusher_open(const struct tkr_collector_config *config, int folder, struct tkr_post *posts, uint32_t post_count,
                     struct tkr_flusher **ret_flusher, tkr_message *ret_message)
{
    struct tkr_flusher *flusher = calloc(1, sizeof(*flusher));
    tkr_sink *sink;

    if (flusher == NULL)
        return tkr_message_set(ret_message, "no memory for the flusher");
    flusher->interval_ms = config->flush_interval_ms;
    flusher->forget_after_s = config->forget_after_s;
    flusher->attempts = config->attempts;
    flusher->local = config->sink.kind == TKR_SINK_SQLITE;
    flusher->backoff_min_ns = (int64_t)config->retry_delay_ms * TKR_NS_PER_MS;
    flusher->delivery.parking.retry_ns = (int64_t)config->parked_retry_ms * TKR_NS_PER_MS;
    if (tkr_sink_open(&config->sink, &sink, ret_message) != 0) {
        free(flusher);
        return -1;
    }
    if (!tkr_delivery_open(&flusher->delivery, sink, post_count) ||
        !tkr_recorded_open(&flusher->delivery.told.recorded, config->recorded_max) ||
        !tkr_random(&flusher->random, sizeof(flusher->random)) || !make_wake(flusher)) {
        tkr_flusher_close(flusher);
        return tkr_message_set(ret_message, "no memory for the flusher");
    }
    open_outlets(flusher, posts);
    open_health(flusher, config, folder);
    *ret_flusher = flusher;
    return 0;
}

void tkr_flusher_attach(struct tkr_flusher *flusher, struct tkr_notices *notices, struct tkr_monitor *monitor)
{
    flusher->notices = notices;
    flusher->delivery.told.monitor = monitor;
}

void tkr_flusher_note(struct tkr_flusher *flusher, enum tkr_problem problem, const tkr_message *message)
{
    set_problem(&flusher->health, problem, message);
    tkr_health_publish(flusher->health_file, &flusher->health);
}

int tkr_flusher_start(struct tkr_flusher *flusher, tkr_message *ret_message)
{
    if (pthread_create(&flusher->thread, NULL, run, flusher) != 0)
        return tkr_message_set(ret_message, "cannot start the flusher's thread");
    flusher->started = true;
    return 0;
}

static uint64_t count_left(const struct tkr_flusher *flusher)
{
    uint64_t left = 0;

    for (uint32_t i = 0; i < flusher->delivery.outlet_count; i++)
        left += tkr_outlet_left(&flusher->delivery.outlet[i]);
    return left;
}

uint64_t tkr_flusher_finish(struct tkr_flusher *flusher, uint32_t deadline_ms)
{
    int64_t deadline = tkr_clock_monotonic_ns() + (int64_t)deadline_ms * TKR_NS_PER_MS;

    (void)pthread_mutex_lock(&flusher->mutex);
    flusher->finish = true;
    flusher->workers_ended = true;
    (void)pthread_cond_signal(&flusher->wake);
    (void)pthread_mutex_unlock(&flusher->mutex);
    if (flusher->started)
        (void)pthread_join(flusher->thread, NULL);
    flusher->started = false;
    flusher->not_before_ns = 0;
    while ((!pass(flusher, true) || tkr_delivery_rechecking(&flusher->delivery)) && count_left(flusher) > 0 &&
           tkr_clock_monotonic_ns() < deadline) {
        const struct timespec pause = {.tv_nsec = POLL_NS};
        (void)nanosleep(&pause, NULL);
    }
    (void)pass(flusher, true); /* a list may have waited behind the one before */
    return count_left(flusher);
}

void tkr_flusher_close(struct tkr_flusher *flusher)
{
    if (flusher == NULL)
        return;
    tkr_health_close(flusher->health_file);
    tkr_delivery_close(&flusher->delivery);
    free(flusher);
}
