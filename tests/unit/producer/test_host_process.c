/* SPDX-License-Identifier: Apache-2.0 */
/* The library as a guest: it leaves no descriptor, mapping or file behind, and lives with a host that closes what it
 * does not know. And what a process can ask about itself: figures, and waiting until all is counted. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>

#include "base/clock.h"
#include "base/cycle.h"
#include "region/region.h"
#include "support/process.h"
#include "unit/producer/fixture.h"

static unsigned count_entries(const char *path)
{
    DIR *dir = opendir(path);
    unsigned count = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    assert_int_equal(closedir(dir), 0);
    return count;
}

/* Mappings of regions, and those of all kinds. */
static unsigned count_mappings(unsigned *ret_all)
{
    FILE *file = fopen("/proc/self/maps", "r");
    char line[1024];
    unsigned of_regions = 0;

    assert_non_null(file);
    for (*ret_all = 0; fgets(line, sizeof(line), file) != NULL; ++*ret_all)
        of_regions += strstr(line, "region-") != NULL;
    assert_int_equal(fclose(file), 0);
    return of_regions;
}

static void use(tkr_producer *producer)
{
    tkr_start start = start_for("alice");
    tkr_usage usage = TKR_USAGE_INIT;
    tkr_call call = 0;

    assert_int_equal(record_one(producer, "alice", 1), TKR_OK);
    assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
    assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
}

static void test_open_and_close_a_thousand_times_leaks_nothing(void **state)
{
    unsigned descriptors;
    unsigned mappings;
    unsigned mappings_after;
    tkr_producer *producer = fixture_open(16384, 1 << 20, 100);

    (void)state;
    use(producer);
    tkr_close(producer); /* what is made once is made */
    drain_remove(fixture_dir);
    descriptors = count_entries("/proc/self/fd");
    assert_int_equal(count_mappings(&mappings), 0);
    for (int i = 0; i < 1000; i++) {
        struct drained found;
        producer = fixture_open(16384, 1 << 20, 100);
        use(producer);
        tkr_close(producer);
        if (i % 100 == 0) {
            assert_true(drain_directory(fixture_dir, false, &found)); /* a region each, and nothing else */
            assert_int_equal(found.regions, 1);
            assert_int_equal(found.frames, 2);
        }
        drain_remove(fixture_dir);
    }
    assert_int_equal(count_entries("/proc/self/fd"), descriptors);
    assert_int_equal(count_mappings(&mappings_after), 0);
    assert_true(mappings_after <= mappings + 8); /* the heap may have grown */
}

static void test_open_refused_leaks_nothing(void **state)
{
    tkr_options options = fixture_options();
    tkr_producer *producer = NULL;
    unsigned descriptors;
    unsigned mappings;
    unsigned mappings_after;

    (void)state;
    options.runtime_dir = "/nowhere/at/all";
    assert_int_equal(tkr_open(&options, &producer), TKR_ENODIR);
    descriptors = count_entries("/proc/self/fd");
    (void)count_mappings(&mappings);
    for (int i = 0; i < 300; i++) {
        options.runtime_dir = i % 3 == 0 ? "/nowhere/at/all" : i % 3 == 1 ? "/proc" : fixture_dir;
        options.lane_bytes = i % 3 == 2 ? 3 : 0;
        assert_int_not_equal(tkr_open(&options, &producer), TKR_OK);
    }
    assert_int_equal(count_entries("/proc/self/fd"), descriptors);
    (void)count_mappings(&mappings_after);
    assert_true(mappings_after <= mappings + 2);
    assert_null(producer);
}

/* All descriptors are close-on-exec, and none is one of the standard three. */
static void test_descriptors_are_not_for_the_hosts_children(void **state)
{
    tkr_producer *producer = fixture_open(16384, 1 << 20, 100);
    int ours = 0;

    (void)state;
    use(producer);
    for (int fd = 3; fd < 256; fd++) {
        char link[64];
        char target[256] = "";
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        if (readlink(link, target, sizeof(target) - 1) <= 0 || strstr(target, "region-") == NULL)
            continue;
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        ours++;
    }
    assert_true(ours <= 1);
    tkr_close(producer);
}

