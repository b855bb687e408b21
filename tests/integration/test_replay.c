/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls through real producer processes, a real collector and real sinks: every user's totals are what the gateway
 * offered, to the token.
 */
#include "support/test.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/counters.h"
#include "support/process.h"
#include "support/redis.h"
#include "support/tempdir.h"

#define COMMAND TEST_BIN_DIR "/tokenring"
#define COLLECTOR TEST_BIN_DIR "/tokenringd"
#define AZURE_CODE TEST_SOURCE_DIR "/../shared/data/azure/AzureLLMInferenceTrace_code.csv"
#define AZURE_CONVERSATION TEST_SOURCE_DIR "/../shared/data/azure/AzureLLMInferenceTrace_conv.csv"
#define AZURE_CALLS 28185
#define AZURE_PROMPT 40421844
#define AZURE_COMPLETION 4334561
#define AZURE_TOTAL 44756405
#define ROWS 6000
#define ROW_USERS 40
#define DEADLINE_MS PROCESS_PATIENCE_MS
#define ENV_MAX 5
#define ENV_BYTES 160
#define SETTLED 20 /* looks at a process that should be gone */

/* One test's directory, environment and, where it wants one, Redis. */
struct stage {
    char dir[TEMPDIR_BYTES];
    char trace[TEMPDIR_BYTES + 16];
    char ledger[TEMPDIR_BYTES + 16];
    char env[ENV_MAX][ENV_BYTES];
    const char *env_list[ENV_MAX + 1];
    struct redis_server server;
    struct process collector;
};

static int set_up(void **state)
{
    struct stage *stage = calloc(1, sizeof(*stage));

    if (stage == NULL || tempdir_make(stage->dir) != 0)
        return -1;
    (void)snprintf(stage->trace, sizeof(stage->trace), "%s/trace.csv", stage->dir);
    (void)snprintf(stage->ledger, sizeof(stage->ledger), "%s/ledger.db", stage->dir);
    *state = stage;
    return 0;
}

static int tear_down(void **state)
{
    struct stage *stage = *state;

    process_end(&stage->collector);
    redis_server_stop(&stage->server);
    tempdir_remove(stage->dir);
    free(stage);
    return 0;
}

static void set_env(struct stage *stage, const char *name, const char *value)
{
    int i = 0;

    while (stage->env_list[i] != NULL)
        i++;
    assert_true(i < ENV_MAX);
    assert_true(snprintf(stage->env[i], ENV_BYTES, "%s=%s", name, value) < ENV_BYTES);
    stage->env_list[i] = stage->env[i];
}

static void use_ledger(struct stage *stage)
{
    set_env(stage, "TOKENRING_RUNTIME_DIR", stage->dir);
    set_env(stage, "TOKENRING_SINK", "sqlite");
    set_env(stage, "TOKENRING_LEDGER", stage->ledger);
}

static void use_redis(struct stage *stage)
{
    assert_int_equal(redis_server_start(&stage->server, NULL), 0);
    set_env(stage, "TOKENRING_RUNTIME_DIR", stage->dir);
    set_env(stage, "REDIS_SOCKET", stage->server.socket);
}

static void start_collector(struct stage *stage)
{
    const char *argv[] = {COLLECTOR, NULL};

    assert_int_equal(process_start(&stage->collector, argv, stage->env_list), 0);
    assert_int_equal(process_wait_text(&stage->collector, PROCESS_STDERR, "collecting in", DEADLINE_MS), 0);
}

/* Ends it as an operator would: it counts and flushes all first. */
static void end_collector(struct stage *stage)
{
    process_signal(&stage->collector, SIGTERM);
    assert_int_equal(process_wait(&stage->collector, DEADLINE_MS), 0);
    if (process_exit_code(&stage->collector) != 0)
        fail_msg("%s", process_text(&stage->collector, PROCESS_STDERR));
    process_end(&stage->collector);
}

/* Runs it, expects the exit code, and gives what it printed as JSON; the caller frees it. */
static json_t *run_json(struct stage *stage, const char *const argv[], int exit_code)
{
    struct process process;
    json_error_t error;
    json_t *object;

    assert_int_equal(process_run(&process, argv, stage->env_list, DEADLINE_MS), 0);
    if (process_exit_code(&process) != exit_code)
        fail_msg("exit code %d: %s", process_exit_code(&process), process_text(&process, PROCESS_STDERR));
    object = json_loads(process_text(&process, PROCESS_STDOUT), JSON_REJECT_DUPLICATES, &error);
    if (object == NULL)
        fail_msg("%s in: %s", error.text, process_text(&process, PROCESS_STDOUT));
    process_end(&process);
    return object;
}

