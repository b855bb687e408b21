/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon with a real Redis: exact through kills of either side; strange ids; a Redis that answers nonsense. */
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "integration/stage_calls.h"
#include "support/aof.h"
#include "support/random.h"

#define PROCESSES 64

static void test_64_processes_at_once_are_exact_in_redis(void **state)
{
    struct stage *stage = *state;
    pid_t child[PROCESSES];

    stage_collector_start(stage, "2");
    for (int i = 0; i < PROCESSES; i++)
        child[i] = stage_fork(stage, stage_record_some, i);
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(stage_exit_code(child[i]), 0);
    stage_assert_all_gone_and_exact(stage);
}

static void test_collector_killed_between_sending_and_noting_is_exact(void **state)
{
    struct test_random random = test_random_start();
    struct stage *stage = *state;
    pid_t child[3];

    stage_env(stage, "TOKENRING_FLUSH_INTERVAL_MS", "10");
    for (int i = 0; i < 3; i++)
        child[i] = stage_fork(stage, stage_record_on, i);
    for (int i = 0; i < 15; i++) {
        stage_collector_start(stage, "1");
        process_sleep_ms(20 + (int)test_random_below(&random, 100)); /* any moment */
        process_signal(&stage->collector, SIGKILL);
        assert_int_equal(process_wait(&stage->collector, STAGE_DEADLINE_MS), 0);
    }
    atomic_store(&stage->truth->stop, true);
    stage_collector_start(stage, "1");
    for (int i = 0; i < 3; i++)
        assert_int_equal(stage_exit_code(child[i]), 0);
    stage_assert_all_gone_and_exact(stage);
}

/* --- Redis that dies and comes back --- */

static int set_up_persistent(void **state, const char *const extra[])
{
    struct stage *stage;

    if (stage_set_up(state) != 0)
        return -1;
    stage = *state;
    if (redis_server_start(&stage->server, extra) != 0)
        return -1;
    stage->redis = true;
    stage_env(stage, "TOKENRING_SINK", "redis");
    stage_env(stage, "REDIS_SOCKET", stage->server.socket);
    return 0;
}

static int set_up_aof(void **state)
{
    static const char *const extra[] = {"--appendonly", "yes", "--appendfsync", "no", NULL};

    return set_up_persistent(state, extra);
}

static void test_redis_killed_under_load_and_restarted_with_its_data_is_exact(void **state)
{
    struct stage *stage = *state;
    pid_t child[2];

    stage_env(stage, "TOKENRING_FLUSH_INTERVAL_MS", "10");
    stage_collector_start(stage, "1");
    for (int i = 0; i < 2; i++)
        child[i] = stage_fork(stage, stage_record_on, i);
    for (int i = 0; i < 4; i++) {
        stage_wait_recorded(stage, atomic_load(&stage->truth->recorded) + 1500);
        redis_server_kill(&stage->server);
        stage_wait_recorded(stage, atomic_load(&stage->truth->recorded) + 500); /* counting goes on without it */
        assert_int_equal(redis_server_restart_aof(&stage->server), 0);
    }
    atomic_store(&stage->truth->stop, true);
    for (int i = 0; i < 2; i++)
        assert_int_equal(stage_exit_code(child[i]), 0);
    stage_assert_all_gone_and_exact(stage);
}

/* --- before it ever ran --- */

static void test_redis_that_comes_late_gets_all(void **state)
{
    struct stage *stage = *state;

    redis_server_kill(&stage->server);
    stage_collector_start(stage, "1");
    assert_int_equal(stage_exit_code(stage_fork(stage, stage_record_some, 5)), 0);
    stage_wait_regions(stage, 0);
    assert_int_equal(process_wait_text(&stage->collector, PROCESS_STDERR, "the sink does not take usage", STAGE_DEADLINE_MS), 0);
    assert_int_equal(redis_server_restart(&stage->server), 0);
    assert_int_equal(process_wait_text(&stage->collector, PROCESS_STDERR, "takes usage again", STAGE_DEADLINE_MS), 0);
    stage_assert_all_gone_and_exact(stage);
}

/* --- a Redis that answers nonsense --- */

struct nonsense {
    int fd;
    atomic_bool stop;
    pthread_t thread;
    _Atomic unsigned asked;
};

