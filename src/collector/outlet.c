/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/outlet.h"

#include <stdlib.h>
#include <string.h>

#include "sink/holdings.h"

void tkr_outlet_open(struct tkr_outlet *outlet, struct tkr_shard *shard)
{
    const struct tkr_shard_header *header = shard->header;
    uint64_t sent = atomic_load_explicit(&header->sent, memory_order_relaxed); /* the flusher's own words */

    outlet->shard = shard;
    tkr_source_name(header->name, header->number, outlet->source);
    outlet->seen_expected = atomic_load_explicit(&header->seen, memory_order_relaxed);
    outlet->seen_sent = sent > outlet->seen_expected ? sent : outlet->seen_expected;
}

static bool queue_room(struct tkr_outlet_queue *queue, size_t more)
{
    size_t max;
    struct tkr_outlet_item *item;

    if (queue->first > 0 && queue->first >= queue->count / 2) { /* move down: each item moves once or twice in all */
        memmove(queue->item, queue->item + queue->first, (queue->count - queue->first) * sizeof(*item));
        queue->count -= queue->first;
        queue->first = 0;
    }
    if (queue->max - queue->count >= more)
        return true;
    max = 2 * (queue->count + more);
    item = realloc(queue->item, max * sizeof(*item));
    if (item == NULL)
        return false;
    queue->item = item;
    queue->max = max;
    return true;
}

bool tkr_outlet_push(struct tkr_outlet_queue *queue, struct tkr_outlet_item item)
{
    if (!queue_room(queue, 1))
        return false;
    queue->item[queue->count++] = item;
    return true;
}

static bool bits_room(struct tkr_outlet *outlet, uint32_t reference)
{
    size_t bytes = (size_t)reference / 8 + 1;
    uint8_t *more;

    if (bytes <= outlet->queued_bytes)
        return true;
    more = realloc(outlet->queued, 2 * bytes);
    if (more == NULL)
        return false;
    memset(more + outlet->queued_bytes, 0, 2 * bytes - outlet->queued_bytes);
    outlet->queued = more;
    outlet->queued_bytes = 2 * bytes;
    return true;
}

bool tkr_outlet_has(const struct tkr_outlet *outlet, uint32_t reference)
{
    return reference / 8 < outlet->queued_bytes && (outlet->queued[reference / 8] >> reference % 8 & 1) != 0;
}

bool tkr_outlet_mark(struct tkr_outlet *outlet, uint32_t reference)
{
    if (!bits_room(outlet, reference))
        return false;
    outlet->queued[reference / 8] |= (uint8_t)(1u << reference % 8);
    return true;
}

void tkr_outlet_unmark(struct tkr_outlet *outlet, uint32_t reference)
{
    if (reference / 8 < outlet->queued_bytes)
        outlet->queued[reference / 8] &= (uint8_t)(0xffu ^ 1u << reference % 8);
}

void tkr_outlet_enqueue(struct tkr_outlet *outlet, struct tkr_changed *list)
{
    if (!queue_room(&outlet->queue, list->count))
        goto later;
    for (size_t i = 0; i < list->count; i++) {
        uint32_t reference = list->reference[i];
        if (tkr_outlet_has(outlet, reference))
            continue;
        if (!tkr_outlet_mark(outlet, reference))
            goto later; /* the marks make the second try skip what is queued */
        (void)tkr_outlet_push(&outlet->queue, (struct tkr_outlet_item){.reference = reference}); /* has room */
    }
    outlet->taken = NULL;
    tkr_shard_changed_return(outlet->shard, list);
    return;

later:
    outlet->taken = list;
}

void tkr_outlet_unpark(struct tkr_outlet *outlet, int64_t now_ns, size_t max)
{
    struct tkr_outlet_queue *parked = &outlet->parked;

    for (; max > 0 && !tkr_outlet_queue_empty(parked) && parked->item[parked->first].not_before_ns <= now_ns; max--) {
        if (!tkr_outlet_push(&outlet->queue, parked->item[parked->first]))
            return; /* no memory: the next time */
        parked->first++;
    }
}

static uint64_t get(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed); /* the flusher's own words */
}

