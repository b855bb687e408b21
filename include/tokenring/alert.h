/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alerts: a callback handler that says when an account has used a part of its limit. In libtokenring_repository, since what is used
 * is what the sink has, of all hosts together.
 *
 *     tkr_alert_options options = TKR_ALERT_OPTIONS_INIT;
 *     options.repository = repository;
 *     options.on_alert = warn;
 *     result = tkr_alert_callback(&options, &alert);
 *     result = tkr_composite_add(handlers, alert, TKR_CALLBACK_OWN);
 *
 * What is NOT promised
 *  - An alert comes after the fact: when the collector has flushed the call (about a second), and the handler has looked.
 *  - Once is once: an alert whose process dies between the claim and its call is not said again.
 *  - Only accounts of calls that went through the handler are looked at.
 */
#ifndef TOKENRING_ALERT_H
#define TOKENRING_ALERT_H

#include "tokenring/callback.h"
#include "tokenring/repository.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TKR_ALERT_PERCENTS_MAX 16
#define TKR_ALERT_PERCENT_MAX 200

/* What is said. Borrowed for the call. */
typedef struct tkr_alert {
    uint32_t size;
    uint32_t percent; /* of the limit that has been reached, one of the options' */
    tkr_account account;
    uint32_t cycle; /* yyyymmdd */
    uint32_t pad;
    int64_t current_usage; /* total tokens of the cycle, on all hosts */
    int64_t limit;         /* that holds: the cycle's own, else the standing one */
} tkr_alert;

typedef struct tkr_alert_options {
    uint32_t size;
    uint32_t interval_ms;                                 /* between looks, 10..3,600,000; 0: 1000 */
    tkr_repository *repository;                           /* borrowed, must outlive the handler */
    void (*on_alert)(void *user, const tkr_alert *alert); /* called by the handler's own thread, one alert at a time */
    void *user;
    uint32_t percent[TKR_ALERT_PERCENTS_MAX]; /* 1..TKR_ALERT_PERCENT_MAX each, in any order */
    uint32_t percent_count;                   /* 0: 50, 80 and 100 */
    uint32_t accounts_max;                    /* looked at, 1..1,000,000; 0: 10,000. Those long idle make room */
} tkr_alert_options;
#define TKR_ALERT_OPTIONS_INIT                                    \
    {                                                             \
        sizeof(tkr_alert_options), 0, NULL, NULL, NULL, {0}, 0, 0 \
    }

/*
 * An alert handler. At the end of a call it notes the call's accounts, and no more: nothing waits. Its thread looks at them, at once
 * and then less and less often until their next call, and says each percent that is reached, once per account and cycle: of all such
 * handlers, on all hosts, the one that claims it first in the sink. After a reset of the cycle it may be said again.
 * The last release waits for an alert that is being said.
 * Results: 0; TKR_EINVAL (NULL, no repository or function), TKR_ESIZE, TKR_ERANGE; TKR_ENOMEM.
 * Threads: as any handler. Fork: in a child a thread of its own looks at the accounts of calls that ended there, from the first
 * one on; where none can be started, the handler fails.
 */
TKR_API TKR_MUST_CHECK int tkr_alert_callback(const tkr_alert_options *options, tkr_callback **ret_callback);

#ifdef __cplusplus
}
#endif
#endif
