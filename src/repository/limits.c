/* SPDX-License-Identifier: Apache-2.0 */
/* What is changed in the sink: limits, and totals that start from zero. */
#include "repository/repository.h"

struct change {
    struct tkr_usage_row account;
    int64_t tokens; /* of a limit; 0 blocks, TKR_LIMIT_NONE clears it */
    uint32_t flags; /* of a reset */
};

static int set_limit(tkr_sink *sink, void *arg, tkr_message *ret_message)
{
    const struct change *change = arg;

    return sink->ops->limit_set(sink, &change->account, change->tokens, ret_message);
}

/* Here a cycle of 0 is the standing limit. */
static int change_limit(tkr_repository *repository, const tkr_account *account, uint32_t cycle, int64_t tokens)
{
    struct change change = {.tokens = tokens};
    int result = tkr_repository_row(repository, account, cycle, &change.account);

    change.account.cycle = cycle;
    return result == TKR_OK ? tkr_repository_ask(repository, set_limit, &change) : result;
}

int tkr_repository_set_usage_limit(tkr_repository *repository, const tkr_account *account, uint32_t cycle, int64_t limit)
{
    return limit < 0 ? TKR_ERANGE : change_limit(repository, account, cycle, limit);
}

int tkr_repository_clear_usage_limit(tkr_repository *repository, const tkr_account *account, uint32_t cycle)
{
    return change_limit(repository, account, cycle, TKR_LIMIT_NONE);
}

static int reset(tkr_sink *sink, void *arg, tkr_message *ret_message)
{
    const struct change *change = arg;
    tkr_counts before;

    if (sink->ops->reset(sink, &change->account, &before, ret_message) < 0)
        return -1;
    return (change->flags & TKR_RESET_LIMITS) != 0 ? sink->ops->limit_set(sink, &change->account, TKR_LIMIT_NONE, ret_message)
                                                   : 0;
}

int tkr_repository_reset_usage(tkr_repository *repository, const tkr_account *account, uint32_t cycle, uint32_t flags)
{
    struct change change = {.flags = flags};
    int result = tkr_repository_row(repository, account, cycle, &change.account);

    if (result == TKR_OK && (flags & ~(uint32_t)TKR_RESET_LIMITS) != 0)
        result = TKR_EINVAL;
    return result == TKR_OK ? tkr_repository_ask(repository, reset, &change) : result;
}
