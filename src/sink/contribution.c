/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/contribution.h"

bool tkr_record_same(const struct tkr_record *a, const struct tkr_record *b)
{
    return a->life == b->life && tkr_counts_nowhere_above(&a->counts, &b->counts) &&
           tkr_counts_nowhere_above(&b->counts, &a->counts);
}

bool tkr_contribution_delta(const struct tkr_contribution *item, tkr_counts *ret_delta)
{
    tkr_counts nothing = {{0}};
    const tkr_counts *known = item->known.life == item->now.life ? &item->known.counts : &nothing;

    if (!tkr_counts_nowhere_above(known, &item->now.counts))
        return false;
    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        ret_delta->value[i] = item->now.counts.value[i] - known->value[i];
    return true;
}

enum tkr_decision tkr_contribution_decide(struct tkr_contribution *item, bool in_order)
{
    const struct tkr_record *found = &item->found;

    if (item->outcome == TKR_OUTCOME_POISON)
        return TKR_DECIDE_PARK;
    if (item->outcome == TKR_OUTCOME_APPLIED || tkr_record_same(found, &item->now)) { /* a reply was lost */
        item->known = item->now;
        return TKR_DECIDE_ACKNOWLEDGED;
    }
    if (found->life == 0 && item->known.life == item->now.life && in_order)
        return item->erased ? TKR_DECIDE_ERASED : TKR_DECIDE_AMBIGUOUS;
    if (found->life > item->now.life ||
        (found->life == item->now.life && !tkr_counts_nowhere_above(&found->counts, &item->now.counts)))
        return TKR_DECIDE_CONFLICT;
    item->known = *found; /* same life and behind, an older life, or nothing */
    return TKR_DECIDE_RESEND;
}
