/* SPDX-License-Identifier: Apache-2.0 */
#include "support/test.h"

#include <stdlib.h>
#include <string.h>

#include "traffic/users.h"

#define DRAWS 200000

/* Shares of DRAWS calls, by rank. */
static uint32_t *draw_many(uint32_t user_count, uint64_t seed)
{
    struct tkr_traffic_users users;
    uint32_t *calls = calloc(user_count, sizeof(*calls));

    assert_non_null(calls);
    assert_int_equal(tkr_traffic_users_make(user_count, &users), 0);
    for (uint64_t call = 0; call < DRAWS; call++) {
        struct tkr_traffic_random random = tkr_traffic_random_for(seed, call);
        uint32_t user = tkr_traffic_users_draw(&users, &random);

        assert_true(user < user_count);
        calls[user]++;
    }
    tkr_traffic_users_free(&users);
    return calls;
}

static double share(const uint32_t *calls, uint32_t from, uint32_t to)
{
    uint64_t sum = 0;

    for (uint32_t i = from; i < to; i++)
        sum += calls[i];
    return (double)sum / DRAWS;
}

static void test_users_shares_are_those_of_production_services(void **state)
{
    static const uint32_t counts[] = {30, 100, 1000, 100000, TKR_TRAFFIC_USERS_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        for (uint64_t seed = 1; seed <= 2; seed++) {
            uint32_t *calls = draw_many(counts[i], seed);
            double top = share(calls, 0, 1);
            double top_ten = share(calls, 0, 10);

            assert_true(top >= 0.13 && top <= 0.52); /* what ServeGen's five services span */
            assert_true(top_ten >= 0.63 && top_ten <= 0.93);
            assert_true(top > 0.28 && top < 0.292); /* what users.h promises */
            assert_true(top_ten > 0.72 && top_ten < 0.732);
            free(calls);
        }
    }
}

static void test_users_tail_follows_zipf(void **state)
{
    uint32_t *calls = draw_many(1000, 7);
    double ratio = share(calls, 10, 20) / share(calls, 100, 200);

    (void)state;
    /* sum of 1/rank over 11..20 and over 101..200: 0.6688 and 0.6907 */
    assert_true(ratio > 0.90 && ratio < 1.04);
    free(calls);
}

static void test_users_weights_never_rise_with_rank(void **state)
{
    static const uint32_t counts[] = {1, 2, 10, 11, 12, 29, 30, 31, 1000};

    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct tkr_traffic_users users;
        uint64_t last = UINT64_MAX;

        assert_int_equal(tkr_traffic_users_make(counts[i], &users), 0);
        for (uint32_t user = 0; user < counts[i]; user++) {
            uint64_t weight = users.sum[user] - (user == 0 ? 0 : users.sum[user - 1]);

            assert_true(weight > 0 && weight <= last);
            last = weight;
        }
        tkr_traffic_users_free(&users);
    }
}

/* Written down once: whoever changes the drawing changes what every seed means. */
static void test_users_of_a_seed_are_the_same_everywhere(void **state)
{
    static const uint32_t expected[] = {0, 846, 0, 0, 0, 0, 41, 277, 5, 50, 572, 452, 7, 7, 0, 13, 9, 267, 3, 0, 0, 917, 74, 0};
    struct tkr_traffic_users users;

    (void)state;
    assert_int_equal(tkr_traffic_users_make(1000, &users), 0);
    for (uint64_t call = 0; call < sizeof(expected) / sizeof(expected[0]); call++) {
        struct tkr_traffic_random random = tkr_traffic_random_for(42, call);

        assert_int_equal(tkr_traffic_users_draw(&users, &random), expected[call]);
    }
    tkr_traffic_users_free(&users);
}

/* First outputs of splitmix64 for the seed 1234567, as its reference implementation gives them. */
static void test_random_is_splitmix64(void **state)
{
    static const uint64_t expected[] = {UINT64_C(6457827717110365317), UINT64_C(3203168211198807973),
                                        UINT64_C(9817491932198370423), UINT64_C(4593380528125082431),
                                        UINT64_C(16408922859458223821)};
    struct tkr_traffic_random random = {.state = 1234567};

    (void)state;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        assert_true(tkr_traffic_random_next(&random) == expected[i]);
}

static int compare_tokens(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void test_tokens_have_the_medians_that_are_stated(void **state)
{
    static int64_t prompt[DRAWS];
    static int64_t completion[DRAWS];

    (void)state;
    for (uint64_t call = 0; call < DRAWS; call++) {
        struct tkr_traffic_random random = tkr_traffic_random_for(3, call);

        tkr_traffic_tokens_draw(&random, &prompt[call], &completion[call]);
        assert_true(prompt[call] >= 1 && prompt[call] <= TKR_TRAFFIC_SIMULATED_TOKENS_MAX);
        assert_true(completion[call] >= 1 && completion[call] <= TKR_TRAFFIC_SIMULATED_TOKENS_MAX);
    }
    qsort(prompt, DRAWS, sizeof(prompt[0]), compare_tokens);
    qsort(completion, DRAWS, sizeof(completion[0]), compare_tokens);
    assert_in_range(prompt[DRAWS / 2], 750, 770);     /* exp(6.633) = 760 */
    assert_in_range(completion[DRAWS / 2], 149, 153); /* exp(5.019) = 151 */
    /* one standard deviation up, the 84.13th percentile: exp(6.633 + 0.985) = 2034, exp(5.019 + 0.859) = 357 */
    assert_in_range(prompt[(size_t)(DRAWS * 0.8413)], 2000, 2070);
    assert_in_range(completion[(size_t)(DRAWS * 0.8413)], 351, 363);
}

static void test_user_names_are_numbered_from_one(void **state)
{
    char name[TKR_TRAFFIC_USER_NAME_BYTES];

    (void)state;
    tkr_traffic_user_name(0, name);
    assert_string_equal(name, "user-0001");
    tkr_traffic_user_name(TKR_TRAFFIC_USERS_MAX - 1, name);
    assert_string_equal(name, "user-1000000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_users_shares_are_those_of_production_services),
        cmocka_unit_test(test_users_tail_follows_zipf),
        cmocka_unit_test(test_users_weights_never_rise_with_rank),
        cmocka_unit_test(test_users_of_a_seed_are_the_same_everywhere),
        cmocka_unit_test(test_random_is_splitmix64),
        cmocka_unit_test(test_tokens_have_the_medians_that_are_stated),
        cmocka_unit_test(test_user_names_are_numbered_from_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
