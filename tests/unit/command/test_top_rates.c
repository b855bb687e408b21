/* SPDX-License-Identifier: Apache-2.0 */
/* Rates of `tokenring top`: what was added from look to look, of every account and model, whatever becomes of entries and shards. */
#include <time.h>

#include "command/top/order.h"
#include "support/light.h"
#include "support/random.h"
#include "unit/table/fixture.h"

#define USERS 20
#define ROUNDS 60
#define CHARGES_MAX 40

struct rates {
    struct table table;
    struct tkr_top_rates rates;
};

static int set_up(void **state)
{
    struct rates *rates = calloc(1, sizeof(*rates));

    if (rates == NULL)
        return -1;
    table_make(&rates->table, 1000);
    rates->table.options.models_max = TKR_MODELS_MAX;
    table_reopen(&rates->table);
    *state = rates;
    return 0;
}

static int tear_down(void **state)
{
    struct rates *rates = *state;

    tkr_top_rates_free(&rates->rates);
    table_remove(&rates->table);
    free(rates);
    return 0;
}

static void look(struct rates *rates)
{
    tkr_message message = {""};

    if (tkr_top_rates_look(&rates->rates, rates->table.directory, &message) != 0)
        fail_msg("%s", message.text);
}

static const struct tkr_top_usage *find(const struct rates *rates, bool model, const char *name)
{
    for (size_t i = 0; i < rates->rates.count; i++) {
        const struct tkr_top_usage *usage = &rates->rates.usage[i];
        if (usage->model == model && usage->name_len == strlen(name) && memcmp(usage->name, name, usage->name_len) == 0)
            return usage;
    }
    return NULL;
}

static void expect(const struct rates *rates, bool model, const char *name, int64_t total, int64_t since)
{
    const struct tkr_top_usage *usage = find(rates, model, name);
    struct tkr_top_figures added = {0};

    if (usage == NULL) {
        fail_msg("%s is not there", name);
        return;
    }
    added = tkr_top_since(&rates->rates, usage);
    if (usage->total.tokens != total || added.tokens != since || usage->total.calls != total || added.calls != since)
        fail_msg("%s: %lld, of them new %lld; expected %lld and %lld", name, (long long)usage->total.tokens,
                 (long long)added.tokens, (long long)total, (long long)since);
}

static void test_what_is_there_at_the_first_look_is_not_new(void **state)
{
    struct rates *rates = *state;

    assert_true(table_charge(&rates->table, "alice", 7));
    look(rates);
    expect(rates, false, "alice", 7, 0);
    assert_true(table_charge(&rates->table, "alice", 5));
    assert_true(table_charge(&rates->table, "bob", 3));
    look(rates);
    expect(rates, false, "alice", 12, 5);
    expect(rates, false, "bob", 3, 3);
    assert_int_equal(rates->rates.users_since.tokens, 8);
    look(rates);
    expect(rates, false, "alice", 12, 0);
    expect(rates, false, "bob", 3, 0);
    assert_int_equal(rates->rates.users_since.tokens, 0);
    assert_int_equal(rates->rates.accounts, 2);
}

/* As a call is charged: to its account and, where it tells one, to the account's model. */
static void charge(struct rates *rates, const char *id, const char *model, uint32_t cycle, int64_t n)
{
    tkr_counts counts = counts_of(n);
    struct tkr_charge pair[2] = {charge_of(id, &counts, 0), charge_of(id, &counts, 0)};

    pair[0].cycle = pair[1].cycle = cycle;
    pair[1].model = model;
    pair[1].model_len = model == NULL ? 0 : (uint32_t)strlen(model);
    assert_true(tkr_batch_begin(rates->table.shard));
    tkr_batch_apply(rates->table.shard, pair, model == NULL ? 1 : 2);
    assert_false(pair[0].refused);
    tkr_batch_commit(rates->table.shard);
}

static void test_cycles_of_an_account_and_accounts_of_a_model_are_added_up(void **state)
{
    struct rates *rates = *state;

    look(rates);
    charge(rates, "alice", NULL, 20261001, 1);
    charge(rates, "alice", NULL, 20261101, 2);
    charge(rates, "alice", "gpt-4o", 20261101, 4);
    charge(rates, "bob", "gpt-4o", 20261101, 8);
    charge(rates, "gpt-4o", NULL, 20261101, 16); /* an account of the same name */
    look(rates);
    expect(rates, false, "alice", 7, 7);
    expect(rates, false, "bob", 8, 8);
    expect(rates, true, "gpt-4o", 12, 12);
    expect(rates, false, "gpt-4o", 16, 16);
}

