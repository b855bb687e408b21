/* SPDX-License-Identifier: Apache-2.0 */
/* What a process can ask about itself: waiting until all is counted, and the law's numbers. */
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "producer/producer.h"

#define POLL_NS (500 * TKR_NS_PER_US)
#define STAT_SIZE_MIN (2 * sizeof(uint32_t))

/* Where each lane stood when tkr_sync was called, and how many have not been counted so far since. */
struct targets {
    uint32_t count;
    uint64_t head[TKR_REGION_LANES_MAX];
};

static bool reached(const struct tkr_region *region, const struct targets *targets)
{
    for (uint32_t i = 0; i < targets->count; i++) {
        if (atomic_load_explicit(&region->lanes[i].free, memory_order_acquire) < targets->head[i])
            return false;
    }
    return true;
}

int tkr_sync(tkr_producer *producer, uint32_t timeout_ms)
{
    const struct timespec pause = {.tv_nsec = POLL_NS};
    struct targets targets;
    int64_t deadline;
    int result;

    if (producer == NULL)
        return TKR_EINVAL;
    result = tkr_producer_ready(producer);
    if (result != TKR_OK)
        return result;
    deadline = tkr_clock_monotonic_ns() + (int64_t)timeout_ms * TKR_NS_PER_MS;
    targets.count = (uint32_t)atomic_load_explicit(&producer->region.header->lane_count, memory_order_acquire);
    for (uint32_t i = 0; i < targets.count; i++)
        targets.head[i] = atomic_load_explicit(&producer->region.lanes[i].head, memory_order_acquire);
    while (!reached(&producer->region, &targets)) {
        if (tkr_clock_monotonic_ns() >= deadline)
            return tkr_producer_refuse(producer, TKR_ETIMEOUT);
        (void)nanosleep(&pause, NULL);
    }
    return TKR_OK;
}

static void sum_lanes(const struct tkr_region *region, tkr_stat *ret_stat)
{
    ret_stat->lanes = (uint32_t)atomic_load_explicit(&region->header->lane_count, memory_order_acquire);
    for (uint32_t i = 0; i < ret_stat->lanes; i++) {
        uint64_t counted = atomic_load_explicit(&region->lanes[i].counted, memory_order_acquire); /* before sequence */
        uint64_t sequence = atomic_load_explicit(&region->lanes[i].sequence, memory_order_relaxed);
        ret_stat->offered += sequence;
        ret_stat->in_lanes += sequence > counted ? sequence - counted : 0;
    }
}

static void sum_counters(const struct tkr_region *region, tkr_stat *ret_stat)
{
    for (int i = 0; i < TKR_DROP_MAX; i++)
        ret_stat->dropped += atomic_load_explicit(&region->header->dropped[i], memory_order_relaxed);
    for (int i = 0; i < TKR_REFUSED_MAX; i++)
        ret_stat->refused += atomic_load_explicit(&region->header->refused[i], memory_order_relaxed);
    ret_stat->offered += ret_stat->dropped;
}

int tkr_stat_read(tkr_producer *producer, tkr_stat *ret_stat)
{
    tkr_stat stat = TKR_STAT_INIT;
    uint64_t slots;
    int64_t seen;
    int result;

    if (producer == NULL)
        return TKR_EINVAL;
    result = tkr_producer_ready(producer);
    if (result != TKR_OK)
        return result;
    if (ret_stat == NULL)
        return tkr_producer_refuse(producer, TKR_EINVAL);
    if (ret_stat->size < STAT_SIZE_MIN || ret_stat->size > 4096)
        return tkr_producer_refuse(producer, TKR_ESIZE);
    sum_lanes(&producer->region, &stat);
    sum_counters(&producer->region, &stat);
    slots = atomic_load_explicit(&producer->region.header->slot_count, memory_order_acquire);
    for (uint64_t i = 0; i < slots; i++)
        stat.open_calls += tkr_call_slot_open(&producer->region.slots[i]);
    seen = atomic_load_explicit(&producer->region.header->collector_seen_ns, memory_order_relaxed);
    stat.collector_age_ns = seen == 0 ? TKR_ABSENT : tkr_clock_monotonic_ns() - seen;
    stat.size = ret_stat->size; /* the caller's size says how much it has room for */
    memcpy(ret_stat, &stat, ret_stat->size < sizeof(stat) ? ret_stat->size : sizeof(stat));
    return TKR_OK;
}
