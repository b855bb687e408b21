/* SPDX-License-Identifier: Apache-2.0 */
/* Open calls of the dead: which slots count, what each policy charges, once. */
#include "unit/collector/bench.h"

#define ESTIMATE 1000
#define RESERVE 5000
#define STREAMED 70

static struct tkr_call_slot *slot_of(struct hand *hand, uint32_t number)
{
    uint32_t count = (uint32_t)atomic_load(&hand->region.header->slot_count);

    while (number >= count)
        assert_int_equal(tkr_region_slots_add(&hand->region, &count), 0);
    return &hand->region.slots[number];
}

/* Begins a call in the slot, and tells of progress. */
static struct tkr_call_slot *begin(struct hand *hand, uint32_t number, const char *id, int64_t streamed)
{
    struct tkr_call_slot *slot = slot_of(hand, number);
    tkr_start start = start_of(&id, 1);
    uint32_t generation = (uint32_t)(atomic_load(&slot->state) >> 8);

    start.prompt_estimate = ESTIMATE;
    start.reserve = RESERVE;
    (void)tkr_call_slot_begin(slot, number, hand->region.identity, &start, CYCLE, 1793000000000000000, 0);
    assert_int_equal(tkr_call_slot_progress(slot, generation, streamed), 0);
    return slot;
}

static void claim(struct tkr_call_slot *slot)
{
    assert_int_equal(tkr_call_slot_claim(slot, (uint32_t)(atomic_load(&slot->state) >> 8)), 0);
}

/* The owner dies; the collector drains, settles all slots and reclaims. */
static void bury(struct bench *bench, struct hand *hand, struct tkr_feed *feed, enum tkr_orphan_policy policy)
{
    int rounds = 0;

    hand_close(hand);
    (void)bench_drain(bench);
    while (!tkr_drain_settle(bench->drain, bench->table.shard, feed, policy))
        assert_true(++rounds < 100);
    assert_true(tkr_drain_settle(bench->drain, bench->table.shard, feed, policy)); /* again: nothing is left */
    tkr_feed_reclaim(bench->table.shard, feed);
}

static void assert_charged(const struct bench *bench, const char *id, int64_t prompt, int64_t completion, int64_t total)
{
    assert_int_equal(bench_counter(bench, id, TKR_COUNTER_PROMPT), prompt);
    assert_int_equal(bench_counter(bench, id, TKR_COUNTER_COMPLETION), completion);
    assert_int_equal(bench_counter(bench, id, TKR_COUNTER_TOTAL), total);
    assert_int_equal(bench_counter(bench, id, TKR_COUNTER_ESTIMATED), total); /* nobody reported any of it */
    assert_int_equal(bench_counter(bench, id, TKR_COUNTER_CALLS), 1);
    assert_int_equal(bench_counter(bench, id, TKR_COUNTER_ERRORS), 1);
}

static void settle_one(struct bench *bench, enum tkr_orphan_policy policy, int64_t streamed)
{
    struct hand hand;
    struct tkr_feed *feed;

    hand_open(&hand, bench);
    feed = bench_adopt(bench, hand.name);
    (void)begin(&hand, 0, "a", streamed);
    bury(bench, &hand, feed, policy);
    bench_assert_law(bench, 1, 0);
    assert_int_equal(atomic_load(&bench->table.shard->header->law.gone_settled), 1);
}

static void test_policy_streamed_charges_estimate_and_progress(void **state)
{
    settle_one(*state, TKR_ORPHAN_STREAMED, STREAMED);
    assert_charged(*state, "a", ESTIMATE, STREAMED, ESTIMATE + STREAMED);
}

static void test_policy_prompt_charges_the_estimate(void **state)
{
    settle_one(*state, TKR_ORPHAN_PROMPT, STREAMED);
    assert_charged(*state, "a", ESTIMATE, 0, ESTIMATE);
}

static void test_policy_reserve_charges_what_was_reserved(void **state)
{
    settle_one(*state, TKR_ORPHAN_RESERVE, STREAMED);
    assert_charged(*state, "a", ESTIMATE, STREAMED, RESERVE);
}

static void test_policy_reserve_charges_at_least_what_is_known(void **state)
{
    settle_one(*state, TKR_ORPHAN_RESERVE, RESERVE);
    assert_charged(*state, "a", ESTIMATE, RESERVE, ESTIMATE + RESERVE);
}

static void test_policy_zero_charges_the_call_alone(void **state)
{
    settle_one(*state, TKR_ORPHAN_ZERO, STREAMED);
    assert_charged(*state, "a", 0, 0, 0);
}

