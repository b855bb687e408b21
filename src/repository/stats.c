/* SPDX-License-Identifier: Apache-2.0 */
/* What the sink has of accounts, and how they stand with their limits. */
#include <stdlib.h>
#include <string.h>

#include "repository/repository.h"

struct lookup {
    const struct tkr_usage_row *account;
    uint32_t count;
    struct tkr_usage_found *found;
};

static int look_up(tkr_sink *sink, void *arg, tkr_message *ret_message)
{
    const struct lookup *lookup = arg;
    int rc = sink->ops->lookup(sink, lookup->account, lookup->count, lookup->found, ret_message);

    return rc == 0 ? tkr_usage_found_check(lookup->account, lookup->found, lookup->count, ret_message) : rc;
}

/* As many bytes as the caller has room for. */
static void give(uint32_t size, const void *known, size_t known_bytes, void *ret_struct)
{
    memcpy(ret_struct, known, size < known_bytes ? size : known_bytes);
    memcpy(ret_struct, &size, sizeof(size));
}

static void give_stats(const struct tkr_usage_row *account, const struct tkr_usage_found *found, uint32_t size, void *ret_stats)
{
    const int64_t *value = found->counts.value;
    const tkr_usage_stats stats = {
        .present = found->present,
        .cycle = account->cycle,
        .usage_limit = found->limit >= 0 ? found->limit : TKR_UNLIMITED,
        .standing_limit = found->standing >= 0 ? found->standing : TKR_UNLIMITED,
        .prompt_tokens = value[TKR_COUNTER_PROMPT],
        .completion_tokens = value[TKR_COUNTER_COMPLETION],
        .total_tokens = value[TKR_COUNTER_TOTAL],
        .cached_tokens = value[TKR_COUNTER_CACHED],
        .cache_write_tokens = value[TKR_COUNTER_CACHE_WRITE],
        .reasoning_tokens = value[TKR_COUNTER_REASONING],
        .estimated_tokens = value[TKR_COUNTER_ESTIMATED],
        .calls = value[TKR_COUNTER_CALLS],
        .errors = value[TKR_COUNTER_ERRORS],
        .cost_nano_usd = value[TKR_COUNTER_COST],
        .duration_ms = value[TKR_COUNTER_DURATION],
    };

    give(size, &stats, sizeof(stats), ret_stats);
}

static int take_accounts(const tkr_repository *repository, const tkr_account *accounts, uint32_t count, uint32_t cycle,
                         struct tkr_usage_row *ret_rows)
{
    int result = TKR_OK;

    for (uint32_t i = 0; i < count && result == TKR_OK; i++)
        result = tkr_repository_row(repository, &accounts[i], cycle, &ret_rows[i]);
    return result;
}

/* Rooms for count accounts are given; all of them are looked up, then all are handed out. */
static int get_stats(tkr_repository *repository, const tkr_account *accounts, uint32_t count, uint32_t cycle,
                     struct tkr_usage_row *row, struct tkr_usage_found *found, tkr_usage_stats *ret_stats)
{
    struct lookup lookup = {.account = row, .count = count, .found = found};
    uint32_t size = ret_stats->size;
    int result = take_accounts(repository, accounts, count, cycle, row);

    if (result == TKR_OK)
        result = tkr_repository_ask(repository, look_up, &lookup);
    for (uint32_t i = 0; i < count && result == TKR_OK; i++)
        give_stats(&row[i], &found[i], size, (char *)ret_stats + (size_t)i * size);
    return result;
}

int tkr_repository_get_usage_stats(tkr_repository *repository, const tkr_account *accounts, uint32_t count, uint32_t cycle,
                                   tkr_usage_stats *ret_stats)
{
    struct tkr_usage_row *row;
    struct tkr_usage_found *found;
    int result = TKR_ENOMEM;

    if (repository == NULL || (count > 0 && (accounts == NULL || ret_stats == NULL)))
        return TKR_EINVAL;
    if (count == 0 || count > TKR_REPOSITORY_ACCOUNTS_MAX)
        return count == 0 ? TKR_OK : TKR_ERANGE;
    if (tkr_repository_check_size(ret_stats->size, offsetof(tkr_usage_stats, prompt_tokens)) != TKR_OK)
        return TKR_ESIZE;
    row = calloc(count, sizeof(*row));
    found = calloc(count, sizeof(*found));
    if (row != NULL && found != NULL)
        result = get_stats(repository, accounts, count, cycle, row, found, ret_stats);
    free(row);
    free(found);
    return result;
}

int tkr_repository_check_usage_limit(tkr_repository *repository, const tkr_account *account, uint32_t cycle,
                                     tkr_limit_status *ret_status)
{
    tkr_limit_status status = TKR_LIMIT_STATUS_INIT;
    struct tkr_usage_found found = {0};
    struct tkr_usage_row row;
    struct lookup lookup = {.account = &row, .count = 1, .found = &found};
    int result = ret_status == NULL ? TKR_EINVAL : tkr_repository_row(repository, account, cycle, &row);

    if (result == TKR_OK)
        result = tkr_repository_check_size(ret_status->size, sizeof(status));
    if (result == TKR_OK)
        result = tkr_repository_ask(repository, look_up, &lookup);
    if (result != TKR_OK)
        return result;
    status.current_usage = found.counts.value[TKR_COUNTER_TOTAL];
    status.limit = tkr_usage_limit(&found) >= 0 ? tkr_usage_limit(&found) : TKR_UNLIMITED;
    status.exceeded = status.limit >= 0 && status.current_usage >= status.limit;
    status.remaining = status.limit < 0 ? TKR_UNLIMITED : status.exceeded ? 0 : status.limit - status.current_usage;
    give(ret_status->size, &status, sizeof(status), ret_status);
    return TKR_OK;
}
