/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region: the one file of a producer process, as it lies in the runtime directory. Drawn before any code.
 *
 *   offset
 *        0   header, 4096 bytes: identity and geometry (constant once magic is there), lane and slot counts, law counters
 *     4096   lane directory: lanes_max x 256 bytes (ring/lane.h)
 *   slots    open-call slots: slots_max x 1536 bytes (region/call.h)
 *   data     lanes' data, in the order of their creation
 *
 * Name: "region-" and 32 hex digits, the region's id. While it is made: ".region-" and the same digits.
 * Lock: the owner holds an OFD write lock on byte 0 through its mapping; the kernel drops it when the process ends. A file
 * whose lock is free is that of a dead process.
 * Memory: the file has its full size from the start, but pages are allocated (MADV_POPULATE_WRITE, where the kernel lacks it
 * fallocate) before they are first touched, in this order: header and directory, first lane; slots and further lanes when they
 * are first handed out. So a full tmpfs is an error code, never a SIGBUS. They are small pages (MADV_NOHUGEPAGE), whatever the
 * tmpfs gives others: of a region little is used, here and there.
 *
 * The moments of its making, each of which a kill may leave:
 *   .region-X absent | empty, not locked | empty, locked | sized, not initialised | initialised, magic unset |
 *   magic set, not renamed | region-X
 * All but the last are swept away by the collector once their lock is free and they are old.
 *
 * Its end: what is in it is counted or dropped and the shard says so; magic is stored over; the file is unlinked. So what somebody
 * had linked or moved elsewhere is as dead, and what was copied is known by its inode.
 *
 * Versions: a minor adds what who does not know it may pass over: frames of further types, header fields that were 0, values.
 * What changes anything else is a new major. A collector reads regions of its own major and of the one before, and leaves others
 * alone, whose frames stay for a collector that knows them.
 */
#ifndef TKR_REGION_LAYOUT_H
#define TKR_REGION_LAYOUT_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/drops.h"
#include "base/errors.h"
#include "base/host.h"
#include "event/frame.h"
#include "ring/lane.h"

_Static_assert(TKR_FRAME_PAIR_BYTES_MAX <= TKR_LANE_BYTES_MIN / 8, "frames that are put at once are at most an eighth of a lane");
_Static_assert((int)TKR_FRAME_PADDING == TKR_LANE_PADDING && TKR_FRAME_ALIGN == TKR_LANE_ALIGN &&
                   offsetof(struct tkr_frame_header, bytes) == 0 && offsetof(struct tkr_frame_header, type) == 4,
               "lanes and frames mean the same by padding");

#define TKR_REGION_MAGIC UINT64_C(0x314e4f4947455254)         /* "TREGION1" */
#define TKR_REGION_MAGIC_RETIRED UINT64_C(0x314552494f474552) /* all of it is counted: nothing is ever read from it again */
#define TKR_REGION_MAJOR 2u                                   /* 2: increments, which a collector must not pass over */
#define TKR_REGION_MINOR 3u                                   /* 2.1: watches, and what a call holds; 2.2: what handlers take; */
/* 2.3: told times that make no sense; when a call began; releases */
#define TKR_REGION_MAJOR_OLDEST 1u /* that is still read: the previous, once there is one */
#define TKR_REGION_PREFIX "region-"
#define TKR_REGION_PREFIX_NEW ".region-"
#define TKR_REGION_ID_BYTES 16
#define TKR_REGION_NAME_BYTES (sizeof(TKR_REGION_PREFIX_NEW) + 2 * (size_t)TKR_REGION_ID_BYTES)
#define TKR_REGION_HEADER_BYTES 4096u
#define TKR_REGION_LANES_MAX 256u
#define TKR_REGION_SLOTS_MAX 1000000u
#define TKR_REGION_BYTES_MAX (UINT64_C(1) << 40)
#define TKR_REFUSED_MAX 32   /* room for result codes to grow */
#define TKR_SPENT_BUCKETS 14 /* region/spent.h */
_Static_assert(TKR_RESULT_COUNT <= TKR_REFUSED_MAX, "the header has room for 32 result codes");

struct tkr_region_header {
    _Atomic uint64_t magic; /* stored last (release) before the rename */
    uint32_t major;
    uint32_t minor;
    uint8_t boot_id[TKR_BOOT_ID_BYTES];
    uint8_t id[TKR_REGION_ID_BYTES];
    uint64_t bytes; /* of the file */
    uint64_t slots_offset;
    uint64_t data_offset;
    uint32_t lanes_max;
    uint32_t slots_max;
    uint32_t slot_bytes;
    uint32_t pid; /* for people; never used to judge whether the owner lives */
    int64_t created_ns;
    char command[16];
    uint64_t inode; /* of this file: a copy, put back when this one has been counted, would be counted again. 0: minor 0 */

    /* The producer's, each only grows. */
    alignas(TKR_LINE_SEPARATION) _Atomic uint64_t lane_count; /* lanes whose geometry is valid (release) */
    _Atomic uint64_t slot_count;                              /* slots whose memory is allocated (release) */
    _Atomic uint64_t dropped[TKR_DROP_MAX];                   /* calls, by cause */
    _Atomic uint64_t refused[TKR_REFUSED_MAX];                /* calls of the API answered with -code */
    _Atomic uint64_t spent_ns;                                /* in callback handlers, */
    _Atomic uint64_t spent[TKR_SPENT_BUCKETS];                /* and their events by how long they took; 0: minor 0, 1 */
    _Atomic uint64_t bad_times;                               /* calls whose told times made no duration; 0: minor 0 to 2 */

    /* The collector's. */
    alignas(TKR_LINE_SEPARATION) _Atomic int64_t collector_seen_ns; /* CLOCK_MONOTONIC; 0: never */
};
_Static_assert(sizeof(struct tkr_region_header) <= TKR_REGION_HEADER_BYTES, "the header fits its page");

#endif
