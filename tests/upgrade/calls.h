/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that upgrade_gateway makes in a round, so that a test can tell what they must come to. */
#ifndef TESTS_UPGRADE_CALLS_H
#define TESTS_UPGRADE_CALLS_H

#include <stdint.h>

#define UPGRADE_CALLS 500 /* in a round */
#define UPGRADE_USERS 7   /* "PREFIX-0" to "PREFIX-6", in turn */
#define UPGRADE_UNKNOWN 5 /* frames of a later type in a round, where they are asked for */
#define UPGRADE_CYCLE 20261101u

static inline int64_t upgrade_prompt(int call)
{
    return 1 + call;
}

static inline int64_t upgrade_completion(int call)
{
    return 2 * (int64_t)call;
}

#endif
