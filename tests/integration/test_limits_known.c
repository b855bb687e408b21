/* SPDX-License-Identifier: Apache-2.0 */
/* How limits become known, with a real collector: thousands at once, ahead of a new cycle, blocked, unreadable, and on a board
 * that is full. */
#include "base/clock.h"
#include "base/cycle.h"
#include "integration/collector_stage.h"
#include "support/sink.h"

#define WAIT_MS PROCESS_PATIENCE_MS
#define MANY 5000
#define TURNING 300
#define BOARD "1024"
#define BOARD_ACCOUNTS 1024
#define BEYOND 3000

static tkr_producer *open_producer(const struct stage *stage, const tkr_options *more)
{
    tkr_options options = TKR_OPTIONS_INIT;
    tkr_producer *producer;

    if (more != NULL)
        options = *more;
    options.runtime_dir = stage->runtime;
    assert_int_equal(tkr_open(&options, &producer), TKR_OK);
    return producer;
}

static tkr_limit check_in(tkr_producer *producer, const char *id, uint32_t cycle)
{
    tkr_account account = {.id = id, .len = (uint32_t)strlen(id)};
    tkr_limit limit = TKR_LIMIT_INIT;

    assert_int_equal(tkr_limit_check(producer, &account, cycle, 0, &limit), TKR_OK);
    return limit;
}

static tkr_limit check(tkr_producer *producer, const char *id)
{
    return check_in(producer, id, STAGE_CYCLE);
}

/* Asks until the verdict is this one and the limit that; what says what is waited for. */
static void wait_for(tkr_producer *producer, const char *id, int32_t verdict, int64_t limit, const char *what)
{
    long end_ms = process_now_ms() + WAIT_MS;
    tkr_limit found = check(producer, id);

    while ((found.verdict != verdict || found.limit != limit) && process_now_ms() < end_ms) {
        process_sleep_ms(2);
        found = check(producer, id);
    }
    if (found.verdict != verdict || found.limit != limit)
        fail_msg("%s: %s: verdict %d, limit %lld, not %d and %lld", what, id, found.verdict, (long long)found.limit, verdict,
                 (long long)limit);
}

static void set_limit(tkr_sink *sink, const char *id, uint32_t cycle, int64_t tokens)
{
    struct tkr_usage_row row = {.id = id, .id_len = (uint32_t)strlen(id), .cycle = cycle};
    tkr_message message = {""};

    if (sink->ops->limit_set(sink, &row, tokens, &message) != 0)
        fail_msg("%s", message.text);
}

static void name(char ret_id[24], int number)
{
    (void)snprintf(ret_id, 24, "account-%d", number);
}

/* What a command says, freed by the caller; its exit status is any. */
static char *said(struct stage *stage, const char *const argv[])
{
    struct process process;
    char *text;

    assert_int_equal(process_run(&process, argv, stage->env_list, STAGE_DEADLINE_MS), 0);
    text = strdup(process_text(&process, PROCESS_STDOUT));
    process_end(&process);
    assert_non_null(text);
    return text;
}

static void wait_for_health(struct stage *stage, const char *says)
{
    const char *const argv[] = {TEST_BIN_DIR "/tokenring", "health", NULL};
    long end_ms = process_now_ms() + WAIT_MS;
    char *text = said(stage, argv);

    while (strstr(text, says) == NULL && process_now_ms() < end_ms) {
        free(text);
        process_sleep_ms(50);
        text = said(stage, argv);
    }
    if (strstr(text, says) == NULL)
        fail_msg("'%s' is awaited, and health says: %s", says, text);
    free(text);
}

/* --- many --- */

