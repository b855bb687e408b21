/* SPDX-License-Identifier: Apache-2.0 */
/* What the sink does to keys of single accounts in a real Redis, good ones and bad ones. */
#include "sink/contribution.h"
#include "tokenring/tokenring.h"
#include "unit/sink/redis_fixture.h"

static int set_up(void **state)
{
    struct tkr_sink_config config = fixture_config(5000);

    freeReplyObject(redis_server_command(&server, "FLUSHALL"));
    *state = fixture_sink(&config);
    return 0;
}

static void test_redis_hash_has_only_integers_that_changed(void **state)
{
    struct tkr_record now = test_record(1, 10, 5);

    assert_int_equal(test_contribute(*state, "u", NONE, now, NULL), TKR_OUTCOME_APPLIED);
    assert_string_equal(hash_text(USER_KEY("u")), "completion_tokens=5 prompt_tokens=10 total_tokens=15");
    now.counts.value[TKR_COUNTER_COST] = 7;
    assert_int_equal(test_contribute(*state, "u", test_record(1, 10, 5), now, NULL), TKR_OUTCOME_APPLIED);
    assert_string_equal(hash_text(USER_KEY("u")), "completion_tokens=5 cost_nano_usd=7 prompt_tokens=10 total_tokens=15");
}

static void test_redis_records_lie_beside_and_stay_compact(void **state)
{
    struct test_chunk chunk;
    redisReply *reply;
    tkr_message message;

    test_chunk_begin(&chunk, "0123456789abcdef.12", 0, 41);
    (void)test_chunk_add(&chunk, "u", NONE, test_record(UINT64_C(1795441764851993255), 10, 5));
    test_chunk_add(&chunk, "u", NONE, test_record(1, 1, 0))->kind = TKR_KIND_TEAM;
    assert_int_equal(test_chunk_send(*state, &chunk, &message), 0);
    assert_int_equal(integer_of("HLEN", RECORD_KEY("u")), 1);
    assert_int_equal(integer_of("HLEN", "tr1:{0}_team:u:2026-11-01"), 1);
    assert_int_equal(integer_of("HLEN", "token_usage_team:u:2026-11-01"), 2);
    assert_string_equal(hash_text("tr1:{0}:seen"), "0123456789abcdef.12=41");
    reply = redis_server_command(&server, "OBJECT ENCODING %s", RECORD_KEY("u"));
    assert_string_equal(reply->str, "listpack");
    freeReplyObject(reply);
    reply = redis_server_command(&server, "TTL %s", RECORD_KEY("u"));
    assert_int_equal(reply->integer, -1);
    freeReplyObject(reply);
}

static void test_redis_lost_record_changes_nothing_and_is_ambiguous(void **state)
{
    struct tkr_contribution item;

    (void)test_contribute(*state, "u", NONE, test_record(1, 30, 0), NULL);
    RUN("HDEL %s test.0", RECORD_KEY("u"));
    assert_int_equal(test_contribute(*state, "u", test_record(1, 30, 0), test_record(1, 31, 0), &item), TKR_OUTCOME_FOUND);
    assert_int_equal(item.found.life, 0);
    assert_int_equal(tkr_contribution_decide(&item, true), TKR_DECIDE_AMBIGUOUS);
    assert_string_equal(hash_text(USER_KEY("u")), "prompt_tokens=30 total_tokens=30");
    assert_int_equal(integer_of("EXISTS", RECORD_KEY("u")), 0);
}

static void test_redis_deleted_totals_are_a_reset(void **state)
{
    (void)test_contribute(*state, "u", NONE, test_record(1, 30, 5), NULL);
    RUN("DEL %s", USER_KEY("u"));
    assert_int_equal(test_contribute(*state, "u", test_record(1, 30, 5), test_record(1, 31, 5), NULL), TKR_OUTCOME_APPLIED);
    assert_string_equal(hash_text(USER_KEY("u")), "prompt_tokens=1 total_tokens=1");
}

