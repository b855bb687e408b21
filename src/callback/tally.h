/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tally per account of what is told rarely: the first time at once, then once a minute at most, with how many there were
 * meanwhile. Accounts share places by their hash: two that do are told of more rarely, never more often, and none is miscounted.
 *
 * Threads: any, without a lock: all may add to `untold`, and of those who find the minute over one moves `told_ns` (a
 * compare-and-swap) and takes what is there. So there is nothing that a forked child could find half done.
 */
#ifndef TKR_CALLBACK_TALLY_H
#define TKR_CALLBACK_TALLY_H

#include <stdatomic.h>
#include <stdint.h>

#include "tokenring/tokenring.h"

#define TKR_TALLY_PLACES 256u
#define TKR_TALLY_NS INT64_C(60000000000)

/* Zeros: nothing was told. */
struct tkr_tally {
    struct {
        _Atomic int64_t told_ns; /* 0: never */
        _Atomic uint64_t untold;
    } place[TKR_TALLY_PLACES];
};

/* Adds more for an account. How many are to be told now; 0: not yet. now_ns is monotonic, above 0. */
uint64_t tkr_tally_add(struct tkr_tally *tally, const tkr_account *account, uint64_t more, int64_t now_ns);

#endif
