/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delivery: all outlets to one sink, with a window of chunks in flight.
 *
 * Four kinds of work, in this order: the queues; the records of forgotten entries; after the sink has gone back, comparing
 * everything with it, a chunk at a time and at a pace that leaves the sink most of its time; scrubbing, which is to look now and
 * then whether the records of idle entries are still there. The last three go out while nothing else is in flight. When the sink
 * fails, all that was in flight is queued again: whether it arrived is found out by sending it. Once a connection, and once a
 * minute where it answers, the sink is asked whether its settings endanger what it holds.
 *
 * Threads: the flusher's alone.
 */
#ifndef TKR_COLLECTOR_DELIVERY_H
#define TKR_COLLECTOR_DELIVERY_H

#include "collector/parcel.h"
#include "collector/parking.h"
#include "collector/settle.h"

struct tkr_delivery {
    tkr_sink *sink;
    struct tkr_outlet *outlet;
    uint32_t outlet_count;
    struct tkr_parcel *parcel;
    uint32_t parcel_count;
    bool connected;
    struct tkr_parking parking;
    struct tkr_told told;      /* zeroed: nobody */
    int64_t recheck_ns;        /* next chunk of a recheck */
    int64_t scrub_ns;          /* next entries to scrub */
    int64_t round_ns;          /* the scrub's next round */
    uint32_t scrubbed;         /* outlets, in this round */
    struct tkr_repair *repair; /* as many as a parcel carries */
    int64_t advice_ns;         /* next question about the sink's settings */
    tkr_message advice;        /* its answer: what of them endangers what the sink holds, or empty */
};

/* Delivers from the shards to the sink, which becomes its own. false: no memory; to be closed all the same. */
bool tkr_delivery_open(struct tkr_delivery *delivery, tkr_sink *sink, uint32_t outlets);
void tkr_delivery_close(struct tkr_delivery *delivery);

/* Queues what is parked and due again, some at a time: the others do not wait behind them. */
void tkr_delivery_unpark(struct tkr_delivery *delivery, int64_t now_ns);

/* Accounts that the sink cannot take as they are. */
uint64_t tkr_delivery_parked(const struct tkr_delivery *delivery);

/* Is there something to send, a probe included? */
bool tkr_delivery_queued(const struct tkr_delivery *delivery);

/* Is there something to compare? */
bool tkr_delivery_rechecking(const struct tkr_delivery *delivery);

/* Is there anything to do at all? */
bool tkr_delivery_busy(const struct tkr_delivery *delivery);

/* From now on an empty chunk is due for each source: has the sink gone back? */
void tkr_delivery_probe(struct tkr_delivery *delivery);

/* Does what there is to do. -1: the sink failed, and tkr_delivery_fail is to be called. */
int tkr_delivery_serve(struct tkr_delivery *delivery, tkr_message *ret_message);

/* After a failure: what was in flight may or may not have arrived, and goes out again. */
void tkr_delivery_fail(struct tkr_delivery *delivery);

#endif
