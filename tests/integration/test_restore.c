/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `tokenring backup` and `tokenring restore` refuse and leave alone, and what a kill leaves: accounts that are whole or not
 * there, and a file that is whole or the one before.
 */
#include "integration/backup_stage.h"

#define ACCOUNTS 4000 /* so many that a restore lasts */
#define KILLS 12

/* --- what is in Redis --- */

/* DUMP of all keys, in the order of their names; freed by the caller. Two of what is the same are the same. */
static char *dump_all(const struct stage *stage)
{
    static const char script[] = "local keys=redis.call('KEYS','*') table.sort(keys) local out={}"
                                 " for i,k in ipairs(keys) do out[#out+1]=k out[#out+1]=redis.sha1hex(redis.call('DUMP',k)) end"
                                 " return table.concat(out,'\\n')";
    redisReply *reply = redis_server_command(&stage->server, "EVAL %s 0", script);
    char *dump;

    assert_non_null(reply);
    if (reply->type != REDIS_REPLY_STRING)
        fail_msg("%s", reply->str);
    dump = strdup(reply->str);
    assert_non_null(dump);
    freeReplyObject(reply);
    return dump;
}

static void assert_unchanged(const struct stage *stage, char *before)
{
    char *after = dump_all(stage);

    if (strcmp(before, after) != 0)
        fail_msg("Redis has changed: from\n%s\nto\n%s", before, after);
    free(before);
    free(after);
}

static int64_t keys(const struct stage *stage)
{
    redisReply *reply = redis_server_command(&stage->server, "DBSIZE");
    int64_t count;

    assert_non_null(reply);
    count = reply->integer;
    freeReplyObject(reply);
    return count;
}

/* Many accounts of other programs, each with figures of its own. */
static void fill(const struct stage *stage)
{
    redisContext *context = redis_server_context(&stage->server);

    assert_non_null(context);
    for (int i = 0; i < ACCOUNTS; i++)
        assert_int_equal(redisAppendCommand(context, "HSET token_usage:a%d:2026-11-01 prompt_tokens %d calls 3", i, i + 1),
                         REDIS_OK);
    for (int i = 0; i < ACCOUNTS; i++) {
        void *reply = NULL;
        assert_int_equal(redisGetReply(context, &reply), REDIS_OK);
        freeReplyObject(reply);
    }
    redisFree(context);
}

struct found {
    int whole;
    int broken;
};

static int look_at_account(const struct tkr_usage_row *row, void *arg)
{
    struct found *found = arg;
    char id[16] = "";
    bool whole;

    if (row->id[0] != 'a' || row->id_len >= sizeof(id))
        return 0;
    memcpy(id, row->id, row->id_len);
    whole = row->counts.value[TKR_COUNTER_PROMPT] == atoi(id + 1) + 1 && row->counts.value[TKR_COUNTER_CALLS] == 3;
    found->whole += whole;
    found->broken += !whole;
    return 0;
}

static struct found look_at_accounts(const struct stage *stage)
{
    struct found found = {0};

    stage_read_each(stage, look_at_account, &found);
    return found;
}

/* Starts the command and kills it after so long. */
static void kill_after(struct stage *stage, const char *command, const char *path, int ms)
{
    const char *argv[] = {TEST_BIN_DIR "/tokenring", command, path, NULL};
    struct process process;

    assert_int_equal(process_start(&process, argv, stage->env_list), 0);
    process_sleep_ms(ms);
    process_signal(&process, SIGKILL);
    assert_int_equal(process_wait(&process, SETTLE_MS), 0);
    process_end(&process);
}

/* Longer each time, until one restores the last account; then all is done that can be. */
static void test_restore_killed_at_any_time_leaves_whole_accounts_and_goes_on(void **state)
{
    struct stage *stage = *state;
    char path[FILE_BYTES];
    int partial = 0;

    backup_path(stage, "b.jsonl", path);
    stage_collector_start(stage, "1");
    record(stage, 1);
    wait_exact(stage);
    fill(stage);
    EXPECT(stage, 0, "left out: 0", "backup", path);
    redis_do(stage, "FLUSHALL");
    for (int i = 0; i < KILLS; i++) {
        struct found found;

        kill_after(stage, "restore", path, 12 + 9 * i);
        found = look_at_accounts(stage);
        assert_int_equal(found.broken, 0);
        partial += found.whole > 0 && found.whole < ACCOUNTS;
    }
    print_message("%d of %d kills left some accounts restored\n", partial, KILLS);
    EXPECT(stage, 0, "left alone: 0", "restore", path);
    assert_int_equal(look_at_accounts(stage).whole, ACCOUNTS);
    record(stage, 2);
    wait_exact(stage);
    stage_collector_end(stage, 0);
}

