/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/forget.h"

#include <string.h>

#define MARKS_IN_TIME 60u              /* marks made while an entry grows old enough; fewer than TKR_MARKS */
#define LOOK_BYTES (UINT64_C(1) << 20) /* of the arena at a time */
_Static_assert(MARKS_IN_TIME < TKR_MARKS, "the mark that is old enough is still there");

static uint64_t get(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed); /* the flusher's own words */
}

void tkr_forget_mark(struct tkr_outlet *outlet, uint64_t now_s, uint64_t after_s)
{
    struct tkr_shard_header *header = outlet->shard->header;
    uint64_t marks = get(&header->marks);
    uint64_t last_s = marks > 0 ? get(&header->mark_boot_s[(marks - 1) % TKR_MARKS]) : 0;
    uint64_t apart_s = after_s / MARKS_IN_TIME > 0 ? after_s / MARKS_IN_TIME : 1;

    if (marks > 0 && now_s < last_s + apart_s && now_s >= last_s)
        return;
    /* A later batch than the time says only makes entries look younger than they are. */
    atomic_store_explicit(&header->mark_batch[marks % TKR_MARKS], atomic_load_explicit(&header->committed, memory_order_acquire),
                          memory_order_relaxed);
    atomic_store_explicit(&header->mark_boot_s[marks % TKR_MARKS], now_s, memory_order_relaxed);
    atomic_store_explicit(&header->marks, marks + 1, memory_order_release); /* the mark before its number, for a kill */
}

/* The highest stamp that is old enough; 0: none is. */
static uint64_t stamp_old(const struct tkr_outlet *outlet, uint64_t now_s, uint64_t after_s)
{
    const struct tkr_shard_header *header = outlet->shard->header;
    uint64_t marks = get(&header->marks);
    uint64_t oldest = marks > TKR_MARKS ? marks - TKR_MARKS : 0;

    for (uint64_t i = marks; i > oldest; i--) {
        if (get(&header->mark_boot_s[(i - 1) % TKR_MARKS]) + after_s <= now_s)
            return get(&header->mark_batch[(i - 1) % TKR_MARKS]);
    }
    return 0;
}

static void request_lives(struct tkr_outlet *outlet)
{
    struct tkr_shard *shard = outlet->shard;

    memcpy(shard->request, outlet->lives, outlet->life_count * sizeof(shard->request[0]));
    shard->request_count = outlet->life_count;
    outlet->life_count = 0;
}

/* Is this one to forget, as far as can be seen from here? The worker looks again. */
static bool is_idle(const struct tkr_outlet *outlet, uint32_t reference, uint64_t stamp_max, struct tkr_entry_copy *ret_copy)
{
    return !tkr_outlet_has(outlet, reference) && !tkr_outlet_unchecked(outlet, reference) &&
           tkr_entry_copy_read(outlet->shard->header, tkr_shard_entry(outlet->shard, reference), ret_copy) &&
           ret_copy->life != 0 && ret_copy->stamp <= stamp_max && ret_copy->known_life == ret_copy->life &&
           memcmp(&ret_copy->known, &ret_copy->counts, sizeof(ret_copy->known)) == 0;
}

static void request_idle(struct tkr_outlet *outlet, uint64_t stamp_max)
{
    struct tkr_shard *shard = outlet->shard;
    uint64_t used = atomic_load_explicit(&shard->header->arena_committed, memory_order_acquire); /* table/layout.h, I5 */
    uint64_t at = outlet->forget_at < used ? outlet->forget_at : 0;
    uint64_t end = at + LOOK_BYTES < used ? at + LOOK_BYTES : used;

    while (at < end && shard->request_count < TKR_REQUESTS_MAX) {
        uint32_t reference = (uint32_t)(at / TKR_ENTRY_UNIT) + 1;
        uint64_t bytes = tkr_entry_size(tkr_shard_entry(shard, reference));
        struct tkr_entry_copy *copy = &outlet->removal[shard->request_count];
        if (is_idle(outlet, reference, stamp_max, copy))
            shard->request[shard->request_count++] = (struct tkr_request){
                .kind = TKR_REQUEST_FORGET, .reference = reference, .life = copy->life, .stamp_max = stamp_max};
        if (bytes == 0)
            break; /* damaged: no kill leaves this */
        at += bytes;
    }
    outlet->forget_at = at;
}

void tkr_forget_request(struct tkr_outlet *outlet, uint64_t now_s, uint64_t after_s)
{
    uint64_t stamp_max = after_s > 0 ? stamp_old(outlet, now_s, after_s) : 0;

    request_lives(outlet);
    if (outlet->removal_count == 0 && stamp_max > 0 && outlet->shard->request_count == 0)
        request_idle(outlet, stamp_max);
}

void tkr_forget_take(struct tkr_outlet *outlet)
{
    struct tkr_shard *shard = outlet->shard;

    for (uint32_t i = 0; i < shard->request_count; i++) {
        const struct tkr_request *request = &shard->request[i];
        if (request->kind == TKR_REQUEST_RELIVE) {
            tkr_outlet_unmark(outlet, request->reference);
            (void)tkr_outlet_add(outlet, &outlet->queue, (struct tkr_outlet_item){.reference = request->reference});
        } else if (request->done) {
            outlet->removal[outlet->removal_count++] = outlet->removal[i]; /* i is never below */
        }
    }
    shard->request_count = 0;
}

bool tkr_forget_relive(struct tkr_outlet *outlet, uint32_t reference, uint64_t life, uint64_t life_above)
{
    if (outlet->life_count == TKR_REQUESTS_MAX || life_above >= INT64_MAX || !tkr_outlet_mark(outlet, reference))
        return false;
    outlet->lives[outlet->life_count++] =
        (struct tkr_request){.kind = TKR_REQUEST_RELIVE, .reference = reference, .life = life, .life_above = life_above};
    return true;
}
