/* SPDX-License-Identifier: Apache-2.0 */
/* tokenring reset: starts the totals of an account's cycle, or of all its cycles, from zero. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/account.h"
#include "base/cycle.h"
#include "command/command.h"
#include "command/confirm.h"
#include "command/query.h"
#include "command/text.h"
#include "tokenring/tokenring.h"

enum { OPTION_KIND = TKR_COMMAND_OPTION_FIRST, OPTION_CYCLE, OPTION_LIMITS, OPTION_YES };

static const char help[] =
    "tokenring reset ACCOUNT --cycle CYCLE [OPTION]...\n\n"
    "Starts the totals of an account and billing cycle from zero, and prints what they were. May be run while collectors work:\n"
    "nothing that was counted comes back; what is counted and not flushed yet counts for the new total. In Redis the counters\n"
    "leave the account's hash, in SQLite a negative row is added, nothing is deleted. The totals of its models start from\n"
    "zero too. The limit of a cycle stays.\n\n"
    "Options:\n"
    "  --cycle CYCLE      YYYY-MM-DD, a cycle's first day; or all\n"
    "  --kind KIND        user (default), team, organisation, key or another name of 1 to 12 letters a-z or '_'\n"
    "  --limits           clear the limits of these cycles too; a standing limit stays\n" TKR_COMMAND_YES_HELP
    "  --json             print one JSON object: account, kind, cycles with what the totals were\n"
    "  --help             this text\n\n"
    "Where the totals are: TOKENRING_SINK (redis or sqlite), REDIS_URL, REDIS_SOCKET, REDIS_HOST, REDIS_PORT,\n"
    "REDIS_USERNAME, REDIS_PASSWORD, REDIS_DB; TOKENRING_LEDGER, TOKENRING_STATE_DIR.\n\n" TKR_COMMAND_EXIT_HELP
    "1 also says that there is nothing about this account.\n";

static const struct option options[] = {{"cycle", required_argument, NULL, OPTION_CYCLE},
                                        {"kind", required_argument, NULL, OPTION_KIND},
                                        {"limits", no_argument, NULL, OPTION_LIMITS},
                                        TKR_COMMAND_OPTION_YES(OPTION_YES),
                                        {"json", no_argument, NULL, TKR_COMMAND_OPTION_JSON},
                                        TKR_COMMAND_OPTION_HELP,
                                        {NULL, 0, NULL, 0}};

struct reset {
    const char *command;
    struct tkr_usage_query query;
    bool cycle_given;
    bool limits;
    bool yes;
    bool json;
    uint32_t *cycle; /* those that the sink has */
    size_t count;
    size_t room;
    json_t *done; /* NULL: text is printed */
};

static int take_option(void *arg, int option)
{
    struct reset *reset = arg;

    switch (option) {
    case OPTION_CYCLE:
        reset->cycle_given = true;
        return tkr_command_query_cycle(reset->command, optarg, &reset->query);
    case OPTION_KIND:
        return tkr_command_query_kind(reset->command, optarg, &reset->query);
    case OPTION_LIMITS:
        reset->limits = true;
        return 0;
    case OPTION_YES:
        reset->yes = true;
        return 0;
    case TKR_COMMAND_OPTION_JSON:
        reset->json = true;
        return 0;
    default:
        return TKR_COMMAND_WRONG; /* told by tkr_command_option */
    }
}

static int take_row(const struct tkr_usage_row *row, void *arg)
{
    struct reset *reset = arg;

    if (reset->count == reset->room) {
        uint32_t *grown = realloc(reset->cycle, (2 * reset->room + 16) * sizeof(*grown));
        if (grown == NULL)
            return 1;
        reset->cycle = grown;
        reset->room = 2 * reset->room + 16;
    }
    reset->cycle[reset->count++] = row->cycle;
    return 0;
}

/* A cycle that has a limit and perhaps no totals. */
static int take_limit(const struct tkr_usage_row *row, void *arg)
{
    const struct reset *reset = arg;
    const struct tkr_usage_query *query = &reset->query;

    if (row->cycle == 0 || (query->cycle != 0 && row->cycle != query->cycle) || row->kind != query->kind ||
        row->id_len != query->id_len || memcmp(row->id, query->id, row->id_len) != 0)
        return 0;
    for (size_t i = 0; i < reset->count; i++) {
        if (reset->cycle[i] == row->cycle)
            return 0;
    }
    return take_row(row, arg);
}

