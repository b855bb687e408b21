/* SPDX-License-Identifier: Apache-2.0 */
/* Questions as strangers write them: what is understood is exact, what is not is refused with a sentence. */
#include <string.h>

#include "serve/ask.h"
#include "support/test.h"

static const char *const names[] = {"top", "kind", NULL};
static const struct tkr_route route = {.path = "/api/usage", .takes_operand = true, .parameters = names};

static void expect_operand(const char *rest, const char *bytes, size_t len)
{
    struct tkr_ask ask = {.route = &route};

    assert_int_equal(tkr_ask_operand(&ask, rest), 0);
    assert_int_equal(ask.operand_len, len);
    assert_memory_equal(ask.operand, bytes, len);
    assert_int_equal(ask.operand[len], '\0');
}

static void expect_no_operand(const char *rest)
{
    struct tkr_ask ask = {.route = &route};

    assert_int_equal(tkr_ask_operand(&ask, rest), -1);
    assert_int_equal(ask.status, 400);
    assert_non_null(strstr(ask.why.text, "allowed are 1 to 255 bytes"));
}

static void test_operand_is_any_bytes(void **state)
{
    char longest[2 + 3 * 255] = "/";
    char as[255];

    (void)state;
    expect_operand("", "", 0);
    expect_operand("/alice", "alice", 5);
    expect_operand("/a%2fb%2Fc", "a/b/c", 5);
    expect_operand("/%00%ff%FF", "\0\xff\xff", 3);
    expect_operand("/a+b", "a+b", 3);
    expect_operand("/%25", "%", 1);
    for (int i = 0; i < 255; i++)
        (void)strcat(longest, "%41"); /* NOLINT: it fits */
    memset(as, 'A', sizeof(as));
    expect_operand(longest, as, sizeof(as));
}

static void test_operand_that_cannot_be_understood_is_refused(void **state)
{
    char too_long[2 + 256 + 1] = "/";

    (void)state;
    expect_no_operand("/");
    expect_no_operand("/%");
    expect_no_operand("/%4");
    expect_no_operand("/%4g");
    expect_no_operand("/%g4");
    expect_no_operand("/a%");
    memset(too_long + 1, 'a', 256);
    expect_no_operand(too_long);
}

static void test_parameters_are_known_by_name_and_come_once(void **state)
{
    struct tkr_ask ask = {.route = &route};
    int64_t top = 100;
    char too_long[TKR_ASK_VALUE_BYTES + 1];

    (void)state;
    assert_null(tkr_ask_value(&ask, "top"));
    assert_int_equal(tkr_ask_integer(&ask, "top", 1, 10, &top), 0);
    assert_int_equal(top, 100);
    assert_int_equal(tkr_ask_parameter(&ask, "top", "%37"), 0);
    assert_string_equal(tkr_ask_value(&ask, "top"), "7");
    assert_int_equal(tkr_ask_integer(&ask, "top", 1, 10, &top), 0);
    assert_int_equal(top, 7);
    assert_int_equal(tkr_ask_integer(&ask, "top", 8, 10, &top), -1);
    assert_string_equal(ask.why.text, "top=7: allowed is an integer from 8 to 10");
    assert_int_equal(tkr_ask_parameter(&ask, "top", "8"), -1);
    assert_string_equal(ask.why.text, "parameter top is there twice");
    assert_int_equal(tkr_ask_parameter(&ask, "Top", "8"), -1);
    assert_string_equal(ask.why.text, "parameter Top is not known; allowed are: top, kind");
    assert_int_equal(tkr_ask_parameter(&ask, "kind", NULL), -1);
    assert_int_equal(tkr_ask_parameter(&ask, "kind", "a%00b"), -1);
    memset(too_long, 'a', TKR_ASK_VALUE_BYTES);
    too_long[TKR_ASK_VALUE_BYTES] = '\0';
    assert_int_equal(tkr_ask_parameter(&ask, "kind", too_long), -1);
    assert_null(tkr_ask_value(&ask, "kind"));
    assert_int_equal(ask.status, 400);
}

static void test_flag_is_0_or_1(void **state)
{
    struct tkr_ask ask = {.route = &route};
    bool flag = true;

    (void)state;
    assert_int_equal(tkr_ask_flag(&ask, "kind", &flag), 0);
    assert_true(flag);
    assert_int_equal(tkr_ask_parameter(&ask, "kind", "0"), 0);
    assert_int_equal(tkr_ask_flag(&ask, "kind", &flag), 0);
    assert_false(flag);
    assert_int_equal(tkr_ask_parameter(&ask, "top", "true"), 0);
    assert_int_equal(tkr_ask_flag(&ask, "top", &flag), -1);
    assert_string_equal(ask.why.text, "top=true: allowed is an integer from 0 to 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operand_is_any_bytes),
        cmocka_unit_test(test_operand_that_cannot_be_understood_is_refused),
        cmocka_unit_test(test_parameters_are_known_by_name_and_come_once),
        cmocka_unit_test(test_flag_is_0_or_1),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
