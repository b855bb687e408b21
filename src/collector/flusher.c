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
#include "collector/forget.h"
#include "sink/contribution.h"
#include "table/reader.h"

#define ANSWER_NS (200 * TKR_NS_PER_MS)    /* a worker answers within its longest pause, if it gets a processor */
#define ANSWER_POLL_NS (200 * TKR_NS_PER_US)
#define BACKOFF_MIN_NS (100 * TKR_NS_PER_MS)
#define BACKOFF_MAX_NS (5 * TKR_NS_PER_S)
#define PARKED_NS (30 * TKR_NS_PER_S)      /* between tries of what the sink cannot take */
#define RESENDS_MAX 8                      /* of one entry in a row, before it is parked */
#define PROBE_NS TKR_NS_PER_S              /* between looks whether the sink has gone back */
#define RECHECK_SHARE 9                    /* a recheck leaves the sink alone so many times as long as it took */

/* A chunk in flight with what it carries. */
struct parcel {
    struct tkr_chunk chunk;
    struct tkr_outlet *outlet;
    struct tkr_contribution *item;
    struct tkr_entry_copy *copy;
    struct tkr_outlet_item *origin;
    bool in_flight;
    enum { QUEUED, RECHECK, REMOVAL } purpose; /* RECHECK: its entries may be in the outlet besides; REMOVAL: are no more */
};

