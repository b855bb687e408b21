/* SPDX-License-Identifier: Apache-2.0 */
/* Lane to table without threads: exact sums, limits of a batch, regions that break the rules, the law after folding. */
#include <pthread.h>

#include "support/random.h"
#include "unit/collector/bench.h"

/* --- frames --- */

static void test_calls_of_one_two_and_four_accounts_are_exact(void **state)
{
    static const char *const ids[] = {"a", "b", "c", "d"};
    struct bench *bench = *state;
    struct hand hand;
    struct tkr_feed *feed;

    hand_open(&hand, bench);
    feed = bench_adopt(bench, hand.name);
    assert_true(hand_put_for(&hand, 0, ids, 1, 1));
    assert_true(hand_put_for(&hand, 0, ids, 2, 10));
    assert_true(hand_put_for(&hand, 0, ids, 4, 100));
    assert_true(hand_put_for(&hand, 0, ids + 3, 1, 1000));
    assert_int_equal(bench_drain(bench), 4);
    assert_int_equal(bench_counter(bench, "a", TKR_COUNTER_PROMPT), 111);
    assert_int_equal(bench_counter(bench, "b", TKR_COUNTER_PROMPT), 110);
    assert_int_equal(bench_counter(bench, "c", TKR_COUNTER_PROMPT), 100);
    assert_int_equal(bench_counter(bench, "d", TKR_COUNTER_PROMPT), 1100);
    assert_int_equal(bench_counter(bench, "a", TKR_COUNTER_TOTAL), 222);
    assert_int_equal(bench_counter(bench, "a", TKR_COUNTER_CALLS), 3);
    assert_int_equal(atomic_load(&feed->cursor->lane[0].counted), 4);
    assert_int_equal(atomic_load(&feed->cursor->lane[0].sequence), 4);
    assert_int_equal(atomic_load(&hand.region.lanes[0].free), atomic_load(&hand.region.lanes[0].head)); /* given back */
    assert_int_equal(atomic_load(&hand.region.lanes[0].counted), 4);
    assert_int_equal(bench_drain(bench), 0);
    hand_close(&hand);
}

static void test_lane_that_wraps_many_times_is_exact(void **state)
{
    struct bench *bench = *state;
    struct test_random random = test_random_start();
    struct hand hand;
    struct tkr_feed *feed;
    int64_t sum = 0;
    uint64_t calls = 0;
    char id[TKR_ID_BYTES_MAX + 1];

    hand_open(&hand, bench);
    feed = bench_adopt(bench, hand.name);
    for (int round = 0; round < 400; round++) {
        for (uint64_t burst = test_random_below(&random, 150); burst > 0; burst--) {
            const char *ids[2] = {"all", id};
            size_t length = 1 + test_random_below(&random, TKR_ID_BYTES_MAX);
            int64_t n = 1 + (int64_t)test_random_below(&random, INT64_C(1) << 34);
            memset(id, 'x', length);
            id[length] = '\0';
            if (!hand_put_for(&hand, 0, ids, 2, n))
                break; /* full */
            sum += n;
            calls++;
        }
        (void)bench_drain(bench);
    }
    assert_true(atomic_load(&hand.region.lanes[0].head) > 20 * TKR_LANE_BYTES_MIN);
    assert_int_equal(bench_counter(bench, "all", TKR_COUNTER_PROMPT), sum);
    assert_int_equal(bench_counter(bench, "all", TKR_COUNTER_TOTAL), 2 * sum);
    assert_int_equal(bench_counter(bench, "all", TKR_COUNTER_CALLS), calls);
    assert_int_equal(atomic_load(&feed->cursor->lane[0].counted), calls);
    hand_close(&hand);
    tkr_feed_reclaim(bench->table.shard, feed);
    bench_assert_law(bench, calls, 0);
}

