/* SPDX-License-Identifier: Apache-2.0 */
/* `tokenring doctor`: what is well is said to be so, what is wrong is found and told with what helps, and nothing is changed. */
#include <sys/stat.h>

#include "integration/view_files.h"

/* The finding whose sentence has the words; NULL: there is none. */
static const json_t *find(const json_t *report, const char *words)
{
    const json_t *finding;
    size_t i;

    json_array_foreach (json_object_get(report, "findings"), i, finding) {
        if (strstr(view_text(finding, "finding"), words) != NULL)
            return finding;
    }
    return NULL;
}

static void expect_in(const json_t *report, const char *level, const char *words)
{
    const json_t *finding = find(report, words);
    char *all;

    if (finding != NULL && strcmp(view_text(finding, "level"), level) == 0)
        return;
    all = json_dumps(report, JSON_INDENT(1));
    fail_msg("no %s \"%s\" in %s", level, words, all);
}

/* Looks, with the exit code that goes with errors or none; freed by the caller. */
static json_t *look(struct stage *stage, int exit_code)
{
    json_t *report = VIEW_JSON(stage, exit_code, "doctor", "--json");

    assert_int_equal(view_integer(report, "errors") > 0, exit_code == 1);
    return report;
}

static void expect_finding(struct stage *stage, int exit_code, const char *level, const char *words)
{
    json_t *report = look(stage, exit_code);

    expect_in(report, level, words);
    json_decref(report);
}

static void run_redis(const struct stage *stage, const char *command)
{
    redisReply *reply = redis_server_command(&stage->server, command);

    if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", command, reply != NULL ? reply->str : "no answer");
    freeReplyObject(reply);
}

static void test_sound_host_has_no_errors(void **state)
{
    struct stage *stage = *state;
    tkr_producer *producer;
    json_t *report;

    if (stage->redis)
        run_redis(stage, "CONFIG SET appendonly yes");
    stage_collector_start(stage, "1");
    producer = view_producer(stage);
    view_record(producer, "alice", TKR_KIND_USER, NULL, 1, 0);
    assert_int_equal(tkr_sync(producer, VIEW_DEADLINE_MS), TKR_OK);
    stage_wait_ledger(stage);
    process_sleep_ms(300);
    report = look(stage, 0);
    expect_in(report, "ok", " is running, with 1 shard");
    expect_in(report, "ok", "1, of gateways of this host");
    expect_in(report, "ok", "takes usage");
    expect_in(report, "ok", "all 1 calls are counted or in lanes");
    if (stage->redis) {
        expect_in(report, "ok", "it is a master, and can be written");
        expect_in(report, "ok", "maxmemory-policy is noeviction");
        expect_in(report, "ok", "it keeps an append-only file");
        expect_in(report, "ok", "this user may run all that the collector needs");
        expect_in(report, "ok", "a round trip takes ");
        expect_in(report, "ok", "its clock differs from this host's by ");
    } else {
        expect_in(report, "ok", "is a database with a write-ahead log (WAL)");
        expect_in(report, "warning", "is in memory: a reboot takes the totals with it");
    }
    json_decref(report);
    tkr_close(producer);
}

static void test_policy_that_evicts_is_an_error(void **state)
{
    run_redis(*state, "CONFIG SET maxmemory 100mb");
    run_redis(*state, "CONFIG SET maxmemory-policy allkeys-lru");
    expect_finding(*state, 1, "error", "maxmemory-policy is allkeys-lru (maxmemory 104857600): what is evicted would be lost");
}

static void test_policy_that_evicts_too_little_or_not_yet_is_a_warning(void **state)
{
    run_redis(*state, "CONFIG SET maxmemory-policy allkeys-lru");
    expect_finding(*state, 0, "warning", "maxmemory-policy is allkeys-lru: with a maxmemory");
    run_redis(*state, "CONFIG SET maxmemory 100mb");
    run_redis(*state, "CONFIG SET maxmemory-policy volatile-ttl");
    expect_finding(*state, 0, "warning", "maxmemory-policy is volatile-ttl (maxmemory 104857600): an alert could be said twice");
}

