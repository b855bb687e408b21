/* SPDX-License-Identifier: Apache-2.0 */
/* Structures of older and newer callers, alone and many in a row. */
#include "unit/producer/refusals.h"

static void test_size_impossible_is_refused(void **state)
{
    static const uint32_t sizes[] = {0, 1, 4, 8, 31, 97, 99, 103, 4097, 5000, UINT32_MAX};
    tkr_stat stat = TKR_STAT_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        BAD_START(TKR_ESIZE, start.size = sizes[i]);
    for (size_t i = 0; i < 5; i++)
        BAD_USAGE(TKR_ESIZE, usage.size = sizes[i]);
    BAD_USAGE(TKR_ESIZE, usage.size = 4097);
    BAD_USAGE(TKR_ESIZE, usage.size = sizeof(usage) - 1); /* no structure with 64-bit fields is that long */
    BAD_START(TKR_ESIZE, start.size = sizeof(start) - 1);
    stat.size = 4;
    REFUSED(TKR_ESIZE, tkr_stat_read(producer, &stat));
    stat.size = 5000;
    REFUSED(TKR_ESIZE, tkr_stat_read(producer, &stat));
}

/* An older caller: what it does not have is at its default, whatever lies behind its structure. */
static void test_size_older_structures_take_defaults(void **state)
{
    struct drained found;
    tkr_call call;

    (void)state;
    good();
    start.size = offsetof(tkr_start, model);
    memset((char *)&start + start.size, 0xff, sizeof(start) - start.size);
    usage.size = offsetof(tkr_usage, total);
    memset((char *)&usage + usage.size, 0x7f, sizeof(usage) - usage.size);
    assert_int_equal(tkr_record(producer, &start, &usage), TKR_OK);
    assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
    assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
    found = look();
    assert_int_equal(found.frames, 2);
    assert_int_equal(found.counts.value[TKR_COUNTER_PROMPT], 10);
    assert_int_equal(found.counts.value[TKR_COUNTER_TOTAL], 22);
    assert_int_equal(found.counts.value[TKR_COUNTER_COST], 0);
}

static void test_size_newer_structures_are_taken_when_what_is_new_is_zero(void **state)
{
    struct {
        tkr_start start;
        uint64_t news[4];
    } new_start = {.start = start_for("alice"), .news = {0}};
    struct {
        tkr_usage usage;
        uint64_t news[4];
    } new_usage = {.usage = TKR_USAGE_INIT, .news = {0}};
    struct drained found;
    tkr_call call = 77;

    (void)state;
    new_start.start.size = sizeof(new_start);
    new_usage.usage.size = sizeof(new_usage);
    new_usage.usage.prompt = 5;
    assert_int_equal(tkr_record(producer, &new_start.start, &new_usage.usage), TKR_OK);
    for (int i = 0; i < 4; i++) {
        new_start.news[i] = i == 3 ? UINT64_C(1) << 63 : 1;
        REFUSED(TKR_ESIZE, tkr_record(producer, &new_start.start, &new_usage.usage));
        REFUSED(TKR_ESIZE, tkr_call_begin(producer, &new_start.start, &call));
        new_start.news[i] = 0;
        new_usage.news[i] = 1;
        REFUSED(TKR_ESIZE, tkr_record(producer, &new_start.start, &new_usage.usage));
        new_usage.news[i] = 0;
    }
    found = look();
    assert_int_equal(found.frames, 1);
    assert_int_equal(found.counts.value[TKR_COUNTER_PROMPT], 5);
}

static void test_size_of_stat_says_how_much_is_written(void **state)
{
    struct {
        tkr_stat stat;
        uint64_t behind;
    } room;

    (void)state;
    memset(&room, 0x5a, sizeof(room));
    room.stat.size = offsetof(tkr_stat, dropped);
    assert_int_equal(record_one(producer, "alice", 1), TKR_OK);
    assert_int_equal(tkr_stat_read(producer, &room.stat), TKR_OK);
    assert_int_equal(room.stat.size, offsetof(tkr_stat, dropped));
    assert_int_equal(room.stat.offered, 1);
    assert_true(room.stat.dropped == UINT64_C(0x5a5a5a5a5a5a5a5a));
    room.stat.size = sizeof(room); /* a newer caller */
    assert_int_equal(tkr_stat_read(producer, &room.stat), TKR_OK);
    assert_int_equal(room.stat.dropped, 0);
}

/* --- many --- */

static void test_many_stops_at_the_first_that_fails(void **state)
{
    tkr_start starts[5];
    tkr_usage usages[5];
    uint32_t recorded = 99;
    struct drained found;

    (void)state;
    good();
    for (int i = 0; i < 5; i++) {
        starts[i] = start;
        usages[i] = usage;
        usages[i].prompt = 1 << i;
    }
    assert_int_equal(tkr_record_many(producer, starts, usages, 5, &recorded), TKR_OK);
    assert_int_equal(recorded, 5);
    starts[3].account_count = 0;
    assert_int_equal(tkr_record_many(producer, starts, usages, 5, &recorded), TKR_EACCOUNT);
    assert_int_equal(recorded, 3);
    assert_int_equal(tkr_record_many(producer, starts, usages, 5, NULL), TKR_EACCOUNT);
    assert_int_equal(tkr_record_many(producer, starts, usages, 0, &recorded), TKR_OK);
    assert_int_equal(recorded, 0);
    assert_int_equal(tkr_record_many(producer, NULL, NULL, 0, NULL), TKR_OK);
    found = look();
    assert_int_equal(found.frames, 11);
    assert_int_equal(found.counts.value[TKR_COUNTER_PROMPT], 31 + 7 + 7);
    assert_int_equal(found.refused[-TKR_EACCOUNT], 2);
}

static void test_many_elements_have_the_size_that_the_first_states(void **state)
{
    struct {
        tkr_start start;
        uint64_t news[2];
    } starts[4];
    struct {
        tkr_usage usage;
        uint64_t news[1];
    } usages[4];
    uint32_t recorded = 0;
    struct drained found;

    (void)state;
    memset(starts, 0, sizeof(starts));
    memset(usages, 0, sizeof(usages));
    good();
    for (int i = 0; i < 4; i++) {
        starts[i].start = start;
        starts[i].start.size = sizeof(starts[i]);
        usages[i].usage = usage;
        usages[i].usage.size = sizeof(usages[i]);
        usages[i].usage.prompt = 1 << i;
    }
    assert_int_equal(tkr_record_many(producer, &starts[0].start, &usages[0].usage, 4, &recorded), TKR_OK);
    assert_int_equal(recorded, 4);
    found = look();
    assert_int_equal(found.frames, 4);
    assert_int_equal(found.counts.value[TKR_COUNTER_PROMPT], 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PRODUCER_TEST(test_size_impossible_is_refused),
        PRODUCER_TEST(test_size_older_structures_take_defaults),
        PRODUCER_TEST(test_size_newer_structures_are_taken_when_what_is_new_is_zero),
        PRODUCER_TEST(test_size_of_stat_says_how_much_is_written),
        PRODUCER_TEST(test_many_stops_at_the_first_that_fails),
        PRODUCER_TEST(test_many_elements_have_the_size_that_the_first_states),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
