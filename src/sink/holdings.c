/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/holdings.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool tkr_counts_add(tkr_counts *to, const tkr_counts *more)
{
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (__builtin_add_overflow(to->value[i], more->value[i], &to->value[i]))
            return false;
    }
    return true;
}

bool tkr_counts_subtract(tkr_counts *to, const tkr_counts *less)
{
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (__builtin_sub_overflow(to->value[i], less->value[i], &to->value[i]))
            return false;
    }
    return true;
}

bool tkr_counts_zero(const tkr_counts *counts)
{
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (counts->value[i] != 0)
            return false;
    }
    return true;
}

void tkr_source_name(uint64_t collector, uint32_t shard, char ret_source[TKR_SOURCE_BYTES])
{
    (void)snprintf(ret_source, TKR_SOURCE_BYTES, "%016" PRIx64 ".%u", collector, shard);
}

bool tkr_source_valid(const char *text, size_t len)
{
    if (len < 1 || len >= TKR_SOURCE_BYTES || strncmp(text, TKR_MARK_PREFIX, strlen(TKR_MARK_PREFIX)) == 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '!' || text[i] > '~' || text[i] == ':')
            return false;
    }
    return true;
}

/* --- filling --- */

/* An array's memory for one more. NULL: none. */
static void *grow(void *array, uint32_t *max, uint32_t count, size_t element_bytes)
{
    uint32_t more = *max != 0 ? 2 * *max : 4;
    void *grown;

    if (count < *max)
        return array;
    grown = realloc(array, more * element_bytes);
    if (grown == NULL)
        return NULL;
    memset((char *)grown + *max * element_bytes, 0, (more - *max) * element_bytes); /* memory that is kept is known by its max */
    *max = more;
    return grown;
}

static struct tkr_holding *add_holding(struct tkr_holdings *holdings, const char *model, size_t len)
{
    struct tkr_holding *grown = grow(holdings->holding, &holdings->max, holdings->count, sizeof(*grown));
    struct tkr_holding *holding;

    if (grown == NULL)
        return NULL;
    holdings->holding = grown;
    holding = &grown[holdings->count++];
    if (len > 0)
        memcpy(holding->model, model, len);
    holding->model_len = (uint32_t)len;
    memset(&holding->total, 0, sizeof(holding->total));
    memset(&holding->rest, 0, sizeof(holding->rest));
    holding->share_count = 0; /* its memory is kept */
    return holding;
}

bool tkr_holdings_begin(struct tkr_holdings *holdings, uint64_t kind, const char *id, uint32_t id_len, uint32_t cycle)
{
    holdings->kind = kind;
    holdings->id_len = id_len;
    memcpy(holdings->id, id, id_len);
    holdings->cycle = cycle;
    holdings->limit = TKR_LIMIT_NONE;
    holdings->marked = holdings->forgotten = false;
    holdings->foreign = 0;
    holdings->restored = 0;
    holdings->count = 0;
    return add_holding(holdings, NULL, 0) != NULL;
}

static bool is_model(const struct tkr_holding *holding, const char *model, size_t len)
{
    return holding->model_len == len && (len == 0 || memcmp(holding->model, model, len) == 0);
}

/* Fields of one model mostly follow each other. */
struct tkr_holding *tkr_holdings_of(struct tkr_holdings *holdings, const char *model, size_t len)
{
    for (uint32_t i = holdings->count; i > 0; i--) {
        if (is_model(&holdings->holding[i - 1], model, len))
            return &holdings->holding[i - 1];
    }
    return holdings->count <= TKR_HOLDINGS_MODELS_MAX ? add_holding(holdings, model, len) : NULL;
}

bool tkr_holding_add(struct tkr_holding *holding, const char *source, size_t source_len, const struct tkr_record *record)
{
    struct tkr_share *grown = grow(holding->share, &holding->share_max, holding->share_count, sizeof(*grown));
    struct tkr_share *share;

    if (grown == NULL)
        return false;
    holding->share = grown;
    share = &grown[holding->share_count++];
    memcpy(share->source, source, source_len);
    share->source[source_len] = '\0';
    share->record = *record;
    return true;
}