static void test_backup_killed_at_any_time_leaves_the_one_before(void **state)
{
    struct stage *stage = *state;
    char path[FILE_BYTES];
    char part[FILE_BYTES];

    backup_path(stage, "b.jsonl", path);
    backup_path(stage, "b.jsonl.part", part);
    fill(stage);
    EXPECT(stage, 0, "4000 accounts", "backup", path);
    for (int i = 0; i < KILLS; i++) {
        kill_after(stage, "backup", path, 5 + 25 * i);
        EXPECT(stage, 1, "nothing was lost", "restore", path); /* which is said of a file that is whole */
    }
    EXPECT(stage, 0, "4000 accounts", "backup", path);
    assert_int_equal(access(part, F_OK), -1);
}

/* --- refusals --- */

static void test_dry_run_changes_nothing(void **state)
{
    struct stage *stage = *state;
    char path[FILE_BYTES];
    char *before;

    backup_path(stage, "b.jsonl", path);
    stage_collector_start(stage, "1");
    record(stage, 1);
    wait_exact(stage);
    stage_collector_end(stage, 0);
    EXPECT(stage, 0, "5000 tokens", "limit", "set", "user-08", "5000", "--standing");
    EXPECT(stage, 0, "left out: 0", "backup", path);
    for (int filled = 0; filled < 2; filled++) {
        redis_do(stage, "FLUSHALL");
        if (filled == 1)
            redis_do(stage, "HSET token_usage:user-08:2026-11-01 prompt_tokens 7 total_tokens 7");
        before = dump_all(stage);
        EXPECT(stage, filled, "user user-01, cycle 2026-11-01: to add: ", "restore", path, "--dry-run");
        EXPECT(stage, filled, "user user-08, standing limit: to be set", "restore", path, "--dry-run");
        EXPECT(stage, filled, filled == 1 ? "left alone: something was added there" : "would be restored: 41 accounts", "restore",
               path, "--dry-run");
        assert_unchanged(stage, before);
    }
}

static void test_restore_where_nothing_was_lost_is_refused(void **state)
{
    struct stage *stage = *state;
    char path[FILE_BYTES];
    char *before;

    backup_path(stage, "b.jsonl", path);
    stage_collector_start(stage, "1");
    record(stage, 1);
    wait_exact(stage);
    EXPECT(stage, 0, "left out: 0", "backup", path);
    record(stage, 2);
    wait_exact(stage);
    stage_collector_end(stage, 0);
    before = stage->redis ? dump_all(stage) : NULL;
    EXPECT(stage, 1, "nothing was lost, and adding it would count it twice", "restore", path);
    EXPECT(stage, 1, "nothing was lost", "restore", path, "--dry-run");
    EXPECT(stage, 1, "nothing was lost", "restore", path, "--anyway");
    if (stage->redis)
        assert_unchanged(stage, before);
    assert_int_equal(count_wrong(stage), 0);
}

/* The number of the data set is gone, by hand or by a roll-back beyond it, and nothing else: account by account nothing doubles. */
static void test_restore_without_the_data_sets_number_doubles_nothing(void **state)
{
    struct stage *stage = *state;
    struct stage *host = host_make(stage, 2);
    char elsewhere[STAGE_PATH_BYTES + 8];
    char path[FILE_BYTES];
    json_t *stat;
    char said[SAID_BYTES];

    backup_path(stage, "b.jsonl", path);
    (void)snprintf(elsewhere, sizeof(elsewhere), "%s/none", stage->dir);
    stage_collector_start(stage, "1");
    stage_collector_start(host, "1");
    record(stage, 1);
    record(host, 2);
    wait_exact(stage);
    EXPECT(stage, 0, "left out: 0", "backup", path);
    stage_collector_end(host, 0);
    assert_int_equal(run_command(host, (const char *const[]){"stat", "--json", NULL}, said), 0);
    stat = json_loads(said, 0, NULL);
    host_free(host); /* its records are removed since; the backup still has them */
    EXPECT(stage, 0, "0 left alone", "gc", json_string_value(json_object_get(stat, "collector")), "--wait", "1", "--runtime-dir",
           elsewhere);
    json_decref(stat);
    redis_do(stage, "DEL tr1:{0}:dataset");
    record(stage, 3);
    wait_exact(stage);
    EXPECT(stage, 1, "that no record explains", "restore", path);
    record(stage, 4);
    wait_exact(stage);
    stage_collector_end(stage, 0);
}

