/* SPDX-License-Identifier: Apache-2.0 */
/* A Redis for a program of tests, a sink on it for each test, and looks at what lies in it. */
#ifndef TESTS_UNIT_SINK_REDIS_FIXTURE_H
#define TESTS_UNIT_SINK_REDIS_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/redis.h"
#include "support/sink.h"
#include "support/test.h"

#define NONE test_record_none()
#define USER_KEY(id) "token_usage:" id ":2026-11-01"
#define RECORD_KEY(id) "tr1:{0}:" id ":2026-11-01"

static struct redis_server server;

static inline struct tkr_sink_config fixture_config(int command_timeout_ms)
{
    struct tkr_sink_config config = {
        .kind = TKR_SINK_REDIS, .connect_timeout_ms = 5000, .command_timeout_ms = command_timeout_ms};

    memcpy(config.socket, server.socket, sizeof(server.socket));
    return config;
}

static inline tkr_sink *fixture_sink(const struct tkr_sink_config *config)
{
    tkr_sink *sink;
    tkr_message message;

    assert_int_equal(tkr_sink_open(config, &sink, &message), 0);
    return sink;
}

/* The server for a program of tests. */
static inline int fixture_server_start(void **state)
{
    (void)state;
    return redis_server_start(&server, NULL);
}

static inline int fixture_sink_close(void **state)
{
    tkr_sink *sink = *state;

    sink->ops->close(sink);
    return 0;
}

/* Runs a command that must succeed; its reply is of no interest. */
#define RUN(...)                                                            \
    do {                                                                    \
        redisReply *run_reply = redis_server_command(&server, __VA_ARGS__); \
        assert_non_null(run_reply);                                         \
        if (run_reply->type == REDIS_REPLY_ERROR)                           \
            fail_msg("%s", run_reply->str);                                 \
        freeReplyObject(run_reply);                                         \
    } while (0)

static inline int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "a=1 b=2" for a hash, its fields sorted; "" for none. In a static buffer. */
static inline const char *hash_text(const char *key)
{
    static char text[1024];
    redisReply *reply = redis_server_command(&server, "HGETALL %s", key);
    char *pair[32] = {NULL};
    size_t count;

    assert_non_null(reply);
    assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
    count = reply->elements / 2;
    assert_in_range(count, 0, 31);
    for (size_t i = 0; i < count; i++)
        assert_true(asprintf(&pair[i], "%s=%s", reply->element[2 * i]->str, reply->element[2 * i + 1]->str) > 0);
    freeReplyObject(reply);
    qsort(pair, count, sizeof(pair[0]), compare_texts);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i > 0 ? " " : "", pair[i]);
        free(pair[i]);
    }
    return text;
}

static inline int64_t integer_of(const char *command, const char *key)
{
    redisReply *reply = redis_server_command(&server, "%s %s", command, key);
    int64_t value;

    assert_non_null(reply);
    assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
    value = reply->integer;
    freeReplyObject(reply);
    return value;
}

#endif
