/* SPDX-License-Identifier: Apache-2.0 */
/* tokenring limit: sets, gets, lists and clears limits of accounts. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/account.h"
#include "base/clock.h"
#include "base/cycle.h"
#include "command/command.h"
#include "command/limit_json.h"
#include "command/limit_rows.h"
#include "command/limit_watch.h"
#include "command/query.h"
#include "command/text.h"
#include "tokenring/tokenring.h"

enum { OPTION_KIND = TKR_COMMAND_OPTION_FIRST, OPTION_CYCLE, OPTION_STANDING, OPTION_NEAR };

static const char help[] =
    "tokenring limit set ACCOUNT TOKENS [--cycle CYCLE | --standing] [--kind KIND]\n"
    "tokenring limit get ACCOUNT [--cycle CYCLE] [--kind KIND]\n"
    "tokenring limit list [--near FRACTION] [--cycle CYCLE] [--kind KIND]\n"
    "tokenring limit clear ACCOUNT [--cycle CYCLE | --standing] [--kind KIND]\n"
    "tokenring limit watch [--once] [--runtime-dir DIR]\n\n"
    "A limit is of one billing cycle, or standing: for every cycle that has none of its own. A limit of 0 blocks the account.\n"
    "set and clear are about the standing limit unless --cycle is given; get tells what holds in a cycle. list shows all limits\n"
    "that were set, also those that cannot be read, with what stands there, or, with --near, the accounts that have used so "
    "much\n"
    "of what holds for them, in which cycle. watch shows what gateways of this host see, in shared memory:\n"
    "'tokenring limit watch --help'.\n\n"
    "Options:\n"
    "  --cycle CYCLE      YYYY-MM-DD, a cycle's first day, or all. list: default all. set and clear: all is the standing\n"
    "                     limit. get: one cycle; default the month in UTC that is now\n"
    "  --standing         the standing limit (default for set and clear)\n"
    "  --near FRACTION    a number above 0, at most 1, as 0.8\n"
    "  --kind KIND        user (default; list: all), team, organisation, key or another name of 1 to 12 letters a-z or '_'\n"
    "  --json             print one JSON object\n"
    "  --help             this text\n\n"
    "Where limits are: TOKENRING_SINK (redis or sqlite), REDIS_URL, REDIS_SOCKET, REDIS_HOST, REDIS_PORT, REDIS_USERNAME,\n"
    "REDIS_PASSWORD, REDIS_DB; TOKENRING_LEDGER, TOKENRING_STATE_DIR.\n\n" TKR_COMMAND_EXIT_HELP
    "1 also says that there is no limit to get or to clear.\n";

static const struct option options[] = {{"cycle", required_argument, NULL, OPTION_CYCLE},
                                        {"standing", no_argument, NULL, OPTION_STANDING},
                                        {"near", required_argument, NULL, OPTION_NEAR},
                                        {"kind", required_argument, NULL, OPTION_KIND},
                                        {"json", no_argument, NULL, TKR_COMMAND_OPTION_JSON},
                                        TKR_COMMAND_OPTION_HELP,
                                        {NULL, 0, NULL, 0}};

struct limit {
    const char *command;
    struct tkr_usage_query query;
    bool standing;
    bool all_cycles; /* --cycle all */
    double near;     /* 0: not given */
    bool json;
    int64_t tokens;
};

static int take_near(struct limit *limit)
{
    if (tkr_command_limits_fraction(optarg, &limit->near))
        return 0;
    return tkr_command_wrong(limit->command, "--near=%s: allowed is a number above 0, at most 1, as 0.8", optarg);
}

static int take_option(void *arg, int option)
{
    struct limit *limit = arg;

    switch (option) {
    case OPTION_CYCLE:
        limit->all_cycles = strcmp(optarg, "all") == 0;
        return tkr_command_query_cycle(limit->command, optarg, &limit->query);
    case OPTION_STANDING:
        limit->standing = true;
        return 0;
    case OPTION_NEAR:
        return take_near(limit);
    case OPTION_KIND:
        return tkr_command_query_kind(limit->command, optarg, &limit->query);
    case TKR_COMMAND_OPTION_JSON:
        limit->json = true;
        return 0;
    default:
        return TKR_COMMAND_WRONG; /* told by tkr_command_option */
    }
}

/* --- set and clear --- */

