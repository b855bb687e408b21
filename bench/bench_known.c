/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How soon limits are known: after a start of the collector a gateway asks for all of its accounts, in turn, and again for
 * those that are not known yet; each has usage and a limit in Redis. The time of an account is from its first check to the
 * first that is answered by what the sink has, whose figures are looked at. What is told is the worst of all accounts, and the
 * checks that were let through for being unknown of a gateway that asks for each account once in so many milliseconds come to
 * as much.
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "harness/bench.h"
#include "harness/host.h"
#include "tokenring/tokenring.h"

#define REPEATS 3u /* each starts a Redis and a collector */
#define LOST_NS (120 * TKR_NS_PER_S)
#define CYCLE 20261101u
#define DATE "2026-11-01"
#define USED 500
#define PIPELINED 1000u

struct setting {
    const char *name;
    const char *bound; /* NULL: none */
    uint64_t accounts;
    uint32_t board_accounts;
};

static struct {
    struct bench_host host;
    tkr_producer *producer;
    char (*id)[40];
    uint32_t *open; /* accounts that are not known yet */
    int64_t *asked_ns;
    uint32_t accounts;
} stage;

static int64_t limit_of(uint32_t i)
{
    return 1000 + i;
}

/* Redis gets each account's usage, and its limit: of the cycle, or a standing one. */
static int fill_redis(void)
{
    redisContext *context = redis_server_context(&stage.host.server);
    redisReply *reply;
    int rc = 0;

    for (uint32_t i = 0; context != NULL && rc == 0 && i < stage.accounts; i++) {
        (void)redisAppendCommand(context, "HSET token_usage:%s:" DATE " prompt_tokens %d total_tokens %d", stage.id[i], USED,
                                 USED);
        if (i % 2 == 0)
            (void)redisAppendCommand(context, "HSET token_usage:%s:" DATE " usage_limit %lld", stage.id[i],
                                     (long long)limit_of(i));
        else
            (void)redisAppendCommand(context, "HSET token_limit:%s usage_limit %lld", stage.id[i], (long long)limit_of(i));
        for (uint32_t n = 0; (i % PIPELINED == PIPELINED - 1 || i + 1 == stage.accounts) && n < 2 * (i % PIPELINED + 1); n++) {
            rc = redisGetReply(context, (void **)&reply) == REDIS_OK && reply->type == REDIS_REPLY_INTEGER ? 0 : -1;
            if (rc != 0)
                break;
            freeReplyObject(reply);
        }
    }
    if (context == NULL || rc != 0)
        return bench_wrong("Redis cannot be filled");
    redisFree(context);
    return 0;
}

/* 1: it is known; 0: not yet; -1 after bench_wrong. */
static int check(uint32_t i)
{
    tkr_account account = {.id = stage.id[i], .len = (uint32_t)strlen(stage.id[i])};
    tkr_limit limit = TKR_LIMIT_INIT;

    if (tkr_limit_check(stage.producer, &account, CYCLE, 1, &limit) != TKR_OK)
        return bench_wrong("a check was refused");
    if (limit.verdict == TKR_LIMIT_UNKNOWN)
        return 0;
    if (limit.limit != limit_of(i) || limit.used != USED)
        return bench_wrong("%s: limit %lld, used %lld", stage.id[i], (long long)limit.limit, (long long)limit.used);
    return 1;
}

/* Asks once for those that are open. Returns how many are left; negative after bench_wrong. */
static int64_t ask_round(uint32_t open, int64_t *worst_ns)
{
    uint32_t left = 0;

    for (uint32_t at = 0; at < open; at++) {
        uint32_t i = stage.open[at];
        int64_t now_ns = tkr_clock_monotonic_ns();
        int known = check(i);
        if (known < 0)
            return -1;
        if (stage.asked_ns[i] == 0)
            stage.asked_ns[i] = now_ns;
        now_ns -= stage.asked_ns[i];
        *worst_ns = known > 0 && now_ns > *worst_ns ? now_ns : *worst_ns;
        if (known == 0)
            stage.open[left++] = i;
    }
    return left;
}

/* Seconds that the slowest account took; negative after bench_wrong. */
static double time_all(void)
{
    int64_t begun_ns = tkr_clock_monotonic_ns();
    int64_t open = stage.accounts;
    int64_t worst_ns = 0;

    for (uint32_t i = 0; i < stage.accounts; i++)
        stage.open[i] = i;
    memset(stage.asked_ns, 0, stage.accounts * sizeof(*stage.asked_ns));
    while (open > 0) {
        open = ask_round((uint32_t)open, &worst_ns);
        if (tkr_clock_monotonic_ns() - begun_ns > LOST_NS)
            return bench_wrong("%lld accounts are not known after %lld s", (long long)open, (long long)(LOST_NS / TKR_NS_PER_S));
        tkr_clock_sleep_ns(TKR_NS_PER_MS); /* a gateway has other things to do */
    }
    return open == 0 ? (double)worst_ns / 1e9 : -1;
}

static double run_once(const struct setting *setting)
{
    const struct bench_host_options host = {.sink = TKR_SINK_REDIS, .workers = 1, .board_accounts = setting->board_accounts};
    tkr_options options = TKR_OPTIONS_INIT;
    double took = -1;

    stage.producer = NULL;
    if (bench_host_start(&stage.host, &host) == 0 && fill_redis() == 0) {
        options.runtime_dir = stage.host.runtime;
        if (tkr_open(&options, &stage.producer) != TKR_OK)
            (void)bench_wrong("no producer");
        else
            took = time_all();
    }
    tkr_close(stage.producer);
    bench_host_remove(&stage.host);
    return took;
}

static void run(const struct setting *setting)
{
    struct bench_series took = {.count = 0};

    if (!bench_wants(setting->name, setting->bound != NULL))
        return;
    stage.accounts = (uint32_t)bench_work(setting->accounts);
    stage.id = calloc(stage.accounts, sizeof(*stage.id));
    stage.open = calloc(stage.accounts, sizeof(*stage.open));
    stage.asked_ns = calloc(stage.accounts, sizeof(*stage.asked_ns));
    for (uint32_t i = 0; stage.id != NULL && i < stage.accounts; i++)
        (void)snprintf(stage.id[i], sizeof(stage.id[i]), "%08x-1234-4567-89ab-0123456789ab", i * UINT32_C(2654435761));
    if (stage.id == NULL || stage.open == NULL || stage.asked_ns == NULL)
        (void)bench_wrong("no memory");
    else
        for (unsigned i = 0; i < (bench_repeats() < REPEATS ? bench_repeats() : REPEATS); i++)
            bench_add(&took, run_once(setting));
    free(stage.id);
    free(stage.open);
    free(stage.asked_ns);
    bench_figure(setting->name, "worst", "s", &took);
    if (setting->bound != NULL)
        bench_bound(setting->bound, &took, BENCH_AT_MOST, 2.0);
}

int main(int argc, char **argv)
{
    static const struct setting settings[] = {
        {"100,000 accounts, all asked for at once", "100,000 accounts asked for at once until each limit is known, s", 100000,
         131072},
        {"1,000,000 accounts, all asked for at once", NULL, 1000000, 1048576},
    };

    bench_begin(argc, argv, "known");
    if (!bench_host_has_redis()) {
        bench_skipped("limits that become known", "redis-server is not installed");
        return bench_end();
    }
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        run(&settings[i]);
    return bench_end();
}
