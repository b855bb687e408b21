/* SPDX-License-Identifier: Apache-2.0 */
#include "command/top/sheet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/law_json.h"
#include "tokenring/tokenring.h"

const char *const tkr_top_part_name[TKR_TOP_PART_COUNT] = {"all", "accounts", "models", "regions", "limits", "drops", "sink"};

static void add_drop(struct tkr_top_sheet *sheet, struct tkr_top_drop drop, uint64_t before)
{
    drop.since = drop.calls > before && sheet->look->span_ns > 0 ? drop.calls - before : 0;
    sheet->drop[sheet->drops++] = drop;
}

/* Causes of drops always, the rest where it happened. */
static void list_drops(struct tkr_top_sheet *sheet)
{
#define TKR_DROP(symbol, key, help) help,
    static const char *const why[TKR_DROP_COUNT] = {
#include "base/drops.def"
    };
#undef TKR_DROP
    const struct tkr_balance *host = &sheet->look->balance.host;
    const struct tkr_balance *before = &sheet->look->before;

    for (int i = 0; i < TKR_DROP_COUNT; i++)
        add_drop(sheet, (struct tkr_top_drop){"dropped", tkr_drop_key[i], why[i], host->dropped[i], 0}, before->dropped[i]);
    for (unsigned i = 1; i < TKR_RESULT_COUNT; i++) {
        if (host->refused[i] > 0)
            add_drop(sheet, (struct tkr_top_drop){"refused", tkr_result_key(i), tkr_strerror(-(int)i), host->refused[i], 0},
                     before->refused[i]);
    }
    if (host->unknown > 0)
        add_drop(sheet, (struct tkr_top_drop){"skipped", "frames", "only newer versions know them", host->unknown, 0},
                 before->unknown);
}

void tkr_top_region_name(const struct tkr_balance_region *region, char *ret_text)
{
    char command[TKR_COMMAND_CLEAN_BYTES(sizeof(region->command))];
    const char *id = region->name + sizeof(TKR_REGION_PREFIX) - 1;
    const char *state = !region->alive ? " dead" : "";

    (void)tkr_command_text_clean(region->command, strlen(region->command), command);
    if (region->standing > TKR_REGION_QUARANTINED)
        (void)snprintf(ret_text, TKR_TOP_NAME_BYTES, "%s %.8s", tkr_command_standing[region->standing], id);
    else
        (void)snprintf(ret_text, TKR_TOP_NAME_BYTES, "%u %s %.8s%s", region->pid, command, id,
                       region->standing == TKR_REGION_QUARANTINED ? " quarantined" : state);
}

static uint64_t region_value(const struct tkr_top_sheet *sheet, uint32_t number)
{
    switch (sheet->order->key) {
    case TKR_TOP_BY_ERRORS:
        return tkr_balance_dropped(&sheet->look->balance.region[number].balance);
    case TKR_TOP_BY_TOTAL:
    case TKR_TOP_BY_COST:
        return sheet->look->balance.region[number].balance.offered;
    case TKR_TOP_BY_RATE:
    case TKR_TOP_BY_CALLS:
        return sheet->look->region[number].offered;
    case TKR_TOP_BY_NAME:
    case TKR_TOP_KEY_COUNT:
        break;
    }
    return 0;
}

static int compare_regions(const void *one, const void *other, void *arg)
{
    const struct tkr_top_sheet *sheet = arg;
    uint32_t a = *(const uint32_t *)one;
    uint32_t b = *(const uint32_t *)other;
    uint64_t of_a = region_value(sheet, a);
    uint64_t of_b = region_value(sheet, b);
    int order = (of_a < of_b) - (of_a > of_b);

    if (order == 0 && sheet->order->key == TKR_TOP_BY_NAME)
        order = strcmp(sheet->look->balance.region[a].command, sheet->look->balance.region[b].command);
    if (order == 0)
        order = strcmp(sheet->look->balance.region[a].name, sheet->look->balance.region[b].name);
    return sheet->order->reversed ? -order : order;
}

