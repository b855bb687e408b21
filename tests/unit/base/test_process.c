/* SPDX-License-Identifier: Apache-2.0 */
/* Generations of processes: one within a process, another in each child, whatever made it and whatever was locked. */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process.h"
#include "support/test.h"

#define ALARM_S 60

static int setup(void **state)
{
    (void)state;
    return tkr_process_prepare() ? 0 : -1;
}

static bool ended_well(pid_t child)
{
    int status = -1;

    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static int in_child(uint64_t above)
{
    uint64_t generation = tkr_process_generation();
    pid_t child;

    (void)alarm(ALARM_S);
    if (generation <= above || tkr_process_generation() != generation)
        return 1;
    tkr_process_lock(); /* whoever held it in the parent */
    tkr_process_unlock();
    child = fork();
    if (child == 0)
        _exit(tkr_process_generation() > generation ? 0 : 1);
    return ended_well(child) ? 0 : 2;
}

static void test_generation_is_one_in_a_process_and_above_it_in_children(void **state)
{
    uint64_t generation = tkr_process_generation();
    pid_t child = fork();

    (void)state;
    assert_true(generation > 0);
    if (child == 0)
        _exit(in_child(generation));
    assert_true(ended_well(child));
    child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); /* which runs no fork handlers */
    if (child == 0)
        _exit(in_child(generation));
    assert_true(ended_well(child));
    assert_true(tkr_process_generation() == generation);
}

static sem_t held;
static sem_t let_go;

static void *hold(void *arg)
{
    tkr_process_lock();
    assert_int_equal(sem_post(&held), 0);
    assert_int_equal(sem_wait(&let_go), 0);
    tkr_process_unlock();
    return arg;
}

static void test_lock_that_a_thread_of_the_parent_holds_is_free_in_a_child(void **state)
{
    uint64_t generation = tkr_process_generation();
    pthread_t thread;
    pid_t child;

    (void)state;
    assert_int_equal(sem_init(&held, 0, 0), 0);
    assert_int_equal(sem_init(&let_go, 0, 0), 0);
    assert_int_equal(pthread_create(&thread, NULL, hold, NULL), 0);
    assert_int_equal(sem_wait(&held), 0);
    child = fork();
    if (child == 0)
        _exit(in_child(generation));
    assert_true(ended_well(child));
    assert_int_equal(sem_post(&let_go), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void *take(void *arg)
{
    *(uint64_t *)arg = tkr_process_generation();
    return NULL;
}

/* In a child that no thread has asked in yet, all of them get the same. */
static int ask_in_threads(void)
{
    enum { THREADS = 8 };
    uint64_t generation[THREADS];
    pthread_t thread[THREADS];

    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, take, &generation[i]) != 0)
            return 1;
    for (int i = 0; i < THREADS; i++)
        if (pthread_join(thread[i], NULL) != 0 || generation[i] != tkr_process_generation())
            return 2;
    return 0;
}

static void test_first_threads_of_a_child_agree(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(ask_in_threads());
        assert_true(ended_well(child));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_threads_of_a_child_agree), /* before this process has other threads */
        cmocka_unit_test(test_generation_is_one_in_a_process_and_above_it_in_children),
        cmocka_unit_test(test_lock_that_a_thread_of_the_parent_holds_is_free_in_a_child),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