static int64_t integer(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);

    if (!json_is_integer(value))
        fail_msg("%s is no integer", key);
    return json_integer_value(value);
}

/* calls, prompt, completion and total of two objects are equal. */
static void assert_tally_equal(const json_t *found, const json_t *expected)
{
    static const char *const keys[] = {"calls", "prompt_tokens", "completion_tokens", "total_tokens"};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        assert_int_equal(integer(found, keys[i]), integer(expected, keys[i]));
}

static void assert_accepted(const json_t *offered)
{
    assert_int_equal(integer(offered, "calls"), integer(offered, "calls_wanted"));
    assert_int_equal(json_object_size(json_object_get(offered, "refused")), 0);
    assert_int_equal(json_object_size(json_object_get(offered, "dropped")), 0);
}

static void assert_azure(const json_t *offered)
{
    assert_int_equal(integer(offered, "calls"), AZURE_CALLS);
    assert_int_equal(integer(offered, "prompt_tokens"), AZURE_PROMPT);
    assert_int_equal(integer(offered, "completion_tokens"), AZURE_COMPLETION);
    assert_int_equal(integer(offered, "total_tokens"), AZURE_TOTAL);
    assert_string_equal(json_string_value(json_object_get(offered, "cycle")), "2023-11-01");
}

static void add_integer(json_t *object, const char *key, int64_t value)
{
    json_t *old = json_object_get(object, key);

    assert_int_equal(json_object_set_new(object, key, json_integer(json_integer_value(old) + value)), 0);
}

/* Adds a call to the tally of a user. */
static void add_call(json_t *users, const char *user, int64_t prompt, int64_t completion)
{
    json_t *tally = json_object_get(users, user);

    if (tally == NULL) {
        tally = json_object();
        assert_int_equal(json_object_set_new(users, user, tally), 0);
    }
    add_integer(tally, "calls", 1);
    add_integer(tally, "prompt_tokens", prompt);
    add_integer(tally, "completion_tokens", completion);
    add_integer(tally, "total_tokens", prompt + completion);
}

/* Writes a trace over three cycles and gives the truth of it, {user: tally}. Ids hold braces, colons and quotes. */
static json_t *write_trace(const struct stage *stage)
{
    FILE *file = fopen(stage->trace, "w");
    json_t *users = json_object();

    assert_non_null(file);
    (void)fputs("Model,User,GeneratedTokens,ContextTokens,TIMESTAMP\r\n", file);
    for (int i = 0; i < ROWS; i++) {
        int user = i * i % ROW_USERS;
        int64_t prompt = i % 7 == 0 ? 0 : i * INT64_C(977) % 5003;
        int64_t completion = i % 100 == 0 ? (INT64_C(1) << 40) - prompt : i % 613;
        char id[32];

        (void)snprintf(id, sizeof(id), "team:{%d} \xc3\xa9%s", user, user % 2 == 0 ? "," : "");
        (void)fprintf(file, "model-%d,\"%s\",%" PRId64 ",%" PRId64 ",2024-0%d-15 10:%02d:%02d.%03d\r\n", i % 3, id, completion,
                      prompt, 1 + i % 3, i / 60 % 60, i % 60, i % 1000);
        add_call(users, id, prompt, completion);
    }
    assert_int_equal(fclose(file), 0);
    return users;
}

static void assert_users_equal(json_t *found, json_t *expected)
{
    const char *user;
    json_t *tally;

    assert_int_equal(json_object_size(found), json_object_size(expected));
    json_object_foreach (expected, user, tally)
        assert_tally_equal(json_object_get(found, user), tally);
}

static void test_replay_without_collector_offers_the_whole_trace(void **state)
{
    static const char *const producers[] = {"1", "3", "64"};
    struct stage *stage = *state;
    json_t *truth = write_trace(stage);

    for (size_t i = 0; i < sizeof(producers) / sizeof(producers[0]); i++) {
        const char *argv[] = {COMMAND,         "replay",   stage->trace, "--producers", producers[i],
                              "--runtime-dir", stage->dir, "--json",     NULL};
        json_t *offered = run_json(stage, argv, 0);

        assert_accepted(offered);
        assert_int_equal(integer(offered, "calls"), ROWS);
        assert_users_equal(json_object_get(offered, "users"), truth);
        assert_string_equal(json_string_value(json_object_get(offered, "cycle_first")), "2024-01-01");
        assert_string_equal(json_string_value(json_object_get(offered, "cycle_last")), "2024-03-01");
        json_decref(offered);
    }
    json_decref(truth);
}

