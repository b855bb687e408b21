/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel whose tmpfs gives up at a signal (Linux before 6), with signals so frequent that no long call ever succeeds;
 * and one that runs out of memory midway. posix_fallocate is this program's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "region/region.h"
#include "support/process.h"
#include "support/random.h"
#include "support/tempdir.h"
#include "support/test.h"

#define LONG_BYTES (512 << 10)
#define PATIENCE 100000

static struct test_random random_source;
static int64_t bytes_left = INT64_MAX; /* until the memory is used up */
static int interruptions;

int posix_fallocate(int fd, off_t offset, off_t bytes)
{
    if (interruptions >= 0 && (bytes > LONG_BYTES || test_random_below(&random_source, 2) == 0)) {
        if (++interruptions > PATIENCE)
            fail_msg("it would try for ever");
        return EINTR;
    }
    if (bytes > bytes_left)
        return ENOSPC;
    bytes_left -= bytes;
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

static char dir[TEMPDIR_BYTES];
static int directory;

static int make_dir(void **state)
{
    (void)state;
    bytes_left = INT64_MAX;
    interruptions = 0;
    if (tempdir_make(dir) != 0)
        return -1;
    directory = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return directory < 0 ? -1 : 0;
}

static int remove_dir(void **state)
{
    (void)state;
    (void)close(directory);
    tempdir_remove(dir);
    return 0;
}

static void test_lane_allocated_between_signals_is_whole(void **state)
{
    const struct tkr_region_geometry geometry = {.slots_max = 300, .lane_bytes = 1 << 20, .data_bytes_max = 64 << 20};
    struct tkr_region region;
    struct stat status;
    uint32_t lane = 0;

    (void)state;
    assert_int_equal(tkr_region_create(directory, &geometry, &region), TKR_OK);
    assert_int_equal(tkr_region_lane_add(&region, 16 << 20, &lane), TKR_OK);
    assert_int_equal(lane, 1);
    assert_true(interruptions > 0);
    assert_int_equal(fstat(region.grow_fd, &status), 0);
    assert_true(status.st_blocks * 512 >= (17 << 20)); /* its memory is there */
    tkr_region_close(&region);
}

/* What could be had is given back, so that others are not starved by what nobody can use. */
static void test_lane_that_memory_does_not_suffice_for_takes_none(void **state)
{
    const struct tkr_region_geometry geometry = {.slots_max = 300, .lane_bytes = 1 << 20, .data_bytes_max = 64 << 20};
    struct tkr_region region;
    struct stat before;
    struct stat after;
    uint32_t lane = 77;
    long deadline = process_now_ms() + 20000;
    int result;

    (void)state;
    interruptions = -1;
    assert_int_equal(tkr_region_create(directory, &geometry, &region), TKR_OK);
    assert_int_equal(fstat(region.grow_fd, &before), 0);
    bytes_left = 5 << 20;
    assert_int_equal(tkr_region_lane_add(&region, 16 << 20, &lane), TKR_ENOSPC);
    assert_int_equal(lane, 77);
    assert_int_equal(fstat(region.grow_fd, &after), 0);
    assert_int_equal(after.st_blocks, before.st_blocks);
    assert_int_equal(after.st_size, before.st_size);
    assert_true(atomic_load(&region.header->lane_count) == 1);
    bytes_left = INT64_MAX;
    while ((result = tkr_region_lane_add(&region, 16 << 20, &lane)) == TKR_ENOSPC && process_now_ms() < deadline)
        process_sleep_ms(1); /* it is asked for again after a while */
    assert_int_equal(result, TKR_OK);
    assert_int_equal(lane, 1);
    tkr_region_close(&region);
}

static void test_region_that_memory_does_not_suffice_for_leaves_nothing(void **state)
{
    const struct tkr_region_geometry geometry = {.slots_max = 300, .lane_bytes = 1 << 20, .data_bytes_max = 64 << 20};

    (void)state;
    interruptions = -1;
    for (int64_t bytes = 0; bytes < 1 << 20; bytes += 40000) {
        struct tkr_region region;
        bytes_left = bytes;
        assert_int_equal(tkr_region_create(directory, &geometry, &region), TKR_ENOSPC);
    }
    assert_int_equal(rmdir(dir), 0); /* empty */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lane_allocated_between_signals_is_whole, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_lane_that_memory_does_not_suffice_for_takes_none, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_region_that_memory_does_not_suffice_for_leaves_nothing, make_dir, remove_dir),
    };

    random_source = test_random_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
