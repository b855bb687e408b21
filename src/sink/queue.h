/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks in flight, oldest first, linked by chunk->next. Borrowed memory, no locks: one thread uses a sink. */
#ifndef TKR_SINK_QUEUE_H
#define TKR_SINK_QUEUE_H

#include <stddef.h>

#include "sink/sink.h"

struct tkr_chunk_queue {
    struct tkr_chunk *head; /* oldest; NULL: empty */
    struct tkr_chunk *tail;
    uint32_t count;
};

static inline void tkr_chunk_push(struct tkr_chunk_queue *queue, struct tkr_chunk *chunk)
{
    chunk->next = NULL;
    if (queue->head == NULL)
        queue->head = chunk;
    else
        queue->tail->next = chunk;
    queue->tail = chunk;
    queue->count++;
}

/* The oldest, or NULL. */
static inline struct tkr_chunk *tkr_chunk_pop(struct tkr_chunk_queue *queue)
{
    struct tkr_chunk *chunk = queue->head;

    if (chunk == NULL)
        return NULL;
    queue->head = chunk->next;
    chunk->next = NULL;
    queue->count--;
    return chunk;
}

/* No answer for any of its contributions: as before it was sent. */
static inline void tkr_chunk_reset(struct tkr_chunk *chunk)
{
    chunk->seen_found = 0;
    for (uint32_t i = 0; i < chunk->count; i++) {
        chunk->item[i].outcome = TKR_OUTCOME_PENDING;
        chunk->item[i].found = (struct tkr_record){0};
        chunk->item[i].erased = false;
        chunk->item[i].reason[0] = '\0';
        chunk->item[i].key_at = 0;
    }
}

#endif
