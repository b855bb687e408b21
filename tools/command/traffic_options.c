/* SPDX-License-Identifier: Apache-2.0 */
#include "command/traffic_options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "command/offered.h"
#include "traffic/users.h"

#define SYNC_DEFAULT_S 30
#define SYNC_MAX_S 3600
#define MS_PER_S 1000
#define SPEED_MIN 0.001
#define SPEED_MAX 1e6
#define TEN_MS_PER_S 100 /* progress is told so often, in looks of the gateway */

static int take_speed(struct tkr_command_traffic *traffic, const char *command, const char *value)
{
    char *end;
    double speed;

    if (strcmp(value, "max") == 0 || strcmp(value, "realtime") == 0) {
        traffic->speed = strcmp(value, "max") == 0 ? 0 : 1;
        return 0;
    }
    speed = value[strspn(value, "0123456789.")] == '\0' ? strtod(value, &end) : 0;
    if (speed < SPEED_MIN || speed > SPEED_MAX || *end != '\0')
        return tkr_command_wrong(command, "--speed=%s: allowed is max, realtime or a number from 0.001 to 1000000", value);
    traffic->speed = speed;
    return 0;
}

static int take_sync(struct tkr_command_traffic *traffic, const char *command, const char *value)
{
    int64_t seconds = SYNC_DEFAULT_S;

    if (value != NULL && tkr_command_integer(command, "sync", value, 1, SYNC_MAX_S, &seconds) != 0)
        return TKR_COMMAND_WRONG;
    traffic->sync_timeout_ms = (uint32_t)seconds * MS_PER_S;
    return 0;
}

static int take_count(const char *command, const char *option, const char *value, int64_t max, uint32_t *ret_count)
{
    int64_t count;

    if (tkr_command_integer(command, option, value, 1, max, &count) != 0)
        return TKR_COMMAND_WRONG;
    *ret_count = (uint32_t)count;
    return 0;
}

static int take_seed(struct tkr_command_traffic *traffic, const char *command, const char *value)
{
    int64_t seed;

    if (tkr_command_integer(command, "seed", value, 0, INT64_MAX, &seed) != 0)
        return TKR_COMMAND_WRONG;
    traffic->seed = (uint64_t)seed;
    return 0;
}

int tkr_command_traffic_option(struct tkr_command_traffic *traffic, int option)
{
    const char *command = traffic->command;
    const char *value = optarg;

    switch (option) {
    case TKR_COMMAND_OPTION_PRODUCERS:
        return take_count(command, "producers", value, TKR_GATEWAY_PRODUCERS_MAX, &traffic->producer_count);
    case TKR_COMMAND_OPTION_USERS:
        return take_count(command, "users", value, TKR_TRAFFIC_USERS_MAX, &traffic->user_count);
    case TKR_COMMAND_OPTION_SEED:
        return take_seed(traffic, command, value);
    case TKR_COMMAND_OPTION_SPEED:
        return take_speed(traffic, command, value);
    case TKR_COMMAND_OPTION_SYNC:
        return take_sync(traffic, command, value);
    default:
        return tkr_command_look_option(&traffic->look, option);
    }
}

static void show_progress(uint64_t done, uint64_t all)
{
    static unsigned looks;

    if (looks++ % TEN_MS_PER_S == 0 && looks > 1)
        (void)fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " calls ", done, all);
}

static uint32_t cycle_of_now(void)
{
    uint32_t cycle = 0;

    return tkr_cycle(tkr_clock_unix_ns(), 1, 0, &cycle) == TKR_OK ? cycle : 0;
}

static bool any_call(const uint64_t calls[TKR_RESULT_COUNT])
{
    for (unsigned i = 0; i < TKR_RESULT_COUNT; i++) {
        if (calls[i] > 0)
            return true;
    }
    return false;
}

/* Tells what went wrong. Returns the exit code. */
static int judge(const char *command, const struct tkr_gateway_report *report)
{
    int exit_code = TKR_COMMAND_OK;

    for (uint32_t i = 0; i < report->failed_count; i++)
        exit_code = tkr_command_failed(command, "%s", report->failed[i].text);
    if (report->stopped && report->failed_count == 0)
        exit_code = tkr_command_failed(command, "stopped by a signal; the figures are those until then");
    if (any_call(report->refused) || any_call(report->dropped))
        exit_code = tkr_command_failed(command, "not all calls were accepted");
    return exit_code;
}

static int print_offered(const char *command, const struct tkr_command_offered *offered)
{
    if (offered->traffic->look.json)
        return tkr_command_json_print(command, tkr_command_offered_json(offered));
    tkr_command_offered_print(offered);
    return tkr_command_end(command, TKR_COMMAND_OK);
}

int tkr_command_traffic_run(const struct tkr_command_traffic *traffic, const char *command, struct tkr_gateway_config *config,
                            const struct tkr_command_cycles *cycles)
{
    struct tkr_gateway_report report;
    struct tkr_command_offered offered = {.traffic = traffic, .config = config, .report = &report};
    bool terminal = isatty(STDERR_FILENO) == 1;
    tkr_message why;
    int printed;
    int exit_code;

    config->runtime_dir = traffic->look.runtime_dir;
    config->producer_count = traffic->producer_count;
    config->sync_timeout_ms = traffic->sync_timeout_ms;
    config->progress = terminal ? show_progress : NULL;
    offered.cycles.first = cycle_of_now();
    if (tkr_gateway_run(config, &report, &why) != 0)
        return tkr_command_failed(command, "%s", why.text);
    if (terminal)
        (void)fputs("\r\033[K", stderr); /* back to the line's start, and cleared */
    offered.cycles.last = cycle_of_now();
    if (cycles != NULL)
        offered.cycles = *cycles;
    exit_code = judge(command, &report);
    printed = print_offered(command, &offered);
    tkr_gateway_report_free(&report);
    return exit_code == TKR_COMMAND_OK ? printed : exit_code;
}
