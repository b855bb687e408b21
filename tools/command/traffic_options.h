/* SPDX-License-Identifier: Apache-2.0 */
/* What `replay` and `simulate` have in common: their options, the run, what is printed at its end. */
#ifndef TOOLS_COMMAND_TRAFFIC_OPTIONS_H
#define TOOLS_COMMAND_TRAFFIC_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "command/command.h"
#include "traffic/gateway.h"

struct tkr_command_traffic {
    uint32_t producer_count;
    uint32_t user_count;
    uint64_t seed;
    double speed;             /* 0: as fast as possible; 1: realtime; else so many times as fast */
    uint32_t sync_timeout_ms; /* 0: do not wait */
    struct tkr_command_look look;
    const char *command; /* for what is told of its options */
};

#define TKR_COMMAND_TRAFFIC_INIT                           \
    {                                                      \
        .producer_count = 4, .user_count = 1000, .seed = 1 \
    }

enum {
    TKR_COMMAND_OPTION_PRODUCERS = TKR_COMMAND_OPTION_FIRST,
    TKR_COMMAND_OPTION_USERS,
    TKR_COMMAND_OPTION_SEED,
    TKR_COMMAND_OPTION_SPEED,
    TKR_COMMAND_OPTION_SYNC,
    TKR_COMMAND_OPTION_OWN /* a subcommand's own options begin here */
};

/* Rows for a table of options. */
#define TKR_COMMAND_TRAFFIC_OPTIONS                                       \
    {"producers", required_argument, NULL, TKR_COMMAND_OPTION_PRODUCERS}, \
        {"users", required_argument, NULL, TKR_COMMAND_OPTION_USERS},     \
        {"seed", required_argument, NULL, TKR_COMMAND_OPTION_SEED},       \
        {"speed", required_argument, NULL, TKR_COMMAND_OPTION_SPEED},     \
        {"sync", optional_argument, NULL, TKR_COMMAND_OPTION_SYNC}, TKR_COMMAND_LOOK_OPTIONS

#define TKR_COMMAND_TRAFFIC_HELP                                                                                       \
    "  --producers N      producer processes, 1..64; default 4. Calls are dealt to them in turn\n"                     \
    "  --users N          users to draw from, 1..1000000; default 1000. The busiest makes 29 % of the calls,\n"        \
    "                     the ten busiest 73 %, the others share the rest by Zipf's law\n"                             \
    "  --seed S           seed of what is drawn, 0..2^63-1; default 1\n"                                               \
    "  --sync[=SECONDS]   producers wait at their end until the collector has counted all; default 30 s\n"             \
    "  --runtime-dir DIR  where producers and collector meet; default TOKENRING_RUNTIME_DIR, else /run/tokenring,\n"   \
    "                     else /dev/shm/tokenring-UID\n"                                                               \
    "  --json             print one JSON object, with what was offered for each user\n"                                \
    "  --help             this text\n\n"                                                                               \
    "Ends by printing what it offered: calls that the library accepted, their tokens, what the library took of its\n"  \
    "caller's time, and what was refused or dropped, by cause; then the exit code is 1. Each call charges one user.\n" \
    "Half of the calls are recorded in one shot, half begun, told of progress and ended.\n\n" TKR_COMMAND_EXIT_HELP

/* Takes one of the options above, with optarg. 0, or TKR_COMMAND_WRONG when its value was told to be wrong. */
int tkr_command_traffic_option(struct tkr_command_traffic *traffic, int option);

/* Billing cycles of the first and the last call, yyyymmdd; 0: there was no call. */
struct tkr_command_cycles {
    uint32_t first;
    uint32_t last;
};

/*
 * Runs the gateway and prints what it offered; config has calls, source and names, the rest is taken from traffic.
 * cycles may be NULL: those of now. Returns the exit code.
 */
int tkr_command_traffic_run(const struct tkr_command_traffic *traffic, const char *command, struct tkr_gateway_config *config,
                            const struct tkr_command_cycles *cycles);

#endif
