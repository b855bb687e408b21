/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "sink/redis/keys.h"
#include "sink/redis/wire.h"
#include "support/test.h"
#include "tokenring/tokenring.h"

static void assert_usage_key(uint64_t kind, const char *id, const char *expected)
{
    char key[TKR_REDIS_KEY_BYTES];
    size_t len = tkr_redis_usage_key(kind, id, strlen(id), 20261101, key);
    struct tkr_usage_row row;

    assert_int_equal(len, strlen(expected));
    assert_memory_equal(key, expected, len);
    assert_true(tkr_redis_usage_key_parse(key, len, &row));
    assert_int_equal(row.kind, kind);
    assert_int_equal(row.id_len, strlen(id));
    assert_memory_equal(row.id, id, row.id_len);
    assert_int_equal(row.cycle, 20261101);
}

static void assert_record_key(uint64_t kind, const char *id, const char *expected)
{
    char key[TKR_REDIS_KEY_BYTES];
    size_t len = tkr_redis_record_key(kind, id, strlen(id), 20261101, key);

    assert_int_equal(len, strlen(expected));
    assert_memory_equal(key, expected, len);
}

static void test_keys_are_those_others_rely_on(void **state)
{
    (void)state;
    assert_usage_key(TKR_KIND_USER, "ann", "token_usage:ann:2026-11-01");
    assert_usage_key(TKR_KIND_TEAM, "ops", "token_usage_team:ops:2026-11-01");
    assert_usage_key(TKR_KIND_ORGANISATION, "a:b", "token_usage_organisation:a:b:2026-11-01");
    assert_usage_key(TKR_KIND_USER, ":", "token_usage:::2026-11-01");
    assert_usage_key(TKR_KIND_USER, "x:2026-01-01", "token_usage:x:2026-01-01:2026-11-01");
    assert_record_key(TKR_KIND_USER, "ann", "tr1:{0}:ann:2026-11-01");
    assert_record_key(TKR_KIND_KEY, "k{1}", "tr1:{0}_key:k{1}:2026-11-01");
}

static void test_keys_of_models_are_told_from_those_of_accounts(void **state)
{
    struct tkr_usage_row row;
    char key[TKR_REDIS_KEY_BYTES];
    size_t len = tkr_redis_models_key(TKR_KIND_USER, "ann", 3, 20261101, key);

    (void)state;
    assert_int_equal(len, strlen("token_usage.models:ann:2026-11-01"));
    assert_memory_equal(key, "token_usage.models:ann:2026-11-01", len);
    assert_false(tkr_redis_usage_key_parse(key, len, &row));
    assert_true(tkr_redis_models_key_parse(key, len, &row));
    assert_int_equal(row.id_len, 3);
    len = tkr_redis_models_key(TKR_KIND_TEAM, "a:b", 3, 20261101, key);
    assert_memory_equal(key, "token_usage_team.models:a:b:2026-11-01", len);
    assert_true(tkr_redis_models_key_parse(key, len, &row));
    assert_int_equal(row.kind, TKR_KIND_TEAM);
    len = tkr_redis_model_records_key(TKR_KIND_KEY, "k", 1, 20261101, key);
    assert_memory_equal(key, "tr1:{0}_key.models:k:2026-11-01", len);
    assert_false(tkr_redis_record_key_parse(key, len, &row));
    assert_true(tkr_redis_model_records_key_parse(key, len, &row));
    len = tkr_redis_usage_key(TKR_KIND_USER, ".models", 7, 20261101, key);
    assert_false(tkr_redis_models_key_parse(key, len, &row));
}

static void test_keys_longest_fits(void **state)
{
    char id[TKR_ID_BYTES_MAX + 1];
    char key[TKR_REDIS_KEY_BYTES];
    char pattern[TKR_REDIS_PATTERN_BYTES];
    struct tkr_usage_query query = {.id = id, .id_len = TKR_ID_BYTES_MAX, .cycle = 20261101};
    struct tkr_usage_row row;
    size_t len;

    (void)state;
    memset(id, '*', TKR_ID_BYTES_MAX);
    id[TKR_ID_BYTES_MAX] = '\0';
    query.kind = TKR_KIND_ORGANISATION;
    len = tkr_redis_models_key(query.kind, id, TKR_ID_BYTES_MAX, 20261101, key);
    assert_in_range(len, 255, TKR_REDIS_KEY_BYTES);
    len = tkr_redis_usage_key(query.kind, id, TKR_ID_BYTES_MAX, 20261101, key);
    assert_in_range(len, 255, TKR_REDIS_KEY_BYTES);
    assert_true(tkr_redis_usage_key_parse(key, len, &row));
    tkr_redis_usage_pattern(&query, pattern);
    assert_in_range(strlen(pattern), 510, TKR_REDIS_PATTERN_BYTES - 1);
}

static void test_keys_of_others_are_not_ours(void **state)
{
    const char *const foreign[] = {
        "",
        "token_usage",
        "token_usage:",
        "token_usage:2026-11-01",
        "token_usage::2026-11-01",
        "token_usage:a:2026-11-1",
        "token_usage:a:2026-13-01",
        "token_usage:a:2026-02-30",
        "token_usage:a-2026-11-01",
        "token_usage:a:2026-11-01 ",
        "token_usage:a\tb:2026-11-01",
        "token_usages:a:2026-11-01",
        "token_usage_:a:2026-11-01",
        "token_usage_user:a:2026-11-01",
        "token_usage_TEAM:a:2026-11-01",
        "token_usage_thirteenchars:a:2026-11-01",
        "token_usage_team",
        "xtoken_usage:a:2026-11-01",
    };
    struct tkr_usage_row row;
    char longer[400];
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        if (tkr_redis_usage_key_parse(foreign[i], strlen(foreign[i]), &row))
            fail_msg("%s was taken for ours", foreign[i]);
    }
    memset(longer, 'a', sizeof(longer));
    memcpy(longer, "token_usage:", 12);
    len = 12 + TKR_ID_BYTES_MAX + 1;
    memcpy(longer + len, ":2026-11-01", 11);
    assert_false(tkr_redis_usage_key_parse(longer, len + 11, &row));
}

