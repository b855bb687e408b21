/* SPDX-License-Identifier: Apache-2.0 */
/* Backups and restores of single accounts in a real Redis whose keys others have had in their hands. */
#include "sink/dataset.h"
#include "unit/sink/copies.h"
#include "unit/sink/redis_fixture.h"

static int set_up(void **state)
{
    struct tkr_sink_config config = fixture_config(5000);

    freeReplyObject(redis_server_command(&server, "ACL SETUSER default on nopass ~* +@all"));
    freeReplyObject(redis_server_command(&server, "FLUSHALL"));
    *state = fixture_sink(&config);
    return 0;
}

/* Deleting the totals is how administrators reset: after a loss it still is one. */
static void test_redis_deleted_totals_are_backed_up_as_a_reset(void **state)
{
    tkr_sink *sink = *state;
    struct copies *copies;

    contribute_as(sink, "aa.0", "u", "", NONE, test_record(5, 100, 0));
    contribute_as(sink, "aa.0", "u", "m", NONE, test_record(5, 100, 0));
    RUN("DEL %s token_usage.models:u:2026-11-01", USER_KEY("u"));
    copies = copies_make(sink);
    assert_int_equal(copies->count, 1);
    assert_int_equal(prompt_of(&copies->line[0].holdings.holding[0].rest), -100);
    assert_int_equal(prompt_of(&copies->line[0].holdings.holding[1].rest), -100);
    RUN("FLUSHALL");
    contribute_as(sink, "aa.0", "u", "", NONE, test_record(5, 107, 0)); /* sent again */
    restore_all(sink, copies, TKR_RESTORE_DONE);
    assert_int_equal(test_usage_total(sink, "u"), 7);
    copies_free(copies);
}

/* Whichever of an account's four keys are there, it is visited once. */
static void test_redis_account_is_visited_once_by_whatever_key_it_has(void **state)
{
    static const char *const keys[] = {USER_KEY("u"), RECORD_KEY("u"), "token_usage.models:u:2026-11-01",
                                       "tr1:{0}.models:u:2026-11-01"};
    tkr_sink *sink = *state;

    for (unsigned missing = 0; missing < 15; missing++) {
        struct copies *copies;

        contribute_as(sink, "aa.0", "u", "", NONE, test_record(5, 100, 0));
        contribute_as(sink, "aa.0", "u", "m", NONE, test_record(5, 100, 0));
        for (int k = 0; k < 4; k++) {
            if ((missing >> k & 1) != 0)
                RUN("DEL %s", keys[k]);
        }
        copies = copies_make(sink);
        assert_int_equal(copies->count, 1);
        copies_free(copies);
        RUN("FLUSHALL");
    }
}

static void test_redis_claims_marks_and_seen_are_no_accounts(void **state)
{
    tkr_sink *sink = *state;
    struct copies *copies;

    RUN("HSET tr1:{0}:seen aa.0 7");
    RUN("HSET tr1:{0}:dataset identity x");
    RUN("HSET tr1:{0}.alerts:u:2026-11-01 80 1");
    RUN("HSET tr1:{0}:u:2026-11-01 " MARK " 1795000000");
    RUN("HSET token_usage:no-date prompt_tokens 1");
    RUN("SET token_usage_x:y z");
    copies = copies_make(sink);
    assert_int_equal(copies->count, 0);
    assert_string_equal(copies->refused, "");
    copies_free(copies);
}

static void test_redis_fields_of_others_are_counted_and_left_out(void **state)
{
    tkr_sink *sink = *state;
    const struct tkr_holdings *u;
    struct copies *copies;

    RUN("HSET %s prompt_tokens 5 total_tokens 5 color blue usage_limit 0", USER_KEY("u"));
    RUN("HSET token_usage.models:u:2026-11-01 m:prompt_tokens 2 nonsense 4 m:size 5");
    copies = copies_make(sink);
    assert_int_equal(copies->count, 1);
    u = &copies->line[0].holdings;
    assert_int_equal(prompt_of(&u->holding[0].rest), 5);
    assert_int_equal(prompt_of(&u->holding[1].rest), 2);
    assert_int_equal(u->limit, -1);
    RUN("FLUSHALL");
    restore_all(sink, copies, TKR_RESTORE_DONE);
    assert_string_equal(hash_text(USER_KEY("u")), "prompt_tokens=5 total_tokens=5");
    assert_string_equal(hash_text("token_usage.models:u:2026-11-01"), "m:prompt_tokens=2");
    copies_free(copies);
}

