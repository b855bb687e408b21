/* SPDX-License-Identifier: Apache-2.0 */
#include "callback/extract.h"

#include "base/text.h"

/* A figure as it can be counted: below 0 it is 0, above what a call can use it is not known. */
static int64_t figure(int64_t told, int64_t max, uint32_t *corrected)
{
    if (told >= TKR_ABSENT && told <= max)
        return told;
    ++*corrected;
    return told < 0 ? 0 : TKR_ABSENT;
}

static int64_t tokens(int64_t told, uint32_t *corrected)
{
    return figure(told, TKR_TOKENS_MAX, corrected);
}

static int64_t estimate(uint64_t characters, uint32_t characters_per_token)
{
    uint64_t estimated = characters / characters_per_token;

    return estimated < (uint64_t)TKR_TOKENS_MAX / 2 ? (int64_t)estimated : TKR_TOKENS_MAX / 2; /* so that two can be added */
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t rest_of(int64_t total, int64_t part)
{
    return total > part ? total - part : 0;
}

/* --- contradictions --- */

/* The three figures as reported, and as they can be counted. */
struct reported {
    int64_t prompt;
    int64_t completion;
    int64_t total;
};

static int64_t or_zero(int64_t figure)
{
    return figure > 0 ? figure : 0;
}

static uint32_t bit(bool shown, enum tkr_contradiction which)
{
    return (uint32_t)shown << which;
}

/* Absent is -1, and so is neither 0 nor above anything. */
static __attribute__((noinline)) uint32_t look_for_contradictions(const struct reported *told, const tkr_usage *more, bool text)
{
    int64_t parts = or_zero(told->prompt) + or_zero(told->completion);
    bool has_prompt = told->prompt != TKR_ABSENT;
    bool has_completion = told->completion != TKR_ABSENT;
    bool all_zero = told->prompt == 0 && told->completion == 0;

    return bit(all_zero && told->total <= 0 && text, TKR_CONTRADICTION_ZERO_USAGE) |
           bit(told->completion == 0 && told->prompt != 0 && text, TKR_CONTRADICTION_ZERO_COMPLETION) |
           bit(told->prompt == 0 && told->completion > 0, TKR_CONTRADICTION_ZERO_PROMPT) |
           bit(has_prompt && has_completion && told->total > parts, TKR_CONTRADICTION_TOTAL_ABOVE_PARTS) |
           bit(told->total != TKR_ABSENT && told->total < parts, TKR_CONTRADICTION_TOTAL_BELOW_PARTS) |
           bit(has_prompt && or_zero(more->cached) + or_zero(more->cache_write) > told->prompt,
               TKR_CONTRADICTION_CACHED_ABOVE_PROMPT) |
           bit(has_completion && more->reasoning > told->completion, TKR_CONTRADICTION_REASONING_ABOVE_COMPLETION) |
           bit(parts > TKR_TOKENS_MAX, TKR_CONTRADICTION_SUM_ABOVE_MAX);
}

/* Most responses report two parts, both above 0 and small, and their sum or no total. */
static inline uint32_t contradictions_of(const struct reported *told, const tkr_usage *more, const tkr_response *response)
{
    bool plain = told->prompt > 0 && told->completion > 0 && told->prompt + told->completion <= TKR_TOKENS_MAX &&
                 (told->total == TKR_ABSENT || told->total == told->prompt + told->completion) &&
                 (more->cached & more->cache_write & more->reasoning) == TKR_ABSENT;

    return plain ? 0 : look_for_contradictions(told, more, response->content_len > 0);
}

/* --- figures --- */

int64_t tkr_extract_prompt_estimate(const tkr_chat_message *messages, uint32_t count, uint32_t characters_per_token)
{
    uint64_t characters = 0;

    for (uint32_t i = 0; i < count; i++)
        characters += tkr_text_characters(messages[i].content, messages[i].content_len);
    return estimate(characters, characters_per_token);
}

/* What is no part of prompt, completion and total. */
static void take_more(const tkr_response *response, struct tkr_extracted *ret_extracted)
{
    tkr_usage *usage = &ret_extracted->usage;
    uint32_t *corrected = &ret_extracted->corrected;

    *ret_extracted = (struct tkr_extracted){.usage = TKR_USAGE_INIT};
    usage->cached = tokens(response->cached_tokens, corrected);
    usage->cache_write = tokens(response->cache_write_tokens, corrected);
    usage->reasoning = tokens(response->reasoning_tokens, corrected);
    usage->cost_nano_usd = figure(response->cost_nano_usd, TKR_COST_MAX, corrected);
    usage->first_token_ns = figure(response->first_token_ns, INT64_MAX / 2, corrected);
}

static void take_reported(const tkr_response *response, uint32_t *corrected, struct reported *ret_told)
{
    ret_told->total = tokens(response->tokens_used, corrected);
    ret_told->prompt = tokens(response->prompt_tokens, corrected);
    ret_told->completion = tokens(response->completion_tokens, corrected);
}

void tkr_extract_total(const tkr_response *response, struct tkr_extracted *ret_extracted)
{
    uint32_t parts_corrected = 0; /* which are not counted here */
    struct reported told;

    take_more(response, ret_extracted);
    take_reported(response, &parts_corrected, &told);
    ret_extracted->contradictions = contradictions_of(&told, &ret_extracted->usage, response);
    ret_extracted->usage.total = tokens(response->tokens_used, &ret_extracted->corrected);
    ret_extracted->missing = ret_extracted->usage.total <= 0;
    if (ret_extracted->missing)
        ret_extracted->usage.total = 0;
}

/* One part is reported: the other is what is left of the total, or an estimate, which makes no sum that a call cannot have. */
static int64_t other_part(int64_t part, int64_t total, int64_t estimated, uint32_t bit, tkr_usage *usage)
{
    if (total != TKR_ABSENT)
        return rest_of(total, part);
    usage->estimated |= bit;
    return least(estimated, TKR_TOKENS_MAX - part);
}

/* Both parts are reported: a total above their sum is more than they tell, and stays. One below it would count less than they
 * do. */
static void keep_total(const struct reported *told, tkr_usage *usage)
{
    if (told->total > told->prompt + told->completion)
        usage->total = told->total;
}

void tkr_extract_detailed(const tkr_response *response, int64_t prompt_estimate, uint32_t characters_per_token,
                          struct tkr_extracted *ret_extracted)
{
    tkr_usage *usage = &ret_extracted->usage;
    struct reported told;
    int64_t content;

    take_more(response, ret_extracted);
    take_reported(response, &ret_extracted->corrected, &told);
    ret_extracted->contradictions = contradictions_of(&told, usage, response);
    if (told.prompt == 0 && told.completion == 0 && told.total > 0) /* zeros that the total contradicts are no report */
        told.prompt = told.completion = TKR_ABSENT;
    usage->prompt = told.prompt;
    usage->completion = told.completion;
    if (told.prompt != TKR_ABSENT && told.completion != TKR_ABSENT) {
        keep_total(&told, usage);
        return;
    }
    content = estimate(tkr_text_characters(response->content, response->content_len), characters_per_token);
    if (told.prompt != TKR_ABSENT) {
        usage->completion = other_part(told.prompt, told.total, content, TKR_ESTIMATED_COMPLETION, usage);
    } else if (told.completion != TKR_ABSENT) {
        usage->prompt = other_part(told.completion, told.total, prompt_estimate, TKR_ESTIMATED_PROMPT, usage);
    } else {
        usage->prompt = told.total > 0 ? least(prompt_estimate, told.total) : prompt_estimate; /* what is reported rules */
        usage->completion = told.total > 0 ? told.total - usage->prompt : content;
        usage->estimated = TKR_ESTIMATED_PROMPT | TKR_ESTIMATED_COMPLETION;
        ret_extracted->missing = told.total <= 0;
    }
}

void tkr_extract_reported(const tkr_response *response, struct tkr_extracted *ret_extracted)
{
    tkr_usage *usage = &ret_extracted->usage;
    struct reported told;

    if (response == NULL) {
        *ret_extracted = (struct tkr_extracted){.usage = TKR_USAGE_INIT};
        return;
    }
    take_more(response, ret_extracted);
    take_reported(response, &ret_extracted->corrected, &told);
    ret_extracted->contradictions = contradictions_of(&told, usage, response);
    usage->prompt = told.prompt;
    usage->completion = told.completion;
    if (told.prompt <= 0 && told.completion <= 0)
        usage->total = told.total;
    else if (told.prompt == TKR_ABSENT && told.total != TKR_ABSENT)
        usage->prompt = rest_of(told.total, told.completion);
    else if (told.completion == TKR_ABSENT && told.total != TKR_ABSENT)
        usage->completion = rest_of(told.total, told.prompt);
    else if (told.prompt != TKR_ABSENT && told.completion != TKR_ABSENT)
        keep_total(&told, usage);
}
