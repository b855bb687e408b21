/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds packed into 64 bits, and ids that are clean. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/account.h"
#include "support/random.h"
#include "support/test.h"
#include "tokenring/tokenring.h"

static uint64_t kind_of(const char *name)
{
    uint64_t kind = 1;

    assert_int_equal(tkr_kind(name, &kind), TKR_OK);
    return kind;
}

static void test_kind_known_names_equal_their_constants(void **state)
{
    (void)state;
    assert_true(kind_of("user") == TKR_KIND_USER);
    assert_true(kind_of("team") == TKR_KIND_TEAM);
    assert_true(kind_of("key") == TKR_KIND_KEY);
    assert_true(kind_of("organisation") == TKR_KIND_ORGANISATION);
}

static void test_kind_every_name_comes_back(void **state)
{
    static const char *const names[] = {"a", "z", "zz", "a_b", "a__b", "org", "aaaaaaaaaaaa", "zzzzzzzzzzzz", "z__________z"};
    char name[TKR_KIND_NAME_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_true(tkr_kind_valid(kind_of(names[i])));
        tkr_kind_name(kind_of(names[i]), name);
        assert_string_equal(name, names[i]);
    }
    tkr_kind_name(TKR_KIND_USER, name);
    assert_string_equal(name, "user");
    assert_true(tkr_kind_valid(TKR_KIND_USER));
}

static void test_kind_random_names_come_back_and_differ(void **state)
{
    struct test_random random = test_random_start();
    char before[TKR_KIND_NAME_BYTES] = "";
    uint64_t kind_before = 0;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        char name[TKR_KIND_NAME_BYTES] = "";
        char again[TKR_KIND_NAME_BYTES];
        size_t len = 1 + test_random_below(&random, TKR_KIND_NAME_MAX);
        for (size_t j = 0; j < len; j++) {
            bool inner = j > 0 && j + 1 < len;
            name[j] = inner && test_random_below(&random, 5) == 0 ? '_' : (char)('a' + (int)test_random_below(&random, 26));
        }
        tkr_kind_name(kind_of(name), again);
        assert_string_equal(name, again);
        assert_true((kind_of(name) == kind_before) == (strcmp(name, before) == 0));
        memcpy(before, name, sizeof(before));
        kind_before = kind_of(name);
    }
}

static void test_kind_bad_names_are_refused(void **state)
{
    static const char *const names[] = {
        "",           "_",   "_a", "a_", "A",   "User", "a b", "a-b", "a1", "0", "aaaaaaaaaaaaa", "aaaaaaaaaaa_a",
        "t\xc3\xa4m", "a\n", "`",  "{",  "a:b", "a\x7f"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        uint64_t kind = 77;
        assert_int_equal(tkr_kind(names[i], &kind), TKR_EKIND);
        assert_true(kind == 77);
    }
}

static void test_kind_null_is_refused(void **state)
{
    uint64_t kind = 77;

    (void)state;
    assert_int_equal(tkr_kind(NULL, &kind), TKR_EINVAL);
    assert_int_equal(tkr_kind("team", NULL), TKR_EINVAL);
    assert_true(kind == 77);
}

/* The packed letters of "user" are not a second name of kind user. */
static void test_kind_numbers_that_no_name_gives_are_invalid(void **state)
{
    static const uint64_t kinds[] = {
        21 | 19 << 5 | 5 << 10 | 18 << 15, /* "user" as letters */
        27,                                /* "_" */
        27 | 1 << 5,                       /* "_a" */
        1 | 27 << 5,                       /* "a_" */
        28,
        31,
        1 | 28 << 5,           /* no letters */
        1 << 5,                /* a hole before the first letter */
        1 | UINT64_C(1) << 10, /* a hole within */
        UINT64_C(1) << 60,
        UINT64_C(1) << 63, /* a 13th letter */
        UINT64_MAX,
        TKR_KIND_ORGANISATION | UINT64_C(1) << 60,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        assert_false(tkr_kind_valid(kinds[i]));
}

static void test_kind_random_numbers_valid_only_when_their_name_gives_them(void **state)
{
    struct test_random random = test_random_start();

    (void)state;
    for (int i = 0; i < 200000; i++) {
        uint64_t kind = test_random_next(&random) >> test_random_below(&random, 60);
        char name[TKR_KIND_NAME_BYTES];
        uint64_t again;
        if (!tkr_kind_valid(kind))
            continue;
        tkr_kind_name(kind, name);
        assert_int_equal(tkr_kind(name, &again), TKR_OK);
        assert_true(again == kind);
    }
}

static bool clean_naively(const unsigned char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] < 0x20 || text[i] == 0x7f)
            return false;
    }
    return true;
}

/* Every byte at every place of texts of 0..40 bytes that begin at every alignment. */
static void test_text_one_byte_anywhere_agrees_with_the_naive_check(void **state)
{
    unsigned char text[64];

    (void)state;
    for (size_t offset = 0; offset < 8; offset++) {
        for (size_t len = 0; len <= 40; len++) {
            for (size_t at = 0; at < len; at++) {
                for (int byte = 0; byte < 256; byte++) {
                    memset(text, 0x01, sizeof(text)); /* dirt around it must not matter */
                    memset(text + offset, byte % 2 == 0 ? 0x20 : 0x80, len);
                    text[offset + at] = (unsigned char)byte;
                    if (tkr_text_clean((char *)text + offset, len) != clean_naively(text + offset, len))
                        fail_msg("offset %zu len %zu at %zu byte %d", offset, len, at, byte);
                }
            }
        }
    }
}

static void test_text_random_bytes_agree_with_the_naive_check(void **state)
{
    struct test_random random = test_random_start();

    (void)state;
    for (int i = 0; i < 200000; i++) {
        size_t len = test_random_below(&random, 41);
        unsigned char text[40];
        for (size_t j = 0; j < len; j++) /* few bytes are bad, so that both answers are frequent */
            text[j] = (unsigned char)(test_random_below(&random, 20) == 0 ? test_random_below(&random, 256)
                                                                          : 0x1e + test_random_below(&random, 0x62));
        assert_true(tkr_text_clean((char *)text, len) == clean_naively(text, len));
    }
}

/* On the heap with its exact size, so that address sanitizer and memcheck see a byte too far. */
static void test_text_is_not_read_beyond_its_end(void **state)
{
    (void)state;
    for (size_t len = 1; len <= 40; len++) {
        char *text = malloc(len);
        assert_non_null(text);
        memset(text, 'x', len);
        assert_true(tkr_text_clean(text, len));
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kind_known_names_equal_their_constants),
        cmocka_unit_test(test_kind_every_name_comes_back),
        cmocka_unit_test(test_kind_random_names_come_back_and_differ),
        cmocka_unit_test(test_kind_bad_names_are_refused),
        cmocka_unit_test(test_kind_null_is_refused),
        cmocka_unit_test(test_kind_numbers_that_no_name_gives_are_invalid),
        cmocka_unit_test(test_kind_random_numbers_valid_only_when_their_name_gives_them),
        cmocka_unit_test(test_text_one_byte_anywhere_agrees_with_the_naive_check),
        cmocka_unit_test(test_text_random_bytes_agree_with_the_naive_check),
        cmocka_unit_test(test_text_is_not_read_beyond_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
