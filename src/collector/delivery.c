/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/delivery.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "collector/settle.h"

#define UNPARK_MAX 500                      /* of a shard in a pass: fresh usage queues behind them */
#define RECHECK_SHARE 9                     /* a recheck leaves the sink alone so many times as long as it took */
#define ADVICE_NS (60 * TKR_NS_PER_S)       /* between questions about the sink's settings */
#define UNREADABLE_NS (100 * TKR_NS_PER_MS) /* until an entry is looked at again whose worker is stopped in mid-batch */

bool tkr_delivery_open(struct tkr_delivery *delivery, tkr_sink *sink, uint32_t outlets)
{
    delivery->sink = sink;
    delivery->outlet = calloc(outlets, sizeof(*delivery->outlet));
    delivery->parcel = calloc(sink->window, sizeof(*delivery->parcel));
    if (delivery->outlet == NULL || delivery->parcel == NULL)
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

static void note_rechecked(struct tkr_delivery *delivery, struct tkr_outlet *outlet, const struct tkr_parcel *parcel,
                           uint64_t next)
{
    uint64_t healed = 0;

    for (uint32_t i = 0; i < parcel->chunk.count; i++)
        healed += parcel->chunk.item[i].outcome == TKR_OUTCOME_FOUND;
    outlet->healed += healed;
    if (delivery->told.monitor != NULL)
        tkr_add_own(&delivery->told.monitor->flush.healed, healed);
    tkr_outlet_recheck_advance(outlet, next);
    if (!tkr_outlet_rechecking(outlet))
        TKR_LOG(TKR_LOG_INFO, "source {source}: all accounts are compared with the sink; sent again: {accounts}",
                tkr_field_source(outlet->source, strlen(outlet->source)), tkr_field_accounts(outlet->healed));
}

/* Compares one chunk of entries with the sink, while nothing else is in flight. -1: the sink failed. */
static int recheck(struct tkr_delivery *delivery, struct tkr_outlet *outlet, tkr_message *ret_message)
{
    struct tkr_parcel *parcel = &delivery->parcel[0];
    int64_t begun_ns = tkr_clock_monotonic_ns();
    uint64_t rechecks = outlet->rechecks;
    struct tkr_chunk *chunk;
    uint64_t next;

    if (!tkr_parcel_fill_recheck(parcel, outlet, &next)) {
        delivery->recheck_ns = begun_ns + UNREADABLE_NS;
        return 0;
    }
    if (submit(delivery, parcel, ret_message) != 0 || delivery->sink->ops->collect(delivery->sink, &chunk, ret_message) != 0)
        return -1;
    if (tkr_settle(&delivery->parking, &delivery->told, parcel) &&
        outlet->rechecks == rechecks) /* else it has gone back once more, and all begins again */
        note_rechecked(delivery, outlet, parcel, next);
    delivery->recheck_ns = tkr_clock_monotonic_ns() + RECHECK_SHARE * (tkr_clock_monotonic_ns() - begun_ns);
    return 0;
}

/* --- records of forgotten entries --- */

/* While nothing else is in flight. */
static int remove_records(struct tkr_delivery *delivery, struct tkr_outlet *outlet, tkr_message *ret_message)
{
    struct tkr_parcel *parcel = &delivery->parcel[0];
    struct tkr_chunk *chunk;

    tkr_parcel_fill_removal(parcel, outlet);
    if (submit(delivery, parcel, ret_message) != 0 || delivery->sink->ops->collect(delivery->sink, &chunk, ret_message) != 0)
        return -1;
    if (!tkr_settle(&delivery->parking, &delivery->told, parcel))
        return 0; /* once more, behind the number found */
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
    return 0;
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
