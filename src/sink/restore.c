/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/restore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sink/contribution.h"

/* A decision under way, of one holding. */
struct planning {
    const struct tkr_restore_terms *terms;
    const struct tkr_holding *backup;
    const struct tkr_holding *now; /* NULL: the sink has nothing of it */
    struct tkr_holding *plan;
    struct tkr_restored *restored;
    bool presumes; /* R4: adds what must not be in the totals yet */
};

static const char no_memory[] = "there is no memory for it";
static const char too_much[] = "its totals would be above 2^63-1";

uint64_t tkr_restore_seen(uint64_t seen)
{
    if (tkr_seen_retired(seen) || tkr_seen_restored(seen))
        return seen;
    return seen / 1000 | TKR_SEEN_RESTORED; /* odd: no whole second */
}

uint64_t tkr_restore_newest(const struct tkr_restore_terms *terms)
{
    uint64_t newest = 1;

    for (uint32_t i = 0; i < terms->source_count; i++) {
        uint64_t seen = tkr_seen_ns(terms->source[i].seen);
        newest = seen > newest && seen < TKR_LIFE_TIMED_END ? seen : newest;
    }
    return newest;
}

void tkr_restore_leave(struct tkr_restored *restored, const char *why)
{
    restored->verdict = TKR_RESTORE_LEFT;
    (void)snprintf(restored->why, sizeof(restored->why), "%s", why);
}

static bool leave(struct planning *p, const char *why)
{
    tkr_restore_leave(p->restored, why);
    return false;
}

static bool leave_source(struct planning *p, const char *source, const char *why)
{
    p->restored->verdict = TKR_RESTORE_LEFT;
    (void)snprintf(p->restored->why, sizeof(p->restored->why), "the record of %s there %s", source, why);
    return false;
}

/* Adds to the plan what is added; as part of the rest, too. */
static bool add(struct planning *p, const tkr_counts *counts, bool as_rest)
{
    if (!tkr_counts_add(&p->plan->total, counts) || (as_rest && !tkr_counts_add(&p->plan->rest, counts)))
        return leave(p, too_much);
    return true;
}

static bool write_record(struct planning *p, const struct tkr_share *share)
{
    if (!tkr_holding_add(p->plan, share->source, strlen(share->source), &share->record))
        return leave(p, no_memory);
    p->restored->records++;
    return true;
}

/* One source, as the table in the header has it. */
static bool plan_share(struct planning *p, const struct tkr_share *share)
{
    const struct tkr_record *now = p->now != NULL ? tkr_holding_record(p->now, share->source) : NULL;
    tkr_counts more = share->record.counts;

    if (now == NULL) {
        p->presumes = p->presumes || !tkr_counts_zero(&more);
        return add(p, &more, false) && write_record(p, share);
    }
    if (now->life > share->record.life) {
        p->presumes = p->presumes || !tkr_counts_zero(&more);
        return add(p, &more, true);
    }
    if (now->life < share->record.life)
        return leave_source(p, share->source, "is of an older life than the backup's: the data set went back, and was not lost");
    if (tkr_counts_nowhere_above(&more, &now->counts))
        return true;
    if (!tkr_counts_nowhere_above(&now->counts, &more))
        return leave_source(p, share->source, "is neither behind the backup's nor ahead of it");
    return tkr_counts_subtract(&more, &now->counts) && add(p, &more, false) && write_record(p, share);
}

static int compare_source(const void *left, const void *right)
{
    const struct tkr_source_seen *a = left;
    const struct tkr_source_seen *b = right;

    return strcmp(a->source, b->source);
}

/* R5: is this a life that may have been added before the backup, by a source that the backup has no record of? */
static bool is_in_rest(const struct tkr_restore_terms *terms, const struct tkr_share *share)
{
    const struct tkr_source_seen *known;
    struct tkr_source_seen key;
    uint64_t slack;

    memcpy(key.source, share->source, sizeof(key.source));
    known = terms->source_count > 0 ? bsearch(&key, terms->source, terms->source_count, sizeof(*terms->source), compare_source)
                                    : NULL;
    if (known == NULL)
        return false; /* was never here before the backup */
    slack = tkr_seen_retired(known->seen) ? 0 : (uint64_t)TKR_RESTORE_SLACK_NS;
    return share->record.life < known->seen && known->seen - share->record.life > slack;
}

static bool check_strangers(struct planning *p)
{
    for (uint32_t i = 0; p->now != NULL && i < p->now->share_count; i++) {
        const struct tkr_share *share = &p->now->share[i];
        if (tkr_holding_record(p->backup, share->source) == NULL && is_in_rest(p->terms, share))
            return leave_source(p, share->source, "is of before the backup, which may have it among what no record explains");
    }
    return true;
}

/* R4 and R5. */
static bool check_presumed(struct planning *p)
{
    if (!p->presumes || p->terms->anyway)
        return true;
    if (p->now != NULL && !tkr_counts_zero(&p->now->rest))
        return leave(p,
                     "something was added there, or taken off, that no record explains: by other programs, or before the backup");
    return tkr_counts_zero(&p->backup->rest) || check_strangers(p);
}

static bool plan_holding(struct planning *p)
{
    tkr_counts sum;

    for (uint32_t i = 0; i < p->backup->share_count; i++) {
        if (!plan_share(p, &p->backup->share[i]))
            return false;
    }
    p->presumes = p->presumes || !tkr_counts_zero(&p->backup->rest);
    if (!check_presumed(p) || !add(p, &p->backup->rest, true))
        return false;
    sum = p->plan->total;
    return p->now == NULL || tkr_counts_add(&sum, &p->now->total) || leave(p, too_much);
}

static bool plan_holdings(const struct tkr_restore_terms *terms, const struct tkr_holdings *backup,
                          const struct tkr_holdings *now, struct tkr_holdings *plan, struct tkr_restored *restored)
{
    for (uint32_t i = 0; i < backup->count; i++) {
        const struct tkr_holding *from = &backup->holding[i];
        struct planning p = {.terms = terms, .backup = from, .restored = restored};

        p.now = tkr_holdings_find(now, from->model, from->model_len);
        p.plan = tkr_holdings_of(plan, from->model, from->model_len);
        if (p.plan == NULL)
            return leave(&p, no_memory);
        if (!plan_holding(&p))
            return false;
    }
    return true;
}

enum tkr_restore_verdict tkr_restore_plan(const struct tkr_restore_terms *terms, const struct tkr_holdings *backup,
                                          const struct tkr_holdings *now, struct tkr_holdings *ret_plan,
                                          struct tkr_restored *ret_restored)
{
    *ret_restored = (struct tkr_restored){.verdict = TKR_RESTORE_DONE};
    if (now->marked)
        return ret_restored->verdict = TKR_RESTORE_BEFORE;
    if (now->forgotten)
        return ret_restored->verdict = TKR_RESTORE_FORGOTTEN;
    if (!tkr_holdings_begin(ret_plan, backup->kind, backup->id, backup->id_len, backup->cycle))
        tkr_restore_leave(ret_restored, no_memory);
    else if (plan_holdings(terms, backup, now, ret_plan, ret_restored)) {
        ret_plan->limit = now->limit == TKR_LIMIT_NONE ? backup->limit : TKR_LIMIT_NONE;
        ret_restored->limit = ret_plan->limit != TKR_LIMIT_NONE;
        ret_restored->added = ret_plan->holding[0].total;
    }
    if (ret_restored->verdict != TKR_RESTORE_DONE)
        ret_restored->records = 0;
    return ret_restored->verdict;
}
