/* SPDX-License-Identifier: Apache-2.0 */
/* tokenring gc: removes the records of a collector that is dead for good; lists the collectors that the sink knows. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "collector/retire.h"
#include "command/command.h"
#include "command/moment.h"

enum { OPTION_RUNTIME_DIR = TKR_COMMAND_OPTION_FIRST, OPTION_WAIT, OPTION_DRY_RUN, OPTION_JSON };

static const char help[] =
    "tokenring gc [NAME] [OPTION]...\n\n"
    "Removes from the sink the records of a collector that is dead for good, say because its host is gone. The totals "
    "stay to\n"
    "the token. Without NAME, lists the collectors that the sink knows, with the last sign of life of each. NAME is "
    "the 16\n"
    "digits that tokenringd logs at its start and 'tokenring stat' shows.\n\n"
    "A collector that is alive is refused: on this host by its memory, elsewhere because it answers in the sink within "
    "the time\n"
    "of --wait. Should it have been cut off, and come back with its memory, it keeps what it cannot place, says so, "
    "and counts\n"
    "nothing twice. May be repeated, and killed at any point.\n\n"
    "Options:\n"
    "  --wait SECONDS     how long to wait for a sign of life, 1..3600; default 10\n"
    "  --dry-run          count the records; remove nothing and ask nobody for a sign of life\n"
    "  --runtime-dir DIR  where this host's collector works; default TOKENRING_RUNTIME_DIR, else /run/tokenring, else\n"
    "                     /dev/shm/tokenring-UID\n"
    "  --json             print one JSON object\n"
    "  --help             this text\n\n"
    "Where the records are: TOKENRING_SINK (redis or sqlite), REDIS_URL, REDIS_SOCKET, REDIS_HOST, REDIS_PORT,\n"
    "REDIS_USERNAME, REDIS_PASSWORD, REDIS_DB; TOKENRING_LEDGER, TOKENRING_STATE_DIR.\n\n" TKR_COMMAND_EXIT_HELP
    "1 also says that the collector is alive, or not known.\n";

static const struct option options[] = {{"wait", required_argument, NULL, OPTION_WAIT},
                                        {"dry-run", no_argument, NULL, OPTION_DRY_RUN},
                                        {"runtime-dir", required_argument, NULL, OPTION_RUNTIME_DIR},
                                        {"json", no_argument, NULL, OPTION_JSON},
                                        TKR_COMMAND_OPTION_HELP,
                                        {NULL, 0, NULL, 0}};

/* --- the list --- */

struct collector {
    char name[TKR_COLLECTOR_NAME_BYTES];
    unsigned shards;
    uint64_t seen; /* the highest of its numbers */
};

struct list {
    struct collector *collector;
    size_t count;
    size_t room;
};

/* The collector's place in the list; NULL: no memory. */
static struct collector *list_find(struct list *list, const char *name)
{
    struct collector *grown;

    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->collector[i].name, name) == 0)
            return &list->collector[i];
    }
    if (list->count == list->room) {
        grown = realloc(list->collector, (2 * list->room + 16) * sizeof(*grown));
        if (grown == NULL)
            return NULL;
        list->collector = grown;
        list->room = 2 * list->room + 16;
    }
    grown = &list->collector[list->count++];
    memset(grown, 0, sizeof(*grown));
    (void)snprintf(grown->name, sizeof(grown->name), "%s", name);
    return grown;
}

/* What is named otherwise is no collector's. */
static int list_source(const char *source, uint64_t seen, void *arg)
{
    char name[TKR_COLLECTOR_NAME_BYTES];
    struct collector *collector;

    if (strlen(source) <= TKR_COLLECTOR_NAME_BYTES || source[TKR_COLLECTOR_NAME_BYTES - 1] != '.')
        return 0;
    (void)snprintf(name, sizeof(name), "%.16s", source);
    if (!tkr_collector_name_valid(name))
        return 0;
    collector = list_find(arg, name);
    if (collector == NULL)
        return 1;
    collector->shards++;
    collector->seen = seen > collector->seen ? seen : collector->seen;
    return 0;
}

static int by_sign_of_life(const void *left, const void *right)
{
    const struct collector *a = left;
    const struct collector *b = right;

    return a->seen != b->seen ? (a->seen > b->seen) - (a->seen < b->seen) : strcmp(a->name, b->name);
}

/* A restore knows of a collector from its backup: when it was heard last, it does not. */
static bool was_heard(const struct collector *collector)
{
    return collector->seen >= TKR_SEEN_RESTORED_END;
}

static json_t *list_json(const struct list *list)
{
    json_t *array = json_array();

    for (size_t i = 0; i < list->count; i++) {
        const struct collector *collector = &list->collector[i];
        char when[TKR_COMMAND_MOMENT_BYTES];

        (void)tkr_command_moment((int64_t)collector->seen, when);
        (void)json_array_append_new(array, json_pack("{s:s, s:I, s:s?, s:b}", "name", collector->name, "shards",
                                                     (json_int_t)collector->shards, "last_sign_of_life",
                                                     was_heard(collector) ? when : NULL, "retired",
                                                     (int)tkr_retire_number(collector->seen)));
    }
    return json_pack("{s:o}", "collectors", array);
}

