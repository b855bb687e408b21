/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/flusher.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/account.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/cycle.h"
#include "base/log.h"
#include "collector/outlet.h"
#include "sink/contribution.h"
#include "table/reader.h"

#define ANSWER_NS (200 * TKR_NS_PER_MS)    /* a worker answers within its longest pause, if it gets a processor */
#define ANSWER_POLL_NS (200 * TKR_NS_PER_US)
#define BACKOFF_MIN_NS (100 * TKR_NS_PER_MS)
#define BACKOFF_MAX_NS (5 * TKR_NS_PER_S)
#define PARKED_NS (30 * TKR_NS_PER_S)      /* between tries of what the sink cannot take */
#define RESENDS_MAX 8                      /* of one entry in a row, before it is parked */

/* A chunk in flight with what it carries. */
struct parcel {
    struct tkr_chunk chunk;
    struct tkr_outlet *outlet;
    struct tkr_contribution *item;
    struct tkr_entry_copy *copy;
    struct tkr_outlet_item *origin;
    bool in_flight;
};

struct tkr_flusher {
    tkr_sink *sink;
    struct tkr_outlet *outlet;
    uint32_t outlet_count;
    struct parcel *parcel;
    uint32_t parcel_count;
    uint32_t interval_ms;
    bool connected;
    bool failing;           /* said so in the log */
    int64_t backoff_ns;     /* of the last failure */
    int64_t not_before_ns;  /* no try before */
    uint64_t random;
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool finish;
    bool workers_ended;     /* the flusher answers for them */
};

/* --- taking what has changed --- */

static void wait_for_answers(struct tkr_flusher *flusher)
{
    const struct timespec pause = {.tv_nsec = ANSWER_POLL_NS};
    int64_t deadline = tkr_clock_monotonic_ns() + ANSWER_NS;

    for (uint32_t i = 0; i < flusher->outlet_count; i++) {
        while (!tkr_shard_changed_answered(flusher->outlet[i].shard) && tkr_clock_monotonic_ns() < deadline)
            (void)nanosleep(&pause, NULL);
    }
}

static void take_changed(struct tkr_flusher *flusher)
{
    bool ended;

    (void)pthread_mutex_lock(&flusher->mutex);
    ended = flusher->workers_ended;
    (void)pthread_mutex_unlock(&flusher->mutex);
    for (uint32_t i = 0; i < flusher->outlet_count; i++) {
        tkr_shard_changed_ask(flusher->outlet[i].shard);
        if (ended)
            tkr_shard_changed_answer(flusher->outlet[i].shard);
    }
    wait_for_answers(flusher);
    for (uint32_t i = 0; i < flusher->outlet_count; i++) {
        struct tkr_outlet *outlet = &flusher->outlet[i];
        struct tkr_changed *list = outlet->taken != NULL ? outlet->taken : tkr_shard_changed_take(outlet->shard);
        if (list != NULL)
            tkr_outlet_enqueue(outlet, list);
    }
}

/* --- sending --- */

static void fill_contribution(struct tkr_contribution *item, const struct tkr_entry_copy *copy, uint64_t tag)
{
    memset(item, 0, sizeof(*item));
    item->kind = copy->kind;
    item->id = copy->id;
    item->id_len = copy->id_len;
    item->cycle = copy->cycle;
    item->tag = tag;
    item->now.life = copy->life;
    item->now.counts = copy->counts;
    item->known.life = copy->known_life;
    item->known.counts = copy->known;
    item->outcome = TKR_OUTCOME_PENDING;
}

/* Takes up to a chunk's worth off the queue. An entry that cannot be read at present (its worker is stopped in mid-batch)
 * goes to the end of the queue, once. */
static void fill_parcel(struct tkr_flusher *flusher, struct parcel *parcel, struct tkr_outlet *outlet)
{
    struct tkr_chunk *chunk = &parcel->chunk;
    struct tkr_outlet_queue *queue = &outlet->queue;
    size_t end = queue->count;

    parcel->outlet = outlet;
    chunk->count = 0;
    while (queue->first < end && chunk->count < flusher->sink->chunk_items_max) {
        struct tkr_outlet_item item = queue->item[queue->first];
        struct tkr_entry_copy *copy = &parcel->copy[chunk->count];
        if (!tkr_entry_copy_read(outlet->shard->header, tkr_shard_entry(outlet->shard, item.reference), copy)) {
            if (!tkr_outlet_push(queue, item))
                break;
            queue->first++;
            break;
        }
        queue->first++;
        parcel->origin[chunk->count] = item;
        fill_contribution(&chunk->item[chunk->count], copy, chunk->count);
        chunk->count++;
    }
}

