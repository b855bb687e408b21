/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/settle.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "collector/forget.h"
#include "collector/retire.h"
#include "sink/contribution.h"

#define RESENDS_MAX 8 /* of one entry in a row, before it is parked */

const char tkr_settle_record_lost[] =
    "the sink has lost this collector's record of it, although it has not gone back so far; tokenring verify tells what is known";

static const char doubtful[] = "the sink has gone back, and may have its total without its record";
static const char ahead[] = "the sink's record is ahead of this collector; nothing is subtracted";
static const char erased[] = "the account was forgotten in the sink";

/* What a record has of the life that an entry has now. */
static int64_t acknowledged(const struct tkr_record *known, const struct tkr_contribution *sent, int counter)
{
    return known->life == sent->now.life ? known->counts.value[counter] : 0;
}

/* What the sink has of an entry has changed, from what it had before. */
static void tell(struct tkr_told *told, const struct tkr_record *before, const struct tkr_contribution *sent, bool resend)
{
    tkr_counts difference = {.value = {0}};

    for (int i = TKR_COUNTER_PROMPT; i <= TKR_COUNTER_TOTAL; i++)
        difference.value[i] = acknowledged(&sent->known, sent, i) - acknowledged(before, sent, i);
    if (difference.value[TKR_COUNTER_TOTAL] > 0)
        tkr_recorded_add(&told->recorded, sent, difference.value[TKR_COUNTER_TOTAL]);
    if (told->monitor == NULL)
        return;
    tkr_add_own(resend ? &told->monitor->flush.resent : &told->monitor->flush.acknowledged, 1);
    if (sent->kind == TKR_KIND_USER && sent->model_len == 0)
        tkr_ranking_add(told->monitor->ranking, sent->id, sent->id_len, &difference);
}

/* Is there no record of it, and is it not known that nothing is in the total either? */
static bool is_doubtful(const struct tkr_outlet *outlet, uint32_t reference, const struct tkr_contribution *sent)
{
    return tkr_outlet_unchecked(outlet, reference) && sent->outcome == TKR_OUTCOME_FOUND && sent->found.life == 0 &&
           (sent->bare || sent->known.life == sent->now.life) && !tkr_outlet_lost(outlet, sent->now.life);
}

/* Takes up what the sink has of an entry. NULL: that is all there is to it; else why the entry must wait. */
static const char *judge(struct tkr_outlet *outlet, struct tkr_told *told, uint32_t reference, struct tkr_contribution *sent,
                         bool *ret_resend)
{
    const struct tkr_record before = sent->known;
    enum tkr_decision decision;

    *ret_resend = false;
    if (is_doubtful(outlet, reference, sent))
        return sent->erased ? erased : doubtful;
    decision = tkr_contribution_decide(sent, !tkr_outlet_unchecked(outlet, reference));
    *ret_resend = decision == TKR_DECIDE_RESEND;
    switch (decision) {
    case TKR_DECIDE_AMBIGUOUS:
        return tkr_settle_record_lost;
    case TKR_DECIDE_ERASED:
        return erased;
    case TKR_DECIDE_CONFLICT:
        return ahead;
    case TKR_DECIDE_PARK:
        return sent->reason;
    default:
        tkr_entry_known_set(tkr_shard_entry(outlet->shard, reference), sent->known.life, &sent->known.counts);
        tell(told, &before, sent, *ret_resend);
        return NULL;
    }
}

/* Acts on one answer, for an entry that is not in flight any more. false: it is doubtful. */
static bool settle_item(struct tkr_parking *parking, struct tkr_told *told, struct tkr_outlet *outlet,
                        struct tkr_outlet_item item, struct tkr_contribution *sent)
{
    bool resend;
    const char *why = judge(outlet, told, item.reference, sent, &resend);

    if (why == doubtful)
        return false;
    if ((why == ahead || why == erased) && tkr_forget_relive(outlet, item.reference, sent->now.life, sent->found.life)) {
        tkr_parking_log(why == ahead ? TKR_LOG_ERROR : TKR_LOG_INFO, sent, why,
                        "what it has not acknowledged is sent as a new life");
        if (item.why != 0)
            tkr_parking_written(parking, outlet, item.reference, sent);
        return true;
    }
    if (resend && item.resends++ == RESENDS_MAX)
        why = "somebody else keeps changing this collector's record";
    if (why != NULL && told->monitor != NULL)
        tkr_add_own(&told->monitor->flush.parked, 1);
    if (why != NULL)
        tkr_parking_put(parking, outlet, item, sent, why);
    else if (resend)
        (void)tkr_outlet_add(outlet, &outlet->queue, item); /* no memory: it comes back with its next change */
    else if (item.why != 0)
        tkr_parking_written(parking, outlet, item.reference, sent);
    return true;
}

