/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys in a real Redis that cannot be counted on: left as they are, named, tried again slowly, exact once they are mended; all
 * other accounts go on, however many of them there are.
 */
#include "integration/sink_health.h"

#define MANY 10000
#define MANY_TOKENS 7
#define RETRY_MS "50"
#define LINES_MAX 20 /* of the log that name accounts, in a minute */
#define USER(n) "token_usage:user-" n ":2026-11-01"
#define RECORD(n) "tr1:{0}:user-" n ":2026-11-01"

static void command(const struct stage *stage, const char *format, ...)
{
    redisContext *context = redis_server_context(&stage->server);
    redisReply *reply;
    va_list args;

    assert_non_null(context);
    va_start(args, format);
    reply = redisvCommand(context, format, args);
    va_end(args);
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", format, reply == NULL ? context->errstr : reply->str);
    freeReplyObject(reply);
    redisFree(context);
}

/* How often Redis refused a command of the script. */
static long long refused(const struct stage *stage, const char *name)
{
    redisReply *reply = redis_server_command(&stage->server, "INFO commandstats");
    char prefix[32];
    const char *line;
    long long times = 0;

    assert_non_null(reply);
    (void)snprintf(prefix, sizeof(prefix), "cmdstat_%s:", name);
    line = strstr(reply->str, prefix);
    line = line != NULL ? strstr(line, "failed_calls=") : NULL;
    if (line != NULL)
        times = atoll(line + strlen("failed_calls="));
    freeReplyObject(reply);
    return times;
}

static void wait_refused(const struct stage *stage, const char *name, long long more)
{
    long long times = refused(stage, name) + more;
    long end = process_now_ms() + STAGE_DEADLINE_MS;

    while (refused(stage, name) < times) {
        assert_true(process_now_ms() < end);
        process_sleep_ms(10);
    }
}

static void wait_user(const struct stage *stage, int user, int64_t more)
{
    char key[48];
    char text[32];
    long end = process_now_ms() + STAGE_DEADLINE_MS;
    int64_t tokens = atomic_load(&stage->truth->prompt[user]) + atomic_load(&stage->truth->completion[user]) + more;

    (void)snprintf(key, sizeof(key), "token_usage:user-%02d:2026-11-01", user);
    (void)snprintf(text, sizeof(text), "%lld", (long long)tokens);
    while (strcmp(redis_server_hget(&stage->server, key, "total_tokens"), text) != 0) {
        if (process_now_ms() > end)
            fail_msg("%s has %s of %s", key, redis_server_hget(&stage->server, key, "total_tokens"), text);
        process_sleep_ms(10);
    }
}

static void wait_users(const struct stage *stage, int first)
{
    for (int user = first; user < STAGE_USERS; user++)
        wait_user(stage, user, 0);
}

/* --- one of each kind --- */

static const char *const poisoned_keys[] = {USER("00"), RECORD("01"), USER("02"), USER("03")};

static void poison_each(const struct stage *stage)
{
    command(stage, "SET %s text", USER("00"));
    command(stage, "RPUSH %s a", RECORD("01"));
    command(stage, "HSET %s total_tokens many prompt_tokens 5", USER("02"));
    command(stage, "HSET %s total_tokens 9223372036854775807", USER("03"));
    command(stage, "HSET %s cost_nano_usd 1.5 usage_limit 99", USER("04"));
}

static void assert_left_whole(const struct stage *stage)
{
    assert_string_equal(redis_server_hget(&stage->server, USER("02"), "total_tokens"), "many");
    assert_string_equal(redis_server_hget(&stage->server, USER("02"), "prompt_tokens"), "5");
    assert_string_equal(redis_server_hget(&stage->server, USER("03"), "total_tokens"), "9223372036854775807");
    assert_string_equal(redis_server_hget(&stage->server, USER("03"), "prompt_tokens"), "");
    assert_string_equal(redis_server_hget(&stage->server, USER("01"), "prompt_tokens"), "");
}

static const json_t *parked_of(const json_t *sink, const char *id)
{
    const json_t *parked = json_object_get(sink, "parked");
    const json_t *found = NULL;

    for (size_t i = 0; i < json_array_size(parked); i++) {
        if (strcmp(health_text(json_array_get(parked, i), "id"), id) == 0)
            found = json_array_get(parked, i);
    }
    return found;
}

