/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/parking.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/account.h"
#include "base/clock.h"
#include "base/cycle.h"

#define LINES 20u                    /* for accounts by name, */
#define LINES_NS (60 * TKR_NS_PER_S) /* in so long */

void tkr_parking_log(enum tkr_log_level level, const struct tkr_contribution *sent, const char *why, const char *then)
{
    char kind[TKR_KIND_NAME_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];

    tkr_kind_name(sent->kind, kind);
    tkr_cycle_format(sent->cycle, cycle);
    tkr_log(level, "%s %.*s, cycle %s%s%.*s: %s; %s", kind, (int)sent->id_len, sent->id, cycle,
            sent->model_len > 0 ? ", model " : "", (int)sent->model_len, sent->model_len > 0 ? sent->model : "", why, then);
}

/* Tells one reason from another in the few bits that an item has for it (FNV-1a, folded); never 0. */
static uint32_t reason_code(const char *why)
{
    uint32_t hash = UINT32_C(2166136261);

    for (; *why != '\0'; why++)
        hash = (hash ^ (unsigned char)*why) * UINT32_C(16777619);
    hash = (hash >> TKR_OUTLET_WHY_BITS ^ hash) & TKR_OUTLET_WHY_MAX;
    return hash != 0 ? hash : 1;
}

static bool may_name(struct tkr_parking *parking)
{
    if (parking->lines_left == 0)
        return false;
    parking->lines_left--;
    return true;
}

/* --- those that health names --- */

static uint32_t find(const struct tkr_parking *parking, const struct tkr_outlet *outlet, uint32_t reference)
{
    uint32_t i = 0;

    while (i < parking->named && (parking->whose[i].outlet != outlet || parking->whose[i].reference != reference))
        i++;
    return i;
}

static void name(struct tkr_parking *parking, const struct tkr_outlet *outlet, uint32_t reference,
                 const struct tkr_contribution *sent, const char *why)
{
    uint32_t i = find(parking, outlet, reference);
    struct tkr_health_account *account = &parking->account[i];

    if (i == TKR_HEALTH_NAMED_MAX)
        return;
    if (i == parking->named) {
        memset(account, 0, sizeof(*account));
        account->since_ns = tkr_clock_unix_ns();
        parking->whose[i].outlet = outlet;
        parking->whose[i].reference = reference;
        parking->named++;
    }
    account->kind = sent->kind;
    account->cycle = sent->cycle;
    account->id_len = sent->id_len;
    memcpy(account->id, sent->id, sent->id_len);
    account->model_len = sent->model_len;
    if (sent->model_len > 0)
        memcpy(account->model, sent->model, sent->model_len);
    memset(account->reason, 0, sizeof(account->reason));
    (void)snprintf(account->reason, sizeof(account->reason), "%s", why);
}

static void forget_name(struct tkr_parking *parking, const struct tkr_outlet *outlet, uint32_t reference)
{
    uint32_t i = find(parking, outlet, reference);

    if (i == parking->named)
        return;
    parking->named--;
    parking->account[i] = parking->account[parking->named];
    parking->whose[i] = parking->whose[parking->named];
}

/* --- in and out --- */

static void tell_parked(struct tkr_parking *parking, const struct tkr_contribution *sent, const char *why)
{
    char then[64];

    if (!may_name(parking)) {
        parking->parked_unnamed++;
        return;
    }
    if (parking->retry_ns >= TKR_NS_PER_S)
        (void)snprintf(then, sizeof(then), "kept here and tried again every %" PRId64 " s", parking->retry_ns / TKR_NS_PER_S);
    else
        (void)snprintf(then, sizeof(then), "kept here and tried again every %" PRId64 " ms", parking->retry_ns / TKR_NS_PER_MS);
    tkr_parking_log(TKR_LOG_ERROR, sent, why, then);
}

void tkr_parking_put(struct tkr_parking *parking, struct tkr_outlet *outlet, struct tkr_outlet_item item,
                     const struct tkr_contribution *sent, const char *why)
{
    uint32_t code = reason_code(why);

    if (tkr_outlet_has(outlet, item.reference))
        return; /* compared while it waits: its own turn will tell */
    if (item.why != code)
        tell_parked(parking, sent, why);
    item.why = code & TKR_OUTLET_WHY_MAX;
    item.resends = 0;
    item.not_before_ns = tkr_clock_monotonic_ns() + parking->retry_ns;
    if (tkr_outlet_add(outlet, &outlet->parked, item))
        name(parking, outlet, item.reference, sent, why);
    else
        forget_name(parking, outlet, item.reference); /* no memory: it comes back with its next change */
}

void tkr_parking_written(struct tkr_parking *parking, const struct tkr_outlet *outlet, uint32_t reference,
                         const struct tkr_contribution *sent)
{
    forget_name(parking, outlet, reference);
    if (may_name(parking))
        tkr_parking_log(TKR_LOG_INFO, sent, "the sink takes it again", "nothing of it is missing");
    else
        parking->written_unnamed++;
}

void tkr_parking_tell(struct tkr_parking *parking, int64_t now_ns)
{
    if (now_ns >= parking->lines_until_ns) {
        parking->lines_left = LINES;
        parking->lines_until_ns = now_ns + LINES_NS;
    }
    if (parking->parked_unnamed + parking->written_unnamed == 0 || now_ns < parking->sums_ns)
        return;
    if (parking->parked_unnamed > 0)
        tkr_log(TKR_LOG_ERROR, "accounts besides that the sink cannot take: %" PRIu64 "; tokenring stat tells how many there are",
                parking->parked_unnamed);
    if (parking->written_unnamed > 0)
        tkr_log(TKR_LOG_INFO, "accounts besides that the sink takes again: %" PRIu64, parking->written_unnamed);
    parking->parked_unnamed = parking->written_unnamed = 0;
    parking->sums_ns = now_ns + LINES_NS;
}
