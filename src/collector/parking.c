/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/parking.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define LINES 20u                    /* for accounts by name, */
#define LINES_NS (60 * TKR_NS_PER_S) /* in so long */
#define FIELDS 7                     /* of a line, at most */

/* retry_ms is a field where then names it. The reason's key, which holds the id, is a field of its own. */
static void log_account(enum tkr_log_level level, const struct tkr_contribution *sent, const char *why, const char *then,
                        int64_t retry_ms)
{
    size_t key_at = why == sent->reason ? sent->key_at : 0;
    size_t why_len = key_at > 0 ? key_at - strlen(TKR_REASON_KEY) : strlen(why);
    struct tkr_field field[FIELDS] = {tkr_field_kind(sent->kind), tkr_field_account(sent->kind, sent->id, sent->id_len),
                                      tkr_field_cycle(sent->cycle), tkr_field_make(TKR_FIELD_REASON, why, why_len, 0)};
    size_t fields = 4;
    char message[160];

    if (sent->model_len > 0)
        field[fields++] = tkr_field_model(sent->model, sent->model_len);
    if (key_at > 0)
        field[fields++] = tkr_field_key(why + key_at, strlen(why + key_at));
    if (retry_ms > 0)
        field[fields++] = tkr_field_retry_ms(retry_ms);
    (void)snprintf(message, sizeof(message), "{kind} {account}, cycle {cycle}%s: {reason}%s; %s",
                   sent->model_len > 0 ? ", model {model}" : "", key_at > 0 ? TKR_REASON_KEY "{key}" : "", then);
    (void)tkr_log_fields(level, message, field, fields, false);
}

void tkr_parking_log(enum tkr_log_level level, const struct tkr_contribution *sent, const char *why, const char *then)
{
    log_account(level, sent, why, then, 0);
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
    if (may_name(parking))
        log_account(TKR_LOG_ERROR, sent, why, "kept here and tried again every {retry_ms} ms", parking->retry_ns / TKR_NS_PER_MS);
    else
        parking->parked_unnamed++;
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
        TKR_LOG(TKR_LOG_ERROR, "accounts besides that the sink cannot take: {accounts}; tokenring stat tells how many there are",
                tkr_field_accounts(parking->parked_unnamed));
    if (parking->written_unnamed > 0)
        TKR_LOG(TKR_LOG_INFO, "accounts besides that the sink takes again: {accounts}",
                tkr_field_accounts(parking->written_unnamed));
    parking->parked_unnamed = parking->written_unnamed = 0;
    parking->sums_ns = now_ns + LINES_NS;
}
