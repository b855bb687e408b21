/* SPDX-License-Identifier: Apache-2.0 */
#include "callback/claims.h"

#include <stdlib.h>
#include <string.h>

void tkr_claims_open(struct tkr_claims *claims)
{
    claims->count = 0;
    claims->max = TKR_CLAIMS_PLACES;
    claims->item = claims->place;
}

void tkr_claims_close(struct tkr_claims *claims)
{
    if (claims->item != claims->place)
        free(claims->item);
}

static struct tkr_claim *find(const struct tkr_claims *claims, const tkr_account *account, uint32_t cycle)
{
    for (uint32_t i = 0; i < claims->count; i++) {
        struct tkr_claim *claim = &claims->item[i];
        if (claim->cycle == cycle && claim->account.kind == account->kind && claim->account.len == account->len &&
            memcmp(claim->account.id, account->id, account->len) == 0)
            return claim;
    }
    return NULL;
}

static bool make_room(struct tkr_claims *claims)
{
    struct tkr_claim *more;

    if (claims->count < claims->max)
        return true;
    more = malloc(2 * (size_t)claims->max * sizeof(*more));
    if (more == NULL)
        return false;
    memcpy(more, claims->item, claims->count * sizeof(*more));
    tkr_claims_close(claims);
    claims->item = more;
    claims->max *= 2;
    return true;
}

void tkr_claims_add(struct tkr_claims *claims, const struct tkr_callback *owner, enum tkr_claim_rank rank,
                    const tkr_account *account, uint32_t cycle)
{
    struct tkr_claim *claim = find(claims, account, cycle);

    if (claim == NULL && make_room(claims))
        claims->item[claims->count++] = (struct tkr_claim){.owner = owner, .rank = rank, .cycle = cycle, .account = *account};
    else if (claim != NULL && claim->rank < rank) {
        claim->owner = owner;
        claim->rank = rank;
    }
}

bool tkr_claims_owned(const struct tkr_claims *claims, const struct tkr_callback *owner, const tkr_account *account,
                      uint32_t cycle)
{
    const struct tkr_claim *claim = claims != NULL ? find(claims, account, cycle) : NULL;

    return claim == NULL || claim->owner == owner;
}

size_t tkr_claims_copy_bytes(const struct tkr_claims *claims)
{
    size_t bytes = claims != NULL ? sizeof(*claims) + claims->count * sizeof(struct tkr_claim) : 0;

    for (uint32_t i = 0; claims != NULL && i < claims->count; i++)
        bytes += claims->item[i].account.len;
    return bytes;
}

struct tkr_claims *tkr_claims_copy(const struct tkr_claims *claims, void *memory)
{
    struct tkr_claims *copy = memory;
    char *id;

    copy->count = copy->max = claims->count;
    copy->item = (struct tkr_claim *)(copy + 1);
    id = (char *)(copy->item + copy->count);
    for (uint32_t i = 0; i < copy->count; i++) {
        copy->item[i] = claims->item[i];
        memcpy(id, claims->item[i].account.id, claims->item[i].account.len);
        copy->item[i].account.id = id;
        id += claims->item[i].account.len;
    }
    return copy;
}
