/* SPDX-License-Identifier: Apache-2.0 */
/* Events that tell a model: what is charged to it beside the accounts, under which label, and how many fit a batch. */
#include "unit/collector/bench.h"

static int set_up_split(void **state)
{
    struct bench *bench;

    if (bench_set_up(state) != 0)
        return -1;
    bench = *state;
    bench->table.options.models_max = TKR_MODELS_MAX;
    table_reopen(&bench->table);
    return 0;
}

/* Publishes a call of n tokens of the prompt. false: the lane is full. */
static bool put_model(struct hand *hand, const char *const ids[], uint32_t count, const char *provider, const char *model,
                      int64_t n)
{
    tkr_start start = start_of(ids, count);
    struct tkr_frame_values values = {.count = 0};
    size_t head;
    void *frame;

    start.model = model;
    start.model_len = (uint32_t)strlen(model);
    start.provider = provider;
    start.provider_len = (uint32_t)strlen(provider);
    head = tkr_frame_head_bytes(&start);
    tkr_frame_value_add(&values, TKR_COUNTER_PROMPT, n);
    tkr_frame_value_add(&values, TKR_COUNTER_TOTAL, n);
    frame = tkr_lane_reserve(&hand->writer[0], tkr_frame_bytes(head, &values));
    if (frame == NULL)
        return false;
    tkr_frame_head_put(frame, head, &start, CYCLE, 1793000000000000000);
    tkr_frame_finish(frame, head, &values, hand->writer[0].sequence + 1);
    tkr_lane_publish(&hand->writer[0]);
    return true;
}

static int64_t prompt_of(const struct bench *bench, const char *id, const char *model)
{
    const struct tkr_entry *entry = table_find_model(&bench->table, id, model);

    return entry == NULL ? -1 : atomic_load(&entry->counts[TKR_COUNTER_PROMPT]);
}

static void test_model_is_charged_for_each_account(void **state)
{
    static const char *const ids[] = {"a", "b", "c", "d"};
    struct bench *bench = *state;
    const struct tkr_entry *account;
    const struct tkr_entry *model;
    struct hand hand;

    hand_open(&hand, bench);
    (void)bench_adopt(bench, hand.name);
    assert_true(put_model(&hand, ids, 4, "", "gpt-4o", 10));
    assert_true(put_model(&hand, ids, 1, "openai", "gpt-4o", 100));
    assert_true(put_model(&hand, ids, 1, "openai", "gpt-4o", 1000));
    assert_int_equal(bench_drain(bench), 3);
    for (int i = 0; i < 4; i++)
        assert_int_equal(prompt_of(bench, ids[i], "gpt-4o"), 10);
    assert_int_equal(prompt_of(bench, "a", "openai/gpt-4o"), 1100);
    assert_int_equal(prompt_of(bench, "b", "openai/gpt-4o"), -1);
    assert_int_equal(bench_counter(bench, "a", TKR_COUNTER_PROMPT), 1110);
    account = table_entry(&bench->table, "b");
    model = table_find_model(&bench->table, "b", "gpt-4o");
    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        assert_int_equal(atomic_load(&account->counts[i]), atomic_load(&model->counts[i]));
    hand_close(&hand);
}

static void test_event_without_a_model_charges_none(void **state)
{
    static const char *const ids[] = {"a"};
    struct bench *bench = *state;
    struct hand hand;

    hand_open(&hand, bench);
    (void)bench_adopt(bench, hand.name);
    assert_true(put_model(&hand, ids, 1, "", "", 10));
    assert_true(put_model(&hand, ids, 1, "openai", "", 10));
    assert_int_equal(bench_drain(bench), 2);
    assert_int_equal(bench_counter(bench, "a", TKR_COUNTER_PROMPT), 20);
    assert_int_equal(table_accounts(&bench->table), 1);
    hand_close(&hand);
}

static void test_usage_is_not_split_when_told_so(void **state)
{
    static const char *const ids[] = {"a"};
    struct bench *bench = *state;
    struct hand hand;

    bench->table.options.models_max = 0;
    table_reopen(&bench->table);
    hand_open(&hand, bench);
    (void)bench_adopt(bench, hand.name);
    assert_true(put_model(&hand, ids, 1, "openai", "gpt-4o", 10));
    assert_int_equal(bench_drain(bench), 1);
    assert_int_equal(table_accounts(&bench->table), 1);
    hand_close(&hand);
}

