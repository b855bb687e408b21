/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alert handlers: a handler of one's own, by the public functions, that notes accounts; and a thread that looks at them in the sink.
 *
 * Fork. The accounts, their lock and the thread are of one process (struct lookout), as an asynchronous handler's line is
 * (callback/asynchronous.c): a child makes its own when a call ends in it first, and leaves its parent's as it is; whose accounts
 * the parent looks at. Who says an alert is decided in the sink, among processes as among hosts.
 *
 * What is said once: each handler remembers what is done with, so that it does not ask again; the sink's claim decides among all. What
 * falls below a percent again, since the cycle was reset, is no more done with: the reset gave the claims back.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/account.h"
#include "base/clock.h"
#include "base/process.h"
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

#define RETRY_NS (100 * TKR_NS_PER_MS)

/* Who looks, in one process. */
struct lookout {
    const tkr_alert_options *options; /* of the handler */
    uint64_t generation;              /* of the process */
    struct lookout *inherited;        /* the one before, of the parent, until the handler is freed; NULL: none */
    struct tkr_watch watch;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake; /* on the monotonic clock */
    bool closing;        /* under the mutex */
    struct tkr_watched due[LOOKED_AT_ONCE];
    struct tkr_usage_row row[LOOKED_AT_ONCE];
    struct tkr_usage_found found[LOOKED_AT_ONCE];
};

struct alerts {
    tkr_alert_options options;
    _Atomic(struct lookout *) lookout; /* of the process that used the handler last */
    int64_t retry_ns;                  /* monotonic; before it no lookout is tried again; under the process' lock */
};

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
    struct lookout *lookout;
    uint32_t count;
};

static int ask_lookup(tkr_sink *sink, void *arg, tkr_message *ret_message)
{
    const struct look *look = arg;

    memset(look->lookout->found, 0, sizeof(look->lookout->found));
    return sink->ops->lookup(sink, look->lookout->row, look->count, look->lookout->found, ret_message);
}

/* Without a product that 63 bits do not hold. */
static bool reached(int64_t used, int64_t limit, uint32_t percent)
{
    return (unsigned __int128)used * 100 >= (unsigned __int128)limit * percent;
}

static void say(const struct lookout *lookout, const struct tkr_usage_row *row, const struct tkr_usage_found *found,
                uint32_t percent)
{
    const tkr_alert alert = {.size = sizeof(alert),
                             .percent = percent,
                             .account = {.kind = row->kind, .id = row->id, .len = row->id_len},
                             .cycle = row->cycle,
                             .current_usage = found->counts.value[TKR_COUNTER_TOTAL],
                             .limit = tkr_usage_limit(found)};

    lookout->options->on_alert(lookout->options->user, &alert);
}

/* Says what is reached and not yet said (a blocked account has no part of a limit to reach), lowest percent first. Returns what is
 * done with; what could not be claimed is not. */
static uint32_t judge(const struct lookout *lookout, const struct tkr_usage_row *row, const struct tkr_usage_found *found,
                      uint32_t said)
{
    int64_t used = found->counts.value[TKR_COUNTER_TOTAL];
    int64_t limit = tkr_usage_limit(found);

    for (uint32_t i = 0; i < lookout->options->percent_count; i++) {
        struct claim claim = {.account = row, .percent = lookout->options->percent[i]};
        if (limit <= 0 || used < 0 || !reached(used, limit, claim.percent)) {
            said &= ~(1u << i);
            continue;
        }
        if ((said >> i & 1) != 0 || tkr_repository_ask(lookout->options->repository, ask_claim, &claim) != TKR_OK)
            continue;
        said |= 1u << i;
        if (claim.first)
            say(lookout, row, found, claim.percent);
    }
    return said;
}

