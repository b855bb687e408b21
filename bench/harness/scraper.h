/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One who asks a collector for its metrics so many times a second, in a process of its own, over one connection to its Unix
 * socket, and reads each page to its end.
 */
#ifndef BENCH_HARNESS_SCRAPER_H
#define BENCH_HARNESS_SCRAPER_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

struct bench_scraper {
    pid_t pid;
    struct bench_scraper_told *told; /* in memory that both share */
};

struct bench_scraper_told {
    atomic_bool stop;
    _Atomic uint64_t pages;
    _Atomic uint64_t bytes;
};

/* Begins to ask. 0, or -1 after bench_wrong. */
int bench_scraper_start(struct bench_scraper *scraper, const char *socket, unsigned per_second);

/* Ends it. Returns the pages that it had; 0 after bench_wrong: one was not as expected. */
uint64_t bench_scraper_end(struct bench_scraper *scraper);

#endif
