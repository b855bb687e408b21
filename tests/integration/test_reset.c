/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tokenring reset` beside a collector at work: the account counts from zero, and nothing that was reset comes back, whatever the
 * collector does after; everybody else's totals stay.
 */
#include <jansson.h>

#include "integration/stage_calls.h"

#define CALLS 800
#define SETTLE_MS PROCESS_PATIENCE_MS
#define RESET_USER 3

static int record_calls(struct stage *stage, int number)
{
    return stage_record_and_sync(stage, CALLS, number, SETTLE_MS);
}

/* Records some calls of each user and sees them in the sink. */
static void record(struct stage *stage, int number)
{
    assert_int_equal(stage_exit_code(stage_fork(stage, record_calls, number)), 0);
    stage_wait_exact(stage, SETTLE_MS);
}

/* Runs `tokenring reset`; its exit status. text: what it must say, on either stream. */
static int reset(struct stage *stage, const char *account, const char *cycle, const char *kind, const char *text)
{
    const char *argv[] = {TEST_BIN_DIR "/tokenring", "reset", account, "--cycle", cycle, "--kind", kind, "--yes", NULL};
    struct process process;
    int status;

    assert_int_equal(process_run(&process, argv, stage->env_list, SETTLE_MS), 0);
    status = process_exit_code(&process);
    if (strstr(process_text(&process, PROCESS_STDOUT), text) == NULL &&
        strstr(process_text(&process, PROCESS_STDERR), text) == NULL)
        fail_msg("reset lacks \"%s\": %s%s", text, process_text(&process, PROCESS_STDOUT),
                 process_text(&process, PROCESS_STDERR));
    process_end(&process);
    return status;
}

static void reset_user(struct stage *stage)
{
    char text[64];

    (void)snprintf(
        text, sizeof(text), "2026-11-01: %lld tokens, ",
        (long long)(atomic_load(&stage->truth->prompt[RESET_USER]) + atomic_load(&stage->truth->completion[RESET_USER])));
    assert_int_equal(reset(stage, "user-03", "2026-11-01", "user", text), 0);
    atomic_store(&stage->truth->prompt[RESET_USER], 0);
    atomic_store(&stage->truth->completion[RESET_USER], 0);
    atomic_store(&stage->truth->calls[RESET_USER], 0);
    assert_int_equal(stage_inexact(stage), 0);
}

static void kill_collector(struct stage *stage)
{
    process_signal(&stage->collector, SIGKILL);
    assert_int_equal(process_wait(&stage->collector, SETTLE_MS), 0);
}

static void lose_memory(const struct stage *stage)
{
    char command[2 * STAGE_PATH_BYTES];

    (void)snprintf(command, sizeof(command), "rm -r '%s/collector'", stage->runtime);
    assert_int_equal(system(command), 0);
}

static void test_reset_beside_a_collector_starts_from_zero_and_nothing_returns(void **state)
{
    struct stage *stage = *state;
    char state_dir[STAGE_PATH_BYTES + 8];

    (void)snprintf(state_dir, sizeof(state_dir), "%s/state", stage->dir);
    stage_env(stage, "TOKENRING_STATE_DIR", state_dir);
    stage_collector_start(stage, "1");
    record(stage, 1);
    reset_user(stage);
    record(stage, 2);
    reset_user(stage); /* once more, of what came since */
    record(stage, 3);
    kill_collector(stage);
    stage_collector_start(stage, "2"); /* restarted: nothing is sent again */
    record(stage, 4);
    stage_collector_end(stage, 0);
    lose_memory(stage);
    stage_collector_start(stage, "1"); /* a newer life of the same name: the older one is folded */
    record(stage, 5);
    reset_user(stage);
    record(stage, 6);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
}

static uint64_t accounts(const struct stage *stage)
{
    struct tkr_law law = stage_first_law(stage);

    return law.accounts;
}

static void test_what_was_reset_stays_so_when_it_is_forgotten(void **state)
{
    struct stage *stage = *state;
    long end;

    stage_env(stage, "TOKENRING_FORGET_AFTER_S", "1");
    stage_collector_start(stage, "1");
    record(stage, 1);
    reset_user(stage);
    end = process_now_ms() + SETTLE_MS;
    while (accounts(stage) > 0) {
        assert_true(process_now_ms() < end);
        process_sleep_ms(20);
    }
    assert_int_equal(stage_inexact(stage), 0);
    record(stage, 2);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
}

static void test_reset_of_nothing_or_of_another_kind_or_cycle_changes_nothing(void **state)
{
    struct stage *stage = *state;
    const char *argv[] = {TEST_BIN_DIR "/tokenring", "reset", "user-03", NULL};
    struct process process;

    stage_collector_start(stage, "1");
    record(stage, 1);
    assert_int_equal(reset(stage, "nobody", "all", "user", "nobody: there is nothing about this account"), 1);
    assert_int_equal(reset(stage, "user-03", "2026-12-01", "user", "there is nothing"), 1);
    assert_int_equal(reset(stage, "user-03", "all", "team", "there is nothing"), 1);
    assert_int_equal(reset(stage, "user-03", "today", "user", "allowed is a date"), 2);
    assert_int_equal(process_run(&process, argv, stage->env_list, SETTLE_MS), 0);
    assert_int_equal(process_exit_code(&process), 2); /* which cycle must be said */
    process_end(&process);
    assert_int_equal(stage_inexact(stage), 0);
    stage_collector_end(stage, 0);
}

static void test_reset_leaves_the_limit_that_an_administrator_set(void **state)
{
    struct stage *stage = *state;
    redisReply *reply;

    stage_collector_start(stage, "1");
    record(stage, 1);
    reply = redis_server_command(&stage->server, "HSET token_usage:user-03:2026-11-01 usage_limit 5000");
    assert_non_null(reply);
    freeReplyObject(reply);
    reset_user(stage);
    assert_string_equal(redis_server_hget(&stage->server, "token_usage:user-03:2026-11-01", "usage_limit"), "5000");
    assert_string_equal(redis_server_hget(&stage->server, "token_usage:user-03:2026-11-01", "total_tokens"), "");
    record(stage, 2);
    stage_collector_end(stage, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_REDIS(test_reset_beside_a_collector_starts_from_zero_and_nothing_returns),
        IN_LEDGER(test_reset_beside_a_collector_starts_from_zero_and_nothing_returns),
        IN_REDIS(test_what_was_reset_stays_so_when_it_is_forgotten),
        IN_LEDGER(test_what_was_reset_stays_so_when_it_is_forgotten),
        IN_REDIS(test_reset_of_nothing_or_of_another_kind_or_cycle_changes_nothing),
        IN_LEDGER(test_reset_of_nothing_or_of_another_kind_or_cycle_changes_nothing),
        IN_REDIS(test_reset_leaves_the_limit_that_an_administrator_set),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
