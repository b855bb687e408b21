/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames as they pass through the lanes of gateways, for one who looks on: regions are mapped read-only, nothing is stored, and no
 * producer and no collector ever waits for it or learns of it. So frames that it is too slow for are overwritten; it notices, and
 * counts them by the frames' own numbers (ring/lane.h, I4).
 *
 * Is what was copied still a frame? The producer writes behind its head, at most the frame that it is about to publish and the padding
 * before it; bytes of position p are written again as p + capacity, and not before the collector has given them back. So after a
 * copy from p on, with a fence between, two numbers are loaded again, and one of them has to vouch for it:
 *   free  is not beyond p: nobody may have written there;
 *   head  is no farther than p + capacity less a margin: nobody has come there. The margin is a quarter of the lane, which is more than
 *         two of the longest frames (event/frame.h), and much more than what stores of a processor may be early by where it
 *         does not keep their order (ring/lane.h orders payload before head, and not head before the next payload).
 *
 * Where it goes on when neither does: at free, which lies between two frames.
 */
#ifndef TOOLS_COMMAND_TAIL_LANES_H
#define TOOLS_COMMAND_TAIL_LANES_H

#include "base/settings.h"
#include "event/frame.h"
#include "region/view.h"

struct tkr_tail_region;

/* Start with a zeroed structure. */
struct tkr_tail {
    int runtime;  /* directory; the caller's */
    bool backlog; /* of regions that are there at the first look, also what was not counted yet */
    bool looked;
    struct tkr_tail_region *region;
    size_t count;
    size_t room;
    size_t found; /* behind the region that was looked for last */
    unsigned char *buffer;
    uint64_t frames; /* passed on */
    uint64_t missed; /* calls and increments */
};

/* What the tail tells of. */
struct tkr_tail_told {
    void *arg;
    void (*frame)(void *arg, const struct tkr_view *view, const struct tkr_event *event);
    void (*missed)(void *arg, const struct tkr_view *view, uint64_t calls); /* they were overwritten before they were read */
    void (*refused)(void *arg, const char *sentence);                       /* a region cannot be read, or no longer */
};

/* Looks for regions that have come, and lets go of those that are gone and read to their end. 0, or -1 with the reason. */
int tkr_tail_look(struct tkr_tail *tail, const struct tkr_tail_told *told, tkr_message *ret_message);

/* Reads what has been published since, of each lane a bufferful at most. Returns whether anything was. */
bool tkr_tail_read(struct tkr_tail *tail, const struct tkr_tail_told *told);

/* Tells of what was missed last, before the end. */
void tkr_tail_settle(struct tkr_tail *tail, const struct tkr_tail_told *told);

/* Frees all; accepts a zeroed structure. */
void tkr_tail_free(struct tkr_tail *tail);

#endif
