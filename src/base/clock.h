/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clocks, in nanoseconds. All by the vDSO: no system call on the machines that matter.
 *
 * Which clock for what. The wall clock may step in both directions at any time (an administrator, NTP, a virtual machine that is
 * resumed), so it names billing cycles and time stamps that people read, and nothing is ever subtracted from it but by them.
 *   CLOCK_MONOTONIC: whatever has passed: durations of calls, timeouts, back-off, ages of figures, signs of life. It stands still
 *     while the host is suspended, as all that it measures does: no process can answer then, so none is late.
 *   CLOCK_BOOTTIME: how long an account has been idle. It goes on while the host is suspended: a week is a week of the world's.
 *   CLOCK_REALTIME: names. Its coarse twin and time(2) are behind by up to a tick, so they do not say which side of a cycle's
 *     boundary a moment lies on: producer/producer.h asks the precise one there.
 * Times that one process writes and another compares are of CLOCK_MONOTONIC or CLOCK_BOOTTIME, which all processes of a boot
 * share; what outlives a boot (the year for which a sink knows that an account was forgotten) can only be of the wall clock.
 */
#ifndef TKR_BASE_CLOCK_H
#define TKR_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define TKR_NS_PER_S INT64_C(1000000000)
#define TKR_NS_PER_MS INT64_C(1000000)
#define TKR_NS_PER_US INT64_C(1000)

static inline int64_t tkr_clock_ns(clockid_t id)
{
    struct timespec t;
    (void)clock_gettime(id, &t); /* fails only for an unknown id */
    return (int64_t)t.tv_sec * TKR_NS_PER_S + t.tv_nsec;
}

/* Unix time, behind by up to one tick (1..10 ms); some 6 ns. */
static inline int64_t tkr_clock_coarse_ns(void)
{
    return tkr_clock_ns(CLOCK_REALTIME_COARSE);
}

/* Unix time in whole seconds: one load where the kernel's page is read directly, and no loop. */
static inline int64_t tkr_clock_second_ns(void)
{
    return (int64_t)time(NULL) * TKR_NS_PER_S;
}

/* Unix time, precise. */
static inline int64_t tkr_clock_unix_ns(void)
{
    return tkr_clock_ns(CLOCK_REALTIME);
}

/* Time since boot that never goes back; the same for all processes of a host. */
static inline int64_t tkr_clock_monotonic_ns(void)
{
    return tkr_clock_ns(CLOCK_MONOTONIC);
}

/* The same, with the time during which the host was suspended. */
static inline int64_t tkr_clock_boot_ns(void)
{
    return tkr_clock_ns(CLOCK_BOOTTIME);
}

/* Sleeps so long, or less when a signal comes. ns >= 0. */
static inline void tkr_clock_sleep_ns(int64_t ns)
{
    const struct timespec pause = {.tv_sec = (time_t)(ns / TKR_NS_PER_S), .tv_nsec = (long)(ns % TKR_NS_PER_S)};
    (void)nanosleep(&pause, NULL);
}

/* Behind by a tick at most; no system call. */
static inline int64_t tkr_clock_monotonic_coarse_ns(void)
{
    return tkr_clock_ns(CLOCK_MONOTONIC_COARSE);
}

#endif