/* Looks at so many that are due. A sink that does not answer is asked again when they are due next. */
static void look(struct lookout *lookout, uint32_t count)
{
    struct look question = {.lookout = lookout, .count = count};

    for (uint32_t i = 0; i < count; i++)
        lookout->row[i] = (struct tkr_usage_row){.kind = lookout->due[i].kind,
                                                 .id = lookout->due[i].id,
                                                 .id_len = lookout->due[i].id_len,
                                                 .cycle = lookout->due[i].cycle,
                                                 .limit = -1};
    if (count == 0 || tkr_repository_ask(lookout->options->repository, ask_lookup, &question) != TKR_OK)
        return;
    for (uint32_t i = 0; i < count; i++) {
        if (!lookout->found[i].fault && tkr_usage_limit(&lookout->found[i]) !=
                                            TKR_LIMIT_UNREADABLE) /* else its turn comes again, and others do not wait for it */
            tkr_watch_said(&lookout->watch, &lookout->due[i],
                           judge(lookout, &lookout->row[i], &lookout->found[i], lookout->due[i].said));
    }
}

static bool is_closing(struct lookout *lookout)
{
    bool closing;

    (void)pthread_mutex_lock(&lookout->mutex);
    closing = lookout->closing;
    (void)pthread_mutex_unlock(&lookout->mutex);
    return closing;
}

/* Waits for the interval. false: the handler is closed. */
static bool wait_interval(struct lookout *lookout)
{
    int64_t at_ns = tkr_clock_monotonic_ns() + lookout->options->interval_ms * TKR_NS_PER_MS;
    struct timespec at = {.tv_sec = (time_t)(at_ns / TKR_NS_PER_S), .tv_nsec = (long)(at_ns % TKR_NS_PER_S)};
    int result = 0;
    bool closing;

    (void)pthread_mutex_lock(&lookout->mutex);
    while (!lookout->closing && result != ETIMEDOUT)
        result = pthread_cond_timedwait(&lookout->wake, &lookout->mutex, &at);
    closing = lookout->closing;
    (void)pthread_mutex_unlock(&lookout->mutex);
    return !closing;
}

static void *run(void *argument)
{
    struct lookout *lookout = argument;
    int count;

    while (wait_interval(lookout)) {
        tkr_watch_begin(&lookout->watch);
        while (!is_closing(lookout) && (count = tkr_watch_due(&lookout->watch, lookout->due, LOOKED_AT_ONCE)) >= 0)
            look(lookout, (uint32_t)count);
    }
    return NULL;
}

/* --- making and ending a lookout --- */

static void lookout_free(struct lookout *lookout)
{
    (void)pthread_mutex_destroy(&lookout->mutex);
    (void)pthread_cond_destroy(&lookout->wake);
    tkr_watch_close(&lookout->watch);
    free(lookout);
}

static bool prepare(struct lookout *lookout)
{
    pthread_condattr_t monotonic;

    (void)pthread_mutex_init(&lookout->mutex, NULL); /* a default one cannot fail, nor do the others on Linux */
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&lookout->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    lookout->generation = tkr_process_generation();
    return tkr_watch_open(&lookout->watch, lookout->options->accounts_max);
}

