/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a restore does to an account: the whole decision, free of any sink, and why it adds nothing twice.
 *
 * A backup has of an account and cycle, as it was at one moment, the records of sources and the rest (sink/holdings.h). After
 * the loss of the sink's data those collectors that live send what they hold again, whole and on their own
 * (sink/contribution.h), before, while or after the restore is run. So who may add what?
 *
 *     a live collector    its present life, up to what it counted; what is recorded of this life it leaves out
 *     a restore           each record of the backup, less what is recorded of the same life; and the rest
 *
 * Per source, with C what the backup has of it and L its life, and what the sink has of it now:
 *
 *     nothing             adds C and records (L, C): its collector, should it live, finds this life and adds only what came after
 *     life L, less        adds the difference and records (L, C)
 *     life L, as much     adds nothing: the collector was here before
 *     a newer life        adds C as part of the rest and leaves the record: life L has ended, and lives on in no record
 *     an older life       lost nothing, but went back: what of C is there already cannot be known. Left alone
 *
 * The rest, and what joins it, is of nobody who could send it again. It is added once, together with a mark of the backup
 * ("backup." and its id, beside the records) that says so: where the mark is, nothing at all is done.
 *
 * R1  An account is read, decided on and written in one step, or, if it changed in between, read anew. So what a collector adds
 *     is seen here before, or sees afterwards what was recorded here.
 * R2  Totals, records and mark are written in that one step. A kill leaves whole accounts: with the mark and all of it, or
 *     without and as they were. Running it again goes on; two that run at once find each other's marks.
 * R3  A mark is never removed but with its account (`tokenring forget`, which leaves a note of its own: FORGOTTEN).
 * R4  Adding a record that is not there, or the rest, presumes that what it stands for is not in the totals yet. In totals that are
 *     the sum of their records (the rest is 0) it is not; anything else (an older state that came back, records that were removed
 *     since the loss, other programs that write already, a reset since) is left alone and told, unless `anyway` says that only what
 *     came since is in there. Differences within a life presume nothing and are right in any case.
 * R5  The rest holds what records that were removed before the backup had added. Should such a collector have come back and sent
 *     it again, its life is older than its last chunk before the backup, and the backup has no record of it: left alone as in
 *     R4. A life that began within TKR_RESTORE_SLACK_NS before that chunk may only not have been flushed by then: it is taken
 *     for new. Whoever was retired (`tokenring gc`) and comes back later is kept from it: a restore begins with the numbers of
 *     sources, that of a retirement as it was, any other one below all that its collector can have sent, so that it sees that
 *     the sink went back.
 * R6  The data set has a number that is lost with it (sink/dataset.h). Where it is that of the backup, nothing was lost, and the
 *     restore is refused as a whole. R4 holds without it.
 *
 * What is not prevented: a collector that was taken for dead, came back and found so, and kept what it could not place, goes on
 * to hold it. Should the sink be lost then, and it be away until after the restore, it sends again what is in the rest
 * (README.md).
 *
 * So an account ends as: per source the larger of backup and collector, where they are of one life, else both, and the rest once.
 */
#ifndef TKR_SINK_RESTORE_H
#define TKR_SINK_RESTORE_H

#include <stdbool.h>
#include <stdint.h>

#include "sink/holdings.h"

#define TKR_RESTORE_SLACK_NS (60 * INT64_C(1000000000))
#define TKR_MARK_BYTES 24 /* TKR_MARK_PREFIX and the backup's id; fits where a source does */

/* A source and the number of its last chunk; for a restore, before the backup was begun. */
struct tkr_source_seen {
    char source[TKR_SOURCE_BYTES];
    uint64_t seen;
};

/* How to restore. */
struct tkr_restore_terms {
    char mark[TKR_MARK_BYTES];
    const struct tkr_source_seen *source; /* known to the backup, by source */
    uint32_t source_count;
    bool anyway;  /* what else is in the totals came after the loss */
    bool dry_run; /* only says what would be done */
};

enum tkr_restore_verdict {
    TKR_RESTORE_DONE,      /* what was missing is there, if anything was; or, in a dry run, would be */
    TKR_RESTORE_BEFORE,    /* the mark was there: this backup's was restored before */
    TKR_RESTORE_FORGOTTEN, /* somebody had it forgotten since: nothing is brought back */
    TKR_RESTORE_LEFT       /* left alone; `why` says for what reason */
};

/* What came of an account. */
struct tkr_restored {
    enum tkr_restore_verdict verdict;
    uint32_t records; /* written */
    tkr_counts added; /* to the account's own totals */
    bool limit;       /* a limit was set */
    char why[TKR_REASON_BYTES];
};

/*
 * Decides for one account and cycle, both finished: what the backup has, and what the sink has now. DONE with the plan, which
 * has a holding for each of the backup's: `share` are the records to write, `total` is what the totals grow by, `rest` that part
 * of it which no record will explain; limit is the one to set, or TKR_LIMIT_NONE. Else ret_restored says why not.
 */
enum tkr_restore_verdict tkr_restore_plan(const struct tkr_restore_terms *terms, const struct tkr_holdings *backup,
                                          const struct tkr_holdings *now, struct tkr_holdings *ret_plan,
                                          struct tkr_restored *ret_restored);

/*
 * The highest number of a chunk that the backup knew of, at least 1. It goes with the mark: lives above it are in no backup's
 * rest.
 */
uint64_t tkr_restore_newest(const struct tkr_restore_terms *terms);

/* Leaves the account alone for this reason. */
void tkr_restore_leave(struct tkr_restored *restored, const char *why);

/* The number that a restore leaves for a source that has none: that of its retirement, else one that says so (sink/sink.h). */
uint64_t tkr_restore_seen(uint64_t seen);

#endif
