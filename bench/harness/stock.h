/* SPDX-License-Identifier: Apache-2.0 */
/* A shard with many accounts in a directory of its own, and no collector: what is to be flushed, reopened or weighed. Threads: one. */
#ifndef BENCH_HARNESS_STOCK_H
#define BENCH_HARNESS_STOCK_H

#include "support/tempdir.h"
#include "table/shard.h"

#define BENCH_STOCK_ID_BYTES 36
#define BENCH_STOCK_CYCLE 20261101u

struct bench_stock {
    char path[TEMPDIR_BYTES];
    int directory;
    struct tkr_shard_options options;
    struct tkr_shard *shard;
    uint32_t accounts;
    uint64_t rounds[TKR_COUNTER_COUNT]; /* in which a counter of every account was changed */
};

/* 0, or -1 after bench_wrong, as all here. */
int bench_stock_open(struct bench_stock *stock, uint64_t name, uint32_t accounts);

/* Closes the shard and opens it again, as a new collector does; ret_ns: what the opening took. */
int bench_stock_reopen(struct bench_stock *stock, double *ret_ns);

void bench_stock_close(struct bench_stock *stock);

/* Charges every account once; the first `counters` of those that a call has are not 0. */
int bench_stock_change(struct bench_stock *stock, int counters);

/* The counter that is changed as n-th, 0.. */
int bench_stock_counter(int n);

/* What a round adds to a counter of an account; and what it has to be now. */
int64_t bench_stock_value(uint32_t account, int counter);
int64_t bench_stock_expected(const struct bench_stock *stock, uint32_t account, int counter);

/* "c0ffee00-0000-0000-0000-000000000042"; and back, or -1. */
void bench_stock_id(uint32_t account, char ret_id[BENCH_STOCK_ID_BYTES + 1]);
int64_t bench_stock_account(const char *id, size_t id_len);

/* Does the shard hold what was charged? */
int bench_stock_check(const struct bench_stock *stock);

#endif
