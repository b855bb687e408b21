/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers that can be had again: the seed is printed, and TOKENRING_TEST_SEED takes it back. */
#ifndef TESTS_SUPPORT_RANDOM_H
#define TESTS_SUPPORT_RANDOM_H

#include <stdint.h>

struct test_random {
    uint64_t state;
};

/* Seeds from TOKENRING_TEST_SEED, else from the clock, and prints "seed N". */
struct test_random test_random_start(void);

/* 64 random bits: splitmix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators"). */
uint64_t test_random_next(struct test_random *random);

/* 0..below-1; below is not 0. The bias does not matter here. */
uint64_t test_random_below(struct test_random *random, uint64_t below);

#endif
