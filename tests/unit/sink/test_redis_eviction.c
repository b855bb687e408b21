/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a Redis may evict keys of ours: as INFO says it, and as a real one answers, denies, is busy or gone. */
#include "sink/redis/eviction.h"
#include "unit/sink/redis_fixture.h"

static int set_up(void **state)
{
    struct tkr_sink_config config;

    if (redis_server_start(&server, NULL) != 0)
        return -1;
    config = fixture_config(5000);
    *state = fixture_sink(&config);
    return 0;
}

static int tear_down(void **state)
{
    tkr_sink *sink = *state;

    sink->ops->close(sink);
    redis_server_stop(&server);
    return 0;
}

/* --- what INFO says --- */

static void test_info_finds_whole_names_at_the_begin_of_a_line(void **state)
{
    const char *info = "# Memory\r\nxmaxmemory:1\r\nmaxmemory_human:2\r\nmaxmemory:3\r\nlast:4";
    char value[TKR_REDIS_INFO_BYTES] = "before";

    (void)state;
    assert_true(tkr_redis_info_find(info, "maxmemory", value));
    assert_string_equal(value, "3");
    assert_true(tkr_redis_info_find(info, "last", value));
    assert_string_equal(value, "4");
    assert_false(tkr_redis_info_find(info, "las", value));
    assert_false(tkr_redis_info_find("", "last", value));
    assert_string_equal(value, "4");
}

static void test_info_value_that_is_long_is_cut(void **state)
{
    char info[2 * TKR_REDIS_INFO_BYTES];
    char value[TKR_REDIS_INFO_BYTES];

    (void)state;
    memset(info, 'x', sizeof(info));
    memcpy(info, "a:", 2);
    info[sizeof(info) - 1] = '\0';
    assert_true(tkr_redis_info_find(info, "a", value));
    assert_int_equal(strlen(value), TKR_REDIS_INFO_BYTES - 1);
}

static void test_eviction_needs_a_maxmemory_and_a_policy(void **state)
{
    static const struct {
        const char *info;
        enum tkr_redis_evicts evicts;
    } cases[] = {
        {"maxmemory:0\r\nmaxmemory_policy:noeviction\r\n", TKR_REDIS_EVICTS_NOTHING},
        {"maxmemory:1\r\nmaxmemory_policy:noeviction\r\n", TKR_REDIS_EVICTS_NOTHING},
        {"maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n", TKR_REDIS_EVICTS_NOTHING},
        {"maxmemory_policy:allkeys-lru\r\n", TKR_REDIS_EVICTS_NOTHING},
        {"maxmemory:1\r\nmaxmemory_policy:allkeys-lru\r\n", TKR_REDIS_EVICTS_ANY},
        {"maxmemory:1\r\nmaxmemory_policy:allkeys-random\r\n", TKR_REDIS_EVICTS_ANY},
        {"maxmemory:1\r\nmaxmemory_policy:one-that-is-new\r\n", TKR_REDIS_EVICTS_ANY},
        {"maxmemory:1\r\nmaxmemory_policy:volatile-ttl\r\n", TKR_REDIS_EVICTS_EXPIRING},
        {"maxmemory:1\r\nmaxmemory_policy:volatile-lru\r\n", TKR_REDIS_EVICTS_EXPIRING},
    };
    struct tkr_redis_eviction eviction;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(tkr_redis_eviction_read(cases[i].info, &eviction));
        if (eviction.evicts != cases[i].evicts)
            fail_msg("%d, not %d: %s", (int)eviction.evicts, (int)cases[i].evicts, cases[i].info);
    }
    assert_false(tkr_redis_eviction_read("maxmemory:1\r\n", &eviction));
    assert_false(tkr_redis_eviction_read("", &eviction));
}

/* --- what a Redis answers --- */

static void expect_advice(tkr_sink *sink, int rc, const char *expected)
{
    tkr_message advice = {"before"};
    tkr_message message = {""};

    assert_int_equal(sink->ops->connect(sink, &message), 0);
    if (sink->ops->advise(sink, &advice, &message) != rc)
        fail_msg("%s", message.text);
    assert_string_equal(advice.text, expected);
}

