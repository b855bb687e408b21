/* SPDX-License-Identifier: Apache-2.0 */
/* A shard that gets no memory: what belongs to new accounts stays in its lanes, whole and in order, and is counted once. */
#include "event/encode.h"
#include "support/random.h"
#include "unit/collector/bench.h"

#define ROUNDS 400
#define USERS 40
#define LANES 4

/* The tmpfs has no memory for another entry. */
static void starve(const struct bench *bench)
{
    struct tkr_shard *shard = bench->table.shard;

    shard->arena_allocated = atomic_load(&shard->header->law.arena_used);
    shard->memory_retry_ns = INT64_MAX;
}

static void feed(const struct bench *bench)
{
    bench->table.shard->memory_retry_ns = 0;
}

/* One batch; what waits is left alone, so the lanes need not be empty after it. Returns the events. */
static int drain_once(struct bench *bench)
{
    bool more;

    return tkr_drain_batch(bench->drain, bench->table.shard, bench->feed, &more);
}

static void put_notice(struct hand *hand, int lane, const char *id)
{
    tkr_start start = start_of(&id, 1);
    struct tkr_frame_values values = {.count = 0};
    size_t head = tkr_frame_head_bytes(&start);
    void *frame;

    values.error = (uint8_t)TKR_NOTICE_SLOW;
    frame = tkr_lane_reserve(&hand->writer[lane], tkr_frame_bytes(head, &values));
    assert_non_null(frame);
    tkr_frame_head_put(frame, head, &start, CYCLE, 1793000000000000000);
    tkr_frame_finish_as(frame, head, TKR_FRAME_NOTICE, &values, 0);
    tkr_lane_publish_to(&hand->writer[lane], tkr_lane_pending(&hand->writer[lane]), hand->writer[lane].sequence);
}

/* The known account's first call, in a shard that has no memory from then on. */
static void begin(struct bench *bench, struct hand *hand)
{
    hand_open(hand, bench);
    (void)bench_adopt(bench, hand->name);
    hand_add_lane(hand);
    assert_true(hand_put(hand, 0, "known", 1));
    assert_int_equal(bench_drain(bench), 1);
    starve(bench);
}

static void end(struct bench *bench, struct hand *hand, uint64_t offered)
{
    feed(bench);
    (void)bench_drain(bench);
    hand_close(hand);
    (void)bench_drain(bench);
    while (!tkr_drain_settle(bench->drain, bench->table.shard, &bench->feed[0], TKR_ORPHAN_STREAMED))
        continue;
    tkr_feed_reclaim(bench->table.shard, &bench->feed[0]);
    bench_assert_law(bench, offered, 0);
}

static void test_new_account_waits_in_its_lane_and_other_lanes_go_on(void **state)
{
    struct bench *bench = *state;
    struct hand hand;

    begin(bench, &hand);
    assert_true(hand_put(&hand, 0, "known", 10));
    assert_true(hand_put(&hand, 0, "new", 100));
    assert_true(hand_put(&hand, 0, "known", 1000));
    assert_true(hand_put(&hand, 1, "known", 10000));
    assert_int_equal(drain_once(bench), 2); /* one of each lane */
    assert_int_equal(bench_counter(bench, "known", TKR_COUNTER_PROMPT), 10011);
    assert_int_equal(bench_counter(bench, "new", TKR_COUNTER_PROMPT), -1);
    assert_null(table_find(&bench->table, TKR_OVERFLOW_ID));
    assert_int_equal(tkr_feed_waiting(&bench->feed[0]), 1);
    assert_true(hand_put(&hand, 1, "known", 20000));
    assert_int_equal(bench_drain(bench), 1); /* ends: a lane that waits is nothing to do */
    assert_int_equal(tkr_feed_waiting(&bench->feed[0]), 1);
    feed(bench);
    assert_int_equal(bench_drain(bench), 2);
    assert_int_equal(tkr_feed_waiting(&bench->feed[0]), 0);
    assert_int_equal(bench_counter(bench, "known", TKR_COUNTER_PROMPT), 31011);
    assert_int_equal(bench_counter(bench, "new", TKR_COUNTER_PROMPT), 100);
    end(bench, &hand, 6);
}

