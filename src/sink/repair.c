/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/repair.h"

#include <stdio.h>
#include <string.h>

#include "sink/restore.h"

static const char too_much[] = "its figures come to more than 2^63-1";

static void unreadable(struct tkr_repair *repair, const char *why)
{
    repair->verdict = TKR_REPAIR_UNREADABLE;
    (void)snprintf(repair->why, sizeof(repair->why), "%s", why);
}

static bool same(const tkr_counts *a, const tkr_counts *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* Fills in T, R and U. false: they do not fit. */
static bool take_figures(struct tkr_repair *repair, const struct tkr_holding *holding, const tkr_counts *taken_off)
{
    repair->total = holding->total;
    repair->unexplained = holding->total;
    for (uint32_t i = 0; i < holding->share_count; i++) {
        if (!tkr_counts_add(&repair->others, &holding->share[i].record.counts))
            return false;
    }
    return (taken_off == NULL || tkr_counts_subtract(&repair->unexplained, taken_off)) &&
           tkr_counts_subtract(&repair->unexplained, &repair->others);
}

static void conclude(struct tkr_repair *repair, enum tkr_repair_verdict verdict, const tkr_counts *counts)
{
    repair->verdict = verdict;
    repair->record.life = repair->item->now.life;
    if (counts != NULL)
        repair->record.counts = *counts;
}

/* Is what no other record explains a part of what was counted? */
static bool is_part(const struct tkr_repair *repair)
{
    static const tkr_counts zero;

    return tkr_counts_nowhere_above(&zero, &repair->unexplained) &&
           tkr_counts_nowhere_above(&repair->unexplained, &repair->item->now.counts);
}

static void choose(struct tkr_repair *repair, enum tkr_repair_choice choice)
{
    repair->verdict = TKR_REPAIR_UNKNOWN;
    if (choice == TKR_REPAIR_RECORD)
        conclude(repair, TKR_REPAIR_COUNTED, &repair->item->known.counts);
    else if (choice == TKR_REPAIR_UNEXPLAINED && is_part(repair))
        conclude(repair, TKR_REPAIR_COUNTED, &repair->unexplained);
    else if (choice == TKR_REPAIR_RESEND)
        conclude(repair, TKR_REPAIR_LACKING, NULL);
    repair->chosen = repair->verdict != TKR_REPAIR_UNKNOWN;
}

/* Was a backup restored into the account after the sink went back, that cannot have had anything of it? */
static bool is_newer(const struct tkr_repair *repair, const struct tkr_holdings *holdings)
{
    uint64_t life = repair->item->now.life;

    return holdings->restored != 0 && life < TKR_LIFE_TIMED_END && life + TKR_RESTORE_SLACK_NS > holdings->restored;
}

/* What the source and those of its siblings that miss their records have, too. false: it does not fit. */
static bool add_siblings(const struct tkr_repair *repair, const struct tkr_holding *holding, tkr_counts *ret_known,
                         tkr_counts *ret_now)
{
    bool fits = true;

    *ret_known = repair->item->known.counts;
    *ret_now = repair->item->now.counts;
    for (uint32_t i = 0; i < repair->sibling_count && fits; i++) {
        const struct tkr_repair_sibling *sibling = &repair->sibling[i];
        if (tkr_holding_record(holding, sibling->source) == NULL)
            fits = tkr_counts_add(ret_known, &sibling->known) && tkr_counts_add(ret_now, &sibling->now);
    }
    return fits;
}

static void decide(struct tkr_repair *repair, const struct tkr_repair_terms *terms, const struct tkr_holdings *holdings,
                   const struct tkr_holding *holding, bool never_falls)
{
    const struct tkr_contribution *item = repair->item;
    tkr_counts known;
    tkr_counts now;

    if (!add_siblings(repair, holding, &known, &now))
        unreadable(repair, too_much);
    else if (same(&repair->unexplained, &known))
        conclude(repair, TKR_REPAIR_COUNTED, &item->known.counts);
    else if (same(&repair->unexplained, &now))
        conclude(repair, TKR_REPAIR_COUNTED, &item->now.counts);
    else if (tkr_counts_zero(&repair->unexplained) || (terms->lost && is_newer(repair, holdings)) ||
             (never_falls && !tkr_counts_nowhere_above(&item->known.counts, &repair->unexplained)))
        conclude(repair, TKR_REPAIR_LACKING, NULL);
    else
        choose(repair, terms->choice);
}

void tkr_repair_decide(struct tkr_repair *repair, const char *source, const struct tkr_repair_terms *terms,
                       const struct tkr_holdings *holdings, const tkr_counts *taken_off, const char *why)
{
    static const struct tkr_holding nothing;
    const struct tkr_holding *holding;

    *repair = (struct tkr_repair){.item = repair->item, .sibling = repair->sibling, .sibling_count = repair->sibling_count};
    if (holdings == NULL) {
        unreadable(repair, why);
        return;
    }
    holding = tkr_holdings_find(holdings, repair->item->model, repair->item->model_len);
    if (holding == NULL)
        holding = &nothing;
    if (tkr_holding_record(holding, source) != NULL)
        repair->verdict = TKR_REPAIR_NEEDLESS;
    else if (holdings->forgotten)
        repair->verdict = TKR_REPAIR_FORGOTTEN;
    else if (!take_figures(repair, holding, taken_off))
        unreadable(repair, too_much);
    else
        decide(repair, terms, holdings, holding, taken_off != NULL);
}
