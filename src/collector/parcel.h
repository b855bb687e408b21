/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A parcel: a chunk in flight with what it carries, and the ways to fill it. What it carries is copied out of the table in a
 * committed state; the entries themselves go on changing.
 *
 * Threads: the flusher's alone.
 */
#ifndef TKR_COLLECTOR_PARCEL_H
#define TKR_COLLECTOR_PARCEL_H

#include "collector/outlet.h"

enum tkr_parcel_purpose {
    TKR_PARCEL_QUEUED,  /* entries off the outlet's queue */
    TKR_PARCEL_RECHECK, /* entries to compare, which may be in the outlet besides */
    TKR_PARCEL_REMOVAL, /* records of entries that are no more */
    TKR_PARCEL_SCRUB    /* entries whose records should be there: only to look */
};

struct tkr_parcel {
    struct tkr_chunk chunk; /* first: the sink gives the chunk back */
    struct tkr_outlet *outlet;
    struct tkr_contribution *item;
    struct tkr_entry_copy *copy;
    struct tkr_outlet_item *origin;
    bool in_flight;
    enum tkr_parcel_purpose purpose;
    uint32_t doubtful; /* of a recheck that was settled: the first so many copies and origins are doubtful (collector/settle.h) */
};

/* Room for so many contributions. false: no memory; to be closed all the same. */
bool tkr_parcel_open(struct tkr_parcel *parcel, uint32_t items);
void tkr_parcel_close(struct tkr_parcel *parcel);

/* Takes up to a chunk's worth off the queue; nothing, when the first entry cannot be read at present. */
void tkr_parcel_fill(struct tkr_parcel *parcel, struct tkr_outlet *outlet);

/* Takes the next entries to compare. false: the worker is stopped in the middle of a batch; later. */
bool tkr_parcel_fill_recheck(struct tkr_parcel *parcel, struct tkr_outlet *outlet, uint64_t *ret_next);

/* Takes the doubtful ones of a recheck once more: they are added only to totals that have nothing (sink/sink.h, bare). */
void tkr_parcel_fill_bare(struct tkr_parcel *parcel);

/* Makes the contributions of the doubtful ones as they are in the table: for the sink's repair. */
void tkr_parcel_fill_doubtful(struct tkr_parcel *parcel);

/* Takes entries whose records should be there. false: this outlet has no more, or none. */
bool tkr_parcel_fill_scrub(struct tkr_parcel *parcel, struct tkr_outlet *outlet);

/* Takes forgotten entries whose records are to go, where they still are as they were. */
void tkr_parcel_fill_removal(struct tkr_parcel *parcel, struct tkr_outlet *outlet);

/*
 * Gives the chunk the number that the sink should have, and its own: above all before, and above the lives that it carries. What
 * only looks has none of its own.
 */
void tkr_parcel_number(struct tkr_parcel *parcel);

/* Queues what it carried once more; what a recheck looks at is not of the queue and is looked at again anyway. */
void tkr_parcel_requeue(struct tkr_parcel *parcel);

#endif
