/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token handlers, basic and detailed: a call is begun when it starts, so that the death of its process settles it, and ended when it
 * ends. What the response says is in callback/extract.h.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cycle.h"
#include "callback/charged.h"
#include "base/process.h"
#include "callback/claims.h"
#include "callback/context.h"
#include "callback/extract.h"
#include "callback/settings.h"
#include "callback/tally.h"
#include "producer/arguments.h"
#include "producer/limits.h"

#define ALL_ACCOUNTS 0xfu
_Static_assert(TKR_ACCOUNTS_MAX == 4, "a mask of accounts has a bit for each");

struct token {
    struct tkr_callback callback;
    bool detailed;
    struct tkr_charged charged;
    struct tkr_tally corrected;
    struct tkr_tally contradictory[TKR_CONTRADICTIONS];
};

/* Of a call. */
struct kept {
    tkr_call call;    /* 0: not tracked, to be recorded at its end */
    int64_t start_ns; /* as told; 0: not, and the producer measures */
    int64_t begun_ns; /* of a call that is not tracked: that start on the monotonic clock */
    int64_t prompt_estimate;
    uint32_t accounts; /* that are this handler's to count, a bit each; 0: none */
    uint32_t process;  /* lower half of its generation: a child's copy of a call that is not tracked is the parent's to count */
};

static struct token *of(struct tkr_callback *callback)
{
    return (struct token *)callback;
}

/* --- accounts --- */

static uint32_t cycle_of(const struct token *token, const tkr_callback_context *context)
{
    return token->charged.cycle != 0 ? token->charged.cycle : context->start.cycle;
}

/* The accounts that the handler would charge. */
static const tkr_account *accounts_of(const struct token *token, const tkr_callback_context *context, uint32_t *ret_count)
{
    *ret_count = token->charged.account.id != NULL ? 1 : context->start.account_count;
    return token->charged.account.id != NULL ? &token->charged.account : context->start.account;
}

static void claim(struct tkr_callback *callback, const tkr_callback_context *context, struct tkr_claims *claims)
{
    const struct token *token = of(callback);
    uint32_t count;
    const tkr_account *account = accounts_of(token, context, &count);

    for (uint32_t i = 0; i < count && i < TKR_ACCOUNTS_MAX; i++) {
        if (tkr_arguments_account(&account[i]) == TKR_OK)
            tkr_claims_add(claims, callback, token->detailed ? TKR_CLAIM_DETAILED : TKR_CLAIM_TOKEN, &account[i],
                           cycle_of(token, context));
    }
}

/* Those of them that are its own. What is no account stays, for tkr_call_begin to refuse. */
static uint32_t accounts_owned(struct token *token, const tkr_callback_context *context)
{
    const struct tkr_claims *claims = tkr_context_claims(context);
    uint32_t owned = 0;
    uint32_t count;
    const tkr_account *account = accounts_of(token, context, &count);

    if (claims == NULL)
        return ALL_ACCOUNTS;
    for (uint32_t i = 0; i < count && i < TKR_ACCOUNTS_MAX; i++) {
        if (tkr_arguments_account(&account[i]) != TKR_OK ||
            tkr_claims_owned(claims, &token->callback, &account[i], cycle_of(token, context)))
            owned |= 1u << i;
    }
    return owned;
}

static void make_start(const struct token *token, const tkr_callback_context *context, const struct kept *kept,
                       tkr_start *ret_start)
{
    uint32_t count;
    const tkr_account *account = accounts_of(token, context, &count);

    *ret_start = context->start;
    ret_start->start_ns = kept->start_ns;
    ret_start->cycle = cycle_of(token, context);
    ret_start->prompt_estimate = kept->prompt_estimate;
    if (account == context->start.account && kept->accounts == ALL_ACCOUNTS)
        return;
    ret_start->account_count = 0;
    for (uint32_t i = 0; i < count && i < TKR_ACCOUNTS_MAX; i++) {
        if (kept->accounts >> i & 1)
            ret_start->account[ret_start->account_count++] = account[i];
    }
}

