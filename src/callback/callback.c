/* SPDX-License-Identifier: Apache-2.0 */
/* Calling handlers: arguments, references, counters. */
#include "callback/callback.h"

#include <stdlib.h>
#include <string.h>

#include "callback/spent.h"
#include "producer/arguments.h"

/* --- making and freeing --- */

void *tkr_callback_make(size_t bytes, const struct tkr_callback_ops *ops, const char *type, tkr_producer *producer)
{
    size_t rounded = (bytes + TKR_LINE_SEPARATION - 1) / TKR_LINE_SEPARATION * TKR_LINE_SEPARATION;
    struct tkr_callback *callback = aligned_alloc(TKR_LINE_SEPARATION, rounded);

    if (callback == NULL)
        return NULL;
    memset(callback, 0, rounded);
    callback->ops = ops;
    callback->producer = producer;
    memcpy(callback->type, type, strnlen(type, TKR_CALLBACK_TYPE_BYTES_MAX));
    atomic_store_explicit(&callback->references, 1, memory_order_relaxed); /* nobody else has it yet */
    return callback;
}

tkr_callback *tkr_callback_hold(tkr_callback *callback)
{
    if (callback != NULL)
        (void)atomic_fetch_add_explicit(&callback->references, 1, memory_order_relaxed); /* the caller has one already */
    return callback;
}

void tkr_callback_release(tkr_callback *callback)
{
    if (callback == NULL || atomic_fetch_sub_explicit(&callback->references, 1, memory_order_acq_rel) != 1)
        return; /* acq_rel: what all others did with it comes before it is freed */
    callback->ops->destroy(callback);
}

/* --- counters --- */

void tkr_callback_count(struct tkr_callback *callback, enum tkr_callback_counter counter, uint64_t more)
{
    uint32_t stripe = tkr_stripe();

    tkr_stripe_add(&callback->stripe[stripe].counter[counter], stripe, more);
}

uint64_t tkr_callback_counted(const struct tkr_callback *callback, enum tkr_callback_counter counter)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < TKR_STRIPES; i++)
        sum += atomic_load_explicit(&callback->stripe[i].counter[counter], memory_order_relaxed); /* of sums */
    return sum;
}

int tkr_callback_stat_read(tkr_callback *callback, tkr_callback_stat *ret_stat)
{
    if (callback == NULL || ret_stat == NULL)
        return TKR_EINVAL;
    if (ret_stat->size != sizeof(*ret_stat))
        return TKR_ESIZE;
    ret_stat->started = tkr_callback_counted(callback, TKR_CALLBACK_STARTED);
    ret_stat->ended = tkr_callback_counted(callback, TKR_CALLBACK_ENDED);
    ret_stat->errors = tkr_callback_counted(callback, TKR_CALLBACK_ERRORS);
    ret_stat->failed = tkr_callback_counted(callback, TKR_CALLBACK_FAILED);
    ret_stat->usage_missing = tkr_callback_counted(callback, TKR_CALLBACK_USAGE_MISSING);
    ret_stat->corrected = tkr_callback_counted(callback, TKR_CALLBACK_CORRECTED);
    ret_stat->slow = tkr_callback_counted(callback, TKR_CALLBACK_SLOW);
    ret_stat->dropped_full = tkr_callback_counted(callback, TKR_CALLBACK_DROPPED_FULL);
    ret_stat->dropped_bytes = tkr_callback_counted(callback, TKR_CALLBACK_DROPPED_BYTES);
    ret_stat->dropped_ended = tkr_callback_counted(callback, TKR_CALLBACK_DROPPED_ENDED);
    return TKR_OK;
}

const char *tkr_callback_type(const tkr_callback *callback)
{
    return callback != NULL ? callback->type : "";
}

/* --- telling the collector --- */

void tkr_callback_tell(struct tkr_callback *callback, enum tkr_notice what, const tkr_callback_context *context, int64_t figure,
                       int64_t duration_ns)
{
    struct tkr_notice_told told = {.what = what,
                                   .type = callback->type,
                                   .account = &context->start.account[0],
                                   .figure = figure,
                                   .duration_ns = duration_ns};

    if (context->start.account_count > 0)
        (void)tkr_producer_notice(callback->producer, &told); /* the handler's counters have it */
}

