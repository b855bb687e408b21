/* SPDX-License-Identifier: Apache-2.0 */
/* Alerts: what is said, once among all, and again after a reset; the table of accounts that are looked at. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "repository/watch.h"
#include "support/process.h"
#include "tokenring/alert.h"
#include "unit/repository/fixture.h"

#define WAIT_NS (20 * TKR_NS_PER_S)
#define ROUNDS_SEEN 30 /* of the interval: nothing more comes */

/* What the sanitizers of gcc 12 allow in the child of a process that has threads; unit/callback/test_fork.c says why. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { CHILD_HAS_THREADS = 0 };
#else
enum { CHILD_HAS_THREADS = 1 };
#endif

/* What all handlers of a test have said. */
static struct {
    _Atomic int times;
    _Atomic int percent[TKR_ALERT_PERCENT_MAX + 1];
    tkr_alert last;
    char id[64];
} said;

static void note(void *user, const tkr_alert *alert)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* one alert at a time of each handler, but of many */

    (void)user;
    (void)pthread_mutex_lock(&mutex);
    said.last = *alert;
    (void)snprintf(said.id, sizeof(said.id), "%.*s", (int)alert->account.len, alert->account.id);
    (void)pthread_mutex_unlock(&mutex);
    atomic_fetch_add(&said.percent[alert->percent], 1);
    atomic_fetch_add(&said.times, 1);
}

static tkr_callback *alert_of(tkr_repository *repository)
{
    tkr_alert_options options = TKR_ALERT_OPTIONS_INIT;
    tkr_callback *callback = NULL;

    options.repository = repository;
    options.interval_ms = 10;
    options.on_alert = note;
    assert_int_equal(tkr_alert_callback(&options, &callback), TKR_OK);
    return callback;
}

static void call(tkr_callback *callback, const char *id)
{
    tkr_callback_context context = TKR_CALLBACK_CONTEXT_INIT;
    tkr_response response = TKR_RESPONSE_INIT;

    context.start.account_count = 1;
    context.start.account[0] = account_of(id);
    context.start.cycle = CYCLE;
    assert_int_equal(tkr_on_llm_start(callback, NULL, 0, &context), 0);
    assert_int_equal(tkr_on_llm_end(callback, &response, &context), 0);
}

static void wait_times(int times)
{
    int64_t end_ns = tkr_clock_monotonic_ns() + WAIT_NS;

    while (atomic_load(&said.times) < times && tkr_clock_monotonic_ns() < end_ns)
        tkr_clock_sleep_ns(TKR_NS_PER_MS);
    assert_int_equal(atomic_load(&said.times), times);
}

/* So many intervals later it is still no more. */
static void assert_no_more(int times)
{
    tkr_clock_sleep_ns(ROUNDS_SEEN * 10 * TKR_NS_PER_MS);
    assert_int_equal(atomic_load(&said.times), times);
}

static void limit(struct fixture *fixture, const char *id, int64_t tokens)
{
    const tkr_account account = account_of(id);

    assert_int_equal(tkr_repository_set_usage_limit(fixture->repository, &account, CYCLE, tokens), TKR_OK);
}

static void test_alert_says_each_percent_that_is_reached_once(void **state)
{
    struct fixture *fixture = *state;
    tkr_callback *callback;

    memset(&said, 0, sizeof(said));
    callback = alert_of(fixture->repository);
    limit(fixture, "alice", 1000);
    fixture_count(fixture, "alice", 500, 399); /* 89.9 % */
    call(callback, "alice");
    wait_times(2);
    assert_int_equal(atomic_load(&said.percent[50]), 1);
    assert_int_equal(atomic_load(&said.percent[80]), 1);
    assert_int_equal(said.last.percent, 80); /* in their order */
    assert_int_equal(said.last.current_usage, 899);
    assert_int_equal(said.last.limit, 1000);
    assert_int_equal(said.last.cycle, CYCLE);
    assert_string_equal(said.id, "alice");
    call(callback, "alice");
    assert_no_more(2);
    assert_int_equal(test_contribute(fixture->sink, "alice", test_record(1, 500, 399), test_record(1, 500, 500), NULL),
                     TKR_OUTCOME_APPLIED);
    call(callback, "alice");
    wait_times(3);
    assert_int_equal(atomic_load(&said.percent[100]), 1);
    tkr_callback_release(callback);
}

