/* SPDX-License-Identifier: Apache-2.0 */
/* Where a collector lives: only one at a time, only where it is safe, and always under the same name. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "collector/home.h"
#include "support/tempdir.h"
#include "support/test.h"

#define PATH_BYTES (TEMPDIR_BYTES + 64)
#define TMPFS_MAGIC 0x01021994
#define STRANGER 65534

struct fixture {
    char dir[TEMPDIR_BYTES];
    struct tkr_collector_config config;
    struct tkr_home home;
    tkr_message message;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (f == NULL || tempdir_make(f->dir) != 0)
        return -1;
    (void)snprintf(f->config.runtime_path, sizeof(f->config.runtime_path), "%s/run", f->dir);
    f->home = (struct tkr_home)TKR_HOME_NONE;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    tkr_home_close(&f->home);
    tempdir_remove(f->dir);
    free(f);
    return 0;
}

static void open_home(struct fixture *f)
{
    if (tkr_home_open(&f->config, &f->home, &f->message) != 0)
        fail_msg("%s", f->message.text);
}

static void assert_refused(struct fixture *f, const char *sentence)
{
    struct tkr_home home = {.runtime = -7, .folder = -7, .lock = -7};

    assert_int_equal(tkr_home_open(&f->config, &home, &f->message), -1);
    if (strstr(f->message.text, sentence) == NULL)
        fail_msg("%s", f->message.text);
    assert_int_equal(home.lock, -7); /* untouched */
}

static void path_of(const struct fixture *f, const char *name, char ret_path[PATH_BYTES])
{
    (void)snprintf(ret_path, PATH_BYTES, "%s/%s", f->dir, name);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_missing_directory_is_made(void **state)
{
    struct fixture *f = *state;
    struct stat status;
    char path[PATH_BYTES];

    open_home(f);
    assert_int_not_equal(f->home.name, 0);
    path_of(f, "run", path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 03773);
    path_of(f, "run/" TKR_COLLECTOR_FOLDER, path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 022, 0);
}

static void test_second_collector_is_refused_until_the_first_has_left(void **state)
{
    struct fixture *f = *state;

    open_home(f);
    assert_refused(f, "another collector already serves");
    tkr_home_close(&f->home);
    open_home(f);
}

static void test_home_closed_twice_is_harmless(void **state)
{
    struct fixture *f = *state;

    open_home(f);
    tkr_home_close(&f->home);
    tkr_home_close(&f->home);
}

static void test_directory_that_is_no_tmpfs_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[] = "/var/tmp/tokenring-test-XXXXXX";
    struct statfs where;

    assert_non_null(mkdtemp(path));
    (void)snprintf(f->config.runtime_path, sizeof(f->config.runtime_path), "%s", path);
    if (statfs(path, &where) == 0 && where.f_type == TMPFS_MAGIC) {
        (void)rmdir(path);
        skip(); /* a machine without a disk */
    }
    assert_refused(f, "is not on a tmpfs");
    assert_int_equal(rmdir(path), 0); /* nothing was left in it */
}

static void test_link_for_a_directory_is_refused(void **state)
{
    struct fixture *f = *state;
    char target[PATH_BYTES];

    path_of(f, "target", target);
    assert_int_equal(mkdir(target, 0700), 0);
    assert_int_equal(symlink(target, f->config.runtime_path), 0);
    assert_refused(f, "cannot be entered: it is no directory, or a symbolic link; set TOKENRING_RUNTIME_DIR to another");
}

static void test_directory_of_another_user_is_refused(void **state)
{
    struct fixture *f = *state;

    if (geteuid() != 0)
        skip(); /* only root can make one */
    assert_int_equal(mkdir(f->config.runtime_path, 0700), 0);
    assert_int_equal(chown(f->config.runtime_path, STRANGER, STRANGER), 0);
    assert_refused(f, "belongs to another user");
}

static void test_directory_that_everybody_can_take_from_is_refused(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(mkdir(f->config.runtime_path, 0700), 0);
    assert_int_equal(chmod(f->config.runtime_path, 0777), 0);
    assert_refused(f, "everybody may write it and it has no sticky bit");
    assert_int_equal(chmod(f->config.runtime_path, 03773), 0);
    open_home(f);
}

