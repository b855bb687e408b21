/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing, the fork, and the channels of threads. The argument is in producer/producer.h. */
#include "producer/producer.h"

#include <ck_pr.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "producer/arguments.h"

#define LANE_BYTES_DEFAULT (UINT64_C(64) << 10)
#define REGION_BYTES_DEFAULT (UINT64_C(256) << 20)
#define OPEN_CALLS_DEFAULT 16384u
#define OPENING_POLL_NS TKR_NS_PER_MS
#define OPENING_TRIES 1000
#define REOPEN_NS (100 * TKR_NS_PER_MS)
#define SHARED_LANES 4 /* the shared lane is as large as so many */
#define SPINS_BEFORE_YIELD 100

/* What a thread remembers of the producers that it used; freed when it exits. */
struct attachment {
    struct attachment *next;
    struct tkr_producer *producer;
    struct tkr_channel *channel;
    uint64_t session;
};

#if defined(__GLIBC__)
#define FAST_TLS __attribute__((tls_model("initial-exec"))) /* 24 bytes of the static space that glibc keeps for dlopen */
#else
#define FAST_TLS
#endif
static _Thread_local struct {
    uint64_t session;
    struct tkr_channel *channel;
    struct attachment *all;
} current FAST_TLS;

static _Atomic(struct tkr_producer *) producers; /* all ever made; only grows */
static _Atomic uint64_t sessions;
static uint32_t identity_first; /* random: handles of unrelated processes should not look alike */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_key;
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER; /* a region is being made */
static int once_failure;

/* --- process-wide preparation --- */

/* Zeroed memory that is zero again in a child; zero is an unlocked mutex. NULL: none, or the kernel cannot wipe. */
static void *map_wiped(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED)
        return NULL;
    if (madvise(at, bytes, MADV_WIPEONFORK) == 0)
        return at;
    (void)munmap(at, bytes);
    return NULL;
}

static void release_channel(const struct attachment *attachment)
{
    struct tkr_live *live = attachment->producer->live;

    if (attachment->session == 0)
        return; /* never had one */
    (void)pthread_mutex_lock(&live->mutex);
    if (atomic_load_explicit(&live->session, memory_order_relaxed) == attachment->session &&
        !attachment->channel->shared) {
        live->lane_taken[attachment->channel->lane] = false;
        attachment->channel->taken = false;
    }
    (void)pthread_mutex_unlock(&live->mutex);
}

static void on_thread_exit(void *unused)
{
    struct attachment *next;

    (void)unused;
    for (struct attachment *a = current.all; a != NULL; a = next) {
        next = a->next;
        release_channel(a);
        free(a);
    }
    current.all = NULL;
    current.session = 0;
}

/* A fork waits while another thread opens a region: for that moment there are a descriptor and a mapping that a child would
 * inherit and, living on, keep its parent alive by. */
static void before_fork(void)
{
    (void)pthread_mutex_lock(&opening);
}

static void after_fork_in_parent(void)
{
    (void)pthread_mutex_unlock(&opening);
}

/* A child closes what it inherited, so that a dead parent's memory is not kept by a child that never uses it. */
static void after_fork_in_child(void)
{
    struct tkr_producer *p = atomic_load_explicit(&producers, memory_order_acquire);

    for (; p != NULL; p = p->next)
        tkr_region_forget(&p->region);
    (void)pthread_mutex_unlock(&opening); /* held by this thread since before the fork */
}

static void prepare_process(void)
{
    (void)tkr_random(&identity_first, sizeof(identity_first)); /* without it they are still told apart by their session */
    if (pthread_key_create(&thread_key, on_thread_exit) != 0 ||
        pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) != 0)
        once_failure = TKR_ENOMEM;
}

/* --- producers --- */

static struct tkr_producer *producer_reuse(void)
{
    struct tkr_producer *p = atomic_load_explicit(&producers, memory_order_acquire);

    for (; p != NULL; p = p->next) {
        bool taken = false;
        if (atomic_compare_exchange_strong_explicit(&p->taken, &taken, true, memory_order_acquire, memory_order_relaxed))
            return p;
    }
    return NULL;
}

static int producer_make(struct tkr_producer **ret_producer)
{
    struct tkr_producer *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return TKR_ENOMEM;
    p->live = map_wiped(sizeof(*p->live));
    if (p->live == NULL) {
        free(p);
        return TKR_ENOMEM;
    }
    p->region.grow_fd = -1;
    atomic_store_explicit(&p->taken, true, memory_order_relaxed);
    p->next = atomic_load_explicit(&producers, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&producers, &p->next, p, memory_order_release, memory_order_relaxed))
        continue;
    *ret_producer = p;
    return TKR_OK;
}