static void test_keys_of_standing_limits_are_taken_apart(void **state)
{
    const char *const foreign[] = {"token_limit",    "token_limit:",     "token_limits:a",  "token_limit_user:a",
                                   "token_limit_:a", "token_limit:a\tb", "token_limit_team"};
    struct tkr_usage_row row;
    char key[TKR_REDIS_KEY_BYTES];
    size_t len;

    (void)state;
    len = tkr_redis_limit_key(TKR_KIND_USER, "a:2026-11-01", 12, key);
    assert_int_equal(len, 24);
    assert_memory_equal(key, "token_limit:a:2026-11-01", 24);
    assert_true(tkr_redis_limit_key_parse(key, len, &row));
    assert_int_equal(row.kind, TKR_KIND_USER);
    assert_int_equal(row.cycle, 0);
    assert_int_equal(row.id_len, 12);
    len = tkr_redis_limit_key(TKR_KIND_TEAM, "x", 1, key);
    assert_int_equal(len, 18);
    assert_memory_equal(key, "token_limit_team:x", 18);
    assert_true(tkr_redis_limit_key_parse(key, len, &row));
    assert_int_equal(row.kind, TKR_KIND_TEAM);
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        if (tkr_redis_limit_key_parse(foreign[i], strlen(foreign[i]), &row))
            fail_msg("%s was taken for ours", foreign[i]);
    }
}

static void assert_pattern(struct tkr_usage_query query, const char *expected)
{
    char pattern[TKR_REDIS_PATTERN_BYTES];

    if (query.id != NULL)
        query.id_len = (uint32_t)strlen(query.id);
    tkr_redis_usage_pattern(&query, pattern);
    assert_string_equal(pattern, expected);
}

static void test_patterns_escape_what_globs_mean(void **state)
{
    (void)state;
    assert_pattern((struct tkr_usage_query){.any_kind = 1}, "token_usage*:*:*");
    assert_pattern((struct tkr_usage_query){.any_kind = 1, .by_model = true}, "token_usage*.models:*:*");
    assert_pattern((struct tkr_usage_query){.id = "a", .by_model = true}, "token_usage.models:a:*");
    assert_pattern((struct tkr_usage_query){.any_kind = 1, .cycle = 20261101}, "token_usage*:*:2026-11-01");
    assert_pattern((struct tkr_usage_query){0}, "token_usage:*:*");
    assert_pattern((struct tkr_usage_query){.kind = TKR_KIND_TEAM}, "token_usage_team:*:*");
    assert_pattern((struct tkr_usage_query){.id = "a*?[b]\\^-"}, "token_usage:a\\*\\?\\[b\\]\\\\\\^\\-:*");
}

static void test_wire_command_is_resp(void **state)
{
    const char expected[] = "*4\r\n$4\r\nHSET\r\n$0\r\n\r\n$3\r\na\0b\r\n$20\r\n18446744073709551615\r\n";
    struct tkr_redis_wire wire = {0};
    const char *command;
    size_t len;

    (void)state;
    tkr_redis_wire_begin(&wire);
    tkr_redis_wire_text(&wire, "HSET");
    tkr_redis_wire_bytes(&wire, NULL, 0);
    tkr_redis_wire_bytes(&wire, "a\0b", 3);
    tkr_redis_wire_number(&wire, UINT64_MAX);
    assert_true(tkr_redis_wire_end(&wire, &command, &len));
    assert_int_equal(len, sizeof(expected) - 1);
    assert_memory_equal(command, expected, len);
    tkr_redis_wire_free(&wire);
}

static void test_wire_grows_and_starts_again(void **state)
{
    static char big[100000];
    struct tkr_redis_wire wire = {0};
    const char *command;
    size_t len;

    (void)state;
    memset(big, 'x', sizeof(big));
    tkr_redis_wire_begin(&wire);
    for (int i = 0; i < 12; i++)
        tkr_redis_wire_bytes(&wire, big, sizeof(big));
    assert_true(tkr_redis_wire_end(&wire, &command, &len));
    assert_int_equal(len, 5 + 12 * (9 + sizeof(big) + 2));
    assert_memory_equal(command, "*12\r\n$100000\r\nxxx", 17);
    tkr_redis_wire_begin(&wire);
    tkr_redis_wire_number(&wire, 0);
    assert_true(tkr_redis_wire_end(&wire, &command, &len));
    assert_int_equal(len, 11);
    assert_memory_equal(command, "*1\r\n$1\r\n0\r\n", 11);
    tkr_redis_wire_free(&wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_are_those_others_rely_on),
        cmocka_unit_test(test_keys_longest_fits),
        cmocka_unit_test(test_keys_of_models_are_told_from_those_of_accounts),
        cmocka_unit_test(test_keys_of_others_are_not_ours),
        cmocka_unit_test(test_patterns_escape_what_globs_mean),
        cmocka_unit_test(test_keys_of_standing_limits_are_taken_apart),
        cmocka_unit_test(test_wire_command_is_resp),
        cmocka_unit_test(test_wire_grows_and_starts_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
