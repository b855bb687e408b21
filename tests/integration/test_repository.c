/* SPDX-License-Identifier: Apache-2.0 */
/* A repository in a gateway, with a collector at work: what it increments is what it then reads, to the token. */
#include "integration/collector_stage.h"
#include "tokenring/repository.h"

#define SETTLE_MS PROCESS_PATIENCE_MS
#define ROUNDS 500
#define GATEWAYS 3

static void use_sink(const struct stage *stage)
{
    (void)setenv("TOKENRING_SINK", stage->redis ? "redis" : "sqlite", 1);
    (void)setenv("TOKENRING_LEDGER", stage->ledger, 1);
    if (stage->redis)
        (void)setenv("REDIS_SOCKET", stage->server.socket, 1);
}

static tkr_account account_of(int user, char ret_id[16])
{
    tkr_account account = {.id = ret_id};

    account.len = (uint32_t)snprintf(ret_id, 16, "user-%02d", user);
    return account;
}

static int increment(tkr_repository *repository, int round)
{
    char id[16];
    tkr_account account = account_of(round % STAGE_USERS, id);

    if (tkr_repository_increment_prompt_tokens(repository, &account, STAGE_CYCLE, 1) != TKR_OK ||
        tkr_repository_increment_completion_tokens(repository, &account, STAGE_CYCLE, 10) != TKR_OK ||
        tkr_repository_increment_total_usage(repository, &account, STAGE_CYCLE, 100) != TKR_OK ||
        tkr_repository_increment_detailed_usage(repository, &account, STAGE_CYCLE, 1000, 10000) != TKR_OK)
        return 1;
    return 0;
}

/* A gateway's process. */
static int increment_all(struct stage *stage, int number)
{
    tkr_repository_options options = TKR_REPOSITORY_OPTIONS_INIT;
    tkr_repository *repository;
    int failed = 0;

    (void)number;
    use_sink(stage);
    options.producer = stage_producer(stage);
    if (options.producer == NULL || tkr_repository_open(&options, &repository) != TKR_OK)
        return 1;
    for (int round = 0; round < ROUNDS; round++)
        failed += increment(repository, round);
    failed += tkr_sync(options.producer, SETTLE_MS) != TKR_OK;
    tkr_repository_close(repository);
    tkr_close(options.producer);
    return failed > 0 ? 2 : 0;
}

static tkr_usage_stats stats_of(tkr_repository *repository, int user)
{
    tkr_usage_stats stats = TKR_USAGE_STATS_INIT;
    char id[16];
    tkr_account account = account_of(user, id);
    int result = tkr_repository_get_usage_stats(repository, &account, 1, STAGE_CYCLE, &stats);

    assert_true(result == TKR_OK || result == TKR_ESINK); /* there may be no ledger yet */
    return stats;
}

/* So many rounds came to a user, and no call. */
static void wait_rounds(tkr_repository *repository, int user, int64_t rounds)
{
    long end = process_now_ms() + SETTLE_MS;
    tkr_usage_stats stats = stats_of(repository, user);

    while (stats.total_tokens != rounds * 11100 && process_now_ms() < end) {
        process_sleep_ms(10);
        stats = stats_of(repository, user);
    }
    assert_int_equal(stats.prompt_tokens, rounds * 1001);
    assert_int_equal(stats.completion_tokens, rounds * 10010);
    assert_int_equal(stats.total_tokens, rounds * 11100);
    assert_int_equal(stats.calls, 0);
    assert_int_equal(stats.errors, 0);
}

static int64_t rounds_of(int user)
{
    return GATEWAYS * (ROUNDS / STAGE_USERS + (user < ROUNDS % STAGE_USERS));
}

static void work(struct stage *stage)
{
    pid_t child[GATEWAYS];

    for (int i = 0; i < GATEWAYS; i++)
        child[i] = stage_fork(stage, increment_all, i);
    for (int i = 0; i < GATEWAYS; i++)
        assert_int_equal(stage_exit_code(child[i]), 0);
}

static void test_increments_arrive_exactly_and_limits_follow(void **state)
{
    struct stage *stage = *state;
    tkr_limit_status status = TKR_LIMIT_STATUS_INIT;
    tkr_repository *repository;
    char id[16];
    tkr_account account = account_of(3, id);

    use_sink(stage);
    stage_collector_start(stage, "2");
    assert_int_equal(tkr_repository_open(NULL, &repository), TKR_OK);
    work(stage);
    for (int user = 0; user < STAGE_USERS; user++)
        wait_rounds(repository, user, rounds_of(user));
    assert_int_equal(tkr_repository_set_usage_limit(repository, &account, 0, rounds_of(3) * 11100 + 1), TKR_OK);
    assert_int_equal(tkr_repository_check_usage_limit(repository, &account, STAGE_CYCLE, &status), TKR_OK);
    assert_int_equal(status.remaining, 1);
    assert_int_equal(tkr_repository_reset_usage(repository, &account, STAGE_CYCLE, TKR_RESET_LIMITS), TKR_OK);
    work(stage);
    wait_rounds(repository, 3, rounds_of(3)); /* from zero, and nothing comes back */
    wait_rounds(repository, 4, 2 * rounds_of(4));
    assert_int_equal(tkr_repository_check_usage_limit(repository, &account, STAGE_CYCLE, &status), TKR_OK);
    assert_int_equal(status.remaining, 1); /* the standing limit stays in a reset */
    assert_int_equal(tkr_repository_clear_usage_limit(repository, &account, 0), TKR_OK);
    tkr_repository_close(repository);
    stage_collector_end(stage, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"increments arrive exactly (redis)", test_increments_arrive_exactly_and_limits_follow, stage_set_up_redis,
         stage_tear_down, NULL},
        {"increments arrive exactly (ledger)", test_increments_arrive_exactly_and_limits_follow, stage_set_up, stage_tear_down,
         NULL},
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