static const char *const nonsense_answers[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "*1\r\n:1\r\n", "$-1\r\n", "+OK\r\n"};
#define NONSENSE_ANSWERS (sizeof(nonsense_answers) / sizeof(nonsense_answers[0]))

static void *answer_nonsense(void *argument)
{
    struct nonsense *nonsense = argument;

    while (!atomic_load(&nonsense->stop)) {
        char bytes[4096];
        int fd = accept4(nonsense->fd, NULL, NULL, SOCK_CLOEXEC); /* with a timeout, set below */
        struct timeval timeout = {0, 100000};
        if (fd < 0)
            continue;
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
        while (!atomic_load(&nonsense->stop) && recv(fd, bytes, sizeof(bytes), 0) > 0) {
            const char *answer = nonsense_answers[atomic_fetch_add(&nonsense->asked, 1) % NONSENSE_ANSWERS];
            if (send(fd, answer, strlen(answer), MSG_NOSIGNAL) < 0)
                break;
        }
        (void)close(fd);
    }
    return NULL;
}

static void nonsense_start(struct nonsense *nonsense, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval timeout = {0, 100000};

    memset(nonsense, 0, sizeof(*nonsense));
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    (void)unlink(path);
    nonsense->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(nonsense->fd >= 0);
    assert_int_equal(bind(nonsense->fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(nonsense->fd, 8), 0);
    (void)setsockopt(nonsense->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    assert_int_equal(pthread_create(&nonsense->thread, NULL, answer_nonsense, nonsense), 0);
}

static void nonsense_stop(struct nonsense *nonsense, const char *path)
{
    atomic_store(&nonsense->stop, true);
    (void)pthread_join(nonsense->thread, NULL);
    (void)close(nonsense->fd);
    (void)unlink(path);
}

static int times_said(const char *text, const char *sentence)
{
    int times = 0;

    for (const char *at = text; (at = strstr(at, sentence)) != NULL; at++)
        times++;
    return times;
}

/* Keeps counting, says so once, keeps the accounts, and the next one delivers them. */
static void test_redis_that_answers_nonsense_costs_nothing(void **state)
{
    struct stage *stage = *state;
    struct nonsense nonsense;

    redis_server_kill(&stage->server);
    nonsense_start(&nonsense, stage->server.socket);
    stage_collector_start(stage, "1");
    assert_int_equal(stage_exit_code(stage_fork(stage, stage_record_some, 0)), 0);
    stage_wait_regions(stage, 0); /* counted all the same */
    assert_int_equal(process_wait_text(&stage->collector, PROCESS_STDERR, "the sink does not take usage", STAGE_DEADLINE_MS), 0);
    stage_collector_end(stage, 1);
    assert_int_equal(times_said(process_text(&stage->collector, PROCESS_STDERR), "the sink does not take usage"), 1);
    assert_int_equal(times_said(process_text(&stage->collector, PROCESS_STDERR), "the sink did not take 40 accounts"), 1);
    assert_true(atomic_load(&nonsense.asked) > NONSENSE_ANSWERS);
    nonsense_stop(&nonsense, stage->server.socket);
    assert_int_equal(redis_server_restart(&stage->server), 0);
    stage_collector_start(stage, "1");
    stage_assert_all_gone_and_exact(stage);
}

/* --- ids --- */

struct odd {
    uint64_t kind;
    const char *id;
    uint32_t len; /* 0: to the NUL */
};

static char longest[TKR_ID_BYTES_MAX];

static const struct odd odd[] = {
    {TKR_KIND_USER, "{alice}", 0},
    {TKR_KIND_USER, "}{", 0},
    {TKR_KIND_USER, "a:b:2026-11-01", 0},
    {TKR_KIND_USER, "with space", 0},
    {TKR_KIND_USER, "it's \"quoted\"", 0},
    {TKR_KIND_USER, "j\xc3\xbcrgen \xe2\x82\xac \xf0\x9f\x9a\x80", 0},
    {TKR_KIND_USER, "\xff\xfe not utf-8 \x80", 0},
    {TKR_KIND_USER, "*?[a-z]", 0},
    {TKR_KIND_USER, "'; DROP TABLE contribution; --", 0},
    {TKR_KIND_USER, "user", 0},
    {TKR_KIND_TEAM, "user", 0},
    {TKR_KIND_KEY, "user", 0},
    {TKR_KIND_ORGANISATION, "user", 0},
    {TKR_KIND_USER, "~overflow", 0},
    {TKR_KIND_USER, longest, TKR_ID_BYTES_MAX},
    {TKR_KIND_TEAM, longest, TKR_ID_BYTES_MAX},
    {TKR_KIND_USER, longest, TKR_ID_BYTES_MAX - 1},
};
#define ODD_COUNT ((int)(sizeof(odd) / sizeof(odd[0])))

static uint32_t odd_len(int i)
{
    return odd[i].len != 0 ? odd[i].len : (uint32_t)strlen(odd[i].id);
}

/* Every id alone, then each with its three neighbours in one call: the sums must not mix. */
static int record_odd(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);

    (void)number;
    for (int i = 0; producer != NULL && i < ODD_COUNT; i++) {
        tkr_start start = TKR_START_INIT;
        tkr_usage usage = TKR_USAGE_INIT;
        start.cycle = STAGE_CYCLE;
        for (int j = 0; j < TKR_ACCOUNTS_MAX; j++) {
            const struct odd *o = &odd[(i + j) % ODD_COUNT];
            start.account[j] = (tkr_account){.kind = o->kind, .id = o->id, .len = odd_len((i + j) % ODD_COUNT)};
        }
        start.account_count = 1;
        usage.prompt = INT64_C(1) << i;
        usage.completion = 1;
        if (tkr_record(producer, &start, &usage) != TKR_OK)
            return 1;
        start.account_count = TKR_ACCOUNTS_MAX;
        usage.prompt = INT64_C(1) << (i + 20);
        if (tkr_record(producer, &start, &usage) != TKR_OK)
            return 2;
    }
    return producer == NULL;
}

static void assert_odd_exact(struct stage *stage)
{
    struct stage_rows *rows;

    memset(longest, 0xc3, sizeof(longest));
    stage_collector_start(stage, "1");
    assert_int_equal(stage_exit_code(stage_fork(stage, record_odd, 0)), 0);
    stage_wait_regions(stage, 0);
    stage_collector_end(stage, 0);
    rows = stage_read(stage);
    assert_int_equal(rows->count, ODD_COUNT);
    for (int i = 0; i < ODD_COUNT; i++) {
        tkr_counts counts = stage_counts(rows, odd[i].kind, odd[i].id, odd_len(i));
        int64_t prompt = INT64_C(1) << i;
        for (int j = 0; j < TKR_ACCOUNTS_MAX; j++)
            prompt += INT64_C(1) << ((i - j + ODD_COUNT) % ODD_COUNT + 20);
        assert_int_equal(counts.value[TKR_COUNTER_PROMPT], prompt);
        assert_int_equal(counts.value[TKR_COUNTER_COMPLETION], 1 + TKR_ACCOUNTS_MAX);
        assert_int_equal(counts.value[TKR_COUNTER_CALLS], 1 + TKR_ACCOUNTS_MAX);
    }
    free(rows);
}

static void test_odd_ids_are_exact_in_redis(void **state)
{
    assert_odd_exact(*state);
}

static void test_odd_ids_are_exact_in_the_ledger(void **state)
{
    assert_odd_exact(*state);
}

int main(void)
{
#define R(name) cmocka_unit_test_setup_teardown(name, stage_set_up_redis, stage_tear_down)
    const struct CMUnitTest tests[] = {
        R(test_64_processes_at_once_are_exact_in_redis),
        R(test_collector_killed_between_sending_and_noting_is_exact),
        cmocka_unit_test_setup_teardown(test_redis_killed_under_load_and_restarted_with_its_data_is_exact, set_up_aof,
                                        stage_tear_down),
        R(test_redis_that_comes_late_gets_all),
        R(test_redis_that_answers_nonsense_costs_nothing),
        R(test_odd_ids_are_exact_in_redis),
        cmocka_unit_test_setup_teardown(test_odd_ids_are_exact_in_the_ledger, stage_set_up, stage_tear_down),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