static void test_many_lanes_and_regions_share_a_batch(void **state)
{
    struct bench *bench = *state;
    struct hand hand[6];
    struct tkr_feed *feed[6];
    int calls = 0;
    int events = 0;
    bool more = true;

    for (int h = 0; h < 6; h++) {
        hand_open(&hand[h], bench);
        for (int lane = 1; lane < 4; lane++)
            hand_add_lane(&hand[h]);
        feed[h] = bench_adopt(bench, hand[h].name);
        for (int i = 0; i < 4 * 100; i++) {
            assert_true(hand_put(&hand[h], i % 4, i % 2 == 0 ? "even" : "odd", i));
            calls++;
        }
    }
    for (int batches = 0; more; batches++) {
        uint64_t batch = bench->table.shard->batch;
        int counted = tkr_drain_batch(bench->drain, bench->table.shard, bench->feed, &more);
        assert_in_range(counted, 0, TKR_DRAIN_EVENTS_MAX);
        assert_int_equal(bench->table.shard->batch, batch + (counted > 0)); /* all of it in one batch */
        assert_true(batches < 100);
        events += counted;
    }
    assert_int_equal(events, calls);
    assert_int_equal(bench_counter(bench, "even", TKR_COUNTER_CALLS), calls / 2);
    assert_int_equal(bench_counter(bench, "even", TKR_COUNTER_PROMPT), 6 * 200 * 199);
    assert_int_equal(bench_counter(bench, "odd", TKR_COUNTER_PROMPT), 6 * 200 * 200);
    for (int h = 0; h < 6; h++) {
        hand_close(&hand[h]);
        tkr_feed_reclaim(bench->table.shard, feed[h]);
    }
    bench_assert_law(bench, (uint64_t)calls, 0);
    assert_int_equal(atomic_load(&bench->table.shard->header->law.gone_regions), 6);
}

/* A lane that is never empty keeps no other lane of its region waiting for more than a few batches. */
static void test_busy_lane_does_not_starve_the_others(void **state)
{
    struct bench *bench = *state;
    struct hand hand;
    int batches = 0;

    hand_open(&hand, bench);
    hand_add_lane(&hand);
    (void)bench_adopt(bench, hand.name);
    assert_true(hand_put(&hand, 1, "quiet", 1));
    while (bench_counter(bench, "quiet", TKR_COUNTER_CALLS) != 1) {
        bool more;
        while (hand_put(&hand, 0, "busy", 1))
            continue; /* full again */
        assert_true(tkr_drain_batch(bench->drain, bench->table.shard, bench->feed, &more) > 0);
        assert_true(++batches <= 3);
    }
    hand_close(&hand);
}

static void test_lane_added_later_is_found(void **state)
{
    struct bench *bench = *state;
    struct hand hand;

    hand_open(&hand, bench);
    (void)bench_adopt(bench, hand.name);
    assert_true(hand_put(&hand, 0, "a", 1));
    assert_int_equal(bench_drain(bench), 1);
    hand_add_lane(&hand);
    assert_true(hand_put(&hand, 1, "a", 1));
    assert_int_equal(bench_drain(bench), 1);
    assert_int_equal(bench_counter(bench, "a", TKR_COUNTER_PROMPT), 2);
    hand_close(&hand);
}

static void put_raw(struct hand *hand, const void *frame, size_t bytes)
{
    void *memory = tkr_lane_reserve(&hand->writer[0], bytes);

    assert_non_null(memory);
    memcpy(memory, frame, bytes);
    hand->writer[0].sequence--; /* no usage frame */
    tkr_lane_publish(&hand->writer[0]);
}

static void test_frames_of_a_later_version_are_skipped_and_counted(void **state)
{
    struct bench *bench = *state;
    const struct tkr_frame_header later = {.bytes = 32, .values_offset = 32, .type = 77};
    struct hand hand;
    struct tkr_feed *feed;

    hand_open(&hand, bench);
    feed = bench_adopt(bench, hand.name);
    assert_true(hand_put(&hand, 0, "a", 1));
    put_raw(&hand, &later, sizeof(later));
    put_raw(&hand, &later, sizeof(later));
    assert_true(hand_put(&hand, 0, "a", 2));
    assert_int_equal(bench_drain(bench), 2);
    assert_int_equal(bench_counter(bench, "a", TKR_COUNTER_PROMPT), 3);
    assert_int_equal(atomic_load(&feed->cursor->unknown), 2);
    assert_int_equal(tkr_feed_state(feed), TKR_CURSOR_ACTIVE);
    hand_close(&hand);
    tkr_feed_reclaim(bench->table.shard, feed);
    bench_assert_law(bench, 2, 0);
    assert_int_equal(atomic_load(&bench->table.shard->header->law.gone_unknown), 2);
}

