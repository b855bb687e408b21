/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A channel: a thread's way into the region. Each thread has its own while there are lanes; those beyond share one. Why a
 * channel that a thread remembers is known to be gone: producer/producer.h.
 */
#ifndef TKR_PRODUCER_CHANNEL_H
#define TKR_PRODUCER_CHANNEL_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/cycle.h"
#include "ring/lane.h"
#include "tokenring/tokenring.h"

struct tkr_producer;

#define TKR_TOLD_MAX 4096u /* accounts of which a thread remembers that it told the collector: a power of two */

/* Which account the collector was last told of, of those that have this place: 32 bits of its hash, and the monotonic second. */
struct tkr_told {
    uint32_t tag;
    uint32_t second;
};

#define TKR_LANES_LEFT_MAX 4u

/* A lane that a channel has left, and up to where it had written. */
struct tkr_lane_left {
    const struct tkr_lane *lane;
    uint64_t head;
};

/* A lane to write and what its thread remembers. */
struct tkr_channel {
    alignas(TKR_LINE_SEPARATION) struct tkr_lane_writer writer;
    struct tkr_cycle_span span; /* the default cycle found last; of a shared channel none, with no moments */
    uint32_t lane;              /* number of the writer's lane */
    uint32_t drops;             /* in a row */
    uint32_t left; /* lanes that the channel has left and that were not drained then; beyond the most: nobody knows */
    uint32_t slot; /* a free one kept for the thread's next call, plus 1; 0: none. Not of a shared channel */
    bool shared;   /* many threads: take `lock` around the writer */
    bool taken;    /* belongs to a thread */
    atomic_flag lock;
    int64_t tick_ns;           /* what the coarse real-time clock said when the coarse monotonic one was asked last */
    int64_t tick_monotonic_ns; /* and what that said */
    struct tkr_lane_left left_lane[TKR_LANES_LEFT_MAX];
    struct tkr_cycle_turn turn; /* the last that was looked up; of a shared channel none */
    struct tkr_told told[TKR_TOLD_MAX];
};

/* Prepares that threads give back their channels when they exit; once per process. 0; TKR_ENOMEM. */
int tkr_channels_prepare(void);

/* The thread's last channel, and the session of its producer that it belongs to. */
#define TKR_SESSION_NONE UINT64_MAX /* no producer's, not even a closed one's */
#if defined(__GLIBC__)
#define TKR_FAST_TLS \
    __attribute__((  \
        tls_model("initial-exec"))) /* 28 bytes, and 8 of callback/ending.c, of the static space that glibc keeps for dlopen */
#else
#define TKR_FAST_TLS
#endif
struct tkr_channel_current {
    uint64_t session;
    struct tkr_channel *channel;
};
extern _Thread_local struct tkr_channel_current tkr_channel_current TKR_FAST_TLS;

/* The thread's last channel, if it is of this session; else NULL. */
static inline struct tkr_channel *tkr_channel_last(uint64_t session)
{
    return tkr_channel_current.session == session ? tkr_channel_current.channel : NULL; /* there is one: channel.c */
}

/*
 * What the coarse monotonic clock says while the coarse real-time one, which was just read, says tick_ns: they move together, so
 * that it need be asked once a tick only. The channel is the thread's own.
 */
static inline int64_t tkr_channel_monotonic_ns(struct tkr_channel *channel, int64_t tick_ns)
{
    if (__builtin_expect(channel->tick_ns != tick_ns, 0)) {
        channel->tick_ns = tick_ns;
        channel->tick_monotonic_ns = tkr_clock_monotonic_coarse_ns();
    }
    return channel->tick_monotonic_ns;
}

/*
 * The calling thread's channel, opening the region first in a child. 0 with the channel, or why there is none: TKR_EFULL and
 * TKR_ENOSPC (no lane), or what tkr_open answers. A thread without a channel gets one as soon as there is room.
 */
int tkr_channel_of_thread(struct tkr_producer *producer, struct tkr_channel **ret_channel);

/* When the lane is full: moves the channel to a larger one. 0 with the memory; TKR_EFULL or TKR_ENOSPC. */
int tkr_channel_reserve_slow(struct tkr_producer *producer, struct tkr_channel *channel, size_t bytes, void **ret_frame);

void tkr_channel_lock_slow(struct tkr_channel *channel);

static inline void tkr_channel_lock(struct tkr_channel *channel)
{
    if (channel->shared)
        tkr_channel_lock_slow(channel);
}

static inline void tkr_channel_unlock(struct tkr_channel *channel)
{
    if (channel->shared)
        atomic_flag_clear_explicit(&channel->lock, memory_order_release); /* pairs with the acquire of the next locker */
}

/*
 * Memory for a frame in the channel's lane, moving the channel to a larger one if it is full; the channel is locked if it is
 * shared. 0; TKR_EFULL or TKR_ENOSPC. The caller unlocks in any case (tkr_channel_unlock), after it published or gave up.
 */
static inline int tkr_channel_reserve(struct tkr_producer *producer, struct tkr_channel *channel, size_t bytes, void **ret_frame)
{
    int result = TKR_OK;

    tkr_channel_lock(channel);
    *ret_frame = tkr_lane_reserve(&channel->writer, bytes);
    if (__builtin_expect(*ret_frame == NULL, 0))
        result = tkr_channel_reserve_slow(producer, channel, bytes, ret_frame);
    channel->drops = result == TKR_OK ? 0 : channel->drops + 1;
    TKR_CRASH(FRAME_RESERVED);
    return result;
}

#endif
