/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limit handlers: hold when a call starts, give back when it ends, in a composite after all its members have ended
 * (callback/ending.h). What is held is a slot's (producer/limits.h), so a death gives it back.
 */
#include <stdlib.h>
#include <string.h>

#include "callback/charged.h"
#include "callback/context.h"
#include "callback/ending.h"
#include "callback/extract.h"
#include "producer/limits.h"

struct limit {
    struct tkr_callback callback;
    struct tkr_charged charged;
};

/* Of a call. */
struct kept {
    struct tkr_limits_held held;
    const tkr_limit *refusal; /* its figures: on the heap, or no_figures; NULL: not refused */
};
_Static_assert(sizeof(struct kept) <= TKR_CALLBACK_KEPT_WORDS * sizeof(uint64_t), "it lies in the context, and not on the heap");

/* Where there is no memory for them. */
static const tkr_limit no_figures = {.size = sizeof(tkr_limit),
                                     .verdict = TKR_LIMIT_REFUSED,
                                     .limit = -1,
                                     .used = -1,
                                     .reserved = -1,
                                     .remaining = -1,
                                     .age_ns = -1,
                                     .cycle_end_ns = -1};

static struct limit *of(struct tkr_callback *callback)
{
    return (struct limit *)callback;
}

static int64_t wanted(const struct limit *limit, const tkr_chat_message *messages, uint32_t count,
                      const tkr_callback_context *context)
{
    int64_t tokens = context->start.reserve > 0
                         ? context->start.reserve
                         : tkr_extract_prompt_estimate(messages, count, limit->charged.characters_per_token);

    return tokens > 0 ? tokens : 1;
}

static void make_start(const struct limit *limit, const tkr_callback_context *context, int64_t tokens, tkr_start *ret_start)
{
    *ret_start = context->start;
    ret_start->reserve = tokens;
    if (limit->charged.cycle != 0)
        ret_start->cycle = limit->charged.cycle;
    if (limit->charged.account.id == NULL)
        return;
    ret_start->account_count = 1;
    ret_start->account[0] = limit->charged.account;
}

/* Of the accounts that have no room, the one with least left; none is known to have none where what is not known is refused. */
static void find_figures(struct limit *limit, const tkr_start *start, tkr_limit *ret_limit)
{
    *ret_limit = no_figures;
    for (uint32_t i = 0; i < start->account_count; i++) {
        tkr_limit found = TKR_LIMIT_INIT;
        if (tkr_limit_check(limit->callback.producer, &start->account[i], start->cycle, start->reserve, &found) != TKR_OK ||
            found.limit == TKR_ABSENT || (ret_limit->limit != TKR_ABSENT && found.remaining >= ret_limit->remaining))
            continue;
        *ret_limit = found;
        ret_limit->verdict = TKR_LIMIT_REFUSED; /* whatever it would be by now */
    }
}

static const tkr_limit *make_refusal(struct limit *limit, const tkr_start *start)
{
    tkr_limit *refusal = malloc(sizeof(*refusal));

    if (refusal == NULL)
        return &no_figures;
    find_figures(limit, start, refusal);
    return refusal;
}

static int start(struct tkr_callback *callback, const tkr_chat_message *messages, uint32_t count, tkr_callback_context *context)
{
    struct limit *limit = of(callback);
    struct kept *kept;
    tkr_start call_start;
    int result;

    if (tkr_context_kept(context, callback) != NULL)
        return 0; /* it is in the composite twice */
    kept = tkr_context_keep(context, callback, sizeof(*kept));
    if (kept == NULL)
        return tkr_callback_failed(callback, TKR_ENOMEM, context);
    make_start(limit, context, wanted(limit, messages, count, context), &call_start);
    result = tkr_limits_reserve(callback->producer, &call_start, &kept->held);
    if (result == TKR_ELIMIT) {
        kept->refusal = make_refusal(limit, &call_start);
        tkr_context_refusal_set(context, kept->refusal);
        return 0;
    }
    return result == TKR_OK ? 0 : tkr_callback_failed(callback, result, context);
}

static int give_back(struct tkr_callback *callback, tkr_callback_context *context)
{
    const struct kept *kept = tkr_context_kept(context, callback);

    if (kept == NULL)
        return 0;
    tkr_ending_release(context, callback->producer, &kept->held);
    if (kept->refusal != NULL && tkr_context_refusal(context) == kept->refusal)
        tkr_context_refusal_set(context, NULL);
    if (kept->refusal != &no_figures)
        free((void *)(uintptr_t)kept->refusal);
    return 0;
}

static int end(struct tkr_callback *callback, const tkr_response *response, tkr_callback_context *context)
{
    (void)response;
    return give_back(callback, context);
}

static int error(struct tkr_callback *callback, const tkr_call_error *call_error, tkr_callback_context *context)
{
    (void)call_error;
    return give_back(callback, context);
}

/* An older caller has room for less, and a newer one leaves what is unknown here as it is. */
static void give(const tkr_limit *refusal, tkr_limit *ret_limit)
{
    uint32_t size = ret_limit->size;

    memcpy(ret_limit, refusal, size < sizeof(*refusal) ? size : sizeof(*refusal));
    ret_limit->size = size;
}

int tkr_callback_refusal(const tkr_callback_context *context, tkr_limit *ret_limit)
{
    const tkr_limit *refusal;

    if (context == NULL)
        return TKR_EINVAL;
    if (context->size != sizeof(*context) || (ret_limit != NULL && ret_limit->size < offsetof(tkr_limit, cycle_end_ns)))
        return TKR_ESIZE;
    refusal = tkr_context_refusal(context);
    if (refusal != NULL && ret_limit != NULL)
        give(refusal, ret_limit);
    return refusal != NULL;
}

/* --- making --- */

static void destroy(struct tkr_callback *callback)
{
    free(callback);
}

static const struct tkr_callback_ops ops = {.keeps = true, .start = start, .end = end, .error = error, .destroy = destroy};

int tkr_limit_callback(const tkr_callback_options *options, tkr_callback **ret_callback)
{
    struct limit *limit;
    int result = ret_callback == NULL ? TKR_EINVAL : tkr_charged_check(options);

    if (result != TKR_OK)
        return result;
    limit = tkr_callback_make(sizeof(*limit), &ops, "limit", options->producer);
    if (limit == NULL)
        return TKR_ENOMEM;
    result = tkr_charged_take(&limit->charged, options);
    if (result != TKR_OK) {
        tkr_callback_release(&limit->callback);
        return result;
    }
    limit->callback.account = limit->charged.account.id != NULL ? &limit->charged.account : NULL;
    *ret_callback = &limit->callback;
    return TKR_OK;
}
