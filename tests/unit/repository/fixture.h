/* SPDX-License-Identifier: Apache-2.0 */
/* A repository on a real Redis or on a ledger in a file, the sink beside it, and totals that are known. */
#ifndef TESTS_UNIT_REPOSITORY_FIXTURE_H
#define TESTS_UNIT_REPOSITORY_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/redis.h"
#include "support/sink.h"
#include "support/tempdir.h"
#include "support/test.h"
#include "tokenring/repository.h"

#define CYCLE SINK_TEST_CYCLE
#define KEY(id) "token_usage:" id ":2026-11-01"

struct fixture {
    char dir[TEMPDIR_BYTES];
    struct redis_server server; /* only with Redis */
    bool redis;
    tkr_repository *repository;
    tkr_sink *sink;
};

static inline void fixture_environment(const struct fixture *fixture)
{
    char ledger[TEMPDIR_BYTES + 16];

    (void)snprintf(ledger, sizeof(ledger), "%s/ledger.db", fixture->dir);
    (void)unsetenv("REDIS_URL");
    (void)setenv("TOKENRING_SINK", fixture->redis ? "redis" : "sqlite", 1);
    (void)setenv("TOKENRING_LEDGER", ledger, 1);
    (void)setenv("REDIS_SOCKET", fixture->server.socket, 1);
}

static inline int fixture_open(void **state, bool redis)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct tkr_sink_config config;
    tkr_message message;

    if (fixture == NULL || tempdir_make(fixture->dir) != 0)
        return -1;
    fixture->redis = redis;
    if (redis && redis_server_start(&fixture->server, NULL) != 0)
        return -1;
    fixture_environment(fixture);
    if (tkr_sink_config_read(&config, &message) != 0 || tkr_sink_open(&config, &fixture->sink, &message) != 0 ||
        fixture->sink->ops->connect(fixture->sink, &message) != 0) /* which makes the ledger */
        return -1;
    if (tkr_repository_open(NULL, &fixture->repository) != TKR_OK)
        return -1;
    *state = fixture;
    return 0;
}

static inline int fixture_in_redis(void **state)
{
    return fixture_open(state, true);
}

static inline int fixture_in_ledger(void **state)
{
    return fixture_open(state, false);
}

static inline int fixture_close(void **state)
{
    struct fixture *fixture = *state;

    tkr_repository_close(fixture->repository);
    fixture->sink->ops->close(fixture->sink);
    redis_server_stop(&fixture->server);
    tempdir_remove(fixture->dir);
    free(fixture);
    return 0;
}

static inline tkr_account account_of(const char *id)
{
    return (tkr_account){.id = id, .len = (uint32_t)strlen(id)};
}

/* Adds so many tokens to a user's total in CYCLE, who had none yet. */
static inline void fixture_count(struct fixture *fixture, const char *id, int64_t prompt, int64_t completion)
{
    assert_int_equal(test_contribute(fixture->sink, id, test_record_none(), test_record(1, prompt, completion), NULL),
                     TKR_OUTCOME_APPLIED);
}

static inline void fixture_run(const struct fixture *fixture, const char *command)
{
    redisReply *reply = redis_server_command(&fixture->server, command);

    assert_non_null(reply);
    assert_int_not_equal(reply->type, REDIS_REPLY_ERROR);
    freeReplyObject(reply);
}

/* The last failure's text, in a static buffer. */
static inline const char *fixture_error(struct fixture *fixture)
{
    static char text[TKR_REPOSITORY_ERROR_BYTES];

    assert_int_equal(tkr_repository_error(fixture->repository, text, sizeof(text)), TKR_OK);
    return text;
}

#define IN_BOTH(test)                                                   \
    {#test " (redis)", test, fixture_in_redis, fixture_close, NULL},    \
    {                                                                   \
#test " (ledger)", test, fixture_in_ledger, fixture_close, NULL \
    }
#define IN_REDIS(test)                                                \
    {                                                                 \
#test " (redis)", test, fixture_in_redis, fixture_close, NULL \
    }

#endif
