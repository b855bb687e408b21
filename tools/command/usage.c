/* SPDX-License-Identifier: Apache-2.0 */
/* tokenring usage: totals per account and billing cycle from the configured sink. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/account.h"
#include "base/cycle.h"
#include "command/command.h"
#include "command/query.h"
#include "command/text.h"
#include "command/usage_report.h"
#include "tokenring/tokenring.h"

#define COLUMNS_MAX 10
#define CELL_BYTES 24
#define TEXT_COLUMNS_MAX 48 /* longer ids and models push their row to the right */

enum { OPTION_KIND = TKR_COMMAND_OPTION_FIRST, OPTION_CYCLE, OPTION_TOP, OPTION_SORT, OPTION_BY_MODEL };

static const char help[] =
    "tokenring usage [ACCOUNT] [OPTION]...\n\n"
    "Shows totals per account and billing cycle, as the sink has them, the highest first; of ACCOUNT or of all. Where\n"
    "a collector has run on this host since it booted, a further column tells how many tokens it has counted and not\n"
    "flushed yet. The sink is read first: what is flushed in between shows in neither.\n\n"
    "Options:\n"
    "  --kind KIND        user, team, organisation, key or another name of 1 to 12 letters a-z or '_'; default all\n"
    "  --cycle CYCLE      YYYY-MM-DD, a cycle's first day; or all (default)\n"
    "  --by-model         a row for each model that an account used in a cycle, of calls that tell one, highest first:\n"
    "                     \"provider/model\" where the provider is told; each collecting thread tells up to 16 apart,\n"
    "                     the rest is `other`\n"
    "  --top N            only the first N rows, 1..1000000000\n"
    "  --sort FIELD       any counter, as in --json; default total_tokens\n" TKR_COMMAND_LOOK_HELP
    "  --json             print one JSON object: sink, rows with all counters\n"
    "  --help             this text\n\n"
    "Where the totals are: TOKENRING_SINK (redis, sqlite or null), REDIS_URL, REDIS_SOCKET, REDIS_HOST, REDIS_PORT,\n"
    "REDIS_USERNAME, REDIS_PASSWORD, REDIS_DB; TOKENRING_LEDGER, TOKENRING_STATE_DIR.\n\n" TKR_COMMAND_EXIT_HELP
    "With ACCOUNT, 1 also says that there is nothing about it.\n";

static const struct option options[] = {{"kind", required_argument, NULL, OPTION_KIND},
                                        {"cycle", required_argument, NULL, OPTION_CYCLE},
                                        {"top", required_argument, NULL, OPTION_TOP},
                                        {"sort", required_argument, NULL, OPTION_SORT},
                                        {"by-model", no_argument, NULL, OPTION_BY_MODEL},
                                        TKR_COMMAND_LOOK_OPTIONS,
                                        TKR_COMMAND_OPTION_HELP,
                                        {NULL, 0, NULL, 0}};

struct usage {
    const char *command;
    int64_t top;
    struct tkr_command_look look;
    struct tkr_command_usage_report report;
};

static int take_sort(struct usage *usage)
{
    char list[TKR_COMMAND_COUNTERS_BYTES];

    if (tkr_command_usage_counter(optarg, &usage->report.by, list))
        return 0;
    return tkr_command_wrong(usage->command, "--sort=%s: allowed are %s", optarg, list);
}

static int take_option(void *arg, int option)
{
    struct usage *usage = arg;

    switch (option) {
    case OPTION_KIND:
        return tkr_command_query_kind(usage->command, optarg, &usage->report.query);
    case OPTION_CYCLE:
        return tkr_command_query_cycle(usage->command, optarg, &usage->report.query);
    case OPTION_TOP:
        return tkr_command_integer(usage->command, "top", optarg, 1, 1000000000, &usage->top);
    case OPTION_SORT:
        return take_sort(usage);
    case OPTION_BY_MODEL:
        usage->report.query.by_model = true;
        return 0;
    default:
        return tkr_command_look_option(&usage->look, option);
    }
}

static int take_operands(struct usage *usage, int count, char **operand)
{
    if (count == 0)
        return 0;
    if (count > 1)
        return tkr_command_wrong(usage->command, "%s: one ACCOUNT is allowed", operand[1]);
    return tkr_command_query_account(usage->command, operand[0], &usage->report.query);
}

enum column { ACCOUNT, KIND, CYCLE, MODEL, PROMPT, COMPLETION, TOTAL, CALLS, SORTED, UNFLUSHED };

static const char *const title[COLUMNS_MAX] = {"account",    "kind",  "cycle", "model", "prompt",
                                               "completion", "total", "calls", "",      "not yet flushed"};

static const char *title_of(const struct usage *usage, int column)
{
    return column == SORTED ? tkr_counter_name[usage->report.by] : title[column];
}

/* What the rows are sorted by has a column of its own where no other one shows it. */
static bool is_shown(const struct usage *usage, int column)
{
    if (column == SORTED)
        return usage->report.by != TKR_COUNTER_PROMPT && usage->report.by != TKR_COUNTER_COMPLETION &&
               usage->report.by != TKR_COUNTER_TOTAL && usage->report.by != TKR_COUNTER_CALLS;
    if (column == MODEL)
        return usage->report.query.by_model;
    return column != UNFLUSHED || usage->report.unflushed_known;
}