/* By a start that was made for it. */
static int begin_made(const struct token *token, const tkr_callback_context *context, struct kept *kept)
{
    tkr_start start;

    make_start(token, context, kept, &start);
    return tkr_producer_begin_unheld(token->callback.producer, &start, &kept->call); /* limit handlers hold */
}

/* By the context's own start, which for so long has what the handler knows: a copy would cost as much as the call. */
static int begin(const struct token *token, tkr_callback_context *context, struct kept *kept)
{
    tkr_start *start = &context->start;
    int64_t prompt_estimate = start->prompt_estimate;
    int result;

    if (kept->accounts != ALL_ACCOUNTS || token->charged.account.id != NULL || token->charged.cycle != 0)
        return begin_made(token, context, kept);
    start->prompt_estimate = kept->prompt_estimate;
    result = tkr_producer_begin_unheld(token->callback.producer, start, &kept->call);
    start->prompt_estimate = prompt_estimate;
    return result;
}

/* --- start --- */

/* Begins to measure a call that the producer does not track. */
static void measure(struct kept *kept)
{
    int64_t now_ns = tkr_clock_unix_ns();

    if (kept->start_ns == 0)
        kept->start_ns = now_ns;
    kept->begun_ns = tkr_clock_monotonic_ns() - (now_ns - kept->start_ns);
}

static int start(struct tkr_callback *callback, const tkr_chat_message *messages, uint32_t count, tkr_callback_context *context)
{
    struct token *token = of(callback);
    struct kept *kept;
    int result;

    if (tkr_context_kept(context, callback) != NULL)
        return 0; /* it is in the composite twice */
    kept = tkr_context_keep(context, callback, sizeof(*kept));
    if (kept == NULL)
        return tkr_callback_failed(callback, TKR_ENOMEM, context);
    kept->accounts = accounts_owned(token, context);
    if (kept->accounts == 0)
        return 0; /* another handler of the composite counts them */
    kept->start_ns = context->start.start_ns;
    kept->process = (uint32_t)tkr_process_generation();
    kept->prompt_estimate = token->detailed ? tkr_extract_prompt_estimate(messages, count, token->charged.characters_per_token)
                                            : tkr_arguments_or_zero(context->start.prompt_estimate);
    result = begin(token, context, kept);
    if (result == TKR_ECALLS || result == TKR_ENOSPC)
        measure(kept); /* not tracked, but counted when it ends */
    if (result == TKR_OK || result == TKR_ECALLS || result == TKR_ENOSPC)
        return 0;
    kept->accounts = 0;
    return tkr_callback_failed(callback, result, context);
}

/* --- end --- */

/* Tells of it once per account and minute; all of them are counted. */
static void tell_rarely(struct token *token, struct tkr_tally *tally, enum tkr_notice what, const tkr_callback_context *context,
                        uint64_t more)
{
    uint64_t untold = tkr_tally_add(tally, &context->start.account[0], more, tkr_clock_monotonic_ns());

    if (untold > 0)
        tkr_callback_tell(&token->callback, what, context, (int64_t)untold, 0);
}

/* What the response reports that cannot be, or cannot all be. */
static __attribute__((noinline)) void tell_wrong(struct token *token, const tkr_callback_context *context,
                                                 const struct tkr_extracted *extracted)
{
    if (extracted->corrected > 0) {
        tkr_callback_count(&token->callback, TKR_CALLBACK_CORRECTED, extracted->corrected);
        tell_rarely(token, &token->corrected, TKR_NOTICE_CORRECTED, context, extracted->corrected);
    }
    for (unsigned i = 0; i < TKR_CONTRADICTIONS; i++) {
        if ((extracted->contradictions >> i & 1) == 0)
            continue;
        tkr_callback_count(&token->callback, TKR_CALLBACK_CONTRADICTORY + i, 1);
        tell_rarely(token, &token->contradictory[i], TKR_NOTICE_CONTRADICTORY + i, context, 1);
    }
}