/* Each is refused by what is wrong with it, and no other account for it. */
static void test_redis_poisoned_accounts_are_left_out_and_left_alone(void **state)
{
    static const struct {
        const char *command;
        const char *why;
    } poisons[] = {
        {"SET token_usage:bad:2026-11-01 x", "its totals: WRONGTYPE"},
        {"SET tr1:{0}:bad:2026-11-01 x", "its records: WRONGTYPE"},
        {"SET token_usage.models:bad:2026-11-01 x", "its models' totals: WRONGTYPE"},
        {"SET tr1:{0}.models:bad:2026-11-01 x", "its models' records: WRONGTYPE"},
        {"HSET token_usage:bad:2026-11-01 calls many", "calls: not an integer"},
        {"HSET token_usage:bad:2026-11-01 calls 9223372036854775808", "calls: not an integer"},
        {"HSET token_usage.models:bad:2026-11-01 m:errors 1.5", "errors: not an integer"},
        {"HSET tr1:{0}:bad:2026-11-01 aa.0 zzzzzzzzzzzzzzzzz", "a record: not understood"},
        {"HSET tr1:{0}:bad:2026-11-01 a:b:c x", "a record: not understood"},
        {"HSET tr1:{0}.models:bad:2026-11-01 aa.0 x", "a model's record: not understood"},
        {"HSET token_usage:bad:2026-11-01 calls -9223372036854775808", "its records: its records come to more"},
    };
    tkr_sink *sink = *state;
    struct copies *good;

    contribute_as(sink, "aa.0", "bad", "", NONE, test_record(5, 100, 0));
    contribute_as(sink, "aa.0", "good", "", NONE, test_record(5, 100, 0));
    good = copies_make(sink);
    for (size_t i = 0; i < sizeof(poisons) / sizeof(poisons[0]); i++) {
        struct tkr_restored restored;
        struct copies *copies;
        struct tkr_record record = test_record(5, 3, 0);

        RUN("FLUSHALL");
        record.counts.value[TKR_COUNTER_CALLS] = 1;
        if (strstr(poisons[i].command, "SET") != poisons[i].command)
            contribute_as(sink, "bb.0", "bad", "", NONE, record);
        RUN(poisons[i].command);
        copies = copies_make(sink);
        if (strncmp(copies->refused, poisons[i].why, strlen(poisons[i].why)) != 0)
            fail_msg("%s: \"%s\"", poisons[i].command, copies->refused);
        copies_free(copies);
        restored = restore_one(sink, copy_of(good, "bad"), false, true);
        assert_int_equal(restored.verdict, TKR_RESTORE_LEFT);
        assert_memory_equal(restored.why, poisons[i].why, strlen(poisons[i].why));
        assert_int_equal(restore_one(sink, copy_of(good, "good"), false, false).verdict, TKR_RESTORE_DONE);
        assert_int_equal(test_usage_total(sink, "good"), 100);
    }
    copies_free(good);
}

static void test_redis_standing_limit_of_another_type_is_left_out_and_left_alone(void **state)
{
    const struct tkr_usage_row row = {.id = "u", .id_len = 1};
    tkr_sink *sink = *state;
    struct copies *good;
    struct copies *bad;
    tkr_message message;

    assert_int_equal(sink->ops->limit_set(sink, &row, 500, &message), 0);
    good = copies_make(sink);
    RUN("DEL token_limit:u");
    RUN("SET token_limit:u x");
    bad = copies_make(sink);
    assert_int_equal(bad->count, 0);
    assert_non_null(strstr(bad->refused, "WRONGTYPE"));
    assert_int_equal(restore_one(sink, &good->line[0].holdings, false, false).verdict, TKR_RESTORE_LEFT);
    copies_free(good);
    copies_free(bad);
}

