/* SPDX-License-Identifier: Apache-2.0 */
/* A region as its owner makes and grows it, and how others see whether the owner lives. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "region/region.h"
#include "support/process.h"
#include "unit/producer/drain.h"
#include "unit/producer/fixture.h"

#define WAIT_MS PROCESS_PATIENCE_MS

static int directory;

static int setup(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    directory = open(fixture_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return directory < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)close(directory);
    return fixture_teardown(state);
}

static const struct tkr_region_geometry geometry = {.slots_max = 300, .lane_bytes = 16384, .data_bytes_max = 1 << 20};

/* The only file there; its name, valid until the next call. */
static const char *only_name(void)
{
    static char name[256];
    DIR *dir = opendir(fixture_dir);
    struct dirent *entry;
    int count = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.' && (entry->d_name[1] == '\0' || entry->d_name[1] == '.'))
            continue;
        (void)snprintf(name, sizeof(name), "%s", entry->d_name);
        count++;
    }
    assert_int_equal(closedir(dir), 0);
    assert_int_equal(count, 1);
    return name;
}

static struct tkr_view *view_of_only(void)
{
    struct tkr_view *view = NULL;
    tkr_message message;

    assert_true(tkr_guard_install());
    assert_int_equal(tkr_view_open(directory, only_name(), true, &view, &message), TKR_VIEW_OK);
    return view;
}

