/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/parcel.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

bool tkr_parcel_open(struct tkr_parcel *parcel, uint32_t items)
{
    parcel->item = calloc(items, sizeof(*parcel->item));
    parcel->copy = calloc(items, sizeof(*parcel->copy));
    parcel->origin = calloc(items, sizeof(*parcel->origin));
    parcel->chunk.item = parcel->item;
    parcel->chunk.count_max = items;
    return parcel->item != NULL && parcel->copy != NULL && parcel->origin != NULL;
}

void tkr_parcel_close(struct tkr_parcel *parcel)
{
    free(parcel->item);
    free(parcel->copy);
    free(parcel->origin);
}

static void fill_contribution(struct tkr_contribution *item, const struct tkr_entry_copy *copy, uint64_t tag)
{
    memset(item, 0, sizeof(*item));
    item->kind = copy->kind;
    item->id = copy->id;
    item->id_len = copy->id_len;
    item->cycle = copy->cycle;
    item->model = copy->model;
    item->model_len = copy->model_len;
    item->tag = tag;
    item->now.life = copy->life;
    item->now.counts = copy->counts;
    item->known.life = copy->known_life;
    item->known.counts = copy->known;
    item->outcome = TKR_OUTCOME_PENDING;
}

/* An entry that cannot be read at present (its worker is stopped in mid-batch) goes to the end of the queue, once. */
void tkr_parcel_fill(struct tkr_parcel *parcel, struct tkr_outlet *outlet)
{
    struct tkr_chunk *chunk = &parcel->chunk;
    struct tkr_outlet_queue *queue = &outlet->queue;
    size_t end = queue->count;

    parcel->outlet = outlet;
    parcel->purpose = TKR_PARCEL_QUEUED;
    chunk->count = 0;
    while (queue->first < end && chunk->count < chunk->count_max) {
        struct tkr_outlet_item item = queue->item[queue->first];
        struct tkr_entry_copy *copy = &parcel->copy[chunk->count];
        if (!tkr_entry_copy_read(outlet->shard->header, tkr_shard_entry(outlet->shard, item.reference), copy)) {
            if (!tkr_outlet_push(queue, item))
                break;
            queue->first++;
            break;
        }
        queue->first++;
        if (copy->life == 0) { /* forgotten after it was handed over: nothing was left to send */
            tkr_outlet_unmark(outlet, item.reference);
            continue;
        }
        parcel->origin[chunk->count] = item;
        fill_contribution(&chunk->item[chunk->count], copy, chunk->count);
        chunk->count++;
    }
}

bool tkr_parcel_fill_recheck(struct tkr_parcel *parcel, struct tkr_outlet *outlet, uint64_t *ret_next)
{
    uint32_t count = tkr_outlet_recheck_next(outlet, parcel->chunk.count_max, parcel->origin, ret_next);

    parcel->outlet = outlet;
    parcel->purpose = TKR_PARCEL_RECHECK;
    parcel->chunk.count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct tkr_entry *entry = tkr_shard_entry(outlet->shard, parcel->origin[i].reference);
        struct tkr_entry_copy *copy = &parcel->copy[parcel->chunk.count];
        if (!tkr_entry_copy_read(outlet->shard->header, entry, copy))
            return false;
        if (copy->life == 0)
            continue; /* forgotten */
        parcel->origin[parcel->chunk.count] = parcel->origin[i];
        fill_contribution(&parcel->chunk.item[parcel->chunk.count], copy, i);
        parcel->chunk.count++;
    }
    return true;
}

void tkr_parcel_fill_doubtful(struct tkr_parcel *parcel)
{
    parcel->chunk.count = parcel->doubtful;
    for (uint32_t i = 0; i < parcel->doubtful; i++)
        fill_contribution(&parcel->chunk.item[i], &parcel->copy[i], i);
}

void tkr_parcel_fill_bare(struct tkr_parcel *parcel)
{
    tkr_parcel_fill_doubtful(parcel);
    parcel->purpose = TKR_PARCEL_RECHECK;
    for (uint32_t i = 0; i < parcel->chunk.count; i++) {
        parcel->chunk.item[i].known = (struct tkr_record){0};
        parcel->chunk.item[i].bare = true;
    }
}

bool tkr_parcel_fill_scrub(struct tkr_parcel *parcel, struct tkr_outlet *outlet)
{
    uint32_t count = tkr_outlet_scrub_next(outlet, parcel->chunk.count_max, parcel->origin, parcel->copy);

    parcel->outlet = outlet;
    parcel->purpose = TKR_PARCEL_SCRUB;
    parcel->chunk.count = count;
    for (uint32_t i = 0; i < count; i++)
        fill_contribution(&parcel->chunk.item[i], &parcel->copy[i], i);
    return count > 0;
}

void tkr_parcel_fill_removal(struct tkr_parcel *parcel, struct tkr_outlet *outlet)
{
    uint32_t most = parcel->chunk.count_max;

    parcel->outlet = outlet;
    parcel->purpose = TKR_PARCEL_REMOVAL;
    parcel->chunk.count = outlet->removal_count < most ? outlet->removal_count : most;
    for (uint32_t i = 0; i < parcel->chunk.count; i++) {
        struct tkr_contribution *item = &parcel->chunk.item[i];
        fill_contribution(item, &outlet->removal[i], i);
        item->known = item->now;
        item->now = (struct tkr_record){0};
    }
}

/*
 * Grows from chunk to chunk, over restarts too, whatever the wall clock does and the sink loses: a number that the sink was left with
 * by one past is never that of another, nor above one that it was given later.
 */
static uint64_t next_seen(const struct tkr_parcel *parcel)
{
    struct tkr_outlet *outlet = parcel->outlet;
    uint64_t above = (uint64_t)tkr_clock_unix_ns() - 1;

    for (uint32_t i = 0; i < parcel->chunk.count; i++) {
        uint64_t life = parcel->chunk.item[i].now.life;
        if (life > above && life < TKR_LIFE_TIMED_END)
            above = life;
    }
    outlet->seen_sent = (above > outlet->seen_sent ? above : outlet->seen_sent) + 1;
    atomic_store_explicit(&outlet->shard->header->sent, outlet->seen_sent,
                          memory_order_release); /* before it is sent, for a kill */
    return outlet->seen_sent;
}

void tkr_parcel_number(struct tkr_parcel *parcel)
{
    struct tkr_outlet *outlet = parcel->outlet;
    struct tkr_chunk *chunk = &parcel->chunk;

    memcpy(chunk->source, outlet->source, sizeof(chunk->source));
    chunk->seen_expected = outlet->seen_expected;
    chunk->seen_next = chunk->seen_expected;
    outlet->probe = false; /* every chunk is one */
    if (parcel->purpose == TKR_PARCEL_SCRUB || (chunk->count == 0 && !outlet->announce))
        return;
    outlet->seen_expected = chunk->seen_next = next_seen(parcel);
    outlet->announce = false;
}

void tkr_parcel_requeue(struct tkr_parcel *parcel)
{
    for (uint32_t i = 0; parcel->purpose == TKR_PARCEL_QUEUED && i < parcel->chunk.count; i++) {
        if (!tkr_outlet_push(&parcel->outlet->queue, parcel->origin[i]))
            tkr_outlet_unmark(parcel->outlet, parcel->origin[i].reference); /* comes back with its next change */
    }
    parcel->in_flight = false;
}
