/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime directory: where it is, and which are refused. */
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/host.h"
#include "support/tempdir.h"
#include "support/test.h"
#include "tokenring/tokenring.h"

#define STRANGER 61234u /* some user that is not us */

static char dir[TEMPDIR_BYTES];

static int make_dir(void **state)
{
    (void)state;
    (void)unsetenv("TOKENRING_RUNTIME_DIR");
    return tempdir_make(dir);
}

static int remove_dir(void **state)
{
    (void)state;
    tempdir_remove(dir);
    return 0;
}

static const char *inside(const char *name)
{
    static char path[TEMPDIR_BYTES + 64];

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

/* The result, with the descriptor closed when there was one: then TKR_OK. */
static int try_open(const char *path, bool own, bool create)
{
    int fd = tkr_runtime_open(path, own, create, NULL);

    if (fd < 0)
        return fd;
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(close(fd), 0);
    return TKR_OK;
}

static void test_runtime_path_given_wins_over_the_environment(void **state)
{
    char path[TKR_RUNTIME_PATH_BYTES];
    bool own = true;

    (void)state;
    assert_int_equal(setenv("TOKENRING_RUNTIME_DIR", "/from/environment", 1), 0);
    assert_int_equal(tkr_runtime_path("/given", path, &own), TKR_OK);
    assert_string_equal(path, "/given");
    assert_false(own);
    assert_int_equal(tkr_runtime_path(NULL, path, &own), TKR_OK);
    assert_string_equal(path, "/from/environment");
    assert_false(own);
    assert_int_equal(tkr_runtime_path("", path, &own), TKR_OK);
    assert_string_equal(path, "/from/environment");
}

static void test_runtime_path_without_a_hint_is_the_system_or_the_users(void **state)
{
    char path[TKR_RUNTIME_PATH_BYTES];
    char users[64];
    struct stat status;
    bool system = stat("/run/tokenring", &status) == 0 && S_ISDIR(status.st_mode);
    bool own = system;

    (void)state;
    (void)snprintf(users, sizeof(users), "/dev/shm/tokenring-%u", (unsigned)geteuid());
    assert_int_equal(setenv("TOKENRING_RUNTIME_DIR", "", 1), 0);
    assert_int_equal(tkr_runtime_path(NULL, path, &own), TKR_OK);
    assert_string_equal(path, system ? "/run/tokenring" : users);
    assert_true(own == !system);
}

static void test_runtime_path_relative_is_made_absolute(void **state)
{
    char path[TKR_RUNTIME_PATH_BYTES];
    char expected[TEMPDIR_BYTES + 16];
    bool own;

    (void)state;
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(tkr_runtime_path("run/here", path, &own), TKR_OK);
    assert_int_equal(chdir("/"), 0);
    (void)snprintf(expected, sizeof(expected), "%s/run/here", dir);
    assert_string_equal(path, expected); /* wherever the host goes then */
    assert_false(own);
}

static void test_runtime_path_too_long_is_refused(void **state)
{
    char path[TKR_RUNTIME_PATH_BYTES];
    char *given = malloc(TKR_RUNTIME_PATH_BYTES + 1);
    bool own;

    (void)state;
    assert_non_null(given);
    memset(given, 'x', TKR_RUNTIME_PATH_BYTES);
    given[0] = '/';
    given[TKR_RUNTIME_PATH_BYTES] = '\0';
    assert_int_equal(tkr_runtime_path(given, path, &own), TKR_ENODIR);
    given[TKR_RUNTIME_PATH_BYTES - 1] = '\0';
    assert_int_equal(tkr_runtime_path(given, path, &own), TKR_OK);
    free(given);
}

static void test_runtime_open_missing_is_refused_or_made_when_asked(void **state)
{
    struct stat status;

    (void)state;
    assert_int_equal(try_open(inside("missing"), false, false), TKR_ENODIR);
    assert_int_equal(try_open(inside("a/b"), false, true), TKR_ENODIR);
    (void)umask(0077);
    assert_int_equal(try_open(inside("shared"), false, true), TKR_OK);
    assert_int_equal(stat(inside("shared"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 03773);
    assert_int_equal(try_open(inside("own"), true, true), TKR_OK);
    assert_int_equal(stat(inside("own"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(try_open(inside("own"), true, true), TKR_OK); /* again: it is there */
}

static void test_runtime_open_file_or_link_or_fifo_is_refused(void **state)
{
    int fd = open(inside("file"), O_CREAT | O_WRONLY, 0600);
    char target[TEMPDIR_BYTES + 64];

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(mkdir(inside("real"), 0700), 0);
    (void)snprintf(target, sizeof(target), "%s/real", dir);
    assert_int_equal(symlink(target, inside("link")), 0);
    assert_int_equal(symlink("/nowhere", inside("dangling")), 0);
    assert_int_equal(mkfifo(inside("fifo"), 0600), 0);
    for (int create = 0; create < 2; create++) {
        assert_int_equal(try_open(inside("file"), false, create), TKR_ENODIR);
        assert_int_equal(try_open(inside("link"), false, create), TKR_ENODIR);
        assert_int_equal(try_open(inside("dangling"), false, create), TKR_ENODIR);
        assert_int_equal(try_open(inside("fifo"), false, create), TKR_ENODIR);
    }
    assert_int_equal(try_open(target, false, false), TKR_OK);
}

static void test_runtime_open_disk_directory_is_refused(void **state)
{
    static const char *const candidates[] = {"/var/tmp", "/usr", "/proc", "/"};
    struct statfs filesystem;
    int tried = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
        if (statfs(candidates[i], &filesystem) != 0 || filesystem.f_type == TMPFS_MAGIC)
            continue;
        assert_int_equal(try_open(candidates[i], false, false), TKR_ETMPFS);
        tried++;
    }
    assert_true(tried > 0);
}

static void test_runtime_open_own_directory_that_others_may_write_is_refused(void **state)
{
    static const mode_t bad[] = {0777, 0722, 0702, 0720, 01777, 0770};
    static const mode_t good[] = {0700, 0755, 0711};

    (void)state;
    assert_int_equal(mkdir(inside("mine"), 0700), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(chmod(inside("mine"), bad[i]), 0);
        assert_int_equal(try_open(inside("mine"), true, true), TKR_ENODIR);
        /* Named by the operator, who may want that; but not that anybody can take away what is another's. */
        assert_int_equal(try_open(inside("mine"), false, false), (bad[i] & 01002) == 0002 ? TKR_ENODIR : TKR_OK);
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(chmod(inside("mine"), good[i]), 0);
        assert_int_equal(try_open(inside("mine"), true, true), TKR_OK);
    }
}

static void test_runtime_open_own_directory_of_somebody_else_is_refused(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        (void)puts("skipped: only root can give a directory away");
        skip();
    }
    assert_int_equal(mkdir(inside("theirs"), 0700), 0);
    assert_int_equal(chown(inside("theirs"), STRANGER, (gid_t)-1), 0);
    assert_int_equal(try_open(inside("theirs"), true, true), TKR_ENODIR);
}

/* A producer that is no member of the directory's group: it may enter and create, not list. */
static int as_stranger_in_shared(void)
{
    int fd;
    int file;

    if (setgid(STRANGER) != 0 || setuid(STRANGER) != 0)
        return 2;
    fd = tkr_runtime_open(inside("shared"), false, false, NULL);
    if (fd < 0)
        return 3;
    file = openat(fd, "region", O_CREAT | O_EXCL | O_RDWR, 0660);
    if (file < 0)
        return 4;
    return tkr_runtime_open(inside("closed/within"), false, false, NULL) == TKR_ENODIR ? 0 : 5; /* cannot be reached at all */
}

static void test_runtime_open_shared_directory_serves_who_may_not_list_it(void **state)
{
    int status = 0;
    pid_t child;

    (void)state;
    if (geteuid() != 0) {
        (void)puts("skipped: only root can become another user");
        skip();
    }
    assert_int_equal(chmod(dir, 0755), 0);
    assert_int_equal(try_open(inside("shared"), false, true), TKR_OK);
    assert_int_equal(mkdir(inside("closed"), 0700), 0);
    assert_int_equal(mkdir(inside("closed/within"), 0700), 0);
    child = fork();
    if (child == 0)
        _exit(as_stranger_in_shared());
    assert_true(child > 0);
    assert_true(waitpid(child, &status, 0) == child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_boot_id_is_the_kernels_and_constant(void **state)
{
    uint8_t a[TKR_BOOT_ID_BYTES];
    uint8_t b[TKR_BOOT_ID_BYTES];
    char text[64] = "";
    char ours[64] = "";
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
    size_t n = 0;

    (void)state;
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    assert_int_equal(fclose(file), 0);
    assert_true(tkr_boot_id(a));
    assert_true(tkr_boot_id(b));
    assert_memory_equal(a, b, sizeof(a));
    for (int i = 0; i < TKR_BOOT_ID_BYTES; i++) {
        n += (size_t)snprintf(ours + n, sizeof(ours) - n, "%02x", a[i]);
        if (i == 3 || i == 5 || i == 7 || i == 9)
            ours[n++] = '-';
    }
    text[strcspn(text, "\n")] = '\0';
    assert_string_equal(ours, text);
}

static void test_random_fills_all_bytes(void **state)
{
    uint8_t seen[32] = {0};
    uint8_t bytes[32];

    (void)state;
    for (int i = 0; i < 40; i++) { /* a byte that is 0 forty times was not written */
        memset(bytes, 0, sizeof(bytes));
        assert_true(tkr_random(bytes, sizeof(bytes)));
        for (size_t j = 0; j < sizeof(bytes); j++)
            seen[j] |= bytes[j];
    }
    for (size_t j = 0; j < sizeof(seen); j++)
        assert_true(seen[j] != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_runtime_path_given_wins_over_the_environment, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_runtime_path_without_a_hint_is_the_system_or_the_users, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_runtime_path_relative_is_made_absolute, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_runtime_path_too_long_is_refused, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_runtime_open_missing_is_refused_or_made_when_asked, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_runtime_open_file_or_link_or_fifo_is_refused, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_runtime_open_disk_directory_is_refused, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_runtime_open_own_directory_that_others_may_write_is_refused, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_runtime_open_own_directory_of_somebody_else_is_refused, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_runtime_open_shared_directory_serves_who_may_not_list_it, make_dir, remove_dir),
        cmocka_unit_test(test_boot_id_is_the_kernels_and_constant),
        cmocka_unit_test(test_random_fills_all_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