int tkr_callback_failed(struct tkr_callback *callback, int result, const tkr_callback_context *context)
{
    tkr_callback_count(callback, TKR_CALLBACK_FAILED, 1);
    tkr_callback_tell(callback, TKR_NOTICE_FAILED, context, -(int64_t)result, 0);
    return 1;
}

/* --- calling --- */

int tkr_callback_run_start(struct tkr_callback *callback, const tkr_chat_message *messages, uint32_t count,
                           tkr_callback_context *context)
{
    const struct tkr_callback *before = tkr_context_running_set(context, callback);
    int64_t begun_ns = callback->producer != NULL ? tkr_spent_begin() : 0; /* a composite's members are timed each */
    int failed = callback->ops->start != NULL ? callback->ops->start(callback, messages, count, context) : 0;

    tkr_spent_end(callback->producer, begun_ns);
    (void)tkr_context_running_set(context, before);
    tkr_callback_count(callback, TKR_CALLBACK_STARTED, 1);
    return failed;
}

int tkr_callback_run_end(struct tkr_callback *callback, const tkr_response *response, tkr_callback_context *context)
{
    const struct tkr_callback *before = tkr_context_running_set(context, callback);
    int64_t begun_ns = callback->producer != NULL ? tkr_spent_begin() : 0; /* a composite's members are timed each */
    int failed = callback->ops->end != NULL ? callback->ops->end(callback, response, context) : 0;

    tkr_spent_end(callback->producer, begun_ns);
    (void)tkr_context_running_set(context, before);
    tkr_context_drop(context, callback);
    tkr_callback_count(callback, TKR_CALLBACK_ENDED, 1);
    return failed;
}

int tkr_callback_run_error(struct tkr_callback *callback, const tkr_call_error *error, tkr_callback_context *context)
{
    const struct tkr_callback *before = tkr_context_running_set(context, callback);
    int64_t begun_ns = callback->producer != NULL ? tkr_spent_begin() : 0; /* a composite's members are timed each */
    int failed = callback->ops->error != NULL ? callback->ops->error(callback, error, context) : 0;

    tkr_spent_end(callback->producer, begun_ns);
    (void)tkr_context_running_set(context, before);
    tkr_context_drop(context, callback);
    tkr_callback_count(callback, TKR_CALLBACK_ERRORS, 1);
    return failed;
}

/* --- the public functions --- */

/* A context is written to: only this version's own will do. Accounts may be missing where no handler asks for them. */
static int check(const tkr_callback *callback, const tkr_callback_context *context)
{
    if (callback == NULL || context == NULL || (context->attribute == NULL && context->attribute_count > 0))
        return TKR_EINVAL;
    return context->size == sizeof(*context) && context->start.size == sizeof(context->start) ? TKR_OK : TKR_ESIZE;
}

int tkr_on_llm_start(tkr_callback *callback, const tkr_chat_message *messages, uint32_t count, tkr_callback_context *context)
{
    int result = check(callback, context);

    if (result == TKR_OK && messages == NULL && count > 0)
        result = TKR_EINVAL;
    return result == TKR_OK ? tkr_callback_run_start(callback, messages, count, context) : result;
}

static bool response_fits(const tkr_response *response)
{
    return response->content != NULL || response->content_len == 0;
}

int tkr_on_llm_end(tkr_callback *callback, const tkr_response *response, tkr_callback_context *context)
{
    int result = check(callback, context);

    if (result == TKR_OK && (response == NULL || !response_fits(response)))
        result = TKR_EINVAL;
    if (result == TKR_OK && response->size != sizeof(*response))
        result = TKR_ESIZE;
    return result == TKR_OK ? tkr_callback_run_end(callback, response, context) : result;
}

int tkr_on_llm_error(tkr_callback *callback, const tkr_call_error *error, tkr_callback_context *context)
{
    int result = check(callback, context);

    if (result == TKR_OK && (error == NULL || (error->response != NULL && !response_fits(error->response))))
        result = TKR_EINVAL;
    if (result == TKR_OK &&
        (error->size != sizeof(*error) || (error->response != NULL && error->response->size != sizeof(*error->response))))
        result = TKR_ESIZE;
    if (result == TKR_OK && (error->kind <= TKR_ERROR_NONE || error->kind > UINT8_MAX))
        result = TKR_ERANGE;
    return result == TKR_OK ? tkr_callback_run_error(callback, error, context) : result;
}
