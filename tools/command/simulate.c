/* SPDX-License-Identifier: Apache-2.0 */
/* tokenring simulate: made-up calls of skewed users through real producers, now. */
#include <stdio.h>

#include "base/clock.h"
#include "command/command.h"
#include "command/traffic_options.h"
#include "traffic/simulated.h"

#define CALLS_DEFAULT 100000
#define CALLS_MAX INT64_C(1000000000000)
#define RATE_MAX 100000000

enum { OPTION_CALLS = TKR_COMMAND_OPTION_OWN, OPTION_RATE, OPTION_KILL };

static const char help[] =
    "tokenring simulate [OPTION]...\n\n"
    "Makes up calls and sends them through real producer processes, with the current time. Tokens are log-normal, as\n"
    "in the Azure conversation trace of 2023: the prompt has a median of 760 (the logarithm's mean is 6.633, its\n"
    "standard deviation 0.985), the completion of 151 (5.019, 0.859); both are cut to 1..131072.\n\n"
    "Options:\n"
    "  --calls N          calls in all, 1..10^12; default 100000\n"
    "  --rate R           calls a second of each producer, 1..100000000; default as fast as possible\n"
    "  --speed SPEED      realtime (default): at --rate, where it is given; a number from 0.001 to 1000000: so many\n"
    "                     times --rate; max: as fast as possible, whatever --rate\n"
    "  --kill N           kill N of the producers with SIGKILL when half of the calls are made, 1..--producers; the call\n"
    "                     that each was making may count wholly, in part or not at all, and is named\n" TKR_COMMAND_TRAFFIC_HELP;

static const struct option options[] = {{"calls", required_argument, NULL, OPTION_CALLS},
                                        {"rate", required_argument, NULL, OPTION_RATE},
                                        {"kill", required_argument, NULL, OPTION_KILL},
                                        TKR_COMMAND_TRAFFIC_OPTIONS,
                                        TKR_COMMAND_OPTION_HELP,
                                        {NULL, 0, NULL, 0}};

struct wanted {
    struct tkr_command_traffic traffic;
    int64_t calls;
    int64_t rate; /* 0: not given */
    int64_t kill; /* 0: not given */
};

static int take_option(void *arg, int option)
{
    struct wanted *wanted = arg;
    const char *command = wanted->traffic.command;

    if (option == OPTION_CALLS)
        return tkr_command_integer(command, "calls", optarg, 1, CALLS_MAX, &wanted->calls);
    if (option == OPTION_RATE)
        return tkr_command_integer(command, "rate", optarg, 1, RATE_MAX, &wanted->rate);
    if (option == OPTION_KILL)
        return tkr_command_integer(command, "kill", optarg, 1, TKR_GATEWAY_PRODUCERS_MAX, &wanted->kill);
    return tkr_command_traffic_option(&wanted->traffic, option);
}

static int simulate(const struct wanted *wanted, const char *command)
{
    const struct tkr_traffic_names no_models = {.name = NULL};
    struct tkr_traffic_simulated simulated = {.seed = wanted->traffic.seed, .producer_count = wanted->traffic.producer_count};
    struct tkr_gateway_config config = {.call_count = (uint64_t)wanted->calls,
                                        .kill_count = (uint32_t)wanted->kill,
                                        .source = tkr_traffic_simulated_source,
                                        .source_arg = &simulated,
                                        .users = &simulated.names,
                                        .models = &no_models};
    tkr_message why;
    int exit_code;

    if (wanted->rate > 0 && wanted->traffic.speed > 0)
        simulated.gap_ns = (double)TKR_NS_PER_S / ((double)wanted->rate * wanted->traffic.speed);
    if (tkr_traffic_simulated_make(&simulated, wanted->traffic.user_count, &why) != 0)
        exit_code = tkr_command_failed(command, "%s", why.text);
    else
        exit_code = tkr_command_traffic_run(&wanted->traffic, command, &config, NULL);
    tkr_traffic_simulated_free(&simulated);
    return exit_code;
}

int tkr_command_simulate(int argc, char **argv)
{
    struct wanted wanted = {.traffic = TKR_COMMAND_TRAFFIC_INIT, .calls = CALLS_DEFAULT};
    int exit_code;

    wanted.traffic.speed = 1;
    wanted.traffic.command = argv[0];
    exit_code = tkr_command_parse(argc, argv, options, help, take_option, &wanted);
    if (exit_code != -1)
        return exit_code;
    if (tkr_command_no_operand(argc, argv) != 0)
        return TKR_COMMAND_WRONG;
    if (wanted.kill > wanted.traffic.producer_count)
        return tkr_command_wrong(argv[0], "--kill=%lld: there are %u producers", (long long)wanted.kill,
                                 wanted.traffic.producer_count);
    return simulate(&wanted, argv[0]);
}
