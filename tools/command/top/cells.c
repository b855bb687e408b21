/* SPDX-License-Identifier: Apache-2.0 */
#include "command/top/cells.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/cycle.h"
#include "command/moment.h"
#include "command/number.h"
#include "command/text.h"

#define CELL_BYTES TKR_COMMAND_CLEAN_BYTES(TKR_REASON_BYTES)
#define NAME_COLUMNS_MIN 12 /* of the first cell; others give way */
#define NAME_COLUMNS_MAX 32 /* where a cell stretches */
#define NANO_PER_USD 1e9

/* A column beside the name. */
struct column {
    const char *title;
    size_t columns; /* of the terminal */
    bool text;      /* on the left, and as wide as there is room */
    bool keyed;     /* rows may be sorted by it: */
    enum tkr_top_key key;
};

#define COLUMNS_MAX 8

static const struct column usage_columns[] = {{"tokens/s", 9, false, true, TKR_TOP_BY_RATE},
                                              {"calls/s", 8, false, true, TKR_TOP_BY_CALLS},
                                              {"tokens", 8, false, true, TKR_TOP_BY_TOTAL},
                                              {"calls", 7, false, false, 0},
                                              {"errors/s", 9, false, true, TKR_TOP_BY_ERRORS},
                                              {"USD/s", 9, false, true, TKR_TOP_BY_COST},
                                              {"ms/call", 8, false, false, 0}};
static const struct column region_columns[] = {{"calls/s", 8, false, true, TKR_TOP_BY_CALLS},
                                               {"in lanes", 9, false, false, 0},
                                               {"dropped", 8, false, true, TKR_TOP_BY_ERRORS},
                                               {"open", 6, false, false, 0},
                                               {"calls", 8, false, true, TKR_TOP_BY_TOTAL},
                                               {"counted/s", 10, false, false, 0},
                                               {"shard", 6, false, false, 0}};
static const struct column limit_columns[] = {{"used %", 7, false, false, 0},   {"remaining", 10, false, false, 0},
                                              {"verdict", 8, false, false, 0},  {"limit", 8, false, false, 0},
                                              {"reserved", 9, false, false, 0}, {"cycle", 11, false, false, 0},
                                              {"age, s", 7, false, false, 0}};
static const struct column drop_columns[] = {
    {"calls", 8, false, false, 0}, {"calls/s", 8, false, false, 0}, {"why", 30, true, false, 0}};
static const struct column parked_columns[] = {{"since", 21, false, false, 0}, {"reason", 30, true, false, 0}};

static const struct table {
    const char *title;
    const struct column *column;
    size_t count;
} tables[TKR_TOP_PART_COUNT] = {
    [TKR_TOP_ACCOUNTS] = {"account", usage_columns, sizeof(usage_columns) / sizeof(usage_columns[0])},
    [TKR_TOP_MODELS] = {"model", usage_columns, sizeof(usage_columns) / sizeof(usage_columns[0])},
    [TKR_TOP_REGIONS] = {"region", region_columns, sizeof(region_columns) / sizeof(region_columns[0])},
    [TKR_TOP_LIMITS] = {"near a limit", limit_columns, sizeof(limit_columns) / sizeof(limit_columns[0])},
    [TKR_TOP_DROPS] = {"not counted", drop_columns, sizeof(drop_columns) / sizeof(drop_columns[0])},
    [TKR_TOP_SINK] = {"parked", parked_columns, sizeof(parked_columns) / sizeof(parked_columns[0])},
};

/* --- cells: NAME, then the columns as they stand above --- */

#define NAME SIZE_MAX

static void number_cell(int64_t value, char *ret_text)
{
    (void)tkr_command_number(value, ret_text);
}

static void rate_cell(const struct tkr_top_sheet *sheet, int64_t added, char *ret_text)
{
    if (sheet->look->span_ns <= 0)
        (void)snprintf(ret_text, TKR_COMMAND_NUMBER_BYTES, "-");
    else
        (void)tkr_command_rate(tkr_top_per_second(sheet->look, added), ret_text);
}

static void usd_cell(const struct tkr_top_sheet *sheet, int64_t nano, char *ret_text)
{
    double usd = tkr_top_per_second(sheet->look, nano) / NANO_PER_USD;

    if (sheet->look->span_ns <= 0 || usd >= 100)
        rate_cell(sheet, (int64_t)((double)nano / NANO_PER_USD), ret_text);
    else
        (void)snprintf(ret_text, TKR_COMMAND_NUMBER_BYTES, "%.*f", usd > 0 ? 4 : 0, usd);
}

