/* SPDX-License-Identifier: Apache-2.0 */
/* tokenring stat: the law's numbers, per region, shard and host. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/drops.h"
#include "base/errors.h"
#include "collector/balance.h"
#include "command/command.h"
#include "command/handlers.h"
#include "command/law_json.h"
#include "command/sink_health.h"
#include "command/stat_json.h"
#include "command/text.h"
#include "region/guard.h"
#include "table/layout.h"

static const char help[] =
    "tokenring stat [OPTION]...\n\n"
    "Shows the law's numbers, offered = counted + in lanes + dropped, in usage records: per region (a gateway process),\n"
    "per shard of the collector and for the host; and whether the sink takes the totals, and which accounts it cannot take as\n"
    "they are. Read from shared memory; no collector need run. Each model of an account and cycle counts as an account here.\n\n"
    "Options:\n" TKR_COMMAND_LOOK_HELP
    "  --json             print one JSON object: collector, collector_running, law_holds, host, shards, regions, sink,\n"
    "                     problems, handlers, unreadable (what the collector cannot read), limits (accounts that are near "
    "theirs,\n"
    "                     or over, as gateways see them), memory\n"
    "  --help             this text\n\n" TKR_COMMAND_EXIT_HELP "1 also says that the law does not hold.\n";

static const struct option options[] = {TKR_COMMAND_LOOK_OPTIONS, TKR_COMMAND_OPTION_HELP, {NULL, 0, NULL, 0}};

/* --- text --- */

static void print_row(const char *what, const char *detail, const struct tkr_balance *balance)
{
    (void)printf("%-40s %-22s %12" PRIu64 " %12" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64 "\n", what, detail,
                 balance->offered, balance->counted, balance->in_lanes, tkr_balance_dropped(balance), balance->open_calls);
}

static void print_causes(const struct tkr_balance *balance)
{
    for (int i = 0; i < TKR_DROP_COUNT; i++) {
        if (balance->dropped[i] > 0)
            (void)printf("dropped, %s: %" PRIu64 "\n", tkr_drop_key[i], balance->dropped[i]);
    }
    for (unsigned i = 1; i < TKR_RESULT_COUNT; i++) {
        if (balance->refused[i] > 0)
            (void)printf("refused, %s: %" PRIu64 "\n", tkr_result_key(i), balance->refused[i]);
    }
    if (balance->unknown > 0)
        (void)printf("skipped, frames that only newer versions know: %" PRIu64 "\n", balance->unknown);
    if (balance->bad_times > 0)
        (void)printf("without a duration, since a time that was told makes none: %" PRIu64 " calls\n", balance->bad_times);
}

/* What this version leaves alone is in no figure above: its gateways' calls wait for the version that reads it. */
static void print_left_alone(const struct tkr_host_balance *balance)
{
    uint32_t left[TKR_REGION_UNREADABLE + 1] = {0};

    for (uint32_t i = 0; i < balance->region_count; i++)
        left[balance->region[i].standing]++;
    for (int i = TKR_REGION_NEWER; i <= TKR_REGION_OLDER; i++) {
        if (left[i] > 0)
            (void)printf("left alone: %u region%s of %s %s, which only %s collector reads; not in these figures\n", left[i],
                         left[i] == 1 ? "" : "s", i == TKR_REGION_NEWER ? "a" : "an", tkr_command_standing[i],
                         i == TKR_REGION_NEWER ? "a newer" : "an older");
    }
}

/* What the collector cannot read: it is in the figures where this command can. */
static void print_unreadable(const struct tkr_host_balance *balance)
{
    const struct tkr_health *health = balance->health;
    char reason[TKR_COMMAND_CLEAN_BYTES(TKR_MESSAGE_BYTES)];

    if (health == NULL)
        return;
    for (uint64_t i = 0; i < health->unreadable_named; i++) {
        const struct tkr_health_region *region = &health->unreadable_region[i];
        (void)tkr_command_text_clean(region->reason, strlen(region->reason), reason);
        (void)printf("not readable by the collector, and not counted: %s\n", reason);
    }
    if (health->unreadable > health->unreadable_named)
        (void)printf("not readable by the collector, and not counted: %" PRIu64 " more\n",
                     health->unreadable - health->unreadable_named);
}