static int submit(struct tkr_flusher *flusher, struct parcel *parcel, tkr_message *ret_message)
{
    struct tkr_outlet *outlet = parcel->outlet;
    struct tkr_chunk *chunk = &parcel->chunk;

    memcpy(chunk->source, outlet->source, sizeof(chunk->source));
    chunk->seen_expected = outlet->seen_expected;
    chunk->seen_next = ++outlet->seen_sent;
    outlet->seen_expected = chunk->seen_next;
    parcel->in_flight = true;
    if (flusher->sink->ops->submit(flusher->sink, chunk, ret_message) != 0)
        return -1;
    TKR_CRASH(FLUSH_SENT);
    return 0;
}

static void park(struct tkr_outlet *outlet, struct tkr_outlet_item item, const struct tkr_contribution *sent, const char *why)
{
    char kind[TKR_KIND_NAME_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];

    tkr_kind_name(sent->kind, kind);
    tkr_cycle_format(sent->cycle, cycle);
    tkr_log(TKR_LOG_ERROR, "%s %.*s, cycle %s: %s; kept here and tried again in %d s", kind, (int)sent->id_len, sent->id,
            cycle, why, (int)(PARKED_NS / TKR_NS_PER_S));
    item.not_before_ns = tkr_clock_monotonic_ns() + PARKED_NS;
    if (!tkr_outlet_push(&outlet->parked, item))
        tkr_outlet_unmark(outlet, item.reference); /* no memory: it comes back with its next change */
}

static void resend(struct tkr_outlet *outlet, struct tkr_outlet_item item, const struct tkr_contribution *sent)
{
    item.resends++;
    if (item.resends > RESENDS_MAX || !tkr_outlet_push(&outlet->queue, item))
        park(outlet, item, sent, "somebody else keeps changing this collector's record");
}

/* Acts on one answer. */
static void settle(struct tkr_outlet *outlet, struct tkr_outlet_item item, struct tkr_contribution *sent, bool in_order)
{
    struct tkr_entry *entry = tkr_shard_entry(outlet->shard, item.reference);

    switch (tkr_contribution_decide(sent, in_order)) {
    case TKR_DECIDE_ACKNOWLEDGED:
        tkr_entry_known_set(entry, sent->known.life, &sent->known.counts);
        tkr_outlet_unmark(outlet, item.reference);
        break;
    case TKR_DECIDE_RESEND:
        tkr_entry_known_set(entry, sent->known.life, &sent->known.counts);
        resend(outlet, item, sent);
        break;
    case TKR_DECIDE_AMBIGUOUS:
        park(outlet, item, sent, "the sink has lost this collector's record of it, although it has not gone back");
        break;
    case TKR_DECIDE_CONFLICT:
        park(outlet, item, sent, "the sink's record is ahead of this collector; nothing is subtracted");
        break;
    case TKR_DECIDE_PARK:
        park(outlet, item, sent, sent->reason);
        break;
    }
}

/* Did the sink go back? Its number never falls, unless it lost what it had acknowledged. */
static bool note_seen(struct tkr_outlet *outlet, const struct tkr_chunk *chunk)
{
    uint64_t acknowledged = atomic_load_explicit(&outlet->shard->header->seen, memory_order_relaxed);
    bool in_order = chunk->seen_found >= acknowledged;

    if (chunk->seen_found == chunk->seen_expected) {
        acknowledged = chunk->seen_next;
    } else {
        outlet->seen_expected = chunk->seen_found;
        if (!in_order)
            tkr_log(TKR_LOG_WARNING, "the sink has gone back (source %s: %" PRIu64 ", was %" PRIu64 ")", outlet->source,
                    chunk->seen_found, acknowledged);
        acknowledged = chunk->seen_found;
    }
    if (acknowledged > outlet->seen_sent)
        outlet->seen_sent = acknowledged; /* an earlier collector had sent more */
    atomic_store_explicit(&outlet->shard->header->seen, acknowledged, memory_order_relaxed); /* a hint for the next start */
    return in_order;
}

static void unload(struct parcel *parcel)
{
    bool in_order = note_seen(parcel->outlet, &parcel->chunk);

    for (uint32_t i = 0; i < parcel->chunk.count; i++)
        settle(parcel->outlet, parcel->origin[i], &parcel->chunk.item[i], in_order);
    parcel->in_flight = false;
}

