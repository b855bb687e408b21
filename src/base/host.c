/* SPDX-License-Identifier: Apache-2.0 */
#include "base/host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/failure.h"
#include "tokenring/tokenring.h"

#define SYSTEM_DIRECTORY "/run/tokenring"
#define MODE_OWN 0700
#define MODE_SHARED 03773

int tkr_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

bool tkr_boot_id(uint8_t ret_id[TKR_BOOT_ID_BYTES])
{
    char text[64];
    size_t digits = 0;
    ssize_t n;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    n = read(fd, text, sizeof(text));
    (void)close(fd);
    memset(ret_id, 0, TKR_BOOT_ID_BYTES);
    for (ssize_t i = 0; i < n && digits < 2 * TKR_BOOT_ID_BYTES; i++) {
        int digit = tkr_hex_digit(text[i]);
        if (digit >= 0) {
            ret_id[digits / 2] = (uint8_t)(ret_id[digits / 2] << 4 | digit);
            digits++;
        }
    }
    return digits == 2 * TKR_BOOT_ID_BYTES;
}

bool tkr_random(void *ret_bytes, size_t count)
{
    ssize_t n;

    do {
        n = getrandom(ret_bytes, count, 0); /* up to 256 bytes come whole */
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)count;
}

void tkr_runtime_path_own(char ret_path[TKR_RUNTIME_PATH_BYTES])
{
    (void)snprintf(ret_path, TKR_RUNTIME_PATH_BYTES, "/dev/shm/tokenring-%u", (unsigned)geteuid());
}

int tkr_runtime_path(const char *given, char ret_path[TKR_RUNTIME_PATH_BYTES], bool *ret_own)
{
    char here[TKR_RUNTIME_PATH_BYTES];
    struct stat status;
    int n;

    if (given == NULL || given[0] == '\0')
        given = secure_getenv("TOKENRING_RUNTIME_DIR"); /* not for set-user-ID hosts */
    if ((given == NULL || given[0] == '\0') && stat(SYSTEM_DIRECTORY, &status) == 0 && S_ISDIR(status.st_mode))
        given = SYSTEM_DIRECTORY;
    *ret_own = given == NULL || given[0] == '\0';
    if (*ret_own) {
        tkr_runtime_path_own(ret_path);
        return TKR_OK;
    }
    if (given[0] == '/')
        n = snprintf(ret_path, TKR_RUNTIME_PATH_BYTES, "%s", given);
    else if (getcwd(here, sizeof(here)) != NULL) /* a host may change its directory, and a child open later */
        n = snprintf(ret_path, TKR_RUNTIME_PATH_BYTES, "%s/%s", here, given);
    else
        n = -1;
    return n > 0 && n < TKR_RUNTIME_PATH_BYTES ? TKR_OK : TKR_ENODIR;
}

/* Says why, where somebody wants to know. Returns the code. */
static int __attribute__((format(printf, 3, 4))) refuse(tkr_message *ret_why, int code, const char *format, ...)
{
    va_list args;

    if (ret_why == NULL)
        return code;
    va_start(args, format);
    (void)vsnprintf(ret_why->text, sizeof(ret_why->text), format, args); /* cut, not lost */
    va_end(args);
    return code;
}

static int make_directory(const char *path, bool own, tkr_message *ret_why)
{
    mode_t mode = own ? MODE_OWN : MODE_SHARED;

    if (mkdir(path, MODE_OWN) != 0) {
        if (errno == EEXIST)
            return TKR_OK;
    } else if (chmod(path, mode) == 0) { /* mkdir obeys the umask and drops the upper bits */
        return TKR_OK;
    }
    return refuse(ret_why, TKR_ENODIR,
                  "the runtime directory %.110s cannot be made: %s; set TOKENRING_RUNTIME_DIR to a directory on a tmpfs", path,
                  tkr_errno_text(errno));
}

/* In a directory that everybody may write, without the sticky bit anybody could take away what is another's. */
static bool safe(const struct stat *status, bool own)
{
    if (own)
        return status->st_uid == geteuid() && (status->st_mode & (S_IWGRP | S_IWOTH)) == 0;
    return (status->st_mode & S_IWOTH) == 0 || (status->st_mode & S_ISVTX) != 0;
}

static int refuse_unsafe(const char *path, const struct stat *status, bool own, tkr_message *ret_why)
{
    return refuse(
        ret_why, TKR_ENODIR,
        own ? "the runtime directory %.110s is not safe to use: of UID %u, mode %04o, it is not this user's alone; set "
              "TOKENRING_RUNTIME_DIR to another"
            : "the runtime directory %.110s is not safe to use: of UID %u, mode %04o, everybody may write it and it has "
              "no sticky bit; chmod 3773, or set TOKENRING_RUNTIME_DIR to another",
        path, (unsigned)status->st_uid, (unsigned)status->st_mode & 07777u);
}

static int refuse_unopened(const char *path, int error, tkr_message *ret_why)
{
    if (error == EMFILE || error == ENFILE || error == ENOMEM)
        return refuse(ret_why, TKR_ESYSTEM, "the runtime directory %.110s cannot be opened: %s", path, tkr_errno_text(error));
    if (error == ENOENT)
        return refuse(ret_why, TKR_ENODIR,
                      "there is no runtime directory %.110s; start tokenringd, which makes it, or set TOKENRING_RUNTIME_DIR to a "
                      "directory on a tmpfs",
                      path);
    return refuse(ret_why, TKR_ENODIR, "the runtime directory %.110s cannot be entered: %s; set TOKENRING_RUNTIME_DIR to another",
                  path, error == ELOOP || error == ENOTDIR ? "it is no directory, or a symbolic link" : tkr_errno_text(error));
}

int tkr_runtime_open(const char *path, bool own, bool create, tkr_message *ret_why)
{
    struct statfs filesystem;
    struct stat status;
    int fd;

    if (create && make_directory(path, own, ret_why) != TKR_OK)
        return TKR_ENODIR;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES)
        fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); /* mode 3773: may enter, not list */
    if (fd < 0)
        return refuse_unopened(path, errno, ret_why);
    if (fstat(fd, &status) != 0 || !safe(&status, own)) {
        (void)close(fd);
        return refuse_unsafe(path, &status, own, ret_why);
    }
    if (fstatfs(fd, &filesystem) != 0 || filesystem.f_type != TMPFS_MAGIC) {
        (void)close(fd);
        return refuse(ret_why, TKR_ETMPFS,
                      "the runtime directory %.110s is not on a tmpfs, which shared memory needs; set TOKENRING_RUNTIME_DIR to a "
                      "directory on one, for example below /dev/shm",
                      path);
    }
    return fd;
}