static void print_regions(const struct tkr_host_balance *balance)
{
    for (uint32_t i = 0; i < balance->region_count; i++) {
        const struct tkr_balance_region *region = &balance->region[i];
        char command[TKR_COMMAND_CLEAN_BYTES(sizeof(region->command))];
        char detail[sizeof(command) + 32];
        (void)tkr_command_text_clean(region->command, strlen(region->command), command);
        (void)snprintf(detail, sizeof(detail), "%s %u%s", command, region->pid, region->alive ? "" : ", dead");
        print_row(region->name, region->standing == TKR_REGION_ACTIVE ? detail : tkr_command_standing[region->standing],
                  &region->balance);
    }
}

static void print_shards(const struct tkr_host_balance *balance)
{
    for (uint32_t i = 0; i < balance->shard_count; i++) {
        const struct tkr_balance_shard *shard = &balance->shard[i];
        char what[32];
        char detail[64];
        (void)snprintf(what, sizeof(what), "shard %u", shard->number);
        (void)snprintf(detail, sizeof(detail), "%" PRIu64 " accounts", shard->accounts);
        print_row(what, detail, &shard->balance);
    }
}

static void print_overflow(const struct tkr_host_balance *balance)
{
    for (uint32_t i = 0; i < balance->shard_count; i++) {
        if (balance->shard[i].overflow_charges > 0)
            (void)printf("shard %u: %" PRIu64 " charges went to the account " TKR_OVERFLOW_ID ", for lack of room in the table\n",
                         balance->shard[i].number, balance->shard[i].overflow_charges);
    }
}

static void print_waiting(const struct tkr_host_balance *balance)
{
    const struct tkr_health *health = balance->health;

    if (health != NULL && balance->collector_running && health->waiting_lanes > 0)
        (void)printf("memory: %" PRIu64 " lanes wait, since the tmpfs has no memory for more accounts (%" PRIu64 " of %" PRIu64
                     " KiB are free); nothing is lost\n",
                     health->waiting_lanes, health->tmpfs_available / 1024, health->tmpfs_bytes / 1024);
}

static void print_text(const struct tkr_host_balance *balance)
{
    const struct tkr_balance *host = &balance->host;

    if (balance->shard_count > 0)
        (void)printf("collector %016" PRIx64 " %s\n", balance->shard[0].name,
                     balance->collector_running ? "running" : "not running");
    else
        (void)printf("collector %s\n", balance->collector_running ? "running" : "not running");
    (void)printf("%-40s %-22s %12s %12s %10s %10s %10s\n", "", "", "offered", "counted", "in lanes", "dropped", "open calls");
    print_regions(balance);
    print_shards(balance);
    print_row("host", "", host);
    print_causes(host);
    print_left_alone(balance);
    print_unreadable(balance);
    print_overflow(balance);
    print_waiting(balance);
    tkr_command_handlers_print(balance);
    tkr_command_sink_print(balance);
    (void)printf("law: offered %" PRIu64 " = counted %" PRIu64 " + in lanes %" PRIu64 " + dropped %" PRIu64 ": %s\n",
                 host->offered, host->counted, host->in_lanes, tkr_balance_dropped(host),
                 tkr_balance_holds(host) ? "holds" : "DOES NOT HOLD");
}

struct showing {
    const char *command;
    const struct tkr_command_look *look;
    int exit_code;
};

static int show(const char *command, const struct tkr_command_look *look)
{
    struct tkr_host_balance balance;
    tkr_message message = {""};
    int exit_code;

    if (tkr_balance_read(look->runtime_dir, &balance, &message) != 0)
        return tkr_command_failed(command, "%s", message.text);
    exit_code = tkr_balance_holds(&balance.host) ? TKR_COMMAND_OK : TKR_COMMAND_FAILED;
    if (look->json) {
        int printed = tkr_command_json_print(command, tkr_command_stat_json(look->runtime_dir, &balance));
        exit_code = printed != TKR_COMMAND_OK ? printed : exit_code;
    } else {
        print_text(&balance);
    }
    tkr_balance_free(&balance);
    return tkr_command_end(command, exit_code);
}

static void run_show(void *argument)
{
    struct showing *showing = argument;

    showing->exit_code = show(showing->command, showing->look);
}

static int take_option(void *look, int option)
{
    return tkr_command_look_option(look, option);
}

int tkr_command_stat(int argc, char **argv)
{
    struct tkr_command_look look = {.runtime_dir = NULL};
    struct showing showing;
    int exit_code = tkr_command_parse(argc, argv, options, help, take_option, &look);

    if (exit_code != -1)
        return exit_code;
    if (tkr_command_no_operand(argc, argv) != 0)
        return TKR_COMMAND_WRONG;
    showing = (struct showing){.command = argv[0], .look = &look};
    return tkr_command_guarded(argv[0], run_show, &showing) ? showing.exit_code : TKR_COMMAND_FAILED;
}
