/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>

#include "unit/repository/fixture.h"

static tkr_usage_stats stats_of(struct fixture *fixture, const char *id, uint32_t cycle)
{
    tkr_usage_stats stats = TKR_USAGE_STATS_INIT;
    tkr_account account = account_of(id);

    if (tkr_repository_get_usage_stats(fixture->repository, &account, 1, cycle, &stats) != TKR_OK)
        fail_msg("%s", fixture_error(fixture));
    return stats;
}

static void assert_status(struct fixture *fixture, const char *id, bool exceeded, int64_t usage, int64_t limit, int64_t remaining)
{
    tkr_limit_status status = TKR_LIMIT_STATUS_INIT;
    tkr_account account = account_of(id);

    if (tkr_repository_check_usage_limit(fixture->repository, &account, CYCLE, &status) != TKR_OK)
        fail_msg("%s", fixture_error(fixture));
    assert_int_equal(status.exceeded, exceeded);
    assert_int_equal(status.current_usage, usage);
    assert_int_equal(status.limit, limit);
    assert_int_equal(status.remaining, remaining);
    assert_int_equal(status.size, sizeof(status));
}

static int set_limit(struct fixture *fixture, const char *id, uint32_t cycle, int64_t limit)
{
    tkr_account account = account_of(id);

    return tkr_repository_set_usage_limit(fixture->repository, &account, cycle, limit);
}

static int clear_limit(struct fixture *fixture, const char *id, uint32_t cycle)
{
    tkr_account account = account_of(id);

    return tkr_repository_clear_usage_limit(fixture->repository, &account, cycle);
}

static int reset(struct fixture *fixture, const char *id, uint32_t flags)
{
    tkr_account account = account_of(id);

    return tkr_repository_reset_usage(fixture->repository, &account, CYCLE, flags);
}

/* --- opening --- */

static void test_open_of_bad_options_is_refused(void **state)
{
    tkr_repository *repository = (tkr_repository *)0x1;
    tkr_repository_options options = TKR_REPOSITORY_OPTIONS_INIT;
    struct {
        tkr_repository_options options;
        uint64_t later;
    } newer = {.options = TKR_REPOSITORY_OPTIONS_INIT, .later = 1};

    (void)state;
    assert_int_equal(tkr_repository_open(&options, NULL), TKR_EINVAL);
    options.flags = 2;
    assert_int_equal(tkr_repository_open(&options, &repository), TKR_EINVAL);
    options.flags = 0;
    options.anchor_day = 32;
    assert_int_equal(tkr_repository_open(&options, &repository), TKR_ECYCLE);
    options.anchor_day = 1;
    options.utc_offset_minutes = -1441;
    assert_int_equal(tkr_repository_open(&options, &repository), TKR_ERANGE);
    options.size = 4;
    assert_int_equal(tkr_repository_open(&options, &repository), TKR_ESIZE);
    newer.options.size = sizeof(newer);
    assert_int_equal(tkr_repository_open(&newer.options, &repository), TKR_ESIZE);
    assert_int_equal(setenv("TOKENRING_SINK", "paper", 1), 0);
    assert_int_equal(tkr_repository_open(NULL, &repository), TKR_ESINK);
    assert_ptr_equal(repository, (tkr_repository *)0x1);
    tkr_repository_close(NULL);
}

static void test_open_takes_older_and_newer_options(void **state)
{
    struct {
        tkr_repository_options options;
        uint64_t later;
    } newer = {.options = TKR_REPOSITORY_OPTIONS_INIT};
    tkr_repository_options older = TKR_REPOSITORY_OPTIONS_INIT;
    tkr_repository *repository;

    (void)state;
    newer.options.size = sizeof(newer);
    assert_int_equal(tkr_repository_open(&newer.options, &repository), TKR_OK);
    tkr_repository_close(repository);
    older.size = 8;
    assert_int_equal(tkr_repository_open(&older, &repository), TKR_OK);
    tkr_repository_close(repository);
}

