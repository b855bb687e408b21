/* SPDX-License-Identifier: Apache-2.0 */
/* A limit as text: what Python's int() and whole floats write, and what is no limit. */
#include <string.h>

#include "sink/limit.h"
#include "support/test.h"

static void test_whole_numbers_are_read_however_they_are_written(void **state)
{
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {
        {"7", 7},
        {" 7", 7},
        {"7 ", 7},
        {"\t\r\n\v\f\x1c\x1f 7 \n", 7},
        {"+7", 7},
        {"-7", -7},
        {"007", 7},
        {"0", 0},
        {"-0", 0},
        {"0.0", 0},
        {"1000.0", 1000},
        {"1000.", 1000},
        {"1000.000", 1000},
        {"1e3", 1000},
        {"1E+3", 1000},
        {"1.5e3", 1500},
        {"1500e-2", 15},
        {"0.001e3", 1},
        {"1.50e1", 15},
        {"1e+16", INT64_C(10000000000000000)},
        {"0e999999999999999999999", 0},
        {"9223372036854775807", INT64_MAX},
        {"9223372036854775807.0", INT64_MAX},
        {"9.223372036854775807e18", INT64_MAX},
        {"9007199254740993.0", INT64_C(9007199254740993)}, /* which a float would round */
        {"-9223372036854775807", -INT64_MAX},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        int64_t value = 77;
        if (!tkr_limit_parse(good[i].text, strlen(good[i].text), &value) || value != good[i].value)
            fail_msg("'%s' is read as %lld", good[i].text, (long long)value);
    }
}

static void test_what_is_no_whole_number_of_63_bits_is_not_read(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "+",
        "-",
        ".",
        ".5",
        ".0",
        "e3",
        "abc",
        "7x",
        "x7",
        "1.5",
        "1.5e0",
        "15e-1",
        "1e-1",
        "7 7",
        "1_000",
        "1,000",
        "0x10",
        "inf",
        "nan",
        "--7",
        "+-7",
        "1e",
        "1e+",
        "1e3.0",
        "9223372036854775808",
        "9.223372036854776e+18",
        "1e19",
        "1e400",
        "18446744073709551616",
        "99999999999999999999999999999999",
        "7\xc2\xa0",
        "NULL",
    };
    int64_t value = 77;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (tkr_limit_parse(bad[i], strlen(bad[i]), &value) || value != 77)
            fail_msg("'%s' is read as %lld", bad[i], (long long)value);
    }
    assert_false(tkr_limit_parse("7\0", 2, &value)); /* a NUL is no blank */
}

static void test_figures_that_are_not_above_zero_are_no_limit_and_others_block(void **state)
{
    (void)state;
    assert_int_equal(tkr_limit_read("0", 1), TKR_LIMIT_NONE);
    assert_int_equal(tkr_limit_read("-5", 2), TKR_LIMIT_NONE);
    assert_int_equal(tkr_limit_read("5.0", 3), 5);
    assert_int_equal(tkr_limit_read("5.5", 3), TKR_LIMIT_UNREADABLE);
    assert_int_equal(tkr_limit_read_blocked("0", 1), TKR_LIMIT_NONE);
    assert_int_equal(tkr_limit_read_blocked("1", 1), 0);
    assert_int_equal(tkr_limit_read_blocked("yes", 3), TKR_LIMIT_UNREADABLE);
}

static void test_what_is_shown_is_printable_and_fits(void **state)
{
    char shown[TKR_LIMIT_TEXT_BYTES];
    char longer[300];

    (void)state;
    tkr_limit_show("1.5", 3, shown);
    assert_string_equal(shown, "'1.5'");
    tkr_limit_show("a\n\xff", 3, shown);
    assert_string_equal(shown, "'a?\?'");
    tkr_limit_show("", 0, shown);
    assert_string_equal(shown, "''");
    memset(longer, 'x', sizeof(longer));
    for (size_t len = 70; len < sizeof(longer); len++) {
        tkr_limit_show(longer, len, shown);
        assert_true(strlen(shown) < sizeof(shown));
        assert_int_equal(shown[strlen(shown) - 1], '\'');
    }
    assert_non_null(strstr(shown, "...'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_numbers_are_read_however_they_are_written),
        cmocka_unit_test(test_what_is_no_whole_number_of_63_bits_is_not_read),
        cmocka_unit_test(test_figures_that_are_not_above_zero_are_no_limit_and_others_block),
        cmocka_unit_test(test_what_is_shown_is_printable_and_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