/* 64 a second would take 78 s. How fast it is on a machine that has nothing else to do, bench_known tells. */
static void test_thousands_of_accounts_are_known_soon(void **state)
{
    struct stage *stage = *state;
    tkr_sink *sink = stage_sink(stage);
    tkr_producer *producer;
    long begun_ms;
    int unknown = MANY;
    char id[24];

    for (int i = 0; i < MANY; i++) {
        name(id, i);
        set_limit(sink, id, 0, i % 2 == 0 ? 0 : 1000 + i);
    }
    sink->ops->close(sink);
    stage_collector_start(stage, "2");
    producer = open_producer(stage, NULL);
    begun_ms = process_now_ms();
    while (unknown > 0 && process_now_ms() - begun_ms < WAIT_MS) {
        unknown = 0;
        for (int i = 0; i < MANY; i++) {
            tkr_limit limit;
            name(id, i);
            limit = check(producer, id);
            unknown += limit.verdict == TKR_LIMIT_UNKNOWN;
            if (limit.verdict != TKR_LIMIT_UNKNOWN && limit.limit != (i % 2 == 0 ? 0 : 1000 + i))
                fail_msg("%s has a limit of %lld", id, (long long)limit.limit);
        }
        process_sleep_ms(2);
    }
    print_message("%d accounts were known after %ld ms\n", MANY - unknown, process_now_ms() - begun_ms);
    assert_int_equal(unknown, 0);
    tkr_close(producer);
    stage_collector_end(stage, 0);
}

/* Who is on the board and asked for stays; the others are unknown, and somebody is told so. */
static void test_accounts_beyond_a_full_board_stay_unknown_and_that_is_said(void **state)
{
    struct stage *stage = *state;
    tkr_producer *producer;
    long end_ms = process_now_ms() + WAIT_MS;
    int known = 0;
    bool was_known[BEYOND] = {false};
    char id[24];

    stage_env(stage, "TOKENRING_BOARD_ACCOUNTS", BOARD);
    stage_collector_start(stage, "1");
    producer = open_producer(stage, NULL);
    while (known < BOARD_ACCOUNTS && process_now_ms() < end_ms) {
        known = 0;
        for (int i = 0; i < BEYOND; i++) {
            name(id, i);
            was_known[i] = check(producer, id).verdict != TKR_LIMIT_UNKNOWN;
            known += was_known[i];
        }
        process_sleep_ms(5);
    }
    assert_int_equal(known, BOARD_ACCOUNTS);
    wait_for_health(stage, "the board of limits is full");
    assert_int_equal(process_wait_text(&stage->collector, PROCESS_STDERR, "the board of limits is full", WAIT_MS), 0);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < BEYOND; i++) {
            name(id, i);
            if ((check(producer, id).verdict != TKR_LIMIT_UNKNOWN) != was_known[i])
                fail_msg("%s came or went", id);
        }
        process_sleep_ms(10);
    }
    tkr_close(producer);
    stage_collector_end(stage, 0);
}

/* --- a turn --- */

/* Options by which a cycle begins with the next whole minute that is some seconds away, and the name of that cycle. */
static int64_t turn_soon(tkr_options *options, uint32_t *ret_next)
{
    int64_t turn_s = (tkr_clock_unix_ns() / TKR_NS_PER_S + 20) / 60 * 60 + 60;

    options->utc_offset_minutes =
        (int32_t)(turn_s / 60 % 1440) > 720 ? 1440 - (int32_t)(turn_s / 60 % 1440) : -(int32_t)(turn_s / 60 % 1440);
    for (options->anchor_day = 1; options->anchor_day <= 31; options->anchor_day++) {
        uint32_t before;
        assert_int_equal(tkr_cycle(turn_s * TKR_NS_PER_S, options->anchor_day, options->utc_offset_minutes, ret_next), TKR_OK);
        assert_int_equal(tkr_cycle(turn_s * TKR_NS_PER_S - 1, options->anchor_day, options->utc_offset_minutes, &before), TKR_OK);
        if (before != *ret_next)
            return turn_s * TKR_NS_PER_S;
    }
    fail_msg("no cycle begins at %lld", (long long)turn_s);
    return 0;
}