static void test_label_that_is_too_long_is_other(void **state)
{
    static const char *const ids[] = {"a"};
    struct bench *bench = *state;
    char model[TKR_MODEL_BYTES_MAX + 1];
    char label[TKR_ENTRY_LABEL_MAX + 1];
    struct hand hand;

    memset(model, 'm', TKR_MODEL_BYTES_MAX);
    model[TKR_MODEL_BYTES_MAX] = '\0';
    hand_open(&hand, bench);
    (void)bench_adopt(bench, hand.name);
    assert_true(put_model(&hand, ids, 1, "", model, 1));
    model[TKR_ENTRY_LABEL_MAX + 1] = '\0';
    assert_true(put_model(&hand, ids, 1, "", model, 10));
    model[TKR_ENTRY_LABEL_MAX] = '\0';
    assert_true(put_model(&hand, ids, 1, "", model, 100));
    assert_true(put_model(&hand, ids, 1, "p", model + 1, 1000));
    assert_true(put_model(&hand, ids, 1, "p", model + 2, 10000));
    assert_int_equal(bench_drain(bench), 5);
    assert_int_equal(prompt_of(bench, "a", TKR_LABEL_OTHER), 1011);
    assert_int_equal(prompt_of(bench, "a", model), 100);
    memcpy(label, "p/", 2);
    memcpy(label + 2, model + 2, sizeof(label) - 2);
    assert_int_equal(prompt_of(bench, "a", label), 10000);
    hand_close(&hand);
}

/* A batch takes as many events as its charges allow: of these, half as many as of those that tell no model. */
static void test_events_of_most_charges_fit_their_batches(void **state)
{
    static const char *const ids[] = {"a", "b", "c", "d"};
    static const char *const models[] = {"one", "two", "three"};
    struct bench *bench = *state;
    struct hand hand;
    struct tkr_feed *feed;
    int64_t sum[3] = {0};
    int events = 0;
    bool more = true;

    hand_open(&hand, bench);
    feed = bench_adopt(bench, hand.name);
    while (put_model(&hand, ids, 4, "p", models[events % 3], events)) {
        sum[events % 3] += events;
        events++;
    }
    assert_true(events > (int)(TKR_BATCH_CHARGES_MAX / TKR_DRAIN_CHARGES_MAX));
    for (int left = events; more; assert_true(left >= 0)) {
        int drained = tkr_drain_batch(bench->drain, bench->table.shard, bench->feed, &more);
        assert_in_range(drained, left > 0, TKR_BATCH_CHARGES_MAX / TKR_DRAIN_CHARGES_MAX);
        left -= drained;
    }
    for (int i = 0; i < 3; i++) {
        char label[16];
        (void)snprintf(label, sizeof(label), "p/%s", models[i]);
        assert_int_equal(prompt_of(bench, "d", label), sum[i]);
    }
    assert_int_equal(bench_counter(bench, "d", TKR_COUNTER_PROMPT), sum[0] + sum[1] + sum[2]);
    hand_close(&hand);
    tkr_feed_reclaim(bench->table.shard, feed);
    bench_assert_law(bench, (uint64_t)events, 0);
}

/* Open calls of the dead are of a model too; more of them than one round settles. */
static void test_settled_calls_are_charged_to_their_model(void **state)
{
    static const char *const ids[] = {"a", "b", "c", "d"};
    struct bench *bench = *state;
    tkr_start start = start_of(ids, 4);
    struct hand hand;
    struct tkr_feed *feed;
    uint32_t count;

    start.model = "gpt-4o";
    start.model_len = 6;
    start.prompt_estimate = 7;
    hand_open(&hand, bench);
    feed = bench_adopt(bench, hand.name);
    count = (uint32_t)atomic_load(&hand.region.header->slot_count);
    while (count < 100)
        assert_int_equal(tkr_region_slots_add(&hand.region, &count), 0);
    for (uint32_t i = 0; i < 100; i++)
        (void)tkr_call_slot_begin(&hand.region.slots[i], i, hand.region.identity, &start, CYCLE, 1793000000000000000, 0);
    hand_close(&hand);
    while (!tkr_drain_settle(bench->drain, bench->table.shard, feed, TKR_ORPHAN_PROMPT))
        continue;
    assert_int_equal(prompt_of(bench, "a", "gpt-4o"), 700);
    assert_int_equal(prompt_of(bench, "d", "gpt-4o"), 700);
    assert_int_equal(bench_counter(bench, "d", TKR_COUNTER_PROMPT), 700);
    tkr_feed_reclaim(bench->table.shard, feed);
    bench_assert_law(bench, 100, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up_split, bench_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_model_is_charged_for_each_account),        T(test_event_without_a_model_charges_none),
        T(test_usage_is_not_split_when_told_so),          T(test_label_that_is_too_long_is_other),
        T(test_events_of_most_charges_fit_their_batches), T(test_settled_calls_are_charged_to_their_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
