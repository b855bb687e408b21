/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/delivery.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "collector/settle.h"
#include "sink/repair.h"

#define UNPARK_MAX 500                      /* of a shard in a pass: fresh usage queues behind them */
#define RECHECK_SHARE 9                     /* a recheck leaves the sink alone so many times as long as it took, */
#define RECHECK_REST_MAX_NS TKR_NS_PER_S    /* but no longer: a sink that was silent once keeps nobody waiting for minutes */
#define SCRUB_NS TKR_NS_PER_S               /* between looks at idle entries, */
#define SCRUB_ENTRIES 1000                  /* of so many, or a chunk's, */
#define ROUND_NS (10 * TKR_NS_PER_S)        /* and from the beginning again no sooner than so */
#define ADVICE_NS (60 * TKR_NS_PER_S)       /* between questions about the sink's settings */
#define UNREADABLE_NS (100 * TKR_NS_PER_MS) /* until an entry is looked at again whose worker is stopped in mid-batch */

bool tkr_delivery_open(struct tkr_delivery *delivery, tkr_sink *sink, uint32_t outlets)
{
    delivery->sink = sink;
    delivery->outlet = calloc(outlets, sizeof(*delivery->outlet));
    delivery->parcel = calloc(sink->window, sizeof(*delivery->parcel));
    delivery->repair = calloc(sink->chunk_items_max, sizeof(*delivery->repair));
    if (delivery->outlet == NULL || delivery->parcel == NULL || delivery->repair == NULL)
        return false;
    delivery->outlet_count = outlets;
    delivery->parcel_count = sink->window;
    for (uint32_t i = 0; i < delivery->parcel_count; i++) {
        if (!tkr_parcel_open(&delivery->parcel[i], sink->chunk_items_max))
            return false;
    }
    return true;
}

void tkr_delivery_close(struct tkr_delivery *delivery)
{
    for (uint32_t i = 0; i < delivery->parcel_count; i++)
        tkr_parcel_close(&delivery->parcel[i]);
    for (uint32_t i = 0; i < delivery->outlet_count; i++)
        tkr_outlet_close(&delivery->outlet[i]);
    free(delivery->parcel);
    free(delivery->outlet);
    free(delivery->repair);
    tkr_recorded_close(&delivery->told.recorded);
    delivery->sink->ops->close(delivery->sink);
}

/* --- what there is to do --- */

static struct tkr_outlet *outlet_with_work(const struct tkr_delivery *delivery)
{
    for (uint32_t i = 0; i < delivery->outlet_count; i++) {
        if (delivery->outlet[i].probe || !tkr_outlet_queue_empty(&delivery->outlet[i].queue))
            return &delivery->outlet[i];
    }
    return NULL;
}

static struct tkr_outlet *outlet_rechecking(const struct tkr_delivery *delivery)
{
    for (uint32_t i = 0; i < delivery->outlet_count; i++) {
        if (tkr_outlet_rechecking(&delivery->outlet[i]))
            return &delivery->outlet[i];
    }
    return NULL;
}

static struct tkr_outlet *outlet_removing(const struct tkr_delivery *delivery)
{
    for (uint32_t i = 0; i < delivery->outlet_count; i++) {
        if (delivery->outlet[i].removal_count > 0)
            return &delivery->outlet[i];
    }
    return NULL;
}

bool tkr_delivery_queued(const struct tkr_delivery *delivery)
{
    return outlet_with_work(delivery) != NULL;
}

bool tkr_delivery_rechecking(const struct tkr_delivery *delivery)
{
    return outlet_rechecking(delivery) != NULL;
}

bool tkr_delivery_busy(const struct tkr_delivery *delivery)
{
    return tkr_delivery_queued(delivery) || tkr_delivery_rechecking(delivery) || outlet_removing(delivery) != NULL;
}

void tkr_delivery_probe(struct tkr_delivery *delivery)
{
    for (uint32_t i = 0; i < delivery->outlet_count; i++)
        delivery->outlet[i].probe = true;
}

void tkr_delivery_unpark(struct tkr_delivery *delivery, int64_t now_ns)
{
    for (uint32_t i = 0; i < delivery->outlet_count; i++)
        tkr_outlet_unpark(&delivery->outlet[i], now_ns, UNPARK_MAX);
}