/* Accounts that have used up the next month ahead of it, which somebody wrote there. */
static void use_up(struct stage *stage, uint32_t next)
{
    tkr_sink *sink = stage_sink(stage);
    struct test_chunk chunk;
    tkr_message message = {""};
    char id[TURNING][24];

    test_chunk_begin(&chunk, "test.0", 0, 1);
    for (int i = 0; i < TURNING; i++) {
        name(id[i], i);
        set_limit(sink, id[i], 0, 1000);
        if (i % 50 == 0 && i > 0) {
            assert_int_equal(test_chunk_send(sink, &chunk, &message), 0);
            test_chunk_begin(&chunk, "test.0", (uint64_t)i / 50, (uint64_t)i / 50 + 1);
        }
        test_chunk_add(&chunk, id[i], test_record_none(), test_record(1, 2000, 0))->cycle = next;
    }
    assert_int_equal(test_chunk_send(sink, &chunk, &message), 0);
    sink->ops->close(sink);
}

/* A cycle of the producer's own rule ends while the test runs: from its first check on every account is refused in the next. */
static void test_limits_hold_from_the_first_check_of_a_new_cycle(void **state)
{
    struct stage *stage = *state;
    tkr_options options = TKR_OPTIONS_INIT;
    tkr_producer *producer;
    uint32_t next;
    int64_t turn_ns = turn_soon(&options, &next);
    int unknown = 1;
    char id[24];

    use_up(stage, next);
    stage_collector_start(stage, "1");
    producer = open_producer(stage, &options);
    while (unknown > 0 || tkr_clock_unix_ns() < turn_ns - TKR_NS_PER_S) { /* gateways ask in the old cycle */
        unknown = 0;
        for (int i = 0; i < TURNING; i++) {
            tkr_limit limit;
            name(id, i);
            limit = check_in(producer, id, 0);
            unknown += limit.verdict == TKR_LIMIT_UNKNOWN;
            assert_int_equal(limit.cycle_end_ns, turn_ns);
        }
        if (unknown > 0 && tkr_clock_unix_ns() > turn_ns - TKR_NS_PER_S)
            fail_msg("%d accounts are not known before the turn", unknown);
        process_sleep_ms(20);
    }
    while (tkr_clock_coarse_ns() < turn_ns)
        process_sleep_ms(5);
    for (int i = 0; i < TURNING; i++) {
        tkr_limit limit;
        name(id, i);
        limit = check_in(producer, id, 0);
        if (limit.verdict != TKR_LIMIT_REFUSED || limit.used != 2000 || limit.cycle_end_ns <= turn_ns)
            fail_msg("%s: verdict %d, used %lld at the first check of the cycle", id, limit.verdict, (long long)limit.used);
    }
    tkr_close(producer);
    stage_collector_end(stage, 0);
}

/* --- limits of a kind of their own --- */

static void test_limit_of_zero_blocks_until_it_is_cleared(void **state)
{
    const char *const block[] = {TEST_BIN_DIR "/tokenring", "limit", "set", "alice", "0", NULL};
    const char *const get[] = {TEST_BIN_DIR "/tokenring", "limit", "get", "alice", NULL};
    const char *const watch[] = {TEST_BIN_DIR "/tokenring", "limit", "watch", "--once", "--json", NULL};
    const char *const clear[] = {TEST_BIN_DIR "/tokenring", "limit", "clear", "alice", NULL};
    struct stage *stage = *state;
    tkr_producer *producer;
    tkr_start start = TKR_START_INIT;
    tkr_call call;
    char *text;

    stage_collector_start(stage, "1");
    producer = open_producer(stage, NULL);
    wait_for(producer, "alice", TKR_LIMIT_ALLOWED, TKR_ABSENT, "no limit");
    free(said(stage, block));
    wait_for(producer, "alice", TKR_LIMIT_REFUSED, 0, "blocked");
    start.account_count = 1;
    start.account[0] = (tkr_account){.id = "alice", .len = 5};
    start.cycle = STAGE_CYCLE;
    start.reserve = 1;
    assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_ELIMIT);
    text = said(stage, get);
    assert_non_null(strstr(text, "blocked (standing)"));
    free(text);
    text = said(stage, watch);
    assert_non_null(strstr(text, "\"limit\":0,\"used\":0,\"reserved\":0,\"remaining\":0"));
    assert_non_null(strstr(text, "\"verdict\":\"refused\""));
    free(text);
    free(said(stage, clear));
    wait_for(producer, "alice", TKR_LIMIT_ALLOWED, TKR_ABSENT, "cleared");
    tkr_close(producer);
    stage_collector_end(stage, 0);
}

