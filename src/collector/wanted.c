/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/wanted.h"

#include <stdlib.h>
#include <string.h>

struct tkr_wanted_block {
    struct tkr_wanted_block *next;
    uint64_t bytes;
    uint32_t count;
    uint32_t accounts_max;
    char *id_end; /* behind the ids, which lie behind the accounts */
    struct tkr_wanted wanted[];
};

struct tkr_wanted_block *tkr_wanted_begin(struct tkr_wanted_queue *queue, uint32_t accounts, uint32_t id_bytes)
{
    uint64_t bytes = sizeof(struct tkr_wanted_block) + accounts * sizeof(struct tkr_wanted) + id_bytes;
    struct tkr_wanted_block *block;

    if (atomic_fetch_add_explicit(&queue->bytes, bytes, memory_order_relaxed) + bytes > TKR_WANTED_BYTES_MAX) { /* a figure */
        (void)atomic_fetch_sub_explicit(&queue->bytes, bytes, memory_order_relaxed);
        return NULL;
    }
    block = malloc(bytes);
    if (block == NULL) {
        (void)atomic_fetch_sub_explicit(&queue->bytes, bytes, memory_order_relaxed);
        return NULL;
    }
    *block = (struct tkr_wanted_block){.bytes = bytes, .accounts_max = accounts, .id_end = (char *)&block->wanted[accounts]};
    return block;
}

void tkr_wanted_add(struct tkr_wanted_block *block, const struct tkr_wanted *wanted)
{
    struct tkr_wanted *to = &block->wanted[block->count++];

    *to = *wanted;
    to->account.id = block->id_end;
    memcpy(block->id_end, wanted->account.id, wanted->account.len);
    block->id_end += wanted->account.len;
}

static void drop(struct tkr_wanted_queue *queue, struct tkr_wanted_block *block)
{
    (void)atomic_fetch_sub_explicit(&queue->bytes, block->bytes, memory_order_relaxed);
    free(block);
}

bool tkr_wanted_push(struct tkr_wanted_queue *queue, struct tkr_wanted_block *block)
{
    if (block->count == 0) {
        drop(queue, block);
        return false;
    }
    block->next = atomic_load_explicit(&queue->inbox, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&queue->inbox, &block->next, block, memory_order_release, /* P1 */
                                                  memory_order_relaxed))
        continue;
    return true;
}

bool tkr_wanted_empty(const struct tkr_wanted_queue *queue)
{
    return queue->oldest == NULL && atomic_load_explicit(&queue->inbox, memory_order_relaxed) == NULL;
}

/* Takes all blocks, the youngest of which is the first, and turns them round. */
static void take_inbox(struct tkr_wanted_queue *queue)
{
    struct tkr_wanted_block *block = atomic_exchange_explicit(&queue->inbox, NULL, memory_order_acquire); /* P1 */
    struct tkr_wanted_block *next;

    for (; block != NULL; block = next) {
        next = block->next;
        block->next = queue->oldest;
        queue->oldest = block;
    }
}

bool tkr_wanted_take(struct tkr_wanted_queue *queue, struct tkr_wanted *ret_wanted)
{
    if (queue->oldest != NULL && queue->at == queue->oldest->count) {
        struct tkr_wanted_block *done = queue->oldest;
        queue->oldest = done->next;
        queue->at = 0;
        drop(queue, done);
    }
    if (queue->oldest == NULL)
        take_inbox(queue);
    if (queue->oldest == NULL)
        return false;
    *ret_wanted = queue->oldest->wanted[queue->at++];
    return true;
}

void tkr_wanted_free(struct tkr_wanted_queue *queue)
{
    struct tkr_wanted wanted;

    while (tkr_wanted_take(queue, &wanted))
        continue;
}
