/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accounts that idle leave the collector's memory and their records the sink; their totals stay, and whoever comes back counts
 * on exactly. Memory follows the accounts in use.
 */
#include <stdlib.h>

#include "integration/collector_stage.h"

#define USERS 400
#define ROUNDS 3
#define SETTLE_MS PROCESS_PATIENCE_MS

static int record_round(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);

    if (producer == NULL)
        return 1;
    for (int i = 0; i < USERS; i++) {
        tkr_start start = TKR_START_INIT;
        tkr_usage usage = TKR_USAGE_INIT;
        char id[64];
        start.cycle = STAGE_CYCLE;
        start.account_count = 1;
        start.account[0].id = id;
        /* ids of every length class, others in each round */
        start.account[0].len = (uint32_t)snprintf(id, sizeof(id), "%0*d-round-%d", 1 + i % 40, i, number);
        usage.prompt = 1 + i;
        if (tkr_record(producer, &start, &usage) != TKR_OK)
            return 2;
    }
    for (int user = 0; user < STAGE_USERS; user++) { /* these come every time */
        if (stage_record(stage, producer, user, 10 + user, number) != TKR_OK)
            return 3;
    }
    if (tkr_sync(producer, SETTLE_MS) != TKR_OK)
        return 4;
    tkr_close(producer);
    return 0;
}

static uint64_t accounts(const struct stage *stage, uint64_t *ret_arena_used)
{
    struct tkr_law law = stage_first_law(stage);

    if (ret_arena_used != NULL)
        *ret_arena_used = law.arena_used;
    return law.accounts;
}

static void wait_accounts(const struct stage *stage, uint64_t count)
{
    long end = process_now_ms() + SETTLE_MS;

    while (accounts(stage, NULL) != count) {
        if (process_now_ms() > end)
            fail_msg("%llu accounts in memory", (unsigned long long)accounts(stage, NULL));
        process_sleep_ms(20);
    }
}

static int64_t tokens_of_strangers(const struct stage *stage)
{
    struct stage_rows *rows = stage_read(stage);
    int64_t sum = 0;

    for (int i = 0; i < rows->count; i++)
        sum += rows->row[i].counts.value[TKR_COUNTER_PROMPT];
    free(rows);
    return sum;
}

static void test_accounts_that_idle_leave_memory_and_their_totals_stay(void **state)
{
    struct stage *stage = *state;
    uint64_t arena_first = 0;
    uint64_t arena_last = 0;

    stage_env(stage, "TOKENRING_FORGET_AFTER_S", "1");
    stage_collector_start(stage, "1");
    for (int round = 0; round < ROUNDS; round++) {
        assert_int_equal(stage_exit_code(stage_fork(stage, record_round, round)), 0);
        (void)accounts(stage, round == 0 ? &arena_first : &arena_last);
        wait_accounts(stage, 0);
    }
    assert_true(arena_last <= arena_first); /* the memory of those who left serves those who come */
    stage_collector_end(stage, 0);
    if (stage->redis) {
        redisReply *keys = redis_server_command(&stage->server, "KEYS tr1:*");
        assert_non_null(keys);
        assert_int_equal(keys->elements, 1); /* `seen`; records are gone */
        freeReplyObject(keys);
    }
}

static void test_account_that_comes_back_counts_on_exactly(void **state)
{
    struct stage *stage = *state;

    stage_env(stage, "TOKENRING_FORGET_AFTER_S", "1");
    stage_collector_start(stage, "1");
    for (int round = 0; round < 2; round++) {
        assert_int_equal(stage_exit_code(stage_fork(stage, record_round, 7)), 0);
        wait_accounts(stage, 0);
    }
    assert_int_equal(tokens_of_strangers(stage) > 0, 1);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
}

static void test_collector_killed_while_it_forgets_is_exact(void **state)
{
    struct stage *stage = *state;
    pid_t child;

    stage_env(stage, "TOKENRING_FORGET_AFTER_S", "1");
    stage_collector_start(stage, "1");
    assert_int_equal(stage_exit_code(stage_fork(stage, record_round, 7)), 0);
    while (accounts(stage, NULL) > USERS) /* it has begun */
        process_sleep_ms(1);
    process_signal(&stage->collector, SIGKILL);
    assert_int_equal(process_wait(&stage->collector, SETTLE_MS), 0);
    child = stage_fork(stage, record_round, 7);
    stage_collector_start(stage, "1");
    assert_int_equal(stage_exit_code(child), 0);
    wait_accounts(stage, 0);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
}

#define FORGET_TEST(test) cmocka_unit_test_setup_teardown(test, stage_set_up_redis, stage_tear_down)
#define FORGET_TEST_LEDGER(test) cmocka_unit_test_setup_teardown(test, stage_set_up, stage_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FORGET_TEST(test_accounts_that_idle_leave_memory_and_their_totals_stay),
        FORGET_TEST(test_account_that_comes_back_counts_on_exactly),
        FORGET_TEST(test_collector_killed_while_it_forgets_is_exact),
        FORGET_TEST_LEDGER(test_accounts_that_idle_leave_memory_and_their_totals_stay),
        FORGET_TEST_LEDGER(test_account_that_comes_back_counts_on_exactly),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