static void test_event_with_one_new_account_waits_for_all_of_them(void **state)
{
    static const char *const both[] = {"known", "new"};
    struct bench *bench = *state;
    struct hand hand;

    begin(bench, &hand);
    assert_true(hand_put_for(&hand, 0, both, 2, 10));
    assert_int_equal(drain_once(bench), 0);
    assert_int_equal(bench_counter(bench, "known", TKR_COUNTER_PROMPT), 1);
    feed(bench);
    assert_int_equal(bench_drain(bench), 1);
    assert_int_equal(bench_counter(bench, "known", TKR_COUNTER_PROMPT), 11);
    assert_int_equal(bench_counter(bench, "new", TKR_COUNTER_PROMPT), 10);
    end(bench, &hand, 2);
}

static void test_lane_that_waits_is_tried_again_when_there_may_be_memory(void **state)
{
    struct bench *bench = *state;
    struct hand hand;

    begin(bench, &hand);
    assert_true(hand_put(&hand, 0, "new", 10));
    assert_int_equal(drain_once(bench), 0);
    for (int i = 0; i < 3; i++) {
        starve(bench);
        bench->table.shard->memory_retry_ns = 1; /* long ago */
        bench->table.shard->arena_allocated = atomic_load(&bench->table.shard->header->law.arena_used);
        assert_int_equal(close(bench->table.shard->fd), 0);
        bench->table.shard->fd = open("/dev/null", O_RDONLY | O_CLOEXEC); /* memory is refused by whatever this is */
        assert_int_equal(drain_once(bench), 0);
        assert_true(tkr_shard_short_of_memory(bench->table.shard));
    }
    assert_int_equal(close(bench->table.shard->fd), 0);
    bench->table.shard->fd = openat(bench->table.directory, "shard-0", O_RDWR | O_CLOEXEC);
    end(bench, &hand, 2);
    assert_int_equal(bench_counter(bench, "new", TKR_COUNTER_PROMPT), 10);
}

static void test_notices_behind_an_event_that_waits_come_once(void **state)
{
    struct bench *bench = *state;
    struct hand hand;

    begin(bench, &hand);
    put_notice(&hand, 0, "a");
    assert_true(hand_put(&hand, 0, "new", 10));
    put_notice(&hand, 0, "b");
    put_notice(&hand, 1, "c");
    assert_int_equal(drain_once(bench), 0);
    assert_int_equal(bench->drain->notices, 2);
    assert_memory_equal(bench->drain->notice[0].account.id, "a", 1);
    assert_memory_equal(bench->drain->notice[1].account.id, "c", 1);
    feed(bench);
    assert_int_equal(drain_once(bench), 1);
    assert_int_equal(bench->drain->notices, 1);
    assert_memory_equal(bench->drain->notice[0].account.id, "b", 1);
    end(bench, &hand, 2);
}

/* What follows an event that waits is not judged before its turn; then the region is set aside, and what it held is known. */
static void test_nonsense_behind_an_event_that_waits_is_found_later(void **state)
{
    struct bench *bench = *state;
    struct hand hand;
    void *frame;

    begin(bench, &hand);
    assert_true(hand_put(&hand, 0, "new", 10));
    frame = tkr_lane_reserve(&hand.writer[0], TKR_FRAME_BYTES_MAX);
    memset(frame, 0xff, TKR_FRAME_BYTES_MAX);
    tkr_lane_publish(&hand.writer[0]);
    assert_int_equal(drain_once(bench), 0);
    assert_int_equal(tkr_feed_state(&bench->feed[0]), TKR_CURSOR_ACTIVE);
    feed(bench);
    (void)drain_once(bench);
    assert_int_equal(tkr_feed_state(&bench->feed[0]), TKR_CURSOR_QUARANTINED);
    assert_int_equal(bench_counter(bench, "new", TKR_COUNTER_PROMPT), 10);
    hand_close(&hand);
}

