/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions: files of strangers, drained into a real shard. Whatever is in the file, and whatever happens to it
 * meanwhile, the collector does not crash, comes to an end and keeps the law: what it took as offered is counted or
 * dropped.
 *
 * The input is flags and then a program: bytes poked into a real region, frames that are right or nearly so, batches
 * drained in between. With RESTLESS a second thread goes on changing the file underneath, with SHRINKING it cuts it off
 * and makes it long again, so that pages vanish under the mapping. These two cannot be repeated exactly.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "collector/drain.h"
#include "event/encode.h"
#include "fuzz/fuzz.h"
#include "region/guard.h"
#include "region/name.h"
#include "region/region.h"
#include "support/tempdir.h"

#define PAGE 4096
#define PAGES_MAX 256
#define SLOTS 64u
#define ACCOUNTS_MAX 1000u /* few, so that the table gets full */
#define RUNS_PER_SHARD 2000u
#define ROUNDS_MAX 4096    /* far above what one region can need */
#define ROUNDS_RESTLESS 32 /* while the file never rests, there is no end to wait for */
#define STEPS_MAX 64
#define LANES 2u
#define CYCLE 20261101u
#define DIRECTORY_OFFSET TKR_REGION_HEADER_BYTES

enum { RESTLESS = 1, SHRINKING = 2, POLICY_SHIFT = 2, RESUMED = 16 };

static char directory[TEMPDIR_BYTES];
static int directory_fd;
static struct tkr_shard *shard;
static struct tkr_drain *drain;
static unsigned runs;

/* The skeleton: a region with frames in two lanes and open calls, as its owner left it. */
static struct {
    char name[TKR_REGION_NAME_BYTES];
    unsigned char *bytes;
    size_t count;
    uint64_t slots_offset;
    uint64_t lane_offset[LANES];
    uint64_t capacity[LANES];
    uint64_t sequence[LANES];
    bool used[PAGES_MAX]; /* pages that are not all zeros */
} skeleton;

static int file = -1; /* the region of this run */

