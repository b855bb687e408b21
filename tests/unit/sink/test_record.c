/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "sink/contribution.h"
#include "sink/record.h"
#include "support/random.h"
#include "support/sink.h"
#include "support/test.h"

static void assert_round_trip(const struct tkr_record *record)
{
    unsigned char bytes[TKR_RECORD_BYTES_MAX];
    size_t len = tkr_record_encode(record, bytes);
    struct tkr_record back;

    assert_in_range(len, 0, TKR_RECORD_BYTES_MAX);
    assert_true(tkr_record_decode(bytes, len, &back));
    assert_true(tkr_record_same(record, &back));
}

static void test_record_none_is_no_bytes(void **state)
{
    struct tkr_record none = test_record_none();
    struct tkr_record back = test_record(1, 2, 3);
    unsigned char bytes[TKR_RECORD_BYTES_MAX];

    (void)state;
    assert_int_equal(tkr_record_encode(&none, bytes), 0);
    assert_true(tkr_record_decode(bytes, 0, &back));
    assert_int_equal(back.life, 0);
    assert_int_equal(back.counts.value[TKR_COUNTER_PROMPT], 0);
}

static void test_record_layout_is_as_documented(void **state)
{
    const unsigned char expected[] = {0xac, 0x02, 0x0a, 0x05};
    const unsigned char with_calls[] = {0x01, 0x0a, 0x05, 0x03, 0x00, 0x00, 0x00, 0x00, 0x80, 0x01};
    struct tkr_record record = test_record(300, 10, 5);
    unsigned char bytes[TKR_RECORD_BYTES_MAX];

    (void)state;
    assert_int_equal(tkr_record_encode(&record, bytes), sizeof(expected));
    assert_memory_equal(bytes, expected, sizeof(expected));
    record.life = 1;
    record.counts.value[TKR_COUNTER_TOTAL] = 13; /* two fewer: zigzag(-2) is 3 */
    record.counts.value[TKR_COUNTER_CALLS] = 128;
    assert_int_equal(tkr_record_encode(&record, bytes), sizeof(with_calls));
    assert_memory_equal(bytes, with_calls, sizeof(with_calls));
}

static void test_record_extremes_round_trip(void **state)
{
    const int64_t values[] = {0, 1, 127, 128, INT64_MAX - 1, INT64_MAX};
    const int count = sizeof(values) / sizeof(values[0]);

    (void)state;
    for (int p = 0; p < count; p++) {
        for (int c = 0; c < count; c++) {
            for (int t = 0; t < count; t++) {
                struct tkr_record record = {.life = UINT64_MAX};

                record.counts.value[TKR_COUNTER_PROMPT] = values[p];
                record.counts.value[TKR_COUNTER_COMPLETION] = values[c];
                record.counts.value[TKR_COUNTER_TOTAL] = values[t];
                assert_round_trip(&record);
            }
        }
    }
}

static void test_record_of_a_busy_account_fits_64_bytes(void **state)
{
    struct tkr_record record = test_record(UINT64_C(1795441764851993255), INT64_C(9000000000), INT64_C(3000000000));
    unsigned char bytes[TKR_RECORD_BYTES_MAX];

    (void)state;
    record.counts.value[TKR_COUNTER_CACHED] = INT64_C(4000000000);
    record.counts.value[TKR_COUNTER_CACHE_WRITE] = INT64_C(1000000000);
    record.counts.value[TKR_COUNTER_REASONING] = INT64_C(2000000000);
    record.counts.value[TKR_COUNTER_ESTIMATED] = INT64_C(100000000);
    record.counts.value[TKR_COUNTER_CALLS] = 10000000;
    record.counts.value[TKR_COUNTER_ERRORS] = 100000;
    record.counts.value[TKR_COUNTER_COST] = INT64_C(50000000000000); /* 50,000 dollars */
    record.counts.value[TKR_COUNTER_DURATION] = INT64_C(20000000000);
    assert_in_range(tkr_record_encode(&record, bytes), 40, 64);
}

static struct tkr_record random_record(struct test_random *random)
{
    struct tkr_record record = {.life = test_random_next(random) >> test_random_below(random, 64)};

    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        record.counts.value[i] = (int64_t)(test_random_next(random) >> (1 + test_random_below(random, 63)));
    for (int i = (int)test_random_below(random, TKR_COUNTER_COUNT + 1); i < TKR_COUNTER_COUNT; i++)
        record.counts.value[i] = 0;
    record.life += record.life == 0;
    return record;
}

static void test_record_random_values_round_trip(void **state)
{
    struct test_random random = test_random_start();

    (void)state;
    for (int i = 0; i < 100000; i++) {
        struct tkr_record record = random_record(&random);

        assert_round_trip(&record);
    }
}

static void test_record_hostile_bytes_are_refused_or_canonical(void **state)
{
    struct test_random random = test_random_start();
    unsigned char again[TKR_RECORD_BYTES_MAX];
    int understood = 0;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        size_t len = (size_t)test_random_below(&random, 24);
        unsigned char *bytes = test_malloc(len + 1); /* of its own, so that reading beyond it is seen */
        struct tkr_record record;

        for (size_t j = 0; j < len; j++)
            bytes[j] = (unsigned char)(test_random_next(&random) >> (test_random_below(&random, 2) * 3));
        if (tkr_record_decode(bytes, len, &record)) {
            understood++;
            assert_int_equal(tkr_record_encode(&record, again), len);
            assert_memory_equal(again, bytes, len);
            for (int c = 0; c < TKR_COUNTER_COUNT; c++)
                assert_true(record.counts.value[c] >= 0);
        }
        test_free(bytes);
    }
    assert_int_not_equal(understood, 0);
}

static void assert_refused(const void *bytes, size_t len)
{
    struct tkr_record record = test_record(77, 1, 1);
    struct tkr_record before = record;

    assert_false(tkr_record_decode(bytes, len, &record));
    assert_memory_equal(&record, &before, sizeof(record));
}

static void test_record_not_as_written_is_refused(void **state)
{
    unsigned char many[2 + TKR_COUNTER_COUNT];
    unsigned char huge[300];

    (void)state;
    assert_refused("\x00", 1);                                              /* life 0 */
    assert_refused("\x00\x01", 2);                                          /* life 0 */
    assert_refused("\x81", 1);                                              /* cut */
    assert_refused("\x01\x81", 2);                                          /* cut */
    assert_refused("\x81\x00", 2);                                          /* longer than needed */
    assert_refused("\x01\x00", 2);                                          /* a zero at the end */
    assert_refused("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10);         /* beyond 64 bits */
    assert_refused("\x01\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11);     /* above INT64_MAX */
    assert_refused("\x01\x00\x00\x01", 4);                                  /* a total of -1 */
    assert_refused("\x81\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12); /* without end */
    memset(many, 1, sizeof(many));
    assert_refused(many, sizeof(many)); /* one counter more than we know */
    memset(huge, 0x80, sizeof(huge));
    assert_refused(huge, sizeof(huge));
    assert_refused("0", 2); /* text and its NUL: life 48, then a zero at the end */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_none_is_no_bytes),
        cmocka_unit_test(test_record_layout_is_as_documented),
        cmocka_unit_test(test_record_extremes_round_trip),
        cmocka_unit_test(test_record_of_a_busy_account_fits_64_bytes),
        cmocka_unit_test(test_record_random_values_round_trip),
        cmocka_unit_test(test_record_hostile_bytes_are_refused_or_canonical),
        cmocka_unit_test(test_record_not_as_written_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
