/* SPDX-License-Identifier: Apache-2.0 */
/* tokenring health: is the collector of this host healthy? For people, scripts and the health checks of containers. */
#include <stdio.h>

#include "base/clock.h"
#include "collector/status.h"
#include "command/command.h"
#include "region/guard.h"

static const char help[] = "tokenring health [OPTION]...\n\n"
                           "Says whether the collector of this host is healthy, degraded (it counts, and somebody should look) "
                           "or unhealthy (it does not\n"
                           "count as it should), and why. Read from shared memory; no port is needed.\n\n"
                           "Options:\n" TKR_COMMAND_LOOK_HELP "  --json             print one JSON object: status, reasons\n"
                           "  --help             this text\n\n"
                           "Exit codes: 0 healthy or degraded; 1 unhealthy, or there is no collector; 2 wrong usage.\n";

static const struct option options[] = {TKR_COMMAND_LOOK_OPTIONS, TKR_COMMAND_OPTION_HELP, {NULL, 0, NULL, 0}};

/* What the collector told last, and how long ago: its flusher may have stopped itself. */
static void take_loops(const struct tkr_health *health, struct tkr_status_known *known)
{
    int64_t silent_ns;

    known->stalled = "flusher";
    if (health == NULL)
        return;
    silent_ns = tkr_clock_monotonic_ns() - health->seen_ns;
    known->patience_ns = health->patience_ns;
    known->stalled_ns = silent_ns;
    known->no_board = health->no_board != 0;
    known->dropped_recent = health->dropped_recent;
    known->waiting_lanes = health->waiting_lanes;
    known->tmpfs_bytes = health->tmpfs_bytes;
    known->tmpfs_available = health->tmpfs_available;
    if (health->stalled_ns > silent_ns) {
        known->stalled = health->stalled;
        known->stalled_ns = health->stalled_ns;
    }
}

static void print_text(const struct tkr_status *status)
{
    (void)printf("%s\n", tkr_status_word[status->grade]);
    for (uint32_t i = 0; i < status->reasons; i++)
        (void)printf("%s\n", status->reason[i].text);
}

static json_t *status_json(const struct tkr_status *status)
{
    json_t *reasons = json_array();

    for (uint32_t i = 0; i < status->reasons; i++)
        (void)json_array_append_new(reasons, json_string(status->reason[i].text));
    return json_pack("{s:s, s:o}", "status", tkr_status_word[status->grade], "reasons", reasons);
}

static int show(const char *command, const struct tkr_command_look *look)
{
    struct tkr_host_balance balance;
    struct tkr_status_known known = {.balance = NULL};
    struct tkr_status status;
    tkr_message message = {""};
    int exit_code;

    if (!tkr_guard_install() || tkr_balance_read_law(look->runtime_dir, &balance, &message) != 0)
        return tkr_command_failed(command, "%s", message.text);
    known.balance = &balance;
    take_loops(balance.health, &known);
    tkr_status_judge(&known, &status);
    exit_code = status.grade == TKR_STATUS_UNHEALTHY ? TKR_COMMAND_FAILED : TKR_COMMAND_OK;
    if (look->json) {
        int printed = tkr_command_json_print(command, status_json(&status));
        exit_code = printed != TKR_COMMAND_OK ? printed : exit_code;
    } else {
        print_text(&status);
    }
    tkr_balance_free(&balance);
    return tkr_command_end(command, exit_code);
}

static int take_option(void *look, int option)
{
    return tkr_command_look_option(look, option);
}

int tkr_command_health(int argc, char **argv)
{
    struct tkr_command_look look = {.runtime_dir = NULL};
    int exit_code = tkr_command_parse(argc, argv, options, help, take_option, &look);

    if (exit_code != -1)
        return exit_code;
    return tkr_command_no_operand(argc, argv) == 0 ? show(argv[0], &look) : TKR_COMMAND_WRONG;
}