/* Every phase that a death can leave a slot in (region/call.h). */
static void test_only_calls_that_did_not_end_are_settled(void **state)
{
    struct bench *bench = *state;
    struct hand hand;
    struct tkr_feed *feed;
    struct tkr_call_slot *slot;
    uint64_t head;

    hand_open(&hand, bench);
    feed = bench_adopt(bench, hand.name);
    (void)begin(&hand, 0, "open", 1);
    claim(begin(&hand, 1, "claimed", 1)); /* ENDING without a note */
    assert_true(hand_put(&hand, 0, "published", 500));
    head = atomic_load(&hand.region.lanes[0].head);
    slot = begin(&hand, 2, "published", 1); /* noted, and its frame is there */
    claim(slot);
    tkr_call_slot_note(slot, 0, head);
    slot = begin(&hand, 3, "not published", 1); /* noted, but the frame never came */
    claim(slot);
    tkr_call_slot_note(slot, 0, head + 8);
    slot = begin(&hand, 4, "ended", 1); /* and freed */
    claim(slot);
    tkr_call_slot_free(slot);
    (void)slot_of(&hand, 5); /* never begun */
    bury(bench, &hand, feed, TKR_ORPHAN_STREAMED);
    assert_charged(bench, "open", ESTIMATE, 1, ESTIMATE + 1);
    assert_charged(bench, "claimed", ESTIMATE, 1, ESTIMATE + 1);
    assert_charged(bench, "not published", ESTIMATE, 1, ESTIMATE + 1);
    assert_int_equal(bench_counter(bench, "published", TKR_COUNTER_CALLS), 1);
    assert_int_equal(bench_counter(bench, "published", TKR_COUNTER_PROMPT), 500);
    assert_int_equal(bench_counter(bench, "ended", TKR_COUNTER_CALLS), -1);
    bench_assert_law(bench, 4, 0);
    assert_int_equal(atomic_load(&bench->table.shard->header->law.gone_settled), 3);
}

static void test_slots_of_several_rounds_are_settled_once_each(void **state)
{
    struct bench *bench = *state;
    struct hand hand;
    struct tkr_feed *feed;

    hand_open(&hand, bench);
    feed = bench_adopt(bench, hand.name);
    for (uint32_t i = 0; i < 200; i++)
        (void)begin(&hand, i, "a", (int64_t)i);
    bury(bench, &hand, feed, TKR_ORPHAN_STREAMED);
    assert_int_equal(bench_counter(bench, "a", TKR_COUNTER_CALLS), 200);
    assert_int_equal(bench_counter(bench, "a", TKR_COUNTER_COMPLETION), 199 * 200 / 2);
    bench_assert_law(bench, 200, 0);
}

/* A round is a batch: lost, it is done again; committed, never. */
static void test_settling_begun_again_counts_once(void **state)
{
    struct bench *bench = *state;
    struct hand hand;
    struct tkr_feed *feed;

    hand_open(&hand, bench);
    feed = bench_adopt(bench, hand.name);
    for (uint32_t i = 0; i < 100; i++)
        (void)begin(&hand, i, "a", 1);
    hand_close(&hand);
    assert_false(tkr_drain_settle(bench->drain, bench->table.shard, feed, TKR_ORPHAN_STREAMED));
    assert_in_range(bench_counter(bench, "a", TKR_COUNTER_CALLS), 1, 99);
    assert_true(tkr_batch_begin(bench->table.shard)); /* the next round, as far as a death may come */
    assert_true(table_add(&bench->table, "a", 12345));
    tkr_batch_touch(bench->table.shard, feed->cursor, TKR_CURSOR_HEAD_BYTES);
    tkr_batch_set(&feed->cursor->slots_settled, 100);
    tkr_batch_set(&feed->cursor->settled, 100);
    table_reopen(&bench->table);
    feed->cursor = &bench->table.shard->cursor[0];
    while (!tkr_drain_settle(bench->drain, bench->table.shard, feed, TKR_ORPHAN_STREAMED))
        continue;
    assert_int_equal(bench_counter(bench, "a", TKR_COUNTER_CALLS), 100);
    assert_int_equal(bench_counter(bench, "a", TKR_COUNTER_PROMPT), 100 * ESTIMATE);
    tkr_feed_reclaim(bench->table.shard, feed);
    bench_assert_law(bench, 100, 0);
}

/*
 * A region broke the rules while its owner lives and goes on: what it publishes from then on and the calls that it has open are
 * lost, and were offered. Nothing of it is charged.
 */
