/* SPDX-License-Identifier: Apache-2.0 */
#include "support/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

struct test_random test_random_start(void)
{
    const char *text = getenv("TOKENRING_TEST_SEED");
    struct test_random random = {text != NULL ? strtoull(text, NULL, 0) : (uint64_t)tkr_clock_unix_ns()};

    (void)printf("seed %" PRIu64 "\n", random.state);
    (void)fflush(stdout);
    return random;
}

uint64_t test_random_next(struct test_random *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t test_random_below(struct test_random *random, uint64_t below)
{
    return test_random_next(random) % below;
}