static void test_second_backup_of_what_was_lost_is_refused(void **state)
{
    struct stage *stage = *state;
    char first[FILE_BYTES];
    char second[FILE_BYTES];

    backup_path(stage, "1.jsonl", first);
    backup_path(stage, "2.jsonl", second);
    redis_do(stage, "HSET token_usage:u:2026-11-01 prompt_tokens 5");
    EXPECT(stage, 0, "1 accounts", "backup", first);
    EXPECT(stage, 0, "1 accounts", "backup", second);
    redis_do(stage, "FLUSHALL");
    EXPECT(stage, 0, "left alone: 0", "restore", second);
    EXPECT(stage, 1, "was restored into this sink; what two backups bring overlaps", "restore", first);
    assert_string_equal(redis_server_hget(&stage->server, "token_usage:u:2026-11-01", "prompt_tokens"), "5");
}

static void test_another_data_set_of_before_is_refused(void **state)
{
    struct stage *stage = *state;
    char path[FILE_BYTES];
    char *before;

    backup_path(stage, "b.jsonl", path);
    redis_do(stage, "HSET token_usage:u:2026-11-01 prompt_tokens 5");
    EXPECT(stage, 0, "1 accounts", "backup", path);
    redis_do(stage, "FLUSHALL");
    redis_do(stage, "HSET tr1:{0}:dataset identity nonsense");
    EXPECT(stage, 1, "holds something that is not understood", "restore", path);
    freeReplyObject(redis_server_command(&stage->server, "HSET tr1:{0}:dataset identity %s", "0123456789abcdef 1000 - - -"));
    before = dump_all(stage);
    EXPECT(stage, 1,
           "another data set, which was there before this backup was made (0123456789abcdef, since 1970-01-01T00:16:40Z)",
           "restore", path);
    assert_unchanged(stage, before);
}

/* After a loss a timer goes on: it must not replace the backup that is needed now. */
static void test_backup_of_a_lost_data_set_is_not_replaced(void **state)
{
    struct stage *stage = *state;
    char path[FILE_BYTES];
    char other[FILE_BYTES];

    backup_path(stage, "b.jsonl", path);
    backup_path(stage, "new.jsonl", other);
    redis_do(stage, "HSET token_usage:u:2026-11-01 prompt_tokens 5");
    EXPECT(stage, 0, "1 accounts", "backup", path);
    EXPECT(stage, 0, "1 accounts", "backup", path);
    redis_do(stage, "FLUSHALL");
    EXPECT(stage, 1, "was lost. Restore it first, or move the file away", "backup", path);
    EXPECT(stage, 0, "0 accounts", "backup", other); /* this gave the new data set a number */
    EXPECT(stage, 0, "restored: 1 accounts", "restore", path);
    EXPECT(stage, 0, "1 accounts", "backup", path); /* which has it all now */
}

static void test_backup_of_a_restore_that_is_not_whole_replaces_nothing(void **state)
{
    struct stage *stage = *state;
    char path[FILE_BYTES];

    backup_path(stage, "b.jsonl", path);
    redis_do(stage, "HSET token_usage:u:2026-11-01 prompt_tokens 5");
    redis_do(stage, "HSET token_usage:v:2026-11-01 prompt_tokens 6");
    EXPECT(stage, 0, "2 accounts", "backup", path);
    redis_do(stage, "FLUSHALL");
    redis_do(stage, "HSET token_usage:v:2026-11-01 prompt_tokens 1");
    EXPECT(stage, 1, "user v, cycle 2026-11-01: left alone: something was added there", "restore", path);
    EXPECT(stage, 1, "was lost", "backup", path);
    EXPECT(stage, 0, "restored: 1 accounts", "restore", path, "--anyway", "--account", "v");
    EXPECT(stage, 1, "was lost", "backup", path); /* nobody knows of the others */
    EXPECT(stage, 0, "restored before: 2", "restore", path);
    EXPECT(stage, 0, "2 accounts", "backup", path);
    assert_string_equal(redis_server_hget(&stage->server, "token_usage:v:2026-11-01", "prompt_tokens"), "7");
}

