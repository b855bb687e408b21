/* SPDX-License-Identifier: Apache-2.0 */
#include "callback/stripe.h"

#include <pthread.h>
#include <stdbool.h>

#define ALL_TAKEN ((UINT64_C(1) << TKR_STRIPES_OWNED) - 1)

_Thread_local uint32_t tkr_stripe_kept TKR_FAST_TLS;
static _Atomic uint64_t taken; /* a bit for each that is owned */
static _Atomic uint32_t shared;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool key_made;

static uint32_t shared_number(void)
{
    uint32_t turn = atomic_fetch_add_explicit(&shared, 1, memory_order_relaxed); /* any number will do */

    return TKR_STRIPES_OWNED + turn % (TKR_STRIPES - TKR_STRIPES_OWNED);
}

/* What still runs in the thread, destructors of other keys, adds to a shared one. */
static void give_back(void *unused)
{
    uint32_t number = tkr_stripe_kept - 1;

    (void)unused;
    tkr_stripe_kept = shared_number() + 1;
    if (number < TKR_STRIPES_OWNED)
        (void)atomic_fetch_and_explicit(&taken, ~(UINT64_C(1) << number), memory_order_release); /* pairs with take_owned */
}

static void make_key(void)
{
    key_made = pthread_key_create(&key, give_back) == 0;
}

/* TKR_STRIPES_OWNED: none is left. */
static uint32_t take_owned(void)
{
    uint64_t seen = atomic_load_explicit(&taken, memory_order_relaxed); /* tried below */

    while ((seen & ALL_TAKEN) != ALL_TAKEN) {
        uint32_t number = (uint32_t)__builtin_ctzll(~seen);
        if (atomic_compare_exchange_weak_explicit(&taken, &seen, seen | UINT64_C(1) << number, memory_order_acquire,
                                                  memory_order_relaxed)) /* acquire pairs with give_back */
            return number;
    }
    return TKR_STRIPES_OWNED;
}

uint32_t tkr_stripe_take(void)
{
    uint32_t number = TKR_STRIPES_OWNED;

    (void)pthread_once(&once, make_key);
    if (key_made && pthread_setspecific(key, &taken) == 0) /* any value but NULL calls give_back */
        number = take_owned();
    if (number == TKR_STRIPES_OWNED)
        number = shared_number();
    tkr_stripe_kept = number + 1;
    return number;
}