static void test_redis_wrong_type_of_totals_is_poison_and_neighbours_pass(void **state)
{
    struct test_chunk chunk;
    tkr_message message;

    RUN("SET %s x", USER_KEY("bad"));
    test_chunk_begin(&chunk, "test.0", 0, 1);
    (void)test_chunk_add(&chunk, "a", NONE, test_record(1, 1, 0));
    (void)test_chunk_add(&chunk, "bad", NONE, test_record(1, 2, 0));
    (void)test_chunk_add(&chunk, "b", NONE, test_record(1, 3, 0));
    assert_int_equal(test_chunk_send(*state, &chunk, &message), 0);
    assert_int_equal(chunk.item[0].outcome, TKR_OUTCOME_APPLIED);
    assert_int_equal(chunk.item[1].outcome, TKR_OUTCOME_POISON);
    assert_int_equal(strncmp(chunk.item[1].reason, "WRONGTYPE", 9), 0);
    assert_int_equal(chunk.item[2].outcome, TKR_OUTCOME_APPLIED);
    assert_int_equal(integer_of("EXISTS", RECORD_KEY("bad")), 0);
    assert_int_equal(integer_of("STRLEN", USER_KEY("bad")), 1);
    assert_string_equal(hash_text(USER_KEY("b")), "prompt_tokens=3 total_tokens=3");
}

static void test_redis_wrong_type_of_records_is_poison(void **state)
{
    struct tkr_contribution item;

    RUN("SET %s x", RECORD_KEY("u"));
    assert_int_equal(test_contribute(*state, "u", NONE, test_record(1, 2, 0), &item), TKR_OUTCOME_POISON);
    assert_int_equal(strncmp(item.reason, "WRONGTYPE", 9), 0);
    assert_int_equal(integer_of("EXISTS", USER_KEY("u")), 0);
}

static void test_redis_record_not_understood_is_poison(void **state)
{
    struct tkr_contribution item;

    RUN("HSET %s test.0 !hello", RECORD_KEY("u")); /* begins as a life and as an error would */
    RUN("HSET %s test.0 %b", RECORD_KEY("v"), "\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01", (size_t)13);
    assert_int_equal(test_contribute(*state, "u", NONE, test_record(1, 2, 0), &item), TKR_OUTCOME_FOUND);
    assert_int_equal(item.found.life, '!');
    assert_int_equal(test_contribute(*state, "v", NONE, test_record(1, 2, 0), &item), TKR_OUTCOME_POISON);
    assert_non_null(strstr(item.reason, "newer version"));
    RUN("HSET %s test.0 %b", RECORD_KEY("v"), "\x80", (size_t)1);
    assert_int_equal(test_contribute(*state, "v", NONE, test_record(1, 2, 0), &item), TKR_OUTCOME_POISON);
    assert_int_equal(integer_of("EXISTS", USER_KEY("v")), 0);
}

static void test_redis_field_not_an_integer_leaves_the_hash_whole(void **state)
{
    struct tkr_contribution item;

    RUN("HSET %s total_tokens abc prompt_tokens 0 calls 3", USER_KEY("u"));
    assert_int_equal(test_contribute(*state, "u", NONE, test_record(1, 1, 2), &item), TKR_OUTCOME_POISON);
    assert_string_equal(item.reason, "ERR hash value is not an integer in total_tokens, key token_usage:u:2026-11-01");
    assert_string_equal(item.reason + item.key_at, "token_usage:u:2026-11-01"); /* which nobody prints who redacts ids */
    assert_string_equal(hash_text(USER_KEY("u")), "calls=3 prompt_tokens=0 total_tokens=abc");
    assert_int_equal(integer_of("EXISTS", RECORD_KEY("u")), 0);
}

static void test_redis_refusal_keeps_the_record_of_before(void **state)
{
    (void)test_contribute(*state, "u", NONE, test_record(1, 1, 2), NULL);
    RUN("HSET %s total_tokens abc", USER_KEY("u"));
    assert_int_equal(test_contribute(*state, "u", test_record(1, 1, 2), test_record(1, 5, 9), NULL), TKR_OUTCOME_POISON);
    assert_string_equal(hash_text(USER_KEY("u")), "completion_tokens=2 prompt_tokens=1 total_tokens=abc");
    RUN("HSET %s total_tokens 3", USER_KEY("u"));
    assert_int_equal(test_contribute(*state, "u", test_record(1, 1, 2), test_record(1, 5, 9), NULL), TKR_OUTCOME_APPLIED);
    assert_string_equal(hash_text(USER_KEY("u")), "completion_tokens=9 prompt_tokens=5 total_tokens=14");
}

