/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tokenring gc`: the records of a dead collector go and the totals stay, in Redis and in the ledger; one that lives is refused;
 * one that comes back counts nothing twice.
 */
#include <jansson.h>

#include "integration/collector_stage.h"

#define CALLS 1000
#define SETTLE_MS PROCESS_PATIENCE_MS
#define WAIT "2" /* seconds: several of the looks that a collector takes */

/* --- the stage's further means --- */

static int record_calls(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);

    if (producer == NULL)
        return 1;
    for (int i = 0; i < CALLS; i++) {
        if (stage_record(stage, producer, i % (STAGE_USERS - 1), 1 + i % 700, number + i % 300) != TKR_OK)
            return 2;
    }
    if (tkr_sync(producer, SETTLE_MS) != TKR_OK)
        return 3;
    tkr_close(producer);
    return 0;
}

static int record_last_user(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);

    if (producer == NULL || stage_record(stage, producer, STAGE_USERS - 1, 7, number) != TKR_OK ||
        tkr_sync(producer, SETTLE_MS) != TKR_OK)
        return 1;
    tkr_close(producer);
    return 0;
}

static void record(struct stage *stage, int number)
{
    assert_int_equal(stage_exit_code(stage_fork(stage, record_calls, number)), 0);
}

/* Runs `tokenring gc` as on another host, or, with here set, on this one. */
static void gc(struct stage *stage, bool here, const char *const extra[], struct process *ret_process)
{
    char elsewhere[STAGE_PATH_BYTES + 16];
    const char *argv[12] = {TEST_BIN_DIR "/tokenring", "gc", "--runtime-dir", here ? stage->runtime : elsewhere};
    int argc = 4;

    (void)snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", stage->dir);
    for (; *extra != NULL; extra++)
        argv[argc++] = *extra;
    argv[argc] = NULL;
    assert_int_equal(process_run(ret_process, argv, stage->env_list, SETTLE_MS), 0);
}

/* The same; the integer that the JSON answer gives for the key. */
static json_int_t gc_number(struct stage *stage, const char *name, const char *key, const char *option)
{
    const char *const extra[] = {name, "--wait", WAIT, "--json", option, NULL};
    struct process process;
    json_t *answer;
    json_int_t number;

    gc(stage, false, extra, &process);
    answer = json_loads(process_text(&process, PROCESS_STDOUT), 0, NULL);
    if (process_exit_code(&process) != 0 || answer == NULL)
        fail_msg("gc: %s", process_text(&process, PROCESS_STDERR));
    number = json_integer_value(json_object_get(answer, key));
    json_decref(answer);
    process_end(&process);
    return number;
}

static void assert_refused(struct stage *stage, bool here, const char *name, const char *why)
{
    const char *const extra[] = {name, "--wait", WAIT, NULL};
    struct process process;

    gc(stage, here, extra, &process);
    if (process_exit_code(&process) != 1 || strstr(process_text(&process, PROCESS_STDERR), why) == NULL)
        fail_msg("gc: exit status %d, %s", process_exit_code(&process), process_text(&process, PROCESS_STDERR));
    process_end(&process);
}

/* The name of the collector of this stage, as `tokenring stat` shows it. */
static const char *collector_name(struct stage *stage)
{
    static char name[17];
    const char *argv[] = {TEST_BIN_DIR "/tokenring", "stat", "--json", NULL};
    struct process process;
    json_t *answer;

    assert_int_equal(process_run(&process, argv, stage->env_list, SETTLE_MS), 0);
    answer = json_loads(process_text(&process, PROCESS_STDOUT), 0, NULL);
    assert_true(json_is_string(json_object_get(answer, "collector")));
    assert_int_equal(json_string_length(json_object_get(answer, "collector")), sizeof(name) - 1);
    memcpy(name, json_string_value(json_object_get(answer, "collector")), sizeof(name));
    json_decref(answer);
    process_end(&process);
    return name;
}

static int count_source(const char *source, uint64_t seen, void *arg)
{
    (void)source;
    (void)seen;
    ++*(int *)arg;
    return 0;
}

static int count_row(const struct tkr_usage_row *row, void *arg)
{
    (void)row;
    ++*(int *)arg;
    return 0;
}

/* Accounts of which the collector may have records (of which any collector has, in Redis). */
static int records(const struct stage *stage, const char *name)
{
    struct tkr_sink_config config = {.kind = TKR_SINK_SQLITE, .connect_timeout_ms = 5000, .command_timeout_ms = 5000};
    tkr_message message = {""};
    tkr_sink *sink;
    int count = 0;
    int sources = 0;

    (void)snprintf(config.ledger, sizeof(config.ledger), "%s", stage->ledger);
    if (stage->redis) {
        config.kind = TKR_SINK_REDIS;
        (void)snprintf(config.socket, sizeof(config.socket), "%s", stage->server.socket);
    }
    assert_int_equal(tkr_sink_open(&config, &sink, &message), 0);
    assert_int_equal(sink->ops->records(sink, name, count_row, &count, &message), 0);
    assert_int_equal(sink->ops->sources(sink, count_source, &sources, &message), 0);
    assert_true(sources > 0);
    sink->ops->close(sink);
    return count;
}

static void lose_memory(const struct stage *stage)
{
    char path[2 * STAGE_PATH_BYTES];
    char command[3 * STAGE_PATH_BYTES];

    (void)snprintf(path, sizeof(path), "%s/collector", stage->runtime);
    (void)snprintf(command, sizeof(command), "rm -r '%s'", path);
    assert_int_equal(system(command), 0);
}

static void wait_said(struct stage *stage, const char *text)
{
    if (process_wait_text(&stage->collector, PROCESS_STDERR, text, SETTLE_MS) != 0)
        fail_msg("the collector does not say \"%s\": %s", text, process_text(&stage->collector, PROCESS_STDERR));
}

static int64_t prompt_of(const struct stage *stage, int user)
{
    struct stage_rows *rows = stage_read(stage);
    char id[16];
    int len = snprintf(id, sizeof(id), "user-%02d", user);
    int64_t prompt = stage_counts(rows, TKR_KIND_USER, id, (uint32_t)len).value[TKR_COUNTER_PROMPT];

    free(rows);
    return prompt;
}

static void wait_prompt(const struct stage *stage, int user, int64_t prompt)
{
    long end = process_now_ms() + SETTLE_MS;

    stage_wait_ledger(stage);
    while (prompt_of(stage, user) != prompt) {
        if (process_now_ms() > end)
            fail_msg("user %d: prompt %lld, not %lld", user, (long long)prompt_of(stage, user), (long long)prompt);
        process_sleep_ms(20);
    }
}

/* --- the tests --- */

static void test_dead_collector_leaves_its_totals_and_no_record(void **state)
{
    struct stage *stage = *state;
    const char *name;

    stage_collector_start(stage, "2");
    record(stage, 1);
    stage_collector_end(stage, 0);
    name = collector_name(stage);
    assert_int_equal(records(stage, name), STAGE_USERS - 1);
    assert_true(gc_number(stage, name, "records", "--dry-run") >= STAGE_USERS - 1); /* an account has one of each shard */
    assert_int_equal(records(stage, name), STAGE_USERS - 1);
    assert_true(gc_number(stage, name, "records", NULL) >= STAGE_USERS - 1);
    assert_int_equal(records(stage, name), 0);
    stage_assert_exact(stage);
    assert_int_equal(gc_number(stage, name, "records", NULL), 0); /* once more does nothing */
    lose_memory(stage);
    stage_collector_start(stage, "1"); /* another one takes its place */
    record(stage, 2);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
}

static void test_collector_that_idles_elsewhere_answers_and_is_refused(void **state)
{
    struct stage *stage = *state;
    const char *name;

    stage_collector_start(stage, "1");
    record(stage, 1);
    for (int user = 0; user < STAGE_USERS; user++)
        wait_prompt(stage, user, atomic_load(&stage->truth->prompt[user]));
    process_sleep_ms(1500); /* nothing under way any more, or this would prove less */
    name = collector_name(stage);
    assert_refused(stage, false, name, "is alive: it wrote to the sink");
    assert_int_equal(records(stage, name), STAGE_USERS - 1);
    record(stage, 2);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
}

static void test_collector_of_this_host_is_refused_whether_it_runs_or_not(void **state)
{
    struct stage *stage = *state;
    char state_dir[STAGE_PATH_BYTES + 8];
    const char *name;

    (void)snprintf(state_dir, sizeof(state_dir), "%s/state", stage->dir);
    stage_env(stage, "TOKENRING_STATE_DIR", state_dir);
    stage_collector_start(stage, "1");
    record(stage, 1);
    name = collector_name(stage);
    assert_refused(stage, true, name, "is alive: it runs");
    assert_refused(stage, false, name, "is alive: it runs under the name that is kept in");
    stage_collector_end(stage, 0);
    assert_refused(stage, true, name, "is not dead: what it counted is in");
    assert_refused(stage, true, "0123456789abcdef", "the sink knows no collector 0123456789abcdef");
    stage_assert_exact(stage);
}

/* It believes that the sink has records that are gone: it must neither send all again nor go on from nothing. */
static void test_collector_that_comes_back_with_its_memory_counts_nothing_twice(void **state)
{
    struct stage *stage = *state;
    int64_t prompt;

    stage_collector_start(stage, "1");
    record(stage, 1);
    stage_collector_end(stage, 0);
    assert_int_equal(gc_number(stage, collector_name(stage), "records", NULL), STAGE_USERS - 1);
    prompt = atomic_load(&stage->truth->prompt[0]);
    stage_collector_start(stage, "1");
    record(stage, 2);
    wait_said(stage, "took it for dead and removed its records");
    wait_said(stage, "the sink has lost this collector's record of it, although it has not gone back");
    assert_int_equal(stage_exit_code(stage_fork(stage, record_last_user, 1)), 0);
    wait_prompt(stage, STAGE_USERS - 1, 7); /* whoever is new to it is counted */
    assert_int_equal(prompt_of(stage, 0), prompt);
    assert_null(strstr(process_text(&stage->collector, PROCESS_STDERR), "has gone back"));
}

static void test_collector_that_comes_back_without_its_memory_counts_on(void **state)
{
    struct stage *stage = *state;
    char state_dir[STAGE_PATH_BYTES + 8];
    char name[17];

    (void)snprintf(state_dir, sizeof(state_dir), "%s/state", stage->dir);
    stage_env(stage, "TOKENRING_STATE_DIR", state_dir);
    stage_collector_start(stage, "1");
    record(stage, 1);
    stage_collector_end(stage, 0);
    memcpy(name, collector_name(stage), sizeof(name));
    assert_int_equal(gc_number(stage, name, "records", NULL), STAGE_USERS - 1);
    lose_memory(stage);
    stage_collector_start(stage, "1");
    record(stage, 2);
    wait_prompt(stage, 0, atomic_load(&stage->truth->prompt[0]));
    assert_string_equal(collector_name(stage), name);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
}

static void acl(const struct stage *stage, const char *rules)
{
    redisReply *reply = redis_server_command(&stage->server, rules);

    assert_non_null(reply);
    assert_int_equal(reply->type, REDIS_REPLY_STATUS);
    freeReplyObject(reply);
}

/* What README.md says of the collector's permissions and of the command's. */
static void test_collectors_permissions_and_two_more_suffice(void **state)
{
    struct stage *stage = *state;
    const char *name;

    acl(stage, "ACL SETUSER tokens on >secret ~token_usage* ~token_limit* ~tr1:* +evalsha +script|load +hget +hset "
               "+hdel +hincrby");
    stage_env(stage, "REDIS_USERNAME", "tokens");
    stage_env(stage, "REDIS_PASSWORD", "secret");
    stage_collector_start(stage, "1");
    record(stage, 1);
    stage_collector_end(stage, 0);
    name = collector_name(stage);
    assert_refused(stage, false, name, "NOPERM");
    acl(stage, "ACL SETUSER tokens +hgetall");
    assert_refused(stage, false, name, "NOPERM");
    assert_int_equal(records(stage, name), STAGE_USERS - 1);
    acl(stage, "ACL SETUSER tokens +scan");
    assert_int_equal(gc_number(stage, name, "records", NULL), STAGE_USERS - 1);
    stage_assert_exact(stage);
}

static void test_gc_killed_at_any_time_changes_no_total(void **state)
{
    struct stage *stage = *state;
    char elsewhere[STAGE_PATH_BYTES + 16];
    const char *name;

    stage_collector_start(stage, "2");
    record(stage, 1);
    stage_collector_end(stage, 0);
    name = collector_name(stage);
    (void)snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", stage->dir);
    for (int i = 0; i < 6; i++) {
        const char *argv[] = {TEST_BIN_DIR "/tokenring", "gc", name, "--wait", "1", "--runtime-dir", elsewhere, NULL};
        struct process process;
        assert_int_equal(process_start(&process, argv, stage->env_list), 0);
        process_sleep_ms(i < 2 ? 300 : 1160 + 20 * i); /* in the wait; about where it removes */
        process_signal(&process, SIGKILL);
        assert_int_equal(process_wait(&process, SETTLE_MS), 0);
        process_end(&process);
        stage_assert_exact(stage);
    }
    (void)gc_number(stage, name, "records", NULL);
    assert_int_equal(records(stage, name), 0);
    stage_assert_exact(stage);
}

static void test_list_names_the_collectors_and_the_dead_among_them(void **state)
{
    struct stage *stage = *state;
    const char *const nothing[] = {NULL};
    struct process process;
    char name[17];

    stage_collector_start(stage, "2");
    record(stage, 1);
    stage_collector_end(stage, 0);
    memcpy(name, collector_name(stage), sizeof(name));
    gc(stage, false, nothing, &process);
    assert_int_equal(process_exit_code(&process), 0);
    assert_non_null(strstr(process_text(&process, PROCESS_STDOUT), name));
    assert_non_null(strstr(process_text(&process, PROCESS_STDOUT), "last sign of life 20"));
    process_end(&process);
    (void)gc_number(stage, name, "records", NULL);
    gc(stage, false, nothing, &process);
    assert_non_null(strstr(process_text(&process, PROCESS_STDOUT), "none since gc at 20"));
    process_end(&process);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_REDIS(test_dead_collector_leaves_its_totals_and_no_record),
        IN_LEDGER(test_dead_collector_leaves_its_totals_and_no_record),
        IN_REDIS(test_collector_that_idles_elsewhere_answers_and_is_refused),
        IN_LEDGER(test_collector_that_idles_elsewhere_answers_and_is_refused),
        IN_LEDGER(test_collector_of_this_host_is_refused_whether_it_runs_or_not),
        IN_REDIS(test_collector_that_comes_back_with_its_memory_counts_nothing_twice),
        IN_LEDGER(test_collector_that_comes_back_with_its_memory_counts_nothing_twice),
        IN_REDIS(test_collector_that_comes_back_without_its_memory_counts_on),
        IN_LEDGER(test_collector_that_comes_back_without_its_memory_counts_on),
        IN_REDIS(test_collectors_permissions_and_two_more_suffice),
        IN_REDIS(test_gc_killed_at_any_time_changes_no_total),
        IN_LEDGER(test_gc_killed_at_any_time_changes_no_total),
        IN_REDIS(test_list_names_the_collectors_and_the_dead_among_them),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