/* --- a batch that is lost --- */

static void test_batch_lost_before_its_commit_is_drained_again(void **state)
{
    struct bench *bench = *state;
    struct hand hand;
    struct tkr_feed *feed;
    struct tkr_cursor *cursor;

    hand_open(&hand, bench);
    feed = bench_adopt(bench, hand.name);
    for (int i = 0; i < 10; i++)
        assert_true(hand_put(&hand, 0, "a", 1));
    assert_int_equal(bench_drain(bench), 10);
    for (int i = 0; i < 5; i++)
        assert_true(hand_put(&hand, 0, "a", 100));
    atomic_store(&bench->table.shard->header->committed, bench->table.shard->batch);
    assert_true(tkr_batch_begin(bench->table.shard)); /* as far as a death may come: all but the commit */
    assert_true(table_add(&bench->table, "a", 100));
    cursor = feed->cursor;
    tkr_batch_touch(bench->table.shard, &cursor->lane[0], sizeof(cursor->lane[0]));
    tkr_batch_set(&cursor->lane[0].position, 123 * 8);
    tkr_batch_set(&cursor->lane[0].sequence, 77);
    table_reopen(&bench->table);
    feed->cursor = &bench->table.shard->cursor[0];
    tkr_feed_resume(feed);
    assert_int_equal(bench_counter(bench, "a", TKR_COUNTER_PROMPT), 10);
    assert_int_equal(bench_drain(bench), 5);
    assert_int_equal(bench_counter(bench, "a", TKR_COUNTER_PROMPT), 510);
    hand_close(&hand);
    tkr_feed_reclaim(bench->table.shard, feed);
    bench_assert_law(bench, 15, 0);
}

/* Committed, but the collector died before it gave the memory back: the next one says so. */
static void test_resume_gives_back_what_was_counted(void **state)
{
    struct bench *bench = *state;
    struct hand hand;
    struct tkr_feed *feed;

    hand_open(&hand, bench);
    feed = bench_adopt(bench, hand.name);
    while (hand_put(&hand, 0, "a", 1))
        continue;
    (void)bench_drain(bench);
    atomic_store(&hand.region.lanes[0].free, 0);
    atomic_store(&hand.region.lanes[0].counted, 0);
    tkr_feed_resume(feed);
    assert_int_equal(atomic_load(&hand.region.lanes[0].free), atomic_load(&hand.region.lanes[0].head));
    assert_int_equal(atomic_load(&hand.region.lanes[0].counted), hand.writer[0].sequence);
    assert_true(hand_put(&hand, 0, "a", 1));
    assert_int_equal(bench_drain(bench), 1);
    hand_close(&hand);
}

/* --- regions that break the rules --- */

enum damage {
    CORRUPT_FRAME,
    CORRUPT_LENGTH,
    WRONG_SEQUENCE,
    REPEATED_SEQUENCE,
    HEAD_TOO_FAR,
    HEAD_BEHIND,
    HEAD_NOT_ALIGNED,
    LANES_TOO_MANY,
    LANES_FEWER,
    LANE_NOWHERE,
    TRUNCATED,
    DAMAGES
};

