/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Producers without a collector: what they record waits in their lanes, whether they live or die; what the budget has no room
 * for is counted as dropped, at once and by its cause; and once a collector comes, all goes on.
 */
#include "collector/balance.h"
#include "integration/stage_calls.h"
#include "region/guard.h"
#include "support/random.h"

#define CALLS 500000 /* of the default budget, 256 MiB, a fifth */
#define AFTER 20000  /* calls once the collector is there */

enum { NOTE_READY, NOTE_GO, NOTE_RESULT, NOTE_RECORDED, NOTE_DROPPED };

/* A producer as a host opens it that asks for nothing. */
static tkr_producer *producer_with(const struct stage *stage, uint32_t lane_bytes, uint64_t budget)
{
    tkr_options options = TKR_OPTIONS_INIT;
    tkr_producer *producer = NULL;

    options.runtime_dir = stage->runtime;
    options.lane_bytes = lane_bytes;
    options.region_bytes_max = budget;
    return tkr_open(&options, &producer) == TKR_OK ? producer : NULL;
}

static tkr_stat stat_of(tkr_producer *producer)
{
    tkr_stat stat = TKR_STAT_INIT;

    if (tkr_stat_read(producer, &stat) != TKR_OK)
        stat.offered = UINT64_MAX;
    return stat;
}

static void wait_note(const struct stage *stage, int note, uint64_t least)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;

    while (atomic_load(&stage->truth->note[note]) < least) {
        assert_true(process_now_ms() < end);
        process_sleep_ms(1);
    }
}

static bool record_many(struct stage *stage, tkr_producer *producer, int calls)
{
    for (int i = 0; i < calls; i++) {
        if (stage_record(stage, producer, i % STAGE_USERS, 1 + i % 1000, i % 7) != TKR_OK)
            return false;
    }
    return true;
}

/* --- enough memory --- */

static int record_then_wait_for_the_collector(struct stage *stage, int number)
{
    tkr_producer *producer = producer_with(stage, 0, 0);
    tkr_stat stat;

    (void)number;
    if (producer == NULL || !record_many(stage, producer, CALLS))
        return 1;
    stat = stat_of(producer);
    if (stat.offered != CALLS || stat.in_lanes != CALLS || stat.dropped != 0 || stat.collector_age_ns != TKR_ABSENT)
        return 2;
    atomic_store(&stage->truth->note[NOTE_READY], 1);
    if (tkr_sync(producer, STAGE_DEADLINE_MS) != TKR_OK) /* until it has come and counted */
        return 3;
    stat = stat_of(producer);
    if (stat.offered != CALLS || stat.in_lanes != 0 || stat.dropped != 0)
        return 4;
    tkr_close(producer);
    return 0;
}

static void test_500000_calls_without_a_collector_lose_nothing(void **state)
{
    struct stage *stage = *state;
    pid_t child = stage_fork(stage, record_then_wait_for_the_collector, 0);

    wait_note(stage, NOTE_READY, 1);
    stage_collector_start(stage, "1");
    assert_int_equal(stage_exit_code(child), 0);
    stage_assert_all_gone_and_exact(stage);
    assert_int_equal(atomic_load(&stage->truth->recorded), CALLS);
}

static int record_then_wait_for_death(struct stage *stage, int number)
{
    tkr_producer *producer = producer_with(stage, 0, 0);

    (void)number;
    if (producer == NULL || !record_many(stage, producer, CALLS))
        return 1;
    atomic_store(&stage->truth->note[NOTE_READY], 1);
    for (;;)
        pause();
}

static void test_500000_calls_of_a_producer_killed_before_any_collector_lose_nothing(void **state)
{
    struct stage *stage = *state;
    pid_t child = stage_fork(stage, record_then_wait_for_death, 0);

    wait_note(stage, NOTE_READY, 1);
    (void)kill(child, SIGKILL);
    assert_int_equal(stage_exit_code(child), 128 + SIGKILL);
    assert_int_equal(stage_regions(stage), 1);
    stage_collector_start(stage, "1");
    stage_assert_all_gone_and_exact(stage);
    assert_int_equal(atomic_load(&stage->truth->recorded), CALLS);
}

