/* SPDX-License-Identifier: Apache-2.0 */
#include "producer/arguments.h"

#include <string.h>

#include "base/account.h"
#include "base/clock.h"
#include "base/cycle.h"

#define TIME_MAX_NS INT64_C(9214646400000000000) /* 2262-01-01: cycles end there */
#define ESTIMATED_KNOWN ((uint32_t)(TKR_ESTIMATED_PROMPT | TKR_ESTIMATED_COMPLETION | TKR_ESTIMATED_TOTAL))

/*
 * Copies a structure that begins with its size over defaults of this version's size `known`: fields that an older caller
 * does not have keep their default; what a newer one has beyond must be zero. The first `needed` bytes are required. All
 * structures have 64-bit fields, so no version's size is odd to 8; an array of them stays aligned.
 */
static int adopt(const void *given, size_t known, size_t needed, void *ret_struct)
{
    const unsigned char *bytes = given;
    uint32_t size;

    memcpy(&size, given, sizeof(size));
    if (size < needed || size > 4096 || size % sizeof(uint64_t) != 0)
        return TKR_ESIZE;
    for (size_t i = known; i < size; i++) {
        if (bytes[i] != 0)
            return TKR_ESIZE;
    }
    memcpy(ret_struct, given, size < known ? size : known);
    return TKR_OK;
}

int tkr_arguments_options(const tkr_options *given, tkr_options *ret_options)
{
    memset(ret_options, 0, sizeof(*ret_options));
    return given == NULL ? TKR_OK : adopt(given, sizeof(*ret_options), sizeof(uint32_t), ret_options);
}

static int check_account(const tkr_account *account)
{
    if (account->id == NULL || account->len == 0 || account->len > TKR_ID_BYTES_MAX ||
        !tkr_text_clean(account->id, account->len))
        return TKR_EACCOUNT;
    return account->kind == TKR_KIND_USER || tkr_kind_valid(account->kind) ? TKR_OK : TKR_EKIND;
}

/* An account given twice would be charged twice. */
static bool accounts_differ(const tkr_start *start)
{
    for (uint32_t i = 1; i < start->account_count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            const tkr_account *a = &start->account[i];
            const tkr_account *b = &start->account[j];
            if (a->kind == b->kind && a->len == b->len && memcmp(a->id, b->id, a->len) == 0)
                return false;
        }
    }
    return true;
}

static int check_accounts(const tkr_start *start)
{
    if (start->account_count < 1 || start->account_count > TKR_ACCOUNTS_MAX)
        return TKR_EACCOUNT;
    for (uint32_t i = 0; i < start->account_count; i++) {
        int result = check_account(&start->account[i]);
        if (result != TKR_OK)
            return result;
    }
    return accounts_differ(start) ? TKR_OK : TKR_EACCOUNT;
}

static bool text_fits(const char *text, uint32_t len, uint32_t max)
{
    return len <= max && (len == 0 || (text != NULL && tkr_text_clean(text, len)));
}

static bool tokens_fit(int64_t tokens)
{
    return tokens >= TKR_ABSENT && tokens <= TKR_TOKENS_MAX;
}

int tkr_arguments_start(const tkr_start *given, tkr_start *local, const tkr_start **ret_start)
{
    const tkr_start *start = given;
    int result;

    if (given == NULL)
        return TKR_EINVAL;
    if (__builtin_expect(given->size != sizeof(*given), 0)) {
        *local = (tkr_start)TKR_START_INIT;
        result = adopt(given, sizeof(*local), offsetof(tkr_start, model), local);
        if (result != TKR_OK)
            return result;
        start = local;
    }
    result = check_accounts(start);
    if (result != TKR_OK)
        return result;
    if (!text_fits(start->model, start->model_len, TKR_MODEL_BYTES_MAX) ||
        !text_fits(start->provider, start->provider_len, TKR_PROVIDER_BYTES_MAX))
        return TKR_ETEXT;
    if (start->cycle != 0 && !tkr_cycle_valid(start->cycle))
        return TKR_ECYCLE;
    if (start->start_ns < 0 || start->start_ns >= TIME_MAX_NS || !tokens_fit(start->prompt_estimate) ||
        !tokens_fit(start->reserve))
        return TKR_ERANGE;
    *ret_start = start;
    return TKR_OK;
}

