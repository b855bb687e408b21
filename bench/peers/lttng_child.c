/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LTTng-UST as a peer, in a process of its own: the library starts threads in whatever is linked with it. Says "ready" when a
 * session records its tracepoint; then for each line with a number that many tracepoints, answered by the nanoseconds they took.
 */
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "peers/lttng_event.h"
#include "peers/payload.h"

#define ENABLED_WITHIN_NS (20 * TKR_NS_PER_S)
#define PAUSE_NS TKR_NS_PER_MS

static bool enabled(void)
{
    int64_t end_ns = tkr_clock_monotonic_ns() + ENABLED_WITHIN_NS;

    while (!lttng_ust_tracepoint_enabled(tokenring_bench, call)) {
        if (tkr_clock_monotonic_ns() > end_ns)
            return false;
        tkr_clock_sleep_ns(PAUSE_NS);
    }
    return true;
}

int main(void)
{
    uint64_t count;

    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (!enabled())
        return 1;
    (void)puts("ready");
    while (scanf("%" SCNu64, &count) == 1) {
        int64_t begun_ns = tkr_clock_monotonic_ns();
        for (uint64_t i = 0; i < count; i++)
            lttng_ust_tracepoint(tokenring_bench, call, PAYLOAD_ID, PAYLOAD_ID_BYTES, tkr_clock_coarse_ns(), PAYLOAD_PROMPT,
                                 PAYLOAD_COMPLETION);
        (void)printf("%" PRId64 "\n", tkr_clock_monotonic_ns() - begun_ns);
    }
    return 0;
}
