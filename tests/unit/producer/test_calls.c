/* SPDX-License-Identifier: Apache-2.0 */
/* Open calls: begun here and ended there, ten thousand at once, more than may be, dropped at their end. */
#include <pthread.h>
#include <sched.h>

#include "support/random.h"
#include "unit/producer/fixture.h"

static tkr_usage usage_of(int64_t prompt)
{
    tkr_usage usage = TKR_USAGE_INIT;

    usage.prompt = prompt;
    return usage;
}

static tkr_call begin(tkr_producer *producer, const char *id)
{
    tkr_start start = start_for(id);
    tkr_call call = 0;

    assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
    assert_true(call != 0);
    return call;
}

static void test_call_begun_and_ended_is_one_record(void **state)
{
    tkr_producer *producer = fixture_open(0, 0, 0);
    tkr_start start = start_for("alice");
    tkr_usage usage = usage_of(11);
    struct drained found;
    tkr_call call = 0;

    (void)state;
    start.start_ns = 1000000000;
    start.prompt_estimate = 100; /* only for a death */
    assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
    assert_int_equal(tkr_call_progress(producer, call, 500), TKR_OK);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_int_equal(found.frames, 0);
    assert_int_equal(found.open_calls, 1);
    assert_int_equal(found.open_streamed, 500);
    assert_int_equal(stat_of(producer).open_calls, 1);
    usage.completion = 22;
    usage.end_ns = 3000000000;
    usage.error = TKR_ERROR_CANCELLED;
    assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_int_equal(found.frames, 1);
    assert_int_equal(found.open_calls, 0);
    assert_int_equal(found.counts.value[TKR_COUNTER_PROMPT], 11);
    assert_int_equal(found.counts.value[TKR_COUNTER_COMPLETION], 22);
    assert_int_equal(found.counts.value[TKR_COUNTER_TOTAL], 33);
    assert_int_equal(found.counts.value[TKR_COUNTER_DURATION], 2000);
    assert_int_equal(found.counts.value[TKR_COUNTER_CALLS], 1);
    assert_int_equal(found.counts.value[TKR_COUNTER_ERRORS], 1);
    assert_int_equal(stat_of(producer).open_calls, 0);
    tkr_close(producer);
}

/* An end without an end time takes the clock's: a duration of about nothing, not of fifty years. */
static void test_call_end_without_a_time_is_now(void **state)
{
    tkr_producer *producer = fixture_open(0, 0, 0);
    tkr_usage usage = usage_of(1);
    struct drained found;

    (void)state;
    assert_int_equal(tkr_call_end(producer, begin(producer, "alice"), &usage), TKR_OK);
    usage.end_ns = 0;
    assert_int_equal(tkr_call_end(producer, begin(producer, "alice"), &usage), TKR_OK);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_true(found.counts.value[TKR_COUNTER_DURATION] < 60000);
    tkr_close(producer);
}

/* What lives when the producer is closed is what a death would leave. */
static void test_call_open_at_the_close_stays_open_for_the_collector(void **state)
{
    tkr_producer *producer = fixture_open(0, 0, 0);
    struct drained found;
    tkr_usage usage = usage_of(1);
    tkr_call calls[10];

    (void)state;
    for (int i = 0; i < 10; i++) {
        calls[i] = begin(producer, "alice");
        assert_int_equal(tkr_call_progress(producer, calls[i], 1 << i), TKR_OK);
    }
    for (int i = 0; i < 10; i += 2)
        assert_int_equal(tkr_call_end(producer, calls[i], &usage), TKR_OK);
    tkr_close(producer);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_int_equal(found.alive, 0);
    assert_int_equal(found.frames, 5);
    assert_int_equal(found.open_calls, 5);
    assert_int_equal(found.open_streamed, 2 + 8 + 32 + 128 + 512);
}

static void test_calls_10000_open_at_once_end_in_any_order_exactly(void **state)
{
    struct test_random random = test_random_start();
    static tkr_call calls[10000];
    tkr_producer *producer = fixture_open(0, 0, 0);
    struct done done = {0};
    struct drained found;

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 10000; i++)
            calls[i] = begin(producer, "alice");
        assert_int_equal(stat_of(producer).open_calls, 10000);
        for (uint32_t left = 10000; left > 0; left--) {
            uint32_t at = (uint32_t)test_random_below(&random, left);
            tkr_usage usage = usage_of(left);
            done_note(&done, tkr_call_end(producer, calls[at], &usage), "alice", left);
            calls[at] = calls[left - 1];
        }
    }
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_int_equal(done.recorded, 30000);
    assert_drained(&found, &done);
    assert_int_equal(found.open_calls, 0);
    tkr_close(producer);
}

