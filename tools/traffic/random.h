/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random numbers that are the same on every machine, and the same for a call whichever process replays it: each call
 * has a stream of its own, found from the seed and the call's number.
 *
 * splitmix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014, figure 17, with the
 * constants of variant 13 by Stafford.
 */
#ifndef TOOLS_TRAFFIC_RANDOM_H
#define TOOLS_TRAFFIC_RANDOM_H

#include <stdint.h>

struct tkr_traffic_random {
    uint64_t state;
};

#define TKR_TRAFFIC_RANDOM_STEP UINT64_C(0x9e3779b97f4a7c15)

static inline uint64_t tkr_traffic_random_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* 64 random bits. */
static inline uint64_t tkr_traffic_random_next(struct tkr_traffic_random *random)
{
    random->state += TKR_TRAFFIC_RANDOM_STEP;
    return tkr_traffic_random_mix(random->state);
}

/* The stream of one call. */
static inline struct tkr_traffic_random tkr_traffic_random_for(uint64_t seed, uint64_t call)
{
    uint64_t mixed = tkr_traffic_random_mix(seed + TKR_TRAFFIC_RANDOM_STEP);

    return (struct tkr_traffic_random){.state = tkr_traffic_random_mix(mixed ^ call)};
}

/* 0..below-1, each as likely as the others; below is not 0. Draws again where a remainder would favour small ones. */
static inline uint64_t tkr_traffic_random_below(struct tkr_traffic_random *random, uint64_t below)
{
    uint64_t reject = (UINT64_MAX - below + 1) % below; /* 2^64 mod below */
    uint64_t value;

    do {
        value = tkr_traffic_random_next(random);
    } while (value < reject);
    return value % below;
}

#endif
