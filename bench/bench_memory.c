/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory: of an idle collector; per account and cycle in a collector with many, the shard's file and what the process has of its
 * own; of a producer's region in shared memory, idle and busy; in Redis, by the number of collectors that have counted on an
 * account. All calls are in the table at the end, and all contributions in Redis.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "harness/bench.h"
#include "harness/daemon.h"
#include "support/procfs.h"
#include "support/redis.h"
#include "support/sink.h"

#define ACCOUNTS 1000000
#define MIB 1048576.0

/* Bytes of memory that the files of a directory below the runtime directory ("." itself) take whose names begin so. */
static double file_bytes(const struct bench_daemon *daemon, const char *below, const char *prefix)
{
    char path[TEMPDIR_BYTES + 32];
    struct stat status;
    double bytes = 0;
    DIR *listing;

    (void)snprintf(path, sizeof(path), "%s/%s", daemon->runtime, below);
    listing = opendir(path);
    for (const struct dirent *file; listing != NULL && (file = readdir(listing)) != NULL;) {
        if (strncmp(file->d_name, prefix, strlen(prefix)) == 0 && fstatat(dirfd(listing), file->d_name, &status, 0) == 0 &&
            S_ISREG(status.st_mode))
            bytes += 512.0 * (double)status.st_blocks;
    }
    if (listing != NULL)
        (void)closedir(listing);
    return bytes;
}

/* What the collector takes: its own pages and the shard's file. */
static double collector_bytes(const struct bench_daemon *daemon)
{
    struct procfs_usage usage = {0};

    if (procfs_read(daemon->process.pid, &usage) != 0)
        return 0;
    return (double)usage.anonymous_bytes + file_bytes(daemon, "collector", "shard-");
}

static double region_bytes(const struct bench_daemon *daemon)
{
    return file_bytes(daemon, ".", "region-");
}

/* One collector from nothing to so many accounts. Figures: idle collector, per account, region idle, region busy. */
static int weigh(struct bench_series figures[4])
{
    struct bench_daemon daemon;
    uint32_t accounts = (uint32_t)bench_work(ACCOUNTS);
    double idle;
    int result = bench_daemon_open(&daemon, "TOKENRING_SINK=null");

    if (result == 0)
        result = bench_daemon_start(&daemon);
    if (result == 0)
        result = bench_daemon_fill(&daemon, 1);
    bench_add(&figures[2], region_bytes(&daemon) / MIB);
    idle = collector_bytes(&daemon);
    bench_add(&figures[0], idle / MIB);
    if (result == 0)
        result = bench_daemon_fill(&daemon, accounts);
    bench_add(&figures[3], region_bytes(&daemon) / MIB);
    bench_add(&figures[1], (collector_bytes(&daemon) - idle) / accounts);
    if (result == 0)
        result = bench_daemon_check(&daemon);
    bench_daemon_close(&daemon);
    return result;
}

/* --- in Redis --- */

#define REDIS_ACCOUNTS 2000
#define SOURCES_MAX 100

static double used_memory(const struct redis_server *server)
{
    redisReply *reply = redis_server_command(server, "INFO memory");
    const char *at = reply != NULL && reply->type == REDIS_REPLY_STRING ? strstr(reply->str, "used_memory:") : NULL;
    double bytes = at != NULL ? strtod(at + strlen("used_memory:"), NULL) : 0;

    freeReplyObject(reply);
    return bytes;
}