static void test_simulate_of_a_seed_offers_the_same_whatever_the_producers(void **state)
{
    struct stage *stage = *state;
    const char *one[] = {COMMAND,    "simulate",      "--calls=20000", "--producers=1", "--users=50",
                         "--seed=9", "--runtime-dir", stage->dir,      "--json",        NULL};
    const char *seven[] = {COMMAND,    "simulate",      "--calls=20000", "--producers=7", "--users=50",
                           "--seed=9", "--runtime-dir", stage->dir,      "--json",        NULL};
    json_t *offered = run_json(stage, one, 0);
    json_t *again = run_json(stage, seven, 0);

    assert_accepted(offered);
    assert_int_equal(integer(offered, "calls"), 20000);
    assert_tally_equal(again, offered);
    assert_users_equal(json_object_get(again, "users"), json_object_get(offered, "users"));
    json_decref(again);
    json_decref(offered);
}

static void test_replay_of_ids_that_are_no_text_keeps_them_apart(void **state)
{
    struct stage *stage = *state;
    const char *argv[] = {COMMAND, "replay", stage->trace, "--runtime-dir", stage->dir, "--json", NULL};
    FILE *file = fopen(stage->trace, "w");
    json_t *offered;
    json_t *users;

    assert_non_null(file);
    (void)fputs("TIMESTAMP,ContextTokens,GeneratedTokens,User\n"
                "2024-01-01 00:00:00,1,0,a\xff\n2024-01-01 00:00:00,2,0,a\xc0\n2024-01-01 00:00:00,4,0,a\n",
                file);
    assert_int_equal(fclose(file), 0);
    offered = run_json(stage, argv, 0);
    users = json_object_get(offered, "users");
    assert_int_equal(integer(json_object_get(users, "a\xef\xbf\xbd"), "total_tokens"), 1);
    assert_string_equal(json_string_value(json_object_get(json_object_get(users, "a\xef\xbf\xbd"), "id_hex")), "61ff");
    assert_int_equal(integer(json_object_get(users, "a\xef\xbf\xbd~61c0"), "total_tokens"), 2);
    assert_int_equal(integer(json_object_get(users, "a"), "total_tokens"), 4);
    json_decref(offered);
}

/* The first child of a process that has `count`, once it has them; 0 when it ended first. */
static pid_t first_child(struct process *process, int count)
{
    char path[64];
    char text[256] = "";

    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)process->pid, (int)process->pid);
    while (process_running(process)) {
        FILE *file = fopen(path, "r");
        size_t len = file == NULL ? 0 : fread(text, 1, sizeof(text) - 1, file);
        int found = 0;

        if (file != NULL)
            (void)fclose(file);
        text[len] = '\0';
        for (char *at = text; (at = strchr(at, ' ')) != NULL; at++)
            found++;
        if (found == count)
            return (pid_t)strtol(text, NULL, 10);
        process_sleep_ms(5);
    }
    return 0;
}

static void test_simulate_reports_a_producer_that_was_killed(void **state)
{
    struct stage *stage = *state;
    const char *argv[] = {COMMAND,         "simulate",      "--calls=1000000", "--rate=1000",
                          "--producers=2", "--runtime-dir", stage->dir,        NULL};
    struct process process;
    pid_t child;

    assert_int_equal(process_start(&process, argv, NULL), 0);
    child = first_child(&process, 2);
    assert_true(child > 0);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(first_child(&process, 1) > 0, true);
    process_signal(&process, SIGTERM);
    assert_int_equal(process_wait(&process, DEADLINE_MS), 0);
    assert_int_equal(process_exit_code(&process), 1);
    assert_non_null(strstr(process_text(&process, PROCESS_STDERR), "was killed: Killed\n"));
    assert_non_null(strstr(process_text(&process, PROCESS_STDOUT), " of 1000000\n"));
    process_end(&process);
}

