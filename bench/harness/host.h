/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host in small: a runtime directory, a tokenringd that is the real one, and the sink that it flushes to. What the collector
 * has counted is read as `tokenring usage` reads it, what the sink has as any reader of it would.
 *
 * Threads: one. All functions: 0, or -1 after bench_wrong.
 */
#ifndef BENCH_HARNESS_HOST_H
#define BENCH_HARNESS_HOST_H

#include "sink/sink.h"
#include "support/process.h"
#include "support/redis.h"
#include "support/tempdir.h"

#define BENCH_HOST_PATH_BYTES (TEMPDIR_BYTES + 16)
#define BENCH_HOST_SHARDS_MAX 64

struct bench_host {
    char directory[TEMPDIR_BYTES];
    char runtime[BENCH_HOST_PATH_BYTES];
    char http[BENCH_HOST_PATH_BYTES]; /* the Unix socket of its metrics */
    struct tkr_sink_config sink;
    struct redis_server server; /* when the sink is Redis */
    struct process collector;
    struct tkr_reader *reader[BENCH_HOST_SHARDS_MAX]; /* of what the collector has counted */
    uint32_t readers;
};

struct bench_host_options {
    enum tkr_sink_kind sink;
    uint32_t workers;
    uint32_t flush_ms;       /* interval; 0: the default */
    uint32_t board_accounts; /* of limits; 0: the default */
};

/* Is redis-server installed? */
bool bench_host_has_redis(void);

/* "null", "SQLite", "Redis" */
const char *bench_host_sink_name(enum tkr_sink_kind kind);

/* Starts all and waits until the collector collects. The caller removes it, also after a failure. */
int bench_host_start(struct bench_host *host, const struct bench_host_options *options);

/* Tokens of all entries as the collector has counted them, visible to a reader by now. */
int64_t bench_host_counted(struct bench_host *host);

/* Ends the collector as an init system does: it counts and flushes all that is there. */
int bench_host_end_collector(struct bench_host *host);

/* Tokens of all accounts in the sink; not for the null sink. -1: it cannot be read. */
int64_t bench_host_in_sink(const struct bench_host *host);

/* Ends what runs and removes the directories. Accepts a zeroed structure. */
void bench_host_remove(struct bench_host *host);

#endif
