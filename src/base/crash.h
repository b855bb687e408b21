/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Crash points. Built with TOKENRING_CRASH_POINTS, a process whose environment has TOKENRING_CRASH=SYMBOL or SYMBOL:N kills
 * itself (SIGKILL) when it passes that point for the first or the Nth time. Built without, which is how it is installed, a
 * point is nothing.
 *
 * The same builds can do without a protection, to show that the tests would notice: TOKENRING_BROKEN=NAME, where NAME stands
 * in a TKR_BROKEN(NAME).
 */
#ifndef TKR_BASE_CRASH_H
#define TKR_BASE_CRASH_H

enum tkr_crash_point {
#define TKR_CRASH_POINT(symbol, side, where) TKR_CRASH_##symbol,
#include "base/crash_points.def"
#undef TKR_CRASH_POINT
    TKR_CRASH_COUNT
};

#ifdef TOKENRING_CRASH_POINTS
#include <stdbool.h>
bool tkr_broken(const char *name);
#define TKR_BROKEN(name) tkr_broken(#name)
void tkr_crash_pass(enum tkr_crash_point point);
#define TKR_CRASH(symbol) tkr_crash_pass(TKR_CRASH_##symbol)
#else
#define TKR_CRASH(symbol) ((void)0)
#define TKR_BROKEN(name) 0
#endif

#endif
