/* SPDX-License-Identifier: Apache-2.0 */
#include "support/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/random.h"
#include "traffic/csv.h"

#define HEAD "TIMESTAMP,ContextTokens,GeneratedTokens\n"
#define T "2023-11-16 18:17:03"
#define T_NS INT64_C(1700158623000000000)
#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X255 X64 X64 X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

/* The text in memory of exactly its length, so that a sanitizer sees a byte read behind it. */
static char *copy_exactly(const char *text, size_t len)
{
    char *bytes = malloc(len == 0 ? 1 : len);

    assert_non_null(bytes);
    memcpy(bytes, text, len);
    return bytes;
}

/* Reads all rows into ret_row[0..max). Returns their number, or -1 with the reason. */
static int read_all(const char *bytes, size_t len, struct tkr_traffic_row *ret_row, int max, tkr_message *ret_message)
{
    struct tkr_traffic_csv csv;
    int count = 0;

    if (tkr_traffic_csv_open(bytes, len, &csv, ret_message) != 0)
        return -1;
    for (;;) {
        struct tkr_traffic_row row;
        int result = tkr_traffic_csv_next(&csv, &row, ret_message);

        if (result != 1)
            return result == 0 ? count : -1;
        if (count < max)
            ret_row[count] = row;
        count++;
    }
}

struct good {
    const char *text;
    uint64_t line;
    int64_t start_ns;
    int64_t prompt;
    int64_t completion;
    const char *user; /* "": none */
    const char *model;
};

static const struct good good[] = {
    {HEAD T ".9799600,4808,10\n", 2, T_NS + 979960000, 4808, 10, "", ""},
    {HEAD T ",0,1099511627776", 2, T_NS, 0, INT64_C(1) << 40, "", ""},
    {HEAD T ".000000001,1,2\r\n", 2, T_NS + 1, 1, 2, "", ""},
    {"TIMESTAMP,ContextTokens,GeneratedTokens\r\n" T ",1,2\r\n", 2, T_NS, 1, 2, "", ""},
    {"\xef\xbb\xbf" HEAD T ",1,2", 2, T_NS, 1, 2, "", ""},
    {HEAD "2023-11-16T18:17:03Z,1,2\n", 2, T_NS, 1, 2, "", ""},
    {HEAD "2023-11-16T18:17:03.5Z,1,2\n", 2, T_NS + 500000000, 1, 2, "", ""},
    {HEAD T ".003459+00:00,1,2\n", 2, T_NS + 3459000, 1, 2, "", ""},
    {HEAD "1970-01-01 00:00:00.000000001,1,2\n", 2, 1, 1, 2, "", ""},
    {HEAD "2024-02-29 23:59:59,1,2\n", 2, INT64_C(1709251199000000000), 1, 2, "", ""},
    {HEAD "2261-12-31 23:59:59.999999999,1,2\n", 2, INT64_C(9214646399999999999), 1, 2, "", ""},
    {"\"TIMESTAMP\",\"ContextTokens\",\"GeneratedTokens\"\n\"" T "\",\"1\",\"2\"\n", 2, T_NS, 1, 2, "", ""},
    {"Model,GeneratedTokens,ContextTokens,TIMESTAMP,User\ngpt-4o,2,1," T ",alice\n", 2, T_NS, 1, 2, "alice", "gpt-4o"},
    {"TIMESTAMP,ContextTokens,GeneratedTokens,User,Model\n" T ",1,2,\"a \"\"b\"\", c\",\n", 2, T_NS, 1, 2, "a \"b\", c", ""},
    {"TIMESTAMP,ContextTokens,GeneratedTokens,User\n" T ",1,2," X255 "\n", 2, T_NS, 1, 2, X255, ""},
    {"TIMESTAMP,ContextTokens,GeneratedTokens,User\n" T ",1,2,\xff\xfe\n", 2, T_NS, 1, 2, "\xff\xfe", ""},
    {"a,TIMESTAMP,\"b\"\"\n,\",ContextTokens,GeneratedTokens,,\n\"x\ny\"," T ",,007,2,z,\n", 3, T_NS, 7, 2, "", ""},
};