static void test_default_cycle_follows_the_options(void **state)
{
    struct fixture *fixture = *state;
    tkr_repository_options options = TKR_REPOSITORY_OPTIONS_INIT;
    tkr_usage_stats stats = TKR_USAGE_STATS_INIT;
    tkr_account account = account_of("alice");
    tkr_repository *by_day;
    uint32_t before;
    uint32_t after;
    uint32_t found;

    do { /* the month may end in between */
        assert_int_equal(tkr_cycle((int64_t)time(NULL) * 1000000000, 1, 0, &before), TKR_OK);
        found = stats_of(fixture, "alice", 0).cycle;
        assert_int_equal(tkr_cycle((int64_t)time(NULL) * 1000000000, 1, 0, &after), TKR_OK);
    } while (before != after);
    assert_int_equal(found, before);
    options.flags = TKR_CYCLE_DAY;
    assert_int_equal(tkr_repository_open(&options, &by_day), TKR_OK);
    assert_int_equal(tkr_repository_get_usage_stats(by_day, &account, 1, 0, &stats), TKR_OK);
    assert_true(stats.cycle >= before);
    tkr_repository_close(by_day);
}

/* --- arguments --- */

static void test_bad_arguments_are_refused_and_outputs_untouched(void **state)
{
    struct fixture *fixture = *state;
    tkr_repository *r = fixture->repository;
    tkr_account alice = account_of("alice");
    tkr_account empty = account_of("");
    tkr_account control = account_of("a\nb");
    tkr_account bad_kind = account_of("alice");
    tkr_usage_stats stats = TKR_USAGE_STATS_INIT;
    tkr_limit_status status = TKR_LIMIT_STATUS_INIT;
    char text[8];

    bad_kind.kind = UINT64_MAX;
    stats.calls = 77;
    status.limit = 77;
    assert_int_equal(tkr_repository_get_usage_stats(NULL, &alice, 1, CYCLE, &stats), TKR_EINVAL);
    assert_int_equal(tkr_repository_get_usage_stats(r, NULL, 1, CYCLE, &stats), TKR_EINVAL);
    assert_int_equal(tkr_repository_get_usage_stats(r, &alice, 1, CYCLE, NULL), TKR_EINVAL);
    assert_int_equal(tkr_repository_get_usage_stats(r, &alice, TKR_REPOSITORY_ACCOUNTS_MAX + 1, CYCLE, &stats), TKR_ERANGE);
    assert_int_equal(tkr_repository_get_usage_stats(r, &empty, 1, CYCLE, &stats), TKR_EACCOUNT);
    assert_int_equal(tkr_repository_get_usage_stats(r, &control, 1, CYCLE, &stats), TKR_EACCOUNT);
    assert_int_equal(tkr_repository_get_usage_stats(r, &bad_kind, 1, CYCLE, &stats), TKR_EKIND);
    assert_int_equal(tkr_repository_get_usage_stats(r, &alice, 1, 20261301, &stats), TKR_ECYCLE);
    assert_int_equal(tkr_repository_get_usage_stats(r, NULL, 0, CYCLE, NULL), TKR_OK);
    assert_int_equal(tkr_repository_check_usage_limit(r, &alice, CYCLE, NULL), TKR_EINVAL);
    assert_int_equal(tkr_repository_check_usage_limit(r, &alice, 1, &status), TKR_ECYCLE);
    status.size = 8;
    assert_int_equal(tkr_repository_check_usage_limit(r, &alice, CYCLE, &status), TKR_ESIZE);
    stats.size = 20;
    assert_int_equal(tkr_repository_get_usage_stats(r, &alice, 1, CYCLE, &stats), TKR_ESIZE);
    assert_int_equal(stats.calls, 77);
    assert_int_equal(status.limit, 77);
    assert_int_equal(tkr_repository_set_usage_limit(r, &alice, CYCLE, -5), TKR_ERANGE);
    assert_int_equal(tkr_repository_set_usage_limit(r, NULL, CYCLE, 5), TKR_EINVAL);
    assert_int_equal(tkr_repository_clear_usage_limit(r, &empty, CYCLE), TKR_EACCOUNT);
    assert_int_equal(tkr_repository_reset_usage(r, &alice, CYCLE, 2), TKR_EINVAL);
    assert_int_equal(tkr_repository_error(r, text, 0), TKR_EINVAL);
    assert_int_equal(tkr_repository_error(r, NULL, 8), TKR_EINVAL);
    assert_int_equal(tkr_repository_error(r, text, sizeof(text)), TKR_OK);
    assert_string_equal(text, ""); /* none of these asked the sink */
}

