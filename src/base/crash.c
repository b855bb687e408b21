/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crash.h"

#ifdef TOKENRING_CRASH_POINTS

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int armed = -1;
static atomic_long passes_left;

static void arm(void)
{
    static const char *const names[] = {
#define TKR_CRASH_POINT(symbol, side, where) #symbol,
#include "base/crash_points.def"
#undef TKR_CRASH_POINT
    };
    const char *text = getenv("TOKENRING_CRASH");
    size_t len = text != NULL ? strcspn(text, ":") : 0;

    for (int i = 0; text != NULL && i < (int)TKR_CRASH_COUNT; i++) {
        if (strlen(names[i]) == len && memcmp(names[i], text, len) == 0)
            armed = i;
    }
    atomic_store_explicit(&passes_left, text != NULL && text[len] == ':' ? atol(text + len + 1) : 1, memory_order_relaxed);
}

bool tkr_broken(const char *name)
{
    const char *text = getenv("TOKENRING_BROKEN");

    return text != NULL && strcmp(text, name) == 0;
}

void tkr_crash_pass(enum tkr_crash_point point)
{
    (void)pthread_once(&once, arm);
    if ((int)point == armed && atomic_fetch_sub_explicit(&passes_left, 1, memory_order_relaxed) == 1)
        (void)kill(getpid(), SIGKILL);
}

#else

typedef int tkr_crash_points_are_compiled_out; /* ISO C wants something in every file */

#endif
