/* SPDX-License-Identifier: Apache-2.0 */
#include "callback/tally.h"

#include <string.h>

void tkr_tally_open(struct tkr_tally *tally)
{
    memset(tally->place, 0, sizeof(tally->place));
    (void)pthread_mutex_init(&tally->mutex, NULL); /* a default one cannot fail */
}

void tkr_tally_close(struct tkr_tally *tally)
{
    (void)pthread_mutex_destroy(&tally->mutex);
}

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
    uint64_t told = 0;

    (void)pthread_mutex_lock(&tally->mutex);
    tally->place[place].untold += more;
    if (tally->place[place].told_ns == 0 || now_ns - tally->place[place].told_ns >= TKR_TALLY_NS) {
        told = tally->place[place].untold;
        tally->place[place].untold = 0;
        tally->place[place].told_ns = now_ns;
    }
    (void)pthread_mutex_unlock(&tally->mutex);
    return told;
}
