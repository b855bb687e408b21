/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, closing and the fork, and the counters of refusals and drops. The argument is in producer/producer.h. */
#include "producer/producer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/failure.h"
#include "producer/arguments.h"
#include "producer/slots.h"

#define LANE_BYTES_DEFAULT (UINT64_C(64) << 10)
#define REGION_BYTES_DEFAULT (UINT64_C(256) << 20)
#define OPEN_CALLS_DEFAULT 16384u
#define MAX_AGE_MAX_MS 86400000u
#define OPENING_POLL_NS TKR_NS_PER_MS
#define OPENING_TRIES 1000
#define REOPEN_NS (100 * TKR_NS_PER_MS)
#define BEHIND_NS TKR_NS_PER_S /* more than the coarse clocks are behind, and as time(2) may be: it gives whole seconds */

static _Atomic(struct tkr_producer *) producers; /* all ever made; only grows */
static _Atomic uint64_t sessions;
static uint32_t identity_first; /* random: handles of unrelated processes should not look alike */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER; /* a region is being made */
static int once_failure;
static pthread_once_t zone_once = PTHREAD_ONCE_INIT;
static struct tkr_zone zone; /* for TKR_CYCLE_DAY; once and for a child, too, that opens again: libc's lock may be stuck there */

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
    if (tkr_channels_prepare() != TKR_OK || pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) != 0)
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

static void read_zone(void)
{
    tkr_zone_read(&zone);
}

