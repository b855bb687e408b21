/* SPDX-License-Identifier: Apache-2.0 */
/* How far a wall clock of support/clock_step.h is off. */
#ifndef TESTS_SUPPORT_CLOCK_STATE_H
#define TESTS_SUPPORT_CLOCK_STATE_H

#include <stdatomic.h>
#include <stdint.h>

struct clock_step {
    _Atomic int64_t ahead_ns;         /* of the true time; below 0: behind */
    _Atomic int64_t stands_ns;        /* not 0: the wall clock stands at this Unix time */
    _Atomic int64_t coarse_behind_ns; /* by which the coarse clock and time() are behind the precise one, beside what they are */
};

#endif