static void list_print(const struct list *list, const char *sink)
{
    (void)printf("%s: %zu collector%s\n", sink, list->count, list->count == 1 ? "" : "s");
    for (size_t i = 0; i < list->count; i++) {
        const struct collector *collector = &list->collector[i];
        char when[TKR_COMMAND_MOMENT_BYTES];

        if (was_heard(collector))
            (void)tkr_command_moment((int64_t)collector->seen, when);
        else
            (void)snprintf(when, sizeof(when), "a restore");
        (void)printf("%s  %u shard%s  %s %s\n", collector->name, collector->shards, collector->shards == 1 ? " " : "s",
                     tkr_retire_number(collector->seen) ? "none since gc at"
                     : was_heard(collector)             ? "last sign of life"
                                                        : "none since",
                     when);
    }
}

static int show_list(const char *command, const struct tkr_sink_config *config, bool json)
{
    struct list list = {0};
    tkr_message message = {""};
    tkr_message where;
    tkr_sink *sink;
    int result;

    if (tkr_sink_open(config, &sink, &message) != 0)
        return tkr_command_failed(command, "%s", message.text);
    result = sink->ops->sources(sink, list_source, &list, &message);
    sink->ops->close(sink);
    if (result == 0 && list.count > 0)
        qsort(list.collector, list.count, sizeof(list.collector[0]), by_sign_of_life);
    tkr_sink_describe(config, &where);
    if (result != 0)
        result = tkr_command_failed(command, "%s", result > 0 ? "there is no memory for so many collectors" : message.text);
    else if (json)
        result = tkr_command_json_print(command, list_json(&list));
    else
        list_print(&list, where.text);
    free(list.collector);
    return tkr_command_end(command, result);
}

/* --- the removal --- */

static int print_removal(const char *command, const struct tkr_retire_options *wanted, const struct tkr_retire_report *report,
                         const char *sink, bool json)
{
    if (json)
        return tkr_command_json_print(command, json_pack("{s:s, s:I, s:I, s:I, s:b}", "name", wanted->name, "shards",
                                                         (json_int_t)report->sources, "records", (json_int_t)report->records,
                                                         "left", (json_int_t)report->left, "dry_run", (int)wanted->dry_run));
    (void)printf("%s, %s: %" PRIu64 " record%s %s, %" PRIu64 " left alone; the totals stay\n", wanted->name, sink,
                 report->records, report->records == 1 ? "" : "s", wanted->dry_run ? "to remove" : "removed", report->left);
    return tkr_command_end(command, TKR_COMMAND_OK);
}

static int remove_records(const char *command, const struct tkr_retire_options *wanted, const struct tkr_sink_config *config,
                          bool json)
{
    struct tkr_retire_report report;
    tkr_message message = {""};
    tkr_message sink;

    if (tkr_retire(wanted, config, &report, &message) != 0)
        return tkr_command_failed(command, "%s", message.text);
    tkr_sink_describe(config, &sink);
    return print_removal(command, wanted, &report, sink.text, json);
}

/* --- */

static int take_option(const char *command, int option, struct tkr_retire_options *ret_options, bool *ret_json)
{
    int64_t number = 0;

    switch (option) {
    case OPTION_WAIT:
        if (tkr_command_integer(command, "wait", optarg, 1, 3600, &number) != 0)
            return -1;
        ret_options->wait_s = (uint32_t)number;
        return 0;
    case OPTION_DRY_RUN:
        ret_options->dry_run = true;
        return 0;
    case OPTION_RUNTIME_DIR:
        ret_options->runtime_dir = optarg;
        return 0;
    case OPTION_JSON:
        *ret_json = true;
        return 0;
    default:
        return -1; /* told by tkr_command_option */
    }
}

int tkr_command_gc(int argc, char **argv)
{
    struct tkr_retire_options retire = {.wait_s = TKR_RETIRE_WAIT_S};
    struct tkr_sink_config config;
    tkr_message message = {""};
    bool json = false;
    int option;

    while ((option = tkr_command_option(argc, argv, options)) != -1) {
        if (option == 'h') {
            (void)fputs(help, stdout);
            return tkr_command_end(argv[0], TKR_COMMAND_OK);
        }
        if (take_option(argv[0], option, &retire, &json) != 0)
            return TKR_COMMAND_WRONG;
    }
    if (argc - optind > 1)
        return tkr_command_wrong(argv[0], "%s: one NAME is allowed", argv[optind + 1]);
    if (optind < argc && !tkr_collector_name_valid(argv[optind]))
        return tkr_command_wrong(argv[0], "%.40s: allowed is a collector's name, 16 digits 0-9 and a-f", argv[optind]);
    if (tkr_sink_config_read(&config, &message) != 0)
        return tkr_command_failed(argv[0], "%s", message.text);
    if (optind == argc)
        return show_list(argv[0], &config, json);
    (void)snprintf(retire.name, sizeof(retire.name), "%s", argv[optind]);
    retire.state_dir = tkr_setting_text("TOKENRING_STATE_DIR");
    return remove_records(argv[0], &retire, &config, json);
}