static void tell(struct reset *reset, uint32_t cycle, const tkr_counts *before)
{
    char text[TKR_CYCLE_TEXT_BYTES];
    json_t *object;

    tkr_cycle_format(cycle, text);
    if (reset->done == NULL) {
        (void)printf("%s: %" PRId64 " tokens, %" PRId64 " calls; now 0\n", text, before->value[TKR_COUNTER_TOTAL],
                     before->value[TKR_COUNTER_CALLS]);
        return;
    }
    object = json_object();
    (void)json_object_set_new(object, "cycle", json_string(text));
    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        (void)json_object_set_new(object, tkr_counter_name[i], json_integer(before->value[i]));
    (void)json_array_append_new(reset->done, object);
}

static int reset_cycles(struct reset *reset, tkr_sink *sink, tkr_message *ret_message)
{
    struct tkr_usage_row account = {.kind = reset->query.kind, .id = reset->query.id, .id_len = reset->query.id_len};
    int read = sink->ops->read(sink, &reset->query, take_row, reset, ret_message);

    if (read == 0 && reset->limits)
        read = sink->ops->limits(sink, &reset->query.give_up, take_limit, reset, ret_message);
    if (read != 0)
        return read < 0 ? -1 : tkr_message_set(ret_message, "there is no memory for so many cycles");
    if (reset->count == 0)
        return tkr_message_set(ret_message, "%.200s: there is nothing about this account", reset->query.id);
    for (size_t i = 0; i < reset->count; i++) {
        tkr_counts before = {{0}};
        account.cycle = reset->cycle[i];
        if (sink->ops->reset(sink, &account, &before, ret_message) < 0 ||
            (reset->limits && sink->ops->limit_set(sink, &account, TKR_LIMIT_NONE, ret_message) < 0))
            return -1;
        tell(reset, account.cycle, &before);
    }
    return 0;
}

static int ask(const struct reset *reset)
{
    char clean[TKR_COMMAND_CLEAN_BYTES(TKR_ID_BYTES_MAX)];
    char cycle[TKR_CYCLE_TEXT_BYTES] = "all";
    tkr_message what;

    if (reset->query.cycle != 0)
        tkr_cycle_format(reset->query.cycle, cycle);
    (void)tkr_command_text_clean(reset->query.id, reset->query.id_len, clean);
    (void)tkr_message_set(&what, "reset the totals of %.150s, cycle %s, to zero%s", clean, cycle,
                          reset->limits ? " and clear its limits" : "");
    return tkr_command_confirm(reset->command, reset->yes, what.text);
}

static int run(struct reset *reset)
{
    struct tkr_sink_config config;
    tkr_message message = {""};
    tkr_sink *sink = NULL;
    int result = -1;

    if (tkr_sink_config_read(&config, &message) == 0 && tkr_sink_open(&config, &sink, &message) == 0)
        result = reset_cycles(reset, sink, &message);
    if (sink != NULL)
        sink->ops->close(sink);
    return result == 0 ? TKR_COMMAND_OK : tkr_command_failed(reset->command, "%s", message.text);
}

static json_t *to_json(struct reset *reset)
{
    char kind[TKR_KIND_NAME_BYTES];
    json_t *object = json_object();

    tkr_kind_name(reset->query.kind, kind);
    tkr_command_json_set_id(object, "account", reset->query.id, reset->query.id_len);
    (void)json_object_set_new(object, "kind", json_string(kind));
    (void)json_object_set(object, "cycles", reset->done);
    return object;
}

int tkr_command_reset(int argc, char **argv)
{
    struct reset reset = {.command = argv[0], .query = {.kind = TKR_KIND_USER}};
    int exit_code = tkr_command_parse(argc, argv, options, help, take_option, &reset);

    if (exit_code != -1)
        return exit_code;
    if (argc - optind != 1)
        return tkr_command_wrong(argv[0], "one ACCOUNT is needed; see 'tokenring reset --help'");
    if (!reset.cycle_given)
        return tkr_command_wrong(argv[0], "--cycle is needed: a date YYYY-MM-DD, or all");
    if (tkr_command_query_account(argv[0], argv[optind], &reset.query) != 0)
        return TKR_COMMAND_WRONG;
    exit_code = ask(&reset);
    if (exit_code != TKR_COMMAND_OK)
        return exit_code;
    reset.done = reset.json ? json_array() : NULL;
    exit_code = run(&reset);
    if (exit_code == TKR_COMMAND_OK)
        exit_code = reset.json ? tkr_command_json_print(argv[0], to_json(&reset)) : tkr_command_end(argv[0], exit_code);
    json_decref(reset.done);
    free(reset.cycle);
    return exit_code;
}
