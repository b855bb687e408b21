/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region as its owner sees it: made, grown, closed. The layout and the moments of its making are in region/layout.h.
 *
 * Fork: the mapping is MADV_DONTFORK, so a child does not have it, and the lock, which lives as long as some mapping or
 * descriptor of the open file that took it, is not kept alive by a child: the descriptor that took the lock is closed as
 * soon as the mapping exists. What remains open is a second descriptor, without the lock, to allocate further memory; it
 * is checked against the file before each use, as a host may close or reuse numbers that it does not know.
 *
 * Threads: one at a time, except where said.
 */
#ifndef TKR_REGION_REGION_H
#define TKR_REGION_REGION_H

#include <sys/types.h>

#include "region/call.h"
#include "region/layout.h"

struct tkr_region {
    struct tkr_region_header *header; /* begin of the mapping; NULL: not open */
    struct tkr_lane *lanes;
    struct tkr_call_slot *slots;
    uint64_t mapped_bytes;
    uint64_t data_bytes; /* handed out to lanes */
    uint64_t data_bytes_max;
    uint16_t identity;      /* of handles; not 0; the producer's to set */
    uint64_t refused_bytes; /* so much could not be allocated last time; */
    int64_t retry_ns;       /* monotonic: nor is it asked for again before */
    int grow_fd;
    dev_t device;
    ino_t inode;
};

/* What a region is made with. */
struct tkr_region_geometry {
    uint32_t slots_max;      /* 1..TKR_REGION_SLOTS_MAX */
    uint64_t lane_bytes;     /* of the first lane; a power of two, TKR_LANE_BYTES_MIN..MAX */
    uint64_t data_bytes_max; /* budget of all lanes, at least lane_bytes */
};

/*
 * Makes a region in the directory and puts it where a collector finds it, with its first lane.
 * 0; TKR_ENODIR, TKR_ENOSPC, TKR_ENOMEM, TKR_ESYSTEM; then nothing is left behind, and errno says why the system refused.
 */
int tkr_region_create(int directory, const struct tkr_region_geometry *geometry, struct tkr_region *ret_region);

/*
 * Allocates a lane of bytes (a power of two) and tells the collector of it. 0 with its number; TKR_EFULL when the budget or
 * the directory of lanes is used up; TKR_ENOSPC when the tmpfs is full.
 */
int tkr_region_lane_add(struct tkr_region *region, uint64_t bytes, uint32_t *ret_lane);

/* Bytes of the budget that are not handed out yet. */
uint64_t tkr_region_budget(const struct tkr_region *region);

/* Memory of a lane's data. */
void *tkr_region_lane_data(const struct tkr_region *region, uint32_t lane);

/* Allocates some further slots. 0 with the count now; TKR_ECALLS when all there may be are there; TKR_ENOSPC. */
int tkr_region_slots_add(struct tkr_region *region, uint32_t *ret_slot_count);

/* Unmaps the region, which drops the lock: the collector takes what is in it. Accepts one that is not open. */
void tkr_region_close(struct tkr_region *region);

/* In a forked child: closes the descriptor that the child inherited; the mapping is not there. */
void tkr_region_forget(struct tkr_region *region);

#endif