static void test_redis_overflow_beyond_2_to_53_is_undone_exactly(void **state)
{
    const int64_t d = (INT64_C(1) << 62) + 1;
    struct tkr_record now = {.life = 1};
    struct tkr_contribution item;

    now.counts.value[TKR_COUNTER_PROMPT] = d;
    now.counts.value[TKR_COUNTER_CALLS] = 1;
    now.counts.value[TKR_COUNTER_TOTAL] = d;
    RUN("HSET %s prompt_tokens 7 total_tokens 9223372036854775806", USER_KEY("u"));
    assert_int_equal(test_contribute(*state, "u", NONE, now, &item), TKR_OUTCOME_POISON);
    assert_string_equal(item.reason, "ERR increment or decrement would overflow in total_tokens, key token_usage:u:2026-11-01");
    assert_string_equal(hash_text(USER_KEY("u")), "prompt_tokens=7 total_tokens=9223372036854775806");
    now = test_record(1, 1, 0);
    assert_int_equal(test_contribute(*state, "u", NONE, now, &item), TKR_OUTCOME_APPLIED);
    assert_string_equal(hash_text(USER_KEY("u")), "prompt_tokens=8 total_tokens=9223372036854775807");
}

static void test_redis_largest_delta_is_undone_exactly(void **state)
{
    struct tkr_record now = {.life = 1};

    now.counts.value[TKR_COUNTER_PROMPT] = INT64_MAX;
    now.counts.value[TKR_COUNTER_TOTAL] = INT64_MAX;
    RUN("HSET %s total_tokens 1", USER_KEY("u"));
    assert_int_equal(test_contribute(*state, "u", NONE, now, NULL), TKR_OUTCOME_POISON);
    assert_string_equal(hash_text(USER_KEY("u")), "total_tokens=1");
}

#define MODELS_KEY(id) "token_usage.models:" id ":2026-11-01"
#define MODEL_RECORDS_KEY(id) "tr1:{0}.models:" id ":2026-11-01"

static void test_redis_models_lie_in_hashes_of_their_own(void **state)
{
    (void)test_contribute(*state, "u", NONE, test_record(1, 3, 4), NULL);
    (void)test_contribute_model(*state, "u", "gpt-4o", NONE, test_record(1, 1, 0), NULL);
    (void)test_contribute_model(*state, "u", "openai/ft:x", NONE, test_record(1, 2, 4), NULL);
    assert_string_equal(hash_text(USER_KEY("u")), "completion_tokens=4 prompt_tokens=3 total_tokens=7");
    assert_string_equal(hash_text(MODELS_KEY("u")),
                        "gpt-4o:prompt_tokens=1 gpt-4o:total_tokens=1 openai/ft:x:completion_tokens=4 "
                        "openai/ft:x:prompt_tokens=2 openai/ft:x:total_tokens=6");
    assert_int_equal(integer_of("HLEN", RECORD_KEY("u")), 1);
    assert_int_equal(integer_of("HLEN", MODEL_RECORDS_KEY("u")), 2);
    RUN("HDEL %s test.0:gpt-4o test.0:openai/ft:x", MODEL_RECORDS_KEY("u"));
    assert_int_equal(integer_of("EXISTS", MODEL_RECORDS_KEY("u")), 0); /* those were its fields */
}

static void test_redis_wrong_type_of_models_leaves_the_account_alone(void **state)
{
    struct tkr_contribution item;

    RUN("SET %s x", MODELS_KEY("u"));
    assert_int_equal(test_contribute_model(*state, "u", "m", NONE, test_record(1, 1, 2), &item), TKR_OUTCOME_POISON);
    assert_string_equal(item.reason, "WRONGTYPE Operation against a key holding the wrong kind of value, key " MODELS_KEY("u"));
    assert_int_equal(integer_of("EXISTS", MODEL_RECORDS_KEY("u")), 0);
    assert_int_equal(integer_of("STRLEN", MODELS_KEY("u")), 1);
    assert_int_equal(test_contribute(*state, "u", NONE, test_record(1, 1, 2), NULL), TKR_OUTCOME_APPLIED);
    RUN("SET %s x", MODEL_RECORDS_KEY("v"));
    assert_int_equal(test_contribute_model(*state, "v", "m", NONE, test_record(1, 1, 2), &item), TKR_OUTCOME_POISON);
    assert_int_equal(integer_of("EXISTS", MODELS_KEY("v")), 0);
}