static int set(struct limit *limit, tkr_sink *sink, tkr_message *ret_message)
{
    const struct tkr_usage_row account = {
        .kind = limit->query.kind, .id = limit->query.id, .id_len = limit->query.id_len, .cycle = limit->query.cycle};
    char cycle[TKR_CYCLE_TEXT_BYTES];
    json_t *object;
    int rc = sink->ops->limit_set(sink, &account, limit->tokens, ret_message);

    if (rc < 0)
        return -1;
    tkr_command_limit_cycle(account.cycle, cycle);
    if (rc == 1)
        return tkr_message_set(ret_message, "%.120s: there is no limit to clear, %s", account.id, cycle);
    if (limit->json) {
        object = tkr_command_limit_json(&limit->query);
        (void)json_object_set_new(object, "limit", tkr_command_limit_tokens_json(limit->tokens));
        return tkr_command_json_print(limit->command, object);
    }
    if (limit->tokens > 0)
        (void)printf("%s: %" PRId64 " tokens\n", cycle, limit->tokens);
    else
        (void)printf("%s: %s\n", cycle, limit->tokens == 0 ? "blocked" : "no limit");
    return 0;
}

/* --- get --- */

static void print_found(const struct limit *limit, const struct tkr_usage_found *found, int64_t holds)
{
    int64_t used = found->counts.value[TKR_COUNTER_TOTAL];
    char cycle[TKR_CYCLE_TEXT_BYTES];

    const char *standing = found->limit != TKR_LIMIT_NONE ? "" : " (standing)";

    tkr_command_limit_cycle(limit->query.cycle, cycle);
    if (holds == 0)
        (void)printf("%s: blocked%s, used %" PRId64 "\n", cycle, standing, used);
    else
        (void)printf("%s: limit %" PRId64 " tokens%s, used %" PRId64 ", left %" PRId64 "\n", cycle, holds, standing, used,
                     used < holds ? holds - used : 0);
}

static json_t *found_json(const struct limit *limit, const struct tkr_usage_found *found, int64_t holds)
{
    int64_t used = found->counts.value[TKR_COUNTER_TOTAL];
    json_t *object = tkr_command_limit_json(&limit->query);

    (void)json_object_set_new(object, "limit", tkr_command_limit_tokens_json(found->limit));
    (void)json_object_set_new(object, "standing", tkr_command_limit_tokens_json(found->standing));
    (void)json_object_set_new(object, "holds", json_integer(holds));
    (void)json_object_set_new(object, "used", json_integer(used));
    (void)json_object_set_new(object, "remaining", json_integer(used < holds ? holds - used : 0));
    (void)json_object_set_new(object, "exceeded", json_boolean(used >= holds));
    return object;
}

static int get(struct limit *limit, tkr_sink *sink, tkr_message *ret_message)
{
    struct tkr_usage_row account = {.kind = limit->query.kind, .id = limit->query.id, .id_len = limit->query.id_len};
    struct tkr_usage_found found = {0};
    int64_t holds;

    if (limit->query.cycle == 0 && tkr_cycle(tkr_clock_unix_ns(), 1, 0, &limit->query.cycle) != TKR_OK)
        return tkr_message_set(ret_message, "the clock tells no month; give --cycle");
    account.cycle = limit->query.cycle;
    if (sink->ops->lookup(sink, &account, 1, &found, ret_message) != 0 ||
        tkr_usage_found_check(&account, &found, 1, ret_message) != 0)
        return -1;
    holds = tkr_usage_limit(&found);
    if (holds == TKR_LIMIT_NONE)
        return tkr_message_set(ret_message, "%.120s: there is no limit", account.id);
    if (limit->json)
        return tkr_command_json_print(limit->command, found_json(limit, &found, holds));
    print_found(limit, &found, holds);
    return 0;
}

/* --- list --- */

static void print_row(const struct tkr_command_limit_row *row)
{
    char clean[TKR_COMMAND_CLEAN_BYTES(TKR_ID_BYTES_MAX)];
    char kind[TKR_KIND_NAME_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];

    (void)tkr_command_text_clean(row->id, row->id_len, clean);
    tkr_kind_name(row->kind, kind);
    tkr_command_limit_cycle(row->cycle, cycle);
    if (row->limit > 0)
        (void)printf("%-12s %-12s %20" PRId64, kind, cycle, row->limit);
    else
        (void)printf("%-12s %-12s %20s", kind, cycle, row->limit == 0 ? "blocked" : "unreadable");
    if (row->cycle != 0)
        (void)printf(" %20" PRId64, row->used);
    else
        (void)printf(" %20s", "");
    if (row->cycle != 0 && row->limit > 0)
        (void)printf(" %8.1f", 100.0 * (double)row->used / (double)row->limit);
    else
        (void)printf(" %8s", "");
    (void)printf("  %s%s%s\n", clean, row->unreadable[0] != '\0' ? "  " : "", row->unreadable);
}

