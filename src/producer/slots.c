/* SPDX-License-Identifier: Apache-2.0 */
/* Free slots: a stack of numbers (Treiber), the count of changes in the upper half against ABA. */
#include "producer/slots.h"

#include <sys/mman.h>

#include "producer/producer.h"

#define SLOT_MASK UINT64_C(0xffffffff)

int tkr_slots_map(struct tkr_live *live, uint32_t slots_max)
{
    size_t bytes = slots_max * sizeof(*live->next_slot);
    void *links = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (links == MAP_FAILED)
        return TKR_ENOMEM;
    (void)madvise(links, bytes, MADV_DONTFORK); /* a child has links of its own */
    live->next_slot = links;
    return TKR_OK;
}

void tkr_slots_unmap(struct tkr_live *live, uint32_t slots_max)
{
    (void)munmap((void *)(uintptr_t)live->next_slot, slots_max * sizeof(*live->next_slot));
}

static bool slot_pop(struct tkr_live *live, uint32_t *ret_slot)
{
    uint64_t head = atomic_load_explicit(&live->free_slots, memory_order_acquire); /* link after head */
    uint64_t next;

    do {
        if ((head & SLOT_MASK) == 0)
            return false;
        *ret_slot = (uint32_t)(head & SLOT_MASK) - 1;
        next = atomic_load_explicit(&live->next_slot[*ret_slot], memory_order_relaxed);
        next |= ((head >> 32) + 1) << 32;
    } while (!atomic_compare_exchange_weak_explicit(&live->free_slots, &head, next, memory_order_acquire, memory_order_acquire));
    return true;
}

/* Pushes the numbers first..last as one chain, first on top. */
static void slot_push(struct tkr_live *live, uint32_t first, uint32_t last)
{
    uint64_t head = atomic_load_explicit(&live->free_slots, memory_order_relaxed);
    uint64_t next;

    do {
        atomic_store_explicit(&live->next_slot[last], (uint32_t)(head & SLOT_MASK), memory_order_relaxed);
        next = ((head >> 32) + 1) << 32 | (first + 1);
    } while (!atomic_compare_exchange_weak_explicit(&live->free_slots, &head, next, memory_order_release,
                                                    memory_order_relaxed)); /* link before head */
}

int tkr_slot_take_any(struct tkr_producer *producer, uint32_t *ret_slot)
{
    struct tkr_live *live = producer->live;
    uint32_t count = 0;
    uint32_t before;
    int result = TKR_OK;

    if (__builtin_expect(slot_pop(live, ret_slot), 1))
        return TKR_OK;
    (void)pthread_mutex_lock(&live->mutex);
    if (!slot_pop(live, ret_slot)) { /* nobody was faster */
        before = (uint32_t)atomic_load_explicit(&producer->region.header->slot_count, memory_order_relaxed);
        result = tkr_region_slots_add(&producer->region, &count);
        if (result == TKR_OK) {
            *ret_slot = before;
            for (uint32_t i = before + 1; i + 1 < count; i++)
                atomic_store_explicit(&live->next_slot[i], i + 2, memory_order_relaxed);
            if (before + 1 < count)
                slot_push(live, before + 1, count - 1);
        }
    }
    (void)pthread_mutex_unlock(&live->mutex);
    return result;
}

void tkr_slot_give_any(struct tkr_producer *producer, uint32_t slot)
{
    slot_push(producer->live, slot, slot);
}

void tkr_slot_give_kept(struct tkr_producer *producer, struct tkr_channel *channel)
{
    if (channel->slot != 0)
        tkr_slot_give_any(producer, channel->slot - 1);
    channel->slot = 0;
}
