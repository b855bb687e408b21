/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An outlet: a shard as the flusher sees it, and what is to be sent of it. An entry is in it at most once: queued, parked or,
 * between the two, in flight.
 *
 * Threads: the flusher's alone.
 */
#ifndef TKR_COLLECTOR_OUTLET_H
#define TKR_COLLECTOR_OUTLET_H

#include "sink/sink.h"
#include "table/reader.h"
#include "table/shard.h"

#define TKR_OUTLET_WHY_BITS 24
#define TKR_OUTLET_WHY_MAX ((UINT32_C(1) << TKR_OUTLET_WHY_BITS) - 1)

/* An entry on its way to the sink. Of these there may be one per account: it stays at 16 bytes. */
struct tkr_outlet_item {
    uint32_t reference;
    uint32_t resends : 8;
    uint32_t why : TKR_OUTLET_WHY_BITS; /* parking's: tells for which reason it is parked, or was; 0: never */
    int64_t not_before_ns;              /* parked until then */
};

/* What is to be sent of one shard, in the order of arrival. */
struct tkr_outlet_queue {
    struct tkr_outlet_item *item;
    size_t first; /* next to send */
    size_t count; /* end of the queue in item[] */
    size_t max;
};

/* A shard as the flusher sees it. */
struct tkr_outlet {
    struct tkr_shard *shard;
    char source[TKR_SOURCE_BYTES];
    struct tkr_outlet_queue queue;
    struct tkr_outlet_queue parked;
    uint8_t *queued; /* a bit per reference: it is in queue or parked */
    size_t queued_bytes;
    struct tkr_changed *taken; /* list that did not fit the queue for lack of memory */
    uint64_t seen_sent;        /* number of the last chunk sent */
    uint64_t seen_expected;    /* what the next chunk should find */
    bool probe;                /* an empty chunk is due: has the sink gone back? */
    bool announce;             /* somebody else left a number there: the next chunk leaves one, even if it is empty */
    struct tkr_request lives[TKR_REQUESTS_MAX]; /* new lives to ask for */
    uint32_t life_count;
    struct tkr_entry_copy removal[TKR_REQUESTS_MAX]; /* forgotten entries whose records are to be removed from the sink */
    uint32_t removal_count;
    uint64_t forget_at; /* where in the arena to look on for idle entries */
    uint64_t rechecks;  /* begun in this process */
    uint64_t healed;    /* entries that the sink had otherwise, in this recheck */
    uint64_t awaiting;  /* at most so many entries have changed, and left the queues until they are compared */
    uint64_t scrub_at;  /* where in the arena to look on for records that were deleted */
};

/* Of a shard, as the collector before left it. Zeroed before. */
void tkr_outlet_open(struct tkr_outlet *outlet, struct tkr_shard *shard);

/* Adds at the end of one of its queues. false: no memory. */
bool tkr_outlet_push(struct tkr_outlet_queue *queue, struct tkr_outlet_item item);

static inline bool tkr_outlet_queue_empty(const struct tkr_outlet_queue *queue)
{
    return queue->first == queue->count;
}

/*
 * Queues what the worker handed over and is not in the outlet already (that is read when it is sent), and gives the list back;
 * without memory, keeps the list in outlet->taken for the next time.
 */
void tkr_outlet_enqueue(struct tkr_outlet *outlet, struct tkr_changed *list);

/* Is it in the outlet? */
bool tkr_outlet_has(const struct tkr_outlet *outlet, uint32_t reference);

/* Says that an entry is in the outlet, outside its queues. false: no memory. */
bool tkr_outlet_mark(struct tkr_outlet *outlet, uint32_t reference);

/* Says that an entry has left the outlet. */
void tkr_outlet_unmark(struct tkr_outlet *outlet, uint32_t reference);

/* Queues the parked entries whose time has come, up to max: they were parked in the order of their times. */
void tkr_outlet_unpark(struct tkr_outlet *outlet, int64_t now_ns, size_t max);

/* How many are parked. */
static inline uint64_t tkr_outlet_parked(const struct tkr_outlet *outlet)
{
    return outlet->parked.count - outlet->parked.first;
}

/*
 * The sink has gone back, to that number: from now on every entry that is there is to be compared with the sink, from the arena's
 * start. Survives the collector's death; must be called before header->seen says what was found.
 */
void tkr_outlet_recheck_begin(struct tkr_outlet *outlet, uint64_t seen_found);

/* Is there something left to compare? */
bool tkr_outlet_rechecking(const struct tkr_outlet *outlet);

/* Was this entry acknowledged before the sink went back, and not compared since? What the sink then lacks was lost. */
bool tkr_outlet_unchecked(const struct tkr_outlet *outlet, uint32_t reference);

/* Of an entry that is not compared since: did the sink go back to before this life, so that it cannot have had anything of it? */
static inline bool tkr_outlet_lost(const struct tkr_outlet *outlet, uint64_t life)
{
    return tkr_seen_before(atomic_load_explicit(&outlet->shard->header->recheck_seen, memory_order_relaxed), life); /* its own */
}

/* References of the next entries to compare, up to max, and where the next ones begin. Returns their number. */
uint32_t tkr_outlet_recheck_next(const struct tkr_outlet *outlet, uint32_t max, struct tkr_outlet_item *ret_items,
                                 uint64_t *ret_next);

/* Those before next have been compared. */
void tkr_outlet_recheck_advance(struct tkr_outlet *outlet, uint64_t next);

/*
 * Looks for entries that the sink has acknowledged whole and that nobody is about to send, from outlet->scrub_at on: copies up to
 * max of them and their references. Returns their number; 0: the arena's end is reached, and the next time it begins anew.
 */
uint32_t tkr_outlet_scrub_next(struct tkr_outlet *outlet, uint32_t max, struct tkr_outlet_item *ret_items,
                               struct tkr_entry_copy *ret_copies);

/* Adds an entry to one of the outlet's queues unless it is in the outlet already. false: no memory. */
bool tkr_outlet_add(struct tkr_outlet *outlet, struct tkr_outlet_queue *queue, struct tkr_outlet_item item);

/* Entries that the sink has not acknowledged. */
uint64_t tkr_outlet_left(const struct tkr_outlet *outlet);

void tkr_outlet_close(struct tkr_outlet *outlet);

#endif