static void test_csv_well_formed_row_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        size_t len = strlen(good[i].text);
        char *bytes = copy_exactly(good[i].text, len);
        struct tkr_traffic_row row = {.line = 0};
        tkr_message why = {.text = ""};

        if (read_all(bytes, len, &row, 1, &why) != 1)
            fail_msg("%s: %s", good[i].text, why.text);
        assert_int_equal(row.line, good[i].line);
        assert_int_equal(row.start_ns, good[i].start_ns);
        assert_int_equal(row.prompt_tokens, good[i].prompt);
        assert_int_equal(row.completion_tokens, good[i].completion);
        assert_int_equal(row.user_len, strlen(good[i].user));
        assert_memory_equal(row.user, good[i].user, row.user_len);
        assert_int_equal(row.model_len, strlen(good[i].model));
        assert_memory_equal(row.model, good[i].model, row.model_len);
        free(bytes);
    }
}

struct bad {
    const char *text;
    const char *message;
};

#define STAMPS "YYYY-MM-DD HH:MM:SS[.fraction] in UTC, after 1970-01-01 00:00:00 and before 2262"
#define BAD_STAMP(text)                                                                 \
    {                                                                                   \
        HEAD T ",1,2\n" text ",1,2\n", "line 3, TIMESTAMP=" text ": allowed is " STAMPS \
    }
#define BAD_TOKENS(text)                                                                                        \
    {                                                                                                           \
        HEAD T "," text ",2\n", "line 2, ContextTokens=" text ": allowed is an integer from 0 to 1099511627776" \
    }

static const struct bad bad[] = {
    {"", "line 1: the file is empty; a first row with the columns' names is needed"},
    {"\xef\xbb\xbf", "line 1: the file is empty; a first row with the columns' names is needed"},
    {"TIMESTAMP,ContextTokens\n",
     "line 1: column GeneratedTokens is missing; required are TIMESTAMP, ContextTokens and GeneratedTokens"},
    {"timestamp,ContextTokens,GeneratedTokens\n",
     "line 1: column TIMESTAMP is missing; required are TIMESTAMP, ContextTokens and GeneratedTokens"},
    {"TIMESTAMP,ContextTokens,GeneratedTokens,ContextTokens\n",
     "line 1: column ContextTokens stands there twice; once is allowed"},
    {HEAD T ",1\n", "line 2: the row has fewer fields than the first row's 3"},
    {HEAD T ",1,2,\n", "line 2: the row has more fields than the first row's 3"},
    {HEAD T ",1,2\n\n", "line 3, TIMESTAMP=: allowed is " STAMPS},
    {"x,TIMESTAMP,ContextTokens,GeneratedTokens\n\n", "line 2: the row has fewer fields than the first row's 4"},
    {HEAD T ",1\"2,3\n", "line 2, field 2: a quote is allowed only in a field that begins with one"},
    {HEAD T ",\"1\"2,3\n", "line 2, field 2: after a closing quote only a comma or the end of the line is allowed"},
    {HEAD T ",\"1\"\r3,3\n", "line 2, field 2: after a closing quote only a comma or the end of the line is allowed"},
    {HEAD T ",1,\"2\n\n", "line 2, field 3: the quote is never closed"},
    {HEAD T ",1,\"2\"\"", "line 2, field 3: the quote is never closed"},
    {HEAD T ",1,2\r", "line 2, field 3: a carriage return is allowed only before a newline or in quotes"},
    {HEAD T ",1\r,2\n", "line 2, field 2: a carriage return is allowed only before a newline or in quotes"},
    {"TIMESTAMP,ContextTokens,GeneratedTokens,x\n" T ",1,2,\"a\nb\"\n" T ",-1,2,\n",
     "line 4, ContextTokens=-1: allowed is an integer from 0 to 1099511627776"},
    BAD_TOKENS(""),
    BAD_TOKENS("-0"),
    BAD_TOKENS("+1"),
    BAD_TOKENS(" 1"),
    BAD_TOKENS("1 "),
    BAD_TOKENS("1.0"),
    BAD_TOKENS("0x10"),
    BAD_TOKENS("1099511627777"),
    BAD_TOKENS("99999999999999999999999999"),
    {HEAD T ",1,1099511627776\n",
     "line 2: ContextTokens and GeneratedTokens are 1099511627777 in all: allowed is up to 1099511627776"},
    {HEAD T ",1,many\n", "line 2, GeneratedTokens=many: allowed is an integer from 0 to 1099511627776"},
    {HEAD T ",\"1\n\x1b[2J\xc3\xa9\",2\n", "line 2, ContextTokens=1??[2J??: allowed is an integer from 0 to "
                                           "1099511627776"},
    {HEAD T "," X64 ",2\n", "line 2, ContextTokens=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...: allowed is an integer "
                            "from 0 to 1099511627776"},
    BAD_STAMP("1970-01-01 00:00:00"),
    BAD_STAMP("1969-12-31 23:59:59"),
    BAD_STAMP("2262-01-01 00:00:00"),
    BAD_STAMP("2023-02-29 00:00:00"),
    BAD_STAMP("2023-13-01 00:00:00"),
    BAD_STAMP("2023-11-16 24:00:00"),
    BAD_STAMP("2023-11-16 18:60:00"),
    BAD_STAMP("2023-11-16 18:17:60"),
    BAD_STAMP("2023-11-16 18:17"),
    BAD_STAMP("2023-11-16"),
    BAD_STAMP("2023-11-16 18:17:03."),
    BAD_STAMP("2023-11-16 18:17:03.0000000001"),
    BAD_STAMP("2023-11-16 18:17:03 "),
    BAD_STAMP("2023-11-16 18:17:03z"),
    BAD_STAMP("2023-11-16 18:17:03+01:00"),
    BAD_STAMP("2023-11-16_18:17:03"),
    BAD_STAMP("2023-1-16 18:17:03"),
    BAD_STAMP("1700158623"),
    {"TIMESTAMP,ContextTokens,GeneratedTokens,User\n" T ",1,2,\n",
     "line 2, User=: allowed is 1 to 255 bytes without control characters"},
    {"TIMESTAMP,ContextTokens,GeneratedTokens,User\n" T ",1,2,\"a\nb\"\n",
     "line 2, User=a?b: allowed is 1 to 255 bytes without control characters"},
    {"TIMESTAMP,ContextTokens,GeneratedTokens,User\n" T ",1,2," X255 "x\n",
     "line 2, User=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...: allowed is 1 to 255 bytes without control characters"},
    {"TIMESTAMP,ContextTokens,GeneratedTokens,Model\n" T ",1,2,a\tb\n",
     "line 2, Model=a?b: allowed is 0 to 255 bytes without control characters"},
};

