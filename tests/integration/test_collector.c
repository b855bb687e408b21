/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon with real producer processes and the ledger: who comes first, who leaves first, who is killed. */
#include <pthread.h>
#include <sys/resource.h>

#include "integration/stage_calls.h"
#include "support/random.h"

#define PROCESSES 64
#define THREADS 64

/* --- producers --- */

static void run_producers(struct stage *stage, int count)
{
    pid_t child[PROCESSES];

    for (int i = 0; i < count; i++)
        child[i] = stage_fork(stage, stage_record_some, i);
    for (int i = 0; i < count; i++)
        assert_int_equal(stage_exit_code(child[i]), 0);
}

/* --- who comes first --- */

static void test_producers_that_ended_before_the_collector_began_are_counted(void **state)
{
    struct stage *stage = *state;

    run_producers(stage, 3);
    assert_int_equal(stage_regions(stage), 3);
    stage_collector_start(stage, "1");
    stage_assert_all_gone_and_exact(stage);
}

static void test_producer_that_began_before_the_collector_loses_nothing(void **state)
{
    struct stage *stage = *state;
    pid_t child = stage_fork(stage, stage_record_on, 1);

    stage_wait_recorded(stage, 500);
    stage_collector_start(stage, "1");
    stage_wait_recorded(stage, atomic_load(&stage->truth->recorded) + 500);
    atomic_store(&stage->truth->stop, true);
    assert_int_equal(stage_exit_code(child), 0);
    stage_assert_all_gone_and_exact(stage);
}

/* --- many --- */

static void test_64_processes_at_once_are_exact(void **state)
{
    struct stage *stage = *state;

    stage_collector_start(stage, "2");
    run_producers(stage, PROCESSES);
    stage_assert_all_gone_and_exact(stage);
    assert_int_equal(stage_law(stage).regions, PROCESSES);
}

static int record_and_linger(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);

    if (producer == NULL || stage_record(stage, producer, number % STAGE_USERS, 5, 6) != TKR_OK)
        return 1;
    while (!atomic_load(&stage->truth->stop))
        process_sleep_ms(5);
    return 0;
}

/* Each region is a descriptor of the collector's: the shell's limit for programs of another kind is not its own. */
static void test_more_producers_than_the_soft_limit_of_files_are_exact(void **state)
{
    struct stage *stage = *state;
    struct rlimit usual;
    struct rlimit low;
    pid_t child[PROCESSES];

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    low = usual;
    low.rlim_cur = 40;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    stage_collector_start(stage, "1");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
    for (int i = 0; i < PROCESSES; i++)
        child[i] = stage_fork(stage, record_and_linger, i);
    stage_wait_recorded(stage, PROCESSES);
    stage_collector_end(stage, 0); /* all of them alive */
    stage_assert_exact(stage);
    atomic_store(&stage->truth->stop, true);
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(stage_exit_code(child[i]), 0);
}

/* With a hard limit the rest must wait: left alone for a while, never for good. */
static void test_more_producers_than_the_hard_limit_of_files_are_exact_in_the_end(void **state)
{
    struct stage *stage = *state;
    char limit[] = "ulimit -n 40; exec " COLLECTOR;
    const char *argv[] = {"/bin/sh", "-c", limit, NULL};

    run_producers(stage, 40);
    assert_int_equal(process_start(&stage->collector, argv, stage->env_list), 0);
    assert_int_equal(process_wait_text(&stage->collector, PROCESS_STDERR, "collecting in", STAGE_DEADLINE_MS), 0);
    stage_assert_all_gone_and_exact(stage);
}

struct thread_job {
    struct stage *stage;
    tkr_producer *producer;
    int number;
};

static void *record_in_thread(void *argument)
{
    const struct thread_job *job = argument;

    for (int i = 0; i < STAGE_CALLS; i++) {
        if (stage_record(job->stage, job->producer, (job->number + i) % STAGE_USERS, i, job->number) != TKR_OK)
            break;
    }
    return NULL;
}

