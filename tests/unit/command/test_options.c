/* SPDX-License-Identifier: Apache-2.0 */
/* How `tokenring` answers to its arguments: exit codes, and sentences that name option, value and what is allowed. */
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "support/process.h"

#define COMMAND TEST_BIN_DIR "/tokenring"
#define ARGS_MAX 6
#define DEADLINE_MS PROCESS_PATIENCE_MS

struct run {
    const char *arg[ARGS_MAX]; /* after the program's name */
    const char *text;          /* that stands in its output, or its error output */
};

/* Runs it, expects the exit code and the text on one stream, and nothing on the other. */
static void expect(const struct run *run, int exit_code, enum process_stream stream)
{
    const char *argv[ARGS_MAX + 2] = {COMMAND};
    struct process process;
    const char *said;

    for (int i = 0; i < ARGS_MAX; i++)
        argv[i + 1] = run->arg[i];
    assert_int_equal(process_run(&process, argv, NULL, DEADLINE_MS), 0);
    said = process_text(&process, stream);
    if (process_exit_code(&process) != exit_code || strstr(said, run->text) == NULL)
        fail_msg("exit code %d, said \"%s\" instead of \"%s\"", process_exit_code(&process), said, run->text);
    assert_string_equal(process_text(&process, stream == PROCESS_STDERR ? PROCESS_STDOUT : PROCESS_STDERR), "");
    process_end(&process);
}

static void test_help_and_version_are_printed(void **state)
{
    static const struct run runs[] = {
        {{"--help"}, "Commands:\n"},
        {{"-h"}, "  replay "},
        {{"help"}, "Exit codes: 0 ok; 1 the answer is no or the work failed; 2 wrong usage.\n"},
        {{"--version"}, "tokenring 0."},
        {{"replay", "--help"}, "--producers N      producer processes, 1..64; default 4"},
        {{"replay", "-h", "--nonsense"}, "tokenring replay FILE.csv..."},
        {{"simulate", "--help"}, "0 ok; 1 the answer is no or the work failed; 2 wrong usage.\n"},
        {{"top", "--help"}, "--once             print one picture as text"},
        {{"tail", "--help"}, "--errors           only calls that failed"},
        {{"dump", "--help"}, "tokenring dump FILE [OPTION]..."},
        {{"doctor", "-h"}, "1 says that there are errors; with warnings alone it is 0.\n"},
        {{"backup", "--help"}, "--deadline SECONDS  give up after so long, 1..604800; default 3600."},
        {{"restore", "--help"}, "--dry-run          print what would be done to each account; change nothing\n"},
        {{"usage", "--help"}, "0 ok; 1 the answer is no or the work failed; 2 wrong usage.\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
        expect(&runs[i], 0, PROCESS_STDOUT);
}

static void test_wrong_usage_is_told_in_one_sentence(void **state)
{
    static const struct run runs[] = {
        {{NULL}, "tokenring: a command is missing; see 'tokenring --help'\n"},
        {{"frob"}, "tokenring: frob: no such command; allowed are "},
        {{"replay"}, "tokenring replay: a FILE is missing; see 'tokenring replay --help'\n"},
        {{"replay", "--frob"}, "tokenring replay: --frob: no such option, or short for several; allowed are --prod"},
        {{"replay", "--s=1", "f"}, "tokenring replay: --s=1: no such option, or short for several; allowed are "},
        {{"replay", "-x", "f"}, "tokenring replay: -x: no such option; allowed are --producers, "},
        {{"replay", "f", "--users"}, "tokenring replay: --users: a value is missing; see 'tokenring replay --help'\n"},
        {{"replay", "--json=x", "f"}, "tokenring replay: --json=x: the option takes no value\n"},
        {{"replay", "--producers=0"}, "tokenring replay: --producers=0: allowed is an integer from 1 to 64\n"},
        {{"replay", "--producers", "65"}, "--producers=65: allowed is an integer from 1 to 64\n"},
        {{"replay", "--users=1e3"}, "--users=1e3: allowed is an integer from 1 to 1000000\n"},
        {{"replay", "--users="}, "--users=: allowed is an integer from 1 to 1000000\n"},
        {{"replay", "--seed=-1"}, "--seed=-1: allowed is an integer from 0 to 9223372036854775807\n"},
        {{"replay", "--sync=0"}, "--sync=0: allowed is an integer from 1 to 3600\n"},
        {{"replay", "--speed=0"}, "--speed=0: allowed is max, realtime or a number from 0.001 to 1000000\n"},
        {{"replay", "--speed=fast"}, "--speed=fast: allowed is max, realtime or a number from 0.001 to 1000000\n"},
        {{"replay", "--speed=1.2.3"}, "--speed=1.2.3: allowed is max, realtime or a number from 0.001 to 1000000\n"},
        {{"replay", "--speed=."}, "--speed=.: allowed is max, realtime or a number from 0.001 to 1000000\n"},
        {{"simulate", "--calls=0"}, "tokenring simulate: --calls=0: allowed is an integer from 1 to 1000000000000\n"},
        {{"simulate", "--kill=5"}, "tokenring simulate: --kill=5: there are 4 producers\n"},
        {{"simulate", "--rate=x"}, "--rate=x: allowed is an integer from 1 to 100000000\n"},
        {{"simulate", "f.csv"}, "tokenring simulate: f.csv: no operand is allowed; see 'tokenring simulate --help'\n"},
        {{"top", "--frob"}, "tokenring top: --frob: no such option, or short for several; allowed are --once, --interval, "},
        {{"dump"}, "tokenring dump: a FILE is missing; see 'tokenring dump --help'\n"},
        {{"doctor", "x"}, "tokenring doctor: x: no operand is allowed; see 'tokenring doctor --help'\n"},
        {{"usage", "--cycle=2023-02-29"}, "tokenring usage: --cycle=2023-02-29: allowed is a date YYYY-MM-DD or all\n"},
        {{"usage", "--kind=Team"}, "--kind=Team: allowed is a name of 1 to 12 letters a-z or '_', which neither "},
        {{"usage", "--top=0"}, "--top=0: allowed is an integer from 1 to 1000000000\n"},
        {{"usage", "alice", "bob"}, "tokenring usage: bob: one ACCOUNT is allowed\n"},
        {{"usage", ""}, "tokenring usage: ACCOUNT=: allowed are 1 to 255 bytes\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
        expect(&runs[i], 2, PROCESS_STDERR);
}

static void test_work_that_cannot_be_done_is_told(void **state)
{
    static const struct run runs[] = {
        {{"replay", "/nonexistent/f.csv"}, "tokenring replay: /nonexistent/f.csv: No such file or directory\n"},
        {{"replay", "/dev/null"}, "tokenring replay: /dev/null: line 1: the file is empty; "},
        {{"replay", "-"}, "tokenring replay: -: line 1: the file is empty; "}, /* its standard input is /dev/null */
        {{"replay", "/"}, "tokenring replay: /: Is a directory\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
        expect(&runs[i], 1, PROCESS_STDERR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help_and_version_are_printed),
        cmocka_unit_test(test_wrong_usage_is_told_in_one_sentence),
        cmocka_unit_test(test_work_that_cannot_be_done_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
