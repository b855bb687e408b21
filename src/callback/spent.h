/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long handlers take: what a gateway's threads spend in them, summed in its region for the collector, which makes the metric
 * callback_duration_seconds of it. Reading the clock twice would cost as much as a handler: so the first TKR_SPENT_ALL events of a
 * thread are timed, and then one in TKR_SPENT_EACH, which counts for so many.
 *
 * Each handler is timed for itself: members of a composite, and an asynchronous handler's member in its own thread.
 *
 * Threads: any; the sums are atomic additions, seldom. A process that has no region open (a forked child, say) measures nothing.
 */
#ifndef TKR_CALLBACK_SPENT_H
#define TKR_CALLBACK_SPENT_H

#include "base/clock.h"
#include "producer/producer.h"

#define TKR_SPENT_ALL 16u
#define TKR_SPENT_EACH 16u

extern _Thread_local uint32_t tkr_spent_events TKR_FAST_TLS; /* of this thread, modulo 2^32 */

/* Begins to time an event, or not: 0. */
static inline int64_t tkr_spent_begin(void)
{
    uint32_t event = tkr_spent_events++;

    return __builtin_expect(event < TKR_SPENT_ALL || event % TKR_SPENT_EACH == 0, 0) ? tkr_clock_monotonic_ns() : 0;
}

void tkr_spent_note(tkr_producer *producer, int64_t begun_ns);

/* Ends it, where it was begun. */
static inline void tkr_spent_end(tkr_producer *producer, int64_t begun_ns)
{
    if (__builtin_expect(begun_ns != 0, 0))
        tkr_spent_note(producer, begun_ns);
}

#endif
