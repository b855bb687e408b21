/* SPDX-License-Identifier: Apache-2.0 */
/* Texts and numbers as the command shows them: in so many columns, without what would move a cursor or turn a line. */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "command/moment.h"
#include "command/number.h"
#include "command/text.h"
#include "support/test.h"
#include "tokenring/tokenring.h"

static void expect_fit(const char *clean, size_t columns, const char *fitted)
{
    char text[TKR_COMMAND_FITTED_BYTES(64)];

    tkr_command_text_fit(clean, columns, text);
    assert_string_equal(text, fitted);
    assert_int_equal(tkr_command_text_width(text), columns);
}

static void test_text_is_cut_or_filled_up_to_its_columns(void **state)
{
    (void)state;
    assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
    expect_fit("alice", 5, "alice");
    expect_fit("alice", 8, "alice   ");
    expect_fit("alice", 4, "ali~");
    expect_fit("alice", 1, "~");
    expect_fit("alice", 0, "");
    expect_fit("", 2, "  ");
}

static void test_wide_characters_take_two_columns(void **state)
{
    (void)state;
    assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
    assert_int_equal(tkr_command_text_width("\xe6\x97\xa5\xe6\x9c\xac"), 4); /* two ideographs */
    expect_fit("\xe6\x97\xa5\xe6\x9c\xac", 6, "\xe6\x97\xa5\xe6\x9c\xac  ");
    expect_fit("\xe6\x97\xa5\xe6\x9c\xac", 3, "\xe6\x97\xa5~");
    expect_fit("\xe6\x97\xa5\xe6\x9c\xac", 2, " ~"); /* the first has no room beside the mark */
    expect_fit("m\xc3\xb6"
               "del",
               5,
               "m\xc3\xb6"
               "del");
}

static void test_what_turns_a_line_or_takes_no_column_is_replaced(void **state)
{
    (void)state;
    assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
    expect_fit("a\xe2\x80\xae"
               "b",
               4,
               "a\xef\xbf\xbd"
               "b "); /* right-to-left override */
    expect_fit("a\xe2\x81\xa6"
               "b",
               3,
               "a\xef\xbf\xbd"
               "b"); /* isolate */
    expect_fit("a\xe2\x80\xa8"
               "b",
               3,
               "a\xef\xbf\xbd"
               "b");                             /* line separator */
    expect_fit("e\xcc\x81", 2, "e\xef\xbf\xbd"); /* a combining accent */
}

static void test_what_the_locale_cannot_show_is_a_question_mark(void **state)
{
    (void)state;
    assert_non_null(setlocale(LC_CTYPE, "C"));
    expect_fit("m\xc3\xb6"
               "del",
               6, "m?del ");
    (void)setlocale(LC_CTYPE, "C.UTF-8");
}

static void test_control_characters_are_replaced_in_clean_text(void **state)
{
    char clean[TKR_COMMAND_CLEAN_BYTES(16)];

    (void)state;
    assert_false(tkr_command_text_clean("a\x1b[2Jb", 6, clean));
    assert_string_equal(clean, "a\xef\xbf\xbd[2Jb");
    assert_false(tkr_command_text_clean("a\xc2\x9b"
                                        "b",
                                        4, clean)); /* CSI in one character of two bytes */
    assert_null(strchr(clean, '\x9b'));
}

static void test_kind_that_is_none_is_a_number(void **state)
{
    char text[TKR_COMMAND_KIND_BYTES];

    (void)state;
    assert_string_equal(tkr_command_kind_text(TKR_KIND_USER, text), "user");
    assert_string_equal(tkr_command_kind_text(TKR_KIND_TEAM, text), "team");
    assert_string_equal(tkr_command_kind_text(UINT64_MAX, text), "0xffffffffffffffff");
}

static void test_numbers_take_few_columns(void **state)
{
    static const struct {
        int64_t value;
        const char *text;
    } numbers[] = {{0, "0"},           {99999, "99999"},    {100000, "100k"},
                   {123456, "123k"},   {999499, "999k"},    {999500, "1.00M"},
                   {1234567, "1.23M"}, {12345678, "12.3M"}, {INT64_C(9223372036854775807), "9.22E"},
                   {-5, "-5"},         {-1234567, "-1.23M"}};
    char text[TKR_COMMAND_NUMBER_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        assert_string_equal(tkr_command_number(numbers[i].value, text), numbers[i].text);
    assert_string_equal(tkr_command_number(INT64_MIN, text), "-9.22E");
    assert_string_equal(tkr_command_unsigned(UINT64_MAX, text), "18.4E");
    assert_string_equal(tkr_command_rate(0, text), "0");
    assert_string_equal(tkr_command_rate(0.04, text), "0.0");
    assert_string_equal(tkr_command_rate(12.34, text), "12.3");
    assert_string_equal(tkr_command_rate(99.99, text), "100");
    assert_string_equal(tkr_command_rate(1e300, text), "999E");
    assert_string_equal(tkr_command_bytes(65536, text), "64 KiB");
    assert_string_equal(tkr_command_bytes(1536, text), "1.5 KiB");
    assert_string_equal(tkr_command_bytes(UINT64_MAX, text), "16 EiB");
}

static void test_moments_are_utc_and_never_too_long(void **state)
{
    char text[TKR_COMMAND_MOMENT_BYTES];

    (void)state;
    assert_string_equal(tkr_command_moment(INT64_C(1795757575123456789), text), "2026-11-27T05:32:55Z");
    assert_string_equal(tkr_command_moment_ms(INT64_C(1795757575123456789), text), "2026-11-27T05:32:55.123Z");
    assert_true(strlen(tkr_command_moment(INT64_MAX, text)) < sizeof(text));
    assert_true(strlen(tkr_command_moment_ms(INT64_MIN, text)) < sizeof(text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_is_cut_or_filled_up_to_its_columns),
        cmocka_unit_test(test_wide_characters_take_two_columns),
        cmocka_unit_test(test_what_turns_a_line_or_takes_no_column_is_replaced),
        cmocka_unit_test(test_what_the_locale_cannot_show_is_a_question_mark),
        cmocka_unit_test(test_control_characters_are_replaced_in_clean_text),
        cmocka_unit_test(test_kind_that_is_none_is_a_number),
        cmocka_unit_test(test_numbers_take_few_columns),
        cmocka_unit_test(test_moments_are_utc_and_never_too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
