/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes that grow, a budget that is used up, and what is offered: always in lanes, counted or dropped by cause. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "unit/producer/fixture.h"

#define LANE 16384u
#define BUDGET (1u << 20)

static uint64_t sum_dropped(const struct done *done)
{
    return done->full + done->no_space;
}

static void assert_law(tkr_producer *producer, const struct done *all, uint64_t counted)
{
    tkr_stat stat = stat_of(producer);

    assert_int_equal(stat.offered, all->recorded + sum_dropped(all));
    assert_int_equal(stat.dropped, sum_dropped(all));
    assert_int_equal(stat.in_lanes, all->recorded - counted);
}

static void test_growth_without_a_collector_keeps_all_up_to_the_budget(void **state)
{
    tkr_producer *producer = fixture_open(LANE, BUDGET, 0);
    struct done done = {0};
    struct drained found;

    (void)state;
    while (sum_dropped(&done) < 1000)
        record_some(producer, 1, 100, &done);
    assert_int_equal(done.no_space, 0);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_drained(&found, &done);
    assert_int_equal(found.last, done.recorded);
    assert_true(found.bytes <= BUDGET);
    assert_true(found.bytes > BUDGET - LANE);
    /* All but the ends of the lanes was used: frames are of about 64 bytes. */
    assert_true(done.recorded * 56 > found.bytes * 9 / 10 || done.recorded * 64 > found.bytes * 9 / 10);
    assert_law(producer, &done, 0);
    tkr_close(producer);
}

static void test_growth_after_draining_recording_goes_on_in_the_same_lanes(void **state)
{
    tkr_producer *producer = fixture_open(LANE, BUDGET, 0);
    struct done all = {0};
    uint64_t counted = 0;
    uint32_t lanes = 0;

    (void)state;
    for (int round = 0; round < 20; round++) {
        struct done done = {0};
        struct drained found;
        uint64_t dropped_before = sum_dropped(&all);
        while (sum_dropped(&done) == 0)
            record_some(producer, (unsigned)round, 100, &done);
        assert_true(done.recorded > 0);
        done_add(&all, &done);
        assert_law(producer, &all, counted);
        assert_true(drain_directory(fixture_dir, true, &found));
        counted += found.frames;
        done.full += dropped_before; /* the region's counter is for all its life */
        assert_drained(&found, &done);
        assert_true(round == 0 || found.lanes <= lanes + 1);
        lanes = found.lanes;
        assert_law(producer, &all, counted);
    }
    assert_true(lanes <= 8);
    tkr_close(producer);
}

/* One that keeps up: the first lane is enough for ever. */
static void test_growth_with_a_collector_that_keeps_up_needs_one_lane(void **state)
{
    tkr_producer *producer = fixture_open(LANE, BUDGET, 0);
    struct done all = {0};
    uint64_t counted = 0;

    (void)state;
    for (int round = 0; round < 300; round++) {
        struct drained found;
        struct done done = {0};
        record_some(producer, 1, 200, &done);
        assert_true(drain_directory(fixture_dir, true, &found));
        assert_drained(&found, &done);
        assert_int_equal(found.lanes, 1);
        done_add(&all, &done);
        counted += found.frames;
    }
    assert_int_equal(all.recorded, counted);
    assert_law(producer, &all, counted);
    tkr_close(producer);
}

static void test_growth_budget_that_is_no_power_of_two_is_used(void **state)
{
    tkr_producer *producer = fixture_open(LANE, 5 * LANE + 4097, 0);
    struct done done = {0};
    struct drained found;

    (void)state;
    while (sum_dropped(&done) == 0)
        record_some(producer, 1, 100, &done);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_drained(&found, &done);
    assert_int_equal(found.bytes, 5 * LANE);
    tkr_close(producer);
}

/* --- several threads, with a collector that comes and goes --- */

struct worker {
    tkr_producer *producer;
    unsigned number;
    struct done done;
    pthread_t thread;
};

static void *work(void *context)
{
    struct worker *worker = context;

    record_some(worker->producer, worker->number, 20000, &worker->done);
    return NULL;
}

static void test_growth_of_eight_threads_while_it_is_drained_loses_and_doubles_nothing(void **state)
{
    static struct worker workers[8];
    tkr_producer *producer = fixture_open(LANE, BUDGET, 0);
    struct done all = {0};
    struct drained found;
    struct drained sum = {.frames = 0};

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        workers[i] = (struct worker){.producer = producer, .number = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 30; i++) {
        assert_true(drain_directory(fixture_dir, true, &found));
        sum.frames += found.frames;
        sum.mix += found.mix;
        sum.counts.value[TKR_COUNTER_PROMPT] += found.counts.value[TKR_COUNTER_PROMPT];
    }
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        done_add(&all, &workers[i].done);
    }
    assert_true(drain_directory(fixture_dir, true, &found));
    found.frames += sum.frames;
    found.mix += sum.mix;
    found.counts.value[TKR_COUNTER_PROMPT] += sum.counts.value[TKR_COUNTER_PROMPT];
    assert_drained(&found, &all);
    assert_int_equal(all.recorded + sum_dropped(&all), 8 * 20000);
    assert_law(producer, &all, all.recorded);
    tkr_close(producer);
}

/* A lane that one thread left full serves another as soon as it is drained. */
static void *record_once(void *context)
{
    struct worker *worker = context;

    record_some(worker->producer, worker->number, 10, &worker->done);
    return NULL;
}