static void test_redis_field_of_a_model_not_an_integer_leaves_the_hash_whole(void **state)
{
    struct tkr_contribution item;

    RUN("HSET %s m:total_tokens abc m:prompt_tokens 0 n:calls 3", MODELS_KEY("u"));
    assert_int_equal(test_contribute_model(*state, "u", "m", NONE, test_record(1, 1, 2), &item), TKR_OUTCOME_POISON);
    assert_string_equal(item.reason, "ERR hash value is not an integer in m:total_tokens, key " MODELS_KEY("u"));
    assert_string_equal(hash_text(MODELS_KEY("u")), "m:prompt_tokens=0 m:total_tokens=abc n:calls=3");
    assert_int_equal(test_contribute_model(*state, "u", "n", NONE, test_record(1, 1, 0), NULL), TKR_OUTCOME_APPLIED);
    assert_string_equal(hash_text(MODELS_KEY("u")),
                        "m:prompt_tokens=0 m:total_tokens=abc n:calls=3 n:prompt_tokens=1 n:total_tokens=1");
}

/* The longest of all, refused: error, field and key are all told. */
static void test_redis_reason_holds_the_longest_field_and_key(void **state)
{
    char id[TKR_ID_BYTES_MAX + 1];
    char model[TKR_LABEL_BYTES_MAX + 1];
    struct tkr_contribution item;

    memset(id, 'i', TKR_ID_BYTES_MAX);
    memset(model, 'm', TKR_LABEL_BYTES_MAX);
    id[TKR_ID_BYTES_MAX] = model[TKR_LABEL_BYTES_MAX] = '\0';
    RUN("HSET token_usage.models:%s:2026-11-01 %s:total_tokens %s", id, model, "9223372036854775807");
    assert_int_equal(test_contribute_model(*state, id, model, NONE, test_record(1, 0, 1), &item), TKR_OUTCOME_POISON);
    assert_non_null(strstr(item.reason, "overflow in mmm"));
    assert_non_null(strstr(item.reason, "m:total_tokens, key token_usage.models:iii"));
    assert_non_null(strstr(item.reason, "i:2026-11-01"));
}

static void test_redis_read_takes_models_that_it_understands(void **state)
{
    struct tkr_usage_query all = {.any_kind = 1, .by_model = true};

    RUN("HSET %s b:total_tokens 5 a:total_tokens x a:prompt_tokens 2 nocolon 1 :calls 1 c:nothing 1", MODELS_KEY("u"));
    RUN("HSET token_usage.models:u:yesterday a:total_tokens 1");
    RUN("HSET token_usage_team.models:t:2026-11-01 a:total_tokens 1");
    RUN("HSET token_usage_user.models:t:2026-11-01 a:total_tokens 1");
    RUN("SET %s text", MODELS_KEY("w"));
    assert_int_equal(test_usage_count(*state, &all), 3);
    assert_int_equal(test_model_total(*state, "u", "b"), 5);
    assert_int_equal(test_model_total(*state, "u", "a"), 0);
}

static void test_redis_other_writers_increments_stay(void **state)
{
    (void)test_contribute(*state, "u", NONE, test_record(1, 10, 0), NULL);
    RUN("HINCRBY %s prompt_tokens 100", USER_KEY("u"));
    RUN("HSET %s usage_limit 5000", USER_KEY("u"));
    (void)test_contribute(*state, "u", test_record(1, 10, 0), test_record(1, 11, 0), NULL);
    assert_string_equal(hash_text(USER_KEY("u")), "prompt_tokens=111 total_tokens=11 usage_limit=5000");
}