uint64_t tkr_delivery_parked(const struct tkr_delivery *delivery)
{
    uint64_t parked = 0;

    for (uint32_t i = 0; i < delivery->outlet_count; i++)
        parked += tkr_outlet_parked(&delivery->outlet[i]);
    return parked;
}

/* --- the queues --- */

static struct tkr_parcel *parcel_idle(struct tkr_delivery *delivery)
{
    for (uint32_t i = 0; i < delivery->parcel_count; i++) {
        if (!delivery->parcel[i].in_flight)
            return &delivery->parcel[i];
    }
    return NULL;
}

static int submit(struct tkr_delivery *delivery, struct tkr_parcel *parcel, tkr_message *ret_message)
{
    tkr_parcel_number(parcel);
    parcel->in_flight = true;
    if (delivery->sink->ops->submit(delivery->sink, &parcel->chunk, ret_message) != 0)
        return -1;
    TKR_CRASH(FLUSH_SENT);
    return 0;
}

/* Fills the window. -1: the sink failed. */
static int send_window(struct tkr_delivery *delivery, uint32_t *in_flight, tkr_message *ret_message)
{
    struct tkr_outlet *outlet;
    struct tkr_parcel *parcel;

    while (*in_flight < delivery->sink->window && (outlet = outlet_with_work(delivery)) != NULL &&
           (parcel = parcel_idle(delivery)) != NULL) {
        tkr_parcel_fill(parcel, outlet);
        if (parcel->chunk.count == 0 && !outlet->probe)
            break; /* not readable at present */
        if (submit(delivery, parcel, ret_message) != 0)
            return -1;
        ++*in_flight;
    }
    return 0;
}

/*
 * Sends all queues until they are empty. -1: the sink failed; what is left stays queued. When a chunk was out of step, those in
 * flight behind it are too: they are waited for before more goes out.
 */
static int drain_queues(struct tkr_delivery *delivery, tkr_message *ret_message)
{
    uint32_t in_flight = 0;
    bool in_step = true;

    for (;;) {
        struct tkr_chunk *chunk;
        if ((in_step || in_flight == 0) && send_window(delivery, &in_flight, ret_message) < 0)
            return -1;
        if (in_flight == 0)
            return 0;
        if (delivery->sink->ops->collect(delivery->sink, &chunk, ret_message) != 0)
            return -1;
        TKR_CRASH(FLUSH_ANSWERED);
        tkr_pulse_beat(delivery->told.monitor != NULL ? &delivery->told.monitor->flusher : NULL);
        in_flight--;
        in_step = tkr_settle(&delivery->parking, &delivery->told, (struct tkr_parcel *)chunk) &&
                  (in_step || in_flight == 0); /* the chunk is its first member */
    }
}

/* --- after the sink has gone back --- */

static uint64_t count_found(const struct tkr_parcel *parcel)
{
    uint64_t found = 0;

    for (uint32_t i = 0; i < parcel->chunk.count; i++)
        found += parcel->chunk.item[i].outcome == TKR_OUTCOME_FOUND;
    return found;
}

static void note_rechecked(struct tkr_delivery *delivery, struct tkr_outlet *outlet, uint64_t healed, uint64_t next)
{
    outlet->healed += healed;
    if (delivery->told.monitor != NULL)
        tkr_add_own(&delivery->told.monitor->flush.healed, healed);
    tkr_outlet_recheck_advance(outlet, next);
    if (!tkr_outlet_rechecking(outlet))
        TKR_LOG(TKR_LOG_INFO, "source {source}: all accounts are compared with the sink; sent again: {accounts}",
                tkr_field_source(outlet->source, strlen(outlet->source)), tkr_field_accounts(outlet->healed));
}

/* Sends what the parcel carries and acts on the answers. 0; 1: it was out of step; -1: the sink failed. */
static int send_alone(struct tkr_delivery *delivery, struct tkr_parcel *parcel, tkr_message *ret_message)
{
    struct tkr_chunk *chunk;

    if (submit(delivery, parcel, ret_message) != 0 || delivery->sink->ops->collect(delivery->sink, &chunk, ret_message) != 0)
        return -1;
    return tkr_settle(&delivery->parking, &delivery->told, parcel) ? 0 : 1;
}

