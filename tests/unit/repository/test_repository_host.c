/* SPDX-License-Identifier: Apache-2.0 */
/* A repository as a guest in its host: many threads, a sink that goes away and comes back, signals, a fork. */
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit/repository/fixture.h"

#define THREADS 8 /* half of them on each of two repositories */
#define ROUNDS 60

static int check(tkr_repository *repository, const char *id, tkr_limit_status *ret_status)
{
    tkr_account account = account_of(id);

    *ret_status = (tkr_limit_status)TKR_LIMIT_STATUS_INIT;
    return tkr_repository_check_usage_limit(repository, &account, CYCLE, ret_status);
}

struct worker {
    tkr_repository *repository;
    int number;
    int failed; /* of its steps */
};

/* Sets a limit of an account that is the thread's own, and sees it; reads accounts that are everybody's. */
static int work_once(const struct worker *worker, int round)
{
    char id[16];
    char text[TKR_REPOSITORY_ERROR_BYTES];
    tkr_account account[2] = {account_of("shared"), {.id = id}};
    tkr_usage_stats stats[2] = {TKR_USAGE_STATS_INIT, TKR_USAGE_STATS_INIT};
    tkr_limit_status status;

    account[1].len = (uint32_t)snprintf(id, sizeof(id), "own-%d", worker->number);
    if (tkr_repository_set_usage_limit(worker->repository, &account[1], CYCLE, round + 1) != TKR_OK ||
        check(worker->repository, id, &status) != TKR_OK || status.limit != round + 1 || status.exceeded)
        return 1;
    if (tkr_repository_get_usage_stats(worker->repository, account, 2, CYCLE, stats) != TKR_OK || stats[0].total_tokens != 42 ||
        stats[1].usage_limit != round + 1)
        return 1;
    return tkr_repository_error(worker->repository, text, sizeof(text)) != TKR_OK || text[0] != '\0';
}

static void *work(void *arg)
{
    struct worker *worker = arg;

    for (int round = 0; round < ROUNDS; round++)
        worker->failed += work_once(worker, round);
    return NULL;
}

