/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/lane.h"

#include <string.h>

void tkr_lane_writer_attach(struct tkr_lane_writer *writer, struct tkr_lane *lane, void *data)
{
    writer->lane = lane;
    writer->data = data;
    writer->mask = lane->capacity - 1;
    writer->head = atomic_load_explicit(&lane->head, memory_order_relaxed); /* only producers wrote it: this process */
    writer->sequence = atomic_load_explicit(&lane->sequence, memory_order_relaxed);
    writer->limit = writer->head; /* the first reservation looks */
    writer->pending = writer->head;
}

uint64_t tkr_lane_room(struct tkr_lane_writer *writer)
{
    /* Overwriting comes after the consumer's reads; pairs with the release of free in the consumer (P2). */
    uint64_t used = writer->head - atomic_load_explicit(&writer->lane->free, memory_order_acquire);

    return used > writer->mask + 1 ? 0 : writer->mask + 1 - used; /* a consumer gone mad costs room, not memory */
}

static void put_padding(unsigned char *at, uint64_t bytes)
{
    unsigned char padding[TKR_LANE_ALIGN] = {[4] = TKR_LANE_PADDING};
    uint16_t length = (uint16_t)bytes; /* less than a frame, which has 16 bits for its length */

    memcpy(padding, &length, sizeof(length));
    memcpy(at, padding, sizeof(padding));
}

void *tkr_lane_reserve_slow(struct tkr_lane_writer *writer, size_t bytes)
{
    uint64_t capacity = writer->mask + 1;
    uint64_t room = tkr_lane_room(writer);
    uint64_t to_end = capacity - (writer->head & writer->mask);
    uint64_t padding = bytes > to_end ? to_end : 0;

    if (padding + bytes > room)
        return NULL;
    writer->limit = writer->head + (room < to_end ? room : to_end); /* of this round, also when this frame begins the next */
    if (padding > 0) /* published together with the frame behind it, by the same head (I3) */
        put_padding(writer->data + (writer->head & writer->mask), padding);
    writer->pending = writer->head + padding + bytes;
    return writer->data + ((writer->head + padding) & writer->mask);
}
