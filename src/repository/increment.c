/* SPDX-License-Identifier: Apache-2.0 */
/* Increments: they go through the ring, and reach the sink by the collector, once. */
#include "repository/repository.h"

static int increment(tkr_repository *repository, const tkr_account *account, uint32_t cycle, const tkr_usage *usage)
{
    tkr_start start = TKR_START_INIT;
    struct tkr_usage_row row;
    int result = tkr_repository_row(repository, account, cycle, &row);

    if (result != TKR_OK)
        return result;
    if (repository->producer == NULL)
        return TKR_EINVAL;
    start.account_count = 1;
    start.account[0] = *account;
    start.cycle = row.cycle;
    return tkr_increment(repository->producer, &start, usage);
}

/* -1 would stand for a figure that is not known. */
static int check_tokens(int64_t tokens)
{
    return tokens < 0 || tokens > TKR_TOKENS_MAX ? TKR_ERANGE : TKR_OK;
}

int tkr_repository_increment_prompt_tokens(tkr_repository *repository, const tkr_account *account, uint32_t cycle, int64_t tokens)
{
    tkr_usage usage = TKR_USAGE_INIT;

    usage.prompt = tokens;
    usage.total = 0;
    return check_tokens(tokens) != TKR_OK ? TKR_ERANGE : increment(repository, account, cycle, &usage);
}

int tkr_repository_increment_completion_tokens(tkr_repository *repository, const tkr_account *account, uint32_t cycle,
                                               int64_t tokens)
{
    tkr_usage usage = TKR_USAGE_INIT;

    usage.completion = tokens;
    usage.total = 0;
    return check_tokens(tokens) != TKR_OK ? TKR_ERANGE : increment(repository, account, cycle, &usage);
}

int tkr_repository_increment_total_usage(tkr_repository *repository, const tkr_account *account, uint32_t cycle, int64_t tokens)
{
    tkr_usage usage = TKR_USAGE_INIT;

    usage.total = tokens;
    return check_tokens(tokens) != TKR_OK ? TKR_ERANGE : increment(repository, account, cycle, &usage);
}

int tkr_repository_increment_detailed_usage(tkr_repository *repository, const tkr_account *account, uint32_t cycle,
                                            int64_t prompt_tokens, int64_t completion_tokens)
{
    tkr_usage usage = TKR_USAGE_INIT;

    if (check_tokens(prompt_tokens) != TKR_OK || check_tokens(completion_tokens) != TKR_OK)
        return TKR_ERANGE;
    usage.prompt = prompt_tokens;
    usage.completion = completion_tokens;
    return increment(repository, account, cycle, &usage);
}