#define KILLS 12

/* Records one account until it is killed, and says after each call that it was taken. */
static int record_until_killed(struct stage *stage, int number)
{
    tkr_producer *producer = producer_with(stage, 0, 0);
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;
    char id[16];

    start.cycle = STAGE_CYCLE;
    start.account_count = 1;
    start.account[0].id = id;
    start.account[0].len = (uint32_t)snprintf(id, sizeof(id), "killed-%02d", number);
    usage.prompt = 2;
    usage.completion = 3;
    while (producer != NULL && tkr_record(producer, &start, &usage) == TKR_OK)
        atomic_fetch_add(&stage->truth->note[number], 1);
    return 1;
}

static void assert_killed_exact(const struct stage *stage, const struct stage_rows *rows, int number)
{
    int64_t taken = (int64_t)atomic_load(&stage->truth->note[number]);
    tkr_counts counts;
    char id[16];
    int len = snprintf(id, sizeof(id), "killed-%02d", number);

    counts = stage_counts(rows, TKR_KIND_USER, id, (uint32_t)len);
    assert_in_range(counts.value[TKR_COUNTER_CALLS], taken, taken + 1); /* the one call under way: whole or not at all */
    assert_int_equal(counts.value[TKR_COUNTER_PROMPT], 2 * counts.value[TKR_COUNTER_CALLS]);
    assert_int_equal(counts.value[TKR_COUNTER_COMPLETION], 3 * counts.value[TKR_COUNTER_CALLS]);
}

static void test_producers_killed_at_any_moment_without_a_collector_lose_nothing(void **state)
{
    struct test_random random = test_random_start();
    struct stage *stage = *state;
    struct stage_rows *rows;
    struct stage_law law;

    for (int i = 0; i < KILLS; i++) {
        pid_t child = stage_fork(stage, record_until_killed, i);
        wait_note(stage, i, test_random_below(&random, 20000));
        (void)kill(child, SIGKILL);
        assert_int_equal(stage_exit_code(child), 128 + SIGKILL);
    }
    stage_collector_start(stage, "1");
    stage_wait_regions(stage, 0);
    stage_collector_end(stage, 0);
    rows = stage_read(stage);
    for (int i = 0; i < KILLS; i++)
        assert_killed_exact(stage, rows, i);
    free(rows);
    law = stage_law(stage);
    assert_int_equal(law.offered, law.counted);
    assert_int_equal(law.dropped, 0);
}

/* --- a small budget --- */

/* Records until the budget is used up and beyond; a drop must show in the very next look. 0: the law held all along. */
static int fill_and_overfill(struct stage *stage, tkr_producer *producer)
{
    uint64_t recorded = 0;
    tkr_stat stat;

    while (stage_record(stage, producer, (int)(recorded % STAGE_USERS), 5, 6) == TKR_OK)
        recorded++;
    stat = stat_of(producer);
    if (stat.dropped != 1 || stat.in_lanes != recorded || stat.offered != recorded + 1)
        return 11;
    for (uint64_t i = 0; i < 1000; i++) {
        if (stage_record(stage, producer, 1, 5, 6) != TKR_EFULL)
            return 12;
    }
    stat = stat_of(producer);
    return stat.dropped == 1001 && stat.in_lanes == recorded && stat.offered == recorded + 1001 ? 0 : 13;
}

