/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tokenring backup` and `tokenring restore` around a loss of the sink, with collectors and gateways at work: all that was
 * recorded is in the totals in the end, once.
 */
#include "integration/backup_stage.h"

#define RESET_USER 3
#define ALIEN_USER 5
#define GATEWAYS 4

/* The collector's name, as `tokenring stat` shows it. */
static void collector_name(struct stage *stage, char ret_name[17])
{
    char said[SAID_BYTES];
    json_t *answer;

    assert_int_equal(run_command(stage, (const char *const[]){"stat", "--json", NULL}, said), 0);
    answer = json_loads(said, 0, NULL);
    assert_true(json_is_string(json_object_get(answer, "collector")));
    (void)snprintf(ret_name, 17, "%s", json_string_value(json_object_get(answer, "collector")));
    json_decref(answer);
}

static void wait_forgotten(const struct stage *host)
{
    long end = process_now_ms() + SETTLE_MS;

    while (stage_first_accounts(host) > 0) {
        assert_true(process_now_ms() < end);
        process_sleep_ms(20);
    }
}

/* A host that records, and is gone for good: killed when the sink has it all. */
static void host_that_dies(const struct stage *stage)
{
    struct stage *host = host_make(stage, 3);

    stage_collector_start(host, "2");
    record(host, 3);
    wait_exact(stage);
    process_signal(&host->collector, SIGKILL);
    host_free(host);
}

/* One whose records `tokenring gc` removed. */
static void host_that_is_retired(const struct stage *stage)
{
    struct stage *host = host_make(stage, 4);
    char elsewhere[STAGE_PATH_BYTES + 8];
    char name[17];

    stage_collector_start(host, "1");
    record(host, 4);
    stage_collector_end(host, 0);
    wait_exact(stage);
    collector_name(host, name);
    (void)snprintf(elsewhere, sizeof(elsewhere), "%s/none", stage->dir);
    EXPECT(host, 0, "0 left alone", "gc", name, "--wait", "1", "--runtime-dir", elsewhere);
    host_free(host);
}

/* One that forgot what was idle, and removed its records itself. */
static void host_that_forgets(const struct stage *stage)
{
    struct stage *host = host_make(stage, 5);

    stage_env(host, "TOKENRING_FORGET_AFTER_S", "1");
    stage_collector_start(host, "1");
    record(host, 5);
    wait_exact(stage);
    wait_forgotten(host);
    stage_collector_end(host, 0);
    host_free(host);
}

static void reset_user(struct stage *stage)
{
    EXPECT(stage, 0, "now 0", "reset", "user-03", "--cycle", "2026-11-01", "--yes");
    atomic_store(&stage->truth->prompt[RESET_USER], 0);
    atomic_store(&stage->truth->completion[RESET_USER], 0);
    atomic_store(&stage->truth->calls[RESET_USER], 0);
}

/* Into a user's totals, and its model's so that these still add up; and into an account of its own. */
static void write_as_another_program(const struct stage *stage)
{
    if (!stage->redis)
        return;
    redis_do(stage, "HINCRBY token_usage:user-05:2026-11-01 prompt_tokens 12345");
    redis_do(stage, "HINCRBY token_usage.models:user-05:2026-11-01 m:\xfe"
                    "1:prompt_tokens 12345");
    redis_do(stage, "HINCRBY token_usage:alien:2026-10-01 total_tokens 777");
    atomic_fetch_add(&stage->truth->prompt[ALIEN_USER], 12345);
}

static void set_limits(struct stage *stage)
{
    EXPECT(stage, 0, "5000000 tokens", "limit", "set", "user-07", "5000000", "--cycle", "2026-11-01");
    EXPECT(stage, 0, "6000000 tokens", "limit", "set", "user-08", "6000000", "--standing");
    EXPECT(stage, 0, "7000000 tokens", "limit", "set", "unused", "7000000", "--cycle", "2026-12-01");
}

static void assert_limits(struct stage *stage)
{
    EXPECT(stage, 0, "limit 5000000 tokens", "limit", "get", "user-07", "--cycle", "2026-11-01");
    EXPECT(stage, 0, "limit 6000000 tokens (standing)", "limit", "get", "user-08", "--cycle", "2026-11-01");
    EXPECT(stage, 0, "limit 7000000 tokens", "limit", "get", "unused", "--cycle", "2026-12-01");
}

/* All that makes totals differ from the sum of records, and is not there any more to send it again. */
static void make_history(struct stage *stage, struct stage *other)
{
    stage_collector_start(stage, "2");
    stage_collector_start(other, "1");
    record(stage, 1);
    record(other, 2);
    host_that_dies(stage);
    host_that_is_retired(stage);
    host_that_forgets(stage);
    wait_exact(stage);
    reset_user(stage);
    write_as_another_program(stage);
    set_limits(stage);
    wait_exact(stage);
}

static void start_load(struct stage *stage, struct stage *other, pid_t ret_gateway[GATEWAYS])
{
    uint64_t recorded = atomic_load(&stage->truth->recorded);

    for (int i = 0; i < GATEWAYS; i++)
        ret_gateway[i] = stage_fork(i % 2 == 0 ? stage : other, record_on, 10 + i);
    stage_wait_recorded(stage, recorded + 2000);
}

static void end_load(struct stage *stage, struct stage *other, const pid_t gateway[GATEWAYS])
{
    atomic_store(&stage->truth->stop, true);
    for (int i = 0; i < GATEWAYS; i++)
        assert_int_equal(stage_exit_code(gateway[i]), 0);
    stage_wait_regions(stage, 0);
    stage_wait_regions(other, 0);
    stage_collector_end(stage, 0);
    stage_collector_end(other, 0);
}

/* Nothing is left alone. An account that was found twice is there twice, and is restored once. */
static void restore_whole(struct stage *stage, const char *path, json_int_t accounts, bool again)
{
    json_t *answer = json_of(stage, (const char *const[]){"restore", path, "--json", NULL});

    assert_int_equal(number_in(answer, "restored") + number_in(answer, "restored_before"), accounts);
    assert_int_equal(number_in(answer, "restored") == 0, again);
    assert_int_equal(number_in(answer, "left_alone"), 0);
    json_decref(answer);
}

static void test_loss_under_load_and_restore_end_exact(void **state)
{
    struct stage *stage = *state;
    struct stage *other = host_make(stage, 2);
    pid_t gateway[GATEWAYS];
    char path[FILE_BYTES];
    json_int_t accounts;

    backup_path(stage, "b.jsonl", path);
    make_history(stage, other);
    start_load(stage, other, gateway);
    accounts = NUMBER(stage, "accounts", "backup", path);
    assert_true(accounts >= STAGE_USERS + 2);
    process_sleep_ms(100);
    lose_sink(stage);
    process_sleep_ms(30); /* some of it may be sent again by now */
    restore_whole(stage, path, accounts, false);
    restore_whole(stage, path, accounts, true);
    process_sleep_ms(100);
    restore_whole(stage, path, accounts, true);
    end_load(stage, other, gateway);
    assert_int_equal(count_wrong(stage), 0);
    assert_limits(stage);
    if (stage->redis)
        assert_string_equal(redis_server_hget(&stage->server, "token_usage:alien:2026-10-01", "total_tokens"), "777");
    EXPECT(stage, 0, "0 missing, 0 forgotten, 0 ahead, 0 unwritable", "verify");
    host_free(other);
}

/* Collectors have sent all again, and more, before the restore; and one is away, and comes back after it. */
static void test_restore_after_all_was_sent_again_ends_exact(void **state)
{
    struct stage *stage = *state;
    struct stage *other = host_make(stage, 2);
    char path[FILE_BYTES];

    backup_path(stage, "b.jsonl", path);
    make_history(stage, other);
    EXPECT(stage, 0, "left out: 0", "backup", path);
    record(stage, 6);
    record(other, 7);
    wait_exact(stage);
    stage_collector_end(other, 0);
    lose_sink(stage);
    record(stage, 8);
    EXPECT(stage, 0, "left alone: 0", "restore", path);
    stage_collector_start(other, "1");
    record(other, 9);
    wait_exact(stage);
    stage_collector_end(stage, 0);
    stage_collector_end(other, 0);
    assert_int_equal(count_wrong(stage), 0);
    host_free(other);
}

/* Whoever keeps its name and loses its memory comes back as a newer life. */
static void test_host_that_lost_its_memory_at_the_same_time_ends_exact(void **state)
{
    struct stage *stage = *state;
    struct stage *other = host_make(stage, 2);
    char state_dir[STAGE_PATH_BYTES + 8];
    char command[2 * STAGE_PATH_BYTES];
    char path[FILE_BYTES];

    backup_path(stage, "b.jsonl", path);
    (void)snprintf(state_dir, sizeof(state_dir), "%s/state", stage->dir);
    stage_env(stage, "TOKENRING_STATE_DIR", state_dir);
    make_history(stage, other);
    EXPECT(stage, 0, "left out: 0", "backup", path);
    stage_collector_end(stage, 0);
    (void)snprintf(command, sizeof(command), "rm -r '%s/collector'", stage->runtime);
    assert_int_equal(system(command), 0);
    lose_sink(stage);
    for (int when = 0; when < 2; when++) { /* before the restore, and after it */
        if (when == 0)
            stage_collector_start(stage, "1");
        else
            EXPECT(stage, 0, "left alone: 0", "restore", path);
        record(stage, 8 + when);
    }
    wait_exact(stage);
    stage_collector_end(stage, 0);
    stage_collector_end(other, 0);
    assert_int_equal(count_wrong(stage), 0);
    host_free(other);
}

/* From the ledger of a host to a Redis that has nothing yet: the collector moves with its memory, and counts on. */
static void test_backup_of_a_ledger_moves_to_redis(void **state)
{
    struct stage *stage = *state;
    struct stage *ledger = host_make(stage, 2);
    char path[FILE_BYTES];

    backup_path(stage, "b.jsonl", path);
    stage_env(ledger, "TOKENRING_SINK", "sqlite");
    ledger->redis = false;
    stage_collector_start(ledger, "1");
    record(ledger, 1);
    wait_exact(ledger);
    EXPECT(ledger, 0, "left out: 0", "backup", path);
    record(ledger, 2);
    stage_collector_end(ledger, 0);
    EXPECT(stage, 0, "left alone: 0", "restore", path);
    stage_env(ledger, "TOKENRING_SINK", "redis");
    stage_collector_start(ledger, "1");
    record(ledger, 3);
    wait_exact(stage);
    stage_collector_end(ledger, 0);
    host_free(ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(test_loss_under_load_and_restore_end_exact),
        IN_BOTH(test_restore_after_all_was_sent_again_ends_exact),
        IN_BOTH(test_host_that_lost_its_memory_at_the_same_time_ends_exact),
        IN_REDIS(test_backup_of_a_ledger_moves_to_redis),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