/* A total that is not told is the sum, and must be in range as one that is told. */
static bool sum_fits(const tkr_usage *usage)
{
    return usage->total != TKR_ABSENT || usage->prompt <= 0 || usage->completion <= TKR_TOKENS_MAX - usage->prompt;
}

static bool usage_fits(const tkr_usage *usage)
{
    return tokens_fit(usage->prompt) && tokens_fit(usage->completion) && tokens_fit(usage->total) &&
           tokens_fit(usage->cached) && tokens_fit(usage->cache_write) && tokens_fit(usage->reasoning) &&
           sum_fits(usage) &&
           usage->cost_nano_usd >= TKR_ABSENT && usage->cost_nano_usd <= TKR_COST_MAX &&
           usage->first_token_ns >= TKR_ABSENT && usage->first_token_ns < TIME_MAX_NS &&
           usage->end_ns >= TKR_ABSENT && usage->end_ns < TIME_MAX_NS && usage->error >= 0 &&
           usage->error <= UINT8_MAX && (usage->estimated & ~ESTIMATED_KNOWN) == 0;
}

int tkr_arguments_usage(const tkr_usage *given, tkr_usage *local, const tkr_usage **ret_usage)
{
    const tkr_usage *usage = given;

    if (given == NULL)
        return TKR_EINVAL;
    if (__builtin_expect(given->size != sizeof(*given), 0)) {
        int result;
        *local = (tkr_usage)TKR_USAGE_INIT;
        result = adopt(given, sizeof(*local), offsetof(tkr_usage, total), local);
        if (result != TKR_OK)
            return result;
        usage = local;
    }
    if (!usage_fits(usage))
        return TKR_ERANGE;
    *ret_usage = usage;
    return TKR_OK;
}

static int64_t given_or_zero(int64_t value)
{
    return value > 0 ? value : 0;
}

static int64_t microseconds(int64_t from_ns, int64_t to_ns)
{
    return to_ns > from_ns ? (to_ns - from_ns) / TKR_NS_PER_US : 0;
}

void tkr_arguments_values(const tkr_usage *usage, int64_t start_ns, int64_t end_ns, struct tkr_frame_values *ret_values)
{
    int64_t prompt = given_or_zero(usage->prompt);
    int64_t completion = given_or_zero(usage->completion);
    int64_t total = usage->total != TKR_ABSENT ? usage->total : prompt + completion;
    int64_t estimated = 0;

    if (usage->estimated & TKR_ESTIMATED_TOTAL) {
        estimated = total;
    } else {
        estimated += usage->estimated & TKR_ESTIMATED_PROMPT ? prompt : 0;
        estimated += usage->estimated & TKR_ESTIMATED_COMPLETION ? completion : 0;
        estimated = estimated < total ? estimated : total; /* a part of the total */
    }
    ret_values->count = 0;
    ret_values->present = 0;
    ret_values->wide = false;
    ret_values->error = (uint8_t)usage->error;
    tkr_frame_value_add(ret_values, TKR_COUNTER_PROMPT, prompt);
    tkr_frame_value_add(ret_values, TKR_COUNTER_COMPLETION, completion);
    tkr_frame_value_add(ret_values, TKR_COUNTER_TOTAL, total);
    tkr_frame_value_add(ret_values, TKR_COUNTER_CACHED, given_or_zero(usage->cached));
    tkr_frame_value_add(ret_values, TKR_COUNTER_CACHE_WRITE, given_or_zero(usage->cache_write));
    tkr_frame_value_add(ret_values, TKR_COUNTER_REASONING, given_or_zero(usage->reasoning));
    tkr_frame_value_add(ret_values, TKR_COUNTER_ESTIMATED, estimated);
    tkr_frame_value_add(ret_values, TKR_COUNTER_COST, given_or_zero(usage->cost_nano_usd));
    tkr_frame_value_add(ret_values, TKR_COUNTER_DURATION, microseconds(start_ns, end_ns));
    if (usage->first_token_ns > 0)
        tkr_frame_value_add(ret_values, TKR_VALUE_FIRST_TOKEN_US, microseconds(start_ns, usage->first_token_ns));
}
