/* SPDX-License-Identifier: Apache-2.0 */
/* Every refusal has its code, is counted once under it, and changes nothing else. */
#include "unit/producer/refusals.h"

#define TIME_END_NS INT64_C(9214646400000000000)

static void test_refused_null_arguments(void **state)
{
    tkr_call call = 77;
    uint32_t recorded = 99;

    (void)state;
    good();
    REFUSED(TKR_EINVAL, tkr_record(producer, NULL, &usage));
    REFUSED(TKR_EINVAL, tkr_record(producer, &start, NULL));
    REFUSED(TKR_EINVAL, tkr_call_begin(producer, NULL, &call));
    REFUSED(TKR_EINVAL, tkr_call_begin(producer, &start, NULL));
    assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
    REFUSED(TKR_EINVAL, tkr_call_end(producer, call, NULL));
    assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
    REFUSED(TKR_EINVAL, tkr_record_many(producer, NULL, &usage, 3, &recorded));
    assert_int_equal(recorded, 0);
    REFUSED(TKR_EINVAL, tkr_record_many(producer, &start, NULL, 3, NULL));
    REFUSED(TKR_EINVAL, tkr_stat_read(producer, NULL));
}

static void test_refused_null_producer_is_no_crash(void **state)
{
    tkr_stat stat = TKR_STAT_INIT;
    tkr_call call = 77;
    uint32_t recorded = 99;
    struct drained before = look();

    (void)state;
    good();
    assert_int_equal(tkr_record(NULL, &start, &usage), TKR_EINVAL);
    assert_int_equal(tkr_record_many(NULL, &start, &usage, 1, &recorded), TKR_EINVAL);
    assert_int_equal(tkr_call_begin(NULL, &start, &call), TKR_EINVAL);
    assert_int_equal(tkr_call_progress(NULL, 1, 1), TKR_EINVAL);
    assert_int_equal(tkr_call_end(NULL, 1, &usage), TKR_EINVAL);
    assert_int_equal(tkr_sync(NULL, 0), TKR_EINVAL);
    assert_int_equal(tkr_stat_read(NULL, &stat), TKR_EINVAL);
    tkr_close(NULL);
    check_only_refused(&before, 0, 0, "NULL producer");
}

static void test_refused_accounts(void **state)
{
    static char long_id[256];

    (void)state;
    memset(long_id, 'x', sizeof(long_id));
    BAD_START(TKR_EACCOUNT, start.account_count = 0);
    BAD_START(TKR_EACCOUNT, start.account_count = 5);
    BAD_START(TKR_EACCOUNT, start.account_count = UINT32_MAX);
    BAD_START(TKR_EACCOUNT, start.account[0].id = NULL);
    BAD_START(TKR_EACCOUNT, start.account[0].len = 0);
    BAD_START(TKR_EACCOUNT, start.account_count = 2); /* the second is not there */
    BAD_START(TKR_EACCOUNT, (start.account[0].id = long_id, start.account[0].len = 256));
    BAD_START(TKR_EACCOUNT, (start.account[0].id = long_id, start.account[0].len = UINT32_MAX));
    BAD_START(TKR_EACCOUNT, (start.account[0].id = "a\0b", start.account[0].len = 3));
    BAD_START(TKR_EACCOUNT, start.account[0].id = "ali\ne");
    BAD_START(TKR_EACCOUNT, start.account[0].id = "\x1flice");
    BAD_START(TKR_EACCOUNT, start.account[0].id = "alic\x7f");
    BAD_START(TKR_EACCOUNT, (start.account_count = 2, start.account[1] = start.account[0])); /* charged twice */
    BAD_START(TKR_EACCOUNT, (start.account_count = 4, start.account[1] = (tkr_account){.id = "b", .len = 1},
                             start.account[2] = (tkr_account){.id = "c", .len = 1}, start.account[3] = start.account[0]));
    good();
    start.account[0].id = long_id;
    start.account[0].len = 255;
    assert_int_equal(tkr_record(producer, &start, &usage), TKR_OK);
    good();
    start.account_count = 2; /* the same id of another kind is another account */
    start.account[1] = (tkr_account){.kind = TKR_KIND_TEAM, .id = "alice", .len = 5};
    assert_int_equal(tkr_record(producer, &start, &usage), TKR_OK);
    assert_int_equal(look().frames, 2);
}