/* As daemons do when they start: whatever is open is closed, the numbers are used for other files. */
static void test_host_that_closes_all_descriptors_keeps_its_own(void **state)
{
    tkr_producer *producer = fixture_open(16384, 1 << 20, 0);
    struct done done = {0};
    struct drained found;
    struct stat before[8];
    int foreign[8];

    (void)state;
    for (int fd = 3; fd < 256; fd++)
        (void)close(fd);
    for (int i = 0; i < 8; i++) {
        char path[TEMPDIR_BYTES + 32];
        (void)snprintf(path, sizeof(path), "%s.foreign-%d", fixture_dir, i);
        foreign[i] = open(path, O_CREAT | O_RDWR, 0600);
        assert_true(foreign[i] >= 0);
        (void)unlink(path);
        assert_int_equal(fstat(foreign[i], &before[i]), 0);
    }
    while (done.no_space < 100) /* the lane that is there is filled, then nothing more can be had */
        record_some(producer, 1, 100, &done);
    assert_true(done.recorded > 100);
    assert_int_equal(done.full, 0);
    assert_true(drain_directory(fixture_dir, true, &found));
    assert_drained(&found, &done);
    assert_int_equal(found.lanes, 1);
    record_some(producer, 1, 100, &done); /* drained, it serves again */
    tkr_close(producer);
    for (int i = 0; i < 8; i++) { /* none was closed, grown or written to */
        struct stat after;
        assert_int_equal(fstat(foreign[i], &after), 0);
        assert_true(after.st_ino == before[i].st_ino && after.st_dev == before[i].st_dev);
        assert_int_equal(after.st_size, before[i].st_size);
        assert_int_equal(after.st_blocks, before[i].st_blocks);
        assert_int_equal(close(foreign[i]), 0);
    }
}

static void test_host_without_descriptors_left_cannot_open_but_records(void **state)
{
    tkr_producer *producer = fixture_open(16384, 1 << 20, 0);
    tkr_options options = fixture_options();
    tkr_producer *second = NULL;
    struct done done = {0};
    struct drained found;
    struct rlimit was;
    struct rlimit small;
    int taken[64];
    int count = 0;
    int result;

    (void)state;
    record_some(producer, 1, 10, &done);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    small = was;
    small.rlim_cur = 40;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
    while (count < 64 && (taken[count] = fcntl(0, F_DUPFD_CLOEXEC, 3)) >= 0)
        count++;
    assert_true(count < 64);
    result = tkr_open(&options, &second);
    record_some(producer, 1, 3000, &done); /* growing needs no new descriptor */
    for (int i = 0; i < count; i++)
        (void)close(taken[i]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_equal(result, TKR_ESYSTEM);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_drained(&found, &done);
    assert_true(found.lanes > 1);
    tkr_close(producer);
}

/* A region unlinked under its owner, as by a tidy administrator, is no harm to the host. */
static void test_host_goes_on_when_its_region_was_removed(void **state)
{
    tkr_producer *producer = fixture_open(16384, 1 << 20, 0);
    struct done done = {0};

    (void)state;
    record_some(producer, 1, 10, &done);
    drain_remove(fixture_dir);
    record_some(producer, 1, 3000, &done);
    assert_int_equal(done.recorded, 3010);
    tkr_close(producer);
}

/* --- figures --- */

static struct tkr_view *view_only(DIR *dir)
{
    struct tkr_view *view = NULL;
    struct dirent *entry;
    tkr_message message;

    while ((entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, TKR_REGION_PREFIX, strlen(TKR_REGION_PREFIX)) == 0)
            assert_int_equal(tkr_view_open(dirfd(dir), entry->d_name, true, &view, &message), TKR_VIEW_OK);
    }
    assert_non_null(view);
    return view;
}