/* After a failure: what was in flight may or may not have arrived, and goes out again. */
static void take_back(struct tkr_flusher *flusher)
{
    for (uint32_t i = 0; i < flusher->parcel_count; i++) {
        struct parcel *parcel = &flusher->parcel[i];
        if (!parcel->in_flight)
            continue;
        for (uint32_t j = 0; j < parcel->chunk.count; j++) {
            if (!tkr_outlet_push(&parcel->outlet->queue, parcel->origin[j]))
                tkr_outlet_unmark(parcel->outlet, parcel->origin[j].reference); /* comes back with its next change */
        }
        parcel->in_flight = false;
    }
    for (uint32_t i = 0; i < flusher->outlet_count; i++)
        flusher->outlet[i].seen_expected = atomic_load_explicit(&flusher->outlet[i].shard->header->seen, memory_order_relaxed);
}

static struct tkr_outlet *outlet_with_work(struct tkr_flusher *flusher)
{
    for (uint32_t i = 0; i < flusher->outlet_count; i++) {
        if (!tkr_outlet_queue_empty(&flusher->outlet[i].queue))
            return &flusher->outlet[i];
    }
    return NULL;
}

static struct parcel *parcel_idle(struct tkr_flusher *flusher)
{
    for (uint32_t i = 0; i < flusher->parcel_count; i++) {
        if (!flusher->parcel[i].in_flight)
            return &flusher->parcel[i];
    }
    return NULL;
}

/* Fills the window. 1: something is in flight; 0: nothing is left to send; -1: the sink failed. */
static int send_window(struct tkr_flusher *flusher, uint32_t *in_flight, tkr_message *ret_message)
{
    struct tkr_outlet *outlet;
    struct parcel *parcel;

    while (*in_flight < flusher->sink->window && (outlet = outlet_with_work(flusher)) != NULL &&
           (parcel = parcel_idle(flusher)) != NULL) {
        fill_parcel(flusher, parcel, outlet);
        if (parcel->chunk.count == 0)
            break; /* not readable at present */
        if (submit(flusher, parcel, ret_message) != 0)
            return -1;
        ++*in_flight;
    }
    return *in_flight > 0;
}

/* Sends all queues until they are empty. -1: the sink failed; what is left stays queued. */
static int drain_queues(struct tkr_flusher *flusher, tkr_message *ret_message)
{
    uint32_t in_flight = 0;
    int more;

    while ((more = send_window(flusher, &in_flight, ret_message)) > 0) {
        struct tkr_chunk *chunk;
        if (flusher->sink->ops->collect(flusher->sink, &chunk, ret_message) != 0)
            return -1;
        TKR_CRASH(FLUSH_ANSWERED);
        unload((struct parcel *)chunk); /* the chunk is its first member */
        in_flight--;
    }
    return more;
}

/* --- passes --- */

