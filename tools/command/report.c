/* SPDX-License-Identifier: Apache-2.0 */
/* tokenring report: totals from cycle to cycle, their cost and how they change. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/account.h"
#include "base/cycle.h"
#include "command/command.h"
#include "command/query.h"
#include "command/report_rows.h"
#include "command/text.h"
#include "tokenring/tokenring.h"

#define NANO INT64_C(1000000000)
#define USD_BYTES 32
#define PERCENT_BYTES 340 /* of any double with one decimal */

enum { OPTION_KIND = TKR_COMMAND_OPTION_FIRST, OPTION_FROM, OPTION_TO, OPTION_BY_MODEL, OPTION_CSV };

static const char help[] =
    "tokenring report --from CYCLE --to CYCLE [ACCOUNT] [OPTION]...\n\n"
    "Shows what accounts came to in the billing cycles from one to the other, both included: totals, cost, and how total\n"
    "tokens and cost changed from the cycle before, absolutely and in percent, as the sink has them; of ACCOUNT or of all.\n"
    "A cycle without usage has no row; a change is from the row before.\n\n"
    "Options:\n"
    "  --from CYCLE       YYYY-MM-DD, the first cycle\n"
    "  --to CYCLE         YYYY-MM-DD, the last cycle, not before the first\n"
    "  --kind KIND        user, team, organisation, key or another name of 1 to 12 letters a-z or '_'; default all\n"
    "  --by-model         of each model that an account used, as `tokenring usage --by-model` has them\n"
    "  --json             print one JSON object: sink, accounts (or models of them) with cycles (all counters, changes)\n"
    "                     and total\n"
    "  --csv              print RFC 4180: a head, then a row for each account (and model) and cycle with all counters and\n"
    "                     changes\n"
    "  --help             this text\n\n"
    "Where the totals are: TOKENRING_SINK (redis, sqlite or null), REDIS_URL, REDIS_SOCKET, REDIS_HOST, REDIS_PORT,\n"
    "REDIS_USERNAME, REDIS_PASSWORD, REDIS_DB; TOKENRING_LEDGER, TOKENRING_STATE_DIR.\n\n" TKR_COMMAND_EXIT_HELP
    "With ACCOUNT, 1 also says that there is nothing about it in these cycles.\n";

static const struct option options[] = {{"from", required_argument, NULL, OPTION_FROM},
                                        {"to", required_argument, NULL, OPTION_TO},
                                        {"kind", required_argument, NULL, OPTION_KIND},
                                        {"json", no_argument, NULL, TKR_COMMAND_OPTION_JSON},
                                        {"by-model", no_argument, NULL, OPTION_BY_MODEL},
                                        {"csv", no_argument, NULL, OPTION_CSV},
                                        TKR_COMMAND_OPTION_HELP,
                                        {NULL, 0, NULL, 0}};

struct report {
    const char *command;
    struct tkr_usage_query query;
    uint32_t from;
    uint32_t to;
    bool json;
    bool csv;
    tkr_message sink;
    struct tkr_command_report_rows rows;
};

static int take_cycle(const struct report *report, const char *option, uint32_t *ret_cycle)
{
    if (tkr_cycle_parse(optarg, ret_cycle))
        return 0;
    return tkr_command_wrong(report->command, "--%s=%s: allowed is a date YYYY-MM-DD", option, optarg);
}

static int take_option(void *arg, int option)
{
    struct report *report = arg;

    switch (option) {
    case OPTION_FROM:
        return take_cycle(report, "from", &report->from);
    case OPTION_TO:
        return take_cycle(report, "to", &report->to);
    case OPTION_KIND:
        return tkr_command_query_kind(report->command, optarg, &report->query);
    case OPTION_BY_MODEL:
        report->query.by_model = true;
        return 0;
    case OPTION_CSV:
        report->csv = true;
        return 0;
    case TKR_COMMAND_OPTION_JSON:
        report->json = true;
        return 0;
    default:
        return TKR_COMMAND_WRONG; /* told by tkr_command_option */
    }
}

/* --- figures as text --- */

/* All nine decimals: exact. */
static void usd_text(int64_t nano, char ret_text[USD_BYTES])
{
    uint64_t amount = nano < 0 ? 0 - (uint64_t)nano : (uint64_t)nano;

    (void)snprintf(ret_text, USD_BYTES, "%s%" PRIu64 ".%09" PRIu64, nano < 0 ? "-" : "", amount / NANO, amount % NANO);
}

/* "" when there is none. */
static void percent_text(const struct tkr_command_report_change *change, char ret_text[PERCENT_BYTES])
{
    ret_text[0] = '\0';
    if (change->has_percent)
        (void)snprintf(ret_text, PERCENT_BYTES, "%.1f", change->percent);
}

/* --- for people --- */

static void print_change(const struct tkr_command_report_row *row, bool first)
{
    char percent[PERCENT_BYTES];
    struct tkr_command_report_change change;

    if (first) {
        (void)printf(" %20s %9s", "", "");
        return;
    }
    change = tkr_command_report_change(row - 1, row, TKR_COUNTER_TOTAL);
    percent_text(&change, percent);
    (void)printf(" %+20" PRId64 " %9s", change.amount, percent);
}

