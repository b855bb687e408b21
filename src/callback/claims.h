/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Claims: who counts an account, while a composite starts a call. Before its members see the start, each that counts claims the
 * accounts it would charge; of those that claim the same, the highest rank counts it, and else the first. Then each asks what is
 * its own. Without a composite nobody claims, and everything is.
 *
 * Threads: those of one call, one at a time.
 */
#ifndef TKR_CALLBACK_CLAIMS_H
#define TKR_CALLBACK_CLAIMS_H

#include "callback/callback.h"

#define TKR_CLAIMS_PLACES 16u

enum tkr_claim_rank { TKR_CLAIM_TOKEN, TKR_CLAIM_DETAILED };

struct tkr_claim {
    const struct tkr_callback *owner;
    enum tkr_claim_rank rank;
    uint32_t cycle;
    tkr_account account; /* its id is borrowed for the start */
};

struct tkr_claims {
    uint32_t count;
    uint32_t max;
    struct tkr_claim *item; /* place, until it is full */
    struct tkr_claim place[TKR_CLAIMS_PLACES];
};

void tkr_claims_open(struct tkr_claims *claims);
void tkr_claims_close(struct tkr_claims *claims);

/* Claims an account, which is valid, in a cycle (0: the default). Without memory for one more, the account stays everybody's. */
void tkr_claims_add(struct tkr_claims *claims, const struct tkr_callback *owner, enum tkr_claim_rank rank,
                    const tkr_account *account, uint32_t cycle);

/* Bytes of a copy; 0 for NULL. */
size_t tkr_claims_copy_bytes(const struct tkr_claims *claims);

/* Copies them, ids included, into so many bytes, for what is asked of them later; only tkr_claims_owned takes the copy. */
struct tkr_claims *tkr_claims_copy(const struct tkr_claims *claims, void *memory);

/* Is it the owner's to count? claims may be NULL. */
bool tkr_claims_owned(const struct tkr_claims *claims, const struct tkr_callback *owner, const tkr_account *account,
                      uint32_t cycle);

#endif