static void test_growth_thread_that_came_when_all_was_full_records_after_draining(void **state)
{
    struct worker late = {.producer = fixture_open(LANE, LANE * 2, 0), .number = 5};
    struct done done = {0};
    struct drained found;

    (void)state;
    while (sum_dropped(&done) == 0)
        record_some(late.producer, 1, 100, &done);
    assert_int_equal(pthread_create(&late.thread, NULL, record_once, &late), 0);
    assert_int_equal(pthread_join(late.thread, NULL), 0);
    assert_int_equal(late.done.full, 10);
    done_add(&done, &late.done);
    assert_true(drain_directory(fixture_dir, true, &found));
    assert_drained(&found, &done);
    for (int i = 0; i < 10; i++) {
        late.done = (struct done){0};
        assert_int_equal(pthread_create(&late.thread, NULL, record_once, &late), 0);
        assert_int_equal(pthread_join(late.thread, NULL), 0);
        assert_int_equal(late.done.recorded, 10);
    }
    tkr_close(late.producer);
}

/* --- signals while lanes are allocated --- */

static void on_alarm(int number)
{
    (void)number;
}

static void storm(long interval_us)
{
    struct itimerval timer = {{0, interval_us}, {0, interval_us}};
    struct sigaction action = {.sa_handler = on_alarm}; /* no SA_RESTART */

    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static int record_large(tkr_producer *producer, const char *id, tkr_start *start)
{
    tkr_usage usage = TKR_USAGE_INIT;

    start->account[0].id = id;
    start->account[0].len = (uint32_t)strlen(id);
    usage.prompt = 3;
    return tkr_record(producer, start, &usage);
}

static void test_growth_in_a_storm_of_signals_loses_nothing(void **state)
{
    static char ids[4][256];
    tkr_producer *producer = fixture_open(LANE, 0, 0);
    tkr_start start = start_for("a");
    struct done done = {0};
    struct drained found;

    (void)state;
    memset(ids, 'x', sizeof(ids));
    start.account_count = 4;
    for (int i = 0; i < 4; i++) {
        ids[i][0] = (char)('a' + i);
        ids[i][255] = '\0';
        start.account[i] = (tkr_account){.id = ids[i], .len = 255};
    }
    storm(300);
    for (int i = 0; i < 60000; i++) { /* some 65 MB: lanes up to 32 MiB, each allocated in the storm */
        int result = record_large(producer, ids[0], &start);
        done.recorded += result == TKR_OK;
        done.failed += result != TKR_OK;
    }
    storm(0);
    assert_int_equal(done.failed, 0);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_int_equal(found.frames, 60000);
    assert_int_equal(found.counts.value[TKR_COUNTER_PROMPT], 180000);
    tkr_close(producer);
}

/* --- limits of the process --- */

static void test_open_over_the_limit_of_file_sizes_is_refused_without_a_signal(void **state)
{
    tkr_options options = fixture_options();
    tkr_producer *producer = NULL;
    struct rlimit was;
    struct rlimit small;
    struct drained found;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = was;
    small.rlim_cur = 1 << 20;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(tkr_open(&options, &producer), TKR_ESYSTEM);
    assert_null(producer);
    options.lane_bytes = LANE;
    options.region_bytes_max = LANE * 4;
    options.max_open_calls = 10;
    assert_int_equal(tkr_open(&options, &producer), TKR_OK); /* one that fits */
    assert_int_equal(record_one(producer, "alice", 1), TKR_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_true(drain_directory(fixture_dir, false, &found)); /* and nothing of the other is left */
    assert_int_equal(found.regions, 1);
    tkr_close(producer);
}

/* Lowered after the opening, it must not end the host by SIGXFSZ when a lane is added. */
static void test_growth_over_a_limit_of_file_sizes_set_later_is_no_signal(void **state)
{
    tkr_producer *producer = fixture_open(LANE, BUDGET, 0);
    struct done done = {0};
    struct rlimit was;
    struct rlimit small;
    struct drained found;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = was;
    small.rlim_cur = 4096;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    record_some(producer, 1, 5000, &done);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_drained(&found, &done);
    tkr_close(producer);
}

static void test_open_without_address_space_is_refused(void **state)
{
    tkr_options options = fixture_options();
    tkr_producer *producer = NULL;
    struct drained found;

    (void)state;
    options.region_bytes_max = UINT64_C(1) << 39; /* sparse: half a TiB of address space is to be had */
    if (tkr_open(&options, &producer) == TKR_OK) {
        assert_int_equal(record_one(producer, "alice", 1), TKR_OK);
        tkr_close(producer);
        drain_remove(fixture_dir);
    }
    options.region_bytes_max = (UINT64_C(1) << 39) + 1;
    assert_int_equal(tkr_open(&options, &producer), TKR_ERANGE);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_int_equal(found.regions, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_growth_without_a_collector_keeps_all_up_to_the_budget),
        FIXTURE_TEST(test_growth_after_draining_recording_goes_on_in_the_same_lanes),
        FIXTURE_TEST(test_growth_with_a_collector_that_keeps_up_needs_one_lane),
        FIXTURE_TEST(test_growth_budget_that_is_no_power_of_two_is_used),
        FIXTURE_TEST(test_growth_of_eight_threads_while_it_is_drained_loses_and_doubles_nothing),
        FIXTURE_TEST(test_growth_thread_that_came_when_all_was_full_records_after_draining),
        FIXTURE_TEST(test_growth_in_a_storm_of_signals_loses_nothing),
        FIXTURE_TEST(test_open_over_the_limit_of_file_sizes_is_refused_without_a_signal),
        FIXTURE_TEST(test_growth_over_a_limit_of_file_sizes_set_later_is_no_signal),
        FIXTURE_TEST(test_open_without_address_space_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
