/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/notices.h"

#include <string.h>

#include "base/clock.h"
#include "base/errors.h"
#include "base/log.h"
#include "base/text.h"

#define LINES 20u                    /* for notices by name, */
#define LINES_NS (60 * TKR_NS_PER_S) /* in so long */
#define OTHER "other"

void tkr_notices_open(struct tkr_notices *notices)
{
    memset(notices, 0, sizeof(*notices));
    (void)pthread_mutex_init(&notices->mutex, NULL); /* a default one cannot fail */
}

void tkr_notices_close(struct tkr_notices *notices)
{
    (void)pthread_mutex_destroy(&notices->mutex);
}

/* --- sums --- */

static struct tkr_health_handler *find(struct tkr_notices *notices, const char *type, uint32_t type_len)
{
    for (uint64_t i = 0; i < notices->types; i++) {
        if (strlen(notices->sum[i].type) == type_len && memcmp(notices->sum[i].type, type, type_len) == 0)
            return &notices->sum[i];
    }
    return NULL;
}

static struct tkr_health_handler *add(struct tkr_notices *notices, const char *type, uint32_t type_len)
{
    struct tkr_health_handler *sum = &notices->sum[notices->types++];

    memcpy(sum->type, type, type_len);
    return sum;
}

/* Types are gateways' words: what cannot be shown as one, or comes when there are too many, has the last place. */
static struct tkr_health_handler *sum_of(struct tkr_notices *notices, const struct tkr_drain_notice *notice)
{
    bool fits = notice->type_len < sizeof(notices->sum[0].type) && tkr_text_valid(notice->type, notice->type_len);
    struct tkr_health_handler *sum = fits ? find(notices, notice->type, notice->type_len) : NULL;

    if (sum != NULL)
        return sum;
    if (fits && notices->types < TKR_HEALTH_HANDLERS_MAX - 1)
        return add(notices, notice->type, notice->type_len);
    sum = find(notices, OTHER, sizeof(OTHER) - 1);
    return sum != NULL ? sum : add(notices, OTHER, sizeof(OTHER) - 1);
}

/* Of most notices one is one; of some they are told together. */
static uint64_t times(const struct tkr_drain_notice *notice)
{
    bool told =
        notice->what == TKR_NOTICE_CORRECTED || notice->what == TKR_NOTICE_DROPPED || notice->what >= TKR_NOTICE_CONTRADICTORY;

    return told ? (uint64_t)notice->figure : 1;
}

/* --- the log --- */

static bool may_say(struct tkr_notices *notices, int64_t now_ns)
{
    if (now_ns >= notices->lines_until_ns) {
        if (notices->unsaid > 0)
            TKR_LOG(TKR_LOG_WARNING, "handlers had {events} more to say; tokenring stat has the sums",
                    tkr_field_events((int64_t)notices->unsaid));
        notices->unsaid = 0;
        notices->lines_left = LINES;
        notices->lines_until_ns = now_ns + LINES_NS;
    }
    if (notices->lines_left == 0) {
        notices->unsaid++;
        return false;
    }
    notices->lines_left--;
    return true;
}

static void say_figure(const struct tkr_drain_notice *notice, const char *message, struct tkr_field figure)
{
    const tkr_account *account = &notice->account;

    TKR_LOG(TKR_LOG_WARNING, message, tkr_field_handler(notice->type, notice->type_len), tkr_field_kind(account->kind),
            tkr_field_account(account->kind, account->id, account->len), figure);
}

static void say_missing(const struct tkr_drain_notice *notice)
{
    const tkr_account *account = &notice->account;

    TKR_LOG(TKR_LOG_WARNING, "{handler}: a call ended without usage; {kind} {account}",
            tkr_field_handler(notice->type, notice->type_len), tkr_field_kind(account->kind),
            tkr_field_account(account->kind, account->id, account->len));
}

