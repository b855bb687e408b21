/* SPDX-License-Identifier: Apache-2.0 */
/* Under memcheck, which takes some thirty times as long, the long repetitions of a test are shorter. */
#ifndef TESTS_SUPPORT_LIGHT_H
#define TESTS_SUPPORT_LIGHT_H

#include <stdlib.h>

/* n, or a sixteenth of it, at least 1, where the test runs under memcheck (TOKENRING_TEST_LIGHT is set). */
static inline int test_light(int n)
{
    if (getenv("TOKENRING_TEST_LIGHT") == NULL)
        return n;
    return n < 16 ? 1 : n / 16;
}

#endif