/* Gone, or dead and not yet collected by whoever inherited it. */
static bool dead(pid_t pid)
{
    char path[64];
    char text[256] = "";
    const char *behind_name;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    file = fopen(path, "r");
    if (file == NULL)
        return true;
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    (void)fclose(file);
    behind_name = strrchr(text, ')');
    return behind_name == NULL || behind_name[2] == 'Z' || behind_name[2] == 'X';
}

static void test_simulate_producers_die_with_the_parent(void **state)
{
    struct stage *stage = *state;
    const char *argv[] = {COMMAND, "simulate", "--rate=100", "--producers=1", "--runtime-dir", stage->dir, NULL};
    struct process process;
    pid_t child;

    assert_int_equal(process_start(&process, argv, NULL), 0);
    child = first_child(&process, 1);
    assert_true(child > 0);
    process_end(&process); /* SIGKILL */
    for (int i = 0; i < SETTLED && !dead(child); i++)
        process_sleep_ms(50);
    assert_true(dead(child));
}

/* {user: tally} of what `tokenring usage` shows, all cycles together; field: NULL, or the object inside a row. */
static json_t *read_usage(struct stage *stage, const char *field)
{
    const char *argv[] = {COMMAND, "usage", "--json", NULL};
    json_t *usage = run_json(stage, argv, 0);
    json_t *users = json_object();
    json_t *row;
    size_t i;

    json_array_foreach (json_object_get(usage, "rows"), i, row) {
        const char *id = json_string_value(json_object_get(row, "id"));
        const json_t *counts = field == NULL ? row : json_object_get(row, field);
        json_t *tally = json_object_get(users, id);

        assert_string_equal(json_string_value(json_object_get(row, "kind")), "user");
        if (tally == NULL) {
            tally = json_object();
            assert_int_equal(json_object_set_new(users, id, tally), 0);
        }
        for (int counter = 0; counter < TKR_COUNTER_COUNT; counter++)
            add_integer(tally, tkr_counter_name[counter], integer(counts, tkr_counter_name[counter]));
    }
    json_decref(usage);
    return users;
}

static void assert_usage_is(struct stage *stage, json_t *expected_users)
{
    json_t *users = read_usage(stage, NULL);

    assert_users_equal(users, expected_users);
    json_decref(users);
}

/* Of the calls that the run reports as cut short: how many there are, or the sum of one of their figures. */
static int64_t interrupted(const json_t *offered, const char *key)
{
    const json_t *calls = json_object_get(offered, "interrupted");
    int64_t sum = 0;

    for (size_t i = 0; i < json_array_size(calls); i++)
        sum += strcmp(key, "calls") == 0 ? 1 : integer(json_array_get(calls, i), key);
    return sum;
}

static void assert_counted_or_cut_short(json_t *users, const json_t *offered, const char *key)
{
    int64_t counted = 0;
    const char *user;
    json_t *tally;

    json_object_foreach (users, user, tally)
        counted += integer(tally, key);
    assert_in_range(counted, integer(offered, key), integer(offered, key) + interrupted(offered, key));
}

/* Until all producers' memory is counted and given back. */
static void wait_reclaimed(struct stage *stage)
{
    const char *argv[] = {COMMAND, "stat", "--json", NULL};
    long end = process_now_ms() + DEADLINE_MS;
    size_t regions;

    do {
        json_t *stat = run_json(stage, argv, 0);
        regions = json_array_size(json_object_get(stat, "regions"));
        json_decref(stat);
        assert_true(process_now_ms() < end);
        process_sleep_ms(20);
    } while (regions > 0);
}

static void test_simulate_knows_what_producers_made_that_it_kills(void **state)
{
    struct stage *stage = *state;
    const char *argv[] = {COMMAND,  "simulate", "--calls=400000", "--producers=4", "--users=20", "--kill=3", "--rate=30000",
                          "--json", NULL};
    json_t *offered;
    json_t *users;

    use_ledger(stage);
    offered = run_json(stage, argv, 0);
    assert_int_equal(integer(offered, "killed"), 3);
    assert_in_range(integer(offered, "calls"), 100000, 399999);
    start_collector(stage);
    wait_reclaimed(stage);
    end_collector(stage);
    users = read_usage(stage, NULL);
    assert_counted_or_cut_short(users, offered, "calls");
    assert_counted_or_cut_short(users, offered, "total_tokens");
    json_decref(users);
    json_decref(offered);
}

