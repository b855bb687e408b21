/* SPDX-License-Identifier: Apache-2.0 */
/* The hash index against a naive list: what was inserted is found, what was not is not, whatever collides. */
#include <stdlib.h>

#include "support/random.h"
#include "support/test.h"
#include "table/index.h"

#define COUNT 20000u

static bool holds(const struct tkr_index *index, uint64_t hash, uint32_t reference)
{
    uint64_t at = hash;
    uint32_t found;

    while ((found = tkr_index_next(index, hash, &at)) != 0) {
        if (found == reference)
            return true;
    }
    return false;
}

static uint32_t candidates(const struct tkr_index *index, uint64_t hash)
{
    uint64_t at = hash;
    uint32_t count = 0;

    while (tkr_index_next(index, hash, &at) != 0)
        count++;
    return count;
}

static void test_open_has_room_for_the_count_asked(void **state)
{
    (void)state;
    for (uint64_t count = 0; count < 5000; count += 13) {
        struct tkr_index index;
        assert_true(tkr_index_open(&index, count));
        for (uint64_t i = 0; i < count; i++) {
            assert_false(tkr_index_full(&index));
            tkr_index_insert(&index, i * UINT64_C(0x9e3779b97f4a7c15), (uint32_t)i + 1);
        }
        assert_false(tkr_index_full(&index)); /* and one more */
        tkr_index_close(&index);
    }
}

static void test_empty_index_finds_nothing(void **state)
{
    struct tkr_index index;

    (void)state;
    assert_true(tkr_index_open(&index, 0));
    assert_int_equal(candidates(&index, 0), 0);
    assert_int_equal(candidates(&index, UINT64_MAX), 0);
    tkr_index_close(&index);
    tkr_index_close(&index); /* twice does nothing */
}

static void test_random_keys_are_found_and_others_are_not(void **state)
{
    struct test_random random = test_random_start();
    uint64_t *hash = malloc(COUNT * sizeof(*hash));
    struct tkr_index index;

    (void)state;
    assert_non_null(hash);
    assert_true(tkr_index_open(&index, COUNT));
    for (uint32_t i = 0; i < COUNT; i++) {
        hash[i] = test_random_next(&random);
        tkr_index_insert(&index, hash[i], i + 1);
    }
    assert_int_equal(index.count, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_true(holds(&index, hash[i], i + 1));
        assert_false(holds(&index, hash[i], COUNT + 1));
        assert_false(holds(&index, ~hash[i], i + 1));
    }
    tkr_index_close(&index);
    free(hash);
}

/* Same 32 bits above, same slot below: every one of them is a candidate of each. */
static void test_equal_hashes_are_all_candidates(void **state)
{
    const uint64_t hash = UINT64_C(0x1234567800000000) | 1023; /* probes over the end of the table */
    struct tkr_index index;

    (void)state;
    assert_true(tkr_index_open(&index, 100));
    for (uint32_t i = 1; i <= 100; i++)
        tkr_index_insert(&index, hash, i);
    assert_int_equal(candidates(&index, hash), 100);
    for (uint32_t i = 1; i <= 100; i++)
        assert_true(holds(&index, hash, i));
    tkr_index_close(&index);
}

/* Same slot, other 32 bits: walked over. Same 32 bits, other slot: a candidate where the walks overlap. */
static void test_half_equal_hashes_do_not_hide_each_other(void **state)
{
    struct tkr_index index;

    (void)state;
    assert_true(tkr_index_open(&index, 400));
    for (uint32_t i = 1; i <= 200; i++)
        tkr_index_insert(&index, (uint64_t)i << 32 | 7, i);
    for (uint32_t i = 1; i <= 200; i++)
        tkr_index_insert(&index, UINT64_C(5) << 32 | i, 1000 + i);
    for (uint32_t i = 1; i <= 200; i++) {
        assert_true(holds(&index, (uint64_t)i << 32 | 7, i));
        assert_true(holds(&index, UINT64_C(5) << 32 | i, 1000 + i));
    }
    assert_int_equal(candidates(&index, UINT64_C(300) << 32 | 7), 0);
    tkr_index_close(&index);
}

static void test_full_is_said_before_probing_gets_long(void **state)
{
    struct tkr_index index;
    uint64_t i = 0;

    (void)state;
    assert_true(tkr_index_open(&index, 0));
    for (; !tkr_index_full(&index); i++)
        tkr_index_insert(&index, i * UINT64_C(0x9e3779b97f4a7c15), (uint32_t)i + 1);
    assert_int_equal(i, (index.mask + 1) / 8 * 5);
    tkr_index_close(&index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_has_room_for_the_count_asked),
        cmocka_unit_test(test_empty_index_finds_nothing),
        cmocka_unit_test(test_random_keys_are_found_and_others_are_not),
        cmocka_unit_test(test_equal_hashes_are_all_candidates),
        cmocka_unit_test(test_half_equal_hashes_do_not_hide_each_other),
        cmocka_unit_test(test_full_is_said_before_probing_gets_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