static uint64_t next_random(struct tkr_flusher *flusher)
{
    uint64_t z = flusher->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 (Steele, Lea, Flood 2014) */

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Exponential back-off with full jitter. */
static void fail(struct tkr_flusher *flusher, const tkr_message *message)
{
    flusher->sink->ops->disconnect(flusher->sink);
    flusher->connected = false;
    take_back(flusher);
    flusher->backoff_ns = flusher->backoff_ns == 0 ? BACKOFF_MIN_NS : 2 * flusher->backoff_ns;
    if (flusher->backoff_ns > BACKOFF_MAX_NS)
        flusher->backoff_ns = BACKOFF_MAX_NS;
    flusher->not_before_ns =
        tkr_clock_monotonic_ns() + (int64_t)(next_random(flusher) % (uint64_t)flusher->backoff_ns);
    if (!flusher->failing)
        tkr_log(TKR_LOG_WARNING, "the sink does not take usage: %s; it is kept here, trying again", message->text);
    flusher->failing = true;
}

/* One pass. true: all queues are empty. */
static bool pass(struct tkr_flusher *flusher)
{
    int64_t now = tkr_clock_monotonic_ns();
    tkr_message message = {""};

    take_changed(flusher);
    for (uint32_t i = 0; i < flusher->outlet_count; i++)
        tkr_outlet_unpark(&flusher->outlet[i], now);
    if (outlet_with_work(flusher) == NULL)
        return true;
    TKR_CRASH(FLUSH_TAKEN);
    if (now < flusher->not_before_ns)
        return false;
    if (!flusher->connected && flusher->sink->ops->connect(flusher->sink, &message) != 0) {
        fail(flusher, &message);
        return false;
    }
    flusher->connected = true;
    if (drain_queues(flusher, &message) != 0) {
        fail(flusher, &message);
        return false;
    }
    if (flusher->failing)
        tkr_log(TKR_LOG_INFO, "the sink takes usage again");
    flusher->failing = false;
    flusher->backoff_ns = 0;
    return outlet_with_work(flusher) == NULL;
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

static void *run(void *argument)
{
    struct tkr_flusher *flusher = argument;
    int64_t interval_ns = (int64_t)flusher->interval_ms * TKR_NS_PER_MS;
    int64_t next_ns = tkr_clock_monotonic_ns() + interval_ns;

    while (!wait_for_next(flusher, next_ns)) {
        int64_t now;
        bool done = pass(flusher);
        now = tkr_clock_monotonic_ns();
        next_ns += interval_ns;
        if (next_ns < now)
            next_ns = now + interval_ns; /* the interval stretches until a pass is through */
        if (!done && flusher->not_before_ns < next_ns)
            next_ns = flusher->not_before_ns > now ? flusher->not_before_ns : now + BACKOFF_MIN_NS;
    }
    return NULL;
}

/* --- life --- */

static bool parcel_open(struct parcel *parcel, uint32_t items)
{
    parcel->item = calloc(items, sizeof(*parcel->item));
    parcel->copy = calloc(items, sizeof(*parcel->copy));
    parcel->origin = calloc(items, sizeof(*parcel->origin));
    parcel->chunk.item = parcel->item;
    parcel->chunk.count_max = items;
    return parcel->item != NULL && parcel->copy != NULL && parcel->origin != NULL;
}

static bool allocate(struct tkr_flusher *flusher, struct tkr_post *posts, uint32_t post_count)
{
    flusher->outlet = calloc(post_count, sizeof(*flusher->outlet));
    flusher->parcel = calloc(flusher->sink->window, sizeof(*flusher->parcel));
    if (flusher->outlet == NULL || flusher->parcel == NULL)
        return false;
    flusher->outlet_count = post_count;
    for (uint32_t i = 0; i < post_count; i++) {
        struct tkr_outlet *outlet = &flusher->outlet[i];
        const struct tkr_shard_header *header = posts[i].shard->header;
        outlet->shard = posts[i].shard;
        (void)snprintf(outlet->source, sizeof(outlet->source), "%016" PRIx64 ".%u", header->name, header->number);
        outlet->seen_sent = outlet->seen_expected = atomic_load_explicit(&header->seen, memory_order_relaxed);
    }
    flusher->parcel_count = flusher->sink->window;
    for (uint32_t i = 0; i < flusher->parcel_count; i++) {
        if (!parcel_open(&flusher->parcel[i], flusher->sink->chunk_items_max))
            return false;
    }
    return true;
}

static bool make_wake(struct tkr_flusher *flusher)
{
    pthread_condattr_t attributes;
    bool made = pthread_condattr_init(&attributes) == 0 && pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                pthread_mutex_init(&flusher->mutex, NULL) == 0 && pthread_cond_init(&flusher->wake, &attributes) == 0;

    (void)pthread_condattr_destroy(&attributes);
    return made;
}

int tkr_flusher_open(const struct tkr_collector_config *config, struct tkr_post *posts, uint32_t post_count,
                     struct tkr_flusher **ret_flusher, tkr_message *ret_message)
{
    struct tkr_flusher *flusher = calloc(1, sizeof(*flusher));

    if (flusher == NULL)
        return tkr_message_set(ret_message, "no memory for the flusher");
    flusher->interval_ms = config->flush_interval_ms;
    if (tkr_sink_open(&config->sink, &flusher->sink, ret_message) != 0) {
        free(flusher);
        return -1;
    }
    if (!tkr_random(&flusher->random, sizeof(flusher->random)) || !allocate(flusher, posts, post_count) ||
        !make_wake(flusher)) {
        tkr_flusher_close(flusher);
        return tkr_message_set(ret_message, "no memory for the flusher");
    }
    *ret_flusher = flusher;
    return 0;
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

    for (uint32_t i = 0; i < flusher->outlet_count; i++)
        left += tkr_outlet_left(&flusher->outlet[i]);
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
    while (!pass(flusher) && tkr_clock_monotonic_ns() < deadline) {
        const struct timespec pause = {.tv_nsec = BACKOFF_MIN_NS};
        (void)nanosleep(&pause, NULL);
    }
    (void)pass(flusher); /* a list may have waited behind the one before */
    return count_left(flusher);
}

void tkr_flusher_close(struct tkr_flusher *flusher)
{
    if (flusher == NULL)
        return;
    for (uint32_t i = 0; flusher->parcel != NULL && i < flusher->parcel_count; i++) {
        free(flusher->parcel[i].item);
        free(flusher->parcel[i].copy);
        free(flusher->parcel[i].origin);
    }
    for (uint32_t i = 0; flusher->outlet != NULL && i < flusher->outlet_count; i++)
        tkr_outlet_close(&flusher->outlet[i]);
    free(flusher->parcel);
    free(flusher->outlet);
    flusher->sink->ops->close(flusher->sink);
    free(flusher);
}
