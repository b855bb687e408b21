/* SPDX-License-Identifier: Apache-2.0 */
#include "base/host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

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

static int make_directory(const char *path, bool own)
{
    mode_t mode = own ? MODE_OWN : MODE_SHARED;

    if (mkdir(path, MODE_OWN) != 0)
        return errno == EEXIST ? TKR_OK : TKR_ENODIR;
    return chmod(path, mode) == 0 ? TKR_OK : TKR_ENODIR; /* mkdir obeys the umask and drops the upper bits */
}

/* In a directory that everybody may write, without the sticky bit anybody could take away what is another's. */
static bool safe(const struct stat *status, bool own)
{
    if (own)
        return status->st_uid == geteuid() && (status->st_mode & (S_IWGRP | S_IWOTH)) == 0;
    return (status->st_mode & S_IWOTH) == 0 || (status->st_mode & S_ISVTX) != 0;
}

int tkr_runtime_open(const char *path, bool own, bool create)
{
    struct statfs filesystem;
    struct stat status;
    int fd;

    if (create && make_directory(path, own) != TKR_OK)
        return TKR_ENODIR;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES)
        fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); /* mode 3773: may enter, not list */
    if (fd < 0)
        return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? TKR_ESYSTEM : TKR_ENODIR;
    if (fstat(fd, &status) != 0 || !safe(&status, own)) {
        (void)close(fd);
        return TKR_ENODIR;
    }
    if (fstatfs(fd, &filesystem) != 0 || filesystem.f_type != TMPFS_MAGIC) {
        (void)close(fd);
        return TKR_ETMPFS;
    }
    return fd;
}