static void test_two_repositories_on_many_threads_answer_each_of_them(void **state)
{
    struct fixture *fixture = *state;
    struct worker worker[THREADS];
    pthread_t thread[THREADS];
    tkr_repository *other;

    fixture_count(fixture, "shared", 40, 2);
    assert_int_equal(tkr_repository_open(NULL, &other), TKR_OK);
    for (int i = 0; i < THREADS; i++) {
        worker[i] = (struct worker){.repository = i % 2 == 0 ? fixture->repository : other, .number = i};
        assert_int_equal(pthread_create(&thread[i], NULL, work, &worker[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_int_equal(worker[i].failed, 0);
    }
    tkr_repository_close(other);
}

static volatile sig_atomic_t pipes;

static void count_pipe(int signal_number)
{
    (void)signal_number;
    pipes = pipes + 1;
}

static sigset_t blocked_now(void)
{
    sigset_t set;

    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &set), 0);
    return set;
}

static void test_redis_away_is_told_and_back_it_answers_without_a_sigpipe(void **state)
{
    struct fixture *fixture = *state;
    tkr_account alice = account_of("alice");
    tkr_limit_status status;
    sigset_t before;
    sigset_t after;

    pipes = 0;
    assert_true(signal(SIGPIPE, count_pipe) != SIG_ERR);
    before = blocked_now();
    assert_int_equal(tkr_repository_set_usage_limit(fixture->repository, &alice, 0, 10), TKR_OK);
    redis_server_kill(&fixture->server);
    for (int i = 0; i < 3; i++) { /* the first writes into a connection whose peer is gone */
        assert_int_equal(check(fixture->repository, "alice", &status), TKR_ESINK);
        assert_non_null(strstr(fixture_error(fixture), "Redis"));
    }
    assert_int_equal(tkr_repository_set_usage_limit(fixture->repository, &alice, 0, 11), TKR_ESINK);
    assert_int_equal(tkr_repository_reset_usage(fixture->repository, &alice, CYCLE, 0), TKR_ESINK);
    assert_int_equal(redis_server_restart(&fixture->server), 0);
    assert_int_equal(tkr_repository_set_usage_limit(fixture->repository, &alice, 0, 12), TKR_OK);
    assert_int_equal(check(fixture->repository, "alice", &status), TKR_OK);
    assert_int_equal(status.limit, 12);
    assert_int_not_equal(strlen(fixture_error(fixture)), 0); /* the last failure stands */
    after = blocked_now();
    assert_int_equal(sigismember(&before, SIGPIPE), sigismember(&after, SIGPIPE));
    assert_int_equal(pipes, 0);
    assert_true(signal(SIGPIPE, SIG_DFL) == count_pipe);
}

/* A connection that was cut while nothing was asked is no reason to fail. */
static void test_connection_cut_in_between_is_made_anew(void **state)
{
    struct fixture *fixture = *state;
    tkr_account alice = account_of("alice");
    tkr_limit_status status;

    assert_int_equal(tkr_repository_set_usage_limit(fixture->repository, &alice, 0, 10), TKR_OK);
    redis_server_kill(&fixture->server);
    assert_int_equal(redis_server_restart(&fixture->server), 0);
    assert_int_equal(check(fixture->repository, "alice", &status), TKR_OK);
    assert_int_equal(status.limit, TKR_UNLIMITED); /* this Redis keeps nothing */
    fixture_run(fixture, "CLIENT KILL TYPE normal SKIPME yes");
    assert_int_equal(tkr_repository_set_usage_limit(fixture->repository, &alice, 0, 13), TKR_OK);
    assert_int_equal(check(fixture->repository, "alice", &status), TKR_OK);
    assert_int_equal(status.limit, 13);
}

static void test_redis_that_wants_a_password_is_told_without_it(void **state)
{
    struct fixture *fixture = *state;
    tkr_limit_status status;
    tkr_repository *repository;
    char text[TKR_REPOSITORY_ERROR_BYTES];
    char url[256];

    (void)snprintf(url, sizeof(url), "unix://:s3cret@%s", fixture->server.socket);
    assert_int_equal(setenv("REDIS_URL", url, 1), 0);
    assert_int_equal(tkr_repository_open(NULL, &repository), TKR_OK);
    fixture_run(fixture, "CONFIG SET requirepass other");
    assert_int_equal(check(repository, "alice", &status), TKR_ESINK);
    assert_int_equal(tkr_repository_error(repository, text, sizeof(text)), TKR_OK);
    assert_non_null(strstr(text, "password"));
    assert_null(strstr(text, "s3cret"));
    assert_int_equal(tkr_repository_error(repository, text, 4), TKR_OK);
    assert_int_equal(strlen(text), 3); /* cut to the room given */
    tkr_repository_close(repository);
}

/* The time-out is waited for once. */
static void test_redis_that_hangs_is_given_up_at_the_timeout(void **state)
{
    struct fixture *fixture = *state;
    tkr_account alice = account_of("alice");
    tkr_limit_status status;
    tkr_repository *repository;
    long begun_ms;

    assert_int_equal(setenv("TOKENRING_REDIS_TIMEOUT_MS", "1500", 1), 0);
    assert_int_equal(tkr_repository_open(NULL, &repository), TKR_OK);
    assert_int_equal(unsetenv("TOKENRING_REDIS_TIMEOUT_MS"), 0);
    assert_int_equal(tkr_repository_set_usage_limit(repository, &alice, 0, 10), TKR_OK);
    process_signal(&fixture->server.process, SIGSTOP);
    begun_ms = process_now_ms();
    assert_int_equal(check(repository, "alice", &status), TKR_ESINK);
    assert_in_range(process_now_ms() - begun_ms, 1400, 2900);
    process_signal(&fixture->server.process, SIGCONT);
    assert_int_equal(check(repository, "alice", &status), TKR_OK);
    assert_int_equal(status.limit, 10);
    tkr_repository_close(repository);
}

static void test_ledger_away_is_told_and_back_it_answers(void **state)
{
    struct fixture *fixture = *state;
    char path[TEMPDIR_BYTES + 16];
    char aside[TEMPDIR_BYTES + 16];
    tkr_limit_status status;

    (void)snprintf(path, sizeof(path), "%s/ledger.db", fixture->dir);
    (void)snprintf(aside, sizeof(aside), "%s/aside.db", fixture->dir);
    fixture_count(fixture, "alice", 3, 4);
    fixture->sink->ops->disconnect(fixture->sink);
    assert_int_equal(check(fixture->repository, "alice", &status), TKR_OK);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(check(fixture->repository, "alice", &status), TKR_ESINK);
    assert_non_null(strstr(fixture_error(fixture), "ledger"));
    assert_int_equal(rename(aside, path), 0);
    assert_int_equal(check(fixture->repository, "alice", &status), TKR_OK);
    assert_int_equal(status.current_usage, 7);
}

/* Sockets that this process has open. */
static int sockets(void)
{
    DIR *listing = opendir("/proc/self/fd");
    int count = 0;

    for (struct dirent *entry; listing != NULL && (entry = readdir(listing)) != NULL;) {
        struct stat status;
        count += fstat(atoi(entry->d_name), &status) == 0 && S_ISSOCK(status.st_mode);
    }
    if (listing != NULL)
        (void)closedir(listing);
    return count;
}

static int check_in_child(struct fixture *fixture, int inherited)
{
    tkr_limit_status status;

    if (sockets() != inherited)
        return 2;
    for (int i = 0; i < 20; i++) {
        if (check(fixture->repository, "alice", &status) != TKR_OK || status.current_usage != 7)
            return 1;
    }
    tkr_repository_close(fixture->repository);
    return 0;
}

static void test_child_of_a_fork_asks_on_a_connection_of_its_own(void **state)
{
    struct fixture *fixture = *state;
    tkr_limit_status status;
    int exit_status = -1;
    int before;
    pid_t child;

    fixture_count(fixture, "alice", 3, 4);
    before = sockets();
    assert_int_equal(check(fixture->repository, "alice", &status), TKR_OK);
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(check_in_child(fixture, before)); /* the parent's connection is closed there */
    for (int i = 0; i < 20; i++) {
        assert_int_equal(check(fixture->repository, "alice", &status), TKR_OK);
        assert_int_equal(status.current_usage, 7);
    }
    assert_int_equal(waitpid(child, &exit_status, 0), child);
    assert_int_equal(exit_status, 0);
    assert_int_equal(check(fixture->repository, "alice", &status), TKR_OK);
    assert_string_equal(fixture_error(fixture), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(test_two_repositories_on_many_threads_answer_each_of_them),
        IN_REDIS(test_redis_away_is_told_and_back_it_answers_without_a_sigpipe),
        IN_REDIS(test_connection_cut_in_between_is_made_anew),
        IN_REDIS(test_redis_that_hangs_is_given_up_at_the_timeout),
        IN_REDIS(test_redis_that_wants_a_password_is_told_without_it),
        cmocka_unit_test_setup_teardown(test_ledger_away_is_told_and_back_it_answers, fixture_in_ledger, fixture_close),
        IN_BOTH(test_child_of_a_fork_asks_on_a_connection_of_its_own),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
