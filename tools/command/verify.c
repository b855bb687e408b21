/* SPDX-License-Identifier: Apache-2.0 */
/* tokenring verify: the shards' contributions against the sink's records, and the law. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "collector/balance.h"
#include "collector/verify.h"
#include "command/command.h"
#include "command/query.h"
#include "command/verify_missing.h"
#include "region/guard.h"

enum { OPTION_REPAIR = TKR_COMMAND_OPTION_FIRST, OPTION_KIND, OPTION_CYCLE };

static const char help[] =
    "tokenring verify [ACCOUNT] [OPTION]...\n\n"
    "Compares all that this host's collector has counted, or what it counted of ACCOUNT, with the records that the sink\n"
    "keeps of it, checks the law, and says so in one line. It proves records, not totals: a reset, or another program\n"
    "that writes the same keys, is no fault. What is on its way to the sink is no fault either. May run beside the\n"
    "collector. Each model of an account and cycle counts as an account here.\n\n"
    "A record that is missing (somebody deleted it) is named on standard error, with what is known: the account's total,\n"
    "less the records that are there, either is what the sink had acknowledged of those of this host that are missing,\n"
    "or 0, or anything else.\n"
    "Then the total has it, or lacks it, or it is unknown: programs that add without records, resets, older lives of a\n"
    "host and `tokenring gc` change totals, too.\n\n"
    "Options:\n"
    "  --repair           repair missing records: where the total has what the record stood for, it is written anew and\n"
    "                     nothing is added; where the total lacks it, it is added; what is unknown is left as it is.\n"
    "                     Nothing is subtracted or added twice. Where no collector runs, send what is not flushed, too\n"
    "  --repair=record    the same; and where it is unknown, the total has what was acknowledged: write the record of that,\n"
    "                     add only what was counted since. What the total lacks stays lost\n"
    "  --repair=unexplained  the same; and where it is unknown, nobody else wrote what other records do not explain: write\n"
    "                     the record of that, add what lacks to what was counted. Left as it is where that cannot be\n"
    "  --repair=resend    the same; and where it is unknown, the total lacks it: add it all. What the total has of it is\n"
    "                     then there twice\n"
    "  --kind KIND        only accounts of this kind; default all\n"
    "  --cycle CYCLE      YYYY-MM-DD, a cycle's first day; or all (default)\n" TKR_COMMAND_LOOK_HELP
    "  --json             print one JSON object\n"
    "  --help             this text\n\n" TKR_COMMAND_EXIT_HELP
    "1 says that a record is missing and was not repaired, is ahead of what was counted, or cannot be written, or that the\n"
    "law does not hold.\n";

static const struct option options[] = {{"repair", optional_argument, NULL, OPTION_REPAIR},
                                        {"kind", required_argument, NULL, OPTION_KIND},
                                        {"cycle", required_argument, NULL, OPTION_CYCLE},
                                        TKR_COMMAND_LOOK_OPTIONS,
                                        TKR_COMMAND_OPTION_HELP,
                                        {NULL, 0, NULL, 0}};

struct wanted {
    const char *command;
    struct tkr_command_look look;
    struct tkr_verify_options verify;
};

static int print_json(const char *command, const struct tkr_verify_report *report, bool law, json_t *missing)
{
    json_t *object =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "shards", (json_int_t)report->shards, "accounts",
                  (json_int_t)report->accounts, "agree", (json_int_t)report->agree, "unflushed", (json_int_t)report->unflushed,
                  "missing", (json_int_t)report->missing, "undecided", (json_int_t)report->undecided, "forgotten",
                  (json_int_t)report->forgotten, "ahead", (json_int_t)report->ahead, "poison", (json_int_t)report->poison,
                  "repaired", (json_int_t)report->repaired, "law_holds", (int)law);

    if (object == NULL || json_object_set(object, "missing_records", missing) != 0) {
        json_decref(object);
        object = NULL;
    }
    return tkr_command_json_print(command, object);
}

static void print_line(const struct tkr_verify_report *report, const char *sink, bool law)
{
    (void)printf("%" PRIu64 " accounts, %u shard%s, %s: %" PRIu64 " agree, %" PRIu64 " not flushed yet, %" PRIu64
                 " missing, %" PRIu64 " forgotten, %" PRIu64 " ahead, %" PRIu64 " unwritable, %" PRIu64 " repaired; ",
                 report->accounts, report->shards, report->shards == 1 ? "" : "s", sink, report->agree, report->unflushed,
                 report->missing, report->forgotten, report->ahead, report->poison, report->repaired);
    if (report->undecided > 0)
        (void)printf("%" PRIu64 " of the missing left as they are; ", report->undecided);
    (void)printf("the law %s\n", law ? "holds" : "DOES NOT HOLD");
}

static int print_report(const struct wanted *wanted, const struct tkr_verify_report *report, const char *sink, bool law,
                        const struct tkr_command_missing *missing)
{
    bool good = law && report->ahead == 0 && report->poison == 0 && report->left == 0;

    if (wanted->look.json && print_json(wanted->command, report, law, missing->list) != TKR_COMMAND_OK)
        return TKR_COMMAND_FAILED;
    tkr_command_missing_rest(missing);
    if (!wanted->look.json)
        print_line(report, sink, law);
    return tkr_command_end(wanted->command, good ? TKR_COMMAND_OK : TKR_COMMAND_FAILED);
}

static int verify(struct wanted *wanted)
{
    struct tkr_command_missing missing = {.command = wanted->command, .repair = wanted->verify.repair};
    struct tkr_sink_config config;
    struct tkr_verify_report report;
    struct tkr_host_balance balance;
    tkr_message message = {""};
    tkr_message sink;
    int result;
    bool law;

    if (!tkr_guard_install() || tkr_sink_config_read(&config, &message) != 0 ||
        tkr_balance_read(wanted->look.runtime_dir, &balance, &message) != 0)
        return tkr_command_failed(wanted->command, "%s", message.text);
    law = tkr_balance_holds(&balance.host);
    tkr_balance_free(&balance);
    tkr_sink_describe(&config, &sink);
    missing.list = wanted->look.json ? json_array() : NULL;
    wanted->verify.runtime_dir = wanted->look.runtime_dir;
    wanted->verify.tell = tkr_command_missing_tell;
    wanted->verify.arg = &missing;
    if (tkr_verify(&wanted->verify, &config, &report, &message) != 0)
        result = tkr_command_failed(wanted->command, "%s", message.text);
    else
        result = print_report(wanted, &report, sink.text, law, &missing);
    json_decref(missing.list);
    return result;
}

static int take_repair(struct wanted *wanted)
{
    wanted->verify.repair = true;
    if (optarg == NULL)
        wanted->verify.choice = TKR_REPAIR_REFUSE;
    else if (strcmp(optarg, "record") == 0)
        wanted->verify.choice = TKR_REPAIR_RECORD;
    else if (strcmp(optarg, "unexplained") == 0)
        wanted->verify.choice = TKR_REPAIR_UNEXPLAINED;
    else if (strcmp(optarg, "resend") == 0)
        wanted->verify.choice = TKR_REPAIR_RESEND;
    else
        return tkr_command_wrong(wanted->command, "--repair=%.40s: allowed are record, unexplained and resend, or --repair alone",
                                 optarg);
    return 0;
}

static int take_option(void *arg, int option)
{
    struct wanted *wanted = arg;

    switch (option) {
    case OPTION_REPAIR:
        return take_repair(wanted);
    case OPTION_KIND:
        return tkr_command_query_kind(wanted->command, optarg, &wanted->verify.query);
    case OPTION_CYCLE:
        return tkr_command_query_cycle(wanted->command, optarg, &wanted->verify.query);
    default:
        return tkr_command_look_option(&wanted->look, option);
    }
}

int tkr_command_verify(int argc, char **argv)
{
    struct wanted wanted = {.command = argv[0], .verify = {.query = {.any_kind = 1}}};
    int exit_code = tkr_command_parse(argc, argv, options, help, take_option, &wanted);

    if (exit_code != -1)
        return exit_code;
    if (argc - optind > 1)
        return tkr_command_wrong(argv[0], "%.40s: one ACCOUNT is allowed", argv[optind + 1]);
    if (argc > optind && tkr_command_query_account(argv[0], argv[optind], &wanted.verify.query) != 0)
        return TKR_COMMAND_WRONG;
    return verify(&wanted);
}
