/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handlers made before a fork, as by a server that loads its application first and then forks its workers: a child has a thread
 * of its own for an asynchronous handler, whatever its parent's threads held at the fork; what was queued in the parent is the
 * parent's.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/process.h"
#include "support/light.h"
#include "support/process.h"
#include "unit/callback/fixture.h"

#define WAIT_MS PROCESS_PATIENCE_MS
#define CALLS 100

static bool no_threads;

/* In libc's place: a process that may have no more threads. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *), void *argument)
{
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

    if (no_threads)
        return EAGAIN;
    *(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
    return create(thread, attributes, function, argument);
}

static struct {
    sem_t gate;
    atomic_bool gated;
    _Atomic int starts;
    _Atomic int ends;
} member;

static int member_start(void *user, const tkr_chat_message *messages, uint32_t count, tkr_callback_context *context)
{
    (void)user;
    (void)messages;
    (void)count;
    (void)context;
    atomic_fetch_add(&member.starts, 1);
    if (atomic_load(&member.gated))
        assert_int_equal(sem_wait(&member.gate), 0);
    return 0;
}

static int member_end(void *user, const tkr_response *response, tkr_callback_context *context)
{
    (void)user;
    (void)response;
    (void)context;
    atomic_fetch_add(&member.ends, 1);
    return 0;
}

static tkr_callback *asynchronous_of(tkr_callback *inner)
{
    tkr_asynchronous_options options = TKR_ASYNCHRONOUS_OPTIONS_INIT;
    tkr_callback *callback = NULL;

    options.close_timeout_ms = WAIT_MS;
    assert_int_equal(tkr_asynchronous_callback(inner, &options, &callback), TKR_OK);
    return callback;
}

static tkr_callback *asynchronous(bool gated)
{
    tkr_callback_functions functions = TKR_CALLBACK_FUNCTIONS_INIT;
    tkr_callback *inner = NULL;

    memset(&member, 0, sizeof(member));
    assert_int_equal(sem_init(&member.gate, 0, 0), 0);
    atomic_store(&member.gated, gated);
    functions.type = "member";
    functions.on_llm_start = member_start;
    functions.on_llm_end = member_end;
    assert_int_equal(tkr_custom_callback(&functions, NULL, NULL, &inner), TKR_OK);
    return asynchronous_of(inner);
}

/* Waits for the child's good end, but not for ever. */
static bool ends_well(pid_t child)
{
    long deadline = process_now_ms() + WAIT_MS;
    int status = -1;
    pid_t pid;

    while ((pid = waitpid(child, &status, WNOHANG)) == 0 && process_now_ms() < deadline)
        process_sleep_ms(1);
    if (pid == 0) {
        (void)kill(child, SIGKILL);
        (void)waitpid(child, &status, 0);
        (void)fprintf(stderr, "a child hangs\n");
    }
    if (status != 0)
        (void)fprintf(stderr, "a child ended with status %#x\n", (unsigned)status);
    return child > 0 && status == 0;
}

static void collect(pid_t child)
{
    assert_true(ends_well(child));
}

/* Waits for a number that another thread raises. */
static bool reaches(_Atomic int *number, int wanted)
{
    long deadline = process_now_ms() + WAIT_MS;

    while (atomic_load(number) < wanted && process_now_ms() < deadline)
        process_sleep_ms(1);
    return atomic_load(number) == wanted;
}

/*
 * What the sanitizers of gcc 12 allow in the child of a process that has threads. ThreadSanitizer knows no threads there ("dup
 * thread with used id"), and AddressSanitizer's allocator keeps locks that other threads held at the fork.
 */
#if defined(__SANITIZE_THREAD__)
enum { CHILD_HAS_THREADS = 0, CHILD_ALLOCATES = 0 };
#elif defined(__SANITIZE_ADDRESS__)
enum { CHILD_HAS_THREADS = 1, CHILD_ALLOCATES = 0 };
#else
enum { CHILD_HAS_THREADS = 1, CHILD_ALLOCATES = 1 };
#endif

/* In a child: 0, or the number of what is not so. */
#define UNLESS(holds, number) \
    do {                      \
        if (!(holds))         \
            return number;    \
    } while (0)