static void test_refused_kinds(void **state)
{
    (void)state;
    BAD_START(TKR_EKIND, start.account[0].kind = UINT64_MAX);
    BAD_START(TKR_EKIND, start.account[0].kind = 27);
    BAD_START(TKR_EKIND, start.account[0].kind = UINT64_C(1) << 63);
    BAD_START(TKR_EKIND, start.account[0].kind = 21 | 19 << 5 | 5 << 10 | 18 << 15); /* "user" in letters */
}

static void test_refused_texts(void **state)
{
    static char long_text[256];

    (void)state;
    memset(long_text, 'm', sizeof(long_text));
    BAD_START(TKR_ETEXT, (start.model = long_text, start.model_len = 256));
    BAD_START(TKR_ETEXT, (start.model = NULL, start.model_len = 1));
    BAD_START(TKR_ETEXT, (start.model = "a\nb", start.model_len = 3));
    BAD_START(TKR_ETEXT, (start.provider = long_text, start.provider_len = 64));
    BAD_START(TKR_ETEXT, (start.provider = NULL, start.provider_len = 1));
    BAD_START(TKR_ETEXT, (start.provider = "\x7f", start.provider_len = 1));
    BAD_START(TKR_ETEXT, (start.provider = long_text, start.provider_len = UINT32_MAX));
    good();
    start.model = start.provider = long_text;
    start.model_len = 255;
    start.provider_len = 63;
    assert_int_equal(tkr_record(producer, &start, &usage), TKR_OK);
    assert_int_equal(look().frames, 1);
}

static void test_refused_cycles_and_numbers_of_a_start(void **state)
{
    (void)state;
    BAD_START(TKR_ECYCLE, start.cycle = 20240230);
    BAD_START(TKR_ECYCLE, start.cycle = 1);
    BAD_START(TKR_ECYCLE, start.cycle = 19691231);
    BAD_START(TKR_ECYCLE, start.cycle = 22620101);
    BAD_START(TKR_ECYCLE, start.cycle = UINT32_MAX);
    BAD_START(TKR_ERANGE, start.start_ns = -1);
    BAD_START(TKR_ERANGE, start.start_ns = INT64_MIN);
    BAD_START(TKR_ERANGE, start.start_ns = TIME_END_NS);
    BAD_START(TKR_ERANGE, start.start_ns = INT64_MAX);
    BAD_START(TKR_ERANGE, start.prompt_estimate = -2);
    BAD_START(TKR_ERANGE, start.prompt_estimate = TKR_TOKENS_MAX + 1);
    BAD_START(TKR_ERANGE, start.reserve = -2);
    BAD_START(TKR_ERANGE, start.reserve = INT64_MAX);
}

static void test_refused_numbers_of_a_usage(void **state)
{
    (void)state;
#define BAD_TOKENS(field)                                    \
    BAD_USAGE(TKR_ERANGE, usage.field = -2);                 \
    BAD_USAGE(TKR_ERANGE, usage.field = INT64_MIN);          \
    BAD_USAGE(TKR_ERANGE, usage.field = TKR_TOKENS_MAX + 1); \
    BAD_USAGE(TKR_ERANGE, usage.field = INT64_MAX)
    BAD_TOKENS(prompt);
    BAD_TOKENS(completion);
    BAD_TOKENS(total);
    BAD_TOKENS(cached);
    BAD_TOKENS(cache_write);
    BAD_TOKENS(reasoning);
#undef BAD_TOKENS
    BAD_USAGE(TKR_ERANGE, usage.cost_nano_usd = -2);
    BAD_USAGE(TKR_ERANGE, usage.cost_nano_usd = TKR_COST_MAX + 1);
    BAD_USAGE(TKR_ERANGE, usage.first_token_ns = -2);
    BAD_USAGE(TKR_ERANGE, usage.first_token_ns = TIME_END_NS);
    BAD_USAGE(TKR_ERANGE, usage.end_ns = -2);
    BAD_USAGE(TKR_ERANGE, usage.end_ns = INT64_MAX);
    BAD_USAGE(TKR_ERANGE, usage.error = -1);
    BAD_USAGE(TKR_ERANGE, usage.error = 256);
    BAD_USAGE(TKR_ERANGE, usage.estimated = 8);
    BAD_USAGE(TKR_ERANGE, usage.estimated = UINT32_MAX);
}

/* A total that is not told is prompt + completion, and a total too. */
static void test_refused_sum_beyond_what_one_call_can_use(void **state)
{
    (void)state;
    BAD_USAGE(TKR_ERANGE, (usage.prompt = TKR_TOKENS_MAX, usage.completion = TKR_TOKENS_MAX));
    BAD_USAGE(TKR_ERANGE, (usage.prompt = TKR_TOKENS_MAX, usage.completion = 1));
    good();
    usage.prompt = usage.completion = usage.total = TKR_TOKENS_MAX; /* told, it is taken as told */
    assert_int_equal(tkr_record(producer, &start, &usage), TKR_OK);
    (void)look();
}

