/* SPDX-License-Identifier: Apache-2.0 */
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "traffic/names.h"

static uint32_t add(struct tkr_traffic_names *names, const char *text, size_t len)
{
    uint32_t number;

    assert_int_equal(tkr_traffic_names_add(names, text, len, &number), 0);
    return number;
}

static void test_names_are_numbered_as_they_come_and_found_again(void **state)
{
    struct tkr_traffic_names names = {.name = NULL};
    char text[16];

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 10000; i++) {
            int len = snprintf(text, sizeof(text), "n%u", i);

            assert_int_equal(add(&names, text, (size_t)len), i);
        }
    }
    assert_int_equal(names.count, 10000);
    assert_int_equal(names.name[77].len, 3);
    assert_memory_equal(names.name[77].text, "n77", 3);
    tkr_traffic_names_free(&names);
}

static void test_names_are_bytes_and_may_be_empty(void **state)
{
    struct tkr_traffic_names names = {.name = NULL};

    (void)state;
    assert_int_equal(add(&names, "a\0b", 3), 0);
    assert_int_equal(add(&names, "a\0c", 3), 1);
    assert_int_equal(add(&names, "a", 1), 2);
    assert_int_equal(add(&names, "", 0), 3);
    assert_int_equal(add(&names, "a\0b", 3), 0);
    tkr_traffic_names_free(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_numbered_as_they_come_and_found_again),
        cmocka_unit_test(test_names_are_bytes_and_may_be_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