static int use_in_child(tkr_callback *callback)
{
    tkr_response response = response_of(5, TKR_ABSENT, TKR_ABSENT);
    tkr_callback_stat stat;
    int failed = 0;

    for (int i = 0; i < CALLS; i++)
        failed += call_through(callback, &response);
    UNLESS(failed == 0, 1);
    tkr_callback_hold(callback);
    tkr_callback_release(callback);
    stat = callback_stat(callback);
    UNLESS(stat.dropped_full + stat.dropped_bytes + stat.dropped_ended + stat.dropped_thread == 0, 2);
    tkr_callback_release(callback);
    UNLESS(atomic_load(&member.ends) == CALLS, 3);
    return 0;
}

static void test_child_has_a_thread_of_its_own_for_an_asynchronous_handler(void **state)
{
    tkr_callback *callback = asynchronous(false);
    tkr_response response = response_of(5, TKR_ABSENT, TKR_ABSENT);
    pid_t child = fork();

    (void)state;
    if (child == 0)
        _exit(use_in_child(callback));
    collect(child);
    assert_int_equal(call_through(callback, &response), 0); /* the parent's goes on */
    tkr_callback_release(callback);
    assert_int_equal(atomic_load(&member.ends), 1);
}

static void test_child_of_a_bare_clone_has_one_too(void **state)
{
    tkr_callback *callback = asynchronous(false);
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

    (void)state;
    if (child == 0)
        _exit(use_in_child(callback));
    collect(child);
    tkr_callback_release(callback);
}

static int grandchild(tkr_callback *callback)
{
    tkr_response response = response_of(5, TKR_ABSENT, TKR_ABSENT);
    pid_t child;

    UNLESS(call_through(callback, &response) == 0, 1);
    UNLESS(reaches(&member.ends, 1), 2);
    atomic_store(&member.ends, 0);
    child = fork();
    if (child == 0)
        _exit(use_in_child(callback));
    UNLESS(ends_well(child), 3);
    tkr_callback_release(callback);
    return 0;
}

static void test_child_of_a_child_has_one_too(void **state)
{
    tkr_callback *callback = asynchronous(false);
    pid_t child = fork();

    (void)state;
    if (child == 0)
        _exit(grandchild(callback));
    collect(child);
    tkr_callback_release(callback);
}

static int use_beside_the_queue(tkr_callback *callback, tkr_callback_context *begun)
{
    tkr_response response = response_of(5, TKR_ABSENT, TKR_ABSENT);
    int ends = atomic_load(&member.ends);

    atomic_store(&member.gated, false);
    UNLESS(tkr_on_llm_end(callback, &response, begun) == 1, 1); /* its start is the parent's */
    UNLESS(callback_stat(callback).unmatched == 1, 2);
    UNLESS(call_through(callback, &response) == 0, 3);
    UNLESS(reaches(&member.ends, ends + 1), 4);
    return 0;
}

/* The parent's thread is within the member, and more waits: none of it is handed on in the child. */
static void test_what_was_queued_before_the_fork_is_the_parents(void **state)
{
    tkr_callback *callback = asynchronous(true);
    tkr_response response = response_of(5, TKR_ABSENT, TKR_ABSENT);
    tkr_callback_context begun = context_for("alice");
    pid_t child;

    (void)state;
    for (int i = 0; i < 10; i++)
        assert_int_equal(call_through(callback, &response), 0);
    assert_int_equal(tkr_on_llm_start(callback, NULL, 0, &begun), 0);
    assert_true(reaches(&member.starts, 1));
    child = fork();
    if (child == 0)
        _exit(use_beside_the_queue(callback, &begun));
    collect(child);
    assert_int_equal(tkr_on_llm_end(callback, &response, &begun), 0);
    atomic_store(&member.gated, false);
    assert_int_equal(sem_post(&member.gate), 0);
    tkr_callback_release(callback);
    assert_int_equal(atomic_load(&member.ends), 11);
}

static int use_without_threads(tkr_callback *callback)
{
    tkr_response response = response_of(5, TKR_ABSENT, TKR_ABSENT);
    tkr_callback_stat stat;

    no_threads = true;
    UNLESS(call_through(callback, &response) == 2, 1); /* its start, and its end */
    stat = callback_stat(callback);
    UNLESS(stat.dropped_thread == 2 && stat.failed == 2 && atomic_load(&member.starts) == 0, 2);
    no_threads = false;
    while (call_through(callback, &response) != 0) /* tried again in a while */
        process_sleep_ms(1);
    tkr_callback_release(callback);
    UNLESS(atomic_load(&member.ends) == 1, 3);
    return 0;
}

