/* SPDX-License-Identifier: Apache-2.0 */
/* A Redis that may evict: the collector is degraded while it is so, says it, and goes on counting; where it may not ask, all is well. */
#include "integration/http_stage.h"
#include "integration/sink_health.h"

#define ANY_KEY "Redis may evict any key (maxmemory-policy allkeys-lru, maxmemory 104857600): what is evicted would be lost"
#define EXPIRING \
    "Redis may evict keys that expire (maxmemory-policy volatile-lru, maxmemory 104857600): an alert could be said twice"
#define WARNED "the sink's settings endanger what it holds: Redis may evict"
#define OVER "the sink's settings no longer endanger what it holds"

/* Sets what Redis may evict; the collector asks on its next connection, or within a minute. */
static void set_policy(redisContext *admin, const char *maxmemory, const char *policy)
{
    char command[64];

    (void)snprintf(command, sizeof(command), "CONFIG SET maxmemory %s", maxmemory);
    admin_command(admin, command);
    (void)snprintf(command, sizeof(command), "CONFIG SET maxmemory-policy %s", policy);
    admin_command(admin, command);
    admin_command(admin, "CLIENT KILL TYPE normal");
}

static bool advice_is(struct stage *stage, const char *words)
{
    json_t *sink = health_read(stage);
    const char *advice = health_text(sink, "advice");
    bool same = words[0] != '\0' ? strstr(advice, words) != NULL : advice[0] == '\0';

    json_decref(sink);
    return same;
}

static void wait_advice(struct stage *stage, const char *words)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;

    while (!advice_is(stage, words)) {
        if (process_now_ms() > end)
            fail_msg("no \"%s\": %s", words, process_text(&stage->collector, PROCESS_STDERR));
        process_sleep_ms(20);
    }
}

/* As a container's health check asks. */
static void assert_health(const struct stage *stage, const char *text)
{
    const char *argv[] = {TEST_BIN_DIR "/tokenring", "health", "--runtime-dir", stage->runtime, NULL};
    struct process process;

    assert_int_equal(process_run(&process, argv, NULL, WAIT_MS), 0);
    assert_int_equal(process_exit_code(&process), 0);
    if (strncmp(process_text(&process, PROCESS_STDOUT), text, strlen(text)) != 0)
        fail_msg("%s", process_text(&process, PROCESS_STDOUT));
    process_end(&process);
}

static void assert_answer(const char *where, const char *path, const char *words)
{
    char *answer = get(where, path);

    if (strstr(answer, words) == NULL)
        fail_msg("%s lacks \"%s\": %s", path, words, answer);
    free(answer);
}

static void test_collector_is_degraded_while_redis_may_evict(void **state)
{
    const char *const told[] = {"advice: " ANY_KEY, "takes usage since", NULL};
    struct stage *stage = *state;
    redisContext *admin = redis_server_context(&stage->server);
    char where[WHERE_BYTES];

    assert_non_null(admin);
    start_collector(stage, where);
    record(stage, 1);
    wait_exact(stage);
    assert_health(stage, "healthy\n");
    wait_value(where, "tokenring_sink_endangered", 0);
    set_policy(admin, "100mb", "allkeys-lru");
    wait_advice(stage, ANY_KEY);
    health_wait(stage, "good", 0, "");
    health_assert_told(stage, told);
    assert_health(stage, "degraded\n" ANY_KEY);
    wait_value(where, "tokenring_sink_endangered", 1); /* a page may be a quarter of a second old */
    assert_answer(where, "/health", "\"status\":\"degraded\"");
    assert_answer(where, "/health", ANY_KEY);
    record(stage, 2); /* counted all the same */
    wait_exact(stage);
    set_policy(admin, "100mb", "volatile-lru");
    wait_advice(stage, EXPIRING);
    set_policy(admin, "100mb", "noeviction");
    wait_advice(stage, "");
    health_wait(stage, "good", 0, "");
    assert_health(stage, "healthy\n");
    wait_value(where, "tokenring_sink_endangered", 0);
    set_policy(admin, "0", "allkeys-lru"); /* nothing is ever full */
    record(stage, 3);
    wait_exact(stage);
    assert_health(stage, "healthy\n");
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
    assert_said(stage, WARNED, 2);
    assert_said(stage, OVER, 1);
    redisFree(admin);
}

/* How often Redis noted that INFO was denied. */
static long long denials(redisContext *admin)
{
    redisReply *log = redisCommand(admin, "ACL LOG");
    long long count = 0;

    assert_non_null(log);
    assert_int_equal(log->type, REDIS_REPLY_ARRAY);
    for (size_t i = 0; i < log->elements; i++) {
        const redisReply *entry = log->element[i];
        if (entry->elements < 8 || strcmp(entry->element[7]->str, "info") != 0)
            fail_msg("something else is denied, too");
        assert_string_equal(entry->element[0]->str, "count");
        count += entry->element[1]->integer;
    }
    freeReplyObject(log);
    return count;
}

static void wait_denials(redisContext *admin, long long count)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;

    while (denials(admin) < count && process_now_ms() < end)
        process_sleep_ms(10);
    assert_int_equal(denials(admin), count);
}

static void test_user_without_info_is_healthy_and_denied_once_a_connection(void **state)
{
    struct stage *stage = *state;
    redisContext *admin = redis_server_context(&stage->server);

    assert_non_null(admin);
    set_policy(admin, "100mb", "allkeys-lru");
    admin_command(admin, "ACL SETUSER collector on >secret ~token_usage* ~token_limit* ~tr1:* +evalsha +script|load +hget +hset "
                         "+hdel +hincrby +hgetall");
    stage_env(stage, "REDIS_USERNAME", "collector");
    stage_env(stage, "REDIS_PASSWORD", "secret");
    stage_env(stage, "LOG_LEVEL", "debug");
    stage_collector_start(stage, "1");
    for (int connection = 1; connection <= 3; connection++) {
        wait_denials(admin, connection);
        record(stage, connection);
        wait_exact(stage);
        process_sleep_ms(1500); /* and several passes, probes too */
        wait_denials(admin, connection);
        health_wait(stage, "good", 0, "");
        assert_true(advice_is(stage, ""));
        assert_health(stage, "healthy\n");
        if (connection < 3)
            admin_command(admin, "CLIENT KILL USER collector");
    }
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
    assert_said(stage, "endanger", 0);
    assert_said(stage, "NOPERM", 0);
    redisFree(admin);
}

int main(void)
{
#define R(name) cmocka_unit_test_setup_teardown(name, stage_set_up_redis, stage_tear_down)
    const struct CMUnitTest tests[] = {
        R(test_collector_is_degraded_while_redis_may_evict),
        R(test_user_without_info_is_healthy_and_denied_once_a_connection),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