static void usage_cell(const struct tkr_top_sheet *sheet, const struct tkr_top_usage *usage, size_t column, char *ret_text)
{
    struct tkr_top_figures since = tkr_top_since(&sheet->look->rates, usage);

    switch (column) {
    case NAME:
        tkr_top_name(usage->kind, usage->name, usage->name_len, ret_text);
        break;
    case 0:
        rate_cell(sheet, since.tokens, ret_text);
        break;
    case 1:
        rate_cell(sheet, since.calls, ret_text);
        break;
    case 2:
        number_cell(usage->total.tokens, ret_text);
        break;
    case 3:
        number_cell(usage->total.calls, ret_text);
        break;
    case 4:
        rate_cell(sheet, since.errors, ret_text);
        break;
    case 5:
        usd_cell(sheet, since.cost_nano_usd, ret_text);
        break;
    default:
        if (since.calls > 0)
            number_cell(since.duration_ms / since.calls, ret_text);
    }
}

static void region_cell(const struct tkr_top_sheet *sheet, size_t row, size_t column, char *ret_text)
{
    const struct tkr_balance_region *region = &sheet->look->balance.region[sheet->region[row]];
    const struct tkr_top_region *since = &sheet->look->region[sheet->region[row]];

    switch (column) {
    case NAME:
        tkr_top_region_name(region, ret_text);
        break;
    case 0:
        rate_cell(sheet, (int64_t)since->offered, ret_text);
        break;
    case 1:
        (void)tkr_command_unsigned(region->balance.in_lanes, ret_text);
        break;
    case 2:
        (void)tkr_command_unsigned(tkr_balance_dropped(&region->balance), ret_text);
        break;
    case 3:
        (void)tkr_command_unsigned(region->balance.open_calls, ret_text);
        break;
    case 4:
        (void)tkr_command_unsigned(region->balance.offered, ret_text);
        break;
    case 5:
        rate_cell(sheet, (int64_t)since->counted, ret_text);
        break;
    default:
        (void)snprintf(ret_text, TKR_COMMAND_NUMBER_BYTES, region->shard < 0 ? "none" : "%d", region->shard);
    }
}

static void limit_cell(const struct tkr_top_sheet *sheet, size_t row, size_t column, char *ret_text)
{
    const struct tkr_board_account *account = &sheet->look->limits.account[sheet->limit[row]];
    const struct tkr_board_figures *figures = &account->figures;
    int64_t age_ns = tkr_board_age_ns(figures, tkr_clock_monotonic_ns());

    switch (column) {
    case NAME:
        tkr_top_name(account->kind, account->id, account->id_len, ret_text);
        break;
    case 0:
        (void)snprintf(ret_text, TKR_COMMAND_NUMBER_BYTES, "%.1f", tkr_command_board_percent(figures));
        break;
    case 1:
        number_cell(tkr_command_board_remaining(figures), ret_text);
        break;
    case 2:
        (void)snprintf(ret_text, TKR_COMMAND_NUMBER_BYTES, "%s", tkr_board_verdict_word[tkr_board_judge(figures, age_ns)]);
        break;
    case 3:
        number_cell(figures->limit, ret_text);
        break;
    case 4:
        number_cell(figures->reserved, ret_text);
        break;
    case 5:
        tkr_cycle_format(account->cycle, ret_text);
        break;
    default:
        (void)snprintf(ret_text, TKR_COMMAND_NUMBER_BYTES, "%.1f", age_ns < 0 ? 0 : (double)age_ns / (double)TKR_NS_PER_S);
    }
}

static void drop_cell(const struct tkr_top_sheet *sheet, size_t row, size_t column, char *ret_text)
{
    const struct tkr_top_drop *drop = &sheet->drop[row];

    switch (column) {
    case NAME:
        (void)snprintf(ret_text, CELL_BYTES, "%s %s", drop->what, drop->cause);
        break;
    case 0:
        (void)tkr_command_unsigned(drop->calls, ret_text);
        break;
    case 1:
        rate_cell(sheet, (int64_t)drop->since, ret_text);
        break;
    default:
        (void)snprintf(ret_text, CELL_BYTES, "%s", drop->why);
    }
}

static void parked_cell(const struct tkr_top_sheet *sheet, size_t row, size_t column, char *ret_text)
{
    const struct tkr_health_account *account = &sheet->look->balance.health->account[row];

    if (column == NAME)
        tkr_top_name(account->kind, account->id, account->id_len, ret_text);
    else if (column == 0)
        (void)tkr_command_moment(account->since_ns, ret_text);
    else
        (void)tkr_command_text_clean(account->reason, strlen(account->reason), ret_text);
}