static int record_in_threads(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);
    struct thread_job job[THREADS];
    pthread_t thread[THREADS];

    for (int i = 0; i < THREADS; i++) {
        job[i] = (struct thread_job){stage, producer, number + i};
        if (producer == NULL || pthread_create(&thread[i], NULL, record_in_thread, &job[i]) != 0)
            return 1;
    }
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(thread[i], NULL);
    return 0; /* without tkr_close: a process that just ends */
}

static void test_64_threads_of_a_process_are_exact(void **state)
{
    struct stage *stage = *state;

    stage_collector_start(stage, "1");
    assert_int_equal(stage_exit_code(stage_fork(stage, record_in_threads, 0)), 0);
    assert_int_equal(atomic_load(&stage->truth->recorded), THREADS * STAGE_CALLS);
    stage_assert_all_gone_and_exact(stage);
}

static int record_one(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);

    return producer == NULL || stage_record(stage, producer, number % STAGE_USERS, 7, 3) != TKR_OK;
}

static void test_200_short_lived_processes_leave_no_region(void **state)
{
    struct stage *stage = *state;

    stage_collector_start(stage, "1");
    for (int i = 0; i < 200; i++)
        assert_int_equal(stage_exit_code(stage_fork(stage, record_one, i)), 0);
    stage_assert_all_gone_and_exact(stage);
    assert_int_equal(stage_law(stage).regions, 200);
}

/* --- who leaves --- */

static void test_collectors_that_come_and_go_beside_producers_are_exact(void **state)
{
    static const char *const workers[] = {"1", "3", "2", "1"};
    struct stage *stage = *state;
    pid_t child[4];

    for (int i = 0; i < 4; i++)
        child[i] = stage_fork(stage, stage_record_on, i);
    for (int i = 0; i < 4; i++) {
        stage_collector_start(stage, workers[i]);
        stage_wait_recorded(stage, atomic_load(&stage->truth->recorded) + 1000);
        stage_collector_end(stage, 0); /* drained and flushed, while producers go on */
        stage_wait_recorded(stage, atomic_load(&stage->truth->recorded) + 500);
    }
    stage_collector_start(stage, "2");
    atomic_store(&stage->truth->stop, true);
    for (int i = 0; i < 4; i++)
        assert_int_equal(stage_exit_code(child[i]), 0);
    stage_assert_all_gone_and_exact(stage);
}

static void test_collector_killed_twenty_times_under_load_is_exact(void **state)
{
    static const char *const workers[] = {"1", "2", "3"};
    struct test_random random = test_random_start();
    struct stage *stage = *state;
    pid_t child[4];

    for (int i = 0; i < 4; i++)
        child[i] = stage_fork(stage, stage_record_on, i);
    for (int i = 0; i < 20; i++) {
        stage_collector_start(stage, workers[test_random_below(&random, 3)]);
        process_sleep_ms((int)test_random_below(&random, 150)); /* a moment of its life, any one */
        process_signal(&stage->collector, SIGKILL);
        assert_int_equal(process_wait(&stage->collector, STAGE_DEADLINE_MS), 0);
    }
    atomic_store(&stage->truth->stop, true);
    stage_collector_start(stage, "2");
    for (int i = 0; i < 4; i++)
        assert_int_equal(stage_exit_code(child[i]), 0);
    stage_assert_all_gone_and_exact(stage);
}

/* --- killed producers --- */

#define AHEAD_MAX 500000 /* calls that a producer may be ahead of a collector that gets no processor: its lanes hold more */
#define OPEN_CALLS 5

static tkr_call begin_call(tkr_producer *producer, const char *id, int64_t estimate)
{
    tkr_start start = TKR_START_INIT;
    tkr_call call = 0;

    start.cycle = STAGE_CYCLE;
    start.account_count = 1;
    start.account[0].id = id;
    start.account[0].len = (uint32_t)strlen(id);
    start.prompt_estimate = estimate;
    return tkr_call_begin(producer, &start, &call) == TKR_OK ? call : 0;
}

