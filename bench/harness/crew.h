/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many that work at once: threads of this process, or processes of their own. Each is pinned, in turn over the processors; they
 * prepare, wait for one another and go.
 */
#ifndef BENCH_HARNESS_CREW_H
#define BENCH_HARNESS_CREW_H

#include <stdbool.h>

#define BENCH_CREW_MAX 64

struct bench_crew {
    unsigned count; /* 1..BENCH_CREW_MAX */
    bool processes;
    int (*prepare)(void *arg, unsigned number); /* 0, or a code that ends the run as wrong; so does work */
    int (*work)(void *arg, unsigned number);
    void *arg; /* a process has a copy of what it points to, if that is not shared memory */
};

/* Nanoseconds from the moment the first goes until the last has done; negative after bench_wrong. */
double bench_crew_run(const struct bench_crew *crew);

#endif