static void test_stat_tells_the_law_through_a_calls_life(void **state)
{
    tkr_producer *producer = fixture_open(16384, 32768, 10);
    tkr_start start = start_for("alice");
    tkr_usage usage = TKR_USAGE_INIT;
    struct done done = {0};
    struct drained found;
    tkr_stat stat = stat_of(producer);
    tkr_call call = 0;
    DIR *dir;
    struct tkr_view *view;

    (void)state;
    assert_int_equal(stat.lanes, 1);
    assert_int_equal(stat.offered, 0);
    assert_int_equal(stat.collector_age_ns, TKR_ABSENT);
    assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
    stat = stat_of(producer);
    assert_int_equal(stat.open_calls, 1);
    assert_int_equal(stat.offered, 0); /* offered when it ends */
    assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
    assert_int_equal(tkr_call_end(producer, call, &usage), TKR_EENDED);
    stat = stat_of(producer);
    assert_int_equal(stat.offered, 1);
    assert_int_equal(stat.in_lanes, 1);
    assert_int_equal(stat.open_calls, 0);
    assert_int_equal(stat.refused, 1);
    assert_true(drain_directory(fixture_dir, true, &found));
    stat = stat_of(producer);
    assert_int_equal(stat.offered, 1);
    assert_int_equal(stat.in_lanes, 0);
    while (done.full < 10)
        record_some(producer, 1, 10, &done);
    stat = stat_of(producer);
    assert_int_equal(stat.dropped, done.full);
    assert_int_equal(stat.offered, 1 + done.recorded + done.full);
    assert_int_equal(stat.in_lanes, done.recorded);
    assert_int_equal(stat.refused, 1); /* drops are not refusals */
    assert_int_equal(stat.lanes, 2);
    dir = opendir(fixture_dir);
    assert_non_null(dir);
    view = view_only(dir);
    assert_true(tkr_view_touch(view, tkr_clock_monotonic_ns() - 5 * TKR_NS_PER_S));
    stat = stat_of(producer);
    assert_true(stat.collector_age_ns >= 5 * TKR_NS_PER_S && stat.collector_age_ns < 65 * TKR_NS_PER_S);
    tkr_view_close(view);
    (void)closedir(dir);
    tkr_close(producer);
}

/* --- tkr_sync --- */

static void test_sync_without_a_collector_times_out_and_counts_it(void **state)
{
    tkr_producer *producer = fixture_open(16384, 0, 0);
    int64_t before;
    struct drained found;

    (void)state;
    assert_int_equal(tkr_sync(producer, 0), TKR_OK); /* nothing to wait for */
    assert_int_equal(record_one(producer, "alice", 1), TKR_OK);
    before = tkr_clock_monotonic_ns();
    assert_int_equal(tkr_sync(producer, 30), TKR_ETIMEOUT);
    assert_true(tkr_clock_monotonic_ns() - before >= 30 * TKR_NS_PER_MS);
    assert_int_equal(tkr_sync(producer, 0), TKR_ETIMEOUT);
    assert_true(drain_directory(fixture_dir, true, &found));
    assert_int_equal(found.refused[-TKR_ETIMEOUT], 2);
    assert_int_equal(tkr_sync(producer, 0), TKR_OK);
    tkr_close(producer);
}

static atomic_int alarms;

static void *drain_late(void *unused)
{
    struct drained found;

    (void)unused;
    while (atomic_load(&alarms) < 20) /* of which the later ones interrupt the wait */
        process_sleep_ms(1);
    return drain_directory(fixture_dir, true, &found) && found.frames == 100 ? unused : &fixture_dir;
}

static void on_alarm(int number)
{
    (void)number;
    atomic_fetch_add(&alarms, 1);
}

/* Signals shorten its naps, not its wait. */
static void test_sync_waits_for_the_collector_through_signals(void **state)
{
    struct itimerval timer = {{0, 1000}, {0, 1000}};
    struct sigaction action = {.sa_handler = on_alarm};
    tkr_producer *producer = fixture_open(16384, 0, 0);
    struct done done = {0};
    pthread_t thread;
    void *failed = NULL;
    sigset_t alarm_only;

    (void)state;
    record_some(producer, 1, 100, &done);
    (void)sigemptyset(&alarm_only);
    (void)sigaddset(&alarm_only, SIGALRM);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &alarm_only, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, drain_late, NULL), 0);
    assert_int_equal(pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
    assert_int_equal(tkr_sync(producer, 10000), TKR_OK);
    memset(&timer, 0, sizeof(timer));
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    tkr_close(producer);
}

/* --- default cycles --- */

