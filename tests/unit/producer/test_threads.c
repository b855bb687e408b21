/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: many at once, more than lanes, coming and going, sharing the last lane, two producers, closing behind them.
 */
#include <pthread.h>
#include <sched.h>

#include "support/light.h"
#include "unit/producer/fixture.h"

#define THREADS_MAX 320

struct worker {
    tkr_producer *producer;
    tkr_producer *other;        /* used in turn, may be NULL */
    pthread_barrier_t *barrier; /* all have recorded once before one goes on; may be NULL */
    unsigned number;
    unsigned count;
    struct done done;
    struct done done_other;
    pthread_t thread;
};

static struct worker workers[THREADS_MAX];

static void *work(void *context)
{
    struct worker *worker = context;

    record_some(worker->producer, worker->number, 1, &worker->done);
    if (worker->barrier != NULL)
        (void)pthread_barrier_wait(worker->barrier);
    for (unsigned i = 0; i < worker->count; i += 10) {
        record_some(worker->producer, worker->number, 10, &worker->done);
        if (worker->other != NULL)
            record_some(worker->other, worker->number, 10, &worker->done_other);
    }
    if (worker->barrier != NULL)
        (void)pthread_barrier_wait(worker->barrier);
    return NULL;
}

static struct done run_workers(tkr_producer *producer, tkr_producer *other, unsigned threads, unsigned count, bool together,
                               struct done *ret_other)
{
    struct done sum = {0};
    struct done sum_other = {0};
    pthread_barrier_t barrier;

    assert_int_equal(pthread_barrier_init(&barrier, NULL, threads), 0);
    for (unsigned i = 0; i < threads; i++) {
        workers[i] = (struct worker){
            .producer = producer, .other = other, .barrier = together ? &barrier : NULL, .number = i, .count = count};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < threads; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        done_add(&sum, &workers[i].done);
        done_add(&sum_other, &workers[i].done_other);
    }
    (void)pthread_barrier_destroy(&barrier);
    if (ret_other != NULL)
        *ret_other = sum_other;
    return sum;
}

static void test_threads_64_at_once_are_exact(void **state)
{
    tkr_producer *producer = fixture_open(16384, 0, 0);
    const unsigned count = (unsigned)test_light(100) * 10;
    struct done done = run_workers(producer, NULL, 64, count, true, NULL);
    struct drained found;
    tkr_stat stat = stat_of(producer);

    (void)state;
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_int_equal(done.recorded, 64 * (count + 1));
    assert_drained(&found, &done);
    assert_int_equal(stat.offered, done.recorded);
    assert_int_equal(stat.in_lanes, done.recorded);
    assert_int_equal(stat.dropped, 0);
    assert_int_equal(stat.lanes, found.lanes);
    tkr_close(producer);
}

static void test_threads_more_than_lanes_share_one_and_are_exact(void **state)
{
    tkr_producer *producer = fixture_open(0, 0, 0);
    struct done done = run_workers(producer, NULL, 300, 50, true, NULL);
    struct drained found;

    (void)state;
    assert_int_equal(done.recorded, 300 * 51);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_drained(&found, &done);
    assert_true(found.lanes <= TKR_REGION_LANES_MAX);
    tkr_close(producer);
}

/* Two waves: the lanes of the first serve the second. */
static void test_threads_again_after_all_have_left_reuse_their_lanes(void **state)
{
    tkr_producer *producer = fixture_open(16384, 0, 0);
    struct drained found;
    uint32_t lanes = 0;

    (void)state;
    for (int i = 0; i < 6; i++) {
        struct done done = run_workers(producer, NULL, 64, 50, true, NULL);
        assert_true(drain_directory(fixture_dir, true, &found));
        assert_drained(&found, &done);
        if (i == 0)
            lanes = found.lanes;
        assert_int_equal(found.lanes, lanes);
    }
    tkr_close(producer);
}

/* A budget of one lane: the second thread must not be left without. */
static void test_threads_share_when_the_budget_is_one_lane(void **state)
{
    tkr_producer *producer = fixture_open(65536, 65536, 0);
    struct done done = run_workers(producer, NULL, 4, 50, true, NULL);
    struct drained found;

    (void)state;
    assert_int_equal(done.recorded, 4 * 51);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_drained(&found, &done);
    assert_int_equal(found.lanes, 1);
    tkr_close(producer);
}