static void assert_named(struct stage *stage, int count)
{
    json_t *sink = health_read(stage);

    assert_int_equal(json_array_size(json_object_get(sink, "parked")), count);
    for (int i = 0; i < count; i++) {
        char id[16];
        const json_t *account;
        (void)snprintf(id, sizeof(id), "user-%02d", i);
        account = parked_of(sink, id);
        assert_non_null(account);
        assert_string_equal(health_text(account, "kind"), "user");
        assert_string_equal(health_text(account, "cycle"), "2026-11-01");
        assert_non_null(strstr(health_text(account, "reason"), poisoned_keys[i]));
        assert_int_equal(strlen(health_text(account, "since")), strlen("2026-11-01T00:00:00Z"));
        assert_said(stage, poisoned_keys[i], 1);
    }
    assert_string_equal(health_text(sink, "state"), "good");
    json_decref(sink);
}

/* user-04 is not among them: its cost is text, which these producers do not record. */
static void test_each_poison_is_named_parked_and_mended(void **state)
{
    static const char *const told[] = {"parked: user user-00, cycle 2026-11-01, since ",
                                       "WRONGTYPE ",
                                       ", key " RECORD("01"),
                                       "ERR hash value is not an integer in total_tokens, key " USER("02"),
                                       "ERR increment or decrement would overflow in total_tokens, key " USER("03"),
                                       "accounts waiting 4, parked 4",
                                       NULL};
    static const char *const mended[] = {"accounts waiting 0, parked 0", NULL};
    struct stage *stage = *state;

    poison_each(stage);
    stage_env(stage, "TOKENRING_PARKED_RETRY_MS", RETRY_MS);
    stage_collector_start(stage, "1");
    record(stage, 1);
    health_wait_parked(stage, 4);
    wait_users(stage, 4);
    record(stage, 2);
    wait_users(stage, 4);
    assert_left_whole(stage);
    assert_named(stage, 4);
    wait_refused(stage, "hincrby", 30); /* three accounts of the four, ten times */
    assert_named(stage, 4);             /* and nothing more is said */
    assert_left_whole(stage);
    health_assert_told(stage, told);

    command(stage, "DEL %s %s", USER("00"), RECORD("01"));
    command(stage, "HSET %s total_tokens 3 prompt_tokens 0", USER("02"));
    command(stage, "HDEL %s total_tokens", USER("03"));
    health_wait_parked(stage, 0);
    wait_user(stage, 2, 3);
    command(stage, "HINCRBY %s total_tokens -3", USER("02"));
    health_assert_told(stage, mended);
    assert_said(stage, "the sink takes it again", 4);
    record(stage, 3);
    wait_exact(stage);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
    assert_string_equal(redis_server_hget(&stage->server, USER("04"), "cost_nano_usd"), "1.5");
}

/* Near the end of what Redis can count: the last token that fits does, the next one waits. */
static void test_counter_at_its_end_waits_for_room(void **state)
{
    struct stage *stage = *state;
    int64_t tokens;

    stage_env(stage, "TOKENRING_PARKED_RETRY_MS", RETRY_MS);
    stage_collector_start(stage, "1");
    record(stage, 1);
    wait_exact(stage);
    tokens = atomic_load(&stage->truth->prompt[0]) + atomic_load(&stage->truth->completion[0]);
    command(stage, "HSET %s total_tokens %lld", USER("00"), (long long)INT64_MAX);
    record(stage, 2);
    health_wait_parked(stage, 1);
    wait_refused(stage, "hincrby", 3);
    wait_users(stage, 1);
    command(stage, "HSET %s total_tokens %lld", USER("00"), (long long)tokens); /* as it was */
    health_wait_parked(stage, 0);
    wait_exact(stage);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
}