static void test_increments_without_a_producer_or_out_of_range_are_refused(void **state)
{
    struct fixture *fixture = *state;
    tkr_repository *r = fixture->repository;
    tkr_account alice = account_of("alice");

    assert_int_equal(tkr_repository_increment_prompt_tokens(r, &alice, CYCLE, 1), TKR_EINVAL);
    assert_int_equal(tkr_repository_increment_prompt_tokens(r, &alice, CYCLE, -1), TKR_ERANGE);
    assert_int_equal(tkr_repository_increment_completion_tokens(r, &alice, CYCLE, TKR_TOKENS_MAX + 1), TKR_ERANGE);
    assert_int_equal(tkr_repository_increment_total_usage(r, &alice, CYCLE, -7), TKR_ERANGE);
    assert_int_equal(tkr_repository_increment_detailed_usage(r, &alice, CYCLE, 1, -1), TKR_ERANGE);
    assert_int_equal(tkr_repository_increment_detailed_usage(NULL, &alice, CYCLE, 1, 1), TKR_EINVAL);
}

static void test_increments_are_handed_to_the_producer(void **state)
{
    struct fixture *fixture = *state;
    tkr_repository_options options = TKR_REPOSITORY_OPTIONS_INIT;
    tkr_options producer_options = TKR_OPTIONS_INIT;
    tkr_account alice = account_of("alice");
    tkr_stat stat = TKR_STAT_INIT;
    tkr_repository *r;

    producer_options.runtime_dir = fixture->dir;
    assert_int_equal(tkr_open(&producer_options, &options.producer), TKR_OK);
    assert_int_equal(tkr_repository_open(&options, &r), TKR_OK);
    assert_int_equal(tkr_repository_increment_prompt_tokens(r, &alice, CYCLE, TKR_TOKENS_MAX), TKR_OK);
    assert_int_equal(tkr_repository_increment_completion_tokens(r, &alice, 0, 0), TKR_OK);
    assert_int_equal(tkr_repository_increment_total_usage(r, &alice, CYCLE, 5), TKR_OK);
    assert_int_equal(tkr_repository_increment_detailed_usage(r, &alice, CYCLE, 2, 3), TKR_OK);
    assert_int_equal(tkr_repository_increment_detailed_usage(r, &alice, CYCLE, TKR_TOKENS_MAX, 1), TKR_ERANGE);
    assert_int_equal(tkr_repository_increment_total_usage(r, &alice, 99, 5), TKR_ECYCLE);
    assert_int_equal(tkr_stat_read(options.producer, &stat), TKR_OK);
    assert_int_equal(stat.in_lanes, 4);
    tkr_repository_close(r);
    tkr_close(options.producer);
}

/* --- stats --- */

static void test_stats_have_all_counters_by_name(void **state)
{
    struct fixture *fixture = *state;
    struct tkr_record now = {.life = 7};
    tkr_usage_stats stats;

    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        now.counts.value[i] = 1000 + i;
    assert_int_equal(test_contribute(fixture->sink, "alice", test_record_none(), now, NULL), TKR_OUTCOME_APPLIED);
    stats = stats_of(fixture, "alice", CYCLE);
    assert_int_equal(stats.present, 1);
    assert_int_equal(stats.cycle, CYCLE);
    assert_int_equal(stats.usage_limit, TKR_UNLIMITED);
    assert_int_equal(stats.standing_limit, TKR_UNLIMITED);
#define TKR_COUNTER(symbol, name, letter, help) assert_int_equal(stats.name, 1000 + TKR_COUNTER_##symbol);
#include "base/counters.def"
#undef TKR_COUNTER
    stats = stats_of(fixture, "nobody", CYCLE);
    assert_int_equal(stats.present, 0);
    assert_int_equal(stats.total_tokens, 0);
    assert_int_equal(stats_of(fixture, "alice", 20261201).present, 0);
}