/* A call is charged to a user and to a team, and each of them has its model: twice in all, once of each kind. */
static void test_models_of_kinds_are_told_apart(void **state)
{
    struct rates *rates = *state;
    tkr_counts counts = counts_of(5);
    struct tkr_charge four[4];

    for (uint32_t i = 0; i < 4; i++) {
        four[i] = charge_of(i < 2 ? "alice" : "red", &counts, 0);
        four[i].kind = i < 2 ? TKR_KIND_USER : TKR_KIND_TEAM;
        if (i % 2 == 1) {
            four[i].model = "o1";
            four[i].model_len = 2;
        }
    }
    look(rates);
    assert_true(tkr_batch_begin(rates->table.shard));
    tkr_batch_apply(rates->table.shard, four, 4);
    tkr_batch_commit(rates->table.shard);
    look(rates);
    assert_int_equal(rates->rates.count, 4);
    for (size_t i = 0; i < rates->rates.count; i++)
        assert_int_equal(rates->rates.usage[i].total.tokens, 5);
    assert_int_equal(rates->rates.users_since.tokens, 5);
}

static void test_batch_that_is_not_committed_is_not_there_yet(void **state)
{
    struct rates *rates = *state;

    assert_true(table_charge(&rates->table, "alice", 7));
    look(rates);
    assert_true(tkr_batch_begin(rates->table.shard));
    assert_true(table_add(&rates->table, "alice", 100));
    look(rates);
    expect(rates, false, "alice", 7, 0);
    tkr_batch_commit(rates->table.shard);
    look(rates);
    expect(rates, false, "alice", 107, 100);
}

static void test_another_file_in_the_place_of_a_shard_is_not_new_usage(void **state)
{
    struct rates *rates = *state;

    assert_true(table_charge(&rates->table, "alice", 7));
    look(rates);
    table_close(&rates->table);
    assert_int_equal(renameat(rates->table.directory, "shard-0", rates->table.directory, "kept"), 0);
    table_open(&rates->table);
    assert_true(table_charge(&rates->table, "bob", 3));
    look(rates);
    expect(rates, false, "alice", 0, 0);
    expect(rates, false, "bob", 3, 0);
    assert_true(table_charge(&rates->table, "bob", 4));
    look(rates);
    expect(rates, false, "bob", 7, 4);
}

static void test_shard_that_is_gone_takes_its_usage_with_it(void **state)
{
    struct rates *rates = *state;
    tkr_message message;

    assert_true(table_charge(&rates->table, "alice", 7));
    look(rates);
    assert_int_equal(tkr_top_rates_look(&rates->rates, -1, &message), 0);
    expect(rates, false, "alice", 0, 0);
}

/* Any charges, and looks in between: each look tells what was added since the one before. */
static void test_looks_tell_all_that_was_charged_between_them(void **state)
{
    struct rates *rates = *state;
    struct test_random random = test_random_start();
    int64_t total[USERS] = {0};
    int64_t known[USERS] = {0};

    look(rates);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t charges = test_random_below(&random, CHARGES_MAX);
        for (uint64_t i = 0; i < charges; i++) {
            uint64_t user = test_random_below(&random, USERS);
            int64_t n = (int64_t)test_random_below(&random, 1000) + 1;
            char id[16];
            (void)snprintf(id, sizeof(id), "user-%02u", (unsigned)user);
            charge(rates, id, NULL, 20261101 + (uint32_t)test_random_below(&random, 3), n);
            total[user] += n;
        }
        if (test_random_below(&random, 10) == 0)
            table_reopen(&rates->table); /* a collector that starts again goes on with the file */
        look(rates);
        for (int user = 0; user < USERS; user++) {
            char id[16];
            (void)snprintf(id, sizeof(id), "user-%02d", user);
            if (total[user] > 0)
                expect(rates, false, id, total[user], total[user] - known[user]);
            known[user] = total[user];
        }
    }
}

