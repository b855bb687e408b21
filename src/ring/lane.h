/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane: a single-producer single-consumer ring of frames over borrowed memory. No malloc, no system call, no lock.
 * The two sides are usually two processes.
 *
 *        free                         head                    positions are byte counts that only grow, 64 bits:
 *          v                            v                     they never reset and never wrap
 *    ------[ frame | frame | pad | frame ]---------->         byte of position p: data[p & (capacity - 1)]
 *
 * Who writes what
 *   head, sequence       the producer alone
 *   free                 the consumer alone
 *   offset, capacity     the producer, before the lane is told to anyone; constant after
 *   data                 the producer, in [head, free + capacity) only
 *
 * Invariants
 *   I1  free <= head <= free + capacity, all multiples of 8.
 *   I2  Bytes in [free, head) are whole frames and do not change while they are there.
 *   I3  No frame crosses the end of the data: what is left there is one padding frame. Of frames a lane knows only this:
 *       bytes 0..1 are the length, a multiple of 8, and byte 4 is TKR_LANE_PADDING in padding and something else otherwise.
 *   I4  Frames are numbered 1, 2, 3, ... by their sequence, padding not counted, so that the last frame before head tells
 *       how many were ever published.
 *
 * Barrier pairs
 *   P1  head: payload before head. The release store of head pairs with the consumer's acquire load; without it the
 *       consumer would read stale bytes of the round before.
 *   P2  free: reads before free. The release store of free (after the consumer has copied and committed) pairs with the
 *       producer's acquire load in tkr_lane_reserve; without it the producer would overwrite bytes still being read.
 *
 * What a kill leaves: a producer killed before its store of head leaves bytes beyond head, which nobody reads and the next
 * owner overwrites; killed after it, a whole frame. There is nothing to repair. `sequence` is stored before head and so may
 * be one ahead of the last frame after a kill: it is a hint for the living, the frames tell the truth (I4).
 *
 * Rejected: reserve-then-commit rings shared by all producers (a death in between wedges them); a length word set last in
 * each frame instead of head (the consumer must then zero what it read, a second write to every line).
 */
#ifndef TKR_RING_LANE_H
#define TKR_RING_LANE_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/crash.h"

#define TKR_LANE_BYTES_MIN (UINT64_C(16) << 10)
#define TKR_LANE_BYTES_MAX (UINT64_C(64) << 20)
#define TKR_LANE_ALIGN 8u
#define TKR_LANE_PADDING 1      /* byte 4 of a frame that only fills the end of the data */
#define TKR_LINE_SEPARATION 128 /* adjacent-line prefetch pairs 64-byte lines */

/* What both sides see; 256 bytes, in the region's lane directory. */
struct tkr_lane {
    alignas(TKR_LINE_SEPARATION) _Atomic uint64_t head;
    _Atomic uint64_t sequence; /* of the last frame; a hint */
    uint64_t offset;           /* of the data, bytes from the region's begin */
    uint64_t capacity;         /* bytes of the data, a power of two */
    alignas(TKR_LINE_SEPARATION) _Atomic uint64_t free;
    _Atomic uint64_t counted; /* sequence of the last frame before free; a hint for the producer's own figures */
};
_Static_assert(sizeof(struct tkr_lane) == 2 * TKR_LINE_SEPARATION, "producer's and consumer's lines stay apart");

/* The producer's own copies; private to its process, one thread at a time. */
struct tkr_lane_writer {
    struct tkr_lane *lane;
    unsigned char *data;
    uint64_t mask;     /* capacity - 1 */
    uint64_t head;     /* equals lane->head */
    uint64_t limit;    /* frames may end up to here: the end of the data, or a past value of lane->free and its capacity */
    uint64_t sequence; /* of the last frame published */
    uint64_t pending;  /* head once the frame now reserved is published */
};

/* Takes up writing where the lane stands. data has lane->capacity bytes. */
void tkr_lane_writer_attach(struct tkr_lane_writer *writer, struct tkr_lane *lane, void *data);

/* The slow half of tkr_lane_reserve, once a round and when the lane seems full: looks at free, pads at the end of the data. */
void *tkr_lane_reserve_slow(struct tkr_lane_writer *writer, size_t bytes);

/* Is there room at the head for a frame of bytes, as far as is known without looking? */
static inline bool tkr_lane_has_room(const struct tkr_lane_writer *writer, size_t bytes)
{
    return writer->head + bytes <= writer->limit;
}

/*
 * Memory for a frame of bytes (a multiple of 8, at most capacity/8), aligned to 8; NULL when the lane is full.
 * Nothing is visible to the consumer until tkr_lane_publish; reserving again forgets the last reservation.
 * Wait-free: a few loads; one line of the consumer is read only when the lane seems full.
 */
static inline void *tkr_lane_reserve(struct tkr_lane_writer *writer, size_t bytes)
{
    if (!tkr_lane_has_room(writer, bytes))
        return tkr_lane_reserve_slow(writer, bytes);
    writer->pending = writer->head + bytes;
    return writer->data + (writer->head & writer->mask);
}

/* Publishes a frame that ends at head, of this sequence, which is writer->sequence + 1. */
static inline void tkr_lane_publish_to(struct tkr_lane_writer *writer, uint64_t head, uint64_t sequence)
{
    TKR_CRASH(FRAME_WRITTEN);
    writer->sequence = sequence;
    writer->head = head;
    atomic_store_explicit(&writer->lane->sequence, sequence, memory_order_relaxed); /* a hint */
    TKR_CRASH(FRAME_NUMBERED);
    /* Payload before head; pairs with the acquire of head in the consumer (P1). */
    atomic_store_explicit(&writer->lane->head, head, memory_order_release);
    TKR_CRASH(FRAME_PUBLISHED);
}

/* Publishes the frame reserved last, whose sequence is writer->sequence + 1. */
static inline void tkr_lane_publish(struct tkr_lane_writer *writer)
{
    tkr_lane_publish_to(writer, writer->pending, writer->sequence + 1);
}

/* Position behind the frame reserved last. */
static inline uint64_t tkr_lane_pending(const struct tkr_lane_writer *writer)
{
    return writer->pending;
}

/* Room for a new producer of frames: bytes free now. Reads the consumer's line. */
uint64_t tkr_lane_room(struct tkr_lane_writer *writer);

#endif
