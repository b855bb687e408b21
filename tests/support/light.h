/* SPDX-License-Identifier: Apache-2.0 */
/* What takes long in tests: under memcheck, which takes some thirty times as long, the long repetitions of a test are shorter. */
#ifndef TESTS_SUPPORT_LIGHT_H
#define TESTS_SUPPORT_LIGHT_H

#include <stdbool.h>
#include <stdlib.h>

/* A collector with ThreadSanitizer counts a tenth of what another does: who records on beside it, for as long as a test likes, is
 * held back, so that it keeps up. */
#ifdef __SANITIZE_THREAD__
#define TEST_COLLECTOR_IS_SLOW true
#else
#define TEST_COLLECTOR_IS_SLOW false
#endif

/* n, or a sixteenth of it, at least 1, where the test runs under memcheck (TOKENRING_TEST_LIGHT is set). */
static inline int test_light(int n)
{
    if (getenv("TOKENRING_TEST_LIGHT") == NULL)
        return n;
    return n < 16 ? 1 : n / 16;
}

#endif
