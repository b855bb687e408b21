/* SPDX-License-Identifier: Apache-2.0 */
#include "callback/tally.h"

/* FNV-1a (Fowler, Noll, Vo). */
static uint64_t hash_of(const tkr_account *account)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ account->kind;

    for (uint32_t i = 0; account->id != NULL && i < account->len; i++)
        hash = (hash ^ (unsigned char)account->id[i]) * UINT64_C(0x100000001b3);
    return hash ^ hash >> 32;
}

uint64_t tkr_tally_add(struct tkr_tally *tally, const tkr_account *account, uint64_t more, int64_t now_ns)
{
    unsigned place = (unsigned)(hash_of(account) % TKR_TALLY_PLACES);
    _Atomic uint64_t *untold = &tally->place[place].untold;
    _Atomic int64_t *told_ns = &tally->place[place].told_ns;
    int64_t before =
        atomic_load_explicit(told_ns, memory_order_relaxed); /* all relaxed: sums and a time, nothing hangs on them */

    (void)atomic_fetch_add_explicit(untold, more, memory_order_relaxed);
    if (before != 0 && now_ns - before < TKR_TALLY_NS)
        return 0;
    if (!atomic_compare_exchange_strong_explicit(told_ns, &before, now_ns, memory_order_relaxed, memory_order_relaxed))
        return 0; /* another thread tells, these too or next time */
    return atomic_exchange_explicit(untold, 0, memory_order_relaxed);
}
