/* SPDX-License-Identifier: Apache-2.0 */
/* Who is shown by name, and that nothing is shown twice, or less than before. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "collector/ranking.h"
#include "support/random.h"
#include "support/test.h"

#define SHOWN 10u
#define USERS 2000u

struct fixture {
    struct tkr_ranking *ranking;
    struct tkr_ranking_row row[1 + SHOWN];
    uint32_t rows;
    uint64_t ended;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (f != NULL)
        f->ranking = tkr_ranking_open(SHOWN);
    *state = f;
    return f != NULL && f->ranking != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    tkr_ranking_close(f->ranking);
    free(f);
    return 0;
}

static void add(struct fixture *f, const char *id, int64_t prompt, int64_t completion, int64_t total)
{
    tkr_counts counts = {.value = {0}};

    counts.value[TKR_COUNTER_PROMPT] = prompt;
    counts.value[TKR_COUNTER_COMPLETION] = completion;
    counts.value[TKR_COUNTER_TOTAL] = total;
    tkr_ranking_add(f->ranking, id, (uint32_t)strlen(id), &counts);
}

static void add_user(struct fixture *f, uint32_t number, int64_t tokens)
{
    char id[32];

    (void)snprintf(id, sizeof(id), "user-%u", number);
    add(f, id, tokens / 2, tokens - tokens / 2, tokens);
}

static void read_rows(struct fixture *f)
{
    f->rows = tkr_ranking_read(f->ranking, f->row, &f->ended);
}

/* Tokens of a row; -1: it is not there. */
static int64_t tokens_of(const struct fixture *f, const char *id)
{
    for (uint32_t i = 0; i < f->rows; i++) {
        const struct tkr_ranking_row *row = &f->row[i];
        if (row->id_len == strlen(id) && memcmp(row->id, id, row->id_len) == 0)
            return row->tokens[TKR_RANKING_PROMPT] + row->tokens[TKR_RANKING_COMPLETION] + row->tokens[TKR_RANKING_REST];
    }
    return -1;
}

static int64_t tokens_of_all(const struct fixture *f)
{
    int64_t sum = 0;

    for (uint32_t i = 0; i < f->rows; i++) {
        for (int part = 0; part < TKR_RANKING_PARTS; part++)
            sum += f->row[i].tokens[part];
    }
    return sum;
}

static void test_first_users_are_shown_from_their_first_tokens(void **state)
{
    struct fixture *f = *state;

    read_rows(f);
    assert_int_equal(f->rows, 1); /* the others, who have used nothing */
    assert_int_equal(tokens_of(f, ""), 0);
    add(f, "alice", 10, 5, 15);
    add(f, "bob", 0, 0, 7); /* told as a total alone */
    add(f, "alice", 1, 1, 2);
    read_rows(f);
    assert_int_equal(f->rows, 3);
    assert_int_equal(tokens_of(f, "alice"), 17);
    assert_int_equal(tokens_of(f, "bob"), 7);
    assert_int_equal(tokens_of(f, ""), 0);
    for (uint32_t i = 0; i < f->rows; i++) {
        if (f->row[i].id_len == 3)
            assert_int_equal(f->row[i].tokens[TKR_RANKING_REST], 7);
    }
}

static void test_who_is_beyond_counts_with_the_others_until_it_is_heavier(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < SHOWN; i++)
        add_user(f, i, 100 + i);
    add(f, "late", 50, 0, 50);
    tkr_ranking_decide(f->ranking, 1);
    read_rows(f);
    assert_int_equal(tokens_of(f, "late"), -1);
    assert_int_equal(tokens_of(f, ""), 50);
    assert_int_equal(tokens_of(f, "user-0"), 100);
    add(f, "late", 60, 0, 60); /* 110 now: more than the lightest */
    tkr_ranking_decide(f->ranking, 2);
    read_rows(f);
    assert_int_equal(f->ended, 1);
    assert_int_equal(tokens_of(f, "user-0"), -1);
    assert_int_equal(tokens_of(f, "late"), 0); /* from now on */
    assert_int_equal(tokens_of(f, ""), 110);
    add(f, "late", 5, 0, 5);
    add(f, "user-0", 3, 0, 3);
    read_rows(f);
    assert_int_equal(tokens_of(f, "late"), 5);
    assert_int_equal(tokens_of(f, ""), 113);
}