/* One source contributes eight counters to each account. */
static int contribute(tkr_sink *sink, unsigned source, uint32_t accounts)
{
    static struct test_chunk chunk;
    static char ids[SINK_TEST_ITEMS][40];
    char name[TKR_SOURCE_BYTES];
    tkr_message why;

    (void)snprintf(name, sizeof(name), "%016llx.0", 0xc0ffee0000000000ull + source);
    for (uint32_t at = 0, seen = 0; at < accounts; seen++) {
        test_chunk_begin(&chunk, name, seen, seen + 1);
        for (uint32_t i = 0; i < 100 && at < accounts; i++, at++) {
            struct tkr_record record = test_record((uint64_t)tkr_clock_unix_ns(), 1000000 + at, 2000000 + at);
            for (int n = TKR_COUNTER_CACHED; n < TKR_COUNTER_COUNT; n++)
                record.counts.value[n] = n < 8 ? 5000 + at : 0;
            (void)snprintf(ids[i], sizeof(ids[i]), "%08x-1234-4567-89ab-0123456789ab", at);
            (void)test_chunk_add(&chunk, ids[i], test_record_none(), record);
        }
        if (test_chunk_send(sink, &chunk, &why) != 0)
            return bench_wrong("%s", why.text);
        for (uint32_t i = 0; i < chunk.chunk.count; i++) {
            if (chunk.item[i].outcome != TKR_OUTCOME_APPLIED)
                return bench_wrong("a contribution was not taken: %s", chunk.item[i].reason);
        }
    }
    return 0;
}

/* Bytes an account with one collector takes, totals and record; and each record more, with 10 and with 100. */
static int weigh_redis(struct bench_series figures[3])
{
    struct tkr_sink_config config = {.kind = TKR_SINK_REDIS, .connect_timeout_ms = 5000, .command_timeout_ms = 30000};
    uint32_t accounts = (uint32_t)bench_work(REDIS_ACCOUNTS);
    struct redis_server server = {.dir = ""};
    double bytes[4];
    tkr_sink *sink = NULL;
    tkr_message why;
    int result = redis_server_start(&server, NULL) == 0 ? 0 : bench_wrong("no Redis");

    (void)snprintf(config.socket, sizeof(config.socket), "%s", server.socket);
    if (result == 0 && tkr_sink_open(&config, &sink, &why) != 0)
        result = bench_wrong("%s", why.text);
    bytes[0] = used_memory(&server);
    for (unsigned n = 1; result == 0 && n <= SOURCES_MAX; n++) {
        result = contribute(sink, n, accounts);
        if (n == 1 || n == 10 || n == 100)
            bytes[n == 1 ? 1 : n == 10 ? 2 : 3] = used_memory(&server);
    }
    if (sink != NULL)
        sink->ops->close(sink);
    redis_server_stop(&server);
    if (result != 0)
        return -1;
    bench_add(&figures[0], (bytes[1] - bytes[0]) / accounts);
    bench_add(&figures[1], (bytes[2] - bytes[1]) / accounts / 9);
    bench_add(&figures[2], (bytes[3] - bytes[2]) / accounts / 90);
    return 0;
}

static void bench_redis(void)
{
    struct bench_series figures[3] = {{.count = 0}};

    for (unsigned i = 0; i < bench_repeats(); i++) {
        if (weigh_redis(figures) != 0)
            return;
    }
    bench_figure("in Redis, 8 counters, one collector", "account", "bytes", &figures[0]);
    bench_figure("in Redis, each of 9 collectors more", "record", "bytes", &figures[1]);
    bench_figure("in Redis, each of 90 collectors more", "record", "bytes", &figures[2]);
}

/* --- of collector and producers --- */

static void bench_collector(void)
{
    struct bench_series figures[4] = {{.count = 0}};

    for (unsigned i = 0; i < bench_repeats(); i++) {
        if (weigh(figures) != 0)
            return;
    }
    bench_figure("idle collector, its own and its shard", "memory", "MiB", &figures[0]);
    bench_figure("producer that ran far ahead of the collector", "shared memory", "MiB", &figures[3]);
    bench_bound("idle producer process, shared memory, MiB", &figures[2], BENCH_AT_MOST, 2);
    bench_bound("collector, 1M accounts with ids of 36 bytes: bytes per account and cycle", &figures[1], BENCH_AT_MOST, 320);
}

int main(int argc, char **argv)
{
    bench_begin(argc, argv, "memory");
    if (bench_wants("memory", true))
        bench_collector();
    if (bench_wants("Redis", false)) {
        redis_server_require();
        bench_redis();
    }
    return bench_end();
}