/* Acts on what came of a repair. */
static void settle_repair(struct tkr_delivery *delivery, struct tkr_outlet *outlet, struct tkr_outlet_item item,
                          struct tkr_contribution *sent, const struct tkr_repair *repair)
{
    switch (repair->verdict) {
    case TKR_REPAIR_UNKNOWN:
        tkr_parking_put(&delivery->parking, outlet, item, sent, tkr_settle_record_lost);
        return;
    case TKR_REPAIR_UNREADABLE:
        memcpy(sent->reason, repair->why, sizeof(sent->reason));
        tkr_parking_put(&delivery->parking, outlet, item, sent, sent->reason);
        return;
    case TKR_REPAIR_COUNTED:
    case TKR_REPAIR_LACKING:
        tkr_entry_known_set(tkr_shard_entry(outlet->shard, item.reference), repair->record.life, &repair->record.counts);
        break;
    case TKR_REPAIR_NEEDLESS:
    case TKR_REPAIR_FORGOTTEN:
        break; /* its turn in the queue finds out */
    }
    (void)tkr_outlet_add(outlet, &outlet->queue, item); /* no memory: it comes back with its next change */
}

/*
 * Doubtful entries go to totals that have nothing, which is all that a sink that lost everything has; the others are looked at.
 */
static int settle_doubtful(struct tkr_delivery *delivery, struct tkr_outlet *outlet, struct tkr_parcel *parcel,
                           tkr_message *ret_message)
{
    const struct tkr_repair_terms terms = {.choice = TKR_REPAIR_REFUSE, .lost = true};
    int rc = 0;

    if (parcel->doubtful == 0)
        return 0;
    tkr_parcel_fill_bare(parcel);
    rc = send_alone(delivery, parcel, ret_message);
    if (rc != 0 || parcel->doubtful == 0)
        return rc;
    tkr_parcel_fill_doubtful(parcel);
    for (uint32_t i = 0; i < parcel->doubtful; i++)
        delivery->repair[i].item = &parcel->chunk.item[i];
    if (delivery->sink->ops->repair(delivery->sink, outlet->source, &terms, delivery->repair, parcel->doubtful, ret_message) != 0)
        return -1;
    for (uint32_t i = 0; i < parcel->doubtful; i++)
        settle_repair(delivery, outlet, parcel->origin[i], &parcel->chunk.item[i], &delivery->repair[i]);
    return 0;
}

/*
 * Compares one chunk of entries with the sink, while nothing else is in flight. A kill anywhere leaves them to be compared once
 * more. -1: the sink failed.
 */
static int recheck(struct tkr_delivery *delivery, struct tkr_outlet *outlet, tkr_message *ret_message)
{
    struct tkr_parcel *parcel = &delivery->parcel[0];
    int64_t begun_ns = tkr_clock_monotonic_ns();
    uint64_t rechecks = outlet->rechecks;
    int64_t rest_ns;
    uint64_t healed;
    uint64_t next;
    int rc;

    if (!tkr_parcel_fill_recheck(parcel, outlet, &next)) {
        delivery->recheck_ns = begun_ns + UNREADABLE_NS;
        return 0;
    }
    rc = send_alone(delivery, parcel, ret_message);
    healed = count_found(parcel);
    if (rc == 0)
        rc = settle_doubtful(delivery, outlet, parcel, ret_message);
    if (rc < 0)
        return -1;
    if (rc == 0 && outlet->rechecks == rechecks) /* else it has gone back once more, and all begins again */
        note_rechecked(delivery, outlet, healed, next);
    rest_ns = RECHECK_SHARE * (tkr_clock_monotonic_ns() - begun_ns);
    delivery->recheck_ns = tkr_clock_monotonic_ns() + (rest_ns < RECHECK_REST_MAX_NS ? rest_ns : RECHECK_REST_MAX_NS);
    return 0;
}

/* --- records of idle entries --- */

