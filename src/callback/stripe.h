/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stripe of counters to which a thread adds. The first TKR_STRIPES_OWNED threads that are there at once have one each, to which
 * nobody else writes: they add by a load and a store. An atomic addition waits for all that was stored before it, frames in a lane
 * included; two of them made a handler's call a tenth slower. Further threads share the other stripes, by atomic additions.
 *
 * Handover: a thread that ends gives its number back with release, and who takes it does so with acquire: what the one stored last,
 * the other adds to. In a forked child the numbers of threads that are not there stay taken.
 */
#ifndef TKR_CALLBACK_STRIPE_H
#define TKR_CALLBACK_STRIPE_H

#include <stdatomic.h>
#include <stdint.h>

#include "producer/channel.h"

#define TKR_STRIPES_OWNED 32u
#define TKR_STRIPES (TKR_STRIPES_OWNED + 4u)

extern _Thread_local uint32_t tkr_stripe_kept TKR_FAST_TLS; /* the number + 1; 0: not taken yet */

/* Takes one for the thread, which keeps it until it ends. Returns its number. */
uint32_t tkr_stripe_take(void);

/* The thread's, 0..TKR_STRIPES - 1. */
static inline uint32_t tkr_stripe(void)
{
    uint32_t kept = tkr_stripe_kept;

    return kept != 0 ? kept - 1 : tkr_stripe_take();
}

/* Adds to a counter of the thread's stripe. */
static inline void tkr_stripe_add(_Atomic uint64_t *counter, uint32_t stripe, uint64_t more)
{
    if (stripe < TKR_STRIPES_OWNED) /* relaxed: sums, and nobody else stores */
        atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more, memory_order_relaxed);
    else
        (void)atomic_fetch_add_explicit(counter, more, memory_order_relaxed); /* a sum */
}

#endif