static void print_cost(const struct tkr_command_report_row *row, bool first)
{
    char usd[USD_BYTES];
    char more[USD_BYTES] = "";
    char percent[PERCENT_BYTES] = "";

    usd_text(row->counts.value[TKR_COUNTER_COST], usd);
    if (!first) {
        struct tkr_command_report_change change = tkr_command_report_change(row - 1, row, TKR_COUNTER_COST);

        usd_text(change.amount, more);
        percent_text(&change, percent);
    }
    (void)printf(" %20s %20s %9s\n", usd, more, percent);
}

static void print_sum(const struct tkr_command_report_row *row, size_t count)
{
    char usd[USD_BYTES];

    usd_text(tkr_command_report_sum(row, count, TKR_COUNTER_COST), usd);
    (void)printf("  %-10s %20" PRId64 " %12" PRId64 " %20s %9s %20s\n", "all",
                 tkr_command_report_sum(row, count, TKR_COUNTER_TOTAL), tkr_command_report_sum(row, count, TKR_COUNTER_CALLS), "",
                 "", usd);
}

static void print_line(const struct tkr_command_report_row *row, size_t count)
{
    char clean[TKR_COMMAND_CLEAN_BYTES(TKR_ID_BYTES_MAX)];
    char kind[TKR_KIND_NAME_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];

    (void)tkr_command_text_clean(row->id, row->id_len, clean);
    tkr_kind_name(row->kind, kind);
    (void)printf("%s %s", kind, clean);
    if (row->model_len > 0) {
        (void)tkr_command_text_clean(row->model, row->model_len, clean);
        (void)printf(", model %s", clean);
    }
    (void)putchar('\n');
    for (size_t i = 0; i < count; i++) {
        tkr_cycle_format(row[i].cycle, cycle);
        (void)printf("  %-10s %20" PRId64 " %12" PRId64, cycle, row[i].counts.value[TKR_COUNTER_TOTAL],
                     row[i].counts.value[TKR_COUNTER_CALLS]);
        print_change(&row[i], i == 0);
        print_cost(&row[i], i == 0);
    }
    print_sum(row, count);
}

static int print_text(const struct report *report)
{
    size_t line;

    (void)printf("%s\n  %-10s %20s %12s %20s %9s %20s %20s %9s\n", report->sink.text, "cycle", "total tokens", "calls", "change",
                 "%", "cost, USD", "change", "%");
    if (report->rows.count == 0)
        (void)puts("  (no usage in these cycles)");
    for (size_t i = 0; i < report->rows.count; i += line) {
        line = tkr_command_report_line(&report->rows.row[i], report->rows.count - i);
        print_line(&report->rows.row[i], line);
    }
    return tkr_command_end(report->command, TKR_COMMAND_OK);
}

/* --- CSV --- */

static void print_quoted(const char *clean)
{
    (void)putchar('"');
    for (; *clean != '\0'; clean++) {
        if (*clean == '"')
            (void)putchar('"');
        (void)putchar(*clean);
    }
    (void)putchar('"');
}

static void print_csv_change(const struct tkr_command_report_row *row, bool first, enum tkr_counter counter)
{
    char percent[PERCENT_BYTES];
    struct tkr_command_report_change change;

    if (first) {
        (void)printf(",,");
        return;
    }
    change = tkr_command_report_change(row - 1, row, counter);
    percent_text(&change, percent);
    (void)printf(",%" PRId64 ",%s", change.amount, percent);
}

/* As text, and where that is not all of it, in hexadecimal: two columns. */
static void print_csv_name(const char *name, uint32_t len)
{
    char clean[TKR_COMMAND_CLEAN_BYTES(TKR_ID_BYTES_MAX)];
    bool was_clean = tkr_command_text_clean(name, len, clean);

    print_quoted(clean);
    (void)putchar(',');
    for (uint32_t i = 0; i < len && !was_clean; i++)
        (void)printf("%02x", (unsigned)(unsigned char)name[i]);
}

static void print_csv_row(const struct tkr_command_report_row *row, bool first)
{
    char kind[TKR_KIND_NAME_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];

    tkr_kind_name(row->kind, kind);
    tkr_cycle_format(row->cycle, cycle);
    print_csv_name(row->id, row->id_len);
    (void)printf(",%s,", kind);
    if (row->model_len > 0) {
        print_csv_name(row->model, row->model_len);
        (void)putchar(',');
    }
    (void)printf("%s", cycle);
    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        (void)printf(",%" PRId64, row->counts.value[i]);
    print_csv_change(row, first, TKR_COUNTER_TOTAL);
    print_csv_change(row, first, TKR_COUNTER_COST);
    (void)printf("\r\n");
}