static void test_child_that_may_have_no_thread_is_told_and_tries_again(void **state)
{
    tkr_callback *callback = asynchronous(false);
    pid_t child = fork();

    (void)state;
    if (child == 0)
        _exit(use_without_threads(callback));
    collect(child);
    tkr_callback_release(callback);
}

static void test_child_that_never_used_it_gives_it_back_at_once(void **state)
{
    tkr_callback *callback = asynchronous(false);
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        tkr_callback_release(callback);
        _exit(0);
    }
    collect(child);
    tkr_callback_release(callback);
}

static void *use_in_thread(void *callback)
{
    tkr_response response = response_of(TKR_ABSENT, 2, 3);

    return (void *)(intptr_t)call_through(callback, &response);
}

static int use_in_threads(tkr_callback *callback)
{
    enum { THREADS = 8 };
    pthread_t thread[THREADS];
    void *failed;

    for (int i = 0; i < THREADS; i++)
        UNLESS(pthread_create(&thread[i], NULL, use_in_thread, callback) == 0, 1);
    for (int i = 0; i < THREADS; i++)
        UNLESS(pthread_join(thread[i], &failed) == 0 && failed == NULL, 2);
    tkr_callback_release(callback);
    UNLESS(atomic_load(&member.ends) == THREADS, 3);
    return 0;
}

/* Many threads of a child are the first at once: there is one line, and nothing of it is lost. */
static void test_first_calls_of_many_threads_of_a_child_share_one_thread(void **state)
{
    tkr_callback *callback = asynchronous(false);

    (void)state;
    for (int i = 0; i < test_light(20); i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(use_in_threads(callback));
        collect(child);
    }
    tkr_callback_release(callback);
}

/* --- forks in the midst of it --- */

static struct {
    tkr_callback *composite;
    atomic_bool stop;
} storm;

static void *storm_calls(void *arg)
{
    tkr_response response = response_of(12, -4, 10); /* of which much is told: corrected, and contradictory */

    (void)arg;
    while (!atomic_load(&storm.stop)) {
        (void)call_through(storm.composite, &response); /* the parent's lanes fill up: nobody drains them */
    }
    return NULL;
}

static int use_in_storm(void)
{
    tkr_response response = response_of(12, -4, 10);
    tkr_stat stat;

    (void)alarm(WAIT_MS / 1000); /* where it hangs, whatever it holds */
    for (int i = 0; i < 10; i++)
        UNLESS(call_through(storm.composite, &response) == 0, 1);
    tkr_callback_release(storm.composite); /* with which the asynchronous member has handed on all */
    stat = stat_of(producer);
    UNLESS(stat.offered == 20 && stat.dropped == 0 && stat.open_calls == 0, 2);
    tkr_close(producer);
    return 0;
}

/* Whatever the parent's threads hold at the fork (the composite's word, a tally, the queue, a call), a child counts exactly
 * its own. */
static void test_forks_while_threads_call_leave_children_that_count_all(void **state)
{
    enum { THREADS = 3 };
    int forks = test_light(60);
    tkr_callback_options options = options_for("crew");
    tkr_performance_options performance = TKR_PERFORMANCE_OPTIONS_INIT;
    pthread_t thread[THREADS];
    tkr_callback *member_of[2];
    struct drained sum;

    (void)state;
    options.account.kind = TKR_KIND_TEAM;
    performance.producer = producer;
    assert_int_equal(tkr_detailed_token_callback(&options, &member_of[0]), TKR_OK);
    assert_int_equal(tkr_performance_callback(&performance, &member_of[1]), TKR_OK);
    storm.composite = composite_of(detailed_for("alice"), asynchronous_of(composite_of(member_of[0], member_of[1])));
    atomic_store(&storm.stop, false);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, storm_calls, NULL), 0);
    for (int i = 0; i < forks; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(use_in_storm());
        collect(child);
    }
    atomic_store(&storm.stop, true);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    tkr_callback_release(storm.composite);
    sum = found();
    assert_int_equal(sum.regions, forks + 1);
    assert_true(sum.frames >= 2 * 10 * (uint64_t)forks);
    assert_int_equal(sum.counts.value[TKR_COUNTER_COMPLETION], 10 * sum.counts.value[TKR_COUNTER_CALLS]);
}