#define USAGE "token_usage:alice:2026-11-01"

static void hset(struct stage *stage, const char *key, const char *field, const char *value)
{
    redisReply *reply = redis_server_command(&stage->server, "HSET %s %s %s", key, field, value);

    assert_non_null(reply);
    assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
    freeReplyObject(reply);
}

static void run_redis(struct stage *stage, const char *command)
{
    redisReply *reply = redis_server_command(&stage->server, command);

    assert_non_null(reply);
    assert_true(reply->type != REDIS_REPLY_ERROR);
    freeReplyObject(reply);
}

static void test_limits_are_read_as_python_writes_them(void **state)
{
    static const struct {
        const char *text;
        int64_t limit;
    } forms[] = {{"1000.0", 1000},
                 {" 7", 7},
                 {"8 ", 8},
                 {"+9", 9},
                 {"1e3", 1000},
                 {"0", TKR_ABSENT},
                 {"1e+16", INT64_C(10000000000000000)}};
    struct stage *stage = *state;
    tkr_producer *producer;

    stage_collector_start(stage, "1");
    producer = open_producer(stage, NULL);
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        hset(stage, USAGE, "usage_limit", forms[i].text);
        wait_for(producer, "alice", TKR_LIMIT_ALLOWED, forms[i].limit, forms[i].text);
    }
    tkr_close(producer);
    stage_collector_end(stage, 0);
}

static void test_limit_that_cannot_be_read_leaves_the_last_one_and_is_said(void **state)
{
    static const char *const bad[] = {"abc", "1.5", "9223372036854775808", ""};
    const char *const list[] = {TEST_BIN_DIR "/tokenring", "limit", "list", NULL};
    const char *const list_json[] = {TEST_BIN_DIR "/tokenring", "limit", "list", "--json", NULL};
    struct stage *stage = *state;
    tkr_producer *producer;
    char *text;

    hset(stage, USAGE, "usage_limit", "1000");
    hset(stage, "token_limit:bob", "usage_limit", "50");
    hset(stage, "token_usage:bob:2026-11-01", "usage_limit", "abc");
    hset(stage, "token_usage:carol:2026-11-01", "usage_limit", "abc");
    stage_collector_start(stage, "1");
    producer = open_producer(stage, NULL);
    wait_for(producer, "alice", TKR_LIMIT_ALLOWED, 1000, "a limit");
    wait_for(producer, "bob", TKR_LIMIT_ALLOWED, 50, "the standing one where the cycle's was never read");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        long end_ms = process_now_ms() + 3000;
        hset(stage, USAGE, "usage_limit", bad[i]);
        hset(stage, USAGE, "total_tokens", "900");
        while (check(producer, "alice").used != 900 && process_now_ms() < end_ms)
            process_sleep_ms(2); /* it was looked up after the change */
        wait_for(producer, "alice", TKR_LIMIT_SOFT, 1000, bad[i]);
        wait_for_health(stage, "limits that cannot be read: ");
        assert_int_equal(process_wait_text(&stage->collector, PROCESS_STDERR, "the limit of user alice cannot be read", WAIT_MS),
                         0);
        hset(stage, USAGE, "usage_limit", "2000");
        wait_for(producer, "alice", TKR_LIMIT_ALLOWED, 2000, "mended");
        hset(stage, USAGE, "usage_limit", "1000");
        hset(stage, USAGE, "total_tokens", "0");
        wait_for(producer, "alice", TKR_LIMIT_ALLOWED, 1000, "as before");
    }
    assert_int_equal(check(producer, "carol").verdict, TKR_LIMIT_UNKNOWN); /* nothing is known */
    hset(stage, USAGE, "usage_limit", "a\"b");
    text = said(stage, list);
    assert_non_null(strstr(text, "unreadable"));
    assert_non_null(strstr(text, "carol  'abc'"));
    free(text);
    text = said(stage, list_json);
    assert_non_null(strstr(text, "\"limit\":null,\"standing\":false,\"used\":0,\"unreadable\":\"'a\\\"b'\""));
    free(text);
    wait_for_health(stage, "one of user ");
    hset(stage, USAGE, "usage_limit", "10");
    hset(stage, "token_usage:bob:2026-11-01", "usage_limit", "11");
    hset(stage, "token_usage:carol:2026-11-01", "usage_limit", "12");
    wait_for(producer, "carol", TKR_LIMIT_ALLOWED, 12, "mended");
    wait_for(producer, "bob", TKR_LIMIT_ALLOWED, 11, "mended");
    wait_for_health(stage, "healthy");
    tkr_close(producer);
    stage_collector_end(stage, 0);
}