static void test_alert_is_said_by_one_of_many_handlers(void **state)
{
    enum { HANDLERS = 4 };
    struct fixture *fixture = *state;
    tkr_repository *repository[HANDLERS];
    tkr_callback *callback[HANDLERS];

    memset(&said, 0, sizeof(said));
    limit(fixture, "alice", 100);
    fixture_count(fixture, "alice", 90, 10);
    for (int i = 0; i < HANDLERS; i++) { /* as if each were a host's */
        assert_int_equal(tkr_repository_open(NULL, &repository[i]), TKR_OK);
        callback[i] = alert_of(repository[i]);
        call(callback[i], "alice");
    }
    wait_times(3);
    assert_no_more(3);
    for (int i = 0; i < HANDLERS; i++) {
        tkr_callback_release(callback[i]);
        tkr_repository_close(repository[i]);
    }
}

static void test_alert_says_nothing_without_a_limit_and_sees_one_that_comes(void **state)
{
    struct fixture *fixture = *state;
    const tkr_account account = account_of("alice");
    tkr_callback *callback;

    memset(&said, 0, sizeof(said));
    callback = alert_of(fixture->repository);
    fixture_count(fixture, "alice", 90, 10);
    call(callback, "alice");
    call(callback, "bob"); /* of whom the sink knows nothing */
    assert_no_more(0);
    assert_int_equal(tkr_repository_set_usage_limit(fixture->repository, &account, 0, 160), TKR_OK); /* a standing one */
    call(callback, "alice");
    wait_times(1);
    assert_int_equal(said.last.percent, 50);
    assert_int_equal(said.last.limit, 160);
    tkr_callback_release(callback);
}

static void test_alert_may_be_said_again_after_a_reset(void **state)
{
    struct fixture *fixture = *state;
    const tkr_account account = account_of("alice");
    tkr_callback *callback;

    memset(&said, 0, sizeof(said));
    callback = alert_of(fixture->repository);
    limit(fixture, "alice", 100);
    fixture_count(fixture, "alice", 60, 0);
    call(callback, "alice");
    wait_times(1);
    assert_int_equal(tkr_repository_reset_usage(fixture->repository, &account, CYCLE, 0), TKR_OK);
    call(callback, "alice");
    assert_no_more(1); /* and it is seen that nothing is used any more */
    assert_int_equal(test_contribute(fixture->sink, "alice", test_record(1, 60, 0), test_record(1, 115, 0), NULL),
                     TKR_OUTCOME_APPLIED);
    call(callback, "alice");
    wait_times(2);
    assert_int_equal(atomic_load(&said.percent[50]), 2);
    tkr_callback_release(callback);
}

/* What the sink cannot tell now is said when it can. */
static void test_alert_waits_for_a_redis_that_is_away(void **state)
{
    struct fixture *fixture = *state;
    tkr_callback *callback;

    memset(&said, 0, sizeof(said));
    callback = alert_of(fixture->repository);
    limit(fixture, "alice", 100);
    fixture_count(fixture, "alice", 60, 0);
    process_signal(&fixture->server.process, SIGSTOP);
    call(callback, "alice");
    assert_no_more(0);
    process_signal(&fixture->server.process, SIGCONT);
    wait_times(1);
    tkr_callback_release(callback);
}