static void test_replay_before_the_collector_starts_is_counted_when_it_does(void **state)
{
    struct stage *stage = *state;
    const char *argv[] = {COMMAND, "replay", stage->trace, "--json", NULL};
    json_t *truth = write_trace(stage);

    use_ledger(stage);
    json_decref(run_json(stage, argv, 0));
    start_collector(stage);
    end_collector(stage);
    assert_usage_is(stage, truth);
    json_decref(truth);
}

static void test_usage_shows_what_is_not_flushed_yet(void **state)
{
    struct stage *stage = *state;
    const char *argv[] = {COMMAND, "replay", stage->trace, "--sync", "--json", NULL};
    json_t *truth = write_trace(stage);
    json_t *flushed;
    json_t *unflushed;
    json_t *tally;
    const char *user;

    use_redis(stage);
    set_env(stage, "TOKENRING_FLUSH_INTERVAL_MS", "3600000");
    start_collector(stage);
    json_decref(run_json(stage, argv, 0));
    flushed = read_usage(stage, NULL);
    unflushed = read_usage(stage, "unflushed");
    json_object_foreach (truth, user, tally)
        assert_int_equal(integer(json_object_get(flushed, user), "total_tokens") +
                             integer(json_object_get(unflushed, user), "total_tokens"),
                         integer(tally, "total_tokens"));
    assert_true(integer(json_object_get(unflushed, "team:{0} \xc3\xa9,"), "total_tokens") > 0);
    end_collector(stage);
    assert_usage_is(stage, truth);
    json_decref(unflushed);
    json_decref(flushed);
    json_decref(truth);
}

static bool is_counter(const char *field)
{
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (strcmp(field, tkr_counter_name[i]) == 0)
            return true;
    }
    return false;
}

/* Adds a user's hash to its tally: counters and nothing else, each an integer. */
static void add_hash(json_t *tally, const redisReply *hash)
{
    assert_int_equal(hash->type, REDIS_REPLY_ARRAY);
    assert_true(hash->elements > 0);
    for (size_t i = 0; i < hash->elements; i += 2) {
        const char *field = hash->element[i]->str;
        char *end;
        long long value = strtoll(hash->element[i + 1]->str, &end, 10);

        if (!is_counter(field) || *end != '\0' || end == hash->element[i + 1]->str || value < 0)
            fail_msg("%s = %s", field, hash->element[i + 1]->str);
        add_integer(tally, field, value);
    }
}

/* {user: tally} of the users' hashes, read as any other program would. */
static json_t *read_redis(struct stage *stage)
{
    redisContext *context = redis_server_context(&stage->server);
    redisReply *keys = redisCommand(context, "KEYS token_usage:*");
    json_t *users = json_object();

    assert_non_null(keys);
    for (size_t i = 0; i < keys->elements; i++) {
        const char *key = keys->element[i]->str;
        size_t prefix = strlen("token_usage:");
        char id[256];
        json_t *tally;
        redisReply *hash = redisCommand(context, "HGETALL %s", key);

        (void)snprintf(id, sizeof(id), "%.*s", (int)(strlen(key) - prefix - strlen(":YYYY-MM-DD")), key + prefix);
        tally = json_object_get(users, id);
        if (tally == NULL) {
            tally = json_object();
            assert_int_equal(json_object_set_new(users, id, tally), 0);
        }
        assert_non_null(hash);
        add_hash(tally, hash);
        freeReplyObject(hash);
    }
    freeReplyObject(keys);
    redisFree(context);
    return users;
}