static void test_threads_share_the_last_lane_of_a_small_budget(void **state)
{
    tkr_producer *producer = fixture_open(65536, 5 * 65536, 0);
    struct done done = run_workers(producer, NULL, 40, 20, true, NULL);
    struct drained found;

    (void)state;
    assert_int_equal(done.recorded, 40 * 21);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_drained(&found, &done);
    assert_int_equal(found.lanes, 5);
    tkr_close(producer);
}

/* A thread per request, and nobody drains: their few records must not take a lane each. */
static void test_threads_that_come_and_go_reuse_lanes(void **state)
{
    tkr_producer *producer = fixture_open(0, 0, 0);
    const int threads = test_light(2000);
    struct done sum = {0};
    struct drained found;

    (void)state;
    for (int i = 0; i < threads; i++) {
        struct done done = run_workers(producer, NULL, 1, 0, false, NULL);
        done_add(&sum, &done);
    }
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_int_equal(sum.recorded, threads);
    assert_drained(&found, &sum);
    assert_true(found.lanes <= 8);
    tkr_close(producer);
}

static void test_threads_use_two_producers_in_turn_exactly(void **state)
{
    char second_dir[TEMPDIR_BYTES];
    tkr_options options = TKR_OPTIONS_INIT;
    tkr_producer *first = fixture_open(16384, 0, 0);
    tkr_producer *second = NULL;
    struct drained found;
    struct done done;
    struct done done_second;

    (void)state;
    assert_int_equal(tempdir_make(second_dir), 0);
    options.runtime_dir = second_dir;
    assert_int_equal(tkr_open(&options, &second), TKR_OK);
    done = run_workers(first, second, 8, 2000, true, &done_second);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_drained(&found, &done);
    assert_true(drain_directory(second_dir, false, &found));
    assert_drained(&found, &done_second);
    assert_int_equal(done_second.recorded, 16000);
    tkr_close(first);
    tkr_close(second);
    tempdir_remove(second_dir);
}

/* --- threads that outlive their producer --- */

struct lingerer {
    tkr_producer *producer;
    _Atomic int stage;
    struct done done;
};

static void await_stage(struct lingerer *l, int stage)
{
    while (atomic_load_explicit(&l->stage, memory_order_acquire) < stage)
        (void)sched_yield();
}

static void *linger(void *context)
{
    struct lingerer *l = context;

    record_some(l->producer, 1, 10, &l->done);
    atomic_store_explicit(&l->stage, 1, memory_order_release);
    await_stage(l, 2); /* the producer is closed, or another one */
    return NULL;
}

static void *linger_and_use_again(void *context)
{
    struct lingerer *l = context;

    record_some(l->producer, 1, 10, &l->done);
    atomic_store_explicit(&l->stage, 1, memory_order_release);
    await_stage(l, 2);
    record_some(l->producer, 2, 10, &l->done);
    return NULL;
}

static void test_thread_that_exits_after_the_close_does_no_harm(void **state)
{
    struct lingerer l = {.producer = fixture_open(16384, 0, 0)};
    struct drained found;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, linger, &l), 0);
    await_stage(&l, 1);
    tkr_close(l.producer);
    atomic_store_explicit(&l.stage, 2, memory_order_release);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_drained(&found, &l.done);
    assert_int_equal(found.alive, 0);
}

/* The same memory is then another producer: the late thread's lane there belongs to somebody else. */
static void test_thread_that_exits_after_the_close_takes_no_lane_from_the_next_producer(void **state)
{
    struct lingerer l = {.producer = fixture_open(16384, 0, 0)};
    struct done done = {0};
    tkr_producer *next;
    struct drained found;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, linger, &l), 0);
    await_stage(&l, 1);
    tkr_close(l.producer);
    next = fixture_open(16384, 0, 0);
    record_some(next, 3, 10, &done);
    atomic_store_explicit(&l.stage, 2, memory_order_release);
    assert_int_equal(pthread_join(thread, NULL), 0);
    done_add(&l.done, &done);
    memset(&done, 0, sizeof(done));
    record_some(next, 4, 10, &done);
    done_add(&l.done, &done);
    done = run_workers(next, NULL, 2, 100, true, NULL); /* were the lane free, one of them would take it */
    done_add(&l.done, &done);
    memset(&done, 0, sizeof(done));
    record_some(next, 5, 10, &done);
    done_add(&l.done, &done);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_drained(&found, &l.done);
    tkr_close(next);
}

