/* SPDX-License-Identifier: Apache-2.0 */
/* tokenring backup: writes all that the sink has into a file. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backup/backup.h"
#include "command/command.h"
#include "command/holdings.h"

#define DEADLINE_S 3600

enum { OPTION_DEADLINE = TKR_COMMAND_OPTION_FIRST };

static const char help[] =
    "tokenring backup FILE [OPTION]...\n\n"
    "Writes all that the sink has into FILE, or, for -, to standard output: of each account and billing cycle the records of\n"
    "collectors, by model too, what of its totals no record explains, and limits. May be run while collectors work: each\n"
    "account is as it was at one moment. FILE has its name when it is whole; what it held before is kept until then. A\n"
    "backup of another data set, which the sink has lost since, is not replaced: restore it first, or move it away.\n\n"
    "Options:\n"
    "  --deadline SECONDS  give up after so long, 1..604800; default 3600. Redis is left nine tenths of its time\n"
    "  --json              print one JSON object, on standard error for FILE -\n"
    "  --help              this text\n\n"
    "What is backed up: TOKENRING_SINK (redis or sqlite), REDIS_URL, REDIS_SOCKET, REDIS_HOST, REDIS_PORT, REDIS_USERNAME,\n"
    "REDIS_PASSWORD, REDIS_DB; TOKENRING_LEDGER, TOKENRING_STATE_DIR.\n\n" TKR_COMMAND_EXIT_HELP
    "1 also says that accounts had to be left out, which are named: the backup is made all the same.\n";

static const struct option options[] = {{"deadline", required_argument, NULL, OPTION_DEADLINE},
                                        {"json", no_argument, NULL, TKR_COMMAND_OPTION_JSON},
                                        TKR_COMMAND_OPTION_HELP,
                                        {NULL, 0, NULL, 0}};

struct backup {
    const char *command;
    struct tkr_backup_options wanted;
    struct tkr_command_named left_out;
    bool json;
};

static int take_option(void *arg, int option)
{
    struct backup *backup = arg;

    switch (option) {
    case OPTION_DEADLINE:
        return tkr_command_integer(backup->command, "deadline", optarg, 1, 604800, &backup->wanted.deadline_s);
    case TKR_COMMAND_OPTION_JSON:
        backup->json = true;
        return 0;
    default:
        return TKR_COMMAND_WRONG; /* told by tkr_command_option */
    }
}

static void left_out(const struct tkr_holdings *holdings, const char *why, void *arg)
{
    struct backup *backup = arg;

    tkr_command_name_account(&backup->left_out, holdings, "left out", why);
}

static int print_json(const struct backup *backup, const struct tkr_backup_report *report, FILE *stream)
{
    json_t *object = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:O}", "file", backup->wanted.path, "backup",
                               report->head.backup, "dataset", report->head.dataset, "accounts", (json_int_t)report->end.accounts,
                               "limits", (json_int_t)report->end.limits, "sources", (json_int_t)report->end.sources, "bytes",
                               (json_int_t)report->bytes, "other_fields", (json_int_t)report->foreign, "left_out",
                               (json_int_t)report->end.left_out, "left_out_accounts", backup->left_out.list);
    bool written = object != NULL && json_dumpf(object, stream, JSON_COMPACT) == 0 && fputc('\n', stream) != EOF;

    json_decref(object);
    return written ? TKR_COMMAND_OK
                   : tkr_command_failed(backup->command, "the JSON could not be written: there is no memory or no room");
}

static void print_text(const struct backup *backup, const struct tkr_backup_report *report, FILE *stream)
{
    (void)fprintf(stream,
                  "backup %s of data set %s: %" PRIu64 " accounts and cycles, %" PRIu64 " standing limits, %" PRIu64
                  " sources, %" PRIu64 " bytes; left out: %" PRIu64 "\n",
                  report->head.backup, report->head.dataset, report->end.accounts, report->end.limits, report->end.sources,
                  report->bytes, report->end.left_out);
    if (report->foreign > 0)
        (void)tkr_command_failed(backup->command, "fields that tokenring does not know, and which are not in it: %" PRIu64,
                                 report->foreign);
}

static int run(struct backup *backup)
{
    bool standard = strcmp(backup->wanted.path, "-") == 0;
    FILE *stream = standard ? stderr : stdout;
    struct tkr_backup_report report;
    struct tkr_sink_config config;
    tkr_message message = {""};
    int result = TKR_COMMAND_OK;

    if (tkr_sink_config_read(&config, &message) != 0 || tkr_backup_make(&backup->wanted, &config, &report, &message) != 0)
        return tkr_command_failed(backup->command, "%s", message.text);
    tkr_command_name_rest(&backup->left_out);
    if (backup->json)
        result = print_json(backup, &report, stream);
    else
        print_text(backup, &report, stream);
    return tkr_command_end(backup->command, report.end.left_out > 0 ? TKR_COMMAND_FAILED : result);
}

int tkr_command_backup(int argc, char **argv)
{
    struct backup backup = {
        .command = argv[0], .wanted = {.deadline_s = DEADLINE_S, .left_out = left_out}, .left_out = {.command = argv[0]}};
    int exit_code = tkr_command_parse(argc, argv, options, help, take_option, &backup);

    if (exit_code != -1)
        return exit_code;
    if (argc - optind != 1 || argv[optind][0] == '\0')
        return tkr_command_wrong(argv[0], "one FILE is needed, or - for standard output; see 'tokenring backup --help'");
    backup.wanted.path = argv[optind];
    backup.wanted.arg = &backup;
    backup.left_out.list = backup.json ? json_array() : NULL;
    exit_code = run(&backup);
    json_decref(backup.left_out.list); /* takes NULL */
    return exit_code;
}