static bool list_regions(struct tkr_top_sheet *sheet)
{
    const struct tkr_host_balance *balance = &sheet->look->balance;
    char name[TKR_TOP_NAME_BYTES];

    sheet->region = calloc((size_t)balance->region_count + 1, sizeof(*sheet->region));
    if (sheet->region == NULL)
        return false;
    for (uint32_t i = 0; i < balance->region_count; i++) {
        tkr_top_region_name(&balance->region[i], name);
        if (tkr_top_matches(sheet->order, name, strlen(name)))
            sheet->region[sheet->regions++] = i;
    }
    qsort_r(sheet->region, sheet->regions, sizeof(*sheet->region), compare_regions, sheet);
    return true;
}

/* The nearest first, as they were read. */
static bool list_limits(struct tkr_top_sheet *sheet)
{
    const struct tkr_command_board_accounts *limits = &sheet->look->limits;
    char name[TKR_TOP_NAME_BYTES];

    sheet->limit = calloc(limits->count + 1, sizeof(*sheet->limit));
    if (sheet->limit == NULL)
        return false;
    for (size_t i = 0; i < limits->count; i++) {
        tkr_top_name(limits->account[i].kind, limits->account[i].id, limits->account[i].id_len, name);
        if (tkr_top_matches(sheet->order, name, strlen(name)))
            sheet->limit[sheet->limits++] = (uint32_t)i;
    }
    return true;
}

bool tkr_top_sheet_open(const struct tkr_top_look *look, const struct tkr_top_order *order, size_t rows,
                        struct tkr_top_sheet *ret_sheet)
{
    *ret_sheet = (struct tkr_top_sheet){.look = look, .order = order};
    list_drops(ret_sheet);
    return tkr_top_choose(&look->rates, order, false, rows, &ret_sheet->accounts) &&
           tkr_top_choose(&look->rates, order, true, rows, &ret_sheet->models) && list_regions(ret_sheet) &&
           list_limits(ret_sheet);
}

void tkr_top_sheet_close(struct tkr_top_sheet *sheet)
{
    tkr_top_chosen_free(&sheet->accounts);
    tkr_top_chosen_free(&sheet->models);
    free(sheet->region);
    free(sheet->limit);
}

static size_t parked(const struct tkr_top_sheet *sheet)
{
    return sheet->look->balance.health != NULL ? (size_t)sheet->look->balance.health->named : 0;
}

size_t tkr_top_sheet_rows(const struct tkr_top_sheet *sheet, enum tkr_top_part part)
{
    switch (part) {
    case TKR_TOP_ACCOUNTS:
        return sheet->accounts.count;
    case TKR_TOP_MODELS:
        return sheet->models.count;
    default:
        return tkr_top_sheet_matching(sheet, part);
    }
}

size_t tkr_top_sheet_matching(const struct tkr_top_sheet *sheet, enum tkr_top_part part)
{
    switch (part) {
    case TKR_TOP_ACCOUNTS:
        return sheet->accounts.matching;
    case TKR_TOP_MODELS:
        return sheet->models.matching;
    case TKR_TOP_REGIONS:
        return sheet->regions;
    case TKR_TOP_LIMITS:
        return sheet->limits;
    default:
        return tkr_top_sheet_all(sheet, part);
    }
}

size_t tkr_top_sheet_all(const struct tkr_top_sheet *sheet, enum tkr_top_part part)
{
    switch (part) {
    case TKR_TOP_ACCOUNTS:
        return sheet->look->rates.accounts;
    case TKR_TOP_MODELS:
        return sheet->look->rates.count - sheet->look->rates.accounts;
    case TKR_TOP_REGIONS:
        return sheet->look->balance.region_count;
    case TKR_TOP_LIMITS:
        return sheet->look->limits.count;
    case TKR_TOP_DROPS:
        return sheet->drops;
    case TKR_TOP_SINK:
        return parked(sheet);
    case TKR_TOP_ALL:
    case TKR_TOP_PART_COUNT:
        break;
    }
    return 0;
}