static void test_redis_read_takes_what_it_understands(void **state)
{
    struct tkr_usage_query all = {.any_kind = 1};
    struct tkr_usage_row row;

    RUN("HSET %s prompt_tokens 5 total_tokens x completion_tokens -3 model_gpt 9 usage_limit 77", USER_KEY("u"));
    RUN("HSET %s prompt_tokens 9223372036854775808 usage_limit none", USER_KEY("v"));
    RUN("SET %s text", USER_KEY("w"));
    RUN("RPUSH token_usage_team:l:2026-11-01 text");
    RUN("HSET token_usage_user:x:2026-11-01 total_tokens 1");
    RUN("HSET token_usage_by_day:2026-11-01 total_tokens 1");
    RUN("HSET token_usage total_tokens 1");
    RUN("HSET token_usage:x:yesterday total_tokens 1");
    assert_true(test_usage(*state, "u", &row));
    assert_int_equal(row.counts.value[TKR_COUNTER_PROMPT], 5);
    assert_int_equal(row.counts.value[TKR_COUNTER_COMPLETION], 0);
    assert_int_equal(row.counts.value[TKR_COUNTER_TOTAL], 0);
    assert_int_equal(row.limit, 77);
    assert_true(test_usage(*state, "v", &row));
    assert_int_equal(row.counts.value[TKR_COUNTER_PROMPT], 0);
    assert_int_equal(row.limit, TKR_LIMIT_UNREADABLE);
    assert_false(test_usage(*state, "w", &row));
    assert_int_equal(test_usage_count(*state, &all), 2);
}

struct sum {
    uint32_t rows;
    int64_t total;
    char last[16];
    bool ordered;
};

static int add_row(const struct tkr_usage_row *row, void *arg)
{
    struct sum *sum = arg;
    char id[16] = "";

    memcpy(id, row->id, row->id_len < sizeof(id) ? row->id_len : sizeof(id) - 1);
    sum->ordered = sum->ordered && strcmp(sum->last, id) < 0;
    memcpy(sum->last, id, sizeof(id));
    sum->total += row->counts.value[TKR_COUNTER_TOTAL];
    sum->rows++;
    return 0;
}

static void test_redis_read_of_thousands_gives_each_once(void **state)
{
    static char ids[5000][16];
    struct tkr_usage_query all = {.any_kind = 1};
    struct sum sum = {.ordered = true};
    tkr_sink *sink = *state;
    struct test_chunk chunk;
    tkr_message message;

    for (int i = 0; i < 5000; i += 100) {
        test_chunk_begin(&chunk, "test.0", (uint64_t)i, (uint64_t)i + 100);
        for (int j = i; j < i + 100; j++) {
            (void)snprintf(ids[j], sizeof(ids[j]), "u%05d", j);
            (void)test_chunk_add(&chunk, ids[j], NONE, test_record(1, j, 0));
        }
        assert_int_equal(test_chunk_send(sink, &chunk, &message), 0);
    }
    assert_int_equal(sink->ops->read(sink, &all, add_row, &sum, &message), 0);
    assert_int_equal(sum.rows, 4999); /* u00000 was recorded with nothing, and so has no totals */
    assert_int_equal(sum.total, 4999 * 5000 / 2);
    assert_true(sum.ordered);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, fixture_sink_close)
    const struct CMUnitTest tests[] = {
        CASE(test_redis_hash_has_only_integers_that_changed),
        CASE(test_redis_records_lie_beside_and_stay_compact),
        CASE(test_redis_lost_record_changes_nothing_and_is_ambiguous),
        CASE(test_redis_deleted_totals_are_a_reset),
        CASE(test_redis_wrong_type_of_totals_is_poison_and_neighbours_pass),
        CASE(test_redis_wrong_type_of_records_is_poison),
        CASE(test_redis_record_not_understood_is_poison),
        CASE(test_redis_field_not_an_integer_leaves_the_hash_whole),
        CASE(test_redis_refusal_keeps_the_record_of_before),
        CASE(test_redis_overflow_beyond_2_to_53_is_undone_exactly),
        CASE(test_redis_largest_delta_is_undone_exactly),
        CASE(test_redis_models_lie_in_hashes_of_their_own),
        CASE(test_redis_wrong_type_of_models_leaves_the_account_alone),
        CASE(test_redis_field_of_a_model_not_an_integer_leaves_the_hash_whole),
        CASE(test_redis_reason_holds_the_longest_field_and_key),
        CASE(test_redis_read_takes_models_that_it_understands),
        CASE(test_redis_other_writers_increments_stay),
        CASE(test_redis_read_takes_what_it_understands),
        CASE(test_redis_read_of_thousands_gives_each_once),
    };
    int failed;

    redis_server_require();
    failed = cmocka_run_group_tests(tests, fixture_server_start, NULL);
    redis_server_stop(&server);
    return failed;
}