static void test_redis_that_may_evict_is_told_with_what_helps(void **state)
{
    expect_advice(*state, 0, "");
    RUN("CONFIG SET maxmemory-policy allkeys-lfu");
    expect_advice(*state, 0, "");
    RUN("CONFIG SET maxmemory 100mb");
    expect_advice(
        *state, 0,
        "Redis may evict any key (maxmemory-policy allkeys-lfu, maxmemory 104857600): what is evicted would be lost, or "
        "counted twice; CONFIG SET maxmemory-policy noeviction, and in redis.conf");
    RUN("CONFIG SET maxmemory-policy volatile-random");
    RUN("CONFIG SET maxmemory %s", "9223372036854775807");
    expect_advice(*state, 0,
                  "Redis may evict keys that expire (maxmemory-policy volatile-random, maxmemory 9223372036854775807): an alert "
                  "could be said twice, and an account that was forgotten be parked; CONFIG SET maxmemory-policy noeviction, and "
                  "in redis.conf");
    RUN("CONFIG SET maxmemory-policy noeviction");
    expect_advice(*state, 0, "");
}

/* The sink goes on, on the same connection. */
static void test_redis_that_denies_info_is_not_seen_and_takes_usage(void **state)
{
    struct tkr_sink_config config = fixture_config(5000);
    tkr_sink *sink;

    (void)state;
    memcpy(config.username, "collector", 10);
    memcpy(config.password, "secret", 7);
    RUN("CONFIG SET maxmemory-policy allkeys-lru");
    RUN("CONFIG SET maxmemory 100mb");
    RUN("ACL SETUSER collector on >secret ~token_usage* ~tr1:* +evalsha +script|load +hget +hset +hdel +hincrby");
    sink = fixture_sink(&config);
    expect_advice(sink, 1, "");
    assert_int_equal(test_contribute(sink, "u", NONE, test_record(1, 3, 4), NULL), TKR_OUTCOME_APPLIED);
    RUN("ACL SETUSER collector +info");
    expect_advice(
        sink, 0,
        "Redis may evict any key (maxmemory-policy allkeys-lru, maxmemory 104857600): what is evicted would be lost, or "
        "counted twice; CONFIG SET maxmemory-policy noeviction, and in redis.conf");
    sink->ops->close(sink);
}

static void expect_failure(tkr_sink *sink, const char *words)
{
    tkr_message advice = {"before"};
    tkr_message message = {""};

    assert_int_equal(sink->ops->advise(sink, &advice, &message), -1);
    if (strstr(message.text, words) == NULL)
        fail_msg("%s", message.text);
    assert_string_equal(advice.text, "before");
}

static void test_redis_that_is_gone_fails_the_question_and_heals(void **state)
{
    tkr_sink *sink = *state;

    expect_failure(sink, "not connected to Redis");
    expect_advice(sink, 0, "");
    redis_server_kill(&server);
    expect_failure(sink, "the connection to Redis failed");
    expect_failure(sink, "not connected to Redis");
    assert_int_equal(redis_server_restart(&server), 0);
    expect_advice(sink, 0, "");
}

static void test_redis_that_is_busy_fails_the_question_and_is_asked_again(void **state)
{
    redisContext *other = redis_server_context(&server);
    tkr_sink *sink = *state;
    void *reply = NULL;

    assert_non_null(other);
    expect_advice(sink, 0, "");
    RUN("CONFIG SET busy-reply-threshold 50");
    assert_int_equal(redisAppendCommand(other, "EVAL %s 0", "while true do end"), REDIS_OK);
    for (int done = 0; !done;)
        assert_int_equal(redisBufferWrite(other, &done), REDIS_OK);
    process_sleep_ms(20);
    expect_failure(sink, "Redis is kept busy by somebody's script");
    RUN("SCRIPT KILL");
    assert_int_equal(redisGetReply(other, &reply), REDIS_OK);
    freeReplyObject(reply);
    redisFree(other);
    expect_advice(sink, 0, "");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info_finds_whole_names_at_the_begin_of_a_line),
        cmocka_unit_test(test_info_value_that_is_long_is_cut),
        cmocka_unit_test(test_eviction_needs_a_maxmemory_and_a_policy),
        CASE(test_redis_that_may_evict_is_told_with_what_helps),
        CASE(test_redis_that_denies_info_is_not_seen_and_takes_usage),
        CASE(test_redis_that_is_gone_fails_the_question_and_heals),
        CASE(test_redis_that_is_busy_fails_the_question_and_is_asked_again),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
