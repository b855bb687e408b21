/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What callers hand in, checked: structures of older and newer callers, accounts, texts, ranges. Inline as far as every recorded
 * call goes through it.
 */
#ifndef TKR_PRODUCER_ARGUMENTS_H
#define TKR_PRODUCER_ARGUMENTS_H

#include "base/account.h"
#include "base/clock.h"
#include "base/cycle.h"
#include "event/encode.h"
#include "tokenring/tokenring.h"

#define TKR_TIME_MAX_NS INT64_C(9214646400000000000) /* 2262-01-01: cycles end there */
#define TKR_DURATION_MAX_NS (604800 * TKR_NS_PER_S)  /* a week: what is longer is a wrong time and no duration */

/* Options with defaults for what is not given (NULL: nothing is). 0 or TKR_ESIZE. */
int tkr_arguments_options(const tkr_options *given, tkr_options *ret_options);

/* A start or usage of any version's size, made one of this version's, not yet checked. 0; TKR_EINVAL for NULL; TKR_ESIZE. */
int tkr_arguments_adopt_start(const tkr_start *given, tkr_start *ret_start);
int tkr_arguments_adopt_usage(const tkr_usage *given, tkr_usage *ret_usage);

/* Are they there, and of this version's size, as almost always? */
static inline bool tkr_arguments_start_is_current(const tkr_start *start)
{
    return __builtin_expect(start != NULL && start->size == sizeof(*start), 1);
}

static inline bool tkr_arguments_usage_is_current(const tkr_usage *usage)
{
    return __builtin_expect(usage != NULL && usage->size == sizeof(*usage), 1);
}

/* An account given twice would be charged twice. */
bool tkr_arguments_accounts_differ(const tkr_start *start);

/* Is there an id of a length that is allowed? */
static inline bool tkr_arguments_id_fits(const tkr_account *account)
{
    return account->id != NULL && account->len - 1 < TKR_ID_BYTES_MAX;
}

static inline int tkr_arguments_account(const tkr_account *account)
{
    if (!tkr_arguments_id_fits(account) || !tkr_text_clean(account->id, account->len))
        return TKR_EACCOUNT;
    return account->kind == TKR_KIND_USER || tkr_kind_valid(account->kind) ? TKR_OK : TKR_EKIND;
}

static inline int tkr_arguments_accounts(const tkr_start *start)
{
    if (start->account_count < 1 || start->account_count > TKR_ACCOUNTS_MAX)
        return TKR_EACCOUNT;
    for (uint32_t i = 0; i < start->account_count; i++) {
        int result = tkr_arguments_account(&start->account[i]);
        if (result != TKR_OK)
            return result;
    }
    return start->account_count == 1 || tkr_arguments_accounts_differ(start) ? TKR_OK : TKR_EACCOUNT;
}

static inline bool tkr_arguments_text_fits(const char *text, uint32_t len, uint32_t max)
{
    return len == 0 || (len <= max && text != NULL && tkr_text_clean(text, len));
}

/* From TKR_ABSENT, which is -1, to max: one comparison. */
static inline bool tkr_arguments_fits(int64_t value, int64_t max)
{
    return (uint64_t)value + 1 <= (uint64_t)max + 1;
}

static inline bool tkr_arguments_time_fits(int64_t unix_ns)
{
    return (uint64_t)unix_ns < (uint64_t)TKR_TIME_MAX_NS;
}

/*
 * Checks a start of this version's size. 0; TKR_EACCOUNT, TKR_EKIND, TKR_ECYCLE, TKR_ERANGE, TKR_ETEXT.
 */
static inline __attribute__((always_inline)) int tkr_arguments_start(const tkr_start *start)
{
    int result = tkr_arguments_accounts(start);

    if (result != TKR_OK)
        return result;
    if (!tkr_arguments_text_fits(start->model, start->model_len, TKR_MODEL_BYTES_MAX) ||
        !tkr_arguments_text_fits(start->provider, start->provider_len, TKR_PROVIDER_BYTES_MAX))
        return TKR_ETEXT;
    if (start->cycle != 0 && !tkr_cycle_valid(start->cycle))
        return TKR_ECYCLE;
    if (!tkr_arguments_time_fits(start->start_ns) || !tkr_arguments_fits(start->prompt_estimate, TKR_TOKENS_MAX) ||
        !tkr_arguments_fits(start->reserve, TKR_TOKENS_MAX))
        return TKR_ERANGE;
    return TKR_OK;
}

/* Does it tell more than prompt, completion and total? Most calls do not, and what is absent is in range. */
static inline bool tkr_arguments_tells_more(const tkr_usage *usage)
{
    int64_t all =
        usage->cached & usage->cache_write & usage->reasoning & usage->cost_nano_usd & usage->first_token_ns & usage->end_ns;

    return all != TKR_ABSENT || (usage->estimated | (uint32_t)usage->error) != 0;
}

static inline bool tkr_arguments_more_fits(const tkr_usage *usage)
{
    const uint32_t estimated = TKR_ESTIMATED_PROMPT | TKR_ESTIMATED_COMPLETION | TKR_ESTIMATED_TOTAL;

    return tkr_arguments_fits(usage->cached, TKR_TOKENS_MAX) && tkr_arguments_fits(usage->cache_write, TKR_TOKENS_MAX) &&
           tkr_arguments_fits(usage->reasoning, TKR_TOKENS_MAX) && tkr_arguments_fits(usage->cost_nano_usd, TKR_COST_MAX) &&
           tkr_arguments_fits(usage->first_token_ns, TKR_TIME_MAX_NS - 1) &&
           tkr_arguments_fits(usage->end_ns, TKR_TIME_MAX_NS - 1) && (uint32_t)usage->error <= UINT8_MAX &&
           (usage->estimated & ~estimated) == 0;
}