static void test_standing_limit_of_another_type_leaves_the_last_one(void **state)
{
    struct stage *stage = *state;
    tkr_producer *producer;

    hset(stage, "token_limit:alice", "usage_limit", "500");
    stage_collector_start(stage, "1");
    producer = open_producer(stage, NULL);
    wait_for(producer, "alice", TKR_LIMIT_ALLOWED, 500, "a standing limit");
    wait_for(producer, "bob", TKR_LIMIT_ALLOWED, TKR_ABSENT, "none");
    run_redis(stage, "DEL token_limit:alice");
    run_redis(stage, "SET token_limit:alice 700");
    wait_for_health(stage, "user alice, cycle 2026-11-01: WRONGTYPE");
    wait_for(producer, "alice", TKR_LIMIT_ALLOWED, 500, "the last that was known");
    run_redis(stage, "DEL token_limit:alice");
    wait_for(producer, "alice", TKR_LIMIT_ALLOWED, TKR_ABSENT, "it is gone");
    tkr_close(producer);
    stage_collector_end(stage, 0);
}

/* What the programs that were there before do with a user's hash: int() of every value, and a limit of 0 is none. */
static void test_block_in_redis_is_a_field_of_its_own(void **state)
{
    struct stage *stage = *state;
    tkr_sink *sink = stage_sink(stage);

    set_limit(sink, "alice", STAGE_CYCLE, 700);
    set_limit(sink, "alice", STAGE_CYCLE, 0);
    assert_string_equal(redis_server_hget(&stage->server, USAGE, "usage_limit"), "700");
    assert_string_equal(redis_server_hget(&stage->server, USAGE, "usage_blocked"), "1");
    set_limit(sink, "alice", STAGE_CYCLE, 9);
    assert_string_equal(redis_server_hget(&stage->server, USAGE, "usage_limit"), "9");
    assert_string_equal(redis_server_hget(&stage->server, USAGE, "usage_blocked"), "");
    sink->ops->close(sink);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_REDIS(test_block_in_redis_is_a_field_of_its_own),
        IN_REDIS(test_limits_are_read_as_python_writes_them),
        IN_REDIS(test_limit_that_cannot_be_read_leaves_the_last_one_and_is_said),
        IN_REDIS(test_standing_limit_of_another_type_leaves_the_last_one),
        IN_BOTH(test_limit_of_zero_blocks_until_it_is_cleared),
        IN_BOTH(test_thousands_of_accounts_are_known_soon),
        IN_REDIS(test_accounts_beyond_a_full_board_stay_unknown_and_that_is_said),
        IN_REDIS(test_limits_hold_from_the_first_check_of_a_new_cycle),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
