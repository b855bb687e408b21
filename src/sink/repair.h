/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to do about a record that the sink acknowledged and has no more: the whole decision, free of any sink.
 *
 * The total may have what the record stood for, or not. Of an account and cycle (or of a model of it), in each counter:
 *
 *     T  what the sink's total has        K  what the sink acknowledged of the source's contribution, in its present life
 *     R  what the records of all other    N  what the source has counted in that life, K <= N
 *        sources come to                  U  = T - R, what no other record explains
 *
 * The host's other sources may miss their records of the same account, too: who deletes records deletes those of all. As long as
 * they are missing, what the sink acknowledged of them, or what they have counted, is in U as well, and counts with K or with N:
 *
 *     U == K, or U == N, in every counter   COUNTED: the total has it. The record is written anew, nothing is added
 *     U == 0 in every counter               LACKING: the total has nothing of it. All of it is added
 *     anything else                         UNKNOWN: older lives, removed records (collector/retire.h), programs without records
 *                                           and resets are in U, too. Only somebody who knows what happened can choose
 *
 * Where the sink went back and a backup was restored into the account since, in whose records this source is not and which is
 * older than its life, the total has nothing of it: LACKING, whatever U is. (sink/restore.h, R5, has the same slack for what was
 * not flushed by then.)
 *
 * In a sink whose totals are sums of rows, where a reset is a row of its own, U never falls. So U < K in any counter says
 * LACKING, too.
 *
 * A repair never adds. It only writes the record, as a statement of what of the contribution the total has: K or N where it is
 * COUNTED (or U, by choice), zeros where it is LACKING. What is missing then is added by the same conditional step that flushes
 * (sink/contribution.h), by whoever comes first: the collector, which may run meanwhile, or the command. So
 *
 *   P1  Totals and records are read, decided on and written in one step, or, if they changed in between, read anew. A record
 *       that came back in between is left as it is.
 *   P2  A kill leaves the account as it was, or with the record. Both are a state from which to go on.
 *   P3  Nobody adds but by comparing with the record: of two that do at once, one finds what the other did.
 */
#ifndef TKR_SINK_REPAIR_H
#define TKR_SINK_REPAIR_H

#include <stdbool.h>

#include "sink/holdings.h"

enum tkr_repair_verdict {
    TKR_REPAIR_NEEDLESS,  /* there is a record of the source */
    TKR_REPAIR_COUNTED,   /* the total has it: only the record is to be written */
    TKR_REPAIR_LACKING,   /* the total lacks it: it is to be added */
    TKR_REPAIR_UNKNOWN,   /* cannot be known */
    TKR_REPAIR_FORGOTTEN, /* somebody had the account forgotten (sink/sink.h): nothing is brought back */
    TKR_REPAIR_UNREADABLE /* what the sink has cannot be read: `why` */
};

/* What to do where it cannot be known. */
enum tkr_repair_choice {
    TKR_REPAIR_REFUSE,
    TKR_REPAIR_RECORD,      /* the total has what was acknowledged: the record of K */
    TKR_REPAIR_UNEXPLAINED, /* nobody else is in U: the record of U, where it is a part of N; else it stays unknown */
    TKR_REPAIR_RESEND       /* the total lacks it: the record of nothing */
};

struct tkr_repair_terms {
    enum tkr_repair_choice choice;
    bool lost;    /* the sink went back since the record was acknowledged: what was restored into it since is a backup's */
    bool dry_run; /* only decides */
};

/* What another source of the same host has contributed to the same account, cycle and model. */
struct tkr_repair_sibling {
    char source[TKR_SOURCE_BYTES];
    tkr_counts known; /* as the sink acknowledged it */
    tkr_counts now;   /* counted */
};

/* One record that is missing. */
struct tkr_repair {
    const struct tkr_contribution *item; /* whose; `now` is N and `known` is K, of the same life. Borrowed, as are siblings */
    const struct tkr_repair_sibling *sibling; /* whether their records are missing, too, or not */
    uint32_t sibling_count;
    enum tkr_repair_verdict verdict; /* out, as are all that follow */
    bool chosen;                     /* COUNTED or LACKING only because it was chosen */
    tkr_counts total;                /* T; may be below 0 where somebody else wrote */
    tkr_counts others;               /* R */
    tkr_counts unexplained;          /* U */
    struct tkr_record record;        /* COUNTED, LACKING: what was written; in a dry run, would be */
    char why[TKR_REASON_BYTES];
};

/*
 * Decides for repair->item, of this source, by what the sink has of its account: holdings that are finished, or NULL with why
 * they cannot be read. taken_off: what of the total was taken off by resets that have rows of their own, 0 or below; NULL: resets
 * leave no trace.
 */
void tkr_repair_decide(struct tkr_repair *repair, const char *source, const struct tkr_repair_terms *terms,
                       const struct tkr_holdings *holdings, const tkr_counts *taken_off, const char *why);

/* Was something decided that is to be written? */
static inline bool tkr_repair_writes(const struct tkr_repair *repair)
{
    return repair->verdict == TKR_REPAIR_COUNTED || repair->verdict == TKR_REPAIR_LACKING;
}

#endif