static int list(struct limit *limit, tkr_sink *sink, tkr_message *ret_message)
{
    struct tkr_command_limit_rows rows = {.row = NULL};
    int rc = limit->near > 0 ? tkr_command_limits_near(&rows, sink, &limit->query, limit->near, ret_message)
                             : tkr_command_limits_read(&rows, sink, &limit->query, ret_message);

    if (rc == 0 && limit->json) {
        rc = tkr_command_json_print(limit->command, tkr_command_limits_json(&rows));
    } else if (rc == 0) {
        (void)printf("%-12s %-12s %20s %20s %8s  %s\n", "kind", "cycle", "limit", "used", "%", "account");
        if (rows.count == 0)
            (void)puts(limit->near > 0 ? "(no account is so near its limit)" : "(no limit is set)");
        for (size_t i = 0; i < rows.count; i++)
            print_row(&rows.row[i]);
    }
    tkr_command_limits_free(&rows);
    return rc;
}

/* --- which of them --- */

static const struct verb {
    const char *name;
    int operands; /* besides the verb */
    const char *needs;
    int (*run)(struct limit *limit, tkr_sink *sink, tkr_message *ret_message);
} verbs[] = {
    {"set", 2, "ACCOUNT and TOKENS are needed", set},
    {"get", 1, "one ACCOUNT is needed", get},
    {"list", 0, "no operand is allowed", list},
    {"clear", 1, "one ACCOUNT is needed", set},
};

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; name != NULL && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    }
    return NULL;
}

/* Options that the verb does not know. */
static int check_options(const struct limit *limit, const struct verb *verb)
{
    if (limit->near > 0 && verb->run != list)
        return tkr_command_wrong(limit->command, "--near: only list takes it");
    if (limit->standing && verb->run != set)
        return tkr_command_wrong(limit->command, "--standing: only set and clear take it");
    if (limit->all_cycles && verb->run == get)
        return tkr_command_wrong(limit->command, "--cycle=all: get tells of one cycle, YYYY-MM-DD");
    if (limit->standing && limit->query.cycle != 0)
        return tkr_command_wrong(limit->command, "--cycle and --standing: one of them is allowed");
    return 0;
}

static int take_operands(struct limit *limit, const struct verb *verb, char **operand, int count)
{
    if (count != verb->operands)
        return tkr_command_wrong(limit->command, "%s: %s; see 'tokenring limit --help'", verb->name, verb->needs);
    if (count > 0 && tkr_command_query_account(limit->command, operand[0], &limit->query) != 0)
        return TKR_COMMAND_WRONG;
    if (count > 1 && !tkr_parse_integer(operand[1], 0, INT64_MAX, &limit->tokens))
        return tkr_command_wrong(limit->command, "TOKENS=%s: allowed is an integer from 0 (blocks the account) to %" PRId64,
                                 operand[1], INT64_MAX);
    return check_options(limit, verb);
}

static int run(struct limit *limit, const struct verb *verb)
{
    struct tkr_sink_config config;
    tkr_message message = {""};
    tkr_sink *sink = NULL;
    int result = -1;

    if (tkr_sink_config_read(&config, &message) == 0 && tkr_sink_open(&config, &sink, &message) == 0)
        result = verb->run(limit, sink, &message);
    if (sink != NULL)
        sink->ops->close(sink);
    if (result < 0)
        return tkr_command_failed(limit->command, "%s", message.text);
    return tkr_command_end(limit->command, result);
}

int tkr_command_limit(int argc, char **argv)
{
    struct limit limit = {.command = argv[0], .tokens = TKR_LIMIT_NONE, .query = {.kind = TKR_KIND_USER, .any_kind = 1}};
    const struct verb *verb;
    int exit_code;

    if (argc > 1 && strcmp(argv[1], "watch") == 0)
        return tkr_command_limit_watch(argc - 1, argv + 1);
    exit_code = tkr_command_parse(argc, argv, options, help, take_option, &limit);
    if (exit_code != -1)
        return exit_code;
    verb = find_verb(argv[optind]);
    if (verb == NULL)
        return tkr_command_wrong(argv[0], "%s: allowed are set, get, list, clear and watch; see 'tokenring limit --help'",
                                 argv[optind] != NULL ? argv[optind] : "what to do is missing");
    if (take_operands(&limit, verb, argv + optind + 1, argc - optind - 1) != 0)
        return TKR_COMMAND_WRONG;
    return run(&limit, verb);
}
