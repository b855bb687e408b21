/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a flush has added, for the log: "Recorded 906 tokens for user alice", one line of an account and cycle and flush, up to a
 * number of lines; the rest in one, "Recorded 5120 tokens for 17 more accounts".
 *
 * What counts is the difference between what was known to be acknowledged before and what is now, of the account's own totals: so the
 * lines add up to what the sink's total_tokens have grown by, whatever was sent twice or had to wait. What the sink lost and got again is
 * recorded again. A collector that is killed has recorded less than it had acknowledged: bills are the sink's.
 *
 * An account that is in several shards, or is sent twice in a flush, is one line. Lines that find no room in the log, after a short wait,
 * are added to the rest, and a rest that finds none is said with the next flush.
 *
 * Memory: while lines are wanted, 32 bytes of each account that a flush sends, and what it takes to write the lines; kept between
 * flushes. Threads: the flusher's alone.
 */
#ifndef TKR_COLLECTOR_RECORDED_H
#define TKR_COLLECTOR_RECORDED_H

#include "base/digest.h"
#include "sink/sink.h"

struct tkr_recorded_line;
struct tkr_recorded_cell;

struct tkr_recorded {
    uint32_t lines_max; /* 0: nothing is wanted */
    uint32_t lines;     /* in line[], in the order of their accounts' first difference */
    uint32_t line_room;
    struct tkr_recorded_line *line;
    size_t id_bytes; /* of the lines' accounts, one after another */
    size_t id_room;
    char *id;
    struct tkr_recorded_cell *cell; /* by digest; those of another flush are free */
    uint32_t cells;                 /* a power of two, or 0 */
    uint32_t accounts;              /* cells that are taken */
    uint32_t flush;                 /* number of this one, never 0 */
    int64_t more_tokens;            /* beyond lines_max, or that found no room, not told of yet */
    uint64_t more_accounts;
    bool held_up; /* the log had no room the last time: it is not waited for */
    struct tkr_digest_key key;
};

/* lines_max: 0..1000000. false: no random bytes; to be closed all the same. */
bool tkr_recorded_open(struct tkr_recorded *recorded, uint32_t lines_max);

/* Says what is left to say, waiting for a second at most. */
void tkr_recorded_close(struct tkr_recorded *recorded);

/* item's account has tokens > 0 more in the sink. */
void tkr_recorded_add(struct tkr_recorded *recorded, const struct tkr_contribution *item, int64_t tokens);

/* The flush is over: writes what there is to the log. */
void tkr_recorded_say(struct tkr_recorded *recorded);

#endif