void tkr_outlet_recheck_begin(struct tkr_outlet *outlet, uint64_t seen_found)
{
    struct tkr_shard_header *header = outlet->shard->header;
    /* Entries below are whole and committed. Those of the batch under way might be taken back, and would then be counted. */
    uint64_t end = atomic_load_explicit(&header->arena_committed, memory_order_acquire);

    outlet->healed = 0;
    outlet->rechecks++;
    outlet->awaiting = 0; /* those are compared, too */
    /* Of two in a row, the later: what came back in between may have been in a chunk behind the earlier one. 0 first: it tells
     * nothing of entries that are still to be compared with an earlier number, should we die before the end of this. */
    atomic_store_explicit(&header->recheck_seen, 0, memory_order_relaxed);
    atomic_store_explicit(&header->recheck_at, 0, memory_order_release);
    atomic_store_explicit(&header->recheck_end, end, memory_order_release); /* before header->seen, for a kill */
    atomic_store_explicit(&header->recheck_seen, seen_found, memory_order_release);
}

bool tkr_outlet_rechecking(const struct tkr_outlet *outlet)
{
    return get(&outlet->shard->header->recheck_at) < get(&outlet->shard->header->recheck_end);
}

bool tkr_outlet_unchecked(const struct tkr_outlet *outlet, uint32_t reference)
{
    uint64_t at = (uint64_t)(reference - 1) * TKR_ENTRY_UNIT;

    return at >= get(&outlet->shard->header->recheck_at) && at < get(&outlet->shard->header->recheck_end);
}

uint32_t tkr_outlet_recheck_next(const struct tkr_outlet *outlet, uint32_t max, struct tkr_outlet_item *ret_items,
                                 uint64_t *ret_next)
{
    const struct tkr_shard_header *header = outlet->shard->header;
    uint64_t at = get(&header->recheck_at);
    uint64_t end = get(&header->recheck_end);
    uint32_t count = 0;

    while (at < end && count < max) {
        uint32_t reference = (uint32_t)(at / TKR_ENTRY_UNIT) + 1;
        const struct tkr_entry *entry = tkr_shard_entry(outlet->shard, reference);
        uint64_t bytes = tkr_entry_size(entry);
        if (bytes == 0)
            break; /* damaged: no kill leaves this */
        ret_items[count++] = (struct tkr_outlet_item){.reference = reference};
        at += bytes;
    }
    *ret_next = count < max ? end : at;
    return count;
}

void tkr_outlet_recheck_advance(struct tkr_outlet *outlet, uint64_t next)
{
    atomic_store_explicit(&outlet->shard->header->recheck_at, next, memory_order_relaxed);
    if (!tkr_outlet_rechecking(outlet))
        outlet->awaiting = 0;
}

static bool is_acknowledged(const struct tkr_entry_copy *copy)
{
    return copy->life != 0 && copy->known_life == copy->life && memcmp(&copy->known, &copy->counts, sizeof(copy->known)) == 0;
}

uint32_t tkr_outlet_scrub_next(struct tkr_outlet *outlet, uint32_t max, struct tkr_outlet_item *ret_items,
                               struct tkr_entry_copy *ret_copies)
{
    const struct tkr_shard_header *header = outlet->shard->header;
    uint64_t used = atomic_load_explicit(&header->arena_committed, memory_order_acquire); /* table/layout.h, I5 */
    uint64_t at = outlet->scrub_at;
    uint32_t count = 0;

    while (at < used && count < max) {
        uint32_t reference = (uint32_t)(at / TKR_ENTRY_UNIT) + 1;
        const struct tkr_entry *entry = tkr_shard_entry(outlet->shard, reference);
        uint64_t bytes = tkr_entry_size(entry);
        if (bytes == 0)
            break; /* damaged: no kill leaves this */
        if (!tkr_outlet_has(outlet, reference) && !tkr_outlet_unchecked(outlet, reference) &&
            tkr_entry_copy_read(header, entry, &ret_copies[count]) && is_acknowledged(&ret_copies[count]))
            ret_items[count++] = (struct tkr_outlet_item){.reference = reference};
        at += bytes;
    }
    outlet->scrub_at = count > 0 ? at : 0;
    return count;
}

bool tkr_outlet_add(struct tkr_outlet *outlet, struct tkr_outlet_queue *queue, struct tkr_outlet_item item)
{
    if (tkr_outlet_has(outlet, item.reference))
        return true;
    if (!tkr_outlet_mark(outlet, item.reference))
        return false;
    if (tkr_outlet_push(queue, item))
        return true;
    tkr_outlet_unmark(outlet, item.reference);
    return false;
}

uint64_t tkr_outlet_left(const struct tkr_outlet *outlet)
{
    uint64_t queued = outlet->queue.count - outlet->queue.first;

    return queued + tkr_outlet_parked(outlet) + outlet->awaiting + outlet->life_count +
           (outlet->taken != NULL ? outlet->taken->count : 0);
}

void tkr_outlet_close(struct tkr_outlet *outlet)
{
    free(outlet->queue.item);
    free(outlet->parked.item);
    free(outlet->queued);
}