/* The collector that comes next finds the key as bad and names it anew; mended while it is away, all is there at once. */
static void test_poison_outlives_the_collector(void **state)
{
    struct stage *stage = *state;

    command(stage, "SET %s text", USER("00"));
    stage_collector_start(stage, "1");
    record(stage, 1);
    health_wait_parked(stage, 1);
    stage_collector_end(stage, 1);
    assert_said(stage, "the sink did not take 1 accounts", 1);
    stage_collector_start(stage, "2");
    health_wait_parked(stage, 1);
    assert_said(stage, ", key " USER("00"), 1);
    process_signal(&stage->collector, SIGKILL);
    assert_int_equal(process_wait(&stage->collector, STAGE_DEADLINE_MS), 0);
    command(stage, "DEL %s", USER("00"));
    stage_collector_start(stage, "1");
    wait_exact(stage);
    health_wait_parked(stage, 0);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
}

/* --- very many --- */

static int record_many(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);

    (void)number;
    for (int i = 1; producer != NULL && i <= MANY; i++) {
        tkr_start start = TKR_START_INIT;
        tkr_usage usage = TKR_USAGE_INIT;
        char id[16];
        start.cycle = STAGE_CYCLE;
        start.account_count = 1;
        start.account[0].id = id;
        start.account[0].len = (uint32_t)snprintf(id, sizeof(id), "bad-%d", i);
        usage.prompt = MANY_TOKENS;
        if (tkr_record(producer, &start, &usage) != TKR_OK)
            return 1;
    }
    if (producer == NULL || tkr_sync(producer, STAGE_DEADLINE_MS) != TKR_OK)
        return 2;
    tkr_close(producer);
    return 0;
}

static void each_of_many(const struct stage *stage, const char *body, long long expected)
{
    char script[256];
    redisReply *reply;

    (void)snprintf(script, sizeof(script), "local n=0 for i=1,%d do local k='token_usage:bad-'..i..':2026-11-01' %s end return n",
                   MANY, body);
    reply = redis_server_command(&stage->server, "EVAL %s 0", script);
    assert_non_null(reply);
    if (reply->type != REDIS_REPLY_INTEGER || reply->integer != expected)
        fail_msg("%s: %lld, not %lld", body, reply->integer, expected);
    freeReplyObject(reply);
}

static int lines_of(struct stage *stage)
{
    int lines = 0;

    for (const char *at = process_text(&stage->collector, PROCESS_STDERR); *at != '\0'; at++)
        lines += *at == '\n';
    return lines;
}

static void test_very_many_poisoned_accounts_neither_flood_the_log_nor_delay_the_others(void **state)
{
    static const char *const told[] = {"parked: 9968 more", "parked 10000", NULL};
    struct stage *stage = *state;
    long begun = process_now_ms();
    long minutes;

    each_of_many(stage, "redis.call('SET',k,'x')", 0);
    stage_env(stage, "TOKENRING_PARKED_RETRY_MS", "200");
    stage_collector_start(stage, "1");
    assert_int_equal(stage_exit_code(stage_fork(stage, record_many, 0)), 0);
    health_wait_parked(stage, MANY);
    for (int i = 1; i <= 5; i++) {
        record(stage, i); /* while those are tried again and again */
        wait_users(stage, 0);
    }
    wait_refused(stage, "hincrby", 2 * MANY);
    health_wait_parked(stage, MANY);
    health_assert_told(stage, told);
    each_of_many(stage, "n=n+redis.call('DEL',k)", MANY);
    health_wait_parked(stage, 0);
    stage_collector_end(stage, 0);
    each_of_many(stage, "n=n+redis.call('HGET',k,'total_tokens')", (long long)MANY * MANY_TOKENS);
    each_of_many(stage, "n=n+redis.call('HGET',k,'calls')", MANY);
    minutes = (process_now_ms() - begun) / 60000 + 1;
    assert_in_range(times_said(stage, "user bad-"), LINES_MAX, LINES_MAX * minutes);
    assert_in_range(times_said(stage, "accounts besides that the sink cannot take"), 1, minutes);
    assert_in_range(lines_of(stage), LINES_MAX, (LINES_MAX + 5) * minutes);
}

int main(void)
{
#define R(name) cmocka_unit_test_setup_teardown(name, stage_set_up_redis, stage_tear_down)
    const struct CMUnitTest tests[] = {
        R(test_each_poison_is_named_parked_and_mended),
        R(test_counter_at_its_end_waits_for_room),
        R(test_poison_outlives_the_collector),
        R(test_very_many_poisoned_accounts_neither_flood_the_log_nor_delay_the_others),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