#define MANY 900

static void test_stats_of_many_accounts_of_odd_ids_are_their_own(void **state)
{
    struct fixture *fixture = *state;
    static char id[MANY][24];
    static tkr_account account[MANY];
    struct { /* of a later version: there is room behind each */
        tkr_usage_stats stats;
        uint64_t later;
    } found[MANY];

    memset(found, 0x5a, sizeof(found));
    found[0].stats.size = sizeof(found[0]);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(id[i], sizeof(id[i]), "%s%d", i % 2 == 0 ? "\xff*:{0}'" : "a b\"\\", i);
        account[i] = account_of(id[i]);
        if (i % 30 == 0)
            fixture_count(fixture, id[i], i, 1);
    }
    assert_int_equal(tkr_repository_get_usage_stats(fixture->repository, account, MANY, CYCLE, &found[0].stats), TKR_OK);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(found[i].stats.size, sizeof(found[0]));
        assert_int_equal(found[i].stats.present, i % 30 == 0);
        assert_int_equal(found[i].stats.total_tokens, i % 30 == 0 ? i + 1 : 0);
        assert_int_equal(found[i].later, UINT64_C(0x5a5a5a5a5a5a5a5a));
    }
}

static void test_stats_of_an_older_caller_fit_its_structure(void **state)
{
    struct fixture *fixture = *state;
    tkr_account account = account_of("alice");
    tkr_usage_stats stats = TKR_USAGE_STATS_INIT;

    fixture_count(fixture, "alice", 3, 4);
    stats.size = offsetof(tkr_usage_stats, cached_tokens);
    stats.cached_tokens = 77;
    assert_int_equal(tkr_repository_get_usage_stats(fixture->repository, &account, 1, CYCLE, &stats), TKR_OK);
    assert_int_equal(stats.total_tokens, 7);
    assert_int_equal(stats.cached_tokens, 77);
}

static void test_kinds_are_kept_apart(void **state)
{
    struct fixture *fixture = *state;
    tkr_account team = {.kind = TKR_KIND_TEAM, .id = "alice", .len = 5};

    fixture_count(fixture, "alice", 3, 4);
    assert_int_equal(tkr_repository_set_usage_limit(fixture->repository, &team, 0, 5), TKR_OK);
    assert_int_equal(stats_of(fixture, "alice", CYCLE).standing_limit, TKR_UNLIMITED);
    assert_int_equal(tkr_repository_reset_usage(fixture->repository, &team, CYCLE, 0), TKR_OK);
    assert_int_equal(stats_of(fixture, "alice", CYCLE).total_tokens, 7);
}

/* --- limits --- */

static void test_limit_of_zero_blocks_until_it_is_changed_or_cleared(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(set_limit(fixture, "alice", 0, 0), TKR_OK);
    assert_status(fixture, "alice", true, 0, 0, 0);
    assert_int_equal(stats_of(fixture, "alice", CYCLE).standing_limit, 0);
    assert_int_equal(set_limit(fixture, "alice", CYCLE, 7), TKR_OK);
    assert_status(fixture, "alice", false, 0, 7, 7);
    assert_int_equal(set_limit(fixture, "alice", CYCLE, 0), TKR_OK);
    assert_status(fixture, "alice", true, 0, 0, 0);
    assert_int_equal(stats_of(fixture, "alice", CYCLE).usage_limit, 0);
    assert_int_equal(clear_limit(fixture, "alice", CYCLE), TKR_OK);
    assert_int_equal(clear_limit(fixture, "alice", 0), TKR_OK);
    assert_status(fixture, "alice", false, 0, TKR_UNLIMITED, TKR_UNLIMITED);
}

