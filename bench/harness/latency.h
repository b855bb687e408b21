/* SPDX-License-Identifier: Apache-2.0 */
/* A histogram of single operations' times: 32 steps to each doubling, so a percentile is at most 1/32 too high. Threads: one. */
#ifndef BENCH_HARNESS_LATENCY_H
#define BENCH_HARNESS_LATENCY_H

#include <stdint.h>
#include <string.h>

#define BENCH_LATENCY_STEPS 32u

struct bench_latency {
    uint64_t count;
    uint64_t in[60 * BENCH_LATENCY_STEPS];
};

/* Times below 32 ns have a place each; then 32 to each doubling. */
static inline uint32_t bench_latency_place(uint64_t ns)
{
    uint32_t doubling = ns < BENCH_LATENCY_STEPS ? 0 : 63 - (uint32_t)__builtin_clzll(ns) - 4;

    return doubling == 0 ? (uint32_t)ns : doubling * BENCH_LATENCY_STEPS + (uint32_t)(ns >> (doubling - 1)) - BENCH_LATENCY_STEPS;
}

/* The largest time of a place. */
static inline uint64_t bench_latency_of(uint32_t place)
{
    uint32_t doubling = place / BENCH_LATENCY_STEPS;

    return doubling == 0 ? place : ((uint64_t)(place % BENCH_LATENCY_STEPS + BENCH_LATENCY_STEPS + 1) << (doubling - 1)) - 1;
}

static inline void bench_latency_add(struct bench_latency *latency, int64_t ns)
{
    latency->in[bench_latency_place(ns < 0 ? 0 : (uint64_t)ns)]++;
    latency->count++;
}

/* Nanoseconds that so many per cent of the operations did not exceed. */
static inline uint64_t bench_latency_percentile(const struct bench_latency *latency, double percent)
{
    uint64_t wanted = (uint64_t)((double)latency->count * percent / 100.0 + 0.999999);
    uint64_t seen = 0;
    uint32_t place = 0;

    while (place < sizeof(latency->in) / sizeof(latency->in[0]) - 1 && (seen += latency->in[place]) < wanted)
        place++;
    return bench_latency_of(place);
}

#endif