static void test_only_the_account_that_is_named_is_restored(void **state)
{
    struct stage *stage = *state;
    char path[FILE_BYTES];

    backup_path(stage, "b.jsonl", path);
    redis_do(stage, "HSET token_usage:u:2026-11-01 prompt_tokens 5");
    redis_do(stage, "HSET token_usage_team:u:2026-11-01 prompt_tokens 6");
    EXPECT(stage, 0, "2 accounts", "backup", path);
    redis_do(stage, "FLUSHALL");
    EXPECT(stage, 0, "restored: 1 accounts", "restore", path, "--account", "u", "--kind", "team");
    assert_string_equal(redis_server_hget(&stage->server, "token_usage_team:u:2026-11-01", "prompt_tokens"), "6");
    assert_string_equal(redis_server_hget(&stage->server, "token_usage:u:2026-11-01", "prompt_tokens"), "");
    EXPECT(stage, 0, "restored: 0 accounts", "restore", path, "--account", "nobody");
}

/* A limit that was cleared after a restore does not come back with the next run. */
static void test_limit_cleared_after_the_restore_stays_cleared(void **state)
{
    struct stage *stage = *state;
    char path[FILE_BYTES];

    backup_path(stage, "b.jsonl", path);
    EXPECT(stage, 0, "5000 tokens", "limit", "set", "u", "5000", "--standing");
    EXPECT(stage, 0, "600 tokens", "limit", "set", "u", "600", "--cycle", "2026-11-01");
    EXPECT(stage, 0, "left out: 0", "backup", path);
    redis_do(stage, "FLUSHALL");
    EXPECT(stage, 0, "2 limits", "restore", path);
    EXPECT(stage, 0, "no limit", "limit", "clear", "u", "--standing");
    EXPECT(stage, 0, "no limit", "limit", "clear", "u", "--cycle", "2026-11-01");
    EXPECT(stage, 0, "0 limits", "restore", path);
    EXPECT(stage, 1, "", "limit", "get", "u", "--cycle", "2026-11-01");
}

static void test_file_that_is_no_whole_backup_restores_nothing(void **state)
{
    struct stage *stage = *state;
    char path[FILE_BYTES];
    char command[2 * FILE_BYTES + 64];

    backup_path(stage, "b.jsonl", path);
    fill(stage);
    EXPECT(stage, 0, "4000 accounts", "backup", path);
    redis_do(stage, "FLUSHALL");
    (void)snprintf(command, sizeof(command), "truncate -s -30 '%s'", path);
    assert_int_equal(system(command), 0);
    EXPECT(stage, 1, "cut off", "restore", path);
    (void)snprintf(command, sizeof(command), "printf 'x' >> '%s'", path);
    assert_int_equal(system(command), 0);
    EXPECT(stage, 1, "b.jsonl, line 4002: ", "restore", path);
    EXPECT(stage, 1, "No such file or directory", "restore", "/nonexistent");
    EXPECT(stage, 1, "standard input: the file is empty", "restore", "-");
    assert_int_equal(keys(stage), 0);
    EXPECT(stage, 1, "is there and is no backup; it is not replaced", "backup", TEST_BIN_DIR "/tokenring");
    EXPECT(stage, 1, "is there and is no backup; it is not replaced", "backup", "/dev/null");
}

