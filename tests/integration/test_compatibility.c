/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programs that were there before, in Python, and this one on the same keys at the same time: each adds to the same accounts,
 * Python sets limits, reads and deletes, and in the end both see the exact sums.
 */
#include <jansson.h>

#include "integration/stage_calls.h"
#include "tokenring/repository.h"

#define SCRIPT TEST_SOURCE_DIR "/tests/integration/compatibility.py"
#define SETTLE_MS PROCESS_PATIENCE_MS
#define ROUNDS "1500"
#define PRODUCERS 3
#define PYTHONS 2

static const char *python; /* one that has the module */

static bool has_module(const char *program)
{
    const char *argv[] = {program, "-c", "import redis", NULL};
    struct process process;
    bool has = process_run(&process, argv, NULL, SETTLE_MS) == 0 && process_exit_code(&process) == 0;

    process_end(&process);
    return has;
}

static bool find_python(void)
{
    static const char *const programs[] = {"/usr/bin/python3", "python3"};

    for (size_t i = 0; python == NULL && i < sizeof(programs) / sizeof(programs[0]); i++) {
        if (has_module(programs[i]))
            python = programs[i];
    }
    return python != NULL;
}

static void start(const struct stage *stage, struct process *ret_process, const char *what, const char *users, const char *rounds,
                  const char *seed)
{
    const char *argv[] = {python, SCRIPT, stage->server.socket, what, users, rounds, seed, NULL};

    assert_int_equal(process_start(ret_process, argv, NULL), 0);
}

/* What it printed; freed by the caller. */
static json_t *finish(struct process *process)
{
    json_t *answer;

    assert_int_equal(process_wait(process, SETTLE_MS), 0);
    answer = json_loads(process_text(process, PROCESS_STDOUT), JSON_DECODE_ANY, NULL);
    if (process_exit_code(process) != 0 || answer == NULL)
        fail_msg("python: %s", process_text(process, PROCESS_STDERR));
    process_end(process);
    return answer;
}

static json_t *read_all(const struct stage *stage)
{
    struct process process;
    char users[8];

    (void)snprintf(users, sizeof(users), "%d", STAGE_USERS);
    start(stage, &process, "read", users, NULL, NULL);
    return finish(&process);
}

static json_int_t figure(const json_t *users, int user, const char *name)
{
    return json_integer_value(json_object_get(json_array_get(users, (size_t)user), name));
}

/* What Python added to a user's counter, less what its resets took away. */
static json_int_t by_python(json_t *const work[PYTHONS], int user, const char *name)
{
    json_int_t sum = 0;

    for (int i = 0; i < PYTHONS && work != NULL; i++)
        sum += figure(json_object_get(work[i], "added"), user, name) - figure(json_object_get(work[i], "removed"), user, name);
    return sum;
}

/* Users whose counters, as Python reads them, are not what producers and Python have made of them. */
static int inexact(const struct stage *stage, json_t *const work[PYTHONS])
{
    json_t *found = read_all(stage);
    int count = 0;

    for (int user = 0; user < STAGE_USERS; user++) {
        json_int_t prompt = atomic_load(&stage->truth->prompt[user]);
        json_int_t completion = atomic_load(&stage->truth->completion[user]);
        count += figure(found, user, "prompt_tokens") != prompt + by_python(work, user, "prompt_tokens") ||
                 figure(found, user, "completion_tokens") != completion + by_python(work, user, "completion_tokens") ||
                 figure(found, user, "total_tokens") != prompt + completion + by_python(work, user, "total_tokens");
    }
    json_decref(found);
    return count;
}

static void wait_exact(const struct stage *stage, json_t *const work[PYTHONS])
{
    long end = process_now_ms() + SETTLE_MS;

    while (inexact(stage, work) > 0) {
        if (process_now_ms() > end)
            fail_msg("%d users are not exact", inexact(stage, work));
        process_sleep_ms(50);
    }
}

