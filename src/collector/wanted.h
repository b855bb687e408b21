/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accounts that gateways ask for and that the board may lack, on their way from the workers to the keeper: blocks, one a batch,
 * that any worker pushes and the keeper takes. Workers never wait. The bytes on the way are bounded: what comes beyond is
 * counted, and the gateways ask for it again within a second.
 *
 * Barrier pair
 *   P1  a block's bytes, then the push (release); the keeper takes all blocks at once (acquire).
 */
#ifndef TKR_COLLECTOR_WANTED_H
#define TKR_COLLECTOR_WANTED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "tokenring/tokenring.h"

#define TKR_WANTED_BYTES_MAX (UINT64_C(32) << 20) /* some hundred thousand accounts */

struct tkr_wanted_block;

/* An account, and what its gateway says of its cycle: when it ends, Unix time in seconds, and which follows; 0: it does not
 * say. */
struct tkr_wanted {
    tkr_account account; /* its id points into the block */
    uint32_t cycle;
    uint32_t next;
    int64_t end_s;
};

/* Zeroed: empty. */
struct tkr_wanted_queue {
    _Atomic(struct tkr_wanted_block *) inbox;
    _Atomic uint64_t bytes;          /* in blocks */
    struct tkr_wanted_block *oldest; /* the keeper's own */
    uint32_t at;                     /* in it */
};

/* Worker: a block with room for so many accounts, whose ids have so many bytes in all. NULL: no memory, or too much on the way.
 * */
struct tkr_wanted_block *tkr_wanted_begin(struct tkr_wanted_queue *queue, uint32_t accounts, uint32_t id_bytes);

/* Worker: adds one of them. */
void tkr_wanted_add(struct tkr_wanted_block *block, const struct tkr_wanted *wanted);

/* Worker: hands the block over. true: there is something in it, and the keeper is to be woken. */
bool tkr_wanted_push(struct tkr_wanted_queue *queue, struct tkr_wanted_block *block);

/* Is there nothing? Any thread. */
bool tkr_wanted_empty(const struct tkr_wanted_queue *queue);

/* Keeper: the next one, in the order in which they came; it stays valid until the next is taken. false: there is none. */
bool tkr_wanted_take(struct tkr_wanted_queue *queue, struct tkr_wanted *ret_wanted);

/* Frees all that is in it, when nobody else uses it. */
void tkr_wanted_free(struct tkr_wanted_queue *queue);

#endif