static void test_region_made_is_seen_with_its_geometry_and_owner(void **state)
{
    struct tkr_region region;
    struct tkr_view *view;
    struct stat status;
    uint32_t slots = 99;

    (void)state;
    (void)umask(0777); /* a host's umask must not shut the collector out */
    assert_int_equal(tkr_region_create(directory, &geometry, &region), TKR_OK);
    (void)umask(0022);
    view = view_of_only();
    assert_int_equal(fstat(view->fd, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0660);
    assert_int_equal(view->pid, getpid());
    assert_int_equal(view->slots_max, 300);
    assert_true(tkr_view_lanes_refresh(view));
    assert_int_equal(view->lane_count, 1);
    assert_int_equal(view->lane[0].capacity, 16384);
    assert_true(tkr_view_slot_count(view, &slots));
    assert_int_equal(slots, 0);
    assert_true(tkr_view_owner_alive(view));
    tkr_region_close(&region);
    assert_false(tkr_view_owner_alive(view));
    tkr_region_close(&region); /* again */
    tkr_view_close(view);
}

static void test_region_lanes_are_given_up_to_the_budget_and_the_directory(void **state)
{
    const struct tkr_region_geometry wide = {.slots_max = 1, .lane_bytes = 16384, .data_bytes_max = 8 << 20};
    struct tkr_region region;
    struct tkr_view *view;
    uint32_t lane = 99;

    (void)state;
    assert_int_equal(tkr_region_create(directory, &geometry, &region), TKR_OK);
    assert_int_equal(tkr_region_lane_add(&region, 1 << 20, &lane), TKR_EFULL);
    assert_int_equal(tkr_region_lane_add(&region, 512 << 10, &lane), TKR_OK);
    assert_int_equal(lane, 1);
    assert_int_equal(tkr_region_budget(&region), (1 << 20) - (512 << 10) - 16384);
    while (tkr_region_budget(&region) > 0)
        assert_int_equal(tkr_region_lane_add(&region, 16384, &lane), TKR_OK);
    assert_int_equal(tkr_region_lane_add(&region, 16384, &lane), TKR_EFULL);
    view = view_of_only();
    assert_true(tkr_view_lanes_refresh(view));
    assert_int_equal(view->lane_count, lane + 1);
    for (uint32_t i = 0; i < view->lane_count; i++) { /* all of their memory is there and apart */
        memset(tkr_region_lane_data(&region, i), (int)i, view->lane[i].capacity);
        assert_true(i == 0 || view->lane[i].offset >= view->lane[i - 1].offset + view->lane[i - 1].capacity);
    }
    tkr_view_close(view);
    tkr_region_close(&region);
    drain_remove(fixture_dir);
    assert_int_equal(tkr_region_create(directory, &wide, &region), TKR_OK);
    for (uint32_t i = 1; i < TKR_REGION_LANES_MAX; i++)
        assert_int_equal(tkr_region_lane_add(&region, 16384, &lane), TKR_OK);
    assert_int_equal(tkr_region_lane_add(&region, 16384, &lane), TKR_EFULL);
    tkr_region_close(&region);
}

static void test_region_slots_are_given_up_to_their_number(void **state)
{
    struct tkr_region region;
    struct tkr_view *view;
    uint32_t count = 0;
    uint32_t seen = 0;

    (void)state;
    assert_int_equal(tkr_region_create(directory, &geometry, &region), TKR_OK);
    view = view_of_only();
    while (count < 300) {
        uint32_t before = count;
        assert_int_equal(tkr_region_slots_add(&region, &count), TKR_OK);
        assert_true(count > before && count <= 300);
        memset(&region.slots[before], 0x33, (count - before) * sizeof(region.slots[0]));
        assert_true(tkr_view_slot_count(view, &seen));
        assert_int_equal(seen, count);
    }
    assert_int_equal(tkr_region_slots_add(&region, &count), TKR_ECALLS);
    assert_int_equal(count, 300);
    tkr_view_close(view);
    tkr_region_close(&region);
}

static void test_region_in_a_directory_that_is_gone_is_refused(void **state)
{
    struct tkr_region region;

    (void)state;
    assert_int_equal(rmdir(fixture_dir), 0);
    assert_int_equal(tkr_region_create(directory, &geometry, &region), TKR_ENODIR);
}

/* --- who lives: an owner in another process, which has a child that lives on --- */

enum child_kind { CHILD_FORK, CHILD_CLONE };

static void write_pid(int fd, pid_t pid)
{
    if (write(fd, &pid, sizeof(pid)) != sizeof(pid))
        _exit(9);
}

/* The owner: opens a producer, makes a child that waits for the end of `release`, then waits to be killed. */
static void be_owner(int report, int release, enum child_kind kind)
{
    tkr_options options = fixture_options();
    tkr_producer *producer = NULL;
    pid_t child;
    char byte;

    options.lane_bytes = 16384;
    options.region_bytes_max = SMALL_BUDGET;
    options.max_open_calls = 16;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (tkr_open(&options, &producer) != TKR_OK || record_one(producer, "alice", 5) != TKR_OK)
        _exit(8);
    child = kind == CHILD_FORK ? fork() : (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        while (read(release, &byte, 1) > 0)
            continue;
        _exit(0);
    }
    write_pid(report, child);
    for (;;)
        (void)pause();
}

static pid_t read_pid(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    pid_t pid = 0;

    assert_int_equal(poll(&poll_fd, 1, WAIT_MS), 1);
    assert_int_equal(read(fd, &pid, sizeof(pid)), sizeof(pid));
    return pid;
}

static void check_parent_dies_child_lives(enum child_kind kind)
{
    struct tkr_view *view;
    int report[2];
    int release[2];
    pid_t owner;
    pid_t child;

    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* the child becomes ours when its parent dies */
    assert_int_equal(pipe2(report, O_CLOEXEC), 0);
    assert_int_equal(pipe2(release, O_CLOEXEC), 0);
    owner = fork();
    if (owner == 0) {
        (void)close(release[1]);
        be_owner(report[1], release[0], kind);
    }
    child = read_pid(report[0]);
    assert_true(child > 0);
    view = view_of_only();
    assert_true(tkr_view_owner_alive(view));
    assert_int_equal(kill(owner, SIGKILL), 0);
    assert_int_equal(waitpid(owner, NULL, 0), owner);
    assert_int_equal(kill(child, 0), 0); /* the child lives */
    assert_false(tkr_view_owner_alive(view));
    tkr_view_close(view);
    (void)close(release[0]);
    (void)close(release[1]); /* let it go */
    assert_int_equal(waitpid(child, NULL, 0), child);
    (void)close(report[0]);
    (void)close(report[1]);
}

static void test_owner_killed_is_seen_dead_though_its_forked_child_lives(void **state)
{
    (void)state;
    check_parent_dies_child_lives(CHILD_FORK);
}

/* No handlers of fork ran in this child: it still holds what it inherited. */
static void test_owner_killed_is_seen_dead_though_its_raw_clone_lives(void **state)
{
    (void)state;
    check_parent_dies_child_lives(CHILD_CLONE);
}

static void test_owner_that_closed_is_seen_dead_while_its_process_lives(void **state)
{
    tkr_producer *producer = fixture_open(0, 0, 0);
    struct tkr_view *view;

    (void)state;
    assert_int_equal(record_one(producer, "alice", 5), TKR_OK);
    view = view_of_only();
    assert_true(tkr_view_owner_alive(view));
    tkr_close(producer);
    assert_false(tkr_view_owner_alive(view));
    tkr_view_close(view);
}

/* Readers of the same process, opening and closing the file, do not drop the owner's lock (as POSIX locks would). */
static void test_owner_is_still_alive_after_others_closed_the_file(void **state)
{
    tkr_producer *producer = fixture_open(0, 0, 0);

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct tkr_view *view = view_of_only();
        assert_true(tkr_view_owner_alive(view));
        tkr_view_close(view);
    }
    tkr_close(producer);
}

#define REGION_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        REGION_TEST(test_region_made_is_seen_with_its_geometry_and_owner),
        REGION_TEST(test_region_lanes_are_given_up_to_the_budget_and_the_directory),
        REGION_TEST(test_region_slots_are_given_up_to_their_number),
        REGION_TEST(test_region_in_a_directory_that_is_gone_is_refused),
        REGION_TEST(test_owner_killed_is_seen_dead_though_its_forked_child_lives),
        REGION_TEST(test_owner_killed_is_seen_dead_though_its_raw_clone_lives),
        REGION_TEST(test_owner_that_closed_is_seen_dead_while_its_process_lives),
        REGION_TEST(test_owner_is_still_alive_after_others_closed_the_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
