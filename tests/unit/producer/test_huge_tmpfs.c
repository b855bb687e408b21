/* SPDX-License-Identifier: Apache-2.0 */
/* Regions on a tmpfs that gives all files huge pages: as many as on any other. In a mount namespace of its own. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "support/tempdir.h"
#include "support/test.h"
#include "tokenring/tokenring.h"

#define PRODUCERS 24
#define CALLS 2000
#define SKIPPED 77

static char directory[TEMPDIR_BYTES];

static uint64_t taken_bytes(void)
{
    struct statvfs space;

    assert_int_equal(statvfs(directory, &space), 0);
    return (uint64_t)(space.f_blocks - space.f_bfree) * space.f_frsize;
}

static void test_producers_take_no_huge_pages(void **state)
{
    tkr_producer *producer[PRODUCERS];
    tkr_options options = TKR_OPTIONS_INIT;
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;

    (void)state;
    options.runtime_dir = directory;
    start.account_count = 1;
    start.account[0] = (tkr_account){.id = "alice", .len = 5};
    usage.prompt = 1;
    for (int i = 0; i < PRODUCERS; i++) {
        tkr_call call;
        assert_int_equal(tkr_open(&options, &producer[i]), TKR_OK);
        assert_int_equal(tkr_call_begin(producer[i], &start, &call), TKR_OK); /* slots, too */
        assert_int_equal(tkr_call_end(producer[i], call, &usage), TKR_OK);
    }
    print_message("%d regions take %llu KiB\n", PRODUCERS, (unsigned long long)taken_bytes() / 1024);
    assert_true(taken_bytes() < PRODUCERS * (UINT64_C(1) << 20));
    for (int i = 0; i < CALLS; i++) /* further lanes */
        assert_int_equal(tkr_record(producer[0], &start, &usage), TKR_OK);
    assert_true(taken_bytes() < PRODUCERS * (UINT64_C(1) << 20));
    for (int i = 0; i < PRODUCERS; i++)
        tkr_close(producer[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_producers_take_no_huge_pages)};
    int failed;

    if (tempdir_make(directory) != 0)
        return 1;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", directory, "tmpfs", 0, "huge=always,size=64m,mode=0700") != 0) {
        (void)printf("skipped: no tmpfs with huge pages can be mounted here: %s\n", strerror(errno));
        tempdir_remove(directory);
        return SKIPPED;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)umount2(directory, MNT_DETACH);
    tempdir_remove(directory);
    return failed;
}
