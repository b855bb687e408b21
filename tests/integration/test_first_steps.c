/* SPDX-License-Identifier: Apache-2.0 */
/* What a new user meets: commands before a collector ever ran, reports without rows, and what each of them says to do. */
#include "integration/collector_stage.h"

/* Runs `tokenring` with up to six arguments; its exit status. Each of the texts must be said, on either stream. */
static int command(struct stage *stage, const char *const arg[6], const char *const *texts)
{
    const char *argv[] = {TEST_BIN_DIR "/tokenring", arg[0], arg[1], arg[2], arg[3], arg[4], arg[5], NULL};
    struct process process;
    int status;

    assert_int_equal(process_run(&process, argv, stage->env_list, STAGE_DEADLINE_MS), 0);
    for (; *texts != NULL; texts++) {
        if (strstr(process_text(&process, PROCESS_STDOUT), *texts) == NULL &&
            strstr(process_text(&process, PROCESS_STDERR), *texts) == NULL)
            fail_msg("%s lacks \"%s\": %s%s", arg[0], *texts, process_text(&process, PROCESS_STDOUT),
                     process_text(&process, PROCESS_STDERR));
    }
    status = process_exit_code(&process);
    process_end(&process);
    return status;
}

#define SAYS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define COMMAND(stage, texts, ...) command(stage, (const char *const[6]){__VA_ARGS__}, texts)

static void test_usage_before_a_collector_ever_ran_says_to_start_one(void **state)
{
    struct stage *stage = *state;

    assert_int_equal(COMMAND(stage,
                             SAYS("no ledger at ", "/ledger.db yet; start tokenringd, which makes it, or name another by "
                                                   "TOKENRING_LEDGER or TOKENRING_STATE_DIR\n"),
                             "usage"),
                     1);
    assert_int_equal(COMMAND(stage, SAYS("start tokenringd"), "limit", "list"), 1);
    assert_int_equal(COMMAND(stage, SAYS("start tokenringd"), "report", "--from", "2026-11-01", "--to", "2026-12-01"), 1);
}

static void test_command_without_a_runtime_directory_names_it_and_the_variable(void **state)
{
    static const char *const looking[] = {"stat", "health", "verify"};
    struct stage *stage = *state;

    stage_env(stage, "TOKENRING_RUNTIME_DIR", "/dev/shm/tokenring-nobody-made-this");
    for (size_t i = 0; i < sizeof(looking) / sizeof(looking[0]); i++)
        assert_int_equal(COMMAND(stage,
                                 SAYS("there is no runtime directory /dev/shm/tokenring-nobody-made-this; start tokenringd",
                                      "set TOKENRING_RUNTIME_DIR"),
                                 looking[i]),
                         1);
    assert_int_equal(COMMAND(stage,
                             SAYS("could not be opened: there is no runtime directory /dev/shm/tokenring-nobody-made-this",
                                  "set TOKENRING_RUNTIME_DIR"),
                             "simulate", "--calls", "10"),
                     1);
}

static void test_collector_without_a_place_for_its_directory_names_it_and_the_variable(void **state)
{
    const char *argv[] = {COLLECTOR, NULL};
    struct stage *stage = *state;
    struct process process;

    stage_env(stage, "TOKENRING_RUNTIME_DIR", "/no/such/folder/tokenring");
    assert_int_equal(process_run(&process, argv, stage->env_list, STAGE_DEADLINE_MS), 0);
    assert_int_equal(process_exit_code(&process), 1);
    if (strstr(process_text(&process, PROCESS_STDERR),
               "the runtime directory /no/such/folder/tokenring cannot be made: No such "
               "file or directory; set TOKENRING_RUNTIME_DIR to a directory on a tmpfs") == NULL)
        fail_msg("%s", process_text(&process, PROCESS_STDERR));
    process_end(&process);
}

static void test_what_has_no_rows_says_so(void **state)
{
    struct stage *stage = *state;

    stage_collector_start(stage, "1");
    stage_wait_ledger(stage);
    assert_int_equal(COMMAND(stage, SAYS("(no usage that was asked for)\n"), "usage"), 0);
    assert_int_equal(COMMAND(stage, SAYS("(no usage in these cycles)\n"), "report", "--from", "2026-11-01", "--to", "2026-12-01"),
                     0);
    assert_int_equal(COMMAND(stage, SAYS("(no limit is set)\n"), "limit", "list"), 0);
    assert_int_equal(COMMAND(stage, SAYS("(no account is so near its limit)\n"), "limit", "list", "--near", "0.5"), 0);
    stage_collector_end(stage, 0);
}

static void test_limit_of_all_cycles_is_what_its_help_says(void **state)
{
    struct stage *stage = *state;

    stage_collector_start(stage, "1");
    stage_wait_ledger(stage);
    assert_int_equal(COMMAND(stage, SAYS("set and clear: all is the standing"), "limit", "--help"), 0);
    assert_int_equal(COMMAND(stage, SAYS("standing: 500 tokens\n"), "limit", "set", "alice", "500", "--cycle", "all"), 0);
    assert_int_equal(COMMAND(stage, SAYS("standing", "500", "alice"), "limit", "list", "--cycle", "all"), 0);
    assert_int_equal(COMMAND(stage, SAYS("--cycle=all: get tells of one cycle"), "limit", "get", "alice", "--cycle", "all"), 2);
    assert_int_equal(COMMAND(stage, SAYS("standing: no limit\n"), "limit", "clear", "alice", "--cycle", "all"), 0);
    stage_collector_end(stage, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_LEDGER(test_usage_before_a_collector_ever_ran_says_to_start_one),
        IN_LEDGER(test_command_without_a_runtime_directory_names_it_and_the_variable),
        IN_LEDGER(test_collector_without_a_place_for_its_directory_names_it_and_the_variable),
        IN_BOTH(test_what_has_no_rows_says_so),
        IN_BOTH(test_limit_of_all_cycles_is_what_its_help_says),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
