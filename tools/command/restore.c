/* SPDX-License-Identifier: Apache-2.0 */
/* tokenring restore: brings back from a backup what the sink lost. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backup/restore.h"
#include "command/command.h"
#include "command/holdings.h"
#include "command/query.h"

enum { OPTION_DRY_RUN = TKR_COMMAND_OPTION_FIRST, OPTION_ANYWAY, OPTION_ACCOUNT, OPTION_KIND };

static const char help[] =
    "tokenring restore FILE [OPTION]...\n\n"
    "Brings back from a backup, FILE or, for -, standard input, what the sink lost, while collectors and gateways work: what\n"
    "collectors have sent again by themselves is not added once more, nor what they send later. The file is read to its end\n"
    "before anything is done. May be killed at any point and run again: each account is restored once and whole.\n\n"
    "It is refused where nothing was lost, where another backup was restored, and in a sink with another data set of before.\n"
    "Accounts are left alone, and named, in which something is that the restore cannot account for: see the README.\n\n"
    "Options:\n"
    "  --dry-run          print what would be done to each account; change nothing\n"
    "  --anyway           add also to accounts in which something is that no record explains: nothing of it is in the backup,\n"
    "                     say because other programs wrote it since the loss\n"
    "  --account ACCOUNT  only this one, all its cycles; may be combined with --anyway\n"
    "  --kind KIND        its kind: user (default), team, organisation, key or another name of 1 to 12 letters a-z or '_'\n"
    "  --json             print one JSON object\n"
    "  --help             this text\n\n"
    "Where to: TOKENRING_SINK (redis or sqlite), REDIS_URL, REDIS_SOCKET, REDIS_HOST, REDIS_PORT, REDIS_USERNAME,\n"
    "REDIS_PASSWORD, REDIS_DB; TOKENRING_LEDGER, TOKENRING_STATE_DIR.\n\n" TKR_COMMAND_EXIT_HELP
    "1 also says that accounts were left alone.\n";

static const struct option options[] = {{"dry-run", no_argument, NULL, OPTION_DRY_RUN},
                                        {"anyway", no_argument, NULL, OPTION_ANYWAY},
                                        {"account", required_argument, NULL, OPTION_ACCOUNT},
                                        {"kind", required_argument, NULL, OPTION_KIND},
                                        {"json", no_argument, NULL, TKR_COMMAND_OPTION_JSON},
                                        TKR_COMMAND_OPTION_HELP,
                                        {NULL, 0, NULL, 0}};

struct restore {
    const char *command;
    struct tkr_backup_restore_options wanted;
    struct tkr_usage_query query; /* for its account and kind */
    bool kind_given;
    struct tkr_command_named left;
    bool json;
};

static int take_option(void *arg, int option)
{
    struct restore *restore = arg;

    switch (option) {
    case OPTION_DRY_RUN:
        restore->wanted.dry_run = true;
        return 0;
    case OPTION_ANYWAY:
        restore->wanted.anyway = true;
        return 0;
    case OPTION_ACCOUNT:
        return tkr_command_query_account(restore->command, optarg, &restore->query);
    case OPTION_KIND:
        restore->kind_given = true;
        return tkr_command_query_kind(restore->command, optarg, &restore->query);
    case TKR_COMMAND_OPTION_JSON:
        restore->json = true;
        return 0;
    default:
        return TKR_COMMAND_WRONG; /* told by tkr_command_option */
    }
}

/* In a dry run, a line for each account. */
static void print_account(const struct tkr_holdings *account, const struct tkr_restored *restored)
{
    char text[TKR_COMMAND_ACCOUNT_BYTES];

    tkr_command_account_text(account, text);
    if (restored->verdict == TKR_RESTORE_BEFORE)
        (void)printf("%s: restored before\n", text);
    else if (restored->verdict == TKR_RESTORE_FORGOTTEN)
        (void)printf("%s: forgotten since; not restored\n", text);
    else if (account->cycle == 0)
        (void)printf("%s: %s\n", text, restored->limit ? "to be set" : "one is there");
    else
        (void)printf("%s: to add: %" PRId64 " tokens, %" PRId64 " calls; records: %" PRIu32 "%s\n", text,
                     restored->added.value[TKR_COUNTER_TOTAL], restored->added.value[TKR_COUNTER_CALLS], restored->records,
                     restored->limit ? "; limit to be set" : "");
}