/* The repository, and its sink's reader, agree with Python. */
static void assert_repository_agrees(const struct stage *stage)
{
    json_t *found = read_all(stage);
    tkr_repository *repository;

    (void)setenv("TOKENRING_SINK", "redis", 1);
    (void)setenv("REDIS_SOCKET", stage->server.socket, 1);
    assert_int_equal(tkr_repository_open(NULL, &repository), TKR_OK);
    for (int user = 0; user < STAGE_USERS; user++) {
        tkr_usage_stats stats = TKR_USAGE_STATS_INIT;
        char id[16];
        tkr_account account = {.id = id};

        account.len = (uint32_t)snprintf(id, sizeof(id), "user-%02d", user);
        assert_int_equal(tkr_repository_get_usage_stats(repository, &account, 1, STAGE_CYCLE, &stats), TKR_OK);
        assert_int_equal(stats.prompt_tokens, figure(found, user, "prompt_tokens"));
        assert_int_equal(stats.completion_tokens, figure(found, user, "completion_tokens"));
        assert_int_equal(stats.total_tokens, figure(found, user, "total_tokens"));
        if (user % 10 != 9)
            assert_int_equal(stats.usage_limit, figure(found, user, "usage_limit"));
    }
    tkr_repository_close(repository);
    json_decref(found);
}

static void test_python_and_collector_on_the_same_keys_are_exact(void **state)
{
    struct stage *stage = *state;
    struct process script[PYTHONS];
    json_t *work[PYTHONS];
    pid_t child[PRODUCERS];
    char users[8];

    (void)snprintf(users, sizeof(users), "%d", STAGE_USERS);
    stage_collector_start(stage, "2");
    for (int i = 0; i < PRODUCERS; i++)
        child[i] = stage_fork(stage, stage_record_on, i);
    for (int i = 0; i < PYTHONS; i++)
        start(stage, &script[i], "work", users, ROUNDS, i == 0 ? "1" : "2");
    for (int i = 0; i < PYTHONS; i++)
        work[i] = finish(&script[i]);
    assert_true(atomic_load(&stage->truth->recorded) > 0); /* both worked at the same time */
    atomic_store(&stage->truth->stop, true);
    for (int i = 0; i < PRODUCERS; i++)
        assert_int_equal(stage_exit_code(child[i]), 0);
    wait_exact(stage, work);
    assert_repository_agrees(stage);
    stage_collector_end(stage, 0);
    assert_int_equal(inexact(stage, work), 0);
    for (int i = 0; i < PYTHONS; i++)
        json_decref(work[i]);
}

static int record_calls(struct stage *stage, int number)
{
    return stage_record_and_sync(stage, 400, number, SETTLE_MS);
}

static void test_delete_by_python_is_a_reset_and_nothing_returns(void **state)
{
    struct stage *stage = *state;
    struct process script;

    stage_collector_start(stage, "1");
    assert_int_equal(stage_exit_code(stage_fork(stage, record_calls, 1)), 0);
    wait_exact(stage, NULL);
    start(stage, &script, "reset", "3", NULL, NULL);
    json_decref(finish(&script));
    atomic_store(&stage->truth->prompt[3], 0);
    atomic_store(&stage->truth->completion[3], 0);
    assert_int_equal(inexact(stage, NULL), 0);
    assert_int_equal(stage_exit_code(stage_fork(stage, record_calls, 2)), 0);
    wait_exact(stage, NULL);
    stage_collector_end(stage, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_python_and_collector_on_the_same_keys_are_exact, stage_set_up_redis,
                                        stage_tear_down),
        cmocka_unit_test_setup_teardown(test_delete_by_python_is_a_reset_and_nothing_returns, stage_set_up_redis,
                                        stage_tear_down),
    };

    redis_server_require();
    if (!find_python()) {
        (void)printf("skipped: no python3 here has the module redis (Debian: python3-redis)\n");
        return TEST_SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
