/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Redis that goes back, in each way that operators know, and the ways that only look like it: what was lost comes back to the
 * token, what was reset does not.
 */
#include <jansson.h>

#include "integration/stage_calls.h"

#define CALLS 2000
#define SETTLE_MS PROCESS_PATIENCE_MS

static int record_calls(struct stage *stage, int number)
{
    return stage_record_and_sync(stage, CALLS, number, SETTLE_MS);
}

static void record(struct stage *stage, int number)
{
    assert_int_equal(stage_exit_code(stage_fork(stage, record_calls, number)), 0);
}

static bool user_is_exact(const struct stage *stage, const struct stage_rows *rows, int user)
{
    char id[16];
    int len = snprintf(id, sizeof(id), "user-%02d", user);
    tkr_counts counts = stage_counts(rows, TKR_KIND_USER, id, (uint32_t)len);

    return counts.value[TKR_COUNTER_PROMPT] == atomic_load(&stage->truth->prompt[user]) &&
           counts.value[TKR_COUNTER_COMPLETION] == atomic_load(&stage->truth->completion[user]) &&
           counts.value[TKR_COUNTER_CALLS] == atomic_load(&stage->truth->calls[user]);
}

static int users_exact(const struct stage *stage)
{
    struct stage_rows *rows = stage_read(stage);
    int exact = 0;

    for (int user = 0; user < STAGE_USERS; user++)
        exact += user_is_exact(stage, rows, user);
    free(rows);
    return exact;
}

/* Waits until so many users are exact in Redis. */
static void wait_exact(const struct stage *stage, int users)
{
    long end = process_now_ms() + SETTLE_MS;

    while (users_exact(stage) != users) {
        if (process_now_ms() > end)
            fail_msg("%d of %d users are exact", users_exact(stage), users);
        process_sleep_ms(20);
    }
}

static void command(const struct stage *stage, const char *text)
{
    redisReply *reply = redis_server_command(&stage->server, text);

    assert_non_null(reply);
    assert_int_not_equal(reply->type, REDIS_REPLY_ERROR);
    freeReplyObject(reply);
}

static void wait_said(struct stage *stage, const char *text)
{
    if (process_wait_text(&stage->collector, PROCESS_STDERR, text, SETTLE_MS) != 0)
        fail_msg("the collector does not say \"%s\": %s", text, process_text(&stage->collector, PROCESS_STDERR));
}

/* The number that `tokenring verify --json` gives for a key; also with --repair. */
static json_int_t verify(struct stage *stage, const char *key, bool repair)
{
    const char *argv[] = {TEST_BIN_DIR "/tokenring", "verify", "--json", repair ? "--repair" : NULL, NULL};
    struct process process;
    json_t *answer;
    json_int_t number;

    assert_int_equal(process_run(&process, argv, stage->env_list, SETTLE_MS), 0);
    answer = json_loads(process_text(&process, PROCESS_STDOUT), 0, NULL);
    if (answer == NULL)
        fail_msg("verify: %s", process_text(&process, PROCESS_STDERR));
    number = json_integer_value(json_object_get(answer, key));
    json_decref(answer);
    process_end(&process);
    return number;
}

static void test_flushall_without_disconnect_comes_back_whole(void **state)
{
    struct stage *stage = *state;

    stage_collector_start(stage, "2");
    record(stage, 1);
    wait_exact(stage, STAGE_USERS);
    command(stage, "FLUSHALL");
    wait_said(stage, "the sink has gone back");
    wait_exact(stage, STAGE_USERS);
    record(stage, 2);
    wait_exact(stage, STAGE_USERS);
    assert_int_equal(verify(stage, "agree", false), verify(stage, "accounts", false));
    stage_collector_end(stage, 0);
}