/* --- calls begun before a fork --- */

static int end_the_parents(tkr_callback *callback, tkr_callback_context *tracked, tkr_callback_context *untracked)
{
    tkr_response response = response_of(TKR_ABSENT, 1, 2);

    UNLESS(tkr_on_llm_end(callback, &response, tracked) == 1, 1);
    UNLESS(tkr_on_llm_end(callback, &response, untracked) == 1, 2);
    UNLESS(call_through(callback, &response) == 0, 3);
    return 0;
}

/* Both processes end what the parent began: it is counted once, also a call beyond those that are tracked. */
static void test_call_that_was_begun_before_the_fork_is_counted_once(void **state)
{
    enum { TRACKED = 64 };
    static tkr_callback_context context[TRACKED + 1];
    tkr_callback *alone = detailed_for(NULL);
    tkr_callback *composite = composite_of(tkr_callback_hold(alone), NULL);
    tkr_response response = response_of(TKR_ABSENT, 1, 2);
    pid_t child;

    (void)state;
    for (int in_composite = 0; in_composite < 2; in_composite++) {
        tkr_callback *callback = in_composite ? composite : alone;
        int64_t before = found().counts.value[TKR_COUNTER_CALLS];
        for (int i = 0; i <= TRACKED; i++) {
            context[i] = context_for("alice");
            assert_int_equal(tkr_on_llm_start(callback, NULL, 0, &context[i]), 0);
        }
        child = fork();
        if (child == 0)
            _exit(end_the_parents(callback, &context[0], &context[TRACKED]));
        collect(child);
        for (int i = 0; i <= TRACKED; i++)
            assert_int_equal(tkr_on_llm_end(callback, &response, &context[i]), 0);
        assert_int_equal(found().counts.value[TKR_COUNTER_CALLS] - before, TRACKED + 2);
    }
    tkr_callback_release(composite);
    tkr_callback_release(alone);
}

/*
 * A process that takes itself for another one, as a child does, but has its threads: what ThreadSanitizer can watch. The first
 * calls of many threads make one line, and the composite's list is copied once. What is "inherited" is in use, and so nothing is
 * freed.
 */
static void test_first_calls_of_many_threads_in_a_new_generation(void **state)
{
    enum { THREADS = 8 };
    tkr_callback *callback = composite_of(asynchronous(false), NULL);
    pthread_t thread[THREADS];
    void *failed;
    int ends;

    (void)state;
    for (int round = 0; round < 20; round++) {
        ends = atomic_load(&member.ends);
        atomic_store(&tkr_process_page->generation, 0);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&thread[i], NULL, use_in_thread, callback), 0);
        for (int i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_join(thread[i], &failed), 0);
            assert_null(failed);
        }
        assert_true(reaches(&member.ends, ends + THREADS));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CALLBACK_TEST(test_child_that_never_used_it_gives_it_back_at_once),
        CALLBACK_TEST(test_call_that_was_begun_before_the_fork_is_counted_once),
    };
    const struct CMUnitTest with_threads[] = {
        CALLBACK_TEST(test_child_has_a_thread_of_its_own_for_an_asynchronous_handler),
        CALLBACK_TEST(test_child_of_a_bare_clone_has_one_too),
        CALLBACK_TEST(test_child_of_a_child_has_one_too),
        CALLBACK_TEST(test_what_was_queued_before_the_fork_is_the_parents),
        CALLBACK_TEST(test_child_that_may_have_no_thread_is_told_and_tries_again),
        CALLBACK_TEST(test_first_calls_of_many_threads_of_a_child_share_one_thread),
    };
    const struct CMUnitTest with_all[] = {
        CALLBACK_TEST(test_forks_while_threads_call_leave_children_that_count_all),
    };
    const struct CMUnitTest without_fork[] = {
        CALLBACK_TEST(test_first_calls_of_many_threads_in_a_new_generation),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    if (!CHILD_HAS_THREADS)
        failed += cmocka_run_group_tests(without_fork, NULL, NULL);
    if (CHILD_HAS_THREADS)
        failed += cmocka_run_group_tests(with_threads, NULL, NULL);
    if (CHILD_ALLOCATES && !fixture_under_memcheck()) /* to which what the parent's threads had in hand is lost */
        failed += cmocka_run_group_tests(with_all, NULL, NULL);
    return failed;
}