static int print_csv(const struct report *report)
{
    const struct tkr_command_report_rows *rows = &report->rows;
    size_t line;

    (void)printf("account,account_hex,kind,%scycle", report->query.by_model ? "model,model_hex," : "");
    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        (void)printf(",%s", tkr_counter_name[i]);
    (void)printf(",change_tokens,change_tokens_percent,change_cost_nano_usd,change_cost_percent\r\n");
    for (size_t i = 0; i < rows->count; i += line) {
        line = tkr_command_report_line(&rows->row[i], rows->count - i);
        for (size_t k = 0; k < line; k++)
            print_csv_row(&rows->row[i + k], k == 0);
    }
    return tkr_command_end(report->command, TKR_COMMAND_OK);
}

/* --- JSON --- */

static void set_change(json_t *object, const char *key, const char *key_percent, const struct tkr_command_report_row *row,
                       bool first, enum tkr_counter counter)
{
    struct tkr_command_report_change change = {.has_percent = false};

    if (!first)
        change = tkr_command_report_change(row - 1, row, counter);
    (void)json_object_set_new(object, key, first ? json_null() : json_integer(change.amount));
    (void)json_object_set_new(object, key_percent, change.has_percent ? json_real(change.percent) : json_null());
}

static json_t *cycle_json(const struct tkr_command_report_row *row, bool first)
{
    char cycle[TKR_CYCLE_TEXT_BYTES];
    json_t *object = json_object();

    tkr_cycle_format(row->cycle, cycle);
    (void)json_object_set_new(object, "cycle", json_string(cycle));
    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        (void)json_object_set_new(object, tkr_counter_name[i], json_integer(row->counts.value[i]));
    set_change(object, "change_tokens", "change_tokens_percent", row, first, TKR_COUNTER_TOTAL);
    set_change(object, "change_cost_nano_usd", "change_cost_percent", row, first, TKR_COUNTER_COST);
    return object;
}

static json_t *line_json(const struct tkr_command_report_row *row, size_t count)
{
    char kind[TKR_KIND_NAME_BYTES];
    json_t *cycles = json_array();
    json_t *total = json_object();
    json_t *object = json_object();

    tkr_kind_name(row->kind, kind);
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(cycles, cycle_json(&row[i], i == 0));
    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        (void)json_object_set_new(total, tkr_counter_name[i],
                                  json_integer(tkr_command_report_sum(row, count, (enum tkr_counter)i)));
    tkr_command_json_set_id(object, "account", row->id, row->id_len);
    (void)json_object_set_new(object, "kind", json_string(kind));
    if (row->model_len > 0)
        tkr_command_json_set_id(object, "model", row->model, row->model_len);
    (void)json_object_set_new(object, "cycles", cycles);
    (void)json_object_set_new(object, "total", total);
    return object;
}

static int print_json(const struct report *report)
{
    const struct tkr_command_report_rows *rows = &report->rows;
    json_t *accounts = json_array();
    size_t line;

    for (size_t i = 0; i < rows->count; i += line) {
        line = tkr_command_report_line(&rows->row[i], rows->count - i);
        (void)json_array_append_new(accounts, line_json(&rows->row[i], line));
    }
    return tkr_command_json_print(report->command, json_pack("{s:s, s:o}", "sink", report->sink.text, "accounts", accounts));
}

static int print(const struct report *report)
{
    int printed = report->json ? print_json(report) : report->csv ? print_csv(report) : print_text(report);

    if (printed == TKR_COMMAND_OK && report->query.id != NULL && report->rows.count == 0)
        return tkr_command_failed(report->command, "%.200s: there is nothing about this account in these cycles",
                                  report->query.id);
    return printed;
}

static int run(struct report *report)
{
    struct tkr_sink_config config;
    tkr_message message = {""};
    tkr_sink *sink = NULL;
    int result = -1;

    if (tkr_sink_config_read(&config, &message) == 0 && tkr_sink_open(&config, &sink, &message) == 0) {
        tkr_sink_describe(&config, &report->sink);
        result = tkr_command_report_read(&report->rows, sink, &report->query, report->from, report->to, &message);
        sink->ops->close(sink);
    }
    result = result == 0 ? print(report) : tkr_command_failed(report->command, "%s", message.text);
    tkr_command_report_free(&report->rows);
    return result;
}

static int check(struct report *report, int count, char **operand)
{
    if (report->from == 0 || report->to == 0)
        return tkr_command_wrong(report->command, "--from and --to are needed: dates YYYY-MM-DD");
    if (report->from > report->to)
        return tkr_command_wrong(report->command, "--to: allowed is a cycle that is not before --from");
    if (report->json && report->csv)
        return tkr_command_wrong(report->command, "--json and --csv: one of them is allowed");
    if (count > 1)
        return tkr_command_wrong(report->command, "%s: one ACCOUNT is allowed", operand[1]);
    return count == 0 ? 0 : tkr_command_query_account(report->command, operand[0], &report->query);
}

int tkr_command_report(int argc, char **argv)
{
    struct report report = {.command = argv[0], .query = {.any_kind = 1}};
    int exit_code = tkr_command_parse(argc, argv, options, help, take_option, &report);

    if (exit_code != -1)
        return exit_code;
    return check(&report, argc - optind, argv + optind) == 0 ? run(&report) : TKR_COMMAND_WRONG;
}
