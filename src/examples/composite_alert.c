/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Detailed counting and alerts, composed: every call of the gateway is told to both. dave may use 1,000 tokens in this cycle; when
 * half, four fifths and all of it are gone, warn() is called, once, whichever host's gateway notices first. The cycle is reset
 * first, so that the example can be run again, once all is flushed (a second).
 *
 *     cc -std=c17 -o composite_alert composite_alert.c $(pkg-config --cflags --libs tokenring_repository)
 */
#define _POSIX_C_SOURCE 200809L /* nanosleep */
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <tokenring/alert.h>

#define CALLS 12
#define WAIT_MS 30000

static void warn(void *user, const tkr_alert *alert)
{
    atomic_uint *percent = user;

    printf("%.*s has used %u %% of its limit: %lld of %lld tokens\n", (int)alert->account.len, alert->account.id, alert->percent,
           (long long)alert->current_usage, (long long)alert->limit);
    atomic_store(percent, alert->percent);
}

static int compose(tkr_producer *producer, tkr_repository *repository, atomic_uint *percent, tkr_callback *handlers)
{
    tkr_callback_options counting = TKR_CALLBACK_OPTIONS_INIT;
    tkr_alert_options alerting = TKR_ALERT_OPTIONS_INIT;
    tkr_callback *detailed = NULL;
    tkr_callback *alert = NULL;
    int result;

    counting.producer = producer;
    alerting.repository = repository;
    alerting.on_alert = warn;
    alerting.user = percent;
    alerting.interval_ms = 100;
    result = tkr_detailed_token_callback(&counting, &detailed);
    if (result == 0)
        result = tkr_composite_add(handlers, detailed, TKR_CALLBACK_OWN);
    if (result == 0)
        result = tkr_alert_callback(&alerting, &alert);
    if (result == 0)
        result = tkr_composite_add(handlers, alert, TKR_CALLBACK_OWN);
    return result;
}

static int call(tkr_callback *handlers, const tkr_account *account)
{
    tkr_callback_context context = TKR_CALLBACK_CONTEXT_INIT;
    tkr_response response = TKR_RESPONSE_INIT;
    int failed;

    context.start.account_count = 1;
    context.start.account[0] = *account;
    context.start.model = "gpt-4o";
    context.start.model_len = 6;
    response.prompt_tokens = 60; /* what the provider reports */
    response.completion_tokens = 40;
    response.tokens_used = 100;
    failed = tkr_on_llm_start(handlers, NULL, 0, &context);
    failed += tkr_on_llm_end(handlers, &response, &context);
    return failed;
}

int main(void)
{
    const tkr_account dave = {.id = "dave", .len = 4};
    const struct timespec pause = {.tv_nsec = 10000000};
    tkr_repository *repository = NULL;
    tkr_producer *producer = NULL;
    tkr_callback *handlers = NULL;
    atomic_uint percent = 0;
    int result = tkr_open(NULL, &producer);

    if (result == 0)
        result = tkr_repository_open(NULL, &repository);
    if (result == 0)
        result = tkr_repository_reset_usage(repository, &dave, 0, 0);
    if (result == 0)
        result = tkr_repository_set_usage_limit(repository, &dave, 0, 1000);
    if (result == 0)
        result = tkr_composite_callback(&handlers);
    if (result == 0)
        result = compose(producer, repository, &percent, handlers);
    for (int i = 0; result == 0 && i < CALLS; i++)
        if (call(handlers, &dave) != 0)
            printf("a handler failed\n");
    for (int ms = 0; result == 0 && atomic_load(&percent) < 100 && ms < WAIT_MS; ms += 10)
        (void)nanosleep(&pause, NULL); /* a gateway would go on with its work */
    tkr_callback_release(handlers);
    tkr_repository_close(repository);
    tkr_close(producer);
    if (result != 0)
        (void)fprintf(stderr, "composite_alert: %s\n", tkr_strerror(result));
    return result != 0 || atomic_load(&percent) < 100;
}
