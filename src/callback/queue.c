/* SPDX-License-Identifier: Apache-2.0 */
#include "callback/queue.h"

#include <ck_ring.h>
#include <stdlib.h>

#include "ring/lane.h"

struct tkr_queue {
    ck_ring_t ring;
    ck_ring_buffer_t buffer[];
};

struct tkr_queue *tkr_queue_open(uint32_t size)
{
    size_t bytes = sizeof(struct tkr_queue) + size * sizeof(ck_ring_buffer_t);
    struct tkr_queue *queue =
        aligned_alloc(TKR_LINE_SEPARATION, (bytes + TKR_LINE_SEPARATION - 1) / TKR_LINE_SEPARATION * TKR_LINE_SEPARATION);

    if (queue != NULL)
        ck_ring_init(&queue->ring, size);
    return queue;
}

void tkr_queue_close(struct tkr_queue *queue)
{
    free(queue);
}

bool tkr_queue_put(struct tkr_queue *queue, void *item)
{
    return ck_ring_enqueue_mpsc(&queue->ring, queue->buffer, item);
}

void *tkr_queue_take(struct tkr_queue *queue)
{
    void *item;

    return ck_ring_dequeue_mpsc(&queue->ring, queue->buffer, &item) ? item : NULL;
}
