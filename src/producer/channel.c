/* SPDX-License-Identifier: Apache-2.0 */
/* The channels of threads: taken at a thread's first call, grown, given back when it exits. */
#include "producer/channel.h"

#include <ck_pr.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "producer/lanes.h"
#include "producer/producer.h"
#include "producer/slots.h"

#define SHARED_LANES 4 /* the shared lane is as large as so many */
#define SPINS_BEFORE_YIELD 100

/* What a thread remembers of the producers that it used; freed when it exits. */
struct attachment {
    struct attachment *next;
    struct tkr_producer *producer;
    struct tkr_channel *channel;
    uint64_t session;
};

_Thread_local struct tkr_channel_current tkr_channel_current TKR_FAST_TLS = {.session = TKR_SESSION_NONE};
static _Thread_local struct attachment *attachments;
static pthread_key_t thread_key;

static void release_channel(const struct attachment *attachment)
{
    struct tkr_live *live = attachment->producer->live;

    if (attachment->session == 0)
        return; /* never had one */
    (void)pthread_mutex_lock(&live->mutex);
    if (atomic_load_explicit(&live->session, memory_order_relaxed) == attachment->session && !attachment->channel->shared) {
        tkr_slot_give_kept(attachment->producer, attachment->channel);
        live->lane_taken[attachment->channel->lane] = false;
        attachment->channel->taken = false;
    }
    (void)pthread_mutex_unlock(&live->mutex);
}

static void on_thread_exit(void *unused)
{
    struct attachment *next;

    (void)unused;
    for (struct attachment *a = attachments; a != NULL; a = next) {
        next = a->next;
        release_channel(a);
        free(a);
    }
    attachments = NULL;
    tkr_channel_current.session = TKR_SESSION_NONE;
}

int tkr_channels_prepare(void)
{
    return pthread_key_create(&thread_key, on_thread_exit) == 0 ? TKR_OK : TKR_ENOMEM;
}

static struct tkr_channel *channel_unused(struct tkr_live *live)
{
    for (uint32_t i = TKR_CHANNEL_SHARED + 1; i < TKR_CHANNELS_MAX; i++) {
        if (!live->channel[i].taken)
            return &live->channel[i];
    }
    return NULL;
}

static void channel_start(struct tkr_producer *producer, struct tkr_channel *channel, uint32_t lane)
{
    channel->drops = 0;
    channel->slot = 0;
    channel->left = 0;
    channel->span = (struct tkr_cycle_span){0, 0, 0};
    channel->turn = (struct tkr_cycle_turn){0, 0, 0};
    tkr_lane_attach(producer, channel, lane);
    channel->taken = true;
}

/*
 * A channel of the thread's own if there is a lane for it, else the shared one, which then must have a lane. An idle lane
 * that is half empty will do: threads that live for one call each must not take a lane each.
 */
static int channel_assign(struct tkr_producer *producer, struct tkr_channel **ret_channel)
{
    struct tkr_channel *shared = &producer->live->channel[TKR_CHANNEL_SHARED];
    struct tkr_channel *own = channel_unused(producer->live);
    uint64_t bytes = producer->geometry.lane_bytes;
    uint32_t lane = 0;
    int result;

    if (own != NULL && (shared->taken || tkr_lane_to_spare(producer)) &&
        tkr_lane_obtain(producer, bytes / 2, bytes, false, &lane) == TKR_OK) {
        channel_start(producer, own, lane);
        *ret_channel = own;
        return TKR_OK;
    }
    if (!shared->taken) {
        result = tkr_lane_obtain(producer, bytes, SHARED_LANES * bytes, true, &lane);
        if (result != TKR_OK)
            return result;
        channel_start(producer, shared, lane);
    }
    *ret_channel = shared;
    return TKR_OK;
}

static struct attachment *attachment_find(struct tkr_producer *producer)
{
    struct attachment *a;

    for (a = attachments; a != NULL; a = a->next) {
        if (a->producer == producer)
            return a;
    }
    a = calloc(1, sizeof(*a));
    if (a == NULL || pthread_setspecific(thread_key, a) != 0) { /* any value but NULL calls on_thread_exit */
        free(a);
        return NULL;
    }
    a->producer = producer;
    a->next = attachments;
    attachments = a;
    return a;
}

/* The thread's first call on this producer, or its first after a fork, or after using another producer. */
static int channel_attach(struct tkr_producer *producer, struct tkr_channel **ret_channel)
{
    struct tkr_live *live = producer->live;
    struct attachment *attachment = attachment_find(producer);
    uint64_t session = atomic_load_explicit(&live->session, memory_order_acquire);
    int result = TKR_OK;

    if (attachment == NULL)
        return TKR_ENOMEM;
    if (attachment->session != session) {
        (void)pthread_mutex_lock(&live->mutex);
        result = channel_assign(producer, &attachment->channel);
        (void)pthread_mutex_unlock(&live->mutex);
        if (result != TKR_OK)
            return result;
        attachment->session = session;
    }
    tkr_channel_current.session = session; /* not 0: the producer is ready */
    tkr_channel_current.channel = attachment->channel;
    *ret_channel = attachment->channel;
    return TKR_OK;
}

int tkr_channel_of_thread(struct tkr_producer *producer, struct tkr_channel **ret_channel)
{
    int result = tkr_producer_ready(producer);

    return result != TKR_OK ? result : channel_attach(producer, ret_channel);
}

void tkr_channel_lock_slow(struct tkr_channel *channel)
{
    for (int spins = 0; atomic_flag_test_and_set_explicit(&channel->lock, memory_order_acquire); spins++) {
        if (spins < SPINS_BEFORE_YIELD)
            ck_pr_stall();
        else
            (void)sched_yield(); /* the holder may have been preempted */
    }
}

/* Moves the channel to a lane with more room. Once that has failed, a thread does not wait for its turn to try again. */
static int channel_grow(struct tkr_producer *producer, struct tkr_channel *channel)
{
    pthread_mutex_t *mutex = &producer->live->mutex;
    uint32_t lane = 0;
    uint64_t bytes;
    int result;

    if (channel->drops > 0 ? pthread_mutex_trylock(mutex) != 0 : pthread_mutex_lock(mutex) != 0)
        return TKR_EFULL;
    bytes = tkr_lane_bytes_next(producer, channel);
    result = tkr_lane_obtain(producer, bytes, bytes, channel->shared, &lane);
    if (result == TKR_OK)
        tkr_lane_attach(producer, channel, lane);
    (void)pthread_mutex_unlock(mutex);
    return result;
}

int tkr_channel_reserve_slow(struct tkr_producer *producer, struct tkr_channel *channel, size_t bytes, void **ret_frame)
{
    int result = channel_grow(producer, channel);

    if (result == TKR_OK)
        *ret_frame = tkr_lane_reserve(&channel->writer, bytes); /* tkr_lane_obtain found room for two */
    return result;
}
