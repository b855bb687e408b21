/* SPDX-License-Identifier: Apache-2.0 */
/* tokenring replay: recorded calls through real producers, with their own start times. */
#include <stdio.h>

#include "command/command.h"
#include "command/traffic_options.h"
#include "traffic/trace.h"

static const char help[] =
    "tokenring replay FILE.csv... [OPTION]...\n\n"
    "Replays recorded calls through real producer processes, with the start times that they had: their billing cycle\n"
    "is the month (UTC) in which they were made.\n\n"
    "A FILE is CSV as RFC 4180 has it ('-': standard input), with a first row of names; columns in any order:\n"
    "  TIMESTAMP          YYYY-MM-DD HH:MM:SS[.fraction], UTC\n"
    "  ContextTokens      tokens of the prompt, 0..2^40\n"
    "  GeneratedTokens    tokens of the completion, 0..2^40; both together at most 2^40\n"
    "  User               optional: who pays, 1..255 bytes; without it users are drawn\n"
    "  Model              optional: the model's name, 0..255 bytes\n"
    "Other columns are ignored. Several files are replayed as one.\n\n"
    "Options:\n"
    "  --speed SPEED      max (default): as fast as possible; realtime: with the gaps as recorded; a number from\n"
    "                     0.001 to 1000000: so many times as fast\n" TKR_COMMAND_TRAFFIC_HELP;

static const struct option options[] = {TKR_COMMAND_TRAFFIC_OPTIONS, TKR_COMMAND_OPTION_HELP, {NULL, 0, NULL, 0}};

static int load(struct tkr_traffic_trace *trace, const struct tkr_command_traffic *traffic, char *const *paths,
                tkr_message *ret_message)
{
    struct tkr_traffic_users users;
    int result;

    for (; *paths != NULL; paths++) {
        if (tkr_traffic_trace_read(trace, *paths, ret_message) != 0)
            return -1;
    }
    if (tkr_traffic_users_make(traffic->user_count, &users) != 0)
        return tkr_message_set(ret_message, "there is no memory for so many users");
    result = tkr_traffic_trace_draw_users(trace, &users, traffic->seed, ret_message);
    tkr_traffic_users_free(&users);
    if (result == 0 && traffic->speed > 0)
        tkr_traffic_trace_pace(trace, traffic->speed);
    return result;
}

/* The trace's times are checked: they have a cycle. */
static struct tkr_command_cycles find_cycles(const struct tkr_traffic_trace *trace)
{
    struct tkr_command_cycles cycles = {.first = 0};

    for (size_t i = 0; i < trace->count; i++) {
        uint32_t cycle = 0;

        (void)!tkr_cycle(trace->call[i].start_ns, 1, 0, &cycle);
        if (cycles.first == 0 || cycle < cycles.first)
            cycles.first = cycle;
        if (cycle > cycles.last)
            cycles.last = cycle;
    }
    return cycles;
}

static int replay(const struct tkr_command_traffic *traffic, char **argv)
{
    struct tkr_traffic_trace trace = {.call = NULL};
    struct tkr_command_cycles cycles;
    struct tkr_gateway_config config = {
        .source = tkr_traffic_trace_source, .source_arg = &trace, .users = &trace.users, .models = &trace.models};
    tkr_message why;
    int exit_code;

    if (load(&trace, traffic, argv + optind, &why) != 0) {
        exit_code = tkr_command_failed(argv[0], "%s", why.text);
    } else {
        config.call_count = trace.count;
        cycles = find_cycles(&trace);
        exit_code = tkr_command_traffic_run(traffic, argv[0], &config, &cycles);
    }
    tkr_traffic_trace_free(&trace);
    return exit_code;
}

static int take_option(void *traffic, int option)
{
    return tkr_command_traffic_option(traffic, option);
}

int tkr_command_replay(int argc, char **argv)
{
    struct tkr_command_traffic traffic = TKR_COMMAND_TRAFFIC_INIT;
    int exit_code;

    traffic.command = argv[0];
    exit_code = tkr_command_parse(argc, argv, options, help, take_option, &traffic);
    if (exit_code != -1)
        return exit_code;
    if (optind == argc)
        return tkr_command_wrong(argv[0], "a FILE is missing; see 'tokenring replay --help'");
    return replay(&traffic, argv);
}
