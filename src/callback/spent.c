/* SPDX-License-Identifier: Apache-2.0 */
#include "callback/spent.h"

#include "region/spent.h"

_Thread_local uint32_t tkr_spent_events TKR_FAST_TLS;

void tkr_spent_note(tkr_producer *producer, int64_t begun_ns)
{
    int64_t ns = tkr_clock_monotonic_ns() - begun_ns;
    uint64_t times = tkr_spent_events <= TKR_SPENT_ALL ? 1 : TKR_SPENT_EACH;

    /* The region before the session; pairs with the release in tkr_producer_open_region. */
    if (atomic_load_explicit(&producer->live->session, memory_order_acquire) != 0)
        tkr_region_spend(&producer->region, ns > 0 ? (uint64_t)ns : 0, times);
}