/* Waits for a child, but not for ever. */
static void collect(pid_t child)
{
    long deadline = process_now_ms() + WAIT_NS / TKR_NS_PER_MS;
    int status = 0;
    pid_t pid;

    while ((pid = waitpid(child, &status, WNOHANG)) == 0 && process_now_ms() < deadline)
        process_sleep_ms(1);
    if (pid == 0) {
        (void)kill(child, SIGKILL);
        (void)waitpid(child, NULL, 0);
        fail_msg("a child hangs");
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("a child ended with status %#x", (unsigned)status);
}

static int say_in_child(tkr_callback *callback, int times)
{
    call(callback, "alice");
    wait_times(times);
    tkr_callback_release(callback);
    return 0;
}

/* A handler made before a fork looks in the child too, by a thread and a connection of the child's own. */
static void test_alert_in_a_forked_child_is_said_there(void **state)
{
    struct fixture *fixture = *state;
    tkr_callback *callback;
    pid_t child;

    memset(&said, 0, sizeof(said));
    callback = alert_of(fixture->repository);
    limit(fixture, "alice", 100);
    fixture_count(fixture, "alice", 70, 10); /* 50 and 80 are reached */
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(say_in_child(callback, 2));
    collect(child);
    assert_no_more(0); /* the parent has seen no call */
    assert_int_equal(test_contribute(fixture->sink, "alice", test_record(1, 70, 10), test_record(1, 70, 30), NULL),
                     TKR_OUTCOME_APPLIED);
    call(callback, "alice");
    wait_times(1); /* 100: what the child has said is claimed */
    assert_int_equal(said.last.percent, 100);
    tkr_callback_release(callback);
}

/* The handler's thread waits for Redis, and holds the repository, when a child begins: it is not the child's wait, nor its
 * connection. */
static void test_alert_thread_that_asks_at_a_fork_does_not_hold_the_child(void **state)
{
    struct fixture *fixture = *state;
    tkr_callback *callback;
    pid_t child;

    memset(&said, 0, sizeof(said));
    callback = alert_of(fixture->repository);
    limit(fixture, "alice", 100);
    fixture_count(fixture, "alice", 60, 0);
    process_signal(&fixture->server.process, SIGSTOP);
    call(callback, "bob");
    assert_no_more(0); /* so many intervals later it asks */
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(say_in_child(callback, 1));
    process_signal(&fixture->server.process, SIGCONT);
    collect(child);
    tkr_callback_release(callback);
}

/* As many forks, each at another point of what the handler's thread does with the sink: the ledger opened, asked, closed. */
static void test_forks_while_the_thread_asks_leave_children_that_ask(void **state)
{
    enum { FORKS = 30 };
    struct fixture *fixture = *state;
    const tkr_account alice = account_of("alice");
    tkr_limit_status status = TKR_LIMIT_STATUS_INIT;
    tkr_callback *callback;

    memset(&said, 0, sizeof(said));
    callback = alert_of(fixture->repository);
    fixture_count(fixture, "alice", 3, 4);
    for (int i = 0; i < FORKS; i++) {
        pid_t child;
        for (int n = 0; n < 20; n++) {
            char id[32];
            (void)snprintf(id, sizeof(id), "user-%d", n);
            call(callback, id);
        }
        tkr_clock_sleep_ns(TKR_NS_PER_MS * (i % 11));
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            call(callback, "alice");
            if (tkr_repository_check_usage_limit(fixture->repository, &alice, CYCLE, &status) != TKR_OK ||
                status.current_usage != 7)
                _exit(1);
            tkr_callback_release(callback);
            tkr_repository_close(fixture->repository);
            _exit(0);
        }
        collect(child);
    }
    tkr_callback_release(callback);
}

static void test_alert_options_that_are_no_good_are_refused(void **state)
{
    struct fixture *fixture = *state;
    tkr_alert_options options = TKR_ALERT_OPTIONS_INIT;
    tkr_callback *callback = NULL;

    assert_int_equal(tkr_alert_callback(NULL, &callback), TKR_EINVAL);
    options.repository = fixture->repository;
    assert_int_equal(tkr_alert_callback(&options, &callback), TKR_EINVAL);
    options.on_alert = note;
    options.interval_ms = 9;
    assert_int_equal(tkr_alert_callback(&options, &callback), TKR_ERANGE);
    options.interval_ms = 10;
    options.percent_count = 1;
    assert_int_equal(tkr_alert_callback(&options, &callback), TKR_ERANGE); /* 0 % */
    options.percent[0] = 201;
    assert_int_equal(tkr_alert_callback(&options, &callback), TKR_ERANGE);
    options.percent_count = 17;
    assert_int_equal(tkr_alert_callback(&options, &callback), TKR_ERANGE);
    options.percent_count = 0;
    options.accounts_max = 1000001;
    assert_int_equal(tkr_alert_callback(&options, &callback), TKR_ERANGE);
    options.size--;
    assert_int_equal(tkr_alert_callback(&options, &callback), TKR_ESIZE);
    assert_null(callback);
}

/* --- the table --- */

static tkr_account numbered(int i, char id[16])
{
    (void)snprintf(id, 16, "user-%d", i);
    return (tkr_account){.id = id, .len = (uint32_t)strlen(id)};
}

/* A round of a small table: how many were due. */
static int one_round(struct tkr_watch *watch, struct tkr_watched *ret_due, uint32_t max)
{
    int count;

    tkr_watch_begin(watch);
    count = tkr_watch_due(watch, ret_due, max);
    if (count >= 0)
        assert_int_equal(tkr_watch_due(watch, ret_due + count, max - (uint32_t)count), -1);
    return count;
}

