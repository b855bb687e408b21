/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The producer: one region, shared by the threads of a process. Each thread writes through a channel of its own.
 *
 * Memory. A producer is two mappings in one: `kept`, which a forked child inherits (options, what to close), and `live`,
 * which the kernel zeroes in a child (MADV_WIPEONFORK). Zeroed live memory is a producer that is not open yet: no session,
 * an unlocked mutex, no channels. So a child begins anew at its first call, whoever held whatever lock when it was forked.
 * Producers are never unmapped, only reused: a thread that exits after tkr_close still finds readable memory, and the
 * session tells it that its channel is gone.
 *
 * The check that every call makes: the thread's cached session equals live->session. It covers "this thread has a channel",
 * "this producer is the one of the last call" and "we are not a child that has not opened its own region yet", by one load.
 *
 * Locks. live->mutex serialises the slow path only: opening, attaching a thread, growing, giving back. A channel that several
 * threads share, when there are more threads than lanes, has a spin lock; other channels belong to their thread.
 */
#ifndef TKR_PRODUCER_PRODUCER_H
#define TKR_PRODUCER_PRODUCER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/cycle.h"
#include "base/host.h"
#include "limit/window.h"
#include "producer/channel.h"
#include "region/region.h"
#include "tokenring/tokenring.h"

#define TKR_CHANNELS_MAX (TKR_REGION_LANES_MAX + 1)
#define TKR_CHANNEL_SHARED 0u

/* Wiped in a child. */
struct tkr_live {
    _Atomic uint64_t session; /* 0: not open; else unique in the process' life and its children's */
    pthread_mutex_t mutex;
    int64_t retry_ns; /* monotonic; before it a failed opening is not tried again */
    int failure;      /* of the last opening */
    bool lane_taken[TKR_REGION_LANES_MAX];
    _Atomic uint64_t free_slots; /* head of the free list: changes << 32 | number + 1; 0: empty */
    _Atomic uint32_t *next_slot; /* slots_max links of the free list; a mapping of its own */
    struct tkr_window window;    /* on the board of limits */
    struct tkr_channel channel[TKR_CHANNELS_MAX];
};

/* What is made of an account's figures. */
struct tkr_limit_rule {
    bool closed; /* what is not known is refused */
    uint32_t warn_percent;
    int64_t max_age_ns;
};

struct tkr_producer {
    struct tkr_live *live;
    struct tkr_producer *next; /* all ever made */
    atomic_bool taken;
    struct tkr_region region; /* pointers are valid only while live->session is not 0 */
    struct tkr_region_geometry geometry;
    struct tkr_cycle_rule rule;
    struct tkr_limit_rule limit;
    bool own_directory;
    char path[TKR_RUNTIME_PATH_BYTES];
};

/* Makes sure that the region is open, without needing a channel: in a child, opens its own. 0 or what tkr_open answers. */
int tkr_producer_open_region(struct tkr_producer *producer);

static inline int tkr_producer_ready(struct tkr_producer *producer)
{
    /* The region before the session; pairs with the release in tkr_producer_open_region. */
    return __builtin_expect(atomic_load_explicit(&producer->live->session, memory_order_acquire) != 0, 1)
               ? TKR_OK
               : tkr_producer_open_region(producer);
}

/* The thread's channel: the one of its last call, which one comparison tells, or found. 0, or why there is none. */
static inline int tkr_producer_channel(struct tkr_producer *producer, struct tkr_channel **ret_channel)
{
    /* Relaxed: equality says that this thread itself has seen this session opened. */
    *ret_channel = tkr_channel_last(atomic_load_explicit(&producer->live->session, memory_order_relaxed));
    return __builtin_expect(*ret_channel != NULL, 1) ? TKR_OK : tkr_channel_of_thread(producer, ret_channel);
}

/* The default cycle of a moment, looked up, and remembered in the channel (may be NULL) for the thread's next call. */
uint32_t tkr_producer_cycle_find(const struct tkr_producer *producer, struct tkr_channel *channel, int64_t start_ns);

static inline bool tkr_cycle_span_has(const struct tkr_cycle_span *span, int64_t unix_ns)
{
    return unix_ns >= span->begin_ns && unix_ns < span->end_ns;
}

/*
 * The call's cycle: given, else by the rule. *start_ns is when it starts: as told, or what a clock said that may be behind. What a
 * channel remembers ends before its cycle does by more than a clock can be behind (tkr_producer_cycle_find), so a moment that
 * it has is certain; of another that was not told the precise clock is asked, and *start_ns is set to it.
 */
static inline uint32_t tkr_producer_cycle(const struct tkr_producer *producer, struct tkr_channel *channel,
                                          const tkr_start *start, int64_t *start_ns)
{
    if (start->cycle != 0)
        return start->cycle;
    if (channel != NULL && tkr_cycle_span_has(&channel->span, *start_ns))
        return channel->span.cycle;
    if (start->start_ns == 0)
        *start_ns = tkr_clock_unix_ns();
    return tkr_producer_cycle_find(producer, channel, *start_ns);
}

/* Counts a refusal, for which a child opens its region first, and returns the code; without a region there is nothing to count in. */
int tkr_producer_refuse(struct tkr_producer *producer, int code);

/* Counts a call whose told times made no sense. The region is open. */
void tkr_producer_bad_times(struct tkr_producer *producer);

/* Counts a drop by the cause that the code says and returns the code. */
int tkr_producer_drop(struct tkr_producer *producer, int code);

#endif