/* A user who may read all and write only some of the keys: nothing of the account is changed, and the whole is refused. */
static void test_redis_denied_write_is_taken_back_whole(void **state)
{
    static const char *const rules[] = {
        "ACL SETUSER default on nopass resetkeys ~tr1:* %%R~token_usage*",
        "ACL SETUSER default on nopass resetkeys ~token_usage* %%R~tr1:*",
        "ACL SETUSER default on nopass resetkeys ~token_usage:* ~tr1:* %%R~token_usage.models*",
        "ACL SETUSER default on nopass ~* -hset",
    };
    struct tkr_restore_terms terms = {.mark = MARK};
    tkr_sink *sink = *state;
    struct tkr_restored restored;
    struct copies *copies;

    contribute_as(sink, "aa.0", "u", "", NONE, test_record(5, 100, 0));
    contribute_as(sink, "aa.0", "u", "m", NONE, test_record(5, 100, 0));
    copies = copies_make(sink);
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        tkr_message message = {""};
        redisReply *reply;

        RUN("ACL SETUSER default on nopass ~* +@all");
        RUN("FLUSHALL");
        contribute_as(sink, "aa.0", "u", "", NONE, test_record(5, 70, 0));
        reply = redis_server_command(&server, rules[i]);
        assert_non_null(reply);
        if (reply->type == REDIS_REPLY_ERROR)
            fail_msg("%s: %s", rules[i], reply->str);
        freeReplyObject(reply);
        assert_int_equal(sink->ops->restore(sink, &terms, &copies->line[0].holdings, 1, &restored, &message), -1);
        if (strstr(message.text, "Redis denies this user") == NULL)
            fail_msg("%s: %s", rules[i], message.text);
        RUN("ACL SETUSER default on nopass ~* +@all");
        assert_string_equal(hash_text(USER_KEY("u")), "prompt_tokens=70 total_tokens=70");
        assert_int_equal(integer_of("HLEN", RECORD_KEY("u")), 1);
        assert_int_equal(integer_of("EXISTS", "token_usage.models:u:2026-11-01"), 0);
        assert_int_equal(integer_of("EXISTS", "tr1:{0}.models:u:2026-11-01"), 0);
    }
    copies_free(copies);
}

/* What README.md says of the permissions. */
static void test_redis_permissions_of_flushing_and_two_more_suffice(void **state)
{
    struct tkr_sink_config config = fixture_config(5000);
    struct tkr_dataset none = {.id = ""};
    struct tkr_dataset set = {.id = "0123456789abcdef", .begun_s = 5};
    const struct tkr_source_seen seen = {"aa.0", 1};
    tkr_sink *sink = *state;
    struct copies *copies;
    tkr_message message = {""};

    contribute_as(sink, "aa.0", "u", "", NONE, test_record(5, 100, 0));
    RUN("ACL SETUSER tokens reset on >secret ~token_usage* ~token_limit* ~tr1:* +evalsha +script|load +hget +hset +hdel +hincrby "
        "+scan +hgetall");
    (void)snprintf(config.username, sizeof(config.username), "tokens");
    (void)snprintf(config.password, sizeof(config.password), "secret");
    sink = fixture_sink(&config);
    assert_int_equal(sink->ops->dataset(sink, &none, &message), 0);
    if (sink->ops->dataset_set(sink, &none, &set, &message) != 0)
        fail_msg("%s", message.text);
    copies = copies_make(sink);
    RUN("FLUSHALL");
    assert_int_equal(sink->ops->sources_set(sink, &seen, 1, &message), 0);
    restore_all(sink, copies, TKR_RESTORE_DONE);
    assert_int_equal(test_usage_total(sink, "u"), 100);
    sink->ops->close(sink);
    copies_free(copies);
}