static void test_limit_of_the_cycle_goes_before_the_standing_one(void **state)
{
    struct fixture *fixture = *state;

    fixture_count(fixture, "alice", 60, 40);
    assert_status(fixture, "alice", false, 100, TKR_UNLIMITED, TKR_UNLIMITED);
    assert_int_equal(set_limit(fixture, "alice", 0, 100), TKR_OK);
    assert_status(fixture, "alice", true, 100, 100, 0); /* reached is exceeded */
    assert_int_equal(set_limit(fixture, "alice", CYCLE, 101), TKR_OK);
    assert_status(fixture, "alice", false, 100, 101, 1);
    assert_int_equal(set_limit(fixture, "alice", CYCLE, 1), TKR_OK);
    assert_status(fixture, "alice", true, 100, 1, 0);
    assert_int_equal(stats_of(fixture, "alice", CYCLE).usage_limit, 1);
    assert_int_equal(stats_of(fixture, "alice", CYCLE).standing_limit, 100);
    assert_int_equal(clear_limit(fixture, "alice", CYCLE), TKR_OK);
    assert_status(fixture, "alice", true, 100, 100, 0);
    assert_int_equal(clear_limit(fixture, "alice", 0), TKR_OK);
    assert_int_equal(clear_limit(fixture, "alice", 0), TKR_OK);
    assert_status(fixture, "alice", false, 100, TKR_UNLIMITED, TKR_UNLIMITED);
    assert_status(fixture, "nobody", false, 0, TKR_UNLIMITED, TKR_UNLIMITED);
}

static void test_figures_at_the_end_of_the_range_do_not_overflow(void **state)
{
    struct fixture *fixture = *state;

    fixture_count(fixture, "alice", INT64_MAX, 0);
    assert_status(fixture, "alice", false, INT64_MAX, TKR_UNLIMITED, TKR_UNLIMITED);
    assert_int_equal(set_limit(fixture, "alice", CYCLE, INT64_MAX), TKR_OK);
    assert_status(fixture, "alice", true, INT64_MAX, INT64_MAX, 0);
    assert_int_equal(set_limit(fixture, "bob", CYCLE, INT64_MAX), TKR_OK);
    assert_status(fixture, "bob", false, 0, INT64_MAX, INT64_MAX);
    assert_int_equal(set_limit(fixture, "alice", CYCLE, 1), TKR_OK);
    assert_status(fixture, "alice", true, INT64_MAX, 1, 0);
}

static void test_reset_keeps_the_limit_unless_it_is_to_go(void **state)
{
    struct fixture *fixture = *state;

    fixture_count(fixture, "alice", 60, 40);
    assert_int_equal(set_limit(fixture, "alice", CYCLE, 90), TKR_OK);
    assert_int_equal(set_limit(fixture, "alice", 0, 1000), TKR_OK);
    assert_int_equal(reset(fixture, "alice", 0), TKR_OK);
    assert_status(fixture, "alice", false, 0, 90, 90);
    assert_int_equal(test_contribute(fixture->sink, "alice", test_record(1, 60, 40), test_record(1, 61, 40), NULL),
                     TKR_OUTCOME_APPLIED);
    assert_status(fixture, "alice", false, 1, 90, 89); /* what came since */
    assert_int_equal(reset(fixture, "alice", TKR_RESET_LIMITS), TKR_OK);
    assert_status(fixture, "alice", false, 0, 1000, 1000);
    assert_int_equal(reset(fixture, "nobody", TKR_RESET_LIMITS), TKR_OK);
}

/* --- what others write --- */

static void test_limit_of_zero_or_below_by_somebody_else_is_none(void **state)
{
    struct fixture *fixture = *state;

    fixture_run(fixture, "HSET " KEY("alice") " total_tokens 9 usage_limit 0");
    assert_status(fixture, "alice", false, 9, TKR_UNLIMITED, TKR_UNLIMITED);
    fixture_run(fixture, "HSET " KEY("alice") " usage_limit -4");
    assert_int_equal(set_limit(fixture, "alice", 0, 10), TKR_OK);
    assert_status(fixture, "alice", false, 9, 10, 1);
    fixture_run(fixture, "HSET token_limit:alice usage_limit -1");
    assert_status(fixture, "alice", false, 9, TKR_UNLIMITED, TKR_UNLIMITED);
}