/* The text of a cell, but for those of account and model. */
static void cell(const struct tkr_command_usage_row *row, enum column column, char ret_text[CELL_BYTES])
{
    static const enum tkr_counter counter[] = {[PROMPT] = TKR_COUNTER_PROMPT,
                                               [COMPLETION] = TKR_COUNTER_COMPLETION,
                                               [TOTAL] = TKR_COUNTER_TOTAL,
                                               [CALLS] = TKR_COUNTER_CALLS};

    if (column == KIND)
        tkr_kind_name(row->kind, ret_text);
    else if (column == CYCLE)
        tkr_cycle_format(row->cycle, ret_text);
    else if (column == SORTED)
        (void)snprintf(ret_text, CELL_BYTES, "%" PRId64, row->rank);
    else
        (void)snprintf(ret_text, CELL_BYTES, "%" PRId64,
                       column == UNFLUSHED ? row->unflushed.value[TKR_COUNTER_TOTAL] : row->counts.value[counter[column]]);
}

static void clean_text(const struct tkr_command_usage_row *row, enum column column,
                       char ret_clean[TKR_COMMAND_CLEAN_BYTES(TKR_ID_BYTES_MAX)])
{
    if (column == ACCOUNT)
        (void)tkr_command_text_clean(row->id, row->id_len, ret_clean);
    else
        (void)tkr_command_text_clean(row->model, row->model_len, ret_clean);
}

static size_t cell_columns(const struct tkr_command_usage_row *row, enum column column)
{
    char clean[TKR_COMMAND_CLEAN_BYTES(TKR_ID_BYTES_MAX)];
    size_t columns;

    if (column == ACCOUNT || column == MODEL) {
        clean_text(row, column, clean);
        columns = tkr_command_text_columns(clean);
        return columns < TEXT_COLUMNS_MAX ? columns : TEXT_COLUMNS_MAX;
    }
    cell(row, column, clean);
    return strlen(clean);
}

static void measure(const struct usage *usage, size_t count, int ret_width[COLUMNS_MAX])
{
    for (int column = 0; column < COLUMNS_MAX; column++) {
        size_t width = strlen(title_of(usage, column));

        for (size_t i = 0; i < count; i++) {
            size_t columns = cell_columns(&usage->report.rows.row[i], (enum column)column);

            width = columns > width ? columns : width;
        }
        ret_width[column] = (int)width;
    }
}

static void print_text(const struct tkr_command_usage_row *row, enum column column, int width)
{
    char clean[TKR_COMMAND_CLEAN_BYTES(TKR_ID_BYTES_MAX)];
    int columns;

    clean_text(row, column, clean);
    columns = (int)tkr_command_text_columns(clean);
    (void)printf("%s%*s", clean, columns < width ? width - columns : 0, "");
}

static void print_cell(const struct tkr_command_usage_row *row, enum column column, int width)
{
    char text[CELL_BYTES];

    if (column == ACCOUNT || column == MODEL) {
        print_text(row, column, width);
        return;
    }
    cell(row, column, text);
    (void)printf("%*s", column <= CYCLE ? -width : width, text);
}

static void print_table(const struct usage *usage, size_t count)
{
    int width[COLUMNS_MAX];

    measure(usage, count, width);
    for (int column = 0; column < COLUMNS_MAX; column++) {
        if (is_shown(usage, column))
            (void)printf("%s%*s", column == 0 ? "" : "  ", column <= MODEL ? -width[column] : width[column],
                         title_of(usage, column));
    }
    if (count == 0)
        (void)printf("\n(no usage that was asked for)");
    for (size_t i = 0; i < count; i++) {
        for (int column = 0; column < COLUMNS_MAX; column++) {
            if (!is_shown(usage, column))
                continue;
            (void)fputs(column == 0 ? "\n" : "  ", stdout);
            print_cell(&usage->report.rows.row[i], (enum column)column, width[column]);
        }
    }
    (void)putchar('\n');
}

static int print_usage(struct usage *usage)
{
    const struct tkr_command_usage_report *report = &usage->report;
    int printed;

    if (report->unflushed_why.text[0] != '\0')
        (void)tkr_command_failed(usage->command, "what is not yet flushed is not shown: %s", report->unflushed_why.text);
    if (usage->look.json) {
        printed = tkr_command_json_print(usage->command, tkr_command_usage_json(report));
    } else {
        (void)printf("%s\n", report->sink.text);
        print_table(usage, report->rows.count);
        printed = tkr_command_end(usage->command, TKR_COMMAND_OK);
    }
    if (printed == TKR_COMMAND_OK && report->query.id != NULL && report->rows.count == 0)
        return tkr_command_failed(usage->command, "%s: there is nothing about this account", report->query.id);
    return printed;
}

int tkr_command_usage(int argc, char **argv)
{
    struct usage usage = {.command = argv[0], .report = {.query = {.any_kind = 1}, .by = TKR_COUNTER_TOTAL}};
    struct tkr_sink_config config;
    tkr_message why;
    int exit_code = tkr_command_parse(argc, argv, options, help, take_option, &usage);

    if (exit_code != -1)
        return exit_code;
    if (take_operands(&usage, argc - optind, argv + optind) != 0)
        return TKR_COMMAND_WRONG;
    usage.report.top = (size_t)usage.top;
    if (tkr_sink_config_read(&config, &why) != 0 ||
        tkr_command_usage_read(&usage.report, &config, usage.look.runtime_dir, &why) != 0)
        exit_code = tkr_command_failed(argv[0], "%s", why.text);
    else
        exit_code = print_usage(&usage);
    tkr_command_usage_free(&usage.report.rows);
    return exit_code;
}