struct tkr_flusher {
    tkr_sink *sink;
    struct tkr_outlet *outlet;
    uint32_t outlet_count;
    struct parcel *parcel;
    uint32_t parcel_count;
    uint32_t interval_ms;
    uint64_t forget_after_s;
    bool connected;
    bool failing;           /* said so in the log */
    int64_t backoff_ns;     /* of the last failure */
    int64_t not_before_ns;  /* no try before */
    int64_t probe_ns;       /* next probe */
    int64_t recheck_ns;     /* next chunk of a recheck */
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

/* Requests are the worker's from the question to the answer: a question that is still open is not asked again. */
static void ask(struct tkr_flusher *flusher, struct tkr_outlet *outlet)
{
    uint64_t now_s = (uint64_t)(tkr_clock_unix_ns() / TKR_NS_PER_S);

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
    for (uint32_t i = 0; i < flusher->outlet_count; i++) {
        ask(flusher, &flusher->outlet[i]);
        if (ended)
            tkr_shard_changed_answer(flusher->outlet[i].shard);
    }
    wait_for_answers(flusher);
    for (uint32_t i = 0; i < flusher->outlet_count; i++) {
        struct tkr_outlet *outlet = &flusher->outlet[i];
        struct tkr_changed *list = outlet->taken != NULL ? outlet->taken : tkr_shard_changed_take(outlet->shard);
        if (tkr_shard_changed_answered(outlet->shard))
            tkr_forget_take(outlet);
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
    parcel->purpose = QUEUED;
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
        if (copy->life == 0) { /* forgotten after it was handed over: nothing was left to send */
            tkr_outlet_unmark(outlet, item.reference);
            continue;
        }
        parcel->origin[chunk->count] = item;
        fill_contribution(&chunk->item[chunk->count], copy, chunk->count);
        chunk->count++;
    }
}

/* Grows from chunk to chunk, over restarts too: a number that the sink was left with by one past is never that of another. */
static uint64_t next_seen(struct tkr_outlet *outlet)
{
    uint64_t now = (uint64_t)tkr_clock_unix_ns();

    outlet->seen_sent = now > outlet->seen_sent ? now : outlet->seen_sent + 1;
    return outlet->seen_sent;
}

static int submit(struct tkr_flusher *flusher, struct parcel *parcel, tkr_message *ret_message)
{
    struct tkr_outlet *outlet = parcel->outlet;
    struct tkr_chunk *chunk = &parcel->chunk;

    memcpy(chunk->source, outlet->source, sizeof(chunk->source));
    chunk->seen_expected = outlet->seen_expected;
    chunk->seen_next = chunk->count > 0 ? next_seen(outlet) : chunk->seen_expected;
    outlet->seen_expected = chunk->seen_next;
    outlet->probe = false; /* every chunk is one */
    parcel->in_flight = true;
    if (flusher->sink->ops->submit(flusher->sink, chunk, ret_message) != 0)
        return -1;
    TKR_CRASH(FLUSH_SENT);
    return 0;
}

static const char ahead[] = "the sink's record is ahead of this collector; nothing is subtracted";

static void log_account(enum tkr_log_level level, const struct tkr_contribution *sent, const char *why, const char *then)
{
    char kind[TKR_KIND_NAME_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];

    tkr_kind_name(sent->kind, kind);
    tkr_cycle_format(sent->cycle, cycle);
    tkr_log(level, "%s %.*s, cycle %s: %s; %s", kind, (int)sent->id_len, sent->id, cycle, why, then);
}

static void park(struct tkr_outlet *outlet, struct tkr_outlet_item item, const struct tkr_contribution *sent, const char *why)
{
    log_account(TKR_LOG_ERROR, sent, why, "kept here and tried again every 30 s");
    item.not_before_ns = tkr_clock_monotonic_ns() + PARKED_NS;
    (void)tkr_outlet_add(outlet, &outlet->parked, item); /* no memory: it comes back with its next change */
}

/* Takes up what the sink has of an entry. NULL: that is all there is to it; else why the entry must wait. */
static const char *judge(struct tkr_outlet *outlet, uint32_t reference, struct tkr_contribution *sent, bool *ret_resend)
{
    enum tkr_decision decision = tkr_contribution_decide(sent, !tkr_outlet_unchecked(outlet, reference));

    *ret_resend = decision == TKR_DECIDE_RESEND;
    switch (decision) {
    case TKR_DECIDE_AMBIGUOUS:
        return "the sink has lost this collector's record of it, although it has not gone back";
    case TKR_DECIDE_CONFLICT:
        return ahead;
    case TKR_DECIDE_PARK:
        return sent->reason;
    default:
        tkr_entry_known_set(tkr_shard_entry(outlet->shard, reference), sent->known.life, &sent->known.counts);
        return NULL;
    }
}

/* Acts on one answer, for an entry that is not in flight any more. */
static void settle(struct tkr_outlet *outlet, struct tkr_outlet_item item, struct tkr_contribution *sent)
{
    bool resend;
    const char *why = judge(outlet, item.reference, sent, &resend);

    if (why == ahead && tkr_forget_relive(outlet, item.reference, sent->now.life, sent->found.life)) {
        log_account(TKR_LOG_ERROR, sent, ahead, "what it has not acknowledged is sent as a new life");
        return;
    }
    if (resend && ++item.resends > RESENDS_MAX)
        why = "somebody else keeps changing this collector's record";
    if (why != NULL)
        park(outlet, item, sent, why);
    else if (resend)
        (void)tkr_outlet_add(outlet, &outlet->queue, item); /* no memory: it comes back with its next change */
}

/*
 * Takes up the number that the sink had. It never falls, unless the sink lost what it had acknowledged. true: it is the one
 * expected, so that the sink now has the chunk's own.
 */
static bool note_seen(struct tkr_outlet *outlet, const struct tkr_chunk *chunk)
{
    uint64_t acknowledged = atomic_load_explicit(&outlet->shard->header->seen, memory_order_relaxed);
    bool expected = chunk->seen_found == chunk->seen_expected;

    if (chunk->seen_found < acknowledged) {
        tkr_log(TKR_LOG_WARNING,
                "the sink has gone back (source %s: from %" PRIu64 " to %" PRIu64 "); comparing all accounts with it",
                outlet->source, acknowledged, chunk->seen_found);
        tkr_outlet_recheck_begin(outlet);
    }
    acknowledged = expected ? chunk->seen_next : chunk->seen_found;
    if (!expected)
        outlet->seen_expected = chunk->seen_found;
    if (acknowledged > outlet->seen_sent)
        outlet->seen_sent = acknowledged; /* an earlier collector had sent more */
    atomic_store_explicit(&outlet->shard->header->seen, acknowledged, memory_order_relaxed); /* a hint for the next start */
    return expected;
}

/* Queues what a chunk carried once more; what a recheck looks at is not of the queue and is looked at again anyway. */
static void requeue(struct parcel *parcel)
{
    for (uint32_t i = 0; parcel->purpose == QUEUED && i < parcel->chunk.count; i++) {
        if (!tkr_outlet_push(&parcel->outlet->queue, parcel->origin[i]))
            tkr_outlet_unmark(parcel->outlet, parcel->origin[i].reference); /* comes back with its next change */
    }
    parcel->in_flight = false;
}

/*
 * Acts on a chunk's answers. An acknowledgement is one only with the chunk's number: what the sink applied without taking the
 * number up, it could lose again without its number falling. So that goes out once more, in a chunk that follows the number
 * found, and is found applied.
 */
static bool unload(struct parcel *parcel)
{
    if (!note_seen(parcel->outlet, &parcel->chunk)) {
        requeue(parcel);
        return false;
    }
    for (uint32_t i = 0; parcel->purpose != REMOVAL && i < parcel->chunk.count; i++) {
        if (parcel->purpose == QUEUED)
            tkr_outlet_unmark(parcel->outlet, parcel->origin[i].reference);
        settle(parcel->outlet, parcel->origin[i], &parcel->chunk.item[i]);
    }
    parcel->in_flight = false;
    return true;
}

/* After a failure: what was in flight may or may not have arrived, and goes out again. */
static void take_back(struct tkr_flusher *flusher)
{
    for (uint32_t i = 0; i < flusher->parcel_count; i++) {
        struct parcel *parcel = &flusher->parcel[i];
        if (parcel->in_flight)
            requeue(parcel);
    }
    for (uint32_t i = 0; i < flusher->outlet_count; i++)
        flusher->outlet[i].seen_expected = atomic_load_explicit(&flusher->outlet[i].shard->header->seen, memory_order_relaxed);
}

static struct tkr_outlet *outlet_with_work(struct tkr_flusher *flusher)
{
    for (uint32_t i = 0; i < flusher->outlet_count; i++) {
        if (flusher->outlet[i].probe || !tkr_outlet_queue_empty(&flusher->outlet[i].queue))
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

/* Fills the window. -1: the sink failed. */
static int send_window(struct tkr_flusher *flusher, uint32_t *in_flight, tkr_message *ret_message)
{
    struct tkr_outlet *outlet;
    struct parcel *parcel;

    while (*in_flight < flusher->sink->window && (outlet = outlet_with_work(flusher)) != NULL &&
           (parcel = parcel_idle(flusher)) != NULL) {
        fill_parcel(flusher, parcel, outlet);
        if (parcel->chunk.count == 0 && !outlet->probe)
            break; /* not readable at present */
        if (submit(flusher, parcel, ret_message) != 0)
            return -1;
        ++*in_flight;
    }
    return 0;
}

/*
 * Sends all queues until they are empty. -1: the sink failed; what is left stays queued. When a chunk was out of step, those in
 * flight behind it are too: they are waited for before more goes out.
 */
static int drain_queues(struct tkr_flusher *flusher, tkr_message *ret_message)
{
    uint32_t in_flight = 0;
    bool in_step = true;

    for (;;) {
        struct tkr_chunk *chunk;
        if ((in_step || in_flight == 0) && send_window(flusher, &in_flight, ret_message) < 0)
            return -1;
        if (in_flight == 0)
            return 0;
        if (flusher->sink->ops->collect(flusher->sink, &chunk, ret_message) != 0)
            return -1;
        TKR_CRASH(FLUSH_ANSWERED);
        in_flight--;
        in_step = unload((struct parcel *)chunk) && (in_step || in_flight == 0); /* the chunk is its first member */
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

/* --- after the sink has gone back --- */

static struct tkr_outlet *outlet_rechecking(struct tkr_flusher *flusher)
{
    for (uint32_t i = 0; i < flusher->outlet_count; i++) {
        if (tkr_outlet_rechecking(&flusher->outlet[i]))
            return &flusher->outlet[i];
    }
    return NULL;
}

static void note_rechecked(struct tkr_outlet *outlet, const struct parcel *parcel, uint64_t next)
{
    for (uint32_t i = 0; i < parcel->chunk.count; i++)
        outlet->healed += parcel->chunk.item[i].outcome == TKR_OUTCOME_FOUND;
    tkr_outlet_recheck_advance(outlet, next);
    if (!tkr_outlet_rechecking(outlet))
        tkr_log(TKR_LOG_INFO, "source %s: all accounts are compared with the sink; sent again: %" PRIu64, outlet->source,
                outlet->healed);
}

/* The next entries to compare. false: the worker is stopped in the middle of a batch. */
static bool fill_recheck(struct tkr_flusher *flusher, struct parcel *parcel, struct tkr_outlet *outlet, uint64_t *ret_next)
{
    uint32_t count = tkr_outlet_recheck_next(outlet, flusher->sink->chunk_items_max, parcel->origin, ret_next);

    parcel->outlet = outlet;
    parcel->purpose = RECHECK;
    parcel->chunk.count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct tkr_entry *entry = tkr_shard_entry(outlet->shard, parcel->origin[i].reference);
        struct tkr_entry_copy *copy = &parcel->copy[parcel->chunk.count];
        if (!tkr_entry_copy_read(outlet->shard->header, entry, copy))
            return false;
        if (copy->life == 0)
            continue; /* forgotten */
        parcel->origin[parcel->chunk.count] = parcel->origin[i];
        fill_contribution(&parcel->chunk.item[parcel->chunk.count], copy, i);
        parcel->chunk.count++;
    }
    return true;
}

/* Compares one chunk of entries with the sink, while nothing else is in flight. -1: the sink failed. */
static int recheck(struct tkr_flusher *flusher, struct tkr_outlet *outlet, tkr_message *ret_message)
{
    struct parcel *parcel = &flusher->parcel[0];
    int64_t begun_ns = tkr_clock_monotonic_ns();
    uint64_t rechecks = outlet->rechecks;
    struct tkr_chunk *chunk;
    uint64_t next;

    if (!fill_recheck(flusher, parcel, outlet, &next)) {
        flusher->recheck_ns = begun_ns + BACKOFF_MIN_NS;
        return 0;
    }
    if (submit(flusher, parcel, ret_message) != 0 || flusher->sink->ops->collect(flusher->sink, &chunk, ret_message) != 0)
        return -1;
    if (unload(parcel) && outlet->rechecks == rechecks) /* else it has gone back once more, and all begins again */
        note_rechecked(outlet, parcel, next);
    flusher->recheck_ns = tkr_clock_monotonic_ns() + RECHECK_SHARE * (tkr_clock_monotonic_ns() - begun_ns);
    return 0;
}

/* --- records of forgotten entries --- */

static struct tkr_outlet *outlet_removing(struct tkr_flusher *flusher)
{
    for (uint32_t i = 0; i < flusher->outlet_count; i++) {
        if (flusher->outlet[i].removal_count > 0)
            return &flusher->outlet[i];
    }
    return NULL;
}

/* Removes the records of forgotten entries, where they still are as they were, while nothing else is in flight. */
static int remove_records(struct tkr_flusher *flusher, struct tkr_outlet *outlet, tkr_message *ret_message)
{
    struct parcel *parcel = &flusher->parcel[0];
    struct tkr_chunk *chunk;
    uint32_t most = flusher->sink->chunk_items_max;

    parcel->outlet = outlet;
    parcel->purpose = REMOVAL;
    parcel->chunk.count = outlet->removal_count < most ? outlet->removal_count : most;
    for (uint32_t i = 0; i < parcel->chunk.count; i++) {
        struct tkr_contribution *item = &parcel->chunk.item[i];
        fill_contribution(item, &outlet->removal[i], i);
        item->known = item->now;
        item->now = (struct tkr_record){0};
    }
    if (submit(flusher, parcel, ret_message) != 0 || flusher->sink->ops->collect(flusher->sink, &chunk, ret_message) != 0)
        return -1;
    if (!unload(parcel))
        return 0; /* once more, behind the number found */
    outlet->removal_count -= parcel->chunk.count;
    memmove(outlet->removal, outlet->removal + parcel->chunk.count, outlet->removal_count * sizeof(outlet->removal[0]));
    return 0;
}

/* --- passes --- */

static int connect_sink(struct tkr_flusher *flusher, tkr_message *ret_message)
{
    if (flusher->connected)
        return 0;
    if (flusher->sink->ops->connect(flusher->sink, ret_message) != 0)
        return -1;
    flusher->connected = true;
    for (uint32_t i = 0; i < flusher->outlet_count; i++)
        flusher->outlet[i].probe = true;
    return 0;
}

/* Says what the sink can take and takes it: all queues, probes that are due, then a chunk of a recheck. -1: it failed. */
static int serve_sink(struct tkr_flusher *flusher, tkr_message *ret_message)
{
    struct tkr_outlet *outlet;

    if (connect_sink(flusher, ret_message) != 0 || drain_queues(flusher, ret_message) != 0)
        return -1;
    while ((outlet = outlet_removing(flusher)) != NULL) {
        if (remove_records(flusher, outlet, ret_message) != 0)
            return -1;
    }
    outlet = outlet_rechecking(flusher);
    if (outlet != NULL && tkr_clock_monotonic_ns() >= flusher->recheck_ns && recheck(flusher, outlet, ret_message) != 0)
        return -1;
    return 0;
}

static void set_probes(struct tkr_flusher *flusher, int64_t now)
{
    if (now < flusher->probe_ns)
        return;
    flusher->probe_ns = now + PROBE_NS;
    for (uint32_t i = 0; i < flusher->outlet_count; i++)
        flusher->outlet[i].probe = true;
}

/* One pass; with take set, over what has changed since the last one. true: all queues are empty. */
static bool pass(struct tkr_flusher *flusher, bool take)
{
    int64_t now = tkr_clock_monotonic_ns();
    tkr_message message = {""};

    if (take)
        take_changed(flusher);
    set_probes(flusher, now);
    for (uint32_t i = 0; i < flusher->outlet_count; i++)
        tkr_outlet_unpark(&flusher->outlet[i], now);
    if (outlet_with_work(flusher) == NULL && outlet_rechecking(flusher) == NULL && outlet_removing(flusher) == NULL)
        return true;
    TKR_CRASH(FLUSH_TAKEN);
    if (now < flusher->not_before_ns)
        return false;
    if (serve_sink(flusher, &message) != 0) {
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

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* When there is something to do again, besides the next flush. */
static int64_t next_turn(struct tkr_flusher *flusher, int64_t flush_ns, bool done)
{
    int64_t now = tkr_clock_monotonic_ns();
    int64_t turn = earlier(flush_ns, flusher->probe_ns);

    if (outlet_rechecking(flusher) != NULL)
        turn = earlier(turn, flusher->recheck_ns);
    if (!done)
        turn = earlier(turn, now + BACKOFF_MIN_NS);
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
    flusher->forget_after_s = config->forget_after_s;
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
    while (!pass(flusher, true) && count_left(flusher) > 0 && tkr_clock_monotonic_ns() < deadline) {
        const struct timespec pause = {.tv_nsec = BACKOFF_MIN_NS};
        (void)nanosleep(&pause, NULL);
    }
    (void)pass(flusher, true); /* a list may have waited behind the one before */
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