static void test_backup_goes_through_pipes(void **state)
{
    struct stage *stage = *state;
    char command[1024];

    redis_do(stage, "HSET token_usage:u:2026-11-01 prompt_tokens 5");
    (void)snprintf(
        command, sizeof(command),
        "export TOKENRING_SINK=redis REDIS_SOCKET='%s'; B='%s/tokenring'; $B backup - 2> /dev/null | gzip > '%s/b.gz' &&"
        " redis-cli -s '%s' FLUSHALL > /dev/null && gunzip < '%s/b.gz' | $B restore - > /dev/null",
        stage->server.socket, TEST_BIN_DIR, stage->dir, stage->server.socket, stage->dir);
    assert_int_equal(system(command), 0);
    assert_string_equal(redis_server_hget(&stage->server, "token_usage:u:2026-11-01", "prompt_tokens"), "5");
}

static void test_poisoned_account_is_left_out_and_told_and_all_others_are_there(void **state)
{
    struct stage *stage = *state;
    char path[FILE_BYTES];

    backup_path(stage, "b.jsonl", path);
    redis_do(stage, "HSET token_usage:u:2026-11-01 prompt_tokens 5");
    redis_do(stage, "SET token_usage:bad:2026-11-01 x");
    EXPECT(stage, 1, "user bad, cycle 2026-11-01: left out: its totals: WRONGTYPE", "backup", path);
    EXPECT(stage, 1, "\"left_out\":1", "backup", path, "--json");
    redis_do(stage, "FLUSHALL");
    EXPECT(stage, 0, "could not be read when the backup was made: 1", "restore", path);
    assert_string_equal(redis_server_hget(&stage->server, "token_usage:u:2026-11-01", "prompt_tokens"), "5");
}

static void test_sink_that_loses_its_data_during_the_backup_makes_none(void **state)
{
    struct stage *stage = *state;
    char path[FILE_BYTES];
    char part[FILE_BYTES];
    const char *argv[] = {TEST_BIN_DIR "/tokenring", "backup", path, NULL};
    struct process process;

    backup_path(stage, "b.jsonl", path);
    backup_path(stage, "b.jsonl.part", part);
    fill(stage);
    assert_int_equal(process_start(&process, argv, stage->env_list), 0);
    while (access(part, F_OK) != 0) { /* from then on it knows the data set */
        assert_true(process_running(&process));
        process_sleep_ms(1);
    }
    redis_do(stage, "FLUSHALL");
    fill(stage);
    assert_int_equal(process_wait(&process, SETTLE_MS), 0);
    assert_int_equal(process_exit_code(&process), 1);
    assert_non_null(strstr(process_text(&process, PROCESS_STDERR), "lost its data while the backup was made"));
    process_end(&process);
    assert_int_equal(access(path, F_OK), -1);
}

/* So many accounts that a second does not do, at the pace that leaves Redis to others. */
static void test_backup_that_takes_too_long_is_given_up(void **state)
{
    static const char script[] = "for i=1,60000 do redis.call('HSET','token_usage:b'..i..':2026-11-01','calls',1) end";
    struct stage *stage = *state;
    char path[FILE_BYTES];

    backup_path(stage, "b.jsonl", path);
    freeReplyObject(redis_server_command(&stage->server, "EVAL %s 0", script));
    EXPECT(stage, 1, "it took longer than 1 s, and was given up", "backup", path, "--deadline", "1");
    assert_int_equal(access(path, F_OK), -1);
    EXPECT(stage, 2, "--deadline=0: allowed is an integer from 1 to 604800", "backup", path, "--deadline", "0");
}

/* A ledger that was lost, or is not there yet. */
static void test_ledger_that_is_not_there_has_no_backup_and_takes_one(void **state)
{
    struct stage *stage = *state;
    char path[FILE_BYTES];

    backup_path(stage, "b.jsonl", path);
    EXPECT(stage, 1, "no ledger at ", "backup", path);
    assert_int_equal(access(stage->ledger, F_OK), -1);
    stage_collector_start(stage, "1");
    record(stage, 1);
    stage_collector_end(stage, 0);
    EXPECT(stage, 0, "left out: 0", "backup", path);
    lose_sink(stage);
    EXPECT(stage, 0, "would be restored: 41 accounts", "restore", path, "--dry-run");
    assert_int_equal(access(stage->ledger, F_OK), -1);
    EXPECT(stage, 0, "restored: 41 accounts", "restore", path);
    assert_int_equal(count_wrong(stage), 0);
}