static int put_usage(struct token *token, const tkr_callback_context *context, const struct kept *kept, const tkr_usage *usage)
{
    tkr_start call_start;
    tkr_usage timed;

    if (kept->call != 0)
        return tkr_call_end(token->callback.producer, kept->call, usage);
    if (kept->process != (uint32_t)tkr_process_generation())
        return TKR_EHANDLE;
    make_start(token, context, kept, &call_start);
    timed = *usage;
    timed.end_ns = kept->start_ns + (tkr_clock_monotonic_ns() - kept->begun_ns);
    return tkr_record(token->callback.producer, &call_start, &timed);
}

/* Ends the call. What no call can have used is not counted, but the call is. */
static int count_call(struct token *token, const tkr_callback_context *context, const struct kept *kept, const tkr_usage *usage)
{
    tkr_usage nothing = TKR_USAGE_INIT;
    int result = put_usage(token, context, kept, usage);

    if (result != TKR_ERANGE)
        return result;
    nothing.error = usage->error;
    result = put_usage(token, context, kept, &nothing);
    return result == TKR_OK ? TKR_ERANGE : result;
}

static int finish(struct tkr_callback *callback, tkr_callback_context *context, struct kept *kept,
                  struct tkr_extracted *extracted)
{
    struct token *token = of(callback);
    int result;

    if (__builtin_expect((extracted->corrected | extracted->contradictions) != 0, 0))
        tell_wrong(token, context, extracted);
    result = count_call(token, context, kept, &extracted->usage);
    return result == TKR_OK ? 0 : tkr_callback_failed(callback, result, context);
}

static int end(struct tkr_callback *callback, const tkr_response *response, tkr_callback_context *context)
{
    struct token *token = of(callback);
    struct kept *kept = tkr_context_kept(context, callback);
    struct tkr_extracted extracted;

    if (kept == NULL || kept->accounts == 0)
        return 0;
    if (token->detailed)
        tkr_extract_detailed(response, kept->prompt_estimate, token->charged.characters_per_token, &extracted);
    else
        tkr_extract_total(response, &extracted);
    if (extracted.missing) {
        tkr_callback_count(callback, TKR_CALLBACK_USAGE_MISSING, 1);
        if (!token->detailed)
            tkr_callback_tell(callback, TKR_NOTICE_USAGE_MISSING, context, 0, 0);
    }
    return finish(callback, context, kept, &extracted);
}

static int error(struct tkr_callback *callback, const tkr_call_error *call_error, tkr_callback_context *context)
{
    struct kept *kept = tkr_context_kept(context, callback);
    struct tkr_extracted extracted;

    if (kept == NULL || kept->accounts == 0)
        return 0;
    tkr_extract_reported(call_error->response, &extracted);
    extracted.usage.error = call_error->kind;
    return finish(callback, context, kept, &extracted);
}

/* --- making --- */

static void destroy(struct tkr_callback *callback)
{
    free(callback);
}

static const struct tkr_callback_ops ops = {
    .keeps = true, .start = start, .end = end, .error = error, .claim = claim, .destroy = destroy};

static int make(const tkr_callback_options *options, bool detailed, tkr_callback **ret_callback)
{
    struct token *token;
    int result;

    if (ret_callback == NULL)
        return TKR_EINVAL;
    result = tkr_charged_check(options);
    if (result != TKR_OK)
        return result;
    token = tkr_callback_make(sizeof(*token), &ops, detailed ? "detailed" : "token", options->producer);
    if (token == NULL)
        return TKR_ENOMEM;
    token->detailed = detailed;
    result = tkr_charged_take(&token->charged, options);
    if (result != TKR_OK) {
        tkr_callback_release(&token->callback);
        return result;
    }
    token->callback.account = token->charged.account.id != NULL ? &token->charged.account : NULL;
    *ret_callback = &token->callback;
    return TKR_OK;
}

int tkr_token_callback(const tkr_callback_options *options, tkr_callback **ret_callback)
{
    return make(options, false, ret_callback);
}

int tkr_detailed_token_callback(const tkr_callback_options *options, tkr_callback **ret_callback)
{
    return make(options, true, ret_callback);
}