static void test_folder_that_others_can_write_is_refused(void **state)
{
    struct fixture *f = *state;
    char folder[PATH_BYTES];

    path_of(f, "run", folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    path_of(f, "run/" TKR_COLLECTOR_FOLDER, folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(chmod(folder, 0770), 0);
    assert_refused(f, "belongs to another user or can be written by others");
    assert_int_equal(chmod(folder, 0702), 0);
    assert_refused(f, "belongs to another user or can be written by others");
    assert_int_equal(chmod(folder, 0755), 0);
    open_home(f);
}

static void test_folder_of_another_user_is_refused(void **state)
{
    struct fixture *f = *state;
    char folder[PATH_BYTES];

    if (geteuid() != 0)
        skip(); /* only root can make one */
    path_of(f, "run", folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    path_of(f, "run/" TKR_COLLECTOR_FOLDER, folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(chown(folder, STRANGER, STRANGER), 0);
    assert_refused(f, "belongs to another user or can be written by others");
}

static void test_link_for_the_folder_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES];

    path_of(f, "run", path);
    assert_int_equal(mkdir(path, 0700), 0);
    path_of(f, "run/" TKR_COLLECTOR_FOLDER, path);
    assert_int_equal(symlink("/", path), 0);
    assert_refused(f, "cannot open");
}

/* --- the name --- */

static void test_name_in_the_folder_stays_as_long_as_the_memory(void **state)
{
    struct fixture *f = *state;
    uint64_t name;

    open_home(f);
    name = f->home.name;
    tkr_home_close(&f->home);
    open_home(f);
    assert_true(f->home.name == name);
    tkr_home_close(&f->home);
    (void)snprintf(f->config.runtime_path, sizeof(f->config.runtime_path), "%s/other", f->dir);
    open_home(f);
    assert_true(f->home.name != name);
}

static void test_name_in_the_state_directory_outlives_the_memory(void **state)
{
    struct fixture *f = *state;
    uint64_t name;

    (void)snprintf(f->config.state_path, sizeof(f->config.state_path), "%s/state", f->dir);
    open_home(f);
    name = f->home.name;
    tkr_home_close(&f->home);
    (void)snprintf(f->config.runtime_path, sizeof(f->config.runtime_path), "%s/after-boot", f->dir);
    open_home(f);
    assert_true(f->home.name == name);
}

/* Two that run at once under one name would each take the other's records in the sink for their own. */
static void test_second_collector_under_the_same_name_is_refused(void **state)
{
    struct fixture *f = *state;

    (void)snprintf(f->config.state_path, sizeof(f->config.state_path), "%s/state", f->dir);
    open_home(f);
    (void)snprintf(f->config.runtime_path, sizeof(f->config.runtime_path), "%s/other", f->dir);
    assert_refused(f, "another collector runs under the name");
    tkr_home_close(&f->home);
    open_home(f);
}

static void test_state_directory_that_cannot_be_opened_is_refused(void **state)
{
    struct fixture *f = *state;

    (void)snprintf(f->config.state_path, sizeof(f->config.state_path), "%s/no/such", f->dir);
    assert_refused(f, "TOKENRING_STATE_DIR=");
}

/* With a new name all usage would be sent again: better not to start. */
static void test_broken_name_is_refused_and_left_as_it_is(void **state)
{
    static const char *const broken[] = {
        "", "short", "0123456789abcde", "0123456789ABCDEF\n", "0123456789abcdef0", "0000000000000000\n", "0123456789abcdeg\n"};
    struct fixture *f = *state;
    char path[PATH_BYTES];

    path_of(f, "state", path);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(f->config.state_path, sizeof(f->config.state_path), "%s", path);
    path_of(f, "state/name", path);
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct stat status;
        write_file(path, broken[i]);
        assert_refused(f, "cannot read or write the collector's name");
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_size, strlen(broken[i]));
    }
    write_file(path, "0123456789abcdef\n");
    open_home(f);
    assert_true(f->home.name == UINT64_C(0x0123456789abcdef));
}

static void test_name_left_half_written_is_no_obstacle(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES];

    path_of(f, "state", path);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(f->config.state_path, sizeof(f->config.state_path), "%s", path);
    path_of(f, "state/.name", path);
    write_file(path, "01234");
    open_home(f);
    assert_int_not_equal(f->home.name, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_missing_directory_is_made),
        T(test_second_collector_is_refused_until_the_first_has_left),
        T(test_home_closed_twice_is_harmless),
        T(test_directory_that_is_no_tmpfs_is_refused),
        T(test_link_for_a_directory_is_refused),
        T(test_directory_of_another_user_is_refused),
        T(test_directory_that_everybody_can_take_from_is_refused),
        T(test_folder_that_others_can_write_is_refused),
        T(test_folder_of_another_user_is_refused),
        T(test_link_for_the_folder_is_refused),
        T(test_name_in_the_folder_stays_as_long_as_the_memory),
        T(test_name_in_the_state_directory_outlives_the_memory),
        T(test_second_collector_under_the_same_name_is_refused),
        T(test_state_directory_that_cannot_be_opened_is_refused),
        T(test_broken_name_is_refused_and_left_as_it_is),
        T(test_name_left_half_written_is_no_obstacle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
