/* SPDX-License-Identifier: Apache-2.0 */
/* A region written by hand, a shard and feeds between them: what a worker has, without its thread. */
#ifndef TESTS_UNIT_COLLECTOR_BENCH_H
#define TESTS_UNIT_COLLECTOR_BENCH_H

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "collector/drain.h"
#include "event/encode.h"
#include "region/guard.h"
#include "region/name.h"
#include "region/region.h"
#include "unit/table/fixture.h"

#define BENCH_FEEDS 8

/* A producer of which every store is ours. */
struct hand {
    struct tkr_region region;
    struct tkr_lane_writer writer[4];
    char name[TKR_REGION_NAME_BYTES];
    bool open;
};

struct bench {
    char runtime[TEMPDIR_BYTES];
    int directory;
    struct table table;
    struct tkr_drain *drain;
    struct tkr_feed feed[BENCH_FEEDS];
    uint32_t feeds;
};

static inline int bench_set_up(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));

    if (bench == NULL || !tkr_guard_install() || tempdir_make(bench->runtime) != 0)
        return -1;
    bench->directory = open(bench->runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bench->drain = aligned_alloc(64, sizeof(*bench->drain));
    if (bench->directory < 0 || bench->drain == NULL)
        return -1;
    table_make(&bench->table, 10000);
    *state = bench;
    return 0;
}

static inline int bench_tear_down(void **state)
{
    struct bench *bench = *state;

    for (uint32_t i = 0; i < bench->feeds; i++)
        tkr_view_close(bench->feed[i].view);
    table_remove(&bench->table);
    (void)close(bench->directory);
    tempdir_remove(bench->runtime);
    free(bench->drain);
    free(bench);
    return 0;
}

/* --- regions by hand --- */

static inline void hand_open(struct hand *hand, const struct bench *bench)
{
    const struct tkr_region_geometry geometry = {.slots_max = 256, .lane_bytes = TKR_LANE_BYTES_MIN, .data_bytes_max = 1 << 20};

    memset(hand, 0, sizeof(*hand));
    assert_int_equal(tkr_region_create(bench->directory, &geometry, &hand->region), 0);
    tkr_region_name_format(TKR_REGION_PREFIX, hand->region.header->id, hand->name);
    hand->open = true;
    tkr_lane_writer_attach(&hand->writer[0], &hand->region.lanes[0], tkr_region_lane_data(&hand->region, 0));
}

static inline void hand_add_lane(struct hand *hand)
{
    uint32_t lane;

    assert_int_equal(tkr_region_lane_add(&hand->region, TKR_LANE_BYTES_MIN, &lane), 0);
    assert_true(lane < 4);
    tkr_lane_writer_attach(&hand->writer[lane], &hand->region.lanes[lane], tkr_region_lane_data(&hand->region, lane));
}

/* The process ends. */
static inline void hand_close(struct hand *hand)
{
    tkr_region_close(&hand->region);
    hand->open = false;
}

static inline tkr_start start_of(const char *const ids[], uint32_t count)
{
    tkr_start start = TKR_START_INIT;

    start.account_count = count;
    for (uint32_t i = 0; i < count; i++)
        start.account[i] = (tkr_account){.id = ids[i], .len = (uint32_t)strlen(ids[i])};
    start.cycle = CYCLE;
    return start;
}

/* Publishes a call of n tokens each way. false: the lane is full. */
static inline bool hand_put_for(struct hand *hand, int lane, const char *const ids[], uint32_t count, int64_t n)
{
    tkr_start start = start_of(ids, count);
    struct tkr_frame_values values = {.count = 0};
    size_t head = tkr_frame_head_bytes(&start);
    void *frame;

    tkr_frame_value_add(&values, TKR_COUNTER_PROMPT, n);
    tkr_frame_value_add(&values, TKR_COUNTER_COMPLETION, n);
    tkr_frame_value_add(&values, TKR_COUNTER_TOTAL, 2 * n);
    frame = tkr_lane_reserve(&hand->writer[lane], tkr_frame_bytes(head, &values));
    if (frame == NULL)
        return false;
    tkr_frame_head_put(frame, head, &start, CYCLE, 1793000000000000000);
    tkr_frame_finish(frame, head, &values, hand->writer[lane].sequence + 1);
    tkr_lane_publish(&hand->writer[lane]);
    return true;
}

static inline bool hand_put(struct hand *hand, int lane, const char *id, int64_t n)
{
    return hand_put_for(hand, lane, &id, 1, n);
}

/* --- feeds --- */

/* Opens the region as discovery does; without a cursor yet. */
static inline struct tkr_feed *bench_feed(struct bench *bench, const char *name)
{
    struct tkr_feed *feed = &bench->feed[bench->feeds++];
    tkr_message message = {""};

    assert_true(bench->feeds <= BENCH_FEEDS);
    memset(feed, 0, sizeof(*feed));
    if (tkr_view_open(bench->directory, name, true, &feed->view, &message) != TKR_VIEW_OK)
        fail_msg("%s", message.text);
    feed->directory = bench->directory;
    (void)snprintf(feed->name, sizeof(feed->name), "%s", name);
    if (bench->feeds > 1)
        bench->feed[bench->feeds - 2].next = feed;
    return feed;
}

static inline struct tkr_feed *bench_adopt(struct bench *bench, const char *name)
{
    struct tkr_feed *feed = bench_feed(bench, name);

    assert_true(tkr_feed_adopt(bench->table.shard, feed));
    return feed;
}

/* Drains until the lanes are empty. Returns the events. */
static inline int bench_drain(struct bench *bench)
{
    bool more = true;
    int sum = 0;

    for (int rounds = 0; more; rounds++) {
        int events = tkr_drain_batch(bench->drain, bench->table.shard, bench->feed, &more);
        assert_in_range(events, 0, TKR_DRAIN_EVENTS_MAX);
        assert_true(rounds < 10000);
        sum += events;
    }
    return sum;
}

static inline int64_t bench_counter(const struct bench *bench, const char *id, enum tkr_counter counter)
{
    const struct tkr_entry *entry = table_find(&bench->table, id);

    return entry == NULL ? -1 : atomic_load(&entry->counts[counter]);
}

static inline bool bench_file_is_there(const struct bench *bench, const char *name)
{
    struct stat status;

    return fstatat(bench->directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static inline uint64_t bench_dropped(const struct tkr_law *law)
{
    uint64_t sum = 0;

    for (int i = 0; i < TKR_DROP_MAX; i++)
        sum += atomic_load(&law->gone_dropped[i]);
    return sum;
}

/* offered = counted + dropped, of regions that are gone. */
static inline void bench_assert_law(const struct bench *bench, uint64_t offered, uint64_t dropped)
{
    const struct tkr_law *law = &bench->table.shard->header->law;

    assert_int_equal(atomic_load(&law->gone_offered), offered);
    assert_int_equal(bench_dropped(law), dropped);
    assert_int_equal(atomic_load(&law->gone_counted), offered - dropped);
}

#endif