static void test_redis_that_forgot_its_scripts_is_served_all_the_same(void **state)
{
    tkr_sink *sink = *state;
    struct copies *copies;

    contribute_as(sink, "aa.0", "u", "", NONE, test_record(5, 100, 0));
    RUN("SCRIPT FLUSH");
    copies = copies_make(sink);
    RUN("FLUSHALL");
    RUN("SCRIPT FLUSH");
    restore_all(sink, copies, TKR_RESTORE_DONE);
    RUN("CLIENT KILL TYPE normal"); /* the connection that is kept, too */
    restore_all(sink, copies, TKR_RESTORE_BEFORE);
    assert_int_equal(test_usage_total(sink, "u"), 100);
    copies_free(copies);
}

static void test_redis_out_of_memory_restores_nothing(void **state)
{
    struct tkr_restore_terms terms = {.mark = MARK};
    tkr_sink *sink = *state;
    struct tkr_restored restored;
    struct copies *copies;
    tkr_message message = {""};

    contribute_as(sink, "aa.0", "u", "", NONE, test_record(5, 100, 0));
    copies = copies_make(sink);
    RUN("FLUSHALL");
    RUN("CONFIG SET maxmemory 1");
    assert_int_equal(sink->ops->restore(sink, &terms, &copies->line[0].holdings, 1, &restored, &message), -1);
    RUN("CONFIG SET maxmemory 0");
    assert_non_null(strstr(message.text, "out of memory"));
    assert_int_equal(integer_of("EXISTS", USER_KEY("u")), 0);
    copies_free(copies);
}

static int sum_calls(const struct tkr_holdings *holdings, const char *why, void *arg)
{
    assert_null(why);
    *(int64_t *)arg += holdings->holding[0].rest.value[TKR_COUNTER_CALLS];
    return 0;
}

/* More accounts than in a page or a slice, of which none is lost on the way. */
static void test_redis_many_accounts_are_all_visited(void **state)
{
    enum { ACCOUNTS = 3000 };
    tkr_sink *sink = *state;
    redisContext *context = redis_server_context(&server);
    tkr_message message = {""};
    int64_t sum = 0;

    assert_non_null(context);
    for (int i = 0; i < ACCOUNTS; i++)
        assert_int_equal(redisAppendCommand(context, "HSET token_usage:u%d:2026-11-01 calls %d", i, i + 1), REDIS_OK);
    for (int i = 0; i < ACCOUNTS; i++) {
        void *reply = NULL;
        assert_int_equal(redisGetReply(context, &reply), REDIS_OK);
        freeReplyObject(reply);
    }
    redisFree(context);
    if (sink->ops->holdings(sink, sum_calls, &sum, &message) != 0)
        fail_msg("%s", message.text);
    assert_int_equal(sum, (int64_t)ACCOUNTS * (ACCOUNTS + 1) / 2);
}

#define REDIS_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, fixture_sink_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        REDIS_TEST(test_redis_deleted_totals_are_backed_up_as_a_reset),
        REDIS_TEST(test_redis_account_is_visited_once_by_whatever_key_it_has),
        REDIS_TEST(test_redis_claims_marks_and_seen_are_no_accounts),
        REDIS_TEST(test_redis_fields_of_others_are_counted_and_left_out),
        REDIS_TEST(test_redis_poisoned_accounts_are_left_out_and_left_alone),
        REDIS_TEST(test_redis_standing_limit_of_another_type_is_left_out_and_left_alone),
        REDIS_TEST(test_redis_denied_write_is_taken_back_whole),
        REDIS_TEST(test_redis_permissions_of_flushing_and_two_more_suffice),
        REDIS_TEST(test_redis_that_forgot_its_scripts_is_served_all_the_same),
        REDIS_TEST(test_redis_out_of_memory_restores_nothing),
        REDIS_TEST(test_redis_many_accounts_are_all_visited),
    };
    int failed;

    redis_server_require();
    failed = cmocka_run_group_tests(tests, fixture_server_start, NULL);
    redis_server_stop(&server);
    return failed;
}