static void test_open_calls_and_later_records_of_a_quarantined_region_are_dropped_by_cause(void **state)
{
    struct bench *bench = *state;
    struct hand hand;
    struct tkr_feed *feed;
    unsigned char *data;
    uint64_t at;

    hand_open(&hand, bench);
    feed = bench_adopt(bench, hand.name);
    data = tkr_region_lane_data(&hand.region, 0);
    for (int i = 0; i < 4; i++)
        assert_true(hand_put(&hand, 0, "a", 1));
    assert_int_equal(bench_drain(bench), 4);
    at = hand.writer[0].head;
    assert_true(hand_put(&hand, 0, "a", 1));
    data[at + 8] = 9; /* its sequence is wrong */
    (void)begin(&hand, 0, "a", STREAMED);
    (void)bench_drain(bench);
    assert_int_equal(tkr_feed_state(feed), TKR_CURSOR_QUARANTINED);
    for (int i = 0; i < 6; i++)
        assert_true(hand_put(&hand, 0, "a", 1));
    (void)begin(&hand, 1, "a", STREAMED);
    (void)begin(&hand, 2, "a", STREAMED);
    tkr_call_slot_free(hand.region.slots + 2); /* this one ended */
    bury(bench, &hand, feed, TKR_ORPHAN_STREAMED);
    assert_int_equal(bench_counter(bench, "a", TKR_COUNTER_CALLS), 4);
    assert_int_equal(atomic_load(&bench->table.shard->header->law.gone_dropped[TKR_DROP_CORRUPT]), 1 + 6 + 2);
    assert_int_equal(atomic_load(&bench->table.shard->header->law.gone_settled), 0);
    bench_assert_law(bench, 4 + 1 + 6 + 2, 1 + 6 + 2);
}

/* Slots of a stranger: each is settled, or dropped as corrupt; never anything else. */
static void test_slots_of_nonsense_are_dropped_and_the_law_balances(void **state)
{
    struct bench *bench = *state;
    struct hand hand;
    struct tkr_feed *feed;
    struct tkr_call_slot *slot;

    hand_open(&hand, bench);
    feed = bench_adopt(bench, hand.name);
    (void)begin(&hand, 0, "a", 1);
    begin(&hand, 1, "b", 1)->prompt_estimate = -5;
    begin(&hand, 2, "b", 1)->reserve = INT64_MAX;
    begin(&hand, 3, "b", 1)->frame[0] = 1;    /* length */
    begin(&hand, 4, "b", 1)->frame[28] = 200; /* accounts */
    begin(&hand, 5, "b", 1)->frame[4] = TKR_FRAME_USAGE;
    slot = begin(&hand, 6, "b", 1); /* ends in a lane that is not there */
    claim(slot);
    tkr_call_slot_note(slot, 200, 64);
    atomic_store(&begin(&hand, 7, "b", 1)->streamed, UINT64_MAX);
    bury(bench, &hand, feed, TKR_ORPHAN_RESERVE);
    assert_int_equal(bench_counter(bench, "a", TKR_COUNTER_CALLS), 1);
    assert_int_equal(bench_counter(bench, "b", TKR_COUNTER_CALLS), -1);
    bench_assert_law(bench, 8, 7);
}

static void test_more_slots_than_fit_are_not_read(void **state)
{
    struct bench *bench = *state;
    struct hand hand;
    struct tkr_feed *feed;

    hand_open(&hand, bench);
    feed = bench_adopt(bench, hand.name);
    (void)begin(&hand, 0, "a", 1);
    atomic_store(&hand.region.header->slot_count, 1000000);
    bury(bench, &hand, feed, TKR_ORPHAN_STREAMED);
    assert_int_equal(atomic_load(&bench->table.shard->header->law.gone_regions), 1);
}

static void test_call_of_a_full_account_is_dropped_and_the_law_balances(void **state)
{
    struct bench *bench = *state;
    struct hand hand;
    struct tkr_feed *feed;

    assert_true(table_charge(&bench->table, "full", INT64_C(1) << 62));
    assert_true(table_charge(&bench->table, "full", INT64_MAX - (INT64_C(1) << 62) - 15));
    hand_open(&hand, bench);
    feed = bench_adopt(bench, hand.name);
    (void)begin(&hand, 0, "full", 1);
    (void)begin(&hand, 1, "other", 1);
    bury(bench, &hand, feed, TKR_ORPHAN_STREAMED);
    assert_charged(bench, "other", ESTIMATE, 1, ESTIMATE + 1);
    bench_assert_law(bench, 2, 1);
    assert_int_equal(atomic_load(&bench->table.shard->header->law.gone_settled), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_policy_streamed_charges_estimate_and_progress),
        T(test_policy_prompt_charges_the_estimate),
        T(test_policy_reserve_charges_what_was_reserved),
        T(test_policy_reserve_charges_at_least_what_is_known),
        T(test_policy_zero_charges_the_call_alone),
        T(test_only_calls_that_did_not_end_are_settled),
        T(test_open_calls_and_later_records_of_a_quarantined_region_are_dropped_by_cause),
        T(test_slots_of_several_rounds_are_settled_once_each),
        T(test_settling_begun_again_counts_once),
        T(test_slots_of_nonsense_are_dropped_and_the_law_balances),
        T(test_more_slots_than_fit_are_not_read),
        T(test_call_of_a_full_account_is_dropped_and_the_law_balances),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
