/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The meter: what calls of each model and provider came to, since this collector began: calls, errors by kind, tokens, how long they
 * took. For metrics; the law does not know it, and a restart begins at 0.
 *
 *   worker, after a committed batch -> its own meter: a row for each name -> who reads adds up the rows of all workers
 *
 * A name is a provider and a model as gateways tell them, strangers' words: there are so many at most, and what comes beyond, is no
 * UTF-8 or calls itself other is counted in the row `other`. Names are numbered for all workers together, once and for good.
 *
 * Who writes: a meter, its worker alone; names, whoever holds the lock, and never again once they are within `count`.
 *
 * Barrier pair
 *   P1  name, then count (release); a reader loads count (acquire), then names.
 *
 * Threads: as above; reading disturbs nobody. The lock is taken once for each name and worker.
 */
#ifndef TKR_COLLECTOR_METER_H
#define TKR_COLLECTOR_METER_H

#include <pthread.h>
#include <stdbool.h>

#include "base/buckets.h"
#include "collector/drain.h"

#define TKR_METER_NAMES_MAX 128u /* `other` among them: number 0 */
#define TKR_METER_ERRORS 10u     /* by TKR_ERROR_*; 0 is none */
#define TKR_METER_INDEX 512u

struct tkr_meter_name {
    uint64_t hash;
    uint32_t provider_len;
    uint32_t model_len;
    char provider[TKR_PROVIDER_BYTES_MAX];
    char model[TKR_MODEL_BYTES_MAX];
};

struct tkr_meter_names {
    pthread_mutex_t mutex;
    _Atomic uint32_t count; /* P1 */
    struct tkr_meter_name name[TKR_METER_NAMES_MAX];
};

/* Durations in microseconds. A call that does not tell one is in no bucket. */
struct tkr_meter_row {
    _Atomic uint64_t calls;
    _Atomic uint64_t errors[TKR_METER_ERRORS];
    _Atomic uint64_t tokens[TKR_COUNTER_CALLS]; /* by counter: those that are tokens come before calls */
    struct tkr_buckets duration;
    struct tkr_buckets first_token;
};

struct tkr_meter {
    struct tkr_meter_names *names;
    uint32_t known; /* names that are in index */
    uint16_t index[TKR_METER_INDEX];
    uint32_t last;                          /* the name found last: the next event's is often the same */
    struct tkr_buckets spent;               /* in gateways' handlers, as they tell: nanoseconds (region/spent.h) */
    _Atomic uint64_t lane_high;             /* bytes: the most that a lane had for this worker */
    _Atomic uint64_t waiting;               /* lanes, settlings and regions that wait for memory of a shard; falls too */
    _Atomic uint64_t dropped[TKR_DROP_MAX]; /* records, as gateways tell and as this worker did, since the collector began */
    struct tkr_meter_row row[TKR_METER_NAMES_MAX];
};

/* Microseconds: from 10 ms to 10 minutes. */
extern const struct tkr_bounds tkr_meter_bounds;

void tkr_meter_names_open(struct tkr_meter_names *names);
void tkr_meter_names_close(struct tkr_meter_names *names);

/* NULL: no memory. names is borrowed. */
struct tkr_meter *tkr_meter_open(struct tkr_meter_names *names);
void tkr_meter_close(struct tkr_meter *meter);

/* Adds what a gateway's handlers took, and what was dropped, since the last look. meter may be NULL. */
void tkr_meter_look(struct tkr_meter *meter, struct tkr_feed *feed);

/* Notes what is dropped of a feed before this collector: it is no news. meter may be NULL. */
void tkr_meter_begin(const struct tkr_meter *meter, struct tkr_feed *feed);

/* Notes how many lanes and the like wait for memory. meter may be NULL. */
void tkr_meter_wait(struct tkr_meter *meter, uint32_t waiting);

/* Counts what the last batch brought. meter may be NULL. */
void tkr_meter_count(struct tkr_meter *meter, const struct tkr_drain *drain);

#endif
