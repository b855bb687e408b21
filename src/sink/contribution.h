/* SPDX-License-Identifier: Apache-2.0 */
/* What an answer of the sink means: the whole decision of the protocol, free of any sink. */
#ifndef TKR_SINK_CONTRIBUTION_H
#define TKR_SINK_CONTRIBUTION_H

#include <stdbool.h>

#include "sink/sink.h"

/* The reason of a contribution that tkr_contribution_delta refuses. */
#define TKR_REASON_SHRINKS "the contribution is below what is recorded of it; nothing is ever subtracted"

/* Same life and same counts? */
bool tkr_record_same(const struct tkr_record *a, const struct tkr_record *b);

/*
 * What applying adds to the totals: now - known within a life, all of now for another one. False, and nothing written,
 * when now is below known anywhere: a vector only grows, and nothing is ever subtracted.
 */
bool tkr_contribution_delta(const struct tkr_contribution *item, tkr_counts *ret_delta);

enum tkr_decision {
    TKR_DECIDE_ACKNOWLEDGED, /* the sink has `now`: known = now */
    TKR_DECIDE_RESEND,       /* known was set to what the sink has: send again */
    TKR_DECIDE_AMBIGUOUS,    /* a record we knew is gone although the sink did not go back: park */
    TKR_DECIDE_ERASED,       /* somebody had it forgotten: begin a new life with what the sink has not acknowledged */
    TKR_DECIDE_CONFLICT,     /* the sink has a newer life, or more than we do: never subtract; alarm */
    TKR_DECIDE_PARK          /* poison: park, report, retry slowly */
};

/*
 * Reads item->outcome and decides; item->known is brought up to what the sink has for the first two decisions.
 * in_order: the sink did not go back (its `seen` is one that we sent or knew). The outcome is not PENDING.
 */
enum tkr_decision tkr_contribution_decide(struct tkr_contribution *item, bool in_order);

#endif