/* Two good calls, then the damage. Returns the calls that the producer says it published and that are lost by it. */
static uint64_t do_damage(struct bench *bench, struct hand *hand, enum damage damage)
{
    struct tkr_lane *lane = &hand->region.lanes[0];
    unsigned char *frame = (unsigned char *)tkr_region_lane_data(&hand->region, 0) + atomic_load(&lane->head);
    int fd;

    if (damage <= REPEATED_SEQUENCE)
        assert_true(hand_put(hand, 0, "a", 100)); /* the bad one */
    switch (damage) {
    case CORRUPT_FRAME:
        frame[28] = 99; /* accounts */
        return 1;
    case CORRUPT_LENGTH:
        frame[0] = 3;
        return 1;
    case WRONG_SEQUENCE:
        frame[8] = 4;
        return 1;
    case REPEATED_SEQUENCE:
        frame[8] = 2;
        return 1;
    case HEAD_TOO_FAR:
        atomic_store(&lane->head, atomic_load(&lane->head) + TKR_LANE_BYTES_MIN + 8);
        return 0;
    case HEAD_BEHIND:
        assert_int_equal(bench_drain(bench), 2);
        atomic_store(&lane->head, 0);
        return 0;
    case HEAD_NOT_ALIGNED:
        assert_int_equal(bench_drain(bench), 2);
        atomic_store(&lane->head, atomic_load(&lane->head) + 4);
        return 0;
    case LANES_TOO_MANY:
        assert_int_equal(bench_drain(bench), 2);
        atomic_store(&hand->region.header->lane_count, 1000000);
        return 0;
    case LANES_FEWER:
        assert_int_equal(bench_drain(bench), 2);
        atomic_store(&hand->region.header->lane_count, 0);
        return 0;
    case LANE_NOWHERE:
        assert_int_equal(bench_drain(bench), 2);
        hand->region.lanes[1].capacity = TKR_LANE_BYTES_MIN;
        hand->region.lanes[1].offset = UINT64_MAX - 7;
        atomic_store(&hand->region.header->lane_count, 2);
        return 0;
    default:
        assert_int_equal(bench_drain(bench), 2);
        fd = openat(bench->directory, hand->name, O_RDWR | O_CLOEXEC);
        assert_int_equal(ftruncate(fd, 0), 0);
        (void)close(fd);
        return 0;
    }
}

static void test_region_that_breaks_the_rules_is_quarantined_and_the_law_balances(void **state)
{
    struct bench *bench = *state;
    struct hand good;
    struct tkr_feed *good_feed;
    uint64_t offered = 0;
    uint64_t dropped = 0;

    assert_true(tkr_guard_install()); /* cmocka has put its own handler over it */
    hand_open(&good, bench);
    good_feed = bench_adopt(bench, good.name);
    for (int damage = 0; damage < DAMAGES; damage++) {
        struct hand hand;
        struct tkr_feed *feed;
        uint64_t lost;
        bool head_alone = damage == HEAD_TOO_FAR;
        hand_open(&hand, bench);
        feed = bench_adopt(bench, hand.name);
        assert_true(hand_put(&hand, 0, "a", 1));
        assert_true(hand_put(&hand, 0, "a", 1));
        if (head_alone)
            assert_int_equal(bench_drain(bench), 2);
        lost = do_damage(bench, &hand, (enum damage)damage);
        assert_true(hand_put(&good, 0, "good", 1));
        (void)bench_drain(bench);
        assert_int_equal(tkr_feed_state(feed), TKR_CURSOR_QUARANTINED);
        assert_int_equal(bench_counter(bench, "a", TKR_COUNTER_PROMPT), 2 * (damage + 1)); /* what came before counts */
        assert_int_equal(bench_counter(bench, "good", TKR_COUNTER_CALLS), damage + 1);     /* others are not disturbed */
        (void)bench_drain(bench);                                                          /* nothing more is read of it */
        assert_int_equal(bench_counter(bench, "a", TKR_COUNTER_PROMPT), 2 * (damage + 1));
        if (damage != TRUNCATED)
            hand_close(&hand);
        tkr_feed_reclaim(bench->table.shard, feed);
        assert_null(feed->cursor);
        assert_false(bench_file_is_there(bench, hand.name));
        dropped += lost > 0 ? lost : 1; /* how much it was nobody can know: at least that it happened is counted */
        offered += 2 + (lost > 0 ? lost : 1);
        bench_assert_law(bench, offered, dropped);
        bench->feed[0].next = NULL; /* makes room for the next one */
        tkr_view_close(feed->view);
        feed->view = NULL;
        bench->feeds = 1;
    }
    hand_close(&good);
    tkr_feed_reclaim(bench->table.shard, good_feed);
    bench_assert_law(bench, offered + DAMAGES, dropped);
}