/* What the collector sees itself. */
static void test_sink_that_the_collector_sees_in_danger_is_a_warning(void **state)
{
    struct stage *stage = *state;
    long end = process_now_ms() + VIEW_DEADLINE_MS;
    json_t *report;

    run_redis(stage, "CONFIG SET maxmemory 100mb");
    run_redis(stage, "CONFIG SET maxmemory-policy volatile-lru");
    stage_collector_start(stage, "1");
    for (;;) {
        report = look(stage, 0);
        if (find(report, "Redis may evict keys that expire") != NULL || process_now_ms() > end)
            break;
        json_decref(report);
        process_sleep_ms(20);
    }
    expect_in(report, "warning", "Redis may evict keys that expire (maxmemory-policy volatile-lru, maxmemory 104857600)");
    json_decref(report);
}

static void test_replica_is_an_error(void **state)
{
    run_redis(*state, "REPLICAOF 127.0.0.1 1");
    expect_finding(*state, 1, "error", "it is a replica");
}

static void test_redis_without_memory_is_an_error(void **state)
{
    run_redis(*state, "CONFIG SET maxmemory 1");
    expect_finding(*state, 1, "error", "Redis is out of memory");
}

static void test_redis_that_keeps_nothing_is_a_warning(void **state)
{
    expect_finding(*state, 0, "warning", "it keeps nothing on disk");
}

static void test_redis_that_is_away_is_an_error(void **state)
{
    struct stage *stage = *state;

    redis_server_kill(&stage->server);
    expect_finding(stage, 1, "error", "cannot connect to Redis");
}

static void test_rights_that_are_missing_are_named(void **state)
{
    struct stage *stage = *state;
    json_t *report;
    char url[STAGE_PATH_BYTES + 48];

    run_redis(stage,
              "ACL SETUSER collector on >secret ~token_usage* ~token_limit* ~tr1:* +evalsha +script|load +hget +hset +hdel "
              "+hincrby +hgetall");
    run_redis(stage, "ACL SETUSER poor on >secret ~token_usage* +evalsha +script|load +hget +hset +hdel");
    (void)snprintf(url, sizeof(url), "unix://collector:secret@%s", stage->server.socket);
    stage_env(stage, "REDIS_URL", url);
    report = look(stage, 0);
    expect_in(report, "ok", "this user may run all that the collector needs");
    expect_in(report, "warning", "this user lacks +scan");
    expect_in(report, "warning", "this user may not run INFO");
    expect_in(report, "ok", "REDIS_URL=unix://***@/"); /* the password is not shown */
    assert_null(find(report, "secret"));
    json_decref(report);
    (void)snprintf(url, sizeof(url), "unix://poor:secret@%s", stage->server.socket);
    stage_env(stage, "REDIS_URL", url);
    report = look(stage, 1);
    expect_in(report, "error", "+hget on ~tr1:*, +hset on ~tr1:*, +hdel on ~tr1:*, +hincrby on ~token_usage*");
    json_decref(report);
    (void)snprintf(url, sizeof(url), "unix://poor:wrong@%s", stage->server.socket);
    stage_env(stage, "REDIS_URL", url);
    expect_finding(stage, 1, "error", "Redis does not know this user and password");
}

/* With all rights, and with few: no key is there afterwards, and no script was loaded. */
static void test_nothing_is_changed_in_redis(void **state)
{
    struct stage *stage = *state;
    redisReply *before = redis_server_command(&stage->server, "INFO memory");
    redisReply *reply;

    json_decref(look(stage, 0));
    reply = redis_server_command(&stage->server, "DBSIZE");
    assert_int_equal(reply->integer, 0);
    freeReplyObject(reply);
    reply = redis_server_command(&stage->server, "INFO memory");
    assert_non_null(strstr(reply->str, "number_of_cached_scripts:0"));
    freeReplyObject(reply);
    reply = redis_server_command(&stage->server, "LASTSAVE");
    assert_true(reply->integer > 0);
    freeReplyObject(reply);
    freeReplyObject(before);
}

