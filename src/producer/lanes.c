/* SPDX-License-Identifier: Apache-2.0 */
#include "producer/lanes.h"

#include "producer/producer.h"

bool tkr_lanes_left_drained(struct tkr_channel *channel)
{
    uint32_t kept = 0;

    if (__builtin_expect(channel->left == 0, 1))
        return true;
    if (channel->left > TKR_LANES_LEFT_MAX)
        return false;
    for (uint32_t i = 0; i < channel->left; i++) {
        const struct tkr_lane_left *left = &channel->left_lane[i];
        if (atomic_load_explicit(&left->lane->free, memory_order_acquire) < left->head) /* a position: it only grows */
            channel->left_lane[kept++] = *left;
    }
    channel->left = kept;
    return kept == 0;
}

static void note_left(struct tkr_channel *channel)
{
    (void)tkr_lanes_left_drained(channel); /* there is more room then */
    if (channel->left < TKR_LANES_LEFT_MAX)
        channel->left_lane[channel->left] = (struct tkr_lane_left){channel->writer.lane, channel->writer.head};
    channel->left += channel->left <= TKR_LANES_LEFT_MAX;
}

void tkr_lane_attach(struct tkr_producer *producer, struct tkr_channel *channel, uint32_t lane)
{
    if (channel->taken) {
        note_left(channel);
        producer->live->lane_taken[channel->lane] = false; /* drained by the collector, then free for anyone */
    }
    producer->live->lane_taken[lane] = true;
    channel->lane = lane;
    tkr_lane_writer_attach(&channel->writer, &producer->region.lanes[lane], tkr_region_lane_data(&producer->region, lane));
}

/* The lane that nobody has with the most room, if it has at least room_min bytes. */
static bool lane_find(struct tkr_producer *producer, uint64_t room_min, uint32_t *ret_lane)
{
    uint32_t count = (uint32_t)atomic_load_explicit(&producer->region.header->lane_count, memory_order_relaxed);
    uint64_t room_best = room_min - 1;

    for (uint32_t i = 0; i < count; i++) {
        struct tkr_lane_writer probe;
        if (producer->live->lane_taken[i])
            continue;
        tkr_lane_writer_attach(&probe, &producer->region.lanes[i], NULL);
        if (tkr_lane_room(&probe) > room_best) {
            room_best = tkr_lane_room(&probe);
            *ret_lane = i;
        }
    }
    return room_best >= room_min;
}

/* A new lane of about the bytes wanted: halved until the budget and the tmpfs have room. The last one is kept for threads to
 * share. */
static int lane_make(struct tkr_producer *producer, uint64_t bytes, bool to_share, uint32_t *ret_lane)
{
    uint64_t count = atomic_load_explicit(&producer->region.header->lane_count, memory_order_relaxed);
    uint64_t bytes_min = producer->geometry.lane_bytes;
    int result;

    if (count == TKR_REGION_LANES_MAX - 1 && !to_share)
        return TKR_EFULL;
    if (bytes > TKR_LANE_BYTES_MAX)
        bytes = TKR_LANE_BYTES_MAX;
    while (bytes > tkr_region_budget(&producer->region) && bytes > bytes_min)
        bytes /= 2;
    do {
        result = tkr_region_lane_add(&producer->region, bytes, ret_lane);
        bytes /= 2;
    } while (result == TKR_ENOSPC && bytes >= bytes_min);
    return result;
}

int tkr_lane_obtain(struct tkr_producer *producer, uint64_t room_min, uint64_t bytes_new, bool to_share, uint32_t *ret_lane)
{
    int result;

    if (lane_find(producer, room_min, ret_lane))
        return TKR_OK;
    result = lane_make(producer, bytes_new, to_share, ret_lane);
    if (result != TKR_OK && lane_find(producer, 2 * TKR_FRAME_PAIR_BYTES_MAX, ret_lane))
        result = TKR_OK;
    return result;
}

bool tkr_lane_to_spare(const struct tkr_producer *producer)
{
    uint64_t count = atomic_load_explicit(&producer->region.header->lane_count, memory_order_relaxed);
    uint64_t lanes = tkr_region_budget(&producer->region) / producer->geometry.lane_bytes;

    if (lanes > TKR_REGION_LANES_MAX - count)
        lanes = TKR_REGION_LANES_MAX - count;
    for (uint32_t i = 0; i < count; i++)
        lanes += !producer->live->lane_taken[i];
    return lanes > 1;
}

/*
 * Twice the size: a backlog of any length takes a number of lanes that is its logarithm, what lies in smaller lanes is never
 * more than the newest one holds, and moving costs a vanishing share of the calls. And so much that the budget is used up
 * before the numbers of lanes are.
 */
uint64_t tkr_lane_bytes_next(const struct tkr_producer *producer, const struct tkr_channel *channel)
{
    uint64_t bytes = 2 * (channel->writer.mask + 1);
    uint64_t count = atomic_load_explicit(&producer->region.header->lane_count, memory_order_relaxed);
    uint64_t share = tkr_region_budget(&producer->region) / (TKR_REGION_LANES_MAX + 1 - count);

    while (bytes < share)
        bytes *= 2;
    return bytes;
}