/* Records behind the damage are what the quarantine costs, and they are counted as dropped. */
static void test_quarantine_counts_what_the_lanes_still_held(void **state)
{
    struct bench *bench = *state;
    struct hand hand;
    struct tkr_feed *feed;
    unsigned char *data;

    hand_open(&hand, bench);
    hand_add_lane(&hand);
    feed = bench_adopt(bench, hand.name);
    data = tkr_region_lane_data(&hand.region, 0);
    assert_true(hand_put(&hand, 0, "a", 1));
    data[8] = 9; /* the first frame already */
    for (int i = 0; i < 6; i++)
        assert_true(hand_put(&hand, 0, "a", 1));
    for (int i = 0; i < 3; i++)
        assert_true(hand_put(&hand, 1, "b", 1));
    (void)bench_drain(bench);
    assert_int_equal(tkr_feed_state(feed), TKR_CURSOR_QUARANTINED);
    hand_close(&hand);
    tkr_feed_reclaim(bench->table.shard, feed);
    bench_assert_law(bench, 10, 10 - (uint64_t)(bench_counter(bench, "b", TKR_COUNTER_CALLS) > 0 ? 3 : 0));
}

static void test_refused_event_is_dropped_and_the_law_balances(void **state)
{
    static const char *const both[] = {"full", "other"};
    struct bench *bench = *state;
    struct hand hand;
    struct tkr_feed *feed;

    assert_true(table_charge(&bench->table, "full", INT64_C(1) << 62));
    assert_true(table_charge(&bench->table, "full", INT64_MAX - (INT64_C(1) << 62) - 15));
    hand_open(&hand, bench);
    feed = bench_adopt(bench, hand.name);
    assert_true(hand_put_for(&hand, 0, both, 2, 5)); /* total 10: fits */
    assert_true(hand_put_for(&hand, 0, both, 2, 5)); /* does not */
    assert_true(hand_put(&hand, 0, "other", 1));
    assert_true(hand_put_for(&hand, 0, both, 2, 6));
    assert_int_equal(bench_drain(bench), 4);
    assert_int_equal(bench_counter(bench, "other", TKR_COUNTER_PROMPT), 6);
    assert_int_equal(atomic_load(&feed->cursor->dropped[TKR_DROP_OVERFLOW]), 2);
    hand_close(&hand);
    tkr_feed_reclaim(bench->table.shard, feed);
    bench_assert_law(bench, 4, 2);
}

/* --- the end of a region --- */

static void test_reclaim_folds_once_unlinks_and_frees_the_cursor(void **state)
{
    struct bench *bench = *state;
    struct hand hand;
    struct hand next;
    struct tkr_feed *feed;
    struct tkr_cursor *cursor;

    hand_open(&hand, bench);
    hand_add_lane(&hand);
    feed = bench_adopt(bench, hand.name);
    cursor = feed->cursor;
    for (int i = 0; i < 7; i++)
        assert_true(hand_put(&hand, i % 2, "a", 1));
    atomic_store(&hand.region.header->dropped[TKR_DROP_LANES_FULL], 3);
    atomic_store(&hand.region.header->refused[2], 4);
    (void)bench_drain(bench);
    hand_close(&hand);
    tkr_feed_reclaim(bench->table.shard, feed);
    assert_null(feed->cursor);
    assert_false(bench_file_is_there(bench, hand.name));
    bench_assert_law(bench, 10, 3);
    assert_int_equal(atomic_load(&bench->table.shard->header->law.gone_refused[2]), 4);
    for (size_t i = 8; i < sizeof(*cursor); i++) /* but for stamps */
        if (i < TKR_CURSOR_HEAD_BYTES || (i - TKR_CURSOR_HEAD_BYTES) % sizeof(struct tkr_lane_cursor) >= 8)
            assert_int_equal(((unsigned char *)cursor)[i], 0);
    hand_open(&next, bench);
    feed = bench_adopt(bench, next.name);
    assert_ptr_equal(feed->cursor, cursor); /* again */
    assert_true(hand_put(&next, 0, "a", 1));
    bench->feed[0].cursor = feed->cursor; /* the list begins with the one that is gone: leave it out */
    assert_true(tkr_drain_batch(bench->drain, bench->table.shard, feed, &(bool){false}) == 1);
    assert_int_equal(bench_counter(bench, "a", TKR_COUNTER_CALLS), 8);
    hand_close(&next);
}