/* Sums of the ledger's view, asked without any of our code. */
static void assert_ledger_sums(const struct stage *stage, const json_t *offered)
{
    static const char *const columns[] = {"calls", "prompt_tokens", "completion_tokens", "total_tokens"};
    sqlite3_stmt *statement;
    sqlite3 *ledger;

    assert_int_equal(sqlite3_open_v2(stage->ledger, &ledger, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(ledger,
                                        "SELECT SUM(calls), SUM(prompt_tokens), SUM(completion_tokens),"
                                        " SUM(total_tokens) FROM usage",
                                        -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    for (int i = 0; i < 4; i++)
        assert_int_equal(sqlite3_column_int64(statement, i), integer(offered, columns[i]));
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    assert_int_equal(sqlite3_close(ledger), SQLITE_OK);
}

static void need_azure(void)
{
    if (access(AZURE_CODE, R_OK) != 0 || access(AZURE_CONVERSATION, R_OK) != 0) {
        (void)puts("skipped: ../shared/data is not here");
        skip();
    }
}

static const char *const replay_azure[] = {COMMAND,  "replay", AZURE_CODE, AZURE_CONVERSATION, "--producers=4", "--users=1000",
                                           "--sync", "--json", NULL};

static void test_azure_traces_reach_redis_to_the_token(void **state)
{
    struct stage *stage = *state;
    json_t *offered;
    json_t *users;

    need_azure();
    use_redis(stage);
    start_collector(stage);
    offered = run_json(stage, replay_azure, 0);
    assert_accepted(offered);
    assert_azure(offered);
    end_collector(stage);
    users = read_redis(stage);
    assert_users_equal(users, json_object_get(offered, "users"));
    assert_usage_is(stage, json_object_get(offered, "users"));
    json_decref(users);
    json_decref(offered);
}

static void test_azure_traces_reach_the_ledger_to_the_token(void **state)
{
    struct stage *stage = *state;
    json_t *offered;

    need_azure();
    use_ledger(stage);
    start_collector(stage);
    offered = run_json(stage, replay_azure, 0);
    assert_accepted(offered);
    assert_azure(offered);
    end_collector(stage);
    assert_usage_is(stage, json_object_get(offered, "users"));
    assert_ledger_sums(stage, offered);
    json_decref(offered);
}

static void test_replay_reaches_redis_to_the_token(void **state)
{
    struct stage *stage = *state;
    const char *argv[] = {COMMAND, "replay", stage->trace, "--sync", "--json", NULL};
    json_t *truth = write_trace(stage);
    json_t *users;

    use_redis(stage);
    start_collector(stage);
    json_decref(run_json(stage, argv, 0));
    end_collector(stage);
    users = read_redis(stage);
    assert_users_equal(users, truth);
    json_decref(users);
    json_decref(truth);
}

static void test_usage_of_one_account_or_none(void **state)
{
    struct stage *stage = *state;
    const char *simulate[] = {COMMAND, "simulate", "--calls=1000", "--users=3", "--sync", "--json", NULL};
    const char *one[] = {COMMAND, "usage", "user-0002", "--json", NULL};
    const char *top[] = {COMMAND, "usage", "--top=1", NULL};
    const char *none[] = {COMMAND, "usage", "nobody", "--kind=team", "--json", NULL};
    json_t *offered;
    json_t *usage;
    json_t *rows;
    struct process process;

    use_ledger(stage);
    start_collector(stage);
    offered = run_json(stage, simulate, 0);
    end_collector(stage);
    usage = run_json(stage, one, 0);
    rows = json_object_get(usage, "rows");
    assert_int_equal(json_array_size(rows), 1);
    assert_tally_equal(json_array_get(rows, 0), json_object_get(json_object_get(offered, "users"), "user-0002"));
    json_decref(usage);
    json_decref(offered);
    usage = run_json(stage, none, 1);
    assert_int_equal(json_array_size(json_object_get(usage, "rows")), 0);
    json_decref(usage);
    assert_int_equal(process_run(&process, top, stage->env_list, DEADLINE_MS), 0);
    assert_non_null(strstr(process_text(&process, PROCESS_STDOUT), "sqlite at "));
    assert_non_null(strstr(process_text(&process, PROCESS_STDOUT), "\nuser-0001  user  "));
    assert_null(strstr(process_text(&process, PROCESS_STDOUT), "user-0002"));
    process_end(&process);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_replay_without_collector_offers_the_whole_trace),
        TEST(test_simulate_of_a_seed_offers_the_same_whatever_the_producers),
        TEST(test_replay_of_ids_that_are_no_text_keeps_them_apart),
        TEST(test_simulate_reports_a_producer_that_was_killed),
        TEST(test_simulate_knows_what_producers_made_that_it_kills),
        TEST(test_simulate_producers_die_with_the_parent),
        TEST(test_replay_before_the_collector_starts_is_counted_when_it_does),
        TEST(test_usage_shows_what_is_not_flushed_yet),
        TEST(test_replay_reaches_redis_to_the_token),
        TEST(test_azure_traces_reach_redis_to_the_token),
        TEST(test_azure_traces_reach_the_ledger_to_the_token),
        TEST(test_usage_of_one_account_or_none),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
