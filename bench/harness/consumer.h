/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads what producers of this process have put into a runtime directory, and gives the memory back: the accounting of a bench
 * in which no collector runs. Every frame is decoded, sequences are checked for gaps.
 */
#ifndef BENCH_HARNESS_CONSUMER_H
#define BENCH_HARNESS_CONSUMER_H

#include <stdint.h>

#include "limit/board.h"
#include "region/view.h"

#define BENCH_REGIONS_MAX 64

struct bench_consumer {
    int directory;
    struct tkr_view *view[BENCH_REGIONS_MAX];
    uint32_t count;
    uint64_t position[BENCH_REGIONS_MAX][TKR_REGION_LANES_MAX];
    uint64_t sequence[BENCH_REGIONS_MAX][TKR_REGION_LANES_MAX];
    uint64_t calls; /* seen so far */
    uint64_t tokens;
    const struct tkr_board *board; /* on which releases are obeyed; NULL: on none */
};

/* 0, or -1 after bench_wrong, as all here. */
int bench_consumer_open(struct bench_consumer *consumer, const char *runtime);

/* Opens the regions that are new; each drain does so too. */
int bench_consumer_take_up(struct bench_consumer *consumer);

/* Reads all that is there; fails when a frame is not as it should be. */
int bench_consumer_drain(struct bench_consumer *consumer);

void bench_consumer_close(struct bench_consumer *consumer);

#endif