/* A round goes through all outlets. true: there is an entry to look at. */
static bool fill_scrub(struct tkr_delivery *delivery, struct tkr_parcel *parcel)
{
    while (delivery->scrubbed < delivery->outlet_count) {
        if (tkr_parcel_fill_scrub(parcel, &delivery->outlet[delivery->scrubbed]))
            return true;
        delivery->scrubbed++;
    }
    return false;
}

/*
 * While nothing else is in flight: somebody may have deleted a record that would be missed only with the account's next change.
 */
static int scrub(struct tkr_delivery *delivery, tkr_message *ret_message)
{
    struct tkr_parcel *parcel = &delivery->parcel[0];
    int64_t now_ns = tkr_clock_monotonic_ns();

    if (now_ns < delivery->scrub_ns)
        return 0;
    delivery->scrub_ns = now_ns + SCRUB_NS;
    if (delivery->scrubbed == delivery->outlet_count && now_ns >= delivery->round_ns)
        delivery->scrubbed = 0;
    if (delivery->scrubbed == 0)
        delivery->round_ns = now_ns + ROUND_NS;
    for (uint32_t looked = 0; looked < SCRUB_ENTRIES && fill_scrub(delivery, parcel); looked += parcel->chunk.count) {
        if (send_alone(delivery, parcel, ret_message) < 0)
            return -1;
    }
    return 0;
}

/* --- records of forgotten entries --- */

/* While nothing else is in flight. */
static int remove_records(struct tkr_delivery *delivery, struct tkr_outlet *outlet, tkr_message *ret_message)
{
    struct tkr_parcel *parcel = &delivery->parcel[0];
    int rc;

    tkr_parcel_fill_removal(parcel, outlet);
    rc = send_alone(delivery, parcel, ret_message);
    if (rc != 0)
        return rc < 0 ? -1 : 0; /* once more, behind the number found */
    outlet->removal_count -= parcel->chunk.count;
    memmove(outlet->removal, outlet->removal + parcel->chunk.count, outlet->removal_count * sizeof(outlet->removal[0]));
    return 0;
}

/* --- the sink's settings --- */

/* While nothing else is in flight. */
static int ask_advice(struct tkr_delivery *delivery, tkr_message *ret_message)
{
    int64_t now_ns = tkr_clock_monotonic_ns();
    int rc;

    if (now_ns < delivery->advice_ns)
        return 0;
    rc = delivery->sink->ops->advise(delivery->sink, &delivery->advice, ret_message);
    if (rc < 0)
        return -1;
    delivery->advice_ns = rc == 0 ? now_ns + ADVICE_NS : INT64_MAX;
    return 0;
}

/* --- all of it --- */

static int connect_sink(struct tkr_delivery *delivery, tkr_message *ret_message)
{
    if (delivery->connected)
        return 0;
    if (delivery->sink->ops->connect(delivery->sink, ret_message) != 0)
        return -1;
    delivery->connected = true;
    delivery->advice_ns = 0;
    tkr_delivery_probe(delivery);
    return 0;
}

int tkr_delivery_serve(struct tkr_delivery *delivery, tkr_message *ret_message)
{
    struct tkr_outlet *outlet;

    if (connect_sink(delivery, ret_message) != 0 || drain_queues(delivery, ret_message) != 0 ||
        ask_advice(delivery, ret_message) != 0)
        return -1;
    while ((outlet = outlet_removing(delivery)) != NULL) {
        if (remove_records(delivery, outlet, ret_message) != 0)
            return -1;
    }
    outlet = outlet_rechecking(delivery);
    if (outlet != NULL && tkr_clock_monotonic_ns() >= delivery->recheck_ns && recheck(delivery, outlet, ret_message) != 0)
        return -1;
    return scrub(delivery, ret_message);
}

void tkr_delivery_fail(struct tkr_delivery *delivery)
{
    delivery->sink->ops->disconnect(delivery->sink);
    delivery->connected = false;
    for (uint32_t i = 0; i < delivery->parcel_count; i++) {
        struct tkr_parcel *parcel = &delivery->parcel[i];
        if (parcel->in_flight)
            tkr_parcel_requeue(parcel);
    }
    for (uint32_t i = 0; i < delivery->outlet_count; i++)
        delivery->outlet[i].seen_expected = atomic_load_explicit(&delivery->outlet[i].shard->header->seen, memory_order_relaxed);
}