static void assert_not_integer(struct fixture *fixture, const char *field)
{
    tkr_account account[2] = {account_of("bob"), account_of("alice")};
    tkr_usage_stats stats[2] = {TKR_USAGE_STATS_INIT, TKR_USAGE_STATS_INIT};
    tkr_limit_status status = TKR_LIMIT_STATUS_INIT;

    assert_int_equal(tkr_repository_get_usage_stats(fixture->repository, account, 2, CYCLE, stats), TKR_ESINK);
    assert_int_equal(tkr_repository_check_usage_limit(fixture->repository, &account[1], CYCLE, &status), TKR_ESINK);
    assert_non_null(strstr(fixture_error(fixture), "alice"));
    assert_non_null(strstr(fixture_error(fixture), field));
    assert_status(fixture, "bob", false, 0, TKR_UNLIMITED, TKR_UNLIMITED); /* and others are answered */
}

static void test_what_is_no_integer_is_an_error_that_names_the_account(void **state)
{
    struct fixture *fixture = *state;

    fixture_run(fixture, "HSET " KEY("alice") " usage_limit ten");
    assert_not_integer(fixture, "usage_limit");
    fixture_run(fixture, "HSET " KEY("alice") " usage_limit 10 total_tokens 9223372036854775808");
    assert_not_integer(fixture, "total_tokens");
    fixture_run(fixture, "HSET " KEY("alice") " total_tokens 1.5");
    assert_not_integer(fixture, "total_tokens");
    fixture_run(fixture, "HSET " KEY("alice") " total_tokens 1");
    fixture_run(fixture, "HSET token_limit:alice usage_limit x");
    assert_not_integer(fixture, "usage_limit");
    fixture_run(fixture, "DEL token_limit:alice");
    fixture_run(fixture, "SET " KEY("alice") " text");
    assert_not_integer(fixture, "WRONGTYPE");
}

static void test_keys_are_those_of_the_programs_before(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(set_limit(fixture, "alice", CYCLE, 5000), TKR_OK);
    assert_string_equal(redis_server_hget(&fixture->server, KEY("alice"), "usage_limit"), "5000");
    assert_int_equal(set_limit(fixture, "alice", 0, 6000), TKR_OK);
    assert_string_equal(redis_server_hget(&fixture->server, "token_limit:alice", "usage_limit"), "6000");
    fixture_run(fixture, "HINCRBY " KEY("alice") " prompt_tokens 3");
    fixture_run(fixture, "HINCRBY " KEY("alice") " completion_tokens 4");
    fixture_run(fixture, "HINCRBY " KEY("alice") " total_tokens 7");
    assert_int_equal(stats_of(fixture, "alice", CYCLE).prompt_tokens, 3);
    assert_int_equal(stats_of(fixture, "alice", CYCLE).completion_tokens, 4);
    assert_status(fixture, "alice", false, 7, 5000, 4993);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_open_of_bad_options_is_refused, fixture_in_ledger, fixture_close),
        cmocka_unit_test_setup_teardown(test_open_takes_older_and_newer_options, fixture_in_ledger, fixture_close),
        IN_BOTH(test_default_cycle_follows_the_options),
        IN_BOTH(test_bad_arguments_are_refused_and_outputs_untouched),
        IN_BOTH(test_increments_without_a_producer_or_out_of_range_are_refused),
        IN_BOTH(test_increments_are_handed_to_the_producer),
        IN_BOTH(test_stats_have_all_counters_by_name),
        IN_BOTH(test_stats_of_many_accounts_of_odd_ids_are_their_own),
        IN_BOTH(test_stats_of_an_older_caller_fit_its_structure),
        IN_BOTH(test_kinds_are_kept_apart),
        IN_BOTH(test_limit_of_zero_blocks_until_it_is_changed_or_cleared),
        IN_BOTH(test_limit_of_the_cycle_goes_before_the_standing_one),
        IN_BOTH(test_figures_at_the_end_of_the_range_do_not_overflow),
        IN_BOTH(test_reset_keeps_the_limit_unless_it_is_to_go),
        IN_REDIS(test_limit_of_zero_or_below_by_somebody_else_is_none),
        IN_REDIS(test_what_is_no_integer_is_an_error_that_names_the_account),
        IN_REDIS(test_keys_are_those_of_the_programs_before),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