static void say_unmatched(const struct tkr_drain_notice *notice)
{
    const tkr_account *account = &notice->account;

    TKR_LOG(TKR_LOG_WARNING, "{handler}: an end without a start, or a second end or start, not counted; {kind} {account}",
            tkr_field_handler(notice->type, notice->type_len), tkr_field_kind(account->kind),
            tkr_field_account(account->kind, account->id, account->len));
}

static void say_failed(const struct tkr_drain_notice *notice)
{
    int64_t figure = notice->figure;

    if (figure >= TKR_NOTICE_OWN_ANSWER)
        say_figure(notice, "{handler}: handler failed: it answered {answer}; {kind} {account}",
                   tkr_field_answer((int32_t)(uint32_t)(figure - TKR_NOTICE_OWN_ANSWER)));
    else if (figure < TKR_RESULT_COUNT)
        say_figure(notice, "{handler}: handler failed: {error}; {kind} {account}", tkr_field_error(tkr_strerror(-(int)figure)));
    else
        say_figure(notice, "{handler}: handler failed: result {answer}; {kind} {account}", tkr_field_answer(-figure));
}

static void say_contradictory(const struct tkr_drain_notice *notice)
{
    const tkr_account *account = &notice->account;
    const char *text = tkr_contradiction_text[notice->what - TKR_NOTICE_CONTRADICTORY];

    TKR_LOG(TKR_LOG_WARNING, "{handler}: contradictory usage, {reason}: {events}; {kind} {account}",
            tkr_field_handler(notice->type, notice->type_len), tkr_field_reason(text), tkr_field_events(notice->figure),
            tkr_field_kind(account->kind), tkr_field_account(account->kind, account->id, account->len));
}

static void say(const struct tkr_drain_notice *notice)
{
    if (notice->what >= TKR_NOTICE_CONTRADICTORY) {
        say_contradictory(notice);
        return;
    }
    switch (notice->what) {
    case TKR_NOTICE_FAILED:
        say_failed(notice);
        break;
    case TKR_NOTICE_SLOW:
        say_figure(notice, "Slow callback: {handler} took {duration_ms} ms for {kind} {account}",
                   tkr_field_duration_ms(notice->duration_us / 1000));
        break;
    case TKR_NOTICE_CORRECTED:
        say_figure(notice, "{handler}: figures that no call can have, counted as 0 or left out: {events}; {kind} {account}",
                   tkr_field_events(notice->figure));
        break;
    case TKR_NOTICE_USAGE_MISSING:
        say_missing(notice);
        break;
    case TKR_NOTICE_UNMATCHED:
        say_unmatched(notice);
        break;
    default:
        say_figure(notice,
                   "{handler}: dropped events, its queue or memory was full or it ended too late: {events}; {kind} {account}",
                   tkr_field_events(notice->figure));
    }
}

/* --- both --- */

void tkr_notices_take(struct tkr_notices *notices, const struct tkr_drain *drain)
{
    int64_t now_ns;

    if (notices == NULL || drain->notices == 0)
        return;
    now_ns = tkr_clock_monotonic_ns();
    (void)pthread_mutex_lock(&notices->mutex);
    for (uint32_t i = 0; i < drain->notices; i++) {
        const struct tkr_drain_notice *notice = &drain->notice[i];
        if (notice->watch || notice->what < TKR_NOTICE_FAILED || notice->what >= TKR_NOTICE_COUNT)
            continue; /* the keeper's, or of a later version */
        sum_of(notices, notice)->told[notice->what] += times(notice);
        if (may_say(notices, now_ns))
            say(notice);
    }
    (void)pthread_mutex_unlock(&notices->mutex);
}

void tkr_notices_tell(struct tkr_notices *notices, struct tkr_health *health)
{
    if (notices == NULL)
        return;
    (void)pthread_mutex_lock(&notices->mutex);
    health->handlers = notices->types;
    memcpy(health->handler, notices->sum, sizeof(health->handler));
    (void)pthread_mutex_unlock(&notices->mutex);
}