/* Leaves calls open, one of them with progress, and records until it is killed; says when it is ready. */
static int open_calls_and_go_on(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);
    char id[16];

    (void)snprintf(id, sizeof(id), "open-%d", number);
    for (int i = 0; producer != NULL && i < OPEN_CALLS; i++) {
        tkr_call call = begin_call(producer, id, 1000);
        if (call == 0 || tkr_call_progress(producer, call, 10 * i) != TKR_OK)
            return 1;
    }
    (void)snprintf(id, sizeof(id), "killed-%d", number);
    for (uint64_t i = 1;; i++) { /* begun, then finished: at most one call between them is in doubt */
        tkr_usage usage = TKR_USAGE_INIT;
        tkr_call call = begin_call(producer, id, 1);
        usage.prompt = 2;
        usage.completion = 3;
        if (call == 0)
            return 2;
        atomic_fetch_add(&stage->truth->note[2 * number], 1);
        if (tkr_call_end(producer, call, &usage) != TKR_OK)
            return 3;
        atomic_fetch_add(&stage->truth->note[2 * number + 1], 1);
        if (i % AHEAD_MAX == 0 && tkr_sync(producer, STAGE_DEADLINE_MS) != TKR_OK)
            return 4;
    }
}

static void assert_open_calls_settled(const struct stage_rows *rows, int number)
{
    char id[16];
    int len = snprintf(id, sizeof(id), "open-%d", number);
    tkr_counts counts = stage_counts(rows, TKR_KIND_USER, id, (uint32_t)len);

    assert_int_equal(counts.value[TKR_COUNTER_CALLS], OPEN_CALLS);
    assert_int_equal(counts.value[TKR_COUNTER_ERRORS], OPEN_CALLS);
    assert_int_equal(counts.value[TKR_COUNTER_PROMPT], OPEN_CALLS * 1000);
    assert_int_equal(counts.value[TKR_COUNTER_COMPLETION], 0 + 10 + 20 + 30 + 40);
    assert_int_equal(counts.value[TKR_COUNTER_TOTAL], OPEN_CALLS * 1000 + 100);
    assert_int_equal(counts.value[TKR_COUNTER_ESTIMATED], OPEN_CALLS * 1000 + 100);
}

/* Finished calls exactly; the one under way not at all, whole, or settled by its estimate. */
static void assert_killed_calls_exact(const struct stage *stage, const struct stage_rows *rows, int number)
{
    char id[16];
    int len = snprintf(id, sizeof(id), "killed-%d", number);
    tkr_counts counts = stage_counts(rows, TKR_KIND_USER, id, (uint32_t)len);
    int64_t finished = (int64_t)atomic_load(&stage->truth->note[2 * number + 1]);
    int64_t calls = counts.value[TKR_COUNTER_CALLS];
    int64_t settled = counts.value[TKR_COUNTER_ERRORS];

    assert_true(finished > 0);
    assert_in_range(calls, finished, finished + 1);
    assert_in_range(settled, 0, calls - finished);
    assert_int_equal(counts.value[TKR_COUNTER_PROMPT], 2 * (calls - settled) + settled);
    assert_int_equal(counts.value[TKR_COUNTER_COMPLETION], 3 * (calls - settled));
}

static void test_killed_producers_are_settled_once(void **state)
{
    struct stage *stage = *state;
    struct stage_rows *rows;
    pid_t child[6];

    stage_collector_start(stage, "2");
    for (int i = 0; i < 6; i++)
        child[i] = stage_fork(stage, open_calls_and_go_on, i);
    for (int i = 0; i < 6; i++) {
        long end = process_now_ms() + STAGE_DEADLINE_MS;
        while (atomic_load(&stage->truth->note[2 * i + 1]) < 300)
            assert_true(process_now_ms() < end);
        (void)kill(child[i], SIGKILL);
        assert_int_equal(stage_exit_code(child[i]), 128 + SIGKILL);
        if (i == 2) { /* and a collector that dies while it settles */
            process_signal(&stage->collector, SIGKILL);
            assert_int_equal(process_wait(&stage->collector, STAGE_DEADLINE_MS), 0);
            stage_collector_start(stage, "1");
        }
    }
    stage_wait_regions(stage, 0);
    stage_collector_end(stage, 0);
    rows = stage_read(stage);
    for (int i = 0; i < 6; i++) {
        assert_open_calls_settled(rows, i);
        assert_killed_calls_exact(stage, rows, i);
    }
    free(rows);
    assert_int_equal(stage_law(stage).dropped, 0);
    assert_int_equal(stage_law(stage).offered, stage_law(stage).counted);
}