/* Several restores at once, with collectors: each account once. */
static void test_restores_at_once_restore_once(void **state)
{
    struct stage *stage = *state;
    char path[FILE_BYTES];
    const char *argv[] = {TEST_BIN_DIR "/tokenring", "restore", path, "--json", NULL};
    struct process process[3];
    json_int_t restored = 0;
    pid_t gateway;

    backup_path(stage, "b.jsonl", path);
    stage_collector_start(stage, "2");
    record(stage, 1);
    wait_exact(stage);
    if (stage->redis)
        fill(stage);
    EXPECT(stage, 0, "left out: 0", "backup", path);
    lose_sink(stage);
    gateway = stage_fork(stage, record_on, 7);
    for (int i = 0; i < 3; i++)
        assert_int_equal(process_start(&process[i], argv, stage->env_list), 0);
    for (int i = 0; i < 3; i++) {
        json_t *answer;

        assert_int_equal(process_wait(&process[i], SETTLE_MS), 0);
        answer = json_loads(process_text(&process[i], PROCESS_STDOUT), 0, NULL);
        if (answer == NULL)
            fail_msg("%s", process_text(&process[i], PROCESS_STDERR));
        restored += number_in(answer, "restored");
        json_decref(answer);
        process_end(&process[i]);
    }
    assert_int_equal(restored, (stage->redis ? ACCOUNTS : 0) + STAGE_USERS + 1);
    atomic_store(&stage->truth->stop, true);
    assert_int_equal(stage_exit_code(gateway), 0);
    wait_exact(stage);
    stage_collector_end(stage, 0);
    if (stage->redis)
        assert_int_equal(look_at_accounts(stage).whole, ACCOUNTS);
}

static void test_wrong_usage_is_told_in_one_sentence(void **state)
{
    struct stage *stage = *state;

    EXPECT(stage, 2, "tokenring backup: one FILE is needed, or - for standard output", "backup");
    EXPECT(stage, 2, "one FILE is needed", "backup", "a", "b");
    EXPECT(stage, 2, "one FILE is needed", "backup", "");
    EXPECT(stage, 2, "tokenring restore: one FILE is needed, or - for standard input", "restore");
    EXPECT(stage, 2, "--kind is of an account: --account is needed too", "restore", "f", "--kind", "team");
    EXPECT(stage, 2, "ACCOUNT=: allowed are 1 to 255 bytes", "restore", "f", "--account", "");
    EXPECT(stage, 2, "no such option", "restore", "f", "--force");
    stage_env(stage, "TOKENRING_SINK", "null");
    EXPECT(stage, 1, "this sink keeps nothing", "backup", "-");
    EXPECT(stage, 1, "No such file", "restore", "/nonexistent");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_REDIS(test_restore_killed_at_any_time_leaves_whole_accounts_and_goes_on),
        IN_REDIS(test_backup_killed_at_any_time_leaves_the_one_before),
        IN_REDIS(test_dry_run_changes_nothing),
        IN_BOTH(test_restore_where_nothing_was_lost_is_refused),
        IN_REDIS(test_restore_without_the_data_sets_number_doubles_nothing),
        IN_REDIS(test_second_backup_of_what_was_lost_is_refused),
        IN_REDIS(test_another_data_set_of_before_is_refused),
        IN_REDIS(test_backup_of_a_lost_data_set_is_not_replaced),
        IN_REDIS(test_backup_of_a_restore_that_is_not_whole_replaces_nothing),
        IN_REDIS(test_only_the_account_that_is_named_is_restored),
        IN_REDIS(test_limit_cleared_after_the_restore_stays_cleared),
        IN_REDIS(test_file_that_is_no_whole_backup_restores_nothing),
        IN_REDIS(test_backup_goes_through_pipes),
        IN_REDIS(test_poisoned_account_is_left_out_and_told_and_all_others_are_there),
        IN_REDIS(test_sink_that_loses_its_data_during_the_backup_makes_none),
        IN_REDIS(test_backup_that_takes_too_long_is_given_up),
        IN_LEDGER(test_ledger_that_is_not_there_has_no_backup_and_takes_one),
        IN_BOTH(test_restores_at_once_restore_once),
        IN_REDIS(test_wrong_usage_is_told_in_one_sentence),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