static int64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Idle accounts cost a look at their stamps, and choosing the first rows one pass. */
static void test_many_accounts_are_looked_at(void **state)
{
    struct rates *rates = *state;
    int count = getenv("TOKENRING_TEST_ACCOUNTS") != NULL ? atoi(getenv("TOKENRING_TEST_ACCOUNTS")) : test_light(50000);
    struct tkr_top_order order = {.key = TKR_TOP_BY_RATE};
    struct tkr_top_chosen chosen;
    int64_t begun_us;

    tkr_shard_close(rates->table.shard);
    (void)unlinkat(rates->table.directory, "shard-0", 0);
    rates->table.options.accounts_max = (uint32_t)count + 1000;
    table_open(&rates->table);
    for (int i = 0; i < count; i++) {
        char id[40];
        (void)snprintf(id, sizeof(id), "c0ffee00-0000-0000-0000-%012d", i);
        assert_true(table_charge(&rates->table, id, i + 1));
    }
    for (int i = 0; i < 3; i++) {
        begun_us = now_us();
        look(rates);
        print_message("look %d at %d accounts: %lld us\n", i + 1, count, (long long)(now_us() - begun_us));
        assert_true(table_charge(&rates->table, "c0ffee00-0000-0000-0000-000000000042", 1));
    }
    begun_us = now_us();
    assert_true(tkr_top_choose(&rates->rates, &order, false, 50, &chosen));
    print_message("50 of them chosen: %lld us\n", (long long)(now_us() - begun_us));
    assert_int_equal(chosen.count, 50);
    assert_int_equal(chosen.matching, count);
    assert_memory_equal(chosen.row[0]->name, "c0ffee00-0000-0000-0000-000000000042", chosen.row[0]->name_len);
    assert_int_equal(chosen.row[1]->total.tokens, count); /* what is equal goes by its total */
    tkr_top_chosen_free(&chosen);
}

/* --- the order --- */

static void expect_order(const struct rates *rates, const struct tkr_top_order *order, size_t max, const char *names)
{
    struct tkr_top_chosen chosen;
    char found[256] = "";

    assert_true(tkr_top_choose(&rates->rates, order, false, max, &chosen));
    for (size_t i = 0; i < chosen.count; i++)
        (void)snprintf(found + strlen(found), sizeof(found) - strlen(found), "%.*s ", (int)chosen.row[i]->name_len,
                       chosen.row[i]->name);
    assert_string_equal(found, names);
    tkr_top_chosen_free(&chosen);
}

static void test_rows_are_chosen_by_key_filter_and_number(void **state)
{
    struct rates *rates = *state;

    assert_true(table_charge(&rates->table, "anna", 100));
    assert_true(table_charge(&rates->table, "Bert", 50));
    assert_true(table_charge(&rates->table, "carl", 10));
    assert_true(table_charge(&rates->table, "dora", 1));
    look(rates);
    assert_true(table_charge(&rates->table, "carl", 3));
    assert_true(table_charge(&rates->table, "dora", 4));
    look(rates);
    expect_order(rates, &(struct tkr_top_order){.key = TKR_TOP_BY_RATE}, 10, "dora carl anna Bert ");
    expect_order(rates, &(struct tkr_top_order){.key = TKR_TOP_BY_RATE}, 3, "dora carl anna ");
    expect_order(rates, &(struct tkr_top_order){.key = TKR_TOP_BY_TOTAL}, 10, "anna Bert carl dora ");
    expect_order(rates, &(struct tkr_top_order){.key = TKR_TOP_BY_TOTAL, .reversed = true}, 2, "dora carl ");
    expect_order(rates, &(struct tkr_top_order){.key = TKR_TOP_BY_NAME}, 10, "Bert anna carl dora ");
    expect_order(rates, &(struct tkr_top_order){.key = TKR_TOP_BY_NAME, .filter = "R"}, 10, "Bert carl dora ");
    expect_order(rates, &(struct tkr_top_order){.key = TKR_TOP_BY_NAME, .filter = "nobody"}, 10, "");
    expect_order(rates, &(struct tkr_top_order){.key = TKR_TOP_BY_NAME}, 0, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_there_at_the_first_look_is_not_new, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cycles_of_an_account_and_accounts_of_a_model_are_added_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_models_of_kinds_are_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_batch_that_is_not_committed_is_not_there_yet, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_file_in_the_place_of_a_shard_is_not_new_usage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_shard_that_is_gone_takes_its_usage_with_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_looks_tell_all_that_was_charged_between_them, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_accounts_are_looked_at, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rows_are_chosen_by_key_filter_and_number, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
