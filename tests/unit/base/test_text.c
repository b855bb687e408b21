/* SPDX-License-Identifier: Apache-2.0 */
/* Characters counted by blocks: the same as byte by byte, at any length and place. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "support/random.h"
#include "support/test.h"

static uint64_t one_by_one(const char *text, size_t bytes)
{
    uint64_t characters = 0;

    for (size_t i = 0; i < bytes; i++)
        characters += ((unsigned char)text[i] & 0xc0) != 0x80;
    return characters;
}

static void test_characters_of_any_bytes_at_any_length(void **state)
{
    struct test_random random = test_random_start();

    (void)state;
    for (size_t bytes = 0; bytes < 6000; bytes += 1 + bytes / 40) {
        char *text = malloc(bytes + 1); /* ends where the text does: nothing beyond is read */
        assert_non_null(text);
        for (size_t i = 0; i < bytes; i++)
            text[i] = (char)test_random_next(&random);
        for (size_t from = 0; from < 20 && from <= bytes; from++)
            assert_int_equal(tkr_text_characters(text + from, bytes - from), one_by_one(text + from, bytes - from));
        free(text);
    }
}

/* More than the counts of a byte hold before they are summed. */
static void test_characters_of_long_texts(void **state)
{
    size_t bytes = 3 * 16 * 255 + 16 * 254 + 15;
    char *text = malloc(bytes);

    (void)state;
    assert_non_null(text);
    memset(text, 'x', bytes);
    assert_int_equal(tkr_text_characters(text, bytes), bytes);
    memset(text, 0x80, bytes);
    assert_int_equal(tkr_text_characters(text, bytes), 0);
    assert_int_equal(tkr_text_characters(NULL, 77), 0);
    free(text);
}

static void test_each_byte_alone(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char text[16];
        memset(text, byte, sizeof(text));
        assert_int_equal(tkr_text_characters(text, 1), (byte & 0xc0) != 0x80);
        assert_int_equal(tkr_text_characters(text, 16), (byte & 0xc0) != 0x80 ? 16 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_characters_of_any_bytes_at_any_length),
        cmocka_unit_test(test_characters_of_long_texts),
        cmocka_unit_test(test_each_byte_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
