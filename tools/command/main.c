/* SPDX-License-Identifier: Apache-2.0 */
/* tokenring COMMAND ...: finds the subcommand and runs it. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "command/command.h"
#include "tokenring/tokenring.h"

static const struct command {
    const char *name;
    const char *help;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"backup", "write all totals, records and limits into a file", tkr_command_backup},
    {"doctor", "look at the environment and say what to change", tkr_command_doctor},
    {"dump", "print what is in a file of tokenring, whole or damaged", tkr_command_dump},
    {"forget", "erase every trace of an account", tkr_command_forget},
    {"gc", "remove the records of a collector that is dead for good", tkr_command_gc},
    {"health", "is the collector healthy, and if not, why", tkr_command_health},
    {"limit", "set, get, list and clear limits of accounts", tkr_command_limit},
    {"replay", "replay recorded calls from CSV files through real producers", tkr_command_replay},
    {"report", "show totals from cycle to cycle, their cost and how they change", tkr_command_report},
    {"reset", "start the totals of an account and cycle from zero", tkr_command_reset},
    {"restore", "bring back from a backup what a sink lost", tkr_command_restore},
    {"simulate", "make up calls and send them through real producers", tkr_command_simulate},
    {"stat", "show the law's numbers: offered, counted, in lanes, dropped", tkr_command_stat},
    {"tail", "show calls as they pass through the gateways' lanes", tkr_command_tail},
    {"top", "show who uses how much, at this moment", tkr_command_top},
    {"usage", "show totals per account and billing cycle", tkr_command_usage},
    {"verify", "compare what is counted with the records that the sink has of it", tkr_command_verify},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void print_help(void)
{
    (void)printf("tokenring: exact token accounting for LLM gateways\n\n"
                 "  tokenring COMMAND [OPTION]... [OPERAND]...\n"
                 "  tokenring COMMAND --help     options and operands of a command\n"
                 "  tokenring --version\n\n"
                 "Commands:\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        (void)printf("  %-10s %s\n", commands[i].name, commands[i].help);
    (void)printf("\n" TKR_COMMAND_EXIT_HELP);
}

static int wrong_command(const char *name)
{
    char list[256];
    size_t at = 0;

    for (size_t i = 0; i < COMMAND_COUNT && at < sizeof(list); i++)
        at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", i == 0 ? "" : ", ", commands[i].name);
    return tkr_command_wrong(NULL, "%s: no such command; allowed are %s; see 'tokenring --help'", name, list);
}

static int run_command(int argc, char **argv)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, argv[0]) == 0)
            return commands[i].run(argc, argv);
    }
    return wrong_command(argv[0]);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return tkr_command_wrong(NULL, "a command is missing; see 'tokenring --help'");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help();
        return tkr_command_end(NULL, TKR_COMMAND_OK);
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("tokenring %d.%d.%d\n", TKR_VERSION_MAJOR, TKR_VERSION_MINOR, TKR_VERSION_PATCH);
        return tkr_command_end(NULL, TKR_COMMAND_OK);
    }
    return run_command(argc - 1, argv + 1);
}
