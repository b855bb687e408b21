/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A collector that loses its memory again and again and keeps its name, as after reboots: the sink's memory stays that of one
 * life, and totals are exact.
 */
#include <sqlite3.h>

#include "integration/crowd.h"

#define ACCOUNTS 1000

static int set_up_named(void **state, int (*set_up)(void **state))
{
    struct stage *stage;
    char path[STAGE_PATH_BYTES];

    if (set_up(state) != 0)
        return -1;
    stage = *state;
    (void)snprintf(path, sizeof(path), "%s/state", stage->dir);
    stage_env(stage, "TOKENRING_STATE_DIR", path);
    stage_env(stage, "TOKENRING_FLUSH_INTERVAL_MS", "10");
    return 0;
}

static int set_up(void **state)
{
    return set_up_named(state, stage_set_up);
}

static int set_up_redis(void **state)
{
    return set_up_named(state, stage_set_up_redis);
}

static int lives(void)
{
    return procfs_instrumented() ? 10 : 50;
}

static void lose_memory(const struct stage *stage)
{
    const char *argv[] = {"rm", "-r", stage->runtime, NULL};
    struct process rm;

    assert_int_equal(process_run(&rm, argv, NULL, STAGE_DEADLINE_MS), 0);
    assert_int_equal(process_exit_code(&rm), 0);
    process_end(&rm);
    assert_int_equal(mkdir(stage->runtime, 0700), 0);
}

/* A life of the collector: a call of each account, all of it flushed, then the memory is gone. */
static void live_once(struct stage *stage)
{
    crowd_plan = (struct crowd_plan){.count = ACCOUNTS, .rounds = 1, .cycle = STAGE_CYCLE};
    stage_collector_start(stage, "1");
    assert_int_equal(stage_exit_code(stage_fork(stage, crowd_record, 0)), 0); /* all is counted */
    stage_collector_end(stage, 0);
    lose_memory(stage);
}

/* --- Redis --- */

/* Bytes of all keys of a pattern, as MEMORY USAGE has them. */
static long long memory_of_keys(const struct stage *stage, const char *pattern)
{
    redisContext *context = redis_server_context(&stage->server);
    redisReply *keys;
    long long sum = 0;

    assert_non_null(context);
    keys = redisCommand(context, "KEYS %s", pattern);
    assert_non_null(keys);
    for (size_t i = 0; i < keys->elements; i++)
        assert_int_equal(redisAppendCommand(context, "MEMORY USAGE %b SAMPLES 0", keys->element[i]->str, keys->element[i]->len),
                         REDIS_OK);
    for (size_t i = 0; i < keys->elements; i++) {
        void *reply = NULL;
        assert_int_equal(redisGetReply(context, &reply), REDIS_OK);
        sum += ((redisReply *)reply)->integer;
        freeReplyObject(reply);
    }
    freeReplyObject(keys);
    redisFree(context);
    return sum;
}

static void test_fifty_lives_leave_redis_with_the_memory_of_one(void **state)
{
    struct stage *stage = *state;
    long long first_users;
    long long first_records;
    long long users;
    long long records;

    live_once(stage);
    first_users = memory_of_keys(stage, "token_usage*");
    first_records = memory_of_keys(stage, "tr1:*");
    for (int i = 1; i < lives(); i++)
        live_once(stage);
    users = memory_of_keys(stage, "token_usage*");
    records = memory_of_keys(stage, "tr1:*");
    print_message("%d accounts in Redis after 1 life: %lld + %lld bytes; after %d: %lld + %lld\n", ACCOUNTS, first_users,
                  first_records, lives(), users, records);
    assert_true(first_records > 0 && first_users > 0);
    assert_true(10 * records <= 13 * first_records);
    assert_true(10 * (users + records) <= 13 * (first_users + first_records));
    crowd_assert_exact(stage, ACCOUNTS, lives());
}

/* --- the ledger --- */

static int64_t ask_ledger(const struct stage *stage, const char *question)
{
    sqlite3_stmt *statement;
    sqlite3 *ledger;
    int64_t answer;

    assert_int_equal(sqlite3_open_v2(stage->ledger, &ledger, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(ledger, question, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    answer = sqlite3_column_int64(statement, 0);
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    assert_int_equal(sqlite3_close(ledger), SQLITE_OK);
    return answer;
}

static int64_t ledger_bytes(const struct stage *stage)
{
    return ask_ledger(stage, "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()");
}

/* From the second life on there is a base row beside the row of the life: two rows, for good. */
static void test_fifty_lives_leave_the_ledger_with_the_rows_of_two(void **state)
{
    struct stage *stage = *state;
    int64_t second_bytes;
    int64_t first_bytes;
    int64_t bytes;

    live_once(stage);
    first_bytes = ledger_bytes(stage);
    assert_int_equal(ask_ledger(stage, "SELECT count(*) FROM contribution"), ACCOUNTS);
    live_once(stage);
    second_bytes = ledger_bytes(stage);
    for (int i = 2; i < lives(); i++)
        live_once(stage);
    bytes = ledger_bytes(stage);
    print_message("%d accounts in the ledger after 1 life: %lld bytes; 2: %lld; %d: %lld\n", ACCOUNTS, (long long)first_bytes,
                  (long long)second_bytes, lives(), (long long)bytes);
    assert_int_equal(ask_ledger(stage, "SELECT count(*) FROM contribution"), 2 * ACCOUNTS);
    assert_true(10 * bytes <= 13 * second_bytes);
    crowd_assert_exact(stage, ACCOUNTS, lives());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fifty_lives_leave_redis_with_the_memory_of_one, set_up_redis, stage_tear_down),
        cmocka_unit_test_setup_teardown(test_fifty_lives_leave_the_ledger_with_the_rows_of_two, set_up, stage_tear_down),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