static void test_calls_beyond_the_limit_are_refused_and_come_back(void **state)
{
    static const uint32_t limits[] = {1, 2, 127, 128, 129, 300};

    (void)state;
    for (size_t l = 0; l < sizeof(limits) / sizeof(limits[0]); l++) {
        tkr_producer *producer = fixture_open(0, 0, limits[l]);
        tkr_start start = start_for("alice");
        tkr_usage usage = usage_of(1);
        tkr_call calls[300];
        tkr_call none = 77;
        for (int round = 0; round < 3; round++) {
            for (uint32_t i = 0; i < limits[l]; i++)
                calls[i] = begin(producer, "alice");
            assert_int_equal(tkr_call_begin(producer, &start, &none), TKR_ECALLS);
            assert_true(none == 77);
            assert_int_equal(record_one(producer, "alice", 1), TKR_OK); /* still possible: in one shot */
            assert_int_equal(tkr_call_end(producer, calls[limits[l] / 2], &usage), TKR_OK);
            calls[limits[l] / 2] = begin(producer, "alice"); /* one ended: one may begin */
            assert_int_equal(tkr_call_begin(producer, &start, &none), TKR_ECALLS);
            for (uint32_t i = 0; i < limits[l]; i++)
                assert_int_equal(tkr_call_end(producer, calls[i], &usage), TKR_OK);
        }
        tkr_close(producer);
    }
}

/* The lanes are full: the call has ended all the same, and is counted as dropped once. */
static void test_call_ended_when_all_is_full_is_dropped_once(void **state)
{
    tkr_producer *producer = fixture_open(16384, 16384, 100);
    tkr_usage usage = usage_of(1);
    struct done done = {0};
    struct drained found;
    tkr_call call = begin(producer, "alice");

    (void)state;
    while (done.full == 0)
        record_some(producer, 1, 10, &done);
    assert_int_equal(tkr_call_end(producer, call, &usage), TKR_EFULL);
    assert_int_equal(tkr_call_end(producer, call, &usage), TKR_EENDED);
    done.full++;
    call = begin(producer, "alice"); /* beginning needs no lane */
    assert_true(drain_directory(fixture_dir, true, &found));
    assert_drained(&found, &done);
    assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
    tkr_close(producer);
}

/* --- a pool: calls begun by some threads, ended by others --- */

#define POOL_CALLS 4000u
#define POOL_THREADS 4u

struct pool {
    tkr_producer *producer;
    _Atomic tkr_call calls[POOL_CALLS * POOL_THREADS];
    _Atomic uint32_t next_to_end;
    _Atomic uint64_t wrong;
};

struct member {
    struct pool *pool;
    uint32_t number;
    struct done done;
    pthread_t thread;
};

static void *begin_calls(void *context)
{
    struct member *member = context;
    tkr_start start = start_for("alice");

    for (uint32_t i = 0; i < POOL_CALLS; i++) {
        tkr_call call = 0;
        if (tkr_call_begin(member->pool->producer, &start, &call) != TKR_OK)
            member->done.failed++;
        if (tkr_call_progress(member->pool->producer, call, 5) != TKR_OK)
            member->done.failed++;
        atomic_store_explicit(&member->pool->calls[member->number * POOL_CALLS + i], call, memory_order_release);
    }
    return NULL;
}

/* Each call is ended by two members: one must win, the other be told. */
static void *end_calls(void *context)
{
    struct member *member = context;
    struct pool *pool = member->pool;
    uint32_t turn;

    while ((turn = atomic_fetch_add(&pool->next_to_end, 1)) < 2 * POOL_CALLS * POOL_THREADS) {
        uint32_t at = turn / 2;
        tkr_usage usage = usage_of(at);
        tkr_call call;
        int result;
        while ((call = atomic_load_explicit(&pool->calls[at], memory_order_acquire)) == 0)
            (void)sched_yield();
        (void)tkr_call_progress(pool->producer, call, 1000); /* may come too late, which is no matter */
        result = tkr_call_end(pool->producer, call, &usage);
        if (result == TKR_OK)
            done_note(&member->done, result, "alice", at);
        else if (result != TKR_EENDED)
            (void)atomic_fetch_add(&pool->wrong, 1);
    }
    return NULL;
}

