/* SPDX-License-Identifier: Apache-2.0 */
/* A tmpfs that is full: every shortage is a code and a counter, never a signal. Needs root, for a mount of its own. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/tmpfs.h"
#include "support/process.h"
#include "unit/producer/fixture.h"

#define LANE 16384u
#define DEADLINE_MS PROCESS_PATIENCE_MS

static char base[TEMPDIR_BYTES];

/* Mounts a tmpfs of this size over the fixture's directory. */
static void mount_small(const char *options)
{
    assert_int_equal(mount("tmpfs", fixture_dir, "tmpfs", 0, options), 0);
}

static int setup(void **state)
{
    return fixture_setup(state);
}

static int teardown(void **state)
{
    (void)umount2(fixture_dir, MNT_DETACH); /* a test that failed left a mapping */
    return fixture_teardown(state);
}

/* Takes all memory that is left; the caller unlinks "filler". */
static void fill_up(void)
{
    static const char zeros[4096];
    char path[TEMPDIR_BYTES + 16];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/filler", fixture_dir);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (write(fd, zeros, sizeof(zeros)) > 0)
        continue;
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(close(fd), 0);
}

static void free_up(void)
{
    char path[TEMPDIR_BYTES + 16];

    (void)snprintf(path, sizeof(path), "%s/filler", fixture_dir);
    assert_int_equal(unlink(path), 0);
}

/* Records until there is a lane: memory that was refused is asked for again after a while. */
static void record_until_there_is_room(tkr_producer *producer, struct done *done)
{
    long deadline = process_now_ms() + DEADLINE_MS;
    uint64_t before = done->recorded;

    while (done->recorded == before && process_now_ms() < deadline)
        record_some(producer, 1, 1, done);
    assert_int_equal(done->recorded, before + 1);
}

static void test_full_open_is_refused_and_leaves_nothing(void **state)
{
    static const char *const sizes[] = {"size=4k", "size=32k", "size=64k", "size=68k", "size=72k", "size=80k"};
    tkr_options options = fixture_options();

    (void)state;
    options.lane_bytes = LANE;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        tkr_producer *producer = NULL;
        struct drained found;
        mount_small(sizes[i]);
        assert_int_equal(tkr_open(&options, &producer), TKR_ENOSPC);
        assert_null(producer);
        assert_true(drain_directory(fixture_dir, false, &found)); /* would stumble over a half-made region */
        assert_int_equal(found.regions, 0);
        assert_int_equal(umount(fixture_dir), 0);
    }
}

static void test_full_inodes_open_is_refused(void **state)
{
    tkr_options options = fixture_options();
    tkr_producer *producer = NULL;

    (void)state;
    mount_small("size=1m,nr_inodes=1");
    assert_int_equal(tkr_open(&options, &producer), TKR_ENOSPC);
}

