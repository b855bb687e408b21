/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alert handlers: a handler of one's own, by the public functions, that notes accounts; and a thread that looks at them in the sink.
 *
 * What is said once: each handler remembers what is done with, so that it does not ask again; the sink's claim decides among all. What
 * falls below a percent again, since the cycle was reset, is no more done with: the reset gave the claims back.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/account.h"
#include "base/clock.h"
#include "repository/repository.h"
#include "repository/watch.h"
#include "tokenring/alert.h"

#define TYPE "alert"
#define INTERVAL_DEFAULT_MS 1000u
#define INTERVAL_MIN_MS 10u
#define INTERVAL_MAX_MS 3600000u
#define ACCOUNTS_DEFAULT 10000u
#define ACCOUNTS_MAX 1000000u
#define LOOKED_AT_ONCE 1000u
_Static_assert(TKR_ALERT_PERCENT_MAX == TKR_PERCENT_MAX, "what can be said can be claimed");

struct alerts {
    tkr_alert_options options;
    struct tkr_watch watch;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake; /* on the monotonic clock */
    bool closing;        /* under the mutex */
    pid_t pid;           /* of the process that has the thread */
    struct tkr_watched due[LOOKED_AT_ONCE];
    struct tkr_usage_row row[LOOKED_AT_ONCE];
    struct tkr_usage_found found[LOOKED_AT_ONCE];
};

/* --- a call has ended --- */

static int note(struct alerts *alerts, const tkr_callback_context *context)
{
    const tkr_start *start = &context->start;
    struct tkr_usage_row row;
    int result = TKR_OK;

    if (alerts->pid != getpid())
        return TKR_OK; /* a child, where the thread is not, and might have held the lock */
    for (uint32_t i = 0; result == TKR_OK && i < start->account_count && i < TKR_ACCOUNTS_MAX; i++) {
        result = tkr_repository_row(alerts->options.repository, &start->account[i], start->cycle, &row);
        if (result == TKR_OK)
            tkr_watch_note(&alerts->watch, &start->account[i], row.cycle);
    }
    return result;
}

static int on_end(void *user, const tkr_response *response, tkr_callback_context *context)
{
    (void)response;
    return note(user, context);
}

static int on_error(void *user, const tkr_call_error *error, tkr_callback_context *context)
{
    (void)error;
    return note(user, context);
}

/* --- looking --- */

struct claim {
    const struct tkr_usage_row *account;
    uint32_t percent;
    bool first; /* out */
};

static int ask_claim(tkr_sink *sink, void *arg, tkr_message *ret_message)
{
    struct claim *claim = arg;
    int rc = sink->ops->claim(sink, claim->account, claim->percent, ret_message);

    claim->first = rc > 0;
    return rc;
}

struct look {
    struct alerts *alerts;
    uint32_t count;
};

static int ask_lookup(tkr_sink *sink, void *arg, tkr_message *ret_message)
{
    const struct look *look = arg;

    return sink->ops->lookup(sink, look->alerts->row, look->count, look->alerts->found, ret_message);
}

/* Without a product that 63 bits do not hold. */
static bool reached(int64_t used, int64_t limit, uint32_t percent)
{
    return (unsigned __int128)used * 100 >= (unsigned __int128)limit * percent;
}

static void say(const struct alerts *alerts, const struct tkr_usage_row *row, const struct tkr_usage_found *found,
                uint32_t percent)
{
    const tkr_alert alert = {.size = sizeof(alert),
                             .percent = percent,
                             .account = {.kind = row->kind, .id = row->id, .len = row->id_len},
                             .cycle = row->cycle,
                             .current_usage = found->counts.value[TKR_COUNTER_TOTAL],
                             .limit = tkr_usage_limit(found)};

    alerts->options.on_alert(alerts->options.user, &alert);
}

/* Says what is reached and not yet said (a blocked account has no part of a limit to reach), lowest percent first. Returns what
 * is done with; what could not be claimed is not. */
static uint32_t judge(const struct alerts *alerts, const struct tkr_usage_row *row, const struct tkr_usage_found *found,
                      uint32_t said)
{
    int64_t used = found->counts.value[TKR_COUNTER_TOTAL];
    int64_t limit = tkr_usage_limit(found);

    for (uint32_t i = 0; i < alerts->options.percent_count; i++) {
        struct claim claim = {.account = row, .percent = alerts->options.percent[i]};
        if (limit <= 0 || used < 0 || !reached(used, limit, claim.percent)) {
            said &= ~(1u << i);
            continue;
        }
        if ((said >> i & 1) != 0 || tkr_repository_ask(alerts->options.repository, ask_claim, &claim) != TKR_OK)
            continue;
        said |= 1u << i;
        if (claim.first)
            say(alerts, row, found, claim.percent);
    }
    return said;
}

/* Looks at so many that are due. A sink that does not answer is asked again when they are due next. */
static void look(struct alerts *alerts, uint32_t count)
{
    struct look question = {.alerts = alerts, .count = count};

    for (uint32_t i = 0; i < count; i++)
        alerts->row[i] = (struct tkr_usage_row){.kind = alerts->due[i].kind,
                                                .id = alerts->due[i].id,
                                                .id_len = alerts->due[i].id_len,
                                                .cycle = alerts->due[i].cycle,
                                                .limit = -1};
    if (count == 0 || tkr_repository_ask(alerts->options.repository, ask_lookup, &question) != TKR_OK)
        return;
    for (uint32_t i = 0; i < count; i++) {
        if (!alerts->found[i].fault && tkr_usage_limit(&alerts->found[i]) !=
                                           TKR_LIMIT_UNREADABLE) /* else its turn comes again, and others do not wait for it */
            tkr_watch_said(&alerts->watch, &alerts->due[i],
                           judge(alerts, &alerts->row[i], &alerts->found[i], alerts->due[i].said));
    }
}

