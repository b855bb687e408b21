/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is not to be had: dropped calls do not ask the kernel again and again, and notice when there is room. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/process.h"
#include "unit/producer/fixture.h"

#define LANE 16384u
#define DROPS 20000u
#define WINDOW_NS (10 * TKR_NS_PER_MS) /* in which a size is asked for once */
#define SIZES 16                       /* lanes are asked for in halves, 16 KiB..64 MiB, and slots */
#define DEADLINE_MS PROCESS_PATIENCE_MS

static bool full;
static uint64_t asked;

/* In libc's place. */
int posix_fallocate(int fd, off_t offset, off_t bytes)
{
    asked++;
    if (full)
        return ENOSPC;
    return syscall(SYS_fallocate, fd, 0, offset, bytes) == 0 ? 0 : errno;
}

/* As of a kernel that cannot populate (before Linux 5.14). In libc's place. */
int madvise(void *address, size_t bytes, int advice)
{
    if (advice == 23) { /* MADV_POPULATE_WRITE */
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_madvise, address, bytes, advice);
}

static int setup(void **state)
{
    full = false;
    return fixture_setup(state);
}

/* However slow the machine is. */
static void assert_asked_seldom(int64_t since_ns)
{
    uint64_t windows = (uint64_t)((tkr_clock_monotonic_ns() - since_ns) / WINDOW_NS) + 2;

    if (asked > windows * SIZES)
        fail_msg("asked %llu times in %llu windows", (unsigned long long)asked, (unsigned long long)windows);
}

static void test_refused_lane_is_seldom_asked_for_and_had_when_there_is_room(void **state)
{
    tkr_producer *producer = fixture_open(LANE, 64 << 20, 0);
    long deadline = process_now_ms() + DEADLINE_MS;
    struct done done = {0};
    struct drained found;
    int64_t since_ns;
    uint64_t before;

    (void)state;
    full = true;
    asked = 0;
    since_ns = tkr_clock_monotonic_ns();
    while (done.no_space < DROPS)
        record_some(producer, 1, 100, &done);
    assert_true(asked > 0);
    assert_asked_seldom(since_ns);
    full = false;
    before = done.recorded;
    while (done.recorded == before && process_now_ms() < deadline)
        record_some(producer, 2, 1, &done);
    assert_int_equal(done.recorded, before + 1);
    assert_int_equal(done.full, 0);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_drained(&found, &done);
    assert_int_equal(found.lanes, 2);
    tkr_close(producer);
}

static void test_refused_slots_are_seldom_asked_for_and_had_when_there_is_room(void **state)
{
    tkr_producer *producer = fixture_open(LANE, 64 << 20, 1000);
    long deadline = process_now_ms() + DEADLINE_MS;
    tkr_start start = start_for("alice");
    tkr_call call = 0;
    int64_t since_ns;
    int result;

    (void)state;
    full = true;
    asked = 0;
    since_ns = tkr_clock_monotonic_ns();
    for (unsigned i = 0; i < DROPS; i++)
        assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_ENOSPC);
    assert_true(asked > 0);
    assert_asked_seldom(since_ns);
    full = false;
    do {
        result = tkr_call_begin(producer, &start, &call);
    } while (result != TKR_OK && process_now_ms() < deadline);
    assert_int_equal(result, TKR_OK);
    tkr_close(producer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_refused_lane_is_seldom_asked_for_and_had_when_there_is_room, setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_refused_slots_are_seldom_asked_for_and_had_when_there_is_room, setup,
                                        fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