static uint64_t recorded_cycle(tkr_producer *producer, int64_t start_ns)
{
    tkr_start start = start_for("alice");
    tkr_usage usage = TKR_USAGE_INIT;
    struct drained found;

    start.cycle = 0;
    start.start_ns = start_ns;
    assert_int_equal(tkr_record(producer, &start, &usage), TKR_OK);
    assert_true(drain_directory(fixture_dir, true, &found));
    assert_int_equal(found.frames, 1);
    return found.cycles;
}

static void test_default_cycle_follows_anchor_and_zone_back_and_forth(void **state)
{
    tkr_options options = fixture_options();
    tkr_producer *producer = NULL;
    int64_t turn = (tkr_days_from_civil(2024, 3, 15) * 86400 - 330 * 60) * TKR_NS_PER_S;

    (void)state;
    options.anchor_day = 15;
    options.utc_offset_minutes = 330;
    assert_int_equal(tkr_open(&options, &producer), TKR_OK);
    for (int i = 0; i < 3; i++) { /* what a thread remembers must not stick */
        assert_int_equal(recorded_cycle(producer, turn - 1), 20240215);
        assert_int_equal(recorded_cycle(producer, turn), 20240315);
        assert_int_equal(recorded_cycle(producer, turn + 31 * 86400 * TKR_NS_PER_S - 1), 20240315);
        assert_int_equal(recorded_cycle(producer, turn + 31 * 86400 * TKR_NS_PER_S), 20240415);
    }
    tkr_close(producer);
}

static void test_default_cycle_of_days_is_the_local_day(void **state)
{
    tkr_options options = fixture_options();
    tkr_producer *producer = NULL;
    int64_t midnight = tkr_days_from_civil(2024, 10, 27) * 86400 * TKR_NS_PER_S - 2 * 3600 * TKR_NS_PER_S;

    (void)state;
    assert_int_equal(setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1), 0);
    tzset();
    options.flags = TKR_CYCLE_DAY;
    assert_int_equal(tkr_open(&options, &producer), TKR_OK);
    for (int i = 0; i < 2; i++) { /* the day has 25 hours */
        assert_int_equal(recorded_cycle(producer, midnight - 1), 20241026);
        assert_int_equal(recorded_cycle(producer, midnight), 20241027);
        assert_int_equal(recorded_cycle(producer, midnight + 25 * 3600 * TKR_NS_PER_S - 1), 20241027);
        assert_int_equal(recorded_cycle(producer, midnight + 25 * 3600 * TKR_NS_PER_S), 20241028);
    }
    tkr_close(producer);
}

/* Without a start the call begins now: today is in the current cycle. */
static void test_default_start_is_now(void **state)
{
    tkr_producer *producer = fixture_open(0, 0, 0);
    uint32_t before = 0;
    uint32_t after = 0;
    uint64_t cycle;

    (void)state;
    assert_int_equal(tkr_cycle(tkr_clock_coarse_ns(), 1, 0, &before), TKR_OK);
    cycle = recorded_cycle(producer, 0);
    assert_int_equal(tkr_cycle(tkr_clock_unix_ns(), 1, 0, &after), TKR_OK);
    assert_true(cycle == before || cycle == after);
    tkr_close(producer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_open_and_close_a_thousand_times_leaks_nothing),
        FIXTURE_TEST(test_open_refused_leaks_nothing),
        FIXTURE_TEST(test_descriptors_are_not_for_the_hosts_children),
        FIXTURE_TEST(test_host_that_closes_all_descriptors_keeps_its_own),
        FIXTURE_TEST(test_host_without_descriptors_left_cannot_open_but_records),
        FIXTURE_TEST(test_host_goes_on_when_its_region_was_removed),
        FIXTURE_TEST(test_stat_tells_the_law_through_a_calls_life),
        FIXTURE_TEST(test_sync_without_a_collector_times_out_and_counts_it),
        FIXTURE_TEST(test_sync_waits_for_the_collector_through_signals),
        FIXTURE_TEST(test_default_cycle_follows_anchor_and_zone_back_and_forth),
        FIXTURE_TEST(test_default_cycle_of_days_is_the_local_day),
        FIXTURE_TEST(test_default_start_is_now),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