static bool is_closing(struct alerts *alerts)
{
    bool closing;

    (void)pthread_mutex_lock(&alerts->mutex);
    closing = alerts->closing;
    (void)pthread_mutex_unlock(&alerts->mutex);
    return closing;
}

/* Waits for the interval. false: the handler is closed. */
static bool wait_interval(struct alerts *alerts)
{
    int64_t at_ns = tkr_clock_monotonic_ns() + alerts->options.interval_ms * TKR_NS_PER_MS;
    struct timespec at = {.tv_sec = (time_t)(at_ns / TKR_NS_PER_S), .tv_nsec = (long)(at_ns % TKR_NS_PER_S)};
    int result = 0;
    bool closing;

    (void)pthread_mutex_lock(&alerts->mutex);
    while (!alerts->closing && result != ETIMEDOUT)
        result = pthread_cond_timedwait(&alerts->wake, &alerts->mutex, &at);
    closing = alerts->closing;
    (void)pthread_mutex_unlock(&alerts->mutex);
    return !closing;
}

static void *run(void *argument)
{
    struct alerts *alerts = argument;
    int count;

    while (wait_interval(alerts)) {
        tkr_watch_begin(&alerts->watch);
        while (!is_closing(alerts) && (count = tkr_watch_due(&alerts->watch, alerts->due, LOOKED_AT_ONCE)) >= 0)
            look(alerts, (uint32_t)count);
    }
    return NULL;
}

/* --- making and freeing --- */

static void free_all(struct alerts *alerts)
{
    tkr_watch_close(&alerts->watch);
    free(alerts);
}

static void destroy(struct alerts *alerts)
{
    (void)pthread_mutex_destroy(&alerts->mutex);
    (void)pthread_cond_destroy(&alerts->wake);
    free_all(alerts);
}

static void on_destroy(void *user)
{
    struct alerts *alerts = user;

    if (alerts->pid != getpid()) { /* the condition waits for a thread that is not here to let go of it */
        free_all(alerts);
        return;
    }
    (void)pthread_mutex_lock(&alerts->mutex);
    alerts->closing = true;
    (void)pthread_cond_signal(&alerts->wake);
    (void)pthread_mutex_unlock(&alerts->mutex);
    (void)pthread_join(alerts->thread, NULL);
    destroy(alerts);
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static int take_options(const tkr_alert_options *given, tkr_alert_options *ret_options)
{
    static const uint32_t usual[] = {50, 80, 100};

    if (given == NULL)
        return TKR_EINVAL;
    if (given->size != sizeof(*given))
        return TKR_ESIZE;
    *ret_options = *given;
    if (given->repository == NULL || given->on_alert == NULL)
        return TKR_EINVAL;
    if (given->percent_count > TKR_ALERT_PERCENTS_MAX || given->accounts_max > ACCOUNTS_MAX ||
        (given->interval_ms != 0 && (given->interval_ms < INTERVAL_MIN_MS || given->interval_ms > INTERVAL_MAX_MS)))
        return TKR_ERANGE;
    for (uint32_t i = 0; i < given->percent_count; i++) {
        if (given->percent[i] < 1 || given->percent[i] > TKR_ALERT_PERCENT_MAX)
            return TKR_ERANGE;
    }
    if (given->percent_count == 0) {
        memcpy(ret_options->percent, usual, sizeof(usual));
        ret_options->percent_count = sizeof(usual) / sizeof(usual[0]);
    }
    qsort(ret_options->percent, ret_options->percent_count, sizeof(uint32_t), compare);
    ret_options->interval_ms = given->interval_ms != 0 ? given->interval_ms : INTERVAL_DEFAULT_MS;
    ret_options->accounts_max = given->accounts_max != 0 ? given->accounts_max : ACCOUNTS_DEFAULT;
    return TKR_OK;
}

static bool prepare(struct alerts *alerts)
{
    pthread_condattr_t monotonic;

    (void)pthread_mutex_init(&alerts->mutex, NULL); /* a default one cannot fail, nor do the others on Linux */
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&alerts->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    alerts->pid = getpid();
    return tkr_watch_open(&alerts->watch, alerts->options.accounts_max);
}

/* The host's signals are for the host's threads. */
static int start_thread(struct alerts *alerts)
{
    sigset_t all;
    sigset_t before;
    int result;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    result = pthread_create(&alerts->thread, NULL, run, alerts);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

int tkr_alert_callback(const tkr_alert_options *given, tkr_callback **ret_callback)
{
    tkr_callback_functions functions = TKR_CALLBACK_FUNCTIONS_INIT;
    tkr_alert_options options;
    struct alerts *alerts;
    int result = ret_callback == NULL ? TKR_EINVAL : take_options(given, &options);

    if (result != TKR_OK)
        return result;
    alerts = calloc(1, sizeof(*alerts));
    if (alerts == NULL)
        return TKR_ENOMEM;
    alerts->options = options;
    if (!prepare(alerts) || start_thread(alerts) != 0) {
        destroy(alerts);
        return TKR_ENOMEM;
    }
    functions.type = TYPE;
    functions.on_llm_end = on_end;
    functions.on_llm_error = on_error;
    functions.destroy = on_destroy;
    result = tkr_custom_callback(&functions, alerts, options.repository->producer, ret_callback);
    if (result != TKR_OK)
        on_destroy(alerts);
    return result;
}