static bool power_of_two(uint64_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

static int configure(struct tkr_producer *producer, const tkr_options *options)
{
    uint64_t lane_bytes = options->lane_bytes != 0 ? options->lane_bytes : LANE_BYTES_DEFAULT;
    uint64_t budget = options->region_bytes_max != 0 ? options->region_bytes_max : REGION_BYTES_DEFAULT;
    uint32_t calls = options->max_open_calls != 0 ? options->max_open_calls : OPEN_CALLS_DEFAULT;
    int32_t anchor = options->anchor_day != 0 ? options->anchor_day : 1;

    if ((options->flags & ~(uint32_t)TKR_CYCLE_DAY) != 0)
        return TKR_EINVAL;
    if (!power_of_two(lane_bytes) || lane_bytes < TKR_LANE_BYTES_MIN || lane_bytes > TKR_LANE_BYTES_MAX ||
        budget < lane_bytes || budget > TKR_REGION_BYTES_MAX / 2 || calls > TKR_REGION_SLOTS_MAX ||
        options->utc_offset_minutes < -1440 || options->utc_offset_minutes > 1440)
        return TKR_ERANGE;
    if (anchor < 1 || anchor > 31)
        return TKR_ECYCLE;
    producer->rule.day_local = (options->flags & TKR_CYCLE_DAY) != 0;
    producer->rule.anchor_day = anchor;
    producer->rule.utc_offset_minutes = options->utc_offset_minutes;
    producer->geometry.slots_max = calls;
    producer->geometry.lane_bytes = lane_bytes;
    producer->geometry.data_bytes_max = budget;
    return tkr_runtime_path(options->runtime_dir, producer->path, &producer->own_directory);
}

static int map_links(struct tkr_live *live, uint32_t slots_max)
{
    size_t bytes = slots_max * sizeof(*live->next_slot);
    void *links = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (links == MAP_FAILED)
        return TKR_ENOMEM;
    (void)madvise(links, bytes, MADV_DONTFORK); /* a child has links of its own */
    live->next_slot = links;
    return TKR_OK;
}

static void unmap_links(struct tkr_live *live, uint32_t slots_max)
{
    (void)munmap((void *)(uintptr_t)live->next_slot, slots_max * sizeof(*live->next_slot));
}

/* A child made by a bare clone(2), which calls no fork handlers, may find it held for ever: then it goes without. */
static bool lock_opening(void)
{
    const struct timespec pause = {.tv_nsec = OPENING_POLL_NS};

    for (int tries = 0; tries < OPENING_TRIES; tries++) {
        if (pthread_mutex_trylock(&opening) == 0)
            return true;
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

/* Opens the region; mutex held. The first lane stays for whoever comes first. */
static int open_region(struct tkr_producer *producer)
{
    struct tkr_live *live = producer->live;
    uint64_t session;
    bool locked;
    int directory;
    int result;

    directory = tkr_runtime_open(producer->path, producer->own_directory, producer->own_directory);
    if (directory < 0)
        return directory;
    locked = lock_opening();
    result = map_links(live, producer->geometry.slots_max);
    if (result == TKR_OK) {
        result = tkr_region_create(directory, &producer->geometry, &producer->region);
        if (result != TKR_OK)
            unmap_links(live, producer->geometry.slots_max);
    }
    if (locked)
        (void)pthread_mutex_unlock(&opening);
    (void)close(directory);
    if (result != TKR_OK)
        return result;
    live->channel[TKR_CHANNEL_SHARED].shared = true;
    session = atomic_fetch_add_explicit(&sessions, 1, memory_order_relaxed) + 1;
    producer->region.identity = (uint16_t)(1 + (identity_first + session) % UINT16_MAX);
    /* Everything before the session; pairs with the acquire in tkr_producer_ready. */
    atomic_store_explicit(&live->session, session, memory_order_release);
    return TKR_OK;
}

int tkr_producer_ready(struct tkr_producer *producer)
{
    struct tkr_live *live = producer->live;
    int result = TKR_OK;

    if (atomic_load_explicit(&live->session, memory_order_acquire) != 0)
        return TKR_OK;
    (void)pthread_mutex_lock(&live->mutex);
    if (atomic_load_explicit(&live->session, memory_order_relaxed) == 0) {
        int64_t now = tkr_clock_monotonic_ns();
        if (now >= live->retry_ns) {
            tkr_region_forget(&producer->region); /* the parent's, where no fork handler ran */
            live->failure = open_region(producer);
            live->retry_ns = now + REOPEN_NS;
        }
        result = live->failure;
    }
    (void)pthread_mutex_unlock(&live->mutex);
    return result;
}

int tkr_open(const tkr_options *given, tkr_producer **ret_producer)
{
    tkr_options options;
    struct tkr_producer *producer;
    int result;

    if (ret_producer == NULL)
        return TKR_EINVAL;
    result = tkr_arguments_options(given, &options);
    if (result != TKR_OK)
        return result;
    (void)pthread_once(&once, prepare_process);
    if (once_failure != 0)
        return once_failure;
    producer = producer_reuse();
    result = producer != NULL ? TKR_OK : producer_make(&producer);
    if (result != TKR_OK)
        return result;
    result = configure(producer, &options);
    producer->live->retry_ns = 0;
    if (result == TKR_OK)
        result = tkr_producer_ready(producer);
    if (result != TKR_OK) {
        atomic_store_explicit(&producer->taken, false, memory_order_release);
        return result;
    }
    *ret_producer = producer;
    return TKR_OK;
}

void tkr_close(tkr_producer *producer)
{
    struct tkr_live *live;

    if (producer == NULL)
        return;
    live = producer->live;
    (void)pthread_mutex_lock(&live->mutex);
    if (atomic_load_explicit(&live->session, memory_order_relaxed) != 0) {
        tkr_region_close(&producer->region);
        unmap_links(live, producer->geometry.slots_max);
    } else {
        tkr_region_forget(&producer->region); /* a child that never used it */
    }
    atomic_store_explicit(&live->session, 0, memory_order_relaxed);
    memset(live->lane_taken, 0, sizeof(live->lane_taken));
    memset(live->channel, 0, sizeof(live->channel));
    atomic_store_explicit(&live->free_slots, 0, memory_order_relaxed);
    (void)pthread_mutex_unlock(&live->mutex);
    atomic_store_explicit(&producer->taken, false, memory_order_release);
}

/* --- lanes --- */

static void lane_attach(struct tkr_producer *producer, struct tkr_channel *channel, uint32_t lane)
{
    if (channel->taken)
        producer->live->lane_taken[channel->lane] = false; /* drained by the collector, then free for anyone */
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

/* A lane for a channel that needs room: an idle one with room_min bytes, a new one of bytes_new, or any that takes a frame. */
static int lane_obtain(struct tkr_producer *producer, uint64_t room_min, uint64_t bytes_new, bool to_share,
                       uint32_t *ret_lane)
{
    int result;

    if (lane_find(producer, room_min, ret_lane))
        return TKR_OK;
    result = lane_make(producer, bytes_new, to_share, ret_lane);
    if (result != TKR_OK && lane_find(producer, 2 * TKR_FRAME_BYTES_MAX, ret_lane))
        result = TKR_OK;
    return result;
}

/* Would a lane for one thread leave a lane, at least one still to be made, for the others to share? */
static bool lane_to_spare(const struct tkr_producer *producer)
{
    uint64_t count = atomic_load_explicit(&producer->region.header->lane_count, memory_order_relaxed);
    uint64_t lanes = tkr_region_budget(&producer->region) / producer->geometry.lane_bytes;

    if (lanes > TKR_REGION_LANES_MAX - count)
        lanes = TKR_REGION_LANES_MAX - count;
    for (uint32_t i = 0; i < count; i++)
        lanes += !producer->live->lane_taken[i];
    return lanes > 1;
}

/* --- channels --- */

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
    channel->span = (struct tkr_cycle_span){0, 0, 0};
    lane_attach(producer, channel, lane);
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

    if (own != NULL && (shared->taken || lane_to_spare(producer)) &&
        lane_obtain(producer, bytes / 2, bytes, false, &lane) == TKR_OK) {
        channel_start(producer, own, lane);
        *ret_channel = own;
        return TKR_OK;
    }
    if (!shared->taken) {
        result = lane_obtain(producer, bytes, SHARED_LANES * bytes, true, &lane);
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

    for (a = current.all; a != NULL; a = a->next) {
        if (a->producer == producer)
            return a;
    }
    a = calloc(1, sizeof(*a));
    if (a == NULL || pthread_setspecific(thread_key, a) != 0) { /* any value but NULL calls on_thread_exit */
        free(a);
        return NULL;
    }
    a->producer = producer;
    a->next = current.all;
    current.all = a;
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
    current.session = session;
    current.channel = attachment->channel;
    *ret_channel = attachment->channel;
    return TKR_OK;
}

int tkr_producer_channel(struct tkr_producer *producer, struct tkr_channel **ret_channel)
{
    int result;

    /* Relaxed: equality says that this thread itself has seen this session opened. */
    if (current.session == atomic_load_explicit(&producer->live->session, memory_order_relaxed) && current.session != 0) {
        *ret_channel = current.channel;
        return TKR_OK;
    }
    result = tkr_producer_ready(producer);
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

/* Twice the size, and so much that the budget is used up before the numbers of lanes are. */
static uint64_t lane_bytes_next(const struct tkr_producer *producer, const struct tkr_channel *channel)
{
    uint64_t bytes = 2 * (channel->writer.mask + 1);
    uint64_t count = atomic_load_explicit(&producer->region.header->lane_count, memory_order_relaxed);
    uint64_t share = tkr_region_budget(&producer->region) / (TKR_REGION_LANES_MAX + 1 - count);

    while (bytes < share)
        bytes *= 2;
    return bytes;
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
    bytes = lane_bytes_next(producer, channel);
    result = lane_obtain(producer, bytes, bytes, channel->shared, &lane);
    if (result == TKR_OK)
        lane_attach(producer, channel, lane);
    (void)pthread_mutex_unlock(mutex);
    return result;
}

int tkr_channel_reserve(struct tkr_producer *producer, struct tkr_channel *channel, size_t bytes, void **ret_frame)
{
    int result = TKR_OK;

    tkr_channel_lock(channel);
    *ret_frame = tkr_lane_reserve(&channel->writer, bytes);
    if (__builtin_expect(*ret_frame == NULL, 0)) {
        result = channel_grow(producer, channel);
        if (result == TKR_OK)
            *ret_frame = tkr_lane_reserve(&channel->writer, bytes); /* lane_obtain found room for two */
    }
    channel->drops = result == TKR_OK ? 0 : channel->drops + 1;
    TKR_CRASH(FRAME_RESERVED);
    return result;
}

/* --- counters --- */

int tkr_producer_refuse(struct tkr_producer *producer, int code)
{
    if (atomic_load_explicit(&producer->live->session, memory_order_acquire) != 0)
        (void)atomic_fetch_add_explicit(&producer->region.header->refused[-code], 1, memory_order_relaxed); /* a sum */
    return code;
}

int tkr_producer_drop(struct tkr_producer *producer, int code)
{
    enum tkr_drop cause = code == TKR_ENOSPC ? TKR_DROP_NO_SPACE : TKR_DROP_LANES_FULL;

    (void)atomic_fetch_add_explicit(&producer->region.header->dropped[cause], 1, memory_order_relaxed); /* a sum */
    return code;
}

/* --- slots: a stack of free numbers (Treiber), the count of changes in the upper half against ABA --- */

#define SLOT_MASK UINT64_C(0xffffffff)

static bool slot_pop(struct tkr_live *live, uint32_t *ret_slot)
{
    uint64_t head = atomic_load_explicit(&live->free_slots, memory_order_acquire); /* link after head */
    uint64_t next;

    do {
        if ((head & SLOT_MASK) == 0)
            return false;
        *ret_slot = (uint32_t)(head & SLOT_MASK) - 1;
        next = atomic_load_explicit(&live->next_slot[*ret_slot], memory_order_relaxed);
        next |= ((head >> 32) + 1) << 32;
    } while (!atomic_compare_exchange_weak_explicit(&live->free_slots, &head, next, memory_order_acquire,
                                                    memory_order_acquire));
    return true;
}

/* Pushes the numbers first..last as one chain, first on top. */
static void slot_push(struct tkr_live *live, uint32_t first, uint32_t last)
{
    uint64_t head = atomic_load_explicit(&live->free_slots, memory_order_relaxed);
    uint64_t next;

    do {
        atomic_store_explicit(&live->next_slot[last], (uint32_t)(head & SLOT_MASK), memory_order_relaxed);
        next = ((head >> 32) + 1) << 32 | (first + 1);
    } while (!atomic_compare_exchange_weak_explicit(&live->free_slots, &head, next, memory_order_release,
                                                    memory_order_relaxed)); /* link before head */
}

int tkr_producer_slot_take(struct tkr_producer *producer, uint32_t *ret_slot)
{
    struct tkr_live *live = producer->live;
    uint32_t count = 0;
    uint32_t before;
    int result = TKR_OK;

    if (__builtin_expect(slot_pop(live, ret_slot), 1))
        return TKR_OK;
    (void)pthread_mutex_lock(&live->mutex);
    if (!slot_pop(live, ret_slot)) { /* nobody was faster */
        before = (uint32_t)atomic_load_explicit(&producer->region.header->slot_count, memory_order_relaxed);
        result = tkr_region_slots_add(&producer->region, &count);
        if (result == TKR_OK) {
            *ret_slot = before;
            for (uint32_t i = before + 1; i + 1 < count; i++)
                atomic_store_explicit(&live->next_slot[i], i + 2, memory_order_relaxed);
            if (before + 1 < count)
                slot_push(live, before + 1, count - 1);
        }
    }
    (void)pthread_mutex_unlock(&live->mutex);
    return result;
}

void tkr_producer_slot_give(struct tkr_producer *producer, uint32_t slot)
{
    slot_push(producer->live, slot, slot);
}
