/* SPDX-License-Identifier: Apache-2.0 */
/* Three HINCRBY for each call, sent together and waited for, on a Unix socket. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "harness/bench.h"
#include "peers/payload.h"
#include "peers/peers.h"
#include "support/redis.h"

#define KEY "token_usage:" PAYLOAD_ID ":2026-11-01"
#define START_MS 20000

static struct redis_server server;
static redisContext *context;

static bool installed(void)
{
    static const char *const argv[] = {"redis-server", "--version", NULL};
    struct process process;
    bool found = process_run(&process, argv, NULL, START_MS) == 0 && process_exit_code(&process) == 0;

    process_end(&process);
    return found;
}

static int open_redis(void)
{
    if (!installed())
        return PEER_NOT_INSTALLED;
    if (redis_server_start(&server, NULL) != 0)
        return bench_wrong("no Redis");
    context = redis_server_context(&server);
    return context != NULL ? 0 : bench_wrong("no connection to Redis");
}

static int record(void)
{
    redisReply *reply;
    int result = 0;

    (void)redisAppendCommand(context, "HINCRBY " KEY " prompt_tokens %d", PAYLOAD_PROMPT);
    (void)redisAppendCommand(context, "HINCRBY " KEY " completion_tokens %d", PAYLOAD_COMPLETION);
    (void)redisAppendCommand(context, "HINCRBY " KEY " total_tokens %d", PAYLOAD_TOKENS);
    for (int i = 0; i < 3; i++) {
        if (redisGetReply(context, (void **)&reply) != REDIS_OK)
            return bench_wrong("Redis: %s", context->errstr);
        result |= reply->type != REDIS_REPLY_INTEGER;
        freeReplyObject(reply);
    }
    return result;
}

static double emit(uint64_t calls)
{
    int64_t begun_ns = tkr_clock_monotonic_ns();

    for (uint64_t i = 0; i < calls; i++) {
        if (record() != 0)
            return bench_wrong("Redis did not count a call");
    }
    return (double)(tkr_clock_monotonic_ns() - begun_ns);
}

static int check(uint64_t calls)
{
    const char *total = redis_server_hget(&server, KEY, "total_tokens");

    if (strtoull(total, NULL, 10) != calls * PAYLOAD_TOKENS)
        return bench_wrong("calls made %" PRIu64 ", tokens in Redis %s", calls, total);
    return 0;
}

static void close_redis(void)
{
    if (context != NULL)
        redisFree(context);
    context = NULL;
    redis_server_stop(&server);
}

const struct peer peer_redis = {.name = "HINCRBY x3 per call, hiredis",
                                .package = "redis-server",
                                .calls = 500,
                                .open = open_redis,
                                .emit = emit,
                                .check = check,
                                .close = close_redis};
