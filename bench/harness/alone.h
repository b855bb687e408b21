/* SPDX-License-Identifier: Apache-2.0 */
/* Drain alone: filled lanes into a shard by this thread, nothing else at work. What a collector can at most. Threads: one. */
#ifndef BENCH_HARNESS_ALONE_H
#define BENCH_HARNESS_ALONE_H

#include "collector/drain.h"
#include "harness/consumer.h"
#include "support/tempdir.h"
#include "tokenring/tokenring.h"

#define BENCH_ALONE_LANES 2
#define BENCH_ALONE_CALLS 400000 /* at most at once in all lanes, of one account with an id of 36 bytes */

struct bench_alone {
    char runtime[TEMPDIR_BYTES];
    char state[TEMPDIR_BYTES];
    struct bench_consumer consumer; /* for its views only */
    int shard_directory;
    tkr_producer *producer[BENCH_ALONE_LANES];
    struct tkr_feed feed[BENCH_ALONE_LANES];
    struct tkr_shard *shard;
    struct tkr_drain *drain;
    uint64_t events; /* drained so far */
};

/* 0, or -1 after bench_wrong. The caller removes it, also after a failure. */
int bench_alone_make(struct bench_alone *alone, uint32_t accounts);

/* Drains what the producers have recorded. Returns the nanoseconds that it took. */
int64_t bench_alone_drain(struct bench_alone *alone);

/* Accepts a zeroed structure. */
void bench_alone_remove(struct bench_alone *alone);

#endif