/* What a collector needs to begin is there, however much gateways have taken. */
static void assert_share_is_free(void)
{
    struct tkr_tmpfs tmpfs;
    int fd = open(fixture_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_true(tkr_tmpfs_read(fd, &tmpfs));
    assert_true(tmpfs.bytes > 0);
    assert_true(tmpfs.available >= tkr_tmpfs_share(tmpfs.bytes));
    assert_int_equal(close(fd), 0);
}

static void test_gateways_leave_the_share_of_a_collector_that_never_ran(void **state)
{
    tkr_options options = fixture_options();
    tkr_producer *producer[64];
    uint32_t count = 0;

    (void)state;
    options.lane_bytes = LANE;
    mount_small("size=4m");
    while (count < 64 && tkr_open(&options, &producer[count]) == TKR_OK) {
        struct done done = {0};
        record_some(producer[count], 1, 5000, &done);
        count++;
    }
    assert_in_range(count, 1, 63); /* the tmpfs ended it */
    assert_share_is_free();
    while (count > 0)
        tkr_close(producer[--count]);
}

static void test_full_growth_is_a_counted_drop_and_goes_on_when_there_is_room(void **state)
{
    tkr_producer *producer;
    struct done done = {0};
    struct drained found;
    uint64_t before;

    (void)state;
    mount_small("size=1m");
    producer = fixture_open(LANE, 64 << 20, 0);
    fill_up();
    while (done.no_space < 500)
        record_some(producer, 1, 100, &done);
    assert_int_equal(done.full, 0);
    free_up();
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_drained(&found, &done);
    assert_int_equal(found.lanes, 1);
    record_until_there_is_room(producer, &done); /* lanes can be had again */
    before = done.recorded;
    record_some(producer, 1, 100, &done);
    assert_int_equal(done.recorded, before + 100);
    before = done.no_space;
    while (done.no_space < before + 500) /* up to what the file system has */
        record_some(producer, 2, 100, &done);
    assert_int_equal(done.full, 0);
    assert_true(drain_directory(fixture_dir, true, &found));
    assert_drained(&found, &done);
    assert_true(found.bytes > (1 << 20) * 3 / 4 - 68 * 1024 - 2 * LANE); /* nearly all that gateways may have */
    assert_share_is_free();
    before = done.recorded;
    record_some(producer, 3, 100, &done);
    assert_int_equal(done.recorded, before + 100); /* the drained lanes serve */
    tkr_close(producer);
}

static void test_full_slots_are_refused_and_come_when_there_is_room(void **state)
{
    tkr_start start = start_for("alice");
    tkr_usage usage = TKR_USAGE_INIT;
    tkr_producer *producer;
    struct drained found;
    tkr_call call = 77;
    long deadline = process_now_ms() + DEADLINE_MS;
    unsigned refused = 0;
    int result;

    (void)state;
    mount_small("size=1m");
    producer = fixture_open(LANE, 64 << 20, 1000);
    fill_up();
    for (; refused < 10; refused++)
        assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_ENOSPC);
    assert_true(call == 77);
    assert_int_equal(record_one(producer, "alice", 5), TKR_OK); /* the first lane has its memory */
    free_up();
    while ((result = tkr_call_begin(producer, &start, &call)) == TKR_ENOSPC && process_now_ms() < deadline)
        refused++;
    assert_int_equal(result, TKR_OK);
    usage.prompt = 3;
    assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_int_equal(found.frames, 2);
    assert_int_equal(found.refused[-TKR_ENOSPC], refused);
    assert_int_equal(found.dropped[TKR_DROP_NO_SPACE], 0); /* a call not begun is not a record lost */
    tkr_close(producer);
}

/* Ending a call when no lane has room: it has ended, and is counted as dropped. */
static void test_full_end_of_a_call_is_a_counted_drop(void **state)
{
    tkr_start start = start_for("alice");
    tkr_usage usage = TKR_USAGE_INIT;
    tkr_producer *producer;
    struct done done = {0};
    struct drained found;
    tkr_call call = 0;

    (void)state;
    mount_small("size=1m");
    producer = fixture_open(LANE, 64 << 20, 1000);
    assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
    fill_up();
    while (done.no_space == 0)
        record_some(producer, 1, 10, &done);
    assert_int_equal(tkr_call_end(producer, call, &usage), TKR_ENOSPC);
    done.no_space++;
    assert_int_equal(tkr_call_end(producer, call, &usage), TKR_EENDED);
    assert_int_equal(stat_of(producer).open_calls, 0);
    free_up();
    assert_true(drain_directory(fixture_dir, false, &found));
    assert_drained(&found, &done);
    assert_int_equal(found.open_calls, 0);
    tkr_close(producer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_full_open_is_refused_and_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_inodes_open_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gateways_leave_the_share_of_a_collector_that_never_ran, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_growth_is_a_counted_drop_and_goes_on_when_there_is_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_slots_are_refused_and_come_when_there_is_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_end_of_a_call_is_a_counted_drop, setup, teardown),
    };

    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 || tempdir_make(base) != 0 ||
        mount("tmpfs", base, "tmpfs", 0, "size=4k") != 0) {
        (void)printf("skipped: no mount of one's own is allowed here: %s\n", strerror(errno));
        tempdir_remove(base);
        return TEST_SKIPPED;
    }
    (void)umount(base);
    tempdir_remove(base);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
