/* SPDX-License-Identifier: Apache-2.0 */
/* Settings from the environment, result codes, the version, the estimate of tokens. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/drops.h"
#include "base/errors.h"
#include "base/settings.h"
#include "support/test.h"

#define NAME "TOKENRING_TEST_NUMBER"

static int read_setting(const char *text, int64_t min, int64_t max, int64_t *ret_value, tkr_message *ret_message)
{
    ret_message->text[0] = '\0';
    if (text == NULL)
        assert_int_equal(unsetenv(NAME), 0);
    else
        assert_int_equal(setenv(NAME, text, 1), 0);
    return tkr_setting_integer(NAME, min, max, 42, ret_value, ret_message);
}

static void test_setting_integer_good_texts_are_read(void **state)
{
    static const struct {
        const char *text;
        int64_t value;
    } cases[] = {
        {"0", 0}, {"7", 7}, {"-7", -7}, {"007", 7}, {"9223372036854775807", INT64_MAX}, {"-9223372036854775808", INT64_MIN},
        {"-0", 0}};
    tkr_message message;
    int64_t value;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        value = 5;
        assert_int_equal(read_setting(cases[i].text, INT64_MIN, INT64_MAX, &value, &message), 0);
        assert_true(value == cases[i].value);
    }
}

static void test_setting_integer_unset_or_empty_gives_the_default(void **state)
{
    tkr_message message;
    int64_t value = 5;

    (void)state;
    assert_int_equal(read_setting(NULL, 0, 10, &value, &message), 0);
    assert_int_equal(value, 42);
    value = 5;
    assert_int_equal(read_setting("", 0, 10, &value, &message), 0);
    assert_int_equal(value, 42);
}

static void test_setting_integer_bad_texts_are_refused_by_name_and_value(void **state)
{
    static const char *const texts[] = {"x",
                                        "1x",
                                        "1 ",
                                        " 1",
                                        "+1",
                                        "1.0",
                                        "1e3",
                                        "0x10",
                                        "--1",
                                        "-",
                                        "1,000",
                                        "9223372036854775808",
                                        "-9223372036854775809",
                                        "99999999999999999999999",
                                        "11",
                                        "-1"};
    tkr_message message;
    char sentence[128];

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int64_t value = 5;
        assert_int_equal(read_setting(texts[i], 0, 10, &value, &message), -1);
        assert_int_equal(value, 5);
        (void)snprintf(sentence, sizeof(sentence), NAME "=%s: allowed is an integer from 0 to 10", texts[i]);
        assert_string_equal(message.text, sentence);
    }
}

static void test_setting_value_of_a_long_message_is_cut(void **state)
{
    char text[1000];
    tkr_message message;
    int64_t value = 5;

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(read_setting(text, 0, 10, &value, &message), -1);
    assert_in_range(strlen(message.text), 100, TKR_MESSAGE_BYTES - 1);
    assert_non_null(strstr(message.text, NAME "=xxxx"));
    assert_non_null(strstr(message.text, "x: allowed is an integer from 0 to 10")); /* what is allowed stands there whole */
}

static void test_setting_password_is_never_shown(void **state)
{
    static const struct {
        const char *value;
        const char *shown;
    } cases[] = {
        {"redis://user:secret@h:6379/0", "redis://***@h:6379/0"},
        {"redis://:se/cr?e#t@h", "redis://***@h"},
        {"redis://:s@cret@h/9?db=1", "redis://***@h/9?db=1"},
        {"redis://:x@h/secret", "redis://***@h***"},
        {"redis://:x@h?password=secret", "redis://***@h***"},
        {"redis://user:secret", "redis://user:***"},
        {"redis://:secret", "redis://:***"},
        {"redis://user:123/secret", "redis://user:123***"},
        {"redis://h:6379/3", "redis://h:6379/3"},
        {"unix://:secret@/run/r.sock?db=3", "unix://***@/run/r.sock?db=3"},
        {"user:secret", "user:***"},
        {"secret@h", "***@h"},
        {"h:6379", "h:6379"},
        {"[::1]:6379", "[::1]:6379"},
        {"/var/lib/a@b:c?d", "/var/lib/a@b:c?d"},
        {"unix:/run/a@b", "unix:/run/a@b"},
        {"1.5", "1.5"},
        {"", ""},
    };
    char shown[64];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tkr_setting_redact(cases[i].value, shown, sizeof(shown));
        assert_string_equal(shown, cases[i].shown);
    }
    tkr_setting_redact("redis://user:secret@h:6379/0", shown, 9);
    assert_string_equal(shown, "redis://");
}

