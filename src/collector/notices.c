/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/notices.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/account.h"
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
    bool told = notice->what == TKR_NOTICE_CORRECTED || notice->what == TKR_NOTICE_DROPPED;

    return told ? (uint64_t)notice->figure : 1;
}

/* --- the log --- */

static bool may_say(struct tkr_notices *notices, int64_t now_ns)
{
    if (now_ns >= notices->lines_until_ns) {
        if (notices->unsaid > 0)
            tkr_log(TKR_LOG_WARNING, "handlers had %" PRIu64 " more to say; tokenring stat has the sums", notices->unsaid);
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

static void failure_words(int64_t figure, char text[160])
{
    if (figure >= TKR_NOTICE_OWN_ANSWER)
        (void)snprintf(text, 160, "handler failed: it answered %" PRId32, (int32_t)(uint32_t)(figure - TKR_NOTICE_OWN_ANSWER));
    else if (figure < TKR_RESULT_COUNT)
        (void)snprintf(text, 160, "handler failed: %s", tkr_strerror(-(int)figure));
    else
        (void)snprintf(text, 160, "handler failed: result -%" PRId64, figure);
}

static const char *words(const struct tkr_drain_notice *notice, char text[160])
{
    switch (notice->what) {
    case TKR_NOTICE_FAILED:
        failure_words(notice->figure, text);
        break;
    case TKR_NOTICE_SLOW:
        (void)snprintf(text, 160, "slow call: %" PRId64 " ms", notice->duration_us / 1000);
        break;
    case TKR_NOTICE_CORRECTED:
        (void)snprintf(text, 160, "figures that no call can have, counted as 0 or left out: %" PRId64, notice->figure);
        break;
    case TKR_NOTICE_USAGE_MISSING:
        (void)snprintf(text, 160, "a call ended without usage");
        break;
    default:
        (void)snprintf(text, 160, "dropped events, the handler's queue or memory was full: %" PRId64, notice->figure);
    }
    return text;
}

static void say(const struct tkr_drain_notice *notice)
{
    char kind[TKR_KIND_NAME_BYTES];
    char text[160];

    tkr_kind_name(notice->account.kind, kind);
    tkr_log(TKR_LOG_WARNING, "%.*s: %s; %s %.*s", (int)notice->type_len, notice->type, words(notice, text), kind,
            (int)notice->account.len, notice->account.id);
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