static void test_settings_are_checked_and_shown(void **state)
{
    struct stage *stage = *state;
    json_t *report;

    stage_env(stage, "TOKENRING_MODELS", "99");
    stage_env(stage, "TOKENRING_ORPHANS", "all");
    stage_env(stage, "LOG_LEVEL", "loud");
    stage_env(stage, "TOKENRING_WORKRES", "2");
    stage_env(stage, "REDIS_PASSWORD", "open-sesame");
    report = look(stage, 1);
    expect_in(report, "error", "TOKENRING_MODELS=99: allowed is an integer from 0 to 16");
    expect_in(report, "error", "TOKENRING_ORPHANS=all: allowed are ");
    expect_in(report, "error", "LOG_LEVEL=loud: allowed are ");
    expect_in(report, "warning", "TOKENRING_WORKRES is set, and no such setting is known");
    expect_in(report, "ok", "REDIS_PASSWORD=***");
    assert_null(find(report, "open-sesame"));
    json_decref(report);
}

/* All of them, though each alone would be enough to refuse a start; and no password, wherever it stands. */
static void test_settings_that_look_like_ours_are_told(void **state)
{
    struct stage *stage = *state;
    json_t *report;

    stage_env(stage, "TOKENRING_SINK", "redis");
    stage_env(stage, "REDIS_TLS", "true");
    stage_env(stage, "REDIS_SENTINELS", "a:1,b:2");
    stage_env(stage, "REDIS_HOST", "redis://:secret@h");
    stage_env(stage, "REDIS_PORT", "redis://user:secret@h:6379");
    report = look(stage, 1);
    expect_in(report, "error", "REDIS_HOST=redis://***@h: allowed is a host name");
    expect_in(report, "error", "REDIS_PORT=redis://***@h:6379: allowed is an integer");
    expect_in(report, "error", "REDIS_TLS is set, but TLS is not supported yet");
    expect_in(report, "error", "REDIS_SENTINELS is set, but Sentinel is not supported yet");
    assert_null(find(report, "secret"));
    json_decref(report);
}

static void test_settings_that_do_no_harm_are_a_warning(void **state)
{
    struct stage *stage = *state;
    json_t *report;

    stage_env(stage, "REDIS_PASS", "secret");
    stage_env(stage, "REDIS_PASSWORD", "other");
    run_redis(stage, "ACL SETUSER default >other");
    report = look(stage, 0);
    expect_in(report, "warning", "REDIS_PASS is set, but not read: what holds is REDIS_PASSWORD");
    assert_null(find(report, "secret"));
    json_decref(report);
    stage_collector_start(stage, "1");
    assert_int_equal(process_wait_text(&stage->collector, PROCESS_STDERR, "REDIS_PASS is set, but not read", STAGE_DEADLINE_MS),
                     0);
    assert_null(strstr(process_text(&stage->collector, PROCESS_STDERR), "secret"));
    stage_collector_end(stage, 0);
}

