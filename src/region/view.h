/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region as the collector and the tools see it: the file of a stranger. Nothing in it is trusted: geometry is copied once
 * and checked, every access may fault and says so, frames are copied before they are parsed.
 *
 * Threads: one at a time. tkr_guard_install() must have been called.
 */
#ifndef TKR_REGION_VIEW_H
#define TKR_REGION_VIEW_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/settings.h"
#include "region/call.h"
#include "region/layout.h"

/* What a region turned out to be. */
enum tkr_view_result {
    TKR_VIEW_OK,
    TKR_VIEW_GONE,    /* no such file any more */
    TKR_VIEW_DENIED,  /* may not be opened */
    TKR_VIEW_OTHER,   /* of another boot: never read */
    TKR_VIEW_NEWER,   /* of a layout that this version does not know yet: left alone */
    TKR_VIEW_OLDER,   /* of a layout that this version does not read any more: left alone */
    TKR_VIEW_RETIRED, /* counted to its end; its collector died before it removed the file, or the file was elsewhere */
    TKR_VIEW_BROKEN   /* no region, a copy of one, or its geometry is impossible */
};

struct tkr_view_lane {
    uint64_t offset;
    uint64_t capacity;
};

struct tkr_view {
    char name[TKR_REGION_NAME_BYTES];
    uint8_t id[TKR_REGION_ID_BYTES];
    dev_t device;
    ino_t inode;
    uid_t owner;
    int fd;
    bool writable;
    struct tkr_region_header *mapped;
    struct tkr_lane *mapped_lanes;
    uint64_t bytes;
    uint64_t slots_offset;
    uint64_t data_offset;
    uint32_t slots_max;
    uint32_t lane_count; /* lanes known and checked */
    uint32_t pid;
    char command[17];
    struct tkr_view_lane lane[TKR_REGION_LANES_MAX];
};

/* Opens and checks a region; writable for the collector. On TKR_VIEW_OK the caller closes it. */
enum tkr_view_result tkr_view_open(int directory, const char *name, bool writable, struct tkr_view **ret_view,
                                   tkr_message *ret_message);

void tkr_view_close(struct tkr_view *view);

/* Does the owner live? (Its lock; EINTR and the like count as alive.) */
bool tkr_view_owner_alive(const struct tkr_view *view);

/* Takes up lanes that were added since. false: the file is broken or was truncated. */
bool tkr_view_lanes_refresh(struct tkr_view *view);

/*
 * Copies frames of a lane that lie in [position, head), at most max bytes, to ret_bytes; stops at the end of the data. The
 * last frame may be cut. ret_head is where the producer stands. false: truncated, or head is impossible.
 */
bool tkr_view_lane_read(const struct tkr_view *view, uint32_t lane, uint64_t position, void *ret_bytes, size_t max,
                        size_t *ret_count, uint64_t *ret_head);

/* Where the producer of a lane stands. false: truncated. */
bool tkr_view_lane_head(const struct tkr_view *view, uint32_t lane, uint64_t *ret_head);

/* The same of all lanes that there are now, known or not. Threads: any, beside the worker. false: truncated. */
bool tkr_view_lane_heads(const struct tkr_view *view, uint64_t ret_head[TKR_REGION_LANES_MAX], uint32_t *ret_count);

/* Sequence that the producer published last; a hint. false: truncated. */
bool tkr_view_lane_sequence(const struct tkr_view *view, uint32_t lane, uint64_t *ret_sequence);

/* Records that the producer of a lane says it published after this sequence: a stranger's word, believed as far as it can hold. */
uint64_t tkr_view_lane_left(const struct tkr_view *view, uint32_t lane, uint64_t sequence);

/* Gives memory back to the producer: all before position, whose last frame has this sequence, is counted. */
bool tkr_view_lane_release(struct tkr_view *view, uint32_t lane, uint64_t position, uint64_t sequence);

/* Says in the file that all of it is counted: it is opened no more, by whatever name. */
void tkr_view_retire(struct tkr_view *view);

/* Notes that the collector was here. */
bool tkr_view_touch(struct tkr_view *view, int64_t monotonic_ns);

/* Copies the producer's counters of drops and refusals. false: truncated. */
bool tkr_view_counters(const struct tkr_view *view, uint64_t ret_dropped[TKR_DROP_MAX], uint64_t ret_refused[TKR_REFUSED_MAX]);

/* Copies what the producer's handlers took: nanoseconds in all, and events by bucket (region/spent.h). false: truncated. */
bool tkr_view_spent(const struct tkr_view *view, uint64_t *ret_ns, uint64_t ret_events[TKR_SPENT_BUCKETS]);

/* Calls whose told times made no sense, as the producer counts them. false: truncated. */
bool tkr_view_bad_times(const struct tkr_view *view, uint64_t *ret_calls);

/* Slots that may hold calls; at most what fits. false: truncated. */
bool tkr_view_slot_count(const struct tkr_view *view, uint32_t *ret_count);

/*
 * Copies a slot of a dead owner and says whether its call is open, that is: begun, and its end not published (region/call.h,
 * I3). false: truncated or impossible.
 */
bool tkr_view_slot_read(const struct tkr_view *view, uint32_t number, struct tkr_call_slot *ret_slot, bool *ret_open);

/* What a slot holds against limits, as its two words have it, and how much. */
struct tkr_view_hold {
    uint64_t word;
    uint64_t more;
    int64_t reserve;
    bool stable; /* the slot did not change meanwhile: always so of a dead owner */
};

/* Clears what a slot of a dead owner holds. false: truncated. */
bool tkr_view_slot_hold_clear(struct tkr_view *view, uint32_t number);

/* Copies what a slot holds, of any owner. Threads: any, beside the worker. false: truncated. */
bool tkr_view_slot_hold(const struct tkr_view *view, uint32_t number, struct tkr_view_hold *ret_hold);

#endif