/* A death at each step of reclaiming: the next collector goes on, the law is folded once. */
static void test_reclaim_begun_again_folds_once(void **state)
{
    struct bench *bench = *state;
    struct hand hand;
    struct tkr_feed *feed;

    hand_open(&hand, bench);
    feed = bench_adopt(bench, hand.name);
    for (int i = 0; i < 5; i++)
        assert_true(hand_put(&hand, 0, "a", 1));
    (void)bench_drain(bench);
    hand_close(&hand);
    assert_true(tkr_batch_begin(bench->table.shard)); /* the batch that says GONE, lost */
    tkr_batch_touch(bench->table.shard, feed->cursor, TKR_CURSOR_HEAD_BYTES);
    tkr_batch_set(&feed->cursor->state, TKR_CURSOR_GONE);
    tkr_batch_add(&tkr_batch_law(bench->table.shard)->gone_offered, 5);
    table_reopen(&bench->table);
    feed->cursor = &bench->table.shard->cursor[0];
    assert_int_equal(tkr_feed_state(feed), TKR_CURSOR_ACTIVE);
    tkr_feed_reclaim(bench->table.shard, feed);
    bench_assert_law(bench, 5, 0);
    feed->cursor = &bench->table.shard->cursor[0]; /* GONE was committed, the wiping was lost: half the lanes are zero */
    assert_true(tkr_batch_begin(bench->table.shard));
    tkr_batch_touch(bench->table.shard, feed->cursor, TKR_CURSOR_HEAD_BYTES);
    tkr_batch_set(&feed->cursor->state, TKR_CURSOR_GONE);
    tkr_batch_commit(bench->table.shard);
    tkr_batch_set(&feed->cursor->lane[200].sequence, 9);
    table_reopen(&bench->table);
    feed->cursor = &bench->table.shard->cursor[0];
    tkr_feed_reclaim(bench->table.shard, feed);
    bench_assert_law(bench, 5, 0);
    assert_int_equal(atomic_load(&bench->table.shard->cursor[0].state), TKR_CURSOR_FREE);
    assert_int_equal(atomic_load(&bench->table.shard->cursor[0].lane[200].sequence), 0);
}

static void test_cursors_run_out_and_come_back(void **state)
{
    struct bench *bench = *state;
    struct tkr_cursor *first;

    for (uint32_t i = 0; i < TKR_SHARD_REGIONS_MAX; i++) {
        struct tkr_cursor *cursor = tkr_shard_cursor_unused(bench->table.shard);
        assert_non_null(cursor);
        atomic_store(&cursor->state, TKR_CURSOR_ACTIVE);
    }
    assert_null(tkr_shard_cursor_unused(bench->table.shard));
    first = &bench->table.shard->cursor[17];
    atomic_store(&first->state, TKR_CURSOR_FREE);
    assert_ptr_equal(tkr_shard_cursor_unused(bench->table.shard), first);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_calls_of_one_two_and_four_accounts_are_exact),
        T(test_lane_that_wraps_many_times_is_exact),
        T(test_many_lanes_and_regions_share_a_batch),
        T(test_busy_lane_does_not_starve_the_others),
        T(test_lane_added_later_is_found),
        T(test_frames_of_a_later_version_are_skipped_and_counted),
        T(test_batch_lost_before_its_commit_is_drained_again),
        T(test_resume_gives_back_what_was_counted),
        T(test_region_that_breaks_the_rules_is_quarantined_and_the_law_balances),
        T(test_quarantine_counts_what_the_lanes_still_held),
        T(test_refused_event_is_dropped_and_the_law_balances),
        T(test_reclaim_folds_once_unlinks_and_frees_the_cursor),
        T(test_reclaim_begun_again_folds_once),
        T(test_cursors_run_out_and_come_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
