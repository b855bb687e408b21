/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands of `tokenring`, and how they speak: results on stdout, what is wrong in one sentence on stderr. */
#ifndef TOOLS_COMMAND_COMMAND_H
#define TOOLS_COMMAND_COMMAND_H

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Exit codes of every subcommand. */
enum tkr_command_exit {
    TKR_COMMAND_OK = 0,
    TKR_COMMAND_FAILED = 1, /* the answer is no, or the work failed */
    TKR_COMMAND_WRONG = 2   /* wrong usage; nothing was done */
};

#define TKR_COMMAND_EXIT_HELP "Exit codes: 0 ok; 1 the answer is no or the work failed; 2 wrong usage.\n"

/* Subcommands: argv[0] is the subcommand's name. Each returns its exit code. */
int tkr_command_backup(int argc, char **argv);
int tkr_command_doctor(int argc, char **argv);
int tkr_command_dump(int argc, char **argv);
int tkr_command_forget(int argc, char **argv);
int tkr_command_gc(int argc, char **argv);
int tkr_command_health(int argc, char **argv);
int tkr_command_limit(int argc, char **argv);
int tkr_command_replay(int argc, char **argv);
int tkr_command_report(int argc, char **argv);
int tkr_command_reset(int argc, char **argv);
int tkr_command_restore(int argc, char **argv);
int tkr_command_simulate(int argc, char **argv);
int tkr_command_stat(int argc, char **argv);
int tkr_command_tail(int argc, char **argv);
int tkr_command_top(int argc, char **argv);
int tkr_command_usage(int argc, char **argv);
int tkr_command_verify(int argc, char **argv);

/* Prints "tokenring COMMAND: sentence" on stderr; command may be NULL. Return TKR_COMMAND_FAILED, TKR_COMMAND_WRONG. */
int tkr_command_failed(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
int tkr_command_wrong(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Values of long options: above all characters, so that 'h' is --help and -h everywhere. */
enum {
    TKR_COMMAND_OPTION_RUNTIME_DIR = 256,
    TKR_COMMAND_OPTION_JSON,
    TKR_COMMAND_OPTION_FIRST /* a subcommand's own begin here */
};
#define TKR_COMMAND_OPTION_HELP        \
    {                                  \
        "help", no_argument, NULL, 'h' \
    }

/*
 * The next option: its value from the table, with optarg; 'h' for --help and -h; -1 after the last, then argv[optind]
 * is the first operand; '?' for a wrong one, which has been told on stderr.
 */
int tkr_command_option(int argc, char **argv, const struct option *options);

/*
 * Takes all options: --help prints the text, each other one goes to take(arg, option) with optarg, which returns 0, or
 * TKR_COMMAND_WRONG when it told of a wrong value. -1: go on, argv[optind] is the first operand; else the exit code.
 */
int tkr_command_parse(int argc, char **argv, const struct option *options, const char *help, int (*take)(void *arg, int option),
                      void *arg);

/* What those that look at a collector are asked. */
struct tkr_command_look {
    const char *runtime_dir; /* NULL: the default */
    bool json;
};

/* Rows for a table of options, and their help but for what --json prints. */
#define TKR_COMMAND_LOOK_OPTIONS                                              \
    {"runtime-dir", required_argument, NULL, TKR_COMMAND_OPTION_RUNTIME_DIR}, \
    {                                                                         \
        "json", no_argument, NULL, TKR_COMMAND_OPTION_JSON                    \
    }

#define TKR_COMMAND_LOOK_HELP                                                                                    \
    "  --runtime-dir DIR  where the collector works; default TOKENRING_RUNTIME_DIR, else /run/tokenring, else\n" \
    "                     /dev/shm/tokenring-UID\n"

/* Takes one of them. 0, or TKR_COMMAND_WRONG: it is none, as tkr_command_option told. */
int tkr_command_look_option(struct tkr_command_look *look, int option);

/* Are there no operands? 0, or TKR_COMMAND_WRONG with a sentence. */
int tkr_command_no_operand(int argc, char **argv);

/* Reads text as an integer min..max. 0, or TKR_COMMAND_WRONG with a sentence that names the option, value and range. */
int tkr_command_integer(const char *command, const char *option, const char *text, int64_t min, int64_t max, int64_t *ret_value);

/* Prints the object as one line and frees it; NULL means that there was no memory. Returns the exit code. */
int tkr_command_json_print(const char *command, json_t *object);

/*
 * Runs what looks into mapped files of others. false: one was cut short meanwhile, which has been told; what the run had open is
 * lost, so the command ends.
 */
bool tkr_command_guarded(const char *command, void (*run)(void *argument), void *argument);

/* Flushes stdout. Returns exit_code, or TKR_COMMAND_FAILED when what was printed did not get out. */
int tkr_command_end(const char *command, int exit_code);

#endif