static void cell(const struct tkr_top_sheet *sheet, enum tkr_top_part part, size_t row, size_t column, char *ret_text)
{
    ret_text[0] = '\0';
    if (part == TKR_TOP_ACCOUNTS)
        usage_cell(sheet, sheet->accounts.row[row], column, ret_text);
    else if (part == TKR_TOP_MODELS)
        usage_cell(sheet, sheet->models.row[row], column, ret_text);
    else if (part == TKR_TOP_REGIONS)
        region_cell(sheet, row, column, ret_text);
    else if (part == TKR_TOP_LIMITS)
        limit_cell(sheet, row, column, ret_text);
    else if (part == TKR_TOP_DROPS)
        drop_cell(sheet, row, column, ret_text);
    else
        parked_cell(sheet, row, column, ret_text);
}

/* "account 12/1034" where a filter leaves some out; the column by which rows are sorted has a star. */
static void heading(const struct tkr_top_sheet *sheet, enum tkr_top_part part, size_t column, char *ret_text)
{
    const struct column *shown = &tables[part].column[column == NAME ? 0 : column];
    size_t matching = tkr_top_sheet_matching(sheet, part);
    size_t all = tkr_top_sheet_all(sheet, part);
    bool sorted = sheet->order->key == TKR_TOP_BY_NAME && column == NAME && part <= TKR_TOP_REGIONS;

    if (column != NAME)
        (void)snprintf(ret_text, CELL_BYTES, "%s%s", shown->title, shown->keyed && shown->key == sheet->order->key ? "*" : "");
    else if (matching != all)
        (void)snprintf(ret_text, CELL_BYTES, "%s%s %zu/%zu", tables[part].title, sorted ? "*" : "", matching, all);
    else
        (void)snprintf(ret_text, CELL_BYTES, "%s%s %zu", tables[part].title, sorted ? "*" : "", all);
}

/* --- lines --- */

/* How many of the columns fit beside a name, and how wide that is then. */
static size_t fitting(const struct table *table, size_t columns, size_t *ret_name, size_t *ret_stretched)
{
    size_t left = columns;
    size_t count = 0;

    while (count < table->count && left >= NAME_COLUMNS_MIN + 1 + table->column[count].columns)
        left -= 1 + table->column[count++].columns;
    *ret_name = left;
    *ret_stretched = 0;
    if (count > 0 && table->column[count - 1].text && left > NAME_COLUMNS_MAX) {
        *ret_name = NAME_COLUMNS_MAX;
        *ret_stretched = left - NAME_COLUMNS_MAX;
    }
    return count;
}

/* Fits a cell into its columns; numbers stand on the right. Returns its end. */
static char *put_cell(const char *text, size_t columns, bool right, char *at)
{
    size_t width = tkr_command_text_width(text);
    size_t before = right && width < columns ? columns - width : 0;

    memset(at, ' ', before);
    tkr_command_text_fit(text, columns - before, at + before);
    return at + strlen(at);
}

void tkr_top_line(const struct tkr_top_sheet *sheet, enum tkr_top_part part, size_t row, size_t columns, char *ret_line)
{
    const struct table *table = &tables[part];
    char text[CELL_BYTES];
    size_t name_columns;
    size_t stretched;
    size_t count = fitting(table, columns, &name_columns, &stretched);
    char *at = ret_line;

    for (size_t i = 0; i <= count; i++) {
        const struct column *column = i == 0 ? NULL : &table->column[i - 1];
        size_t number = i == 0 ? NAME : i - 1;

        if (row == TKR_TOP_HEADING_ROW)
            heading(sheet, part, number, text);
        else
            cell(sheet, part, row, number, text);
        if (column == NULL) {
            at = put_cell(text, name_columns, false, at);
        } else {
            *at++ = ' ';
            at = put_cell(text, column->columns + (column->text ? stretched : 0), !column->text, at);
        }
    }
}

bool tkr_top_alarms(const struct tkr_top_sheet *sheet, enum tkr_top_part part, size_t row)
{
    const struct tkr_balance_region *region = sheet->look->balance.region;

    if (part == TKR_TOP_REGIONS)
        return region[sheet->region[row]].standing >= TKR_REGION_QUARANTINED ||
               tkr_balance_dropped(&region[sheet->region[row]].balance) > 0;
    if (part == TKR_TOP_DROPS)
        return sheet->drop[row].calls > 0 && strcmp(sheet->drop[row].what, "dropped") == 0;
    if (part == TKR_TOP_LIMITS)
        return tkr_command_board_percent(&sheet->look->limits.account[sheet->limit[row]].figures) >= 100;
    return part == TKR_TOP_SINK;
}