/* The host's signals are for the host's threads. */
static int start_thread(struct lookout *lookout)
{
    sigset_t all;
    sigset_t before;
    int result;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    result = pthread_create(&lookout->thread, NULL, run, lookout);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

/* NULL: no memory, or no thread. */
static struct lookout *lookout_make(const tkr_alert_options *options, struct lookout *inherited)
{
    struct lookout *lookout = calloc(1, sizeof(*lookout));

    if (lookout == NULL)
        return NULL;
    lookout->options = options;
    lookout->inherited = inherited;
    if (prepare(lookout) && start_thread(lookout) == 0)
        return lookout;
    lookout_free(lookout);
    return NULL;
}

/* Waits for what its thread is saying. */
static void lookout_end(struct lookout *lookout)
{
    (void)pthread_mutex_lock(&lookout->mutex);
    lookout->closing = true;
    (void)pthread_cond_signal(&lookout->wake);
    (void)pthread_mutex_unlock(&lookout->mutex);
    (void)pthread_join(lookout->thread, NULL);
    lookout_free(lookout);
}

/* This process'; NULL: none yet. */
static struct lookout *lookout_published(const struct alerts *alerts)
{
    /* What it was made with before it; pairs with the release in lookout_renew. */
    struct lookout *lookout = atomic_load_explicit(&alerts->lookout, memory_order_acquire);

    return lookout->generation == tkr_process_generation() ? lookout : NULL;
}

/* A child's first call. NULL: none can be made at present. */
static struct lookout *lookout_renew(struct alerts *alerts)
{
    struct lookout *lookout;
    int64_t now_ns;

    tkr_process_lock();
    lookout = lookout_published(alerts); /* another thread was first */
    now_ns = lookout == NULL ? tkr_clock_monotonic_ns() : 0;
    if (lookout == NULL && now_ns >= alerts->retry_ns) {
        lookout =
            lookout_make(&alerts->options, atomic_load_explicit(&alerts->lookout, memory_order_relaxed)); /* under the lock */
        if (lookout != NULL)
            atomic_store_explicit(&alerts->lookout, lookout, memory_order_release);
        else
            alerts->retry_ns = now_ns + RETRY_NS;
    }
    tkr_process_unlock();
    return lookout;
}

/* --- a call has ended --- */

static int note(struct alerts *alerts, const tkr_callback_context *context)
{
    const tkr_start *start = &context->start;
    struct lookout *lookout = lookout_published(alerts);
    struct tkr_usage_row row;
    int result = TKR_OK;

    if (lookout == NULL)
        lookout = lookout_renew(alerts);
    if (lookout == NULL)
        return TKR_ENOMEM;
    for (uint32_t i = 0; result == TKR_OK && i < start->account_count && i < TKR_ACCOUNTS_MAX; i++) {
        result = tkr_repository_row(alerts->options.repository, &start->account[i], start->cycle, &row);
        if (result == TKR_OK)
            tkr_watch_note(&lookout->watch, &start->account[i], row.cycle);
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

/* --- making and freeing --- */

/* Of the parent: its memory, and nothing else of it; its condition waits for a thread that is not here. */
static void inherited_free(struct lookout *lookout)
{
    while (lookout != NULL) {
        struct lookout *before = lookout->inherited;
        tkr_watch_close(&lookout->watch);
        free(lookout);
        lookout = before;
    }
}

static void on_destroy(void *user)
{
    struct alerts *alerts = user;
    struct lookout *lookout = lookout_published(alerts);
    struct lookout *inherited;

    if (lookout != NULL) {
        inherited = lookout->inherited;
        lookout_end(lookout);
    } else {                                                                      /* a child that never used it */
        inherited = atomic_load_explicit(&alerts->lookout, memory_order_relaxed); /* nobody else has it any more */
    }
    inherited_free(inherited);
    free(alerts);
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

int tkr_alert_callback(const tkr_alert_options *given, tkr_callback **ret_callback)
{
    tkr_callback_functions functions = TKR_CALLBACK_FUNCTIONS_INIT;
    tkr_alert_options options;
    struct alerts *alerts;
    struct lookout *lookout;
    int result = ret_callback == NULL ? TKR_EINVAL : take_options(given, &options);

    if (result != TKR_OK)
        return result;
    alerts = tkr_process_prepare() ? calloc(1, sizeof(*alerts)) : NULL;
    if (alerts == NULL)
        return TKR_ENOMEM;
    alerts->options = options;
    lookout = lookout_make(&alerts->options, NULL);
    if (lookout == NULL) {
        free(alerts);
        return TKR_ENOMEM;
    }
    atomic_init(&alerts->lookout, lookout);
    functions.type = TYPE;
    functions.on_llm_end = on_end;
    functions.on_llm_error = on_error;
    functions.destroy = on_destroy;
    result = tkr_custom_callback(&functions, alerts, options.repository->producer, ret_callback);
    if (result != TKR_OK)
        on_destroy(alerts);
    return result;
}
