/* SPDX-License-Identifier: Apache-2.0 */
/* tokenring verify: the shards' contributions against the sink's records, and the law. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "collector/balance.h"
#include "collector/verify.h"
#include "command/command.h"
#include "region/guard.h"

enum { OPTION_REPAIR = TKR_COMMAND_OPTION_FIRST };

static const char help[] =
    "tokenring verify [OPTION]...\n\n"
    "Compares all that this host's collector has counted with the records that the sink keeps of it, checks the law, and\n"
    "says so in one line. It proves records, not totals: a reset, or another program that writes the same keys, is no fault.\n"
    "What is on its way to the sink is no fault either. May run beside the collector. Each model of an account and cycle counts\n"
    "as an account here.\n\n"
    "Options:\n"
    "  --repair           send again what the sink lacks; nothing is ever subtracted or added twice\n" TKR_COMMAND_LOOK_HELP
    "  --json             print one JSON object\n"
    "  --help             this text\n\n" TKR_COMMAND_EXIT_HELP
    "1 says that a record is missing, ahead of what was counted, or cannot be written, or that the law does not hold.\n";

static const struct option options[] = {
    {"repair", no_argument, NULL, OPTION_REPAIR}, TKR_COMMAND_LOOK_OPTIONS, TKR_COMMAND_OPTION_HELP, {NULL, 0, NULL, 0}};

struct wanted {
    struct tkr_command_look look;
    bool repair;
};

static int print_json(const char *command, const struct tkr_verify_report *report, bool law)
{
    return tkr_command_json_print(
        command, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "shards", (json_int_t)report->shards, "accounts",
                           (json_int_t)report->accounts, "agree", (json_int_t)report->agree, "unflushed",
                           (json_int_t)report->unflushed, "missing", (json_int_t)report->missing, "forgotten",
                           (json_int_t)report->forgotten, "ahead", (json_int_t)report->ahead, "poison",
                           (json_int_t)report->poison, "repaired", (json_int_t)report->repaired, "law_holds", (int)law));
}

static void print_line(const struct tkr_verify_report *report, const char *sink, bool law)
{
    (void)printf("%" PRIu64 " accounts, %u shard%s, %s: %" PRIu64 " agree, %" PRIu64 " not flushed yet, %" PRIu64
                 " missing, %" PRIu64 " forgotten, %" PRIu64 " ahead, %" PRIu64 " unwritable, %" PRIu64 " repaired; the law %s\n",
                 report->accounts, report->shards, report->shards == 1 ? "" : "s", sink, report->agree, report->unflushed,
                 report->missing, report->forgotten, report->ahead, report->poison, report->repaired,
                 law ? "holds" : "DOES NOT HOLD");
}

static int verify(const char *command, const struct wanted *wanted)
{
    struct tkr_sink_config config;
    struct tkr_verify_report report;
    struct tkr_host_balance balance;
    tkr_message message = {""};
    tkr_message sink;
    bool law;
    bool good;

    if (!tkr_guard_install() || tkr_sink_config_read(&config, &message) != 0 ||
        tkr_balance_read(wanted->look.runtime_dir, &balance, &message) != 0)
        return tkr_command_failed(command, "%s", message.text);
    law = tkr_balance_holds(&balance.host);
    tkr_balance_free(&balance);
    if (tkr_verify(wanted->look.runtime_dir, &config, wanted->repair, &report, &message) != 0)
        return tkr_command_failed(command, "%s", message.text);
    tkr_sink_describe(&config, &sink);
    if (wanted->look.json && print_json(command, &report, law) != TKR_COMMAND_OK)
        return TKR_COMMAND_FAILED;
    if (!wanted->look.json)
        print_line(&report, sink.text, law);
    good = law && report.ahead == 0 && report.poison == 0 && (report.missing == 0 || report.repaired >= report.missing);
    return tkr_command_end(command, good ? TKR_COMMAND_OK : TKR_COMMAND_FAILED);
}

static int take_option(void *arg, int option)
{
    struct wanted *wanted = arg;

    if (option != OPTION_REPAIR)
        return tkr_command_look_option(&wanted->look, option);
    wanted->repair = true;
    return 0;
}

int tkr_command_verify(int argc, char **argv)
{
    struct wanted wanted = {.repair = false};
    int exit_code = tkr_command_parse(argc, argv, options, help, take_option, &wanted);

    if (exit_code != -1)
        return exit_code;
    return tkr_command_no_operand(argc, argv) == 0 ? verify(argv[0], &wanted) : TKR_COMMAND_WRONG;
}
