/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of usage of which only the first are kept: they are the first of all, with what they had, whatever comes later. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/usage_rows.h"
#include "support/test.h"

#define ACCOUNTS 2000
#define KEPT 30
#define AT_ONCE 100 /* rows after which the rest is let go */

static struct tkr_usage_row row_of(int number, char id[16])
{
    struct tkr_usage_row row = {.id = id, .cycle = 20261101, .model = "m", .limit = number};

    row.id_len = (uint32_t)snprintf(id, 16, "user-%d", number);
    row.model_len = number % 2 == 0 ? 0 : 1;
    row.counts.value[TKR_COUNTER_TOTAL] = (int64_t)number * 7919 % ACCOUNTS; /* each another one: 7919 is prime */
    row.counts.value[TKR_COUNTER_CALLS] = number;
    return row;
}

static void set(struct tkr_command_usage_rows *rows, int number)
{
    char id[16];
    struct tkr_usage_row row = row_of(number, id);

    assert_int_equal(tkr_command_usage_set(rows, &row), 0);
    if (rows->count == AT_ONCE)
        assert_int_equal(tkr_command_usage_keep(rows, TKR_COUNTER_TOTAL, KEPT), 0);
}

static void add_unflushed(struct tkr_command_usage_rows *rows, int number)
{
    char id[16];
    struct tkr_usage_row row = row_of(number, id);
    struct tkr_command_usage_key key = {
        .id = id, .id_len = row.id_len, .cycle = row.cycle, .model = row.model, .model_len = row.model_len};
    tkr_counts unflushed = {.value = {[TKR_COUNTER_TOTAL] = number}};

    assert_int_equal(tkr_command_usage_add_unflushed(rows, &key, &unflushed), 0);
}

static void test_kept_rows_are_the_first_of_all(void **state)
{
    struct tkr_command_usage_rows rows = {.row = NULL};

    (void)state;
    for (int round = 0; round < 2; round++) { /* Redis may show a row twice */
        for (int i = 0; i < ACCOUNTS; i++)
            set(&rows, i);
    }
    for (int i = 0; i < ACCOUNTS; i++)
        add_unflushed(&rows, i);
    assert_true(rows.count < AT_ONCE);
    tkr_command_usage_sort(&rows, TKR_COUNTER_TOTAL);
    for (size_t i = 0; i < KEPT; i++) {
        const struct tkr_command_usage_row *row = &rows.row[i];
        int number = (int)row->counts.value[TKR_COUNTER_CALLS];
        char id[16];
        struct tkr_usage_row expected = row_of(number, id);
        assert_int_equal(row->counts.value[TKR_COUNTER_TOTAL], ACCOUNTS - 1 - (int)i);
        assert_int_equal(row->unflushed.value[TKR_COUNTER_TOTAL], number);
        assert_int_equal(row->limit, number);
        assert_int_equal(row->id_len, expected.id_len);
        assert_memory_equal(row->id, id, row->id_len);
        assert_int_equal(row->model_len, expected.model_len);
        assert_memory_equal(row->model, "m", row->model_len);
    }
    tkr_command_usage_free(&rows);
}

static void test_fewer_rows_are_all_kept(void **state)
{
    struct tkr_command_usage_rows rows = {.row = NULL};

    (void)state;
    for (int i = 0; i < KEPT; i++)
        set(&rows, i);
    assert_int_equal(tkr_command_usage_keep(&rows, TKR_COUNTER_TOTAL, KEPT), 0);
    assert_int_equal(rows.count, KEPT);
    add_unflushed(&rows, ACCOUNTS); /* not in the sink yet */
    assert_int_equal(rows.count, KEPT + 1);
    tkr_command_usage_free(&rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept_rows_are_the_first_of_all),
        cmocka_unit_test(test_fewer_rows_are_all_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
