/* SPDX-License-Identifier: Apache-2.0 */
/* A collector as a process, and producers of this process that record for it: all that they recorded is found in the end. Threads: one. */
#ifndef BENCH_HARNESS_DAEMON_H
#define BENCH_HARNESS_DAEMON_H

#include "harness/consumer.h"
#include "support/process.h"
#include "support/tempdir.h"
#include "tokenring/tokenring.h"

#define BENCH_DAEMON_ENV_MAX 8

struct bench_daemon {
    char runtime[TEMPDIR_BYTES];
    char runtime_env[TEMPDIR_BYTES + 32];
    const char *env[BENCH_DAEMON_ENV_MAX];
    struct process process;
    tkr_producer *producer;
    struct bench_consumer consumer; /* for its views only */
    uint64_t calls;                 /* recorded */
};

/* A runtime directory and a producer; env: one setting more, may be NULL. 0, or -1 after bench_wrong, as all here. */
int bench_daemon_open(struct bench_daemon *daemon, const char *env);

int bench_daemon_start(struct bench_daemon *daemon);

/* Ends it in order: all is drained and flushed. */
int bench_daemon_stop(struct bench_daemon *daemon);

/* Ends it if it still runs, and removes everything. */
void bench_daemon_close(struct bench_daemon *daemon);

/* Records count calls of the accounts from first on. */
int bench_daemon_record(struct bench_daemon *daemon, uint32_t first, uint32_t count);

/* Records one call of each of so many accounts, waits until they are counted and the sink has them. */
int bench_daemon_fill(struct bench_daemon *daemon, uint32_t accounts);

/* Bytes of the producer's lanes that the collector has counted. */
uint64_t bench_daemon_freed(struct bench_daemon *daemon);

/* Waits until all lanes are empty; until the sink has all. */
int bench_daemon_drained(struct bench_daemon *daemon);
int bench_daemon_flushed(struct bench_daemon *daemon);

/* Are all calls in the table, no more and no fewer? */
int bench_daemon_check(struct bench_daemon *daemon);

#endif
