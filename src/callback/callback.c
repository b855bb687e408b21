/* SPDX-License-Identifier: Apache-2.0 */
/* Calling handlers: arguments, references, counters. */
#include "callback/callback.h"

#include <stdlib.h>
#include <string.h>

#include "base/process.h"
#include "callback/context.h"
#include "callback/spent.h"
#include "producer/arguments.h"

#define STAT_BYTES_MIN offsetof(tkr_callback_stat, dropped_thread) /* of the first version */
#define STAT_BYTES_MAX 4096u                                       /* of a later one */

/* --- making and freeing --- */

void *tkr_callback_make(size_t bytes, const struct tkr_callback_ops *ops, const char *type, tkr_producer *producer)
{
    size_t rounded = (bytes + TKR_LINE_SEPARATION - 1) / TKR_LINE_SEPARATION * TKR_LINE_SEPARATION;
    struct tkr_callback *callback = tkr_process_prepare() ? aligned_alloc(TKR_LINE_SEPARATION, rounded) : NULL;

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
    tkr_callback_stat stat = TKR_CALLBACK_STAT_INIT;

    if (callback == NULL || ret_stat == NULL)
        return TKR_EINVAL;
    if (ret_stat->size < STAT_BYTES_MIN || ret_stat->size > STAT_BYTES_MAX)
        return TKR_ESIZE;
    stat.size = ret_stat->size; /* the caller's says how much it has room for */
    stat.started = tkr_callback_counted(callback, TKR_CALLBACK_STARTED);
    stat.ended = tkr_callback_counted(callback, TKR_CALLBACK_ENDED);
    stat.errors = tkr_callback_counted(callback, TKR_CALLBACK_ERRORS);
    stat.failed = tkr_callback_counted(callback, TKR_CALLBACK_FAILED);
    stat.usage_missing = tkr_callback_counted(callback, TKR_CALLBACK_USAGE_MISSING);
    stat.corrected = tkr_callback_counted(callback, TKR_CALLBACK_CORRECTED);
    stat.slow = tkr_callback_counted(callback, TKR_CALLBACK_SLOW);
    stat.dropped_full = tkr_callback_counted(callback, TKR_CALLBACK_DROPPED_FULL);
    stat.dropped_bytes = tkr_callback_counted(callback, TKR_CALLBACK_DROPPED_BYTES);
    stat.dropped_ended = tkr_callback_counted(callback, TKR_CALLBACK_DROPPED_ENDED);
    stat.dropped_thread = tkr_callback_counted(callback, TKR_CALLBACK_DROPPED_THREAD);
    stat.unmatched = tkr_callback_counted(callback, TKR_CALLBACK_UNMATCHED);
#define TKR_CONTRADICTION(symbol, key, text) \
    stat.key = tkr_callback_counted(callback, TKR_CALLBACK_CONTRADICTORY + (unsigned)TKR_CONTRADICTION_##symbol);
#include "event/contradictions.def"
#undef TKR_CONTRADICTION
    memcpy(ret_stat, &stat, ret_stat->size < sizeof(stat) ? ret_stat->size : sizeof(stat));
    return TKR_OK;
}

const char *tkr_callback_type(const tkr_callback *callback)
{
    return callback != NULL ? callback->type : "";
}

/* --- telling the collector --- */

bool tkr_callback_tell_by(struct tkr_callback *callback, const struct tkr_notice_told *told)
{
    if (callback->producer != NULL)
        return tkr_producer_notice(callback->producer, told);
    return callback->ops->tell != NULL && callback->ops->tell(callback, told);
}

void tkr_callback_tell(struct tkr_callback *callback, enum tkr_notice what, const tkr_callback_context *context, int64_t figure,
                       int64_t duration_ns)
{
    struct tkr_notice_told told = {
        .what = what, .type = callback->type, .account = callback->account, .figure = figure, .duration_ns = duration_ns};

    if (context->start.account_count > 0)
        told.account = &context->start.account[0];
    if (told.account != NULL)
        (void)tkr_callback_tell_by(callback, &told); /* the handler's counters have it */
}

int tkr_callback_failed(struct tkr_callback *callback, int result, const tkr_callback_context *context)
{
    tkr_callback_count(callback, TKR_CALLBACK_FAILED, 1);
    tkr_callback_tell(callback, TKR_NOTICE_FAILED, context, -(int64_t)result, 0);
    return 1;
}

int tkr_callback_unmatched(struct tkr_callback *callback, const tkr_callback_context *context)
{
    tkr_callback_count(callback, TKR_CALLBACK_UNMATCHED, 1);
    tkr_callback_tell(callback, TKR_NOTICE_UNMATCHED, context, 0, 0);
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

/*
 * Does the handler keep something of this call? Asked here, where the application's calls come in, and not in tkr_callback_run_*:
 * a handler that is in a composite twice sees a start or an end twice, and that is in order.
 */
static inline bool has_started(tkr_callback *callback, tkr_callback_context *context)
{
    return tkr_context_kept(context, callback) != NULL;
}

int tkr_on_llm_start(tkr_callback *callback, const tkr_chat_message *messages, uint32_t count, tkr_callback_context *context)
{
    int result = check(callback, context);

    if (result == TKR_OK && messages == NULL && count > 0)
        result = TKR_EINVAL;
    if (result != TKR_OK)
        return result;
    if (callback->ops->keeps && has_started(callback, context))
        return tkr_callback_unmatched(callback, context);
    return tkr_callback_run_start(callback, messages, count, context);
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
    if (result != TKR_OK)
        return result;
    if (callback->ops->keeps && !has_started(callback, context))
        return tkr_callback_unmatched(callback, context);
    return tkr_callback_run_end(callback, response, context);
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
    if (result != TKR_OK)
        return result;
    if (callback->ops->keeps && !has_started(callback, context))
        return tkr_callback_unmatched(callback, context);
    return tkr_callback_run_error(callback, error, context);
}
