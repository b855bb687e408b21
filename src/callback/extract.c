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

static int64_t rest_of(int64_t total, int64_t part)
{
    return total > part ? total - part : 0;
}

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

void tkr_extract_total(const tkr_response *response, struct tkr_extracted *ret_extracted)
{
    take_more(response, ret_extracted);
    ret_extracted->usage.total = tokens(response->tokens_used, &ret_extracted->corrected);
    ret_extracted->missing = ret_extracted->usage.total <= 0;
    if (ret_extracted->missing)
        ret_extracted->usage.total = 0;
}

/* One part is reported: the other is what is left of the total, or an estimate. */
static int64_t other_part(int64_t part, int64_t total, int64_t estimated, uint32_t bit, tkr_usage *usage)
{
    if (total != TKR_ABSENT)
        return rest_of(total, part);
    usage->estimated |= bit;
    return estimated;
}

void tkr_extract_detailed(const tkr_response *response, int64_t prompt_estimate, uint32_t characters_per_token,
                          struct tkr_extracted *ret_extracted)
{
    tkr_usage *usage = &ret_extracted->usage;
    int64_t total;
    int64_t prompt;
    int64_t completion;
    int64_t content;

    take_more(response, ret_extracted);
    total = tokens(response->tokens_used, &ret_extracted->corrected);
    prompt = tokens(response->prompt_tokens, &ret_extracted->corrected);
    completion = tokens(response->completion_tokens, &ret_extracted->corrected);
    if (prompt == 0 && completion == 0 && total > 0) /* zeros that the total contradicts are no report */
        prompt = completion = TKR_ABSENT;
    usage->prompt = prompt;
    usage->completion = completion;
    if (prompt != TKR_ABSENT && completion != TKR_ABSENT)
        return;
    content = estimate(tkr_text_characters(response->content, response->content_len), characters_per_token);
    if (prompt != TKR_ABSENT) {
        usage->completion = other_part(prompt, total, content, TKR_ESTIMATED_COMPLETION, usage);
    } else if (completion != TKR_ABSENT) {
        usage->prompt = other_part(completion, total, prompt_estimate, TKR_ESTIMATED_PROMPT, usage);
    } else {
        usage->prompt = prompt_estimate;
        usage->completion = total > 0 ? rest_of(total, prompt_estimate) : content;
        usage->estimated = TKR_ESTIMATED_PROMPT | TKR_ESTIMATED_COMPLETION;
        ret_extracted->missing = total <= 0;
    }
}

void tkr_extract_reported(const tkr_response *response, struct tkr_extracted *ret_extracted)
{
    tkr_usage *usage = &ret_extracted->usage;
    int64_t total;

    if (response == NULL) {
        *ret_extracted = (struct tkr_extracted){.usage = TKR_USAGE_INIT};
        return;
    }
    take_more(response, ret_extracted);
    total = tokens(response->tokens_used, &ret_extracted->corrected);
    usage->prompt = tokens(response->prompt_tokens, &ret_extracted->corrected);
    usage->completion = tokens(response->completion_tokens, &ret_extracted->corrected);
    if (usage->prompt <= 0 && usage->completion <= 0)
        usage->total = total;
    else if (usage->prompt == TKR_ABSENT && total != TKR_ABSENT)
        usage->prompt = rest_of(total, usage->completion);
    else if (usage->completion == TKR_ABSENT && total != TKR_ABSENT)
        usage->completion = rest_of(total, usage->prompt);
}