static void test_csv_malformed_input_is_refused_with_its_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        size_t len = strlen(bad[i].text);
        char *bytes = copy_exactly(bad[i].text, len);
        tkr_message why = {.text = ""};

        assert_int_equal(read_all(bytes, len, NULL, 0, &why), -1);
        assert_string_equal(why.text, bad[i].message);
        free(bytes);
    }
}

static void test_csv_nul_in_a_number_is_refused(void **state)
{
    static const char text[] = HEAD T ",1\0002,3\n";
    tkr_message why;

    (void)state;
    assert_int_equal(read_all(text, sizeof(text) - 1, NULL, 0, &why), -1);
    assert_string_equal(why.text, "line 2, ContextTokens=1?2: allowed is an integer from 0 to 1099511627776");
}

static void test_csv_first_row_alone_has_no_calls(void **state)
{
    tkr_message why;

    (void)state;
    assert_int_equal(read_all(HEAD, sizeof(HEAD) - 1, NULL, 0, &why), 0);
    assert_int_equal(read_all(HEAD, sizeof(HEAD) - 2, NULL, 0, &why), 0); /* without its newline */
}

/* Any bytes at all: an answer, nothing read outside (a sanitizer looks), no endless loop. */
static void test_csv_random_bytes_are_survived(void **state)
{
    static const char alphabet[] = ",,,\"\"\n\n\r\r0123456789-:. TZxé";
    struct test_random random = test_random_start();

    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t head = sizeof(HEAD) - 1;
        size_t len = head + test_random_below(&random, 80);
        char text[sizeof(HEAD) + 80] = HEAD T ",1,2\n";
        char *bytes;
        tkr_message why;

        for (size_t i = head + test_random_below(&random, 30); i < len; i++)
            text[i] = alphabet[test_random_below(&random, sizeof(alphabet))];
        bytes = copy_exactly(text, len);
        assert_true(read_all(bytes, len, NULL, 0, &why) >= -1);
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_csv_well_formed_row_is_read),
        cmocka_unit_test(test_csv_malformed_input_is_refused_with_its_line),
        cmocka_unit_test(test_csv_nul_in_a_number_is_refused),
        cmocka_unit_test(test_csv_first_row_alone_has_no_calls),
        cmocka_unit_test(test_csv_random_bytes_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
