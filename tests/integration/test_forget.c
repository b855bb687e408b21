/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tokenring forget` beside collectors at work: nothing of the account stays, what is counted after is there and exact, and nothing
 * that was erased comes back, whatever the collector does after. `reset` and `forget` ask first.
 */
#include <jansson.h>
#include <poll.h>
#include <pty.h>

#include "integration/stage_calls.h"

#define CALLS 800
#define SETTLE_MS PROCESS_PATIENCE_MS
#define USER 3

static int record_calls(struct stage *stage, int number)
{
    return stage_record_and_sync(stage, CALLS, number, SETTLE_MS);
}

/* Records some calls of each user, by several producers so that every shard has some, and sees them in the sink. */
static void record(struct stage *stage, int number)
{
    pid_t child[4];

    for (int i = 0; i < 4; i++)
        child[i] = stage_fork(stage, record_calls, number + i);
    for (int i = 0; i < 4; i++)
        assert_int_equal(stage_exit_code(child[i]), 0);
    stage_wait_exact(stage, SETTLE_MS);
}

/* The same, seen by nobody before the collector has flushed at its end. */
static void record_until_the_end(struct stage *stage, int number)
{
    assert_int_equal(stage_exit_code(stage_fork(stage, record_calls, number)), 0);
    stage_collector_end(stage, 0);
    assert_int_equal(stage_inexact(stage), 0);
}

/* Runs `tokenring` with up to five arguments; its exit status. text: what it must say, on either stream. */
static int command(struct stage *stage, const char *const arg[5], const char *text)
{
    const char *argv[] = {TEST_BIN_DIR "/tokenring", arg[0], arg[1], arg[2], arg[3], arg[4], NULL};
    struct process process;
    int status;

    assert_int_equal(process_run(&process, argv, stage->env_list, SETTLE_MS), 0);
    status = process_exit_code(&process);
    if (strstr(process_text(&process, PROCESS_STDOUT), text) == NULL &&
        strstr(process_text(&process, PROCESS_STDERR), text) == NULL)
        fail_msg("%s lacks \"%s\": %s%s", arg[0], text, process_text(&process, PROCESS_STDOUT),
                 process_text(&process, PROCESS_STDERR));
    process_end(&process);
    return status;
}

#define COMMAND(stage, text, ...) command(stage, (const char *const[5]){__VA_ARGS__}, text)

static void clear_truth(struct stage *stage)
{
    atomic_store(&stage->truth->prompt[USER], 0);
    atomic_store(&stage->truth->completion[USER], 0);
    atomic_store(&stage->truth->calls[USER], 0);
}

/* No key has the account's name, whatever else is in it. */
static void assert_no_trace(const struct stage *stage)
{
    redisReply *reply;

    if (!stage->redis)
        return;
    reply = redis_server_command(&stage->server, "KEYS *user-03*");
    assert_non_null(reply);
    assert_int_equal(reply->elements, 0);
    freeReplyObject(reply);
}

static void forget_user(struct stage *stage)
{
    assert_int_equal(COMMAND(stage, "cycles with totals or records: 1", "forget", "user-03", "--yes"), 0);
    assert_no_trace(stage);
    clear_truth(stage);
    assert_int_equal(stage_inexact(stage), 0);
}

static void assert_nothing_is_wrong(struct stage *stage)
{
    assert_int_equal(COMMAND(stage, "\"missing\":0", "verify", "--json"), 0);
    assert_null(strstr(process_text(&stage->collector, PROCESS_STDERR), "has lost"));
    assert_null(strstr(process_text(&stage->collector, PROCESS_STDERR), "kept here"));
}

static void kill_collector(struct stage *stage)
{
    process_signal(&stage->collector, SIGKILL);
    assert_int_equal(process_wait(&stage->collector, SETTLE_MS), 0);
}

static void test_forget_beside_a_collector_leaves_nothing_and_counts_on_exactly(void **state)
{
    struct stage *stage = *state;

    stage_collector_start(stage, "2");
    record(stage, 1);
    forget_user(stage);
    assert_nothing_is_wrong(stage); /* a repair would bring it back; there is nothing to repair */
    assert_int_equal(COMMAND(stage, "\"missing\":0", "verify", "--repair", "--json"), 0);
    assert_int_equal(stage_inexact(stage), 0);
    record(stage, 2);
    assert_int_equal(process_wait_text(&stage->collector, PROCESS_STDERR,
                                       "user user-03, cycle 2026-11-01: the account was forgotten in the sink", SETTLE_MS),
                     0);
    assert_nothing_is_wrong(stage);
    forget_user(stage); /* once more, of what came since */
    kill_collector(stage);
    stage_collector_start(stage, "2");
    record(stage, 3);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
    forget_user(stage); /* while it is away */
    stage_collector_start(stage, "2");
    record(stage, 4);
    assert_int_equal(COMMAND(stage, "now 0", "reset", "user-03", "--cycle", "all", "--yes"), 0);
    clear_truth(stage);
    record(stage, 5);
    forget_user(stage); /* totals that were reset, and their records */
    record(stage, 6);
    assert_nothing_is_wrong(stage);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
}

/* The collector learns of it in the last flush, and takes the new life out too. */
static void test_forget_before_the_last_flush_is_exact(void **state)
{
    struct stage *stage = *state;

    stage_env(stage, "TOKENRING_FLUSH_INTERVAL_MS", "3600000");
    stage_collector_start(stage, "1");
    record_until_the_end(stage, 1);
    stage_collector_start(stage, "1");
    forget_user(stage);
    record_until_the_end(stage, 2);
    stage_collector_start(stage, "1");
    record_until_the_end(stage, 3);
    stage_assert_exact(stage);
}

static void test_forget_of_what_was_reset_and_of_nothing(void **state)
{
    struct stage *stage = *state;

    stage_collector_start(stage, "1");
    record(stage, 1);
    assert_int_equal(COMMAND(stage, "there is nothing about this account", "forget", "nobody", "--yes"), 1);
    assert_int_equal(COMMAND(stage, "there is nothing about this account", "forget", "user-03", "--kind", "team", "--yes"), 1);
    assert_int_equal(COMMAND(stage, "one ACCOUNT is needed", "forget"), 2);
    assert_int_equal(COMMAND(stage, "allowed is a name", "forget", "user-03", "--kind", "T"), 2);
    assert_int_equal(COMMAND(stage, "now 0", "reset", "user-03", "--cycle", "all", "--yes"), 0);
    forget_user(stage);
    assert_int_equal(COMMAND(stage, "\"cycles\":1", "forget", "user-04", "--yes", "--json"), 0);
    stage_collector_end(stage, 0);
}

static void test_without_a_terminal_yes_must_be_given(void **state)
{
    struct stage *stage = *state;

    stage_collector_start(stage, "1");
    record(stage, 1);
    assert_int_equal(COMMAND(stage, "would erase every trace of user user-03; nothing was done", "forget", "user-03"), 2);
    assert_int_equal(COMMAND(stage, "is no terminal: pass --yes\n", "forget", "user-03"), 2);
    assert_int_equal(COMMAND(stage, "would reset the totals of user-03, cycle all, to zero; nothing was done", "reset", "user-03",
                             "--cycle", "all"),
                     2);
    assert_int_equal(stage_inexact(stage), 0);
    stage_collector_end(stage, 0);
}

/* Runs `tokenring forget user-03` on a terminal, where it is answered when it asks. Its exit status. */
static int forget_on_terminal(struct stage *stage, const char *answer)
{
    char asked[1024] = "";
    size_t len = 0;
    int terminal;
    pid_t child = forkpty(&terminal, NULL, NULL, NULL);
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        for (int i = 0; stage->env_list[i] != NULL; i++)
            (void)putenv(stage->env[i]);
        (void)execl(TEST_BIN_DIR "/tokenring", "tokenring", "forget", "user-03", (char *)NULL);
        _exit(127);
    }
    while (strstr(asked, "type yes to go on: ") == NULL) {
        struct pollfd one = {.fd = terminal, .events = POLLIN};
        ssize_t n;
        assert_int_equal(poll(&one, 1, SETTLE_MS), 1);
        n = read(terminal, asked + len, sizeof(asked) - 1 - len);
        assert_true(n > 0);
        len += (size_t)n;
        asked[len] = '\0';
    }
    assert_int_equal(write(terminal, answer, strlen(answer)), strlen(answer));
    status = stage_exit_code(child);
    (void)close(terminal);
    return status;
}

static void test_on_a_terminal_it_asks_and_only_yes_is_yes(void **state)
{
    struct stage *stage = *state;

    stage_collector_start(stage, "1");
    record(stage, 1);
    assert_int_equal(forget_on_terminal(stage, "no\n"), 1);
    assert_int_equal(forget_on_terminal(stage, "y\n"), 1);
    assert_int_equal(stage_inexact(stage), 0);
    assert_int_equal(forget_on_terminal(stage, "yes\n"), 0);
    clear_truth(stage);
    assert_int_equal(stage_inexact(stage), 0);
    stage_collector_end(stage, 0);
}

/* An account that is idle after it was forgotten leaves the table as any other one. */
static void test_what_was_forgotten_leaves_the_table_and_comes_back_as_new(void **state)
{
    struct stage *stage = *state;
    long end;

    stage_env(stage, "TOKENRING_FORGET_AFTER_S", "1");
    stage_collector_start(stage, "1");
    record(stage, 1);
    forget_user(stage);
    end = process_now_ms() + SETTLE_MS;
    while (stage_first_accounts(stage) > 0) {
        assert_true(process_now_ms() < end);
        process_sleep_ms(20);
    }
    assert_int_equal(stage_inexact(stage), 0);
    record(stage, 2);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_REDIS(test_forget_beside_a_collector_leaves_nothing_and_counts_on_exactly),
        IN_LEDGER(test_forget_beside_a_collector_leaves_nothing_and_counts_on_exactly),
        IN_REDIS(test_forget_before_the_last_flush_is_exact),
        IN_LEDGER(test_forget_before_the_last_flush_is_exact),
        IN_REDIS(test_forget_of_what_was_reset_and_of_nothing),
        IN_LEDGER(test_forget_of_what_was_reset_and_of_nothing),
        IN_LEDGER(test_without_a_terminal_yes_must_be_given),
        IN_LEDGER(test_on_a_terminal_it_asks_and_only_yes_is_yes),
        IN_REDIS(test_what_was_forgotten_leaves_the_table_and_comes_back_as_new),
        IN_LEDGER(test_what_was_forgotten_leaves_the_table_and_comes_back_as_new),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