static void test_open_call_of_a_new_account_waits_to_be_settled(void **state)
{
    static const char *const ids[] = {"known", "new", "known"};
    struct bench *bench = *state;
    struct hand hand;
    uint32_t slots;

    begin(bench, &hand);
    assert_int_equal(tkr_region_slots_add(&hand.region, &slots), 0);
    for (uint32_t i = 0; i < 3; i++) {
        tkr_start start = start_of(&ids[i], 1);
        start.prompt_estimate = 100;
        (void)tkr_call_slot_begin(&hand.region.slots[i], i, hand.region.identity, &start, CYCLE, 1793000000000000000, 0);
    }
    hand_close(&hand);
    (void)bench_drain(bench);
    for (int i = 0; i < 3; i++)
        assert_false(tkr_drain_settle(bench->drain, bench->table.shard, &bench->feed[0], TKR_ORPHAN_PROMPT));
    assert_true(bench->feed[0].settling_waits);
    assert_int_equal(bench_counter(bench, "known", TKR_COUNTER_PROMPT), 101);
    feed(bench);
    while (!tkr_drain_settle(bench->drain, bench->table.shard, &bench->feed[0], TKR_ORPHAN_PROMPT))
        assert_false(bench->feed[0].settling_waits);
    assert_int_equal(bench_counter(bench, "known", TKR_COUNTER_PROMPT), 201);
    assert_int_equal(bench_counter(bench, "new", TKR_COUNTER_PROMPT), 100);
    tkr_feed_reclaim(bench->table.shard, &bench->feed[0]);
    bench_assert_law(bench, 4, 0);
}

/* --- random histories against a model --- */

struct model {
    struct test_random random;
    int64_t total[USERS];
    uint64_t calls;
};

static void put_some(struct model *model, struct hand *hand)
{
    for (uint64_t left = test_random_below(&model->random, 60); left > 0; left--) {
        uint64_t user = test_random_below(&model->random, USERS);
        char id[16];
        (void)snprintf(id, sizeof(id), "user-%d", (int)user);
        if (!hand_put(hand, (int)test_random_below(&model->random, LANES), id, (int64_t)user + 1))
            continue; /* its lane is full */
        model->total[user] += (int64_t)user + 1;
        model->calls++;
    }
}

/* The collector is killed; the next one takes the shard over. */
static void replace(struct bench *bench)
{
    bool more;

    table_reopen(&bench->table);
    bench->feed[0].cursor = &bench->table.shard->cursor[0];
    memset(bench->feed[0].waiting, 0, sizeof(bench->feed[0].waiting));
    tkr_feed_resume(&bench->feed[0]);
    (void)tkr_drain_batch(bench->drain, bench->table.shard, bench->feed, &more);
}

static void test_random_histories_of_memory_that_comes_and_goes_are_exact(void **state)
{
    struct bench *bench = *state;
    struct model model = {.random = test_random_start()};
    struct hand hand;

    hand_open(&hand, bench);
    (void)bench_adopt(bench, hand.name);
    for (int i = 1; i < LANES; i++)
        hand_add_lane(&hand);
    for (int round = 0; round < ROUNDS; round++) {
        put_some(&model, &hand);
        switch (test_random_below(&model.random, 8)) {
        case 0:
            starve(bench);
            break;
        case 1:
            feed(bench);
            break;
        case 2:
            replace(bench);
            break;
        default:
            (void)drain_once(bench);
        }
    }
    end(bench, &hand, model.calls);
    for (int user = 0; user < USERS; user++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "user-%d", user);
        assert_int_equal(bench_counter(bench, id, TKR_COUNTER_PROMPT), model.total[user] > 0 ? model.total[user] : -1);
    }
    assert_null(table_find(&bench->table, TKR_OVERFLOW_ID));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_new_account_waits_in_its_lane_and_other_lanes_go_on),
        T(test_event_with_one_new_account_waits_for_all_of_them),
        T(test_lane_that_waits_is_tried_again_when_there_may_be_memory),
        T(test_notices_behind_an_event_that_waits_come_once),
        T(test_nonsense_behind_an_event_that_waits_is_found_later),
        T(test_open_call_of_a_new_account_waits_to_be_settled),
        T(test_random_histories_of_memory_that_comes_and_goes_are_exact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