/* --- in order --- */

static int compare_models(const void *left, const void *right)
{
    const struct tkr_holding *a = left;
    const struct tkr_holding *b = right;
    int order = memcmp(a->model, b->model, a->model_len < b->model_len ? a->model_len : b->model_len);

    return order != 0 ? order : (a->model_len > b->model_len) - (a->model_len < b->model_len);
}

static int compare_sources(const void *left, const void *right)
{
    const struct tkr_share *a = left;
    const struct tkr_share *b = right;

    return strcmp(a->source, b->source);
}

bool tkr_holdings_sort(struct tkr_holdings *holdings)
{
    qsort(holdings->holding, holdings->count, sizeof(*holdings->holding), compare_models);
    for (uint32_t h = 0; h < holdings->count; h++) {
        struct tkr_holding *holding = &holdings->holding[h];
        if (holding->share_count > 0)
            qsort(holding->share, holding->share_count, sizeof(*holding->share), compare_sources);
        for (uint32_t i = 1; i < holding->share_count; i++) {
            if (strcmp(holding->share[i - 1].source, holding->share[i].source) == 0)
                return false;
        }
    }
    return true;
}

/* to = from, and all records added or, with sign -1, taken off. */
static bool sum_up(const struct tkr_holding *holding, const tkr_counts *from, int sign, tkr_counts *to)
{
    *to = *from;
    for (uint32_t i = 0; i < holding->share_count; i++) {
        const tkr_counts *counts = &holding->share[i].record.counts;
        if (!(sign > 0 ? tkr_counts_add(to, counts) : tkr_counts_subtract(to, counts)))
            return false;
    }
    return true;
}

bool tkr_holdings_finish_totals(struct tkr_holdings *holdings, tkr_message *ret_why)
{
    if (!tkr_holdings_sort(holdings)) {
        (void)tkr_message_set(ret_why, "a source has two records of it");
        return false;
    }
    for (uint32_t h = 0; h < holdings->count; h++) {
        struct tkr_holding *holding = &holdings->holding[h];
        if (!sum_up(holding, &holding->total, -1, &holding->rest)) {
            (void)tkr_message_set(ret_why, "its records come to more than 2^63-1");
            return false;
        }
    }
    return true;
}

bool tkr_holdings_finish_rest(struct tkr_holdings *holdings, tkr_message *ret_why)
{
    if (!tkr_holdings_sort(holdings)) {
        (void)tkr_message_set(ret_why, "a source has two records of it");
        return false;
    }
    for (uint32_t h = 0; h < holdings->count; h++) {
        struct tkr_holding *holding = &holdings->holding[h];
        if (!sum_up(holding, &holding->rest, 1, &holding->total)) {
            (void)tkr_message_set(ret_why, "its totals come to more than 2^63-1");
            return false;
        }
    }
    return true;
}

const struct tkr_holding *tkr_holdings_find(const struct tkr_holdings *holdings, const char *model, size_t len)
{
    struct tkr_holding key = {.model_len = (uint32_t)len};

    if (holdings->count == 0)
        return NULL;
    if (len > 0)
        memcpy(key.model, model, len);
    return bsearch(&key, holdings->holding, holdings->count, sizeof(key), compare_models);
}

const struct tkr_record *tkr_holding_record(const struct tkr_holding *holding, const char *source)
{
    const struct tkr_share *share;
    struct tkr_share key;

    if (holding->share_count == 0)
        return NULL;
    (void)snprintf(key.source, sizeof(key.source), "%s", source);
    share = bsearch(&key, holding->share, holding->share_count, sizeof(key), compare_sources);
    return share != NULL ? &share->record : NULL;
}

void tkr_holdings_free(struct tkr_holdings *holdings)
{
    for (uint32_t h = 0; h < holdings->max; h++)
        free(holdings->holding[h].share);
    free(holdings->holding);
    *holdings = (struct tkr_holdings){0};
}