static void test_flushall_under_load_comes_back_whole(void **state)
{
    struct stage *stage = *state;
    pid_t child[4];

    stage_collector_start(stage, "2");
    for (int i = 0; i < 4; i++)
        child[i] = stage_fork(stage, record_calls, i);
    for (int i = 0; i < 5; i++) {
        command(stage, "FLUSHALL");
        process_sleep_ms(60); /* in the middle of whatever it does */
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(stage_exit_code(child[i]), 0);
    wait_exact(stage, STAGE_USERS);
    stage_collector_end(stage, 0);
}

static void test_flushall_while_the_collector_is_away_comes_back_whole(void **state)
{
    struct stage *stage = *state;

    stage_collector_start(stage, "1");
    record(stage, 1);
    wait_exact(stage, STAGE_USERS);
    process_signal(&stage->collector, SIGKILL);
    assert_int_equal(process_wait(&stage->collector, SETTLE_MS), 0);
    command(stage, "FLUSHALL");
    stage_collector_start(stage, "3");
    wait_exact(stage, STAGE_USERS);
    stage_collector_end(stage, 0);
}

static void test_collector_killed_while_it_compares_goes_on_comparing(void **state)
{
    struct stage *stage = *state;

    stage_collector_start(stage, "1");
    record(stage, 1);
    wait_exact(stage, STAGE_USERS);
    command(stage, "FLUSHALL");
    wait_said(stage, "the sink has gone back");
    process_signal(&stage->collector, SIGKILL);
    assert_int_equal(process_wait(&stage->collector, SETTLE_MS), 0);
    stage_collector_start(stage, "1");
    wait_exact(stage, STAGE_USERS);
    stage_collector_end(stage, 0);
}

static void test_older_copy_restored_comes_back_whole(void **state)
{
    struct stage *stage = *state;

    stage_collector_start(stage, "2");
    record(stage, 1);
    wait_exact(stage, STAGE_USERS);
    command(stage, "SAVE");
    record(stage, 2);
    wait_exact(stage, STAGE_USERS);
    redis_server_kill(&stage->server); /* comes back with what was saved */
    assert_int_equal(redis_server_restart(&stage->server), 0);
    wait_said(stage, "the sink has gone back");
    wait_exact(stage, STAGE_USERS);
    record(stage, 3);
    wait_exact(stage, STAGE_USERS);
    stage_collector_end(stage, 0);
}

static void test_deleted_user_key_is_a_reset_and_nothing_returns(void **state)
{
    struct stage *stage = *state;

    stage_collector_start(stage, "1");
    record(stage, 1);
    wait_exact(stage, STAGE_USERS);
    command(stage, "DEL token_usage:user-03:2026-11-01");
    atomic_store(&stage->truth->prompt[3], 0);
    atomic_store(&stage->truth->completion[3], 0);
    atomic_store(&stage->truth->calls[3], 0);
    record(stage, 2);
    wait_exact(stage, STAGE_USERS);
    assert_int_equal(verify(stage, "missing", false), 0);
    stage_collector_end(stage, 0);
}

static void test_lost_record_is_parked_until_it_is_repaired(void **state)
{
    struct stage *stage = *state;

    stage_collector_start(stage, "1");
    record(stage, 1);
    wait_exact(stage, STAGE_USERS);
    command(stage, "DEL tr1:{0}:user-05:2026-11-01 token_usage:user-05:2026-11-01");
    assert_int_equal(verify(stage, "missing", false), 1);
    record(stage, 2);
    wait_said(stage, "the sink has lost this collector's record of it");
    wait_exact(stage, STAGE_USERS - 1);
    assert_int_equal(verify(stage, "repaired", true), 1);
    wait_exact(stage, STAGE_USERS);
    assert_int_equal(verify(stage, "missing", false), 0);
}

static void test_record_ahead_of_us_is_kept_and_ours_goes_on(void **state)
{
    struct stage *stage = *state;
    const char *argv[] = {TEST_BIN_DIR "/tokenring", "stat", "--json", NULL};
    struct process process;
    json_t *stat;
    char set[256];

    stage_collector_start(stage, "1");
    record(stage, 1);
    wait_exact(stage, STAGE_USERS);
    assert_int_equal(process_run(&process, argv, stage->env_list, SETTLE_MS), 0);
    stat = json_loads(process_text(&process, PROCESS_STDOUT), 0, NULL);
    /* life 2^62 or so: nine bytes of varint, then nothing counted */
    (void)snprintf(set, sizeof(set), "HSET tr1:{0}:user-07:2026-11-01 %s %s",
                   json_string_value(json_object_get(json_array_get(json_object_get(stat, "shards"), 0), "source")),
                   "\xff\xff\xff\xff\xff\xff\xff\xff\x3f");
    json_decref(stat);
    process_end(&process);
    command(stage, set);
    assert_int_equal(verify(stage, "ahead", true), 1); /* a repair does not touch it */
    record(stage, 2);
    wait_said(stage, "the sink's record is ahead of this collector");
    wait_exact(stage, STAGE_USERS); /* what was acknowledged, and the rest as a new life */
    assert_int_equal(verify(stage, "ahead", false), 0);
    stage_collector_end(stage, 0);
}

#define GONE_BACK_TEST(test) cmocka_unit_test_setup_teardown(test, stage_set_up_redis, stage_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        GONE_BACK_TEST(test_flushall_without_disconnect_comes_back_whole),
        GONE_BACK_TEST(test_flushall_under_load_comes_back_whole),
        GONE_BACK_TEST(test_flushall_while_the_collector_is_away_comes_back_whole),
        GONE_BACK_TEST(test_collector_killed_while_it_compares_goes_on_comparing),
        GONE_BACK_TEST(test_older_copy_restored_comes_back_whole),
        GONE_BACK_TEST(test_deleted_user_key_is_a_reset_and_nothing_returns),
        GONE_BACK_TEST(test_lost_record_is_parked_until_it_is_repaired),
        GONE_BACK_TEST(test_record_ahead_of_us_is_kept_and_ours_goes_on),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