/* --- opening --- */

static void test_open_bad_options_are_refused(void **state)
{
    struct drained before = look();

    (void)state;
#define BAD_OPTION(code, change)                                          \
    do {                                                                  \
        tkr_options options = fixture_options();                          \
        tkr_producer *none = (tkr_producer *)&options;                    \
        change;                                                           \
        if (tkr_open(&options, &none) != (code))                          \
            fail_msg("%s was not refused with %d", #change, (int)(code)); \
        assert_ptr_equal(none, &options);                                 \
    } while (0)
    BAD_OPTION(TKR_ESIZE, options.size = 0);
    BAD_OPTION(TKR_ESIZE, options.size = 3);
    BAD_OPTION(TKR_ESIZE, options.size = 4097);
    BAD_OPTION(TKR_EINVAL, options.flags = 4);
    BAD_OPTION(TKR_ERANGE, options.limit_warn_percent = 101);
    BAD_OPTION(TKR_ERANGE, options.limit_max_age_ms = 86400001);
    BAD_OPTION(TKR_EINVAL, options.flags = UINT32_MAX);
    BAD_OPTION(TKR_ERANGE, options.max_open_calls = 1000001);
    BAD_OPTION(TKR_ERANGE, options.lane_bytes = 1);
    BAD_OPTION(TKR_ERANGE, options.lane_bytes = 8192);
    BAD_OPTION(TKR_ERANGE, options.lane_bytes = 16384 + 8);
    BAD_OPTION(TKR_ERANGE, options.lane_bytes = 49152);
    BAD_OPTION(TKR_ERANGE, options.lane_bytes = 128u << 20);
    BAD_OPTION(TKR_ERANGE, options.region_bytes_max = 1);
    BAD_OPTION(TKR_ERANGE, options.region_bytes_max = 65535); /* smaller than the default lane */
    BAD_OPTION(TKR_ERANGE, options.region_bytes_max = UINT64_MAX);
    BAD_OPTION(TKR_ERANGE, options.utc_offset_minutes = 1441);
    BAD_OPTION(TKR_ERANGE, options.utc_offset_minutes = -1441);
    BAD_OPTION(TKR_ECYCLE, options.anchor_day = 32);
    BAD_OPTION(TKR_ECYCLE, options.anchor_day = -1);
    BAD_OPTION(TKR_ENODIR, options.runtime_dir = "/nowhere/at/all");
    BAD_OPTION(TKR_ENODIR, options.runtime_dir = "/dev/null");
    BAD_OPTION(TKR_ETMPFS, options.runtime_dir = "/proc");
#undef BAD_OPTION
    assert_int_equal(tkr_open(NULL, NULL), TKR_EINVAL);
    check_only_refused(&before, 0, 0, "tkr_open");
}

static void test_open_with_the_least_is_enough(void **state)
{
    struct {
        uint32_t size, flags;
    } oldest = {8, 0};
    tkr_producer *least = NULL;

    (void)state;
    assert_int_equal(setenv("TOKENRING_RUNTIME_DIR", fixture_dir, 1), 0);
    assert_int_equal(tkr_open((const tkr_options *)(const void *)&oldest, &least), TKR_OK);
    assert_int_equal(record_one(least, "alice", 1), TKR_OK);
    tkr_close(least);
    assert_int_equal(tkr_open(NULL, &least), TKR_OK);
    assert_int_equal(record_one(least, "alice", 1), TKR_OK);
    tkr_close(least);
    assert_int_equal(unsetenv("TOKENRING_RUNTIME_DIR"), 0);
    assert_int_equal(look().frames, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PRODUCER_TEST(test_refused_null_arguments),
        PRODUCER_TEST(test_refused_null_producer_is_no_crash),
        PRODUCER_TEST(test_refused_accounts),
        PRODUCER_TEST(test_refused_kinds),
        PRODUCER_TEST(test_refused_texts),
        PRODUCER_TEST(test_refused_cycles_and_numbers_of_a_start),
        PRODUCER_TEST(test_refused_numbers_of_a_usage),
        PRODUCER_TEST(test_refused_sum_beyond_what_one_call_can_use),
        PRODUCER_TEST(test_open_bad_options_are_refused),
        PRODUCER_TEST(test_open_with_the_least_is_enough),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
