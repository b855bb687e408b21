/* SPDX-License-Identifier: Apache-2.0 */
/* tokenring forget: erases every trace of an account in the sink. */
#include <inttypes.h>
#include <stdio.h>

#include "base/account.h"
#include "command/command.h"
#include "command/confirm.h"
#include "command/query.h"
#include "command/text.h"
#include "tokenring/tokenring.h"

enum { OPTION_KIND = TKR_COMMAND_OPTION_FIRST, OPTION_YES };

static const char help[] =
    "tokenring forget ACCOUNT [OPTION]...\n\n"
    "Erases every trace of an account in the sink: totals of all cycles, records, limits. May be run while collectors work:\n"
    "what was erased does not come back, what is counted and not flushed yet counts for a new total. For a year the sink\n"
    "keeps a digest of each cycle that was erased, which tells collectors so. What the log has said of it, and a sink's\n"
    "backups, are out of reach.\n\n"
    "Options:\n"
    "  --kind KIND        user (default), team, organisation, key or another name of 1 to 12 letters a-z or "
    "'_'\n" TKR_COMMAND_YES_HELP "  --json             print one JSON object: account, kind, cycles (how many were erased)\n"
    "  --help             this text\n\n"
    "Where the totals are: TOKENRING_SINK (redis or sqlite), REDIS_URL, REDIS_SOCKET, REDIS_HOST, REDIS_PORT,\n"
    "REDIS_USERNAME, REDIS_PASSWORD, REDIS_DB; TOKENRING_LEDGER, TOKENRING_STATE_DIR.\n\n" TKR_COMMAND_EXIT_HELP
    "1 also says that there is nothing about this account.\n";

static const struct option options[] = {{"kind", required_argument, NULL, OPTION_KIND},
                                        TKR_COMMAND_OPTION_YES(OPTION_YES),
                                        {"json", no_argument, NULL, TKR_COMMAND_OPTION_JSON},
                                        TKR_COMMAND_OPTION_HELP,
                                        {NULL, 0, NULL, 0}};

struct forget {
    const char *command;
    struct tkr_usage_query query;
    bool yes;
    bool json;
};

static int take_option(void *arg, int option)
{
    struct forget *forget = arg;

    switch (option) {
    case OPTION_KIND:
        return tkr_command_query_kind(forget->command, optarg, &forget->query);
    case OPTION_YES:
        forget->yes = true;
        return 0;
    case TKR_COMMAND_OPTION_JSON:
        forget->json = true;
        return 0;
    default:
        return TKR_COMMAND_WRONG; /* told by tkr_command_option */
    }
}

static int ask(const struct forget *forget)
{
    char clean[TKR_COMMAND_CLEAN_BYTES(TKR_ID_BYTES_MAX)];
    char kind[TKR_KIND_NAME_BYTES];
    tkr_message what;

    tkr_kind_name(forget->query.kind, kind);
    (void)tkr_command_text_clean(forget->query.id, forget->query.id_len, clean);
    (void)tkr_message_set(&what, "erase every trace of %s %.150s", kind, clean);
    return tkr_command_confirm(forget->command, forget->yes, what.text);
}

static int print(const struct forget *forget, uint32_t cycles)
{
    char kind[TKR_KIND_NAME_BYTES];
    json_t *object;

    tkr_kind_name(forget->query.kind, kind);
    if (!forget->json) {
        (void)printf("erased, cycles with totals or records: %" PRIu32 "\n", cycles);
        return tkr_command_end(forget->command, TKR_COMMAND_OK);
    }
    object = json_object();
    tkr_command_json_set_id(object, "account", forget->query.id, forget->query.id_len);
    (void)json_object_set_new(object, "kind", json_string(kind));
    (void)json_object_set_new(object, "cycles", json_integer(cycles));
    return tkr_command_json_print(forget->command, object);
}

static int run(const struct forget *forget)
{
    const struct tkr_usage_row account = {.kind = forget->query.kind, .id = forget->query.id, .id_len = forget->query.id_len};
    struct tkr_sink_config config;
    tkr_message message = {""};
    tkr_sink *sink = NULL;
    uint32_t cycles = 0;
    int result = -1;

    if (tkr_sink_config_read(&config, &message) == 0 && tkr_sink_open(&config, &sink, &message) == 0)
        result = sink->ops->forget(sink, &account, &cycles, &message);
    if (sink != NULL)
        sink->ops->close(sink);
    if (result == 1)
        return tkr_command_failed(forget->command, "%.200s: there is nothing about this account", forget->query.id);
    return result == 0 ? print(forget, cycles) : tkr_command_failed(forget->command, "%s", message.text);
}

int tkr_command_forget(int argc, char **argv)
{
    struct forget forget = {.command = argv[0], .query = {.kind = TKR_KIND_USER}};
    int exit_code = tkr_command_parse(argc, argv, options, help, take_option, &forget);

    if (exit_code != -1)
        return exit_code;
    if (argc - optind != 1)
        return tkr_command_wrong(argv[0], "one ACCOUNT is needed; see 'tokenring forget --help'");
    if (tkr_command_query_account(argv[0], argv[optind], &forget.query) != 0)
        return TKR_COMMAND_WRONG;
    exit_code = ask(&forget);
    return exit_code == TKR_COMMAND_OK ? run(&forget) : exit_code;
}