/* A parent with an open call, whose child lives on and records when it is told to. */
static int fork_and_wait(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);
    pid_t child;

    if (producer == NULL || stage_record(stage, producer, number, 5, 6) != TKR_OK || begin_call(producer, "open-0", 1234) == 0)
        return 1;
    child = fork();
    if (child == 0) {
        long end = process_now_ms() + STAGE_DEADLINE_MS;
        atomic_store(&stage->truth->note[0], 1);
        while (!atomic_load(&stage->truth->stop) && process_now_ms() < end)
            process_sleep_ms(1);
        atomic_store(&stage->truth->note[1], stage_record(stage, producer, number, 7, 8) == TKR_OK ? 1 : 2);
        _exit(0);
    }
    for (;;)
        pause();
}

static void test_killed_parent_is_settled_while_its_child_lives(void **state)
{
    struct stage *stage = *state;
    pid_t child = stage_fork(stage, fork_and_wait, 3);
    struct stage_rows *rows;
    long end = process_now_ms() + STAGE_DEADLINE_MS;

    while (atomic_load(&stage->truth->note[0]) == 0)
        assert_true(process_now_ms() < end);
    stage_collector_start(stage, "1");
    (void)kill(child, SIGKILL);
    assert_int_equal(stage_exit_code(child), 128 + SIGKILL);
    stage_wait_regions(stage, 0); /* the grandchild has recorded nothing yet, and keeps nothing alive */
    assert_int_equal(stage_law(stage).settled, 1);
    atomic_store(&stage->truth->stop, true);
    while (atomic_load(&stage->truth->note[1]) == 0)
        assert_true(process_now_ms() < end);
    assert_int_equal(atomic_load(&stage->truth->note[1]), 1);
    stage_wait_regions(stage, 0);
    while (stage_law(stage).regions < 2) /* its region may not have been there yet */
        assert_true(process_now_ms() < end);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
    rows = stage_read(stage);
    assert_int_equal(stage_counts(rows, TKR_KIND_USER, "open-0", 6).value[TKR_COUNTER_PROMPT], 1234);
    free(rows);
}

/* --- one at a time --- */

static void test_second_collector_leaves_with_a_sentence(void **state)
{
    struct stage *stage = *state;
    const char *argv[] = {COLLECTOR, NULL};
    struct process second;

    stage_collector_start(stage, "1");
    assert_int_equal(process_run(&second, argv, stage->env_list, STAGE_DEADLINE_MS), 0);
    assert_int_equal(process_exit_code(&second), 1);
    assert_non_null(strstr(process_text(&second, PROCESS_STDERR), "another collector already serves"));
    process_end(&second);
    run_producers(stage, 1); /* the first one goes on */
    stage_assert_all_gone_and_exact(stage);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, stage_set_up, stage_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_producers_that_ended_before_the_collector_began_are_counted),
        T(test_producer_that_began_before_the_collector_loses_nothing),
        T(test_64_processes_at_once_are_exact),
        T(test_more_producers_than_the_soft_limit_of_files_are_exact),
        T(test_more_producers_than_the_hard_limit_of_files_are_exact_in_the_end),
        T(test_64_threads_of_a_process_are_exact),
        T(test_200_short_lived_processes_leave_no_region),
        T(test_collectors_that_come_and_go_beside_producers_are_exact),
        T(test_collector_killed_twenty_times_under_load_is_exact),
        T(test_killed_producers_are_settled_once),
        T(test_killed_parent_is_settled_while_its_child_lives),
        T(test_second_collector_leaves_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
