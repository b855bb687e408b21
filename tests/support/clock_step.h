/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A wall clock that steps: a test that includes this has a clock_gettime() and a time() of its own, which stand before those of
 * libc in all that is linked into it. The monotonic clocks stay as they are. Include it once, in the test itself.
 *
 * Threads: any. Children of fork() see the same clock where clock_step_share() was called before.
 */
#ifndef TESTS_SUPPORT_CLOCK_STEP_H
#define TESTS_SUPPORT_CLOCK_STEP_H

#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "support/clock_state.h"

#define CLOCK_STEP_NS_PER_S INT64_C(1000000000)
#define CLOCK_STEP_DAY_NS (86400 * CLOCK_STEP_NS_PER_S)

static struct clock_step clock_step_own;
static struct clock_step *clock_step = &clock_step_own;

/* From now on children share the clock. 0 or -1. */
static inline int clock_step_share(void)
{
    void *shared = mmap(NULL, sizeof(*clock_step), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED)
        return -1;
    clock_step = shared;
    return 0;
}

int clock_gettime(clockid_t id, struct timespec *ret_time)
{
    int64_t ns;

    if (syscall(SYS_clock_gettime, id, ret_time) != 0)
        return -1;
    if (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)
        return 0;
    ns = atomic_load(&clock_step->stands_ns);
    if (ns == 0)
        ns = ret_time->tv_sec * CLOCK_STEP_NS_PER_S + ret_time->tv_nsec + atomic_load(&clock_step->ahead_ns);
    if (id == CLOCK_REALTIME_COARSE)
        ns -= atomic_load(&clock_step->coarse_behind_ns);
    ret_time->tv_sec = ns / CLOCK_STEP_NS_PER_S;
    ret_time->tv_nsec = ns % CLOCK_STEP_NS_PER_S;
    return 0;
}

time_t time(time_t *ret_time)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (ret_time != NULL)
        *ret_time = now.tv_sec;
    return now.tv_sec;
}

#endif