/* --- the second thread --- */

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool wanted;
    bool busy;
    uint64_t seed;
    bool shrinking;
    atomic_bool stop;
} rest = {.mutex = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* By write(2), which has nothing to fear from a file cut short. Mostly where something is. */
static void disturb(uint64_t *random)
{
    uint64_t what = next_random(random);
    uint64_t value = next_random(random);
    uint64_t area[] = {0, DIRECTORY_OFFSET, skeleton.slots_offset, skeleton.lane_offset[0], skeleton.lane_offset[1]};
    uint64_t offset = area[what % 5] + (what >> 8) % (what & 128 ? 512 : 2048);

    if (rest.shrinking && what >> 60 == 0) {
        (void)ftruncate(file, (off_t)(value % skeleton.count));
        (void)ftruncate(file, (off_t)skeleton.count); /* the pages come back as zeros */
        return;
    }
    if (rest.shrinking && what >> 60 == 1) {
        (void)ftruncate(file, (off_t)(value % skeleton.count)); /* until the next time */
        return;
    }
    if (what & 64)
        value %= 256;
    (void)pwrite(file, &value, 1 + (what >> 40) % sizeof(value), (off_t)(what & 32 ? offset & ~UINT64_C(7) : offset));
}

static void *never_rest(void *unused)
{
    (void)unused;
    for (;;) {
        uint64_t random;

        (void)pthread_mutex_lock(&rest.mutex);
        rest.busy = false;
        (void)pthread_cond_broadcast(&rest.wake);
        while (!rest.wanted)
            (void)pthread_cond_wait(&rest.wake, &rest.mutex);
        rest.wanted = false;
        random = rest.seed;
        (void)pthread_mutex_unlock(&rest.mutex);
        while (!atomic_load_explicit(&rest.stop, memory_order_relaxed))
            disturb(&random);
    }
    return NULL;
}

static void rest_end(void)
{
    atomic_store_explicit(&rest.stop, true, memory_order_relaxed);
    (void)pthread_mutex_lock(&rest.mutex);
    while (rest.busy)
        (void)pthread_cond_wait(&rest.wake, &rest.mutex);
    (void)pthread_mutex_unlock(&rest.mutex);
}

static void rest_begin(uint64_t seed, bool shrinking)
{
    (void)pthread_mutex_lock(&rest.mutex);
    rest.seed = seed;
    rest.shrinking = shrinking;
    rest.busy = true;
    rest.wanted = true;
    atomic_store_explicit(&rest.stop, false, memory_order_relaxed);
    (void)pthread_cond_broadcast(&rest.wake);
    (void)pthread_mutex_unlock(&rest.mutex);
}

/* --- once --- */

static void add_frame(struct tkr_lane_writer *writer, uint32_t number)
{
    tkr_start start = {.account_count = 1 + number % 2, .model = "gpt-4o", .model_len = 6};
    struct tkr_frame_values values = {.error = number % 3 == 0};
    size_t head_bytes;
    void *frame;

    start.account[0] = (tkr_account){.kind = TKR_KIND_USER, .id = "alice", .len = 5};
    start.account[1] = (tkr_account){.kind = TKR_KIND_TEAM, .id = "blue", .len = 4};
    tkr_frame_value_add(&values, TKR_COUNTER_PROMPT, 10 + number);
    tkr_frame_value_add(&values, TKR_COUNTER_TOTAL, 10 + number);
    head_bytes = tkr_frame_head_bytes(&start);
    frame = tkr_lane_reserve(writer, tkr_frame_bytes(head_bytes, &values));
    FUZZ_CHECK(frame != NULL);
    tkr_frame_head_put(frame, head_bytes, &start, CYCLE, 1);
    tkr_frame_finish(frame, head_bytes, &values, writer->sequence + 1);
    tkr_lane_publish(writer);
}

static void begin_call(struct tkr_region *region, uint32_t slot)
{
    tkr_start start = {.account_count = 1, .prompt_estimate = 100, .reserve = 500};
    uint64_t handle;

    start.account[0] = (tkr_account){.kind = TKR_KIND_USER, .id = "bob", .len = 3};
    handle = tkr_call_slot_begin(&region->slots[slot], slot, 1, &start, CYCLE, 1, 0);
    FUZZ_CHECK(tkr_call_slot_progress(&region->slots[slot], (uint32_t)(handle & 0xfffffff), 7) == 0);
    if (slot % 2 != 0)
        FUZZ_CHECK(tkr_call_slot_claim(&region->slots[slot], (uint32_t)(handle & 0xfffffff)) == 0);
}

static void make_skeleton(void)
{
    struct tkr_region_geometry geometry = {
        .slots_max = SLOTS, .lane_bytes = TKR_LANE_BYTES_MIN, .data_bytes_max = 5 * TKR_LANE_BYTES_MIN};
    struct tkr_region region;
    uint32_t count;

    FUZZ_CHECK(tkr_region_create(directory_fd, &geometry, &region) == 0);
    FUZZ_CHECK(tkr_region_lane_add(&region, 4 * TKR_LANE_BYTES_MIN, &count) == 0);
    FUZZ_CHECK(tkr_region_slots_add(&region, &count) == 0 && count >= 4);
    for (uint32_t i = 0; i < LANES; i++) {
        struct tkr_lane_writer writer;
        tkr_lane_writer_attach(&writer, &region.lanes[i], tkr_region_lane_data(&region, i));
        for (uint32_t number = 0; number < 4; number++)
            add_frame(&writer, number);
        skeleton.lane_offset[i] = region.lanes[i].offset;
        skeleton.capacity[i] = region.lanes[i].capacity;
        skeleton.sequence[i] = writer.sequence;
    }
    for (uint32_t slot = 0; slot < 4; slot++)
        begin_call(&region, slot);
    skeleton.slots_offset = region.header->slots_offset;
    skeleton.count = region.mapped_bytes;
    FUZZ_CHECK(skeleton.count % PAGE == 0 && skeleton.count / PAGE <= PAGES_MAX);
    skeleton.bytes = fuzz_exact(region.header, skeleton.count);
    for (size_t i = 0; i < skeleton.count; i++)
        skeleton.used[i / PAGE] |= skeleton.bytes[i] != 0;
    tkr_region_name_format(TKR_REGION_PREFIX, region.header->id, skeleton.name);
    tkr_region_close(&region);
    FUZZ_CHECK(unlinkat(directory_fd, skeleton.name, 0) == 0);
}

/* An account whose counters soon are full, so that some calls are refused. */
static void fill_account(void)
{
    static const tkr_counts counts = {{[TKR_COUNTER_PROMPT] = INT64_MAX - 25, [TKR_COUNTER_TOTAL] = INT64_MAX - 25}};
    struct tkr_charge charge = {.id = "alice", .id_len = 5, .cycle = CYCLE, .counts = &counts};

    FUZZ_CHECK(tkr_batch_begin(shard));
    tkr_batch_apply(shard, &charge, 1);
    tkr_batch_commit(shard);
}

static void open_shard(void)
{
    struct tkr_shard_options options = {.name = 1, .accounts_max = ACCOUNTS_MAX, .models_max = 2};
    tkr_message message;

    tkr_shard_close(shard);
    (void)unlinkat(directory_fd, "shard-0", 0);
    FUZZ_CHECK(tkr_shard_open(directory_fd, &options, &shard, &message) == 0);
    if (runs / RUNS_PER_SHARD % 2 == 0)
        fill_account();
}

static struct sigaction guard_action;

/* The guard's handler leaves a fault that is not its own to the default, which would end us without a word. */
static void on_bus(int number, siginfo_t *info, void *context)
{
    if (guard_action.sa_flags & SA_SIGINFO)
        guard_action.sa_sigaction(number, info, context);
    else
        guard_action.sa_handler(number);
    abort();
}

static void install_guard(void)
{
    struct sigaction ours = {.sa_sigaction = on_bus};

    FUZZ_CHECK(tkr_guard_install() && sigaction(SIGBUS, NULL, &guard_action) == 0);
    ours.sa_flags = guard_action.sa_flags | SA_SIGINFO;
    ours.sa_mask = guard_action.sa_mask;
    FUZZ_CHECK(sigaction(SIGBUS, &ours, NULL) == 0);
}

static void remove_directory(void)
{
    tempdir_remove(directory);
}

static void set_up(void)
{
    pthread_t thread;

    FUZZ_CHECK(tempdir_make(directory) == 0 && atexit(remove_directory) == 0);
    directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    drain = aligned_alloc(64, (sizeof(*drain) + 63) / 64 * 64);
    FUZZ_CHECK(directory_fd >= 0 && drain != NULL);
    memset(drain, 0, sizeof(*drain));
    install_guard();
    make_skeleton();
    FUZZ_CHECK(pthread_create(&thread, NULL, never_rest, NULL) == 0 && pthread_detach(thread) == 0);
}

/* --- the file of this run --- */

static void make_file(void)
{
    file = openat(directory_fd, skeleton.name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FUZZ_CHECK(file >= 0 && ftruncate(file, (off_t)skeleton.count) == 0);
    for (size_t at = 0; at < skeleton.count; at += PAGE) {
        if (skeleton.used[at / PAGE])
            FUZZ_CHECK(pwrite(file, skeleton.bytes + at, PAGE, (off_t)at) == PAGE);
    }
}

static void poke(struct fuzz_input *in, uint64_t offset)
{
    unsigned char bytes[64];
    size_t count = fuzz_u8(in) % sizeof(bytes) + 1;

    fuzz_take(in, bytes, count);
    (void)pwrite(file, bytes, count, (off_t)offset);
}

static uint64_t lane_field(uint32_t lane, size_t field)
{
    return DIRECTORY_OFFSET + lane * sizeof(struct tkr_lane) + field;
}

static uint64_t head_of(uint32_t lane)
{
    uint64_t head = 0;

    (void)pread(file, &head, sizeof(head), (off_t)lane_field(lane, offsetof(struct tkr_lane, head)));
    return head;
}

static void set_head(uint32_t lane, uint64_t head)
{
    (void)pwrite(file, &head, sizeof(head), (off_t)lane_field(lane, offsetof(struct tkr_lane, head)));
}

/* Writes bytes where the producer stands, as far as they fit, and moves its head. */
static void append(uint32_t lane, const void *bytes, size_t count)
{
    uint64_t head = head_of(lane);
    uint64_t at = head & (skeleton.capacity[lane] - 1);

    if (count > skeleton.capacity[lane] - at)
        count = (size_t)(skeleton.capacity[lane] - at);
    (void)pwrite(file, bytes, count, (off_t)(skeleton.lane_offset[lane] + at));
    set_head(lane, head + count);
}

static void append_raw(struct fuzz_input *in, uint32_t lane)
{
    unsigned char bytes[256] = {0};
    size_t count = TKR_FRAME_ROUND(fuzz_u8(in) + 1u);
    uint16_t length = (uint16_t)count;
    bool fixed = fuzz_u8(in) % 4 != 0;

    fuzz_take(in, bytes, count);
    if (fixed)
        memcpy(bytes, &length, sizeof(length));
    append(lane, bytes, count);
}

/* A frame that is right: it charges an account of the input's choice. */
static void append_frame(struct fuzz_input *in, uint32_t lane, uint64_t *sequence)
{
    alignas(8) unsigned char frame[TKR_FRAME_BYTES_MAX];
    tkr_start start = {.account_count = 1};
    struct tkr_frame_values values = {0};
    char id[4] = {'u'};
    size_t head_bytes;

    fuzz_take(in, id + 1, 2);
    id[1] = (char)('a' + (id[1] & 15));
    id[2] = (char)('a' + (id[2] & 63));
    start.account[0] = (tkr_account){.id = id, .len = 3};
    tkr_frame_value_add(&values, TKR_COUNTER_PROMPT, fuzz_u16(in));
    tkr_frame_value_add(&values, TKR_COUNTER_COST, (int64_t)(fuzz_u64(in) % TKR_COST_MAX));
    head_bytes = tkr_frame_head_bytes(&start);
    tkr_frame_head_put(frame, head_bytes, &start, CYCLE, 1);
    tkr_frame_finish(frame, head_bytes, &values, ++*sequence);
    append(lane, frame, tkr_frame_bytes(head_bytes, &values));
}

/* So many that a batch does not hold them, or the lane. */
static void append_many(struct fuzz_input *in, uint32_t lane, uint64_t *sequence)
{
    struct fuzz_input none = {in->at, 0};

    for (unsigned count = 5u * fuzz_u8(in); count > 0; count--)
        append_frame(&none, lane, sequence);
}

/* --- the collector --- */

static void drain_once(struct tkr_feed *feed)
{
    bool more;

    FUZZ_CHECK(tkr_drain_batch(drain, shard, feed, &more) >= 0);
    FUZZ_CHECK(drain->events <= TKR_DRAIN_EVENTS_MAX && drain->charges <= TKR_BATCH_CHARGES_MAX &&
               drain->bytes <= TKR_DRAIN_BYTES && drain->spans <= TKR_BATCH_LANES_MAX);
}

static bool drained(const struct tkr_feed *feed)
{
    if (tkr_feed_state(feed) != TKR_CURSOR_ACTIVE)
        return true;
    for (uint32_t i = 0; i < feed->view->lane_count; i++) {
        uint64_t head;
        if (!tkr_view_lane_head(feed->view, i, &head) || head != atomic_load(&feed->cursor->lane[i].position))
            return false;
    }
    return true;
}

/* As the worker does with a dead owner's region. true: nothing is left but to fold it. */
static bool serve_once(struct tkr_feed *feed, enum tkr_orphan_policy policy)
{
    drain_once(feed);
    (void)tkr_view_touch(feed->view, 1);
    if (!drained(feed))
        return false;
    if (tkr_feed_state(feed) != TKR_CURSOR_ACTIVE)
        return true;
    return tkr_view_lanes_refresh(feed->view) && drained(feed) && tkr_drain_settle(drain, shard, feed, policy);
}

static void check_law(const struct tkr_law *before)
{
    const struct tkr_law *law = &shard->header->law;
    uint64_t offered = law->gone_offered - before->gone_offered;
    uint64_t counted = law->gone_counted - before->gone_counted;
    uint64_t dropped = 0;

    for (int i = 0; i < TKR_DROP_MAX; i++)
        dropped += law->gone_dropped[i] - before->gone_dropped[i];
    FUZZ_CHECK(offered == counted + dropped);
    FUZZ_CHECK(law->gone_regions == before->gone_regions + 1);
    FUZZ_CHECK(shard->header->committed == shard->batch);
}

/* What stands in the table: the sum of calls over all accounts' own entries. */
static uint64_t calls_in_table(void)
{
    uint64_t used = shard->header->law.arena_used;
    uint64_t calls = 0;

    for (uint64_t at = 0; at < used;) {
        const struct tkr_entry *entry = (const struct tkr_entry *)(shard->arena + at);
        FUZZ_CHECK(tkr_entry_size(entry) > 0);
        for (int i = 0; i < TKR_COUNTER_COUNT; i++)
            FUZZ_CHECK(entry->counts[i] >= 0);
        if (tkr_entry_word_label_len(entry->cycle) == 0)
            calls += (uint64_t)entry->counts[TKR_COUNTER_CALLS];
        at += tkr_entry_size(entry);
    }
    return calls;
}

/* Runs the input's program; batches are drained in between once the region is open. */
static void run_program(struct fuzz_input *in, struct tkr_feed *feed)
{
    uint64_t sequence[LANES];

    memcpy(sequence, skeleton.sequence, sizeof(sequence));
    for (int step = 0; step < STEPS_MAX && in->left > 0; step++) {
        uint8_t what = fuzz_u8(in);
        uint32_t lane = what >> 7;
        switch (what % 11) {
        case 0:
            poke(in, fuzz_u16(in) % TKR_REGION_HEADER_BYTES);
            break;
        case 1:
            poke(in, lane_field(lane, fuzz_u8(in)));
            break;
        case 2:
            poke(in, skeleton.slots_offset + fuzz_u16(in) % (4 * TKR_CALL_SLOT_BYTES));
            break;
        case 3:
            poke(in, skeleton.lane_offset[lane] + fuzz_u16(in) % 1024);
            break;
        case 4:
            set_head(lane, fuzz_u64(in));
            break;
        case 5:
            append_raw(in, lane);
            break;
        case 6:
            append_frame(in, lane, &sequence[lane]);
            break;
        case 7:
            set_head(lane, head_of(lane) + fuzz_u16(in) / 8 * 8);
            break;
        case 8:
            (void)ftruncate(file, (off_t)fuzz_u16(in) * 16);
            break;
        case 9:
            append_many(in, lane, &sequence[lane]);
            break;
        default:
            if (feed->cursor != NULL)
                drain_once(feed);
            break;
        }
    }
}

static bool take_up(struct tkr_feed *feed)
{
    tkr_message message;

    if (tkr_view_open(directory_fd, skeleton.name, true, &feed->view, &message) != TKR_VIEW_OK)
        return false;
    feed->directory = directory_fd;
    memcpy(feed->name, skeleton.name, sizeof(feed->name));
    FUZZ_CHECK(tkr_feed_adopt(shard, feed));
    return true;
}

static void serve(struct tkr_feed *feed, uint8_t flags, uint64_t seed)
{
    enum tkr_orphan_policy policy = (enum tkr_orphan_policy)(flags >> POLICY_SHIFT & 3);
    bool restless = (flags & (RESTLESS | SHRINKING)) != 0;
    bool done = false;

    if (restless) {
        rest_begin(seed, (flags & SHRINKING) != 0);
        for (int i = 0; i < ROUNDS_RESTLESS && !done; i++)
            done = serve_once(feed, policy);
        rest_end();
    }
    if (flags & RESUMED)
        tkr_feed_resume(feed);
    for (int i = 0; !done; i++) {
        FUZZ_CHECK(i < ROUNDS_MAX); /* the file rests: there is an end */
        done = serve_once(feed, policy);
    }
}

static void collect(struct fuzz_input *in, uint8_t flags)
{
    struct tkr_law before = shard->header->law;
    uint64_t calls = calls_in_table();
    uint64_t seed = fuzz_u8(in);
    struct tkr_feed feed = {0};
    uint64_t counted;

    if ((flags & 32) != 0) /* half of the programs run before the collector has a look at the file */
        run_program(in, &feed);
    if (!take_up(&feed))
        return;
    run_program(in, &feed);
    serve(&feed, flags, seed);
    tkr_feed_reclaim(shard, &feed);
    FUZZ_CHECK(feed.cursor == NULL);
    check_law(&before);
    counted = shard->header->law.gone_counted - before.gone_counted;
    calls = calls_in_table() - calls;
    FUZZ_CHECK(calls >= counted && calls <= TKR_ACCOUNTS_MAX * counted);
    tkr_view_close(feed.view);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct fuzz_input in = {bytes, count};
    uint8_t flags = fuzz_u8(&in);

    if (drain == NULL)
        set_up();
    if (runs++ % RUNS_PER_SHARD == 0)
        open_shard();
    make_file();
    collect(&in, flags);
    (void)close(file);
    (void)unlinkat(directory_fd, skeleton.name, 0);
    return 0;
}
