/* SPDX-License-Identifier: Apache-2.0 */
/* Forks: a child begins anew in a region of its own, whatever its parent was doing; both are exact. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "support/process.h"
#include "unit/producer/fixture.h"

#define CHILDREN_MAX 64
#define WAIT_MS PROCESS_PATIENCE_MS

/* What the processes of a test did, in memory that they share. */
static struct done *shared;

static int setup(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    shared = mmap(NULL, CHILDREN_MAX * sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED ? -1 : 0;
}

static int teardown(void **state)
{
    (void)munmap(shared, CHILDREN_MAX * sizeof(*shared));
    return fixture_teardown(state);
}

static struct done sum_of_all(void)
{
    struct done sum = {0};

    for (int i = 0; i < CHILDREN_MAX; i++)
        done_add(&sum, &shared[i]);
    return sum;
}

/* Waits for the child's good end, but not for ever. */
static void collect(pid_t child)
{
    long deadline = process_now_ms() + WAIT_MS;
    int status = 0;
    pid_t pid;

    assert_true(child > 0);
    while ((pid = waitpid(child, &status, WNOHANG)) == 0) {
        if (process_now_ms() > deadline) {
            (void)kill(child, SIGKILL);
            (void)waitpid(child, NULL, 0);
            fail_msg("a child hangs");
        }
        process_sleep_ms(1);
    }
    assert_int_equal(pid, child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("a child ended with status %x", (unsigned)status);
}

static void test_fork_parent_and_child_are_exact_in_regions_of_their_own(void **state)
{
    tkr_producer *producer = fixture_open_small();
    struct drained found;
    struct done sum;
    pid_t child;

    (void)state;
    record_some(producer, 0, 500, &shared[0]);
    child = fork();
    if (child == 0) {
        record_some(producer, 1, 1000, &shared[1]);
        tkr_close(producer);
        _exit(0);
    }
    record_some(producer, 2, 2000, &shared[2]);
    collect(child);
    record_some(producer, 3, 500, &shared[3]);
    sum = sum_of_all();
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_int_equal(sum.recorded, 4000);
    assert_drained(&found, &sum);
    assert_int_equal(found.regions, 2);
    assert_int_equal(found.alive, 1);
    assert_int_equal(stat_of(producer).offered, 3000);
    tkr_close(producer);
}

static void test_fork_prefork_server_and_its_own_children_are_exact(void **state)
{
    tkr_producer *producer = fixture_open_small();
    const int count = fixture_children(8);
    struct drained found;
    struct done sum;
    pid_t children[8];

    (void)state;
    for (int i = 0; i < count; i++) { /* the master never records */
        children[i] = fork();
        if (children[i] == 0) {
            pid_t grandchild;
            record_some(producer, (unsigned)i, 300, &shared[i]);
            grandchild = fork();
            if (grandchild == 0) {
                record_some(producer, 100 + (unsigned)i, 200, &shared[8 + i]);
                _exit(0);
            }
            record_some(producer, (unsigned)i, 300, &shared[i]);
            while (waitpid(grandchild, NULL, 0) < 0 && errno == EINTR)
                continue;
            _exit(0);
        }
    }
    for (int i = 0; i < count; i++)
        collect(children[i]);
    sum = sum_of_all();
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_int_equal(sum.recorded, count * 800);
    assert_drained(&found, &sum);
    assert_int_equal(found.regions, 1 + 2 * count);
    assert_int_equal(found.alive, 1);
    tkr_close(producer);
}

static void test_fork_child_that_never_uses_it_makes_nothing(void **state)
{
    tkr_producer *producer = fixture_open_small();
    struct drained found;
    pid_t child = fork();

    (void)state;
    if (child == 0)
        _exit(0);
    collect(child);
    child = fork();
    if (child == 0) {
        tkr_close(producer); /* closing is not using */
        _exit(0);
    }
    collect(child);
    record_some(producer, 1, 10, &shared[0]);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_drained(&found, &shared[0]);
    assert_int_equal(found.regions, 1);
    assert_int_equal(found.alive, 1);
    tkr_close(producer);
}

static void test_fork_child_closes_and_opens_again(void **state)
{
    tkr_producer *producer = fixture_open_small();
    struct drained found;
    struct done sum;
    pid_t child;

    (void)state;
    record_some(producer, 0, 10, &shared[0]);
    child = fork();
    if (child == 0) {
        tkr_options options = fixture_options();
        tkr_producer *own = NULL;
        tkr_close(producer);
        if (tkr_open(&options, &own) != TKR_OK)
            _exit(1);
        record_some(own, 1, 10, &shared[1]);
        tkr_close(own);
        _exit(0);
    }
    collect(child);
    record_some(producer, 2, 10, &shared[2]);
    sum = sum_of_all();
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_drained(&found, &sum);
    tkr_close(producer);
}

/* Every function as the first one that a child calls. */
static int first_call(tkr_producer *producer, int which)
{
    tkr_start start = start_for("alice");
    tkr_usage usage = TKR_USAGE_INIT;
    tkr_stat stat = TKR_STAT_INIT;
    tkr_call call = 0;

    switch (which) {
    case 0:
        return tkr_record(producer, &start, &usage);
    case 1:
        return tkr_call_begin(producer, &start, &call);
    case 2:
        return tkr_call_progress(producer, 5, 1) == TKR_EHANDLE ? TKR_OK : -1;
    case 3:
        return tkr_call_end(producer, 5, &usage) == TKR_EHANDLE ? TKR_OK : -1;
    case 4:
        return tkr_sync(producer, 0);
    case 5:
        return tkr_stat_read(producer, &stat) == TKR_OK && stat.offered == 0 && stat.open_calls == 0 ? TKR_OK : -1;
    case 6:
        return tkr_record(producer, NULL, &usage) == TKR_EINVAL ? TKR_OK : -1;
    case 7:
        return tkr_call_progress(producer, 5, -1) == TKR_ERANGE ? TKR_OK : -1;
    default:
        return tkr_record_many(producer, &start, &usage, 1, NULL);
    }
}

static void test_fork_any_function_may_be_the_childs_first(void **state)
{
    tkr_producer *producer = fixture_open_small();
    tkr_start start = start_for("alice");
    struct drained found;
    tkr_call call = 0;

    (void)state;
    record_some(producer, 0, 10, &shared[0]);
    assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
    for (int which = 0; which < 9; which++) {
        pid_t child = fork();
        if (child == 0)
            _exit(first_call(producer, which) == TKR_OK ? 0 : 1);
        collect(child);
    }
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_int_equal(found.regions, 10); /* each asks for a region, if only to count its refusal */
    assert_int_equal(found.frames, 12);
    assert_int_equal(found.open_calls, 2);
    assert_int_equal(found.refused[-TKR_EHANDLE], 2);
    assert_int_equal(found.refused[-TKR_ERANGE], 1);
    assert_int_equal(found.refused[-TKR_EINVAL], 1);
    tkr_close(producer);
}

/* --- forks of a process whose other threads are in the middle of things --- */

struct worker {
    tkr_producer *producer;
    atomic_bool *stop;
    unsigned number;
    struct done done;
    pthread_t thread;
};

static void *record_until_stopped(void *context)
{
    struct worker *worker = context;

    while (!atomic_load_explicit(worker->stop, memory_order_relaxed))
        record_some(worker->producer, worker->number, 20, &worker->done);
    return NULL;
}

/* Threads that come and go, so that the mutex is held much of the time. */
static void *record_and_leave(void *context)
{
    struct worker *worker = context;

    record_some(worker->producer, worker->number, 3, &worker->done);
    return NULL;
}

static void *churn_until_stopped(void *context)
{
    struct worker *worker = context;

    while (!atomic_load_explicit(worker->stop, memory_order_relaxed)) {
        struct worker one = *worker;
        one.done = (struct done){0};
        if (pthread_create(&one.thread, NULL, record_and_leave, &one) != 0)
            continue;
        (void)pthread_join(one.thread, NULL);
        done_add(&worker->done, &one.done);
    }
    return NULL;
}

static void fork_while_busy(uint32_t lane_bytes, uint64_t budget, void *(*work)(void *), unsigned threads)
{
    static struct worker workers[8];
    const int children = fixture_children(40);
    atomic_bool stop = false;
    tkr_producer *producer;
    struct drained found;
    struct done sum;

    if (fixture_under_memcheck()) {
        (void)puts("skipped: memcheck takes what the parent's other threads allocated for a leak of the child");
        skip();
    }
    producer = fixture_open(lane_bytes, budget, 16);
    for (unsigned i = 0; i < threads; i++) {
        workers[i] = (struct worker){.producer = producer, .stop = &stop, .number = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < children; i++) {
        pid_t child = fork();
        if (child == 0) {
            record_some(producer, 50 + (unsigned)i, 200, &shared[i]);
            _exit(0);
        }
        collect(child);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < threads; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        done_add(&shared[CHILDREN_MAX - 1], &workers[i].done);
    }
    record_some(producer, 99, 10, &shared[CHILDREN_MAX - 1]);
    sum = sum_of_all();
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_drained(&found, &sum);
    assert_int_equal(found.regions, 1 + children);
    for (int i = 0; i < children; i++)
        assert_int_equal(shared[i].recorded, 200);
    tkr_close(producer);
}

static void test_fork_while_threads_record_and_grow_is_exact(void **state)
{
    (void)state;
    fork_while_busy(16384, SMALL_BUDGET, record_until_stopped, 4);
}

static void test_fork_while_threads_come_and_go_is_exact(void **state)
{
    (void)state;
    fork_while_busy(65536, SMALL_BUDGET, churn_until_stopped, 4);
}

/* One lane for all: at the fork its spin lock is likely held. */
static void test_fork_while_threads_share_a_lane_is_exact(void **state)
{
    (void)state;
    fork_while_busy(65536, 65536, record_until_stopped, 4);
}

/* --- a host whose threads ask libc for the local time: at the fork its lock is likely held, and stays so in the child --- */

#define NOON_S INT64_C(1714910400) /* 2024-05-05 12:00 UTC: the sixth in the zone below */

static void *ask_until_stopped(void *stop)
{
    struct tm local;
    time_t now = NOON_S;

    while (!atomic_load_explicit((atomic_bool *)stop, memory_order_relaxed))
        (void)localtime_r(&now, &local);
    return NULL;
}

static int record_noon(const tkr_options *options, tkr_producer *producer, bool again)
{
    tkr_start start = start_for("alice");
    tkr_usage usage = TKR_USAGE_INIT;

    if (again) {
        tkr_close(producer);
        if (tkr_open(options, &producer) != TKR_OK)
            return 1;
    }
    start.cycle = 0;
    start.start_ns = NOON_S * TKR_NS_PER_S;
    return tkr_record(producer, &start, &usage) == TKR_OK ? 0 : 2;
}

static void test_fork_while_threads_hold_the_lock_of_local_time_child_names_the_day(void **state)
{
    const int children = fixture_children(20);
    tkr_options options = fixture_options();
    tkr_producer *producer = NULL;
    atomic_bool stop = false;
    struct drained found;
    pthread_t threads[3];

    (void)state;
    assert_int_equal(setenv("TZ", "EAST-12:30", 1), 0);
    tzset();
    options.flags = TKR_CYCLE_DAY;
    options.region_bytes_max = SMALL_BUDGET;
    options.max_open_calls = 16;
    assert_int_equal(tkr_open(&options, &producer), TKR_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_until_stopped, &stop), 0);
    for (int i = 0; i < children; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(record_noon(&options, producer, i % 2 == 1));
        collect(child);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_int_equal(found.frames, children);
    assert_int_equal(found.cycles, (uint64_t)children * 20240506);
    tkr_close(producer);
}

/* --- children that no fork handler saw, and children that lose the directory --- */

static void test_raw_clone_child_records_in_a_region_of_its_own(void **state)
{
    tkr_producer *producer = fixture_open_small();
    struct drained found;
    struct done sum;
    pid_t child;

    (void)state;
    record_some(producer, 0, 100, &shared[0]);
    child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        record_some(producer, 1, 100, &shared[1]);
        _exit(0);
    }
    record_some(producer, 2, 100, &shared[2]);
    collect(child);
    sum = sum_of_all();
    assert_int_equal(sum.recorded, 300);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_drained(&found, &sum);
    assert_int_equal(found.regions, 2);
    tkr_close(producer);
}

static int lose_and_find_the_directory(tkr_producer *producer)
{
    char moved[TEMPDIR_BYTES + 8];
    tkr_usage usage = TKR_USAGE_INIT;
    tkr_start start = start_for("alice");
    tkr_call call = 0;
    long deadline = process_now_ms() + 10000;

    (void)snprintf(moved, sizeof(moved), "%s.away", fixture_dir);
    if (rename(fixture_dir, moved) != 0)
        return 1;
    if (tkr_record(producer, &start, &usage) != TKR_ENODIR || tkr_call_begin(producer, &start, &call) != TKR_ENODIR ||
        tkr_call_end(producer, 5, &usage) != TKR_ENODIR || tkr_call_progress(producer, 5, 1) != TKR_ENODIR ||
        tkr_sync(producer, 0) != TKR_ENODIR)
        return 2;
    if (rename(moved, fixture_dir) != 0)
        return 3;
    while (tkr_record(producer, &start, &usage) != TKR_OK) { /* it tries again now and then */
        if (process_now_ms() > deadline)
            return 4;
        process_sleep_ms(5);
    }
    return 0;
}

static void test_fork_child_whose_directory_is_gone_for_a_while_records_again(void **state)
{
    tkr_producer *producer = fixture_open_small();
    struct drained found;
    pid_t child;

    (void)state;
    child = fork();
    if (child == 0)
        _exit(lose_and_find_the_directory(producer));
    collect(child);
    record_some(producer, 0, 10, &shared[0]);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_int_equal(found.frames, 11);
    tkr_close(producer);
}

/* A child must not keep the dead parent's memory: it has no descriptor of its file. */
static void test_fork_child_has_no_descriptor_of_the_parents_region(void **state)
{
    tkr_producer *producer = fixture_open_small();
    pid_t child;

    (void)state;
    record_some(producer, 1, 10, &shared[0]);
    child = fork();
    if (child == 0) {
        for (int fd = 3; fd < 256; fd++) {
            char link[64];
            char target[256] = "";
            (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
            if (readlink(link, target, sizeof(target) - 1) > 0 && strstr(target, "region-") != NULL)
                _exit(1);
        }
        _exit(0);
    }
    collect(child);
    tkr_close(producer);
}

/* --- a prefork server of an administrator, whose children become another user --- */

/* Users that nobody is on a test machine, and no other test at the same time. */
enum { MASTER, SERVANT, USERS };
static unsigned user[USERS];
static char user_directory[USERS][TEMPDIR_BYTES];

static int setup_users(void **state)
{
    for (unsigned i = 0; i < USERS; i++) {
        user[i] = 1000000u + 2 * (unsigned)getpid() + i;
        (void)snprintf(user_directory[i], TEMPDIR_BYTES, "/dev/shm/tokenring-%u", user[i]);
    }
    return setup(state);
}

static int teardown_users(void **state)
{
    if (seteuid(getuid()) != 0)
        return -1;
    for (unsigned i = 0; i < USERS; i++) {
        drain_remove(user_directory[i]);
        (void)rmdir(user_directory[i]);
    }
    return teardown(state);
}

static int record_as(unsigned who, tkr_producer *producer)
{
    if (seteuid(0) != 0 || setresuid(who, who, who) != 0)
        return 1;
    return record_one(producer, "alice", 5) == TKR_OK ? 0 : 2;
}

/* The master's directory lets nobody else in, so a child's region is in that of the user it has become. */
static void test_fork_child_that_becomes_another_user_records_in_that_users_directory(void **state)
{
    tkr_producer *producer = NULL;
    struct drained found[USERS];
    pid_t child;

    (void)state;
    if (getuid() != 0 || access("/run/tokenring", F_OK) == 0) {
        (void)puts("skipped: needs root and no /run/tokenring");
        skip();
    }
    if (fixture_under_memcheck()) { /* the child's search for leaks takes minutes over the parent's region */
        (void)puts("skipped: memcheck looks through all that the child does not have");
        skip();
    }
    assert_int_equal(unsetenv("TOKENRING_RUNTIME_DIR"), 0);
    assert_int_equal(seteuid(user[MASTER]), 0);
    assert_int_equal(tkr_open(NULL, &producer), TKR_OK);
    child = fork();
    if (child == 0)
        _exit(record_as(user[SERVANT], producer));
    collect(child);
    tkr_close(producer);
    assert_int_equal(seteuid(0), 0);
    for (int i = 0; i < USERS; i++) {
        assert_true(drain_directory(user_directory[i], false, &found[i]));
        assert_int_equal(found[i].regions, 1);
    }
    assert_int_equal(found[MASTER].frames, 0);
    assert_int_equal(found[SERVANT].frames, 1);
}

#define FORK_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FORK_TEST(test_fork_parent_and_child_are_exact_in_regions_of_their_own),
        FORK_TEST(test_fork_prefork_server_and_its_own_children_are_exact),
        FORK_TEST(test_fork_child_that_never_uses_it_makes_nothing),
        FORK_TEST(test_fork_child_closes_and_opens_again),
        FORK_TEST(test_fork_any_function_may_be_the_childs_first),
        FORK_TEST(test_fork_while_threads_record_and_grow_is_exact),
        FORK_TEST(test_fork_while_threads_come_and_go_is_exact),
        FORK_TEST(test_fork_while_threads_share_a_lane_is_exact),
        FORK_TEST(test_fork_while_threads_hold_the_lock_of_local_time_child_names_the_day),
        FORK_TEST(test_raw_clone_child_records_in_a_region_of_its_own),
        FORK_TEST(test_fork_child_whose_directory_is_gone_for_a_while_records_again),
        FORK_TEST(test_fork_child_has_no_descriptor_of_the_parents_region),
        cmocka_unit_test_setup_teardown(test_fork_child_that_becomes_another_user_records_in_that_users_directory, setup_users,
                                        teardown_users),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
