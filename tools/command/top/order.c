/* SPDX-License-Identifier: Apache-2.0 */
#include "command/top/order.h"

#include <stdlib.h>
#include <string.h>

#include "command/text.h"
#include "tokenring/tokenring.h"

const char *const tkr_top_key_name[TKR_TOP_KEY_COUNT] = {"rate", "calls", "errors", "cost", "total", "name"};

/* --- names and filters --- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool begins(const char *text, const char *part, size_t part_len)
{
    for (size_t i = 0; i < part_len; i++) {
        if (lower(text[i]) != lower(part[i]))
            return false;
    }
    return true;
}

bool tkr_top_matches(const struct tkr_top_order *order, const char *name, size_t len)
{
    size_t part_len = strlen(order->filter);

    for (size_t at = 0; at + part_len <= len; at++) {
        if (begins(name + at, order->filter, part_len))
            return true;
    }
    return part_len == 0;
}

/* The kind and ':', or nothing of a user. Returns the bytes. */
static size_t put_kind(uint64_t kind, char *ret_text)
{
    char name[TKR_COMMAND_KIND_BYTES];
    size_t len;

    if (kind == TKR_KIND_USER)
        return 0;
    len = strlen(tkr_command_kind_text(kind, name));
    memcpy(ret_text, name, len);
    ret_text[len] = ':';
    return len + 1;
}

void tkr_top_name(uint64_t kind, const char *name, size_t len, char *ret_text)
{
    (void)tkr_command_text_clean(name, len, ret_text + put_kind(kind, ret_text));
}

static bool usage_matches(const struct tkr_top_order *order, const struct tkr_top_usage *usage)
{
    char name[TKR_COMMAND_KIND_BYTES + TKR_ENTRY_ID_MAX];
    size_t len;

    if (order->filter[0] == '\0')
        return true;
    if (usage->kind == TKR_KIND_USER)
        return tkr_top_matches(order, usage->name, usage->name_len);
    len = put_kind(usage->kind, name);
    memcpy(name + len, usage->name, usage->name_len);
    return tkr_top_matches(order, name, len + usage->name_len);
}

/* --- the order --- */

/* Of whom one is asked which stands before the other. */
struct ordering {
    const struct tkr_top_rates *rates;
    const struct tkr_top_order *order;
};

static int64_t value_of(const struct ordering *ordering, const struct tkr_top_usage *usage)
{
    struct tkr_top_figures since = tkr_top_since(ordering->rates, usage);

    switch (ordering->order->key) {
    case TKR_TOP_BY_RATE:
        return since.tokens;
    case TKR_TOP_BY_CALLS:
        return since.calls;
    case TKR_TOP_BY_ERRORS:
        return since.errors;
    case TKR_TOP_BY_COST:
        return since.cost_nano_usd;
    case TKR_TOP_BY_TOTAL:
        return usage->total.tokens;
    case TKR_TOP_BY_NAME:
    case TKR_TOP_KEY_COUNT:
        break;
    }
    return 0;
}

static int compare_names(const struct tkr_top_usage *a, const struct tkr_top_usage *b)
{
    int order = memcmp(a->name, b->name, a->name_len < b->name_len ? a->name_len : b->name_len);

    if (order == 0)
        order = (a->name_len > b->name_len) - (a->name_len < b->name_len);
    return order != 0 ? order : (a->kind > b->kind) - (a->kind < b->kind);
}

/* Below 0: a stands first. What is equal goes by the total, then by name, so that rows stand still that nobody uses. */
static int compare(const struct ordering *ordering, const struct tkr_top_usage *a, const struct tkr_top_usage *b)
{
    int64_t of_a = value_of(ordering, a);
    int64_t of_b = value_of(ordering, b);
    int order = (of_a < of_b) - (of_a > of_b);

    if (order == 0 && ordering->order->key != TKR_TOP_BY_NAME)
        order = (a->total.tokens < b->total.tokens) - (a->total.tokens > b->total.tokens);
    if (order == 0)
        order = compare_names(a, b);
    return ordering->order->reversed ? -order : order;
}

static int compare_rows(const void *one, const void *other, void *ordering)
{
    return compare(ordering, *(const struct tkr_top_usage *const *)one, *(const struct tkr_top_usage *const *)other);
}

/* --- choosing: a heap of the rows that stand first so far, the last of them on top --- */

static void sink_down(const struct ordering *ordering, struct tkr_top_chosen *chosen, size_t at)
{
    const struct tkr_top_usage *row = chosen->row[at];

    for (size_t child; (child = 2 * at + 1) < chosen->count; at = child) {
        if (child + 1 < chosen->count && compare(ordering, chosen->row[child + 1], chosen->row[child]) > 0)
            child++;
        if (compare(ordering, chosen->row[child], row) <= 0)
            break;
        chosen->row[at] = chosen->row[child];
    }
    chosen->row[at] = row;
}

static void rise(const struct ordering *ordering, struct tkr_top_chosen *chosen)
{
    size_t at = chosen->count - 1;
    const struct tkr_top_usage *row = chosen->row[at];

    for (size_t parent; at > 0 && compare(ordering, chosen->row[parent = (at - 1) / 2], row) < 0; at = parent)
        chosen->row[at] = chosen->row[parent];
    chosen->row[at] = row;
}

static void consider(const struct ordering *ordering, struct tkr_top_chosen *chosen, size_t max, const struct tkr_top_usage *row)
{
    chosen->matching++;
    if (chosen->count < max) {
        chosen->row[chosen->count++] = row;
        rise(ordering, chosen);
    } else if (max > 0 && compare(ordering, row, chosen->row[0]) < 0) {
        chosen->row[0] = row;
        sink_down(ordering, chosen, 0);
    }
}

bool tkr_top_choose(const struct tkr_top_rates *rates, const struct tkr_top_order *order, bool models, size_t max,
                    struct tkr_top_chosen *ret_chosen)
{
    struct ordering ordering = {rates, order};
    size_t rows = models ? rates->count - rates->accounts : rates->accounts;

    if (max > rows)
        max = rows;
    *ret_chosen = (struct tkr_top_chosen){.row = calloc(max + 1, sizeof(const struct tkr_top_usage *))};
    if (ret_chosen->row == NULL)
        return false;
    for (size_t i = 0; i < rates->count; i++) {
        if (rates->usage[i].model == models && usage_matches(order, &rates->usage[i]))
            consider(&ordering, ret_chosen, max, &rates->usage[i]);
    }
    qsort_r(ret_chosen->row, ret_chosen->count, sizeof(const struct tkr_top_usage *), compare_rows, &ordering);
    return true;
}

void tkr_top_chosen_free(struct tkr_top_chosen *chosen)
{
    free(chosen->row);
    *chosen = (struct tkr_top_chosen){.row = NULL};
}