/* One that was parked stays so, and is named, until it is written. */
static void leave_to_recheck(const struct tkr_parking *parking, struct tkr_outlet *outlet, struct tkr_outlet_item item)
{
    item.not_before_ns = tkr_clock_monotonic_ns() + parking->retry_ns;
    if (item.why == 0 || !tkr_outlet_add(outlet, &outlet->parked, item))
        outlet->awaiting++;
}

/* Scrubbing asks for records that are missing; all else is found with the entry's next change. What was forgotten is to be gone. */
static bool is_missing(const struct tkr_contribution *sent)
{
    return sent->outcome == TKR_OUTCOME_FOUND && sent->found.life == 0 && !sent->erased;
}

/* Acts on the answers, but for records that are to be removed. */
static void settle_items(struct tkr_parking *parking, struct tkr_told *told, struct tkr_parcel *parcel)
{
    struct tkr_outlet *outlet = parcel->outlet;

    for (uint32_t i = 0; parcel->purpose != TKR_PARCEL_REMOVAL && i < parcel->chunk.count; i++) {
        struct tkr_contribution *sent = &parcel->chunk.item[i];

        if (parcel->purpose == TKR_PARCEL_QUEUED)
            tkr_outlet_unmark(outlet, parcel->origin[i].reference);
        if ((parcel->purpose == TKR_PARCEL_SCRUB && !is_missing(sent)) ||
            settle_item(parking, told, outlet, parcel->origin[i], sent))
            continue;
        if (parcel->purpose == TKR_PARCEL_QUEUED) {
            leave_to_recheck(parking, outlet, parcel->origin[i]);
            continue;
        }
        parcel->copy[parcel->doubtful] = parcel->copy[i]; /* of one that is settled: nobody looks at its id any more */
        parcel->origin[parcel->doubtful++] = parcel->origin[i];
    }
}

/* See collector/retire.h. */
static const char asked[] = "tokenring gc asked whether this collector lives, or took it for dead and removed its records; then "
                            "what was acknowledged is in the totals and must not be repaired";

/*
 * Takes up the number that the sink had. It never falls, unless the sink lost what it had acknowledged. true: it is the one
 * expected, so that the sink now has the chunk's own.
 */
static bool note_seen(struct tkr_outlet *outlet, const struct tkr_chunk *chunk)
{
    uint64_t acknowledged = atomic_load_explicit(&outlet->shard->header->seen, memory_order_relaxed);
    bool expected = chunk->seen_found == chunk->seen_expected;

    if (chunk->seen_found < acknowledged) {
        TKR_LOG(TKR_LOG_WARNING,
                "the sink has gone back (source {source}: from {seen} to {seen_found}); comparing all accounts with it",
                tkr_field_source(outlet->source, strlen(outlet->source)), tkr_field_seen(acknowledged),
                tkr_field_seen_found(chunk->seen_found));
        tkr_outlet_recheck_begin(outlet, chunk->seen_found);
    }
    acknowledged = expected ? chunk->seen_next : chunk->seen_found;
    if (!expected) {
        outlet->seen_expected = chunk->seen_found;
        if (tkr_retire_number(chunk->seen_found))
            TKR_LOG(TKR_LOG_WARNING, "source {source}: {reason}", tkr_field_source(outlet->source, strlen(outlet->source)),
                    tkr_field_reason(asked));
        outlet->probe = outlet->announce = true; /* whoever asks whether this collector lives is told */
    }
    if (acknowledged > outlet->seen_sent)
        outlet->seen_sent = acknowledged; /* an earlier collector had sent more */
    atomic_store_explicit(&outlet->shard->header->seen, acknowledged, memory_order_relaxed); /* a hint for the next start */
    return expected;
}

bool tkr_settle(struct tkr_parking *parking, struct tkr_told *told, struct tkr_parcel *parcel)
{
    parcel->doubtful = 0;
    if (!note_seen(parcel->outlet, &parcel->chunk)) {
        tkr_parcel_requeue(parcel);
        return false;
    }
    settle_items(parking, told, parcel);
    parcel->in_flight = false;
    return true;
}