static void tell(const struct tkr_holdings *account, const struct tkr_restored *restored, void *arg)
{
    struct restore *restore = arg;

    if (restored->verdict == TKR_RESTORE_LEFT)
        tkr_command_name_account(&restore->left, account, "left alone", restored->why);
    else if (restore->wanted.dry_run && !restore->json)
        print_account(account, restored);
}

static json_t *to_json(const struct restore *restore, const struct tkr_backup_restore_report *report)
{
    json_t *added = json_object();

    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        (void)json_object_set_new(added, tkr_counter_name[i], json_integer(report->added.value[i]));
    return json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:O}", "backup", report->head.backup, "dataset",
                     report->head.dataset, "dry_run", (int)restore->wanted.dry_run, "restored", (json_int_t)report->restored,
                     "restored_before", (json_int_t)report->before, "forgotten", (json_int_t)report->forgotten, "left_alone",
                     (json_int_t)report->left, "records", (json_int_t)report->records, "limits", (json_int_t)report->limits,
                     "left_out_of_backup", (json_int_t)report->end.left_out, "added", added, "left_alone_accounts",
                     restore->left.list);
}

static void print(const struct restore *restore, const struct tkr_backup_restore_report *report)
{
    (void)printf(
        "%s%" PRIu64 " accounts and cycles, %" PRId64 " tokens and %" PRId64 " calls added, %" PRIu64 " records, %" PRIu64
        " limits; restored before: %" PRIu64 ", forgotten since: %" PRIu64 ", left alone: %" PRIu64 "\n",
        restore->wanted.dry_run ? "would be restored: " : "restored: ", report->restored, report->added.value[TKR_COUNTER_TOTAL],
        report->added.value[TKR_COUNTER_CALLS], report->records, report->limits, report->before, report->forgotten, report->left);
    if (report->end.left_out > 0)
        (void)tkr_command_failed(restore->command,
                                 "accounts and limits that could not be read when the backup was made: %" PRIu64,
                                 report->end.left_out);
}

static int run(struct restore *restore)
{
    struct tkr_backup_restore_report report;
    struct tkr_sink_config config;
    tkr_message message = {""};
    int result;

    if (tkr_sink_config_read(&config, &message) != 0)
        return tkr_command_failed(restore->command, "%s", message.text);
    result = tkr_backup_restore(&restore->wanted, &config, &report, &message);
    tkr_command_name_rest(&restore->left);
    if (result != 0)
        return tkr_command_failed(restore->command, "%s", message.text);
    result = TKR_COMMAND_OK;
    if (restore->json)
        result = tkr_command_json_print(restore->command, to_json(restore, &report));
    else
        print(restore, &report);
    return tkr_command_end(restore->command, report.left > 0 ? TKR_COMMAND_FAILED : result);
}

int tkr_command_restore(int argc, char **argv)
{
    struct restore restore = {.command = argv[0], .query = {.kind = TKR_KIND_USER}, .left = {.command = argv[0]}};
    int exit_code = tkr_command_parse(argc, argv, options, help, take_option, &restore);

    if (exit_code != -1)
        return exit_code;
    if (argc - optind != 1 || argv[optind][0] == '\0')
        return tkr_command_wrong(argv[0], "one FILE is needed, or - for standard input; see 'tokenring restore --help'");
    if (restore.kind_given && restore.query.id == NULL)
        return tkr_command_wrong(argv[0], "--kind is of an account: --account is needed too");
    restore.wanted.path = argv[optind];
    restore.wanted.id = restore.query.id;
    restore.wanted.id_len = restore.query.id_len;
    restore.wanted.kind = restore.query.kind;
    restore.wanted.tell = tell;
    restore.wanted.arg = &restore;
    restore.left.list = restore.json ? json_array() : NULL;
    exit_code = run(&restore);
    json_decref(restore.left.list); /* takes NULL */
    return exit_code;
}