static bool power_of_two(uint64_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

/* Keeps why this thread's opening fails, for tkr_open_error. Returns the code. */
static int __attribute__((format(printf, 2, 3))) fail(int code, const char *format, ...)
{
    tkr_message message;
    va_list args;

    va_start(args, format);
    (void)vsnprintf(message.text, sizeof(message.text), format, args); /* cut, not lost */
    va_end(args);
    tkr_failure_set(&message);
    return code;
}

static int fail_option(int code, const char *name, int64_t value, const char *allowed)
{
    return fail(code, "tkr_options.%s is %" PRId64 ": allowed is %s", name, value, allowed);
}

static int configure_limits(struct tkr_limit_rule *rule, const tkr_options *options)
{
    uint32_t max_age_ms = options->limit_max_age_ms != 0 ? options->limit_max_age_ms : TKR_LIMIT_MAX_AGE_MS;

    rule->closed = (options->flags & TKR_LIMIT_CLOSED) != 0;
    rule->warn_percent = options->limit_warn_percent != 0 ? options->limit_warn_percent : TKR_LIMIT_WARN_PERCENT;
    rule->max_age_ns = (int64_t)max_age_ms * TKR_NS_PER_MS;
    if (rule->warn_percent > 100)
        return fail_option(TKR_ERANGE, "limit_warn_percent", rule->warn_percent, "1 to 100");
    if (max_age_ms > MAX_AGE_MAX_MS)
        return fail_option(TKR_ERANGE, "limit_max_age_ms", max_age_ms, "1 to 86400000");
    return TKR_OK;
}

static int configure_region(struct tkr_region_geometry *geometry, const tkr_options *options)
{
    uint64_t lane_bytes = options->lane_bytes != 0 ? options->lane_bytes : LANE_BYTES_DEFAULT;
    uint64_t budget = options->region_bytes_max != 0 ? options->region_bytes_max : REGION_BYTES_DEFAULT;
    uint32_t calls = options->max_open_calls != 0 ? options->max_open_calls : OPEN_CALLS_DEFAULT;

    if (!power_of_two(lane_bytes) || lane_bytes < TKR_LANE_BYTES_MIN || lane_bytes > TKR_LANE_BYTES_MAX)
        return fail_option(TKR_ERANGE, "lane_bytes", (int64_t)lane_bytes, "a power of two, 16384 to 67108864");
    if (budget < lane_bytes || budget > TKR_REGION_BYTES_MAX / 2)
        return fail(TKR_ERANGE, "tkr_options.region_bytes_max is %" PRIu64 ": allowed is lane_bytes (%" PRIu64 ") to %" PRIu64,
                    budget, lane_bytes, (uint64_t)TKR_REGION_BYTES_MAX / 2);
    if (calls > TKR_REGION_SLOTS_MAX)
        return fail_option(TKR_ERANGE, "max_open_calls", calls, "1 to 1000000");
    geometry->slots_max = calls;
    geometry->lane_bytes = lane_bytes;
    geometry->data_bytes_max = budget;
    return TKR_OK;
}

static int configure(struct tkr_producer *producer, const tkr_options *options)
{
    int32_t anchor = options->anchor_day != 0 ? options->anchor_day : 1;

    if ((options->flags & ~(uint32_t)(TKR_CYCLE_DAY | TKR_LIMIT_CLOSED)) != 0)
        return fail_option(TKR_EINVAL, "flags", options->flags, "TKR_CYCLE_DAY and TKR_LIMIT_CLOSED");
    if (configure_region(&producer->geometry, options) != TKR_OK)
        return TKR_ERANGE;
    if (options->utc_offset_minutes < -1440 || options->utc_offset_minutes > 1440)
        return fail_option(TKR_ERANGE, "utc_offset_minutes", options->utc_offset_minutes, "-1440 to 1440");
    if (configure_limits(&producer->limit, options) != TKR_OK)
        return TKR_ERANGE;
    if (anchor < 1 || anchor > 31)
        return fail_option(TKR_ECYCLE, "anchor_day", anchor, "1 to 31");
    producer->rule.zone = NULL;
    if ((options->flags & TKR_CYCLE_DAY) != 0) {
        (void)pthread_once(&zone_once, read_zone);
        producer->rule.zone = &zone;
    }
    producer->rule.anchor_day = anchor;
    producer->rule.utc_offset_minutes = options->utc_offset_minutes;
    if (tkr_runtime_path(options->runtime_dir, producer->path, &producer->own_directory) == TKR_OK)
        return TKR_OK;
    return fail(TKR_ENODIR, "the path of the runtime directory (tkr_options.runtime_dir, TOKENRING_RUNTIME_DIR) is too long");
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

/* What the system says, and in which directory. */
static int fail_region(const struct tkr_producer *producer, int code, int error)
{
    return fail(code, "cannot make a region in the runtime directory %.110s (TOKENRING_RUNTIME_DIR): %s%s", producer->path,
                tkr_errno_text(error), code == TKR_ENOSPC ? "; make the tmpfs larger" : "");
}

/* Opens the region; mutex held. The first lane stays for whoever comes first. */
static int open_region(struct tkr_producer *producer)
{
    struct tkr_live *live = producer->live;
    uint64_t session;
    bool locked;
    int directory;
    int result;
    int error = 0;
    tkr_message why;

    if (producer->own_directory)
        tkr_runtime_path_own(producer->path); /* a child may have become another user */
    directory = tkr_runtime_open(producer->path, producer->own_directory, producer->own_directory, &why);
    if (directory < 0) {
        tkr_failure_set(&why);
        return directory;
    }
    locked = lock_opening();
    result = tkr_slots_map(live, producer->geometry.slots_max);
    if (result == TKR_OK) {
        result = tkr_region_create(directory, &producer->geometry, &producer->region);
        error = errno;
        if (result != TKR_OK)
            tkr_slots_unmap(live, producer->geometry.slots_max);
    } else {
        error = ENOMEM;
    }
    if (locked)
        (void)pthread_mutex_unlock(&opening);
    (void)close(directory);
    if (result != TKR_OK)
        return fail_region(producer, result, error);
    live->channel[TKR_CHANNEL_SHARED].shared = true;
    session = atomic_fetch_add_explicit(&sessions, 1, memory_order_relaxed) + 1;
    producer->region.identity = (uint16_t)(1 + (identity_first + session) % UINT16_MAX);
    /* Everything before the session; pairs with the acquire in tkr_producer_ready. */
    atomic_store_explicit(&live->session, session, memory_order_release);
    return TKR_OK;
}

int tkr_producer_open_region(struct tkr_producer *producer)
{
    struct tkr_live *live = producer->live;
    int result = TKR_OK;

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

/* What needs no directory. */
static int prepare(const tkr_options *given, tkr_options *ret_options, struct tkr_producer **ret_producer)
{
    if (tkr_arguments_options(given, ret_options) != TKR_OK)
        return fail(TKR_ESIZE, "tkr_options.size is %" PRIu32 ": set it with TKR_OPTIONS_INIT; what is not known here must be 0",
                    given->size);
    (void)pthread_once(&once, prepare_process);
    if (once_failure != 0)
        return fail(once_failure, "the process has no memory or thread-local storage for a producer");
    *ret_producer = producer_reuse();
    if (*ret_producer != NULL || producer_make(ret_producer) == TKR_OK)
        return TKR_OK;
    return fail(TKR_ENOMEM, "the process has no memory for a producer, or the kernel is older than Linux 5.4");
}

int tkr_open(const tkr_options *given, tkr_producer **ret_producer)
{
    tkr_options options;
    struct tkr_producer *producer;
    int result;

    tkr_failure_clear();
    if (ret_producer == NULL)
        return fail(TKR_EINVAL, "ret_producer is NULL");
    result = prepare(given, &options, &producer);
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

int tkr_open_error(char *ret_text, size_t bytes)
{
    if (ret_text == NULL || bytes == 0)
        return TKR_EINVAL;
    tkr_failure_copy(ret_text, bytes);
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
        tkr_slots_unmap(live, producer->geometry.slots_max);
    } else {
        tkr_region_forget(&producer->region); /* a child that never used it */
    }
    tkr_window_close(&live->window);
    atomic_store_explicit(&live->session, 0, memory_order_relaxed);
    memset(live->lane_taken, 0, sizeof(live->lane_taken));
    memset(live->channel, 0, sizeof(live->channel));
    atomic_store_explicit(&live->free_slots, 0, memory_order_relaxed);
    (void)pthread_mutex_unlock(&live->mutex);
    atomic_store_explicit(&producer->taken, false, memory_order_release);
}

uint32_t tkr_producer_cycle_find(const struct tkr_producer *producer, struct tkr_channel *channel, int64_t start_ns)
{
    struct tkr_cycle_span span;

    tkr_cycle_find(&producer->rule, start_ns, &span);
    if (channel != NULL && !channel->shared) { /* what many threads use cannot remember */
        channel->span = span;
        if (span.begin_ns < 0) /* a moment within the span is one that is allowed */
            channel->span.begin_ns = 0;
        if (span.end_ns > TKR_TIME_MAX_NS)
            channel->span.end_ns = TKR_TIME_MAX_NS;
        channel->span.end_ns -= BEHIND_NS;
    }
    return span.cycle;
}

/* --- counters --- */

void tkr_producer_bad_times(struct tkr_producer *producer)
{
    (void)atomic_fetch_add_explicit(&producer->region.header->bad_times, 1, memory_order_relaxed); /* a sum */
}

int tkr_producer_refuse(struct tkr_producer *producer, int code)
{
    if (tkr_producer_ready(producer) == TKR_OK)
        (void)atomic_fetch_add_explicit(&producer->region.header->refused[-code], 1, memory_order_relaxed); /* a sum */
    return code;
}

int tkr_producer_drop(struct tkr_producer *producer, int code)
{
    enum tkr_drop cause = code == TKR_ENOSPC ? TKR_DROP_NO_SPACE : TKR_DROP_LANES_FULL;

    (void)atomic_fetch_add_explicit(&producer->region.header->dropped[cause], 1, memory_order_relaxed); /* a sum */
    return code;
}