static void test_thread_that_knew_a_closed_producer_uses_the_one_in_its_place(void **state)
{
    struct lingerer l = {.producer = fixture_open(16384, 0, 0)};
    tkr_producer *first = l.producer;
    struct drained found;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, linger_and_use_again, &l), 0);
    await_stage(&l, 1);
    tkr_close(first);
    l.producer = fixture_open(16384, 0, 0);
    assert_ptr_equal(l.producer, first); /* reused: the case that matters */
    atomic_store_explicit(&l.stage, 2, memory_order_release);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_int_equal(l.done.recorded, 20);
    assert_drained(&found, &l.done);
    assert_int_equal(found.regions, 2);
    tkr_close(l.producer);
}

/* Destructors of other libraries may still record when ours has run. */
static pthread_key_t late_key;

static void record_late(void *context)
{
    struct lingerer *l = context;

    record_some(l->producer, 9, 5, &l->done);
    if (++l->stage < 2) /* be called once more */
        (void)pthread_setspecific(late_key, l);
}

static void *use_and_leave(void *context)
{
    struct lingerer *l = context;

    record_some(l->producer, 1, 10, &l->done);
    (void)pthread_setspecific(late_key, l);
    return NULL;
}

static void test_thread_that_records_in_its_destructors_is_exact(void **state)
{
    struct lingerer l = {.producer = fixture_open(0, 0, 0)};
    struct drained found;

    (void)state;
    assert_int_equal(pthread_key_create(&late_key, record_late), 0);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        l.stage = 0;
        assert_int_equal(pthread_create(&thread, NULL, use_and_leave, &l), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    assert_int_equal(pthread_key_delete(late_key), 0);
    assert_int_equal(l.done.recorded, 20 * 20);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_drained(&found, &l.done);
    assert_true(found.lanes <= 2); /* each lane came back */
    tkr_close(l.producer);
}

/* A thread that never got a lane, and whose producer is then closed, exits in peace. */
static void *fail_and_linger(void *context)
{
    struct lingerer *l = context;

    for (int i = 0; i < 5; i++)
        done_note(&l->done, record_one(l->producer, "bob", 1), "bob", 1);
    atomic_store_explicit(&l->stage, 1, memory_order_release);
    await_stage(l, 2);
    return NULL;
}

static void test_thread_that_never_got_a_lane_exits_after_the_close(void **state)
{
    struct lingerer l = {.producer = fixture_open(16384, 16384, 0)};
    struct done done = {0};
    struct drained found;
    pthread_t thread;

    (void)state;
    while (done.full == 0) /* all is full before it comes */
        record_some(l.producer, 1, 100, &done);
    assert_int_equal(pthread_create(&thread, NULL, fail_and_linger, &l), 0);
    await_stage(&l, 1);
    assert_true(drain_directory(fixture_dir, false, &found));
    done_add(&done, &l.done);
    assert_int_equal(l.done.full, 5);
    assert_drained(&found, &done);
    tkr_close(l.producer);
    atomic_store_explicit(&l.stage, 2, memory_order_release);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_threads_64_at_once_are_exact),
        FIXTURE_TEST(test_threads_more_than_lanes_share_one_and_are_exact),
        FIXTURE_TEST(test_threads_again_after_all_have_left_reuse_their_lanes),
        FIXTURE_TEST(test_threads_share_when_the_budget_is_one_lane),
        FIXTURE_TEST(test_threads_share_the_last_lane_of_a_small_budget),
        FIXTURE_TEST(test_threads_that_come_and_go_reuse_lanes),
        FIXTURE_TEST(test_threads_use_two_producers_in_turn_exactly),
        FIXTURE_TEST(test_thread_that_exits_after_the_close_does_no_harm),
        FIXTURE_TEST(test_thread_that_exits_after_the_close_takes_no_lane_from_the_next_producer),
        FIXTURE_TEST(test_thread_that_knew_a_closed_producer_uses_the_one_in_its_place),
        FIXTURE_TEST(test_thread_that_records_in_its_destructors_is_exact),
        FIXTURE_TEST(test_thread_that_never_got_a_lane_exits_after_the_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