static void test_watch_looks_less_and_less_often_until_the_next_call(void **state)
{
    struct tkr_watch watch;
    struct tkr_watched due[4];
    const tkr_account alice = account_of("alice");
    int seen = 0;

    (void)state;
    assert_true(tkr_watch_open(&watch, 4));
    assert_int_equal(one_round(&watch, due, 4), -1);
    tkr_watch_note(&watch, &alice, CYCLE);
    for (int round = 0; round < 1000; round++)
        seen += one_round(&watch, due, 4);
    assert_in_range(seen, 7 + 1000 / 64 - 3, 7 + 1000 / 64 + 3); /* 1, 1, 2, 4, ... 64, 64 */
    tkr_watch_note(&watch, &alice, CYCLE);
    assert_int_equal(one_round(&watch, due, 4), 1);
    tkr_watch_said(&watch, &due[0], 5);
    assert_int_equal(one_round(&watch, due, 4), 1); /* news: soon again */
    assert_int_equal(due[0].said, 5);
    tkr_watch_close(&watch);
}

static void test_watch_that_is_full_lets_those_long_idle_go(void **state)
{
    enum { MAX = 50, ALL = 500 };
    struct tkr_watch watch;
    struct tkr_watched due[MAX];
    char id[16];
    tkr_account account;

    (void)state;
    assert_true(tkr_watch_open(&watch, MAX));
    for (int i = 0; i < ALL; i++) {
        account = numbered(0, id); /* in use all the time */
        tkr_watch_note(&watch, &account, CYCLE);
        account = numbered(i, id);
        tkr_watch_note(&watch, &account, CYCLE);
        tkr_watch_begin(&watch);
    }
    assert_int_equal(watch.count, MAX);
    assert_int_equal(one_round(&watch, due, MAX), MAX);
    assert_string_equal(due[0].id, "user-0");
    for (int i = 1; i < MAX; i++) {
        int number = 0;
        assert_int_equal(sscanf(due[i].id, "user-%d", &number), 1);
        assert_true(number >= ALL - 2 * MAX);
    }
    account = numbered(ALL - 1, id);
    tkr_watch_note(&watch, &account, 20261201); /* another cycle is another entry */
    assert_int_equal(watch.count, MAX);
    tkr_watch_close(&watch);
}

/* However many are due at once, each is looked at in the round, and once. */
static void test_watch_round_reaches_all(void **state)
{
    enum { ALL = 1000, AT_ONCE = 64 };
    struct tkr_watch watch;
    struct tkr_watched due[AT_ONCE];
    char seen[ALL] = "";
    char id[16];
    tkr_account account;
    int count;

    (void)state;
    assert_true(tkr_watch_open(&watch, ALL));
    for (int i = 0; i < ALL; i++) {
        account = numbered(i, id);
        tkr_watch_note(&watch, &account, CYCLE);
    }
    tkr_watch_begin(&watch);
    while ((count = tkr_watch_due(&watch, due, AT_ONCE)) >= 0) {
        for (int i = 0; i < count; i++)
            seen[atoi(due[i].id + 5)]++;
        tkr_watch_note(&watch, &account, CYCLE); /* a call meanwhile: of the next round */
    }
    for (int i = 0; i < ALL; i++)
        assert_int_equal(seen[i], 1);
    tkr_watch_close(&watch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(test_alert_says_each_percent_that_is_reached_once),
        IN_BOTH(test_alert_is_said_by_one_of_many_handlers),
        IN_BOTH(test_alert_says_nothing_without_a_limit_and_sees_one_that_comes),
        IN_BOTH(test_alert_may_be_said_again_after_a_reset),
        IN_REDIS(test_alert_waits_for_a_redis_that_is_away),
        IN_REDIS(test_alert_options_that_are_no_good_are_refused),
        cmocka_unit_test(test_watch_looks_less_and_less_often_until_the_next_call),
        cmocka_unit_test(test_watch_that_is_full_lets_those_long_idle_go),
        cmocka_unit_test(test_watch_round_reaches_all),
    };
    const struct CMUnitTest with_children[] = {
        IN_BOTH(test_alert_in_a_forked_child_is_said_there),
        IN_REDIS(test_alert_thread_that_asks_at_a_fork_does_not_hold_the_child),
        IN_BOTH(test_forks_while_the_thread_asks_leave_children_that_ask),
    };
    int failed;

    redis_server_require();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (CHILD_HAS_THREADS &&
        getenv("TOKENRING_TEST_LIGHT") == NULL) /* nor memcheck: what the parent's thread had in hand is lost */
        failed += cmocka_run_group_tests(with_children, NULL, NULL);
    return failed;
}
