/* SPDX-License-Identifier: Apache-2.0 */
/* Who calls: accounts with ids of 36 bytes, and how often each comes. Threads: one. */
#ifndef BENCH_HARNESS_CROWD_H
#define BENCH_HARNESS_CROWD_H

#include <stdint.h>

#include "traffic/users.h"

#define BENCH_ID_BYTES 36

enum bench_skew {
    BENCH_UNIFORM,
    BENCH_ZIPF,    /* shares 1, 1/2, 1/3... */
    BENCH_SERVEGEN /* as users of a real service: traffic/users.h */
};

struct bench_crowd {
    uint32_t count;
    enum bench_skew skew;
    char (*id)[BENCH_ID_BYTES + 1];
    double *sum; /* Zipf: cumulated shares */
    struct tkr_traffic_users users;
    struct tkr_traffic_random random;
};

/* 0, or -1 after bench_wrong. The caller frees it. */
int bench_crowd_make(struct bench_crowd *crowd, uint32_t count, enum bench_skew skew);

void bench_crowd_free(struct bench_crowd *crowd);

/* The next caller, 0..count-1. */
uint32_t bench_crowd_draw(struct bench_crowd *crowd);

/* "uniform", "Zipf", "ServeGen" */
const char *bench_skew_name(enum bench_skew skew);

#endif