static void test_calls_ended_by_other_threads_and_twice_are_exact(void **state)
{
    static struct pool pool;
    static struct member beginners[POOL_THREADS];
    static struct member enders[POOL_THREADS];
    struct done done = {0};
    struct drained found;

    (void)state;
    pool.producer = fixture_open(16384, 0, POOL_CALLS * POOL_THREADS);
    for (uint32_t i = 0; i < POOL_THREADS; i++) {
        beginners[i] = (struct member){.pool = &pool, .number = i};
        enders[i] = (struct member){.pool = &pool, .number = i};
        assert_int_equal(pthread_create(&beginners[i].thread, NULL, begin_calls, &beginners[i]), 0);
        assert_int_equal(pthread_create(&enders[i].thread, NULL, end_calls, &enders[i]), 0);
    }
    for (uint32_t i = 0; i < POOL_THREADS; i++) {
        assert_int_equal(pthread_join(beginners[i].thread, NULL), 0);
        assert_int_equal(pthread_join(enders[i].thread, NULL), 0);
        assert_int_equal(beginners[i].done.failed, 0);
        done_add(&done, &enders[i].done);
    }
    assert_int_equal(pool.wrong, 0);
    assert_int_equal(done.recorded, POOL_CALLS * POOL_THREADS);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_drained(&found, &done);
    assert_int_equal(found.open_calls, 0);
    assert_int_equal(found.refused[-TKR_EHANDLE], 0);
    tkr_close(pool.producer);
}

/* Few slots, many threads that begin and end at once: the free list gives no slot twice. */
static void *begin_and_end(void *context)
{
    struct member *member = context;
    char id[16];
    tkr_start start;

    (void)snprintf(id, sizeof(id), "user-%u", member->number);
    start = start_for(id);
    for (int i = 0; i < 5000; i++) {
        tkr_usage usage = usage_of(member->number);
        tkr_call calls[3];
        unsigned begun = 0;
        for (; begun < 3; begun++) {
            if (tkr_call_begin(member->pool->producer, &start, &calls[begun]) != TKR_OK)
                break; /* TKR_ECALLS: the others have them */
        }
        while (begun > 0)
            done_note(&member->done, tkr_call_end(member->pool->producer, calls[--begun], &usage), id, member->number);
    }
    return NULL;
}

static void *one_call(void *argument)
{
    tkr_producer *producer = argument;
    tkr_start start = start_for("alice");
    tkr_usage usage = usage_of(1);
    tkr_call call;

    return tkr_call_begin(producer, &start, &call) == TKR_OK && tkr_call_end(producer, call, &usage) == TKR_OK ? NULL : argument;
}

/* A thread keeps the slot of its last call for its next; when it is gone, the slot is anybody's. */
static void test_calls_of_threads_that_are_gone_leave_their_slots_to_others(void **state)
{
    enum { SLOTS = 5000 }; /* enough that threads do keep them */
    static tkr_call calls[SLOTS];
    tkr_producer *producer = fixture_open(0, 0, SLOTS);
    tkr_start start = start_for("alice");
    tkr_usage usage = usage_of(1);
    tkr_call none;

    (void)state;
    for (int i = 0; i < 200; i++) {
        pthread_t thread;
        void *failed;
        assert_int_equal(pthread_create(&thread, NULL, one_call, producer), 0);
        assert_int_equal(pthread_join(thread, &failed), 0);
        assert_null(failed);
    }
    for (int i = 0; i < SLOTS; i++)
        calls[i] = begin(producer, "alice");
    assert_int_equal(tkr_call_begin(producer, &start, &none), TKR_ECALLS);
    for (int i = 0; i < SLOTS; i++)
        assert_int_equal(tkr_call_end(producer, calls[i], &usage), TKR_OK);
    assert_int_equal(stat_of(producer).open_calls, 0);
    tkr_close(producer);
}

static void test_calls_over_few_slots_by_many_threads_are_exact(void **state)
{
    static struct pool pool;
    static struct member members[8];
    struct done done = {0};
    struct drained found;

    (void)state;
    pool.producer = fixture_open(0, 0, 10);
    for (uint32_t i = 0; i < 8; i++) {
        members[i] = (struct member){.pool = &pool, .number = i};
        assert_int_equal(pthread_create(&members[i].thread, NULL, begin_and_end, &members[i]), 0);
    }
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(members[i].thread, NULL), 0);
        done_add(&done, &members[i].done);
    }
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_drained(&found, &done);
    assert_int_equal(found.open_calls, 0);
    for (int i = 0; i < 10; i++) /* all ten slots came back */
        (void)begin(pool.producer, "alice");
    tkr_close(pool.producer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_call_begun_and_ended_is_one_record),
        FIXTURE_TEST(test_call_end_without_a_time_is_now),
        FIXTURE_TEST(test_call_open_at_the_close_stays_open_for_the_collector),
        FIXTURE_TEST(test_calls_10000_open_at_once_end_in_any_order_exactly),
        FIXTURE_TEST(test_calls_beyond_the_limit_are_refused_and_come_back),
        FIXTURE_TEST(test_call_ended_when_all_is_full_is_dropped_once),
        FIXTURE_TEST(test_calls_ended_by_other_threads_and_twice_are_exact),
        FIXTURE_TEST(test_calls_of_threads_that_are_gone_leave_their_slots_to_others),
        FIXTURE_TEST(test_calls_over_few_slots_by_many_threads_are_exact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