static int record_beyond_the_budget(struct stage *stage, int number)
{
    tkr_producer *producer = producer_with(stage, 16384, UINT64_C(1) << 20);
    long end = process_now_ms() + STAGE_DEADLINE_MS;
    tkr_stat stat;
    int result = producer != NULL ? fill_and_overfill(stage, producer) : 1;

    (void)number;
    if (result != 0)
        return result;
    atomic_store(&stage->truth->note[NOTE_READY], 1);
    while (atomic_load(&stage->truth->note[NOTE_GO]) == 0) /* while the test looks */
        process_sleep_ms(1);
    while (stage_record(stage, producer, 2, 5, 6) != TKR_OK) { /* until the collector has made room */
        if (process_now_ms() > end)
            return 2;
        process_sleep_ms(1);
    }
    for (int i = 0; i < AFTER; i++) { /* no faster than it is counted: not one more is dropped */
        if ((i % 1000 == 0 && tkr_sync(producer, STAGE_DEADLINE_MS) != TKR_OK) ||
            stage_record(stage, producer, i % STAGE_USERS, 7, 8) != TKR_OK)
            return 3;
    }
    if (tkr_sync(producer, STAGE_DEADLINE_MS) != TKR_OK)
        return 4;
    stat = stat_of(producer);
    atomic_store(&stage->truth->note[NOTE_DROPPED], stat.dropped);
    atomic_store(&stage->truth->note[NOTE_RECORDED], stat.offered - stat.dropped);
    atomic_store(&stage->truth->note[NOTE_RESULT], 1);
    while (!atomic_load(&stage->truth->stop))
        process_sleep_ms(1);
    return stat.in_lanes == 0 ? 0 : 5;
}

/* What `tokenring stat` shows: the law, and the drops under their cause. */
static void assert_balance(const struct stage *stage, uint64_t taken, uint64_t dropped, bool collector)
{
    struct tkr_host_balance balance;
    tkr_message message = {""};

    assert_true(tkr_guard_install());
    if (tkr_balance_read(stage->runtime, &balance, &message) != 0)
        fail_msg("%s", message.text);
    assert_true(tkr_balance_holds(&balance.host));
    assert_int_equal(balance.collector_running, collector);
    assert_int_equal(collector ? balance.host.counted : balance.host.in_lanes, taken);
    assert_int_equal(balance.host.dropped[TKR_DROP_LANES_FULL], dropped);
    assert_int_equal(tkr_balance_dropped(&balance.host), dropped);
    tkr_balance_free(&balance);
}

static void test_calls_beyond_the_budget_are_dropped_by_cause_until_a_collector_comes(void **state)
{
    struct stage *stage = *state;
    pid_t child = stage_fork(stage, record_beyond_the_budget, 0);
    uint64_t recorded;
    uint64_t dropped;
    struct stage_law law;

    wait_note(stage, NOTE_READY, 1);
    recorded = atomic_load(&stage->truth->recorded);
    assert_balance(stage, recorded, atomic_load(&stage->truth->failed), false);
    atomic_store(&stage->truth->note[NOTE_GO], 1);
    stage_collector_start(stage, "1");
    wait_note(stage, NOTE_RESULT, 1);
    recorded = atomic_load(&stage->truth->note[NOTE_RECORDED]);
    dropped = atomic_load(&stage->truth->note[NOTE_DROPPED]);
    assert_int_equal(recorded, atomic_load(&stage->truth->recorded));
    assert_int_equal(dropped, atomic_load(&stage->truth->failed));
    assert_balance(stage, recorded, dropped, true);
    atomic_store(&stage->truth->stop, true);
    assert_int_equal(stage_exit_code(child), 0);
    stage_wait_regions(stage, 0);
    stage_collector_end(stage, 0);
    law = stage_law(stage);
    assert_int_equal(law.counted, recorded);
    assert_int_equal(law.dropped, dropped);
    assert_int_equal(law.offered, recorded + dropped);
    atomic_store(&stage->truth->failed, 0); /* accounted for above */
    stage_assert_exact(stage);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, stage_set_up, stage_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_500000_calls_without_a_collector_lose_nothing),
        T(test_500000_calls_of_a_producer_killed_before_any_collector_lose_nothing),
        T(test_producers_killed_at_any_moment_without_a_collector_lose_nothing),
        T(test_calls_beyond_the_budget_are_dropped_by_cause_until_a_collector_comes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