/* A total that is not told is the sum, and must be in range as one that is told. */
static inline bool tkr_arguments_tokens_fit(const tkr_usage *usage)
{
    return tkr_arguments_fits(usage->prompt, TKR_TOKENS_MAX) && tkr_arguments_fits(usage->completion, TKR_TOKENS_MAX) &&
           tkr_arguments_fits(usage->total, TKR_TOKENS_MAX) &&
           (usage->total != TKR_ABSENT || usage->prompt + usage->completion <= TKR_TOKENS_MAX);
}

/* The same for usage, whose figures are then in range. 0 or TKR_ERANGE; ret_more: it tells more than the three figures. */
static inline int tkr_arguments_usage(const tkr_usage *usage, bool *ret_more)
{
    *ret_more = tkr_arguments_tells_more(usage);
    if (!tkr_arguments_tokens_fit(usage) || (*ret_more && !tkr_arguments_more_fits(usage)))
        return TKR_ERANGE;
    return TKR_OK;
}

/* What a call's times say: nanoseconds since its start, 0 where it is not known. */
struct tkr_call_times {
    int64_t duration_ns;
    int64_t first_token_ns;
    bool bad; /* a time that was told makes no sense, and is not used */
};

/* From one moment to another, if that is a duration: neither below 0 nor above most_ns. Else 0, and ret_bad is set. */
static inline int64_t tkr_arguments_elapsed(int64_t from_ns, int64_t to_ns, int64_t most_ns, bool *ret_bad)
{
    int64_t elapsed_ns = to_ns - from_ns; /* both are below TKR_TIME_MAX_NS */

    if (elapsed_ns >= 0 && elapsed_ns <= most_ns)
        return elapsed_ns;
    *ret_bad = true;
    return 0;
}

/* Of a call that is recorded in one shot: what is told of start, first token and end. Without a start nothing is known. */
static inline struct tkr_call_times tkr_arguments_times(const tkr_start *start, const tkr_usage *usage)
{
    struct tkr_call_times times = {.bad = false};

    if (start->start_ns == 0)
        return times;
    if (usage->end_ns > 0)
        times.duration_ns = tkr_arguments_elapsed(start->start_ns, usage->end_ns, TKR_DURATION_MAX_NS, &times.bad);
    if (usage->first_token_ns > 0)
        times.first_token_ns = tkr_arguments_elapsed(start->start_ns, usage->first_token_ns, TKR_DURATION_MAX_NS, &times.bad);
    return times;
}

static inline int64_t tkr_arguments_or_zero(int64_t value)
{
    return value > 0 ? value : 0;
}

/* The part of the total that was estimated. */
static inline int64_t tkr_arguments_estimated(const tkr_usage *usage, int64_t prompt, int64_t completion, int64_t total)
{
    int64_t estimated = 0;

    if (usage->estimated == 0)
        return 0;
    if (usage->estimated & TKR_ESTIMATED_TOTAL)
        return total;
    estimated += usage->estimated & TKR_ESTIMATED_PROMPT ? prompt : 0;
    estimated += usage->estimated & TKR_ESTIMATED_COMPLETION ? completion : 0;
    return estimated < total ? estimated : total;
}

/* All but the first three. */
static inline void tkr_arguments_more_values(const tkr_usage *usage, const struct tkr_call_times *times,
                                             struct tkr_frame_values *values)
{
    int64_t prompt = tkr_arguments_or_zero(usage->prompt);
    int64_t completion = tkr_arguments_or_zero(usage->completion);
    int64_t total = usage->total != TKR_ABSENT ? usage->total : prompt + completion;

    tkr_frame_value_add(values, TKR_COUNTER_CACHED, tkr_arguments_or_zero(usage->cached));
    tkr_frame_value_add(values, TKR_COUNTER_CACHE_WRITE, tkr_arguments_or_zero(usage->cache_write));
    tkr_frame_value_add(values, TKR_COUNTER_REASONING, tkr_arguments_or_zero(usage->reasoning));
    tkr_frame_value_add(values, TKR_COUNTER_ESTIMATED, tkr_arguments_estimated(usage, prompt, completion, total));
    tkr_frame_value_add(values, TKR_COUNTER_COST, tkr_arguments_or_zero(usage->cost_nano_usd));
    tkr_frame_value_add(values, TKR_COUNTER_DURATION, times->duration_ns / TKR_NS_PER_US);
    tkr_frame_value_add(values, TKR_VALUE_FIRST_TOKEN_US, times->first_token_ns / TKR_NS_PER_US);
}

/* The frame's values of a checked usage. */
static inline void tkr_arguments_values(const tkr_usage *usage, bool more, const struct tkr_call_times *times,
                                        struct tkr_frame_values *ret_values)
{
    int64_t prompt = tkr_arguments_or_zero(usage->prompt);
    int64_t completion = tkr_arguments_or_zero(usage->completion);

    tkr_frame_values_init(ret_values, (uint8_t)usage->error);
    tkr_frame_value_add(ret_values, TKR_COUNTER_PROMPT, prompt);
    tkr_frame_value_add(ret_values, TKR_COUNTER_COMPLETION, completion);
    tkr_frame_value_add(ret_values, TKR_COUNTER_TOTAL, usage->total != TKR_ABSENT ? usage->total : prompt + completion);
    if (more || times->duration_ns > 0)
        tkr_arguments_more_values(usage, times, ret_values);
}

#endif
