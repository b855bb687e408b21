/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/home.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crash.h"
#include "tokenring/tokenring.h"

#define FOLDER_MODE 0750
#define FILE_MODE 0640
#define STATE_MODE 0700
#define NAME_FILE "name"
#define NAME_FILE_NEW ".name"
#define NAME_DIGITS 16

/* Who owns the directory can take away all that lies in it, and the collector must be able to take away what is done with. */
static int check_runtime(const struct tkr_collector_config *config, const struct tkr_home *home, tkr_message *ret_message)
{
    struct stat status;

    if (fstat(home->runtime, &status) == 0 && (status.st_uid == geteuid() || status.st_uid == 0))
        return 0;
    return tkr_message_set(ret_message,
                           "the runtime directory %.110s belongs to another user; it must be the collector's own: "
                           "chown it, or set TOKENRING_RUNTIME_DIR to another",
                           config->runtime_path);
}

static int open_runtime(const struct tkr_collector_config *config, struct tkr_home *home, tkr_message *ret_message)
{
    home->runtime = tkr_runtime_open(config->runtime_path, config->runtime_own, true, ret_message);
    if (home->runtime < 0)
        return -1;
    if (check_runtime(config, home, ret_message) != 0)
        return -1;
    if (mkdirat(home->runtime, TKR_COLLECTOR_FOLDER, FOLDER_MODE) != 0 && errno != EEXIST)
        return tkr_message_set(ret_message, "cannot make %s/" TKR_COLLECTOR_FOLDER ": %s", config->runtime_path, strerror(errno));
    home->folder = openat(home->runtime, TKR_COLLECTOR_FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (home->folder < 0)
        return tkr_message_set(ret_message, "cannot open %s/" TKR_COLLECTOR_FOLDER ": %s", config->runtime_path, strerror(errno));
    return 0;
}

/* In a directory that others may write, a folder that somebody else made beforehand is refused. */
static int check_folder(const struct tkr_collector_config *config, const struct tkr_home *home, tkr_message *ret_message)
{
    struct stat status;

    if (fstat(home->folder, &status) == 0 && status.st_uid == geteuid() && (status.st_mode & 022) == 0)
        return 0;
    return tkr_message_set(ret_message, "%s/" TKR_COLLECTOR_FOLDER " belongs to another user or can be written by others",
                           config->runtime_path);
}

/* The directory's lock, held until the descriptor is closed. -1: with errno EAGAIN, somebody else has it. */
static int take_lock(int directory)
{
    struct flock request = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    int fd = openat(directory, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    int failure;

    if (fd < 0 || fcntl(fd, F_OFD_SETLK, &request) == 0)
        return fd;
    failure = errno == EACCES ? EAGAIN : errno; /* POSIX allows either */
    (void)close(fd);
    errno = failure;
    return -1;
}

static int lock_folder(const struct tkr_collector_config *config, struct tkr_home *home, tkr_message *ret_message)
{
    home->lock = take_lock(home->folder);
    if (home->lock >= 0)
        return 0;
    if (errno == EAGAIN)
        return tkr_message_set(ret_message, "another collector already serves %s", config->runtime_path);
    return tkr_message_set(ret_message, "cannot take the lock in %s: %s", config->runtime_path, strerror(errno));
}

/* Reads a name that an earlier collector left. 1: read; 0: there is none; -1: it is there and no name. */
static int read_name(int directory, uint64_t *ret_name)
{
    char text[NAME_DIGITS + 2] = "";
    ssize_t n;
    int fd = openat(directory, NAME_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    n = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    if (n < NAME_DIGITS || strspn(text, "0123456789abcdef") != NAME_DIGITS)
        return -1;
    *ret_name = strtoull(text, NULL, 16);
    return *ret_name != 0 ? 1 : -1;
}

/* Draws a name and puts it in place, durably: it must not change while Redis remembers it. */
static bool write_name(int directory, uint64_t *ret_name)
{
    char text[NAME_DIGITS + 2];
    bool written;
    int fd;

    do {
        if (!tkr_random(ret_name, sizeof(*ret_name)))
            return false;
    } while (*ret_name == 0);
    (void)snprintf(text, sizeof(text), "%016" PRIx64 "\n", *ret_name);
    (void)unlinkat(directory, NAME_FILE_NEW, 0); /* left by a death in here */
    fd = openat(directory, NAME_FILE_NEW, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    if (fd < 0)
        return false;
    written = write(fd, text, NAME_DIGITS + 1) == NAME_DIGITS + 1 && fsync(fd) == 0;
    (void)close(fd);
    TKR_CRASH(NAME_WRITTEN);
    return written && renameat(directory, NAME_FILE_NEW, directory, NAME_FILE) == 0 && fsync(directory) == 0;
}

static int lock_state(const char *path, int directory, struct tkr_home *home, tkr_message *ret_message)
{
    home->state_lock = take_lock(directory);
    if (home->state_lock >= 0)
        return 0;
    if (errno == EAGAIN)
        return tkr_setting_refuse(ret_message, "TOKENRING_STATE_DIR", path,
                                  "another collector runs under the name that is kept there");
    return tkr_setting_refuse(ret_message, "TOKENRING_STATE_DIR", path, "cannot take the lock in it: %s", strerror(errno));
}

static int find_name(const struct tkr_collector_config *config, struct tkr_home *home, tkr_message *ret_message)
{
    const char *path = config->state_path[0] != '\0' ? config->state_path : NULL;
    int directory = home->folder;
    int found;

    if (path != NULL) {
        (void)mkdir(path, STATE_MODE);
        directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (directory < 0)
            return tkr_message_set(ret_message, "TOKENRING_STATE_DIR=%s cannot be opened: %s", path, strerror(errno));
        if (lock_state(path, directory, home, ret_message) != 0) {
            (void)close(directory);
            return -1;
        }
    }
    found = read_name(directory, &home->name);
    if (found == 0 && write_name(directory, &home->name))
        found = 1;
    if (path != NULL)
        (void)close(directory);
    if (found == 1)
        return 0;
    return tkr_message_set(ret_message, "cannot read or write the collector's name in %s",
                           path != NULL ? path : config->runtime_path);
}

int tkr_home_open(const struct tkr_collector_config *config, struct tkr_home *ret_home, tkr_message *ret_message)
{
    struct tkr_home home = TKR_HOME_NONE;

    if (open_runtime(config, &home, ret_message) != 0 || check_folder(config, &home, ret_message) != 0 ||
        lock_folder(config, &home, ret_message) != 0 || find_name(config, &home, ret_message) != 0) {
        tkr_home_close(&home);
        return -1;
    }
    *ret_home = home;
    return 0;
}

bool tkr_home_locked(int directory)
{
    struct flock request = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    int fd = openat(directory, "lock", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    bool held = fd >= 0 && fcntl(fd, F_OFD_GETLK, &request) == 0 && request.l_type != F_UNLCK;

    if (fd >= 0)
        (void)close(fd);
    return held;
}

bool tkr_home_serves(const char *state_path, uint64_t name)
{
    int directory = open(state_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    uint64_t kept;
    bool serves;

    if (directory < 0)
        return false;
    serves = read_name(directory, &kept) == 1 && kept == name && tkr_home_locked(directory);
    (void)close(directory);
    return serves;
}

void tkr_home_close(struct tkr_home *home)
{
    if (home->state_lock >= 0)
        (void)close(home->state_lock);
    if (home->lock >= 0)
        (void)close(home->lock);
    if (home->folder >= 0)
        (void)close(home->folder);
    if (home->runtime >= 0)
        (void)close(home->runtime);
    *home = (struct tkr_home)TKR_HOME_NONE;
}