/* Zipf's law over many users who come in any order. */
static void test_heaviest_of_many_are_shown_and_no_series_falls(void **state)
{
    struct fixture *f = *state;
    struct test_random random = test_random_start();
    int64_t offered = 0;
    int64_t other = 0;

    for (uint32_t round = 0; round < 200; round++) {
        for (uint32_t i = 0; i < 1000; i++) {
            uint32_t number = (uint32_t)test_random_below(&random, 1 + test_random_below(&random, USERS));
            int64_t tokens = (int64_t)(1 + test_random_below(&random, 100)) * (number < SHOWN / 2 ? 100 : 1);
            add_user(f, number, tokens);
            offered += tokens;
        }
        tkr_ranking_decide(f->ranking, round);
        read_rows(f);
        assert_true(f->rows <= 1 + SHOWN);
        assert_true(tokens_of(f, "") >= other);
        other = tokens_of(f, "");
        assert_true(tokens_of_all(f) <= offered);
    }
    for (uint32_t i = 0; i < SHOWN / 2; i++) {
        char id[32];
        (void)snprintf(id, sizeof(id), "user-%u", i);
        assert_true(tokens_of(f, id) > 0);
    }
    assert_true(f->ended > 0);
}

static void test_sink_that_went_back_lets_no_series_fall_nor_counts_twice(void **state)
{
    struct fixture *f = *state;

    add(f, "alice", 100, 0, 100);
    add(f, "alice", -100, 0, -100); /* lost by the sink */
    read_rows(f);
    assert_int_equal(tokens_of(f, "alice"), 100);
    add(f, "alice", 130, 0, 130); /* sent again, with 30 more */
    read_rows(f);
    assert_int_equal(tokens_of(f, "alice"), 130);
    add(f, "nobody", -5, 0, -5); /* of one who is not in it: the others' */
    read_rows(f);
    assert_int_equal(tokens_of(f, "nobody"), -1);
    assert_int_equal(tokens_of(f, ""), 0);
}

static void test_weights_age_and_those_of_today_take_over(void **state)
{
    struct fixture *f = *state;

    tkr_ranking_decide(f->ranking, TKR_NS_PER_S);
    for (uint32_t i = 0; i < SHOWN; i++)
        add_user(f, i, 1000000);
    add(f, "today", 1000, 0, 1000);
    tkr_ranking_decide(f->ranking, 2 * TKR_NS_PER_S);
    read_rows(f);
    assert_int_equal(tokens_of(f, "today"), -1);
    tkr_ranking_decide(f->ranking, 16 * 3600 * TKR_NS_PER_S);
    add(f, "today", 1000, 0, 1000);
    tkr_ranking_decide(f->ranking, 16 * 3600 * TKR_NS_PER_S + 1);
    add(f, "today", 1, 0, 1);
    read_rows(f);
    assert_int_equal(tokens_of(f, "today"), 1);
}

static void test_ids_that_cannot_be_labels_count_with_the_others(void **state)
{
    struct fixture *f = *state;

    add(f, "other", 3, 0, 3);
    add(f, "broken \xff", 4, 0, 4);
    add(f, "J\xc3\xbcrgen", 5, 0, 5);
    read_rows(f);
    assert_int_equal(f->rows, 2);
    assert_int_equal(tokens_of(f, ""), 7);
    assert_int_equal(tokens_of(f, "J\xc3\xbcrgen"), 5);
}

static void test_ranking_that_shows_nobody_counts_all_with_the_others(void **state)
{
    struct tkr_ranking *ranking = tkr_ranking_open(0);
    struct fixture f = {.ranking = ranking};

    (void)state;
    assert_non_null(ranking);
    add(&f, "alice", 3, 4, 7);
    tkr_ranking_decide(ranking, 1);
    read_rows(&f);
    assert_int_equal(f.rows, 1);
    assert_int_equal(tokens_of(&f, ""), 7);
    tkr_ranking_close(ranking);
    tkr_ranking_add(NULL, "alice", 5, &(tkr_counts){.value = {0}}); /* nobody wants it */
    tkr_ranking_decide(NULL, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first_users_are_shown_from_their_first_tokens, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_is_beyond_counts_with_the_others_until_it_is_heavier, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_heaviest_of_many_are_shown_and_no_series_falls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sink_that_went_back_lets_no_series_fall_nor_counts_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_weights_age_and_those_of_today_take_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ids_that_cannot_be_labels_count_with_the_others, set_up, tear_down),
        cmocka_unit_test(test_ranking_that_shows_nobody_counts_all_with_the_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