static void test_ledger_that_cannot_be_is_an_error(void **state)
{
    struct stage *stage = *state;
    int fd = open(stage->ledger, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    char path[STAGE_PATH_BYTES + 24];

    assert_int_equal(write(fd, "this is no database, but long enough", 36), 36);
    (void)close(fd);
    expect_finding(stage, 1, "error", "is no SQLite database");
    (void)snprintf(path, sizeof(path), "%s/missing/ledger.db", stage->dir);
    stage_env(stage, "TOKENRING_LEDGER", path);
    expect_finding(stage, 0, "warning", "/missing: No such file or directory");
}

static void test_runtime_directory_that_cannot_be_is_an_error(void **state)
{
    struct stage *stage = *state;
    char path[STAGE_PATH_BYTES + 24];

    assert_int_equal(chmod(stage->runtime, 0777), 0);
    expect_finding(stage, 1, "error", "is not safe: it is this user's, mode 0777");
    assert_int_equal(chmod(stage->runtime, 03773), 0);
    expect_finding(stage, 0, "ok", "mode 3773: gateways of all users can record, each apart");
    stage_env(stage, "TOKENRING_RUNTIME_DIR", "/proc");
    expect_finding(stage, 1, "error", "/proc is not on a tmpfs");
    (void)snprintf(path, sizeof(path), "%s/nothing-here", stage->dir);
    stage_env(stage, "TOKENRING_RUNTIME_DIR", path);
    expect_finding(stage, 0, "warning", "nothing-here is not there yet");
    stage_env(stage, "TOKENRING_RUNTIME_DIR", "/no/such/folder/tokenring");
    expect_finding(stage, 1, "error", "is not there and cannot be made: /no/such/folder: No such file or directory");
    stage_env(stage, "TOKENRING_RUNTIME_DIR", "/proc/tokenring");
    expect_finding(stage, 1, "error", "/proc/tokenring is not there, and /proc is not on a tmpfs");
}

static void test_what_the_dead_left_is_told(void **state)
{
    struct stage *stage = *state;

    (void)stage_exit_code(stage_fork(stage, view_die, 0));
    expect_finding(stage, 0, "warning", "1 of processes that are dead wait for a collector");
}

static void test_state_directory_is_asked_for(void **state)
{
    struct stage *stage = *state;
    char path[STAGE_PATH_BYTES + 24];

    expect_finding(stage, 0, "warning", "none is set: after a reboot the collector has another name");
    (void)snprintf(path, sizeof(path), "%s/state", stage->dir);
    stage_env(stage, "TOKENRING_STATE_DIR", path);
    expect_finding(stage, 0, "warning", "/state is not there yet");
    assert_int_equal(mkdir(path, 0700), 0);
    expect_finding(stage, 0, "warning", "/state is in memory");
}

static void test_text_has_a_line_for_each_and_a_sum(void **state)
{
    struct stage *stage = *state;
    struct process process;
    const char *text;

    VIEW_RUN(stage, &process, "doctor");
    text = process_text(&process, PROCESS_STDOUT);
    assert_int_equal(process_exit_code(&process), 0);
    assert_int_equal(strncmp(text, "ok       kernel             Linux ", 33), 0);
    assert_non_null(strstr(text, "warning  collector          none is running; start tokenringd"));
    assert_non_null(strstr(text, ", 0 errors\n"));
    process_end(&process);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(test_sound_host_has_no_errors),
        IN_REDIS(test_policy_that_evicts_is_an_error),
        IN_REDIS(test_policy_that_evicts_too_little_or_not_yet_is_a_warning),
        IN_REDIS(test_sink_that_the_collector_sees_in_danger_is_a_warning),
        IN_REDIS(test_replica_is_an_error),
        IN_REDIS(test_redis_without_memory_is_an_error),
        IN_REDIS(test_redis_that_keeps_nothing_is_a_warning),
        IN_REDIS(test_redis_that_is_away_is_an_error),
        IN_REDIS(test_rights_that_are_missing_are_named),
        IN_REDIS(test_nothing_is_changed_in_redis),
        IN_LEDGER(test_settings_are_checked_and_shown),
        IN_LEDGER(test_settings_that_look_like_ours_are_told),
        IN_REDIS(test_settings_that_do_no_harm_are_a_warning),
        IN_LEDGER(test_ledger_that_cannot_be_is_an_error),
        IN_LEDGER(test_runtime_directory_that_cannot_be_is_an_error),
        IN_LEDGER(test_what_the_dead_left_is_told),
        IN_LEDGER(test_state_directory_is_asked_for),
        IN_LEDGER(test_text_has_a_line_for_each_and_a_sum),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