static void test_setting_that_ends_in_a_line_break_is_said_to(void **state)
{
    tkr_message message;
    const char *path = NULL;
    int64_t value = 5;

    (void)state;
    assert_int_equal(read_setting("7\n", 0, 10, &value, &message), -1);
    assert_string_equal(message.text, NAME ": the value ends in a line break: set it without");
    assert_int_equal(tkr_setting_path(NAME, &path, &message), -1);
    assert_int_equal(setenv(NAME, "redis://:secret@h", 1), 0);
    assert_int_equal(tkr_setting_path(NAME, &path, &message), -1);
    assert_string_equal(message.text, NAME "=redis://***@h: allowed is a path; for the URL of a Redis there is REDIS_URL");
    assert_int_equal(setenv(NAME, "/tmp/x", 1), 0);
    assert_int_equal(tkr_setting_path(NAME, &path, &message), 0);
    assert_string_equal(path, "/tmp/x");
}

static void test_strerror_every_code_has_a_text_of_its_own(void **state)
{
    (void)state;
    assert_string_equal(tkr_strerror(TKR_OK), "success");
    for (int i = 0; i < (int)TKR_RESULT_COUNT; i++) {
        assert_non_null(tkr_strerror(-i));
        assert_string_not_equal(tkr_strerror(-i), "");
        assert_string_not_equal(tkr_strerror(-i), tkr_strerror(1));
        assert_non_null(tkr_result_key((unsigned)i));
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(tkr_strerror(-i), tkr_strerror(-j));
            assert_string_not_equal(tkr_result_key((unsigned)i), tkr_result_key((unsigned)j));
        }
    }
    assert_int_equal(TKR_ELIMIT, -((int)TKR_RESULT_COUNT - 1)); /* the last of the header is the last of the list */
}

static void test_strerror_unknown_codes_have_a_text_too(void **state)
{
    static const int codes[] = {1, 2, INT32_MAX, INT32_MIN, -(int)TKR_RESULT_COUNT, -1000};

    (void)state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        assert_string_equal(tkr_strerror(codes[i]), "unknown result code");
    assert_null(tkr_result_key(TKR_RESULT_COUNT));
    assert_null(tkr_result_key(UINT32_MAX));
}

static void test_drop_keys_are_all_there(void **state)
{
    (void)state;
    for (int i = 0; i < TKR_DROP_COUNT; i++)
        assert_non_null(tkr_drop_key[i]);
}

static void test_version_is_the_headers(void **state)
{
    (void)state;
    assert_int_equal(tkr_version(), TKR_VERSION_MAJOR << 16 | TKR_VERSION_MINOR << 8 | TKR_VERSION_PATCH);
}

static void test_estimate_counts_code_points(void **state)
{
    static const char ascii[] = "abcdefgh";
    static const char umlauts[] = "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f"; /* 4 characters, 8 bytes */
    static const char emoji[] = "\xf0\x9f\x98\x80\xf0\x9f\x98\x80";   /* 2 characters, 8 bytes */
    static const char strays[] = "\x80\x80\xbf";                      /* continue nothing */
    static const char cut[] = "abc\xf0\x9f";                          /* 4 begin */
    static const char invalid[] = "\xff\xfe\xc0\xf8";                 /* never UTF-8: each counts as one */

    (void)state;
    assert_int_equal(tkr_estimate_tokens(ascii, 8, 0), 2);
    assert_int_equal(tkr_estimate_tokens(ascii, 7, 4), 1);
    assert_int_equal(tkr_estimate_tokens(ascii, 8, 1), 8);
    assert_int_equal(tkr_estimate_tokens(ascii, 8, 3), 2);
    assert_int_equal(tkr_estimate_tokens(ascii, 8, UINT32_MAX), 0);
    assert_int_equal(tkr_estimate_tokens(umlauts, 8, 1), 4);
    assert_int_equal(tkr_estimate_tokens(emoji, 8, 1), 2);
    assert_int_equal(tkr_estimate_tokens(strays, 3, 1), 0);
    assert_int_equal(tkr_estimate_tokens(cut, 5, 1), 4);
    assert_int_equal(tkr_estimate_tokens(invalid, 4, 1), 4);
    assert_int_equal(tkr_estimate_tokens("a\0b\0", 4, 1), 4);
    assert_int_equal(tkr_estimate_tokens("", 0, 1), 0);
    assert_int_equal(tkr_estimate_tokens(NULL, 100, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_setting_integer_good_texts_are_read),
        cmocka_unit_test(test_setting_integer_unset_or_empty_gives_the_default),
        cmocka_unit_test(test_setting_integer_bad_texts_are_refused_by_name_and_value),
        cmocka_unit_test(test_setting_value_of_a_long_message_is_cut),
        cmocka_unit_test(test_setting_password_is_never_shown),
        cmocka_unit_test(test_setting_that_ends_in_a_line_break_is_said_to),
        cmocka_unit_test(test_strerror_every_code_has_a_text_of_its_own),
        cmocka_unit_test(test_strerror_unknown_codes_have_a_text_too),
        cmocka_unit_test(test_drop_keys_are_all_there),
        cmocka_unit_test(test_version_is_the_headers),
        cmocka_unit_test(test_estimate_counts_code_points),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
