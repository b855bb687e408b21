/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define POLL_MS 100

/* O_NONBLOCK for the opening alone: a FIFO that nobody reads would hold it up. */
int tkr_log_file_open(const char *path)
{
    struct stat status;
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, TKR_LOG_FILE_MODE);

    if (fd < 0)
        return -1;
    if (fstat(fd, &status) == 0 && (S_ISREG(status.st_mode) || S_ISCHR(status.st_mode)))
        return fd;
    (void)close(fd);
    errno = EINVAL;
    return -1;
}

bool tkr_log_file_is_journal(int fd)
{
    const char *text = getenv("JOURNAL_STREAM");
    struct stat status;
    uintmax_t device;
    uintmax_t inode;
    char *end;

    if (text == NULL || fstat(fd, &status) != 0)
        return false;
    device = strtoumax(text, &end, 10);
    if (end == text || *end != ':')
        return false;
    text = end + 1;
    inode = strtoumax(text, &end, 10);
    return end != text && *end == '\0' && device == status.st_dev && inode == status.st_ino;
}

size_t tkr_log_file_write(int fd, const char *bytes, size_t len, bool (*give_up)(void *argument), void *argument)
{
    size_t written = 0;

    errno = EIO; /* of a write that takes nothing and says nothing */
    while (written < len) {
        ssize_t n = write(fd, bytes + written, len - written);
        struct pollfd writable = {.fd = fd, .events = POLLOUT};

        if (n > 0)
            written += (size_t)n;
        else if ((errno != EINTR && errno != EAGAIN) || (errno == EAGAIN && give_up(argument)))
            break;
        else if (errno == EAGAIN)
            (void)poll(&writable, 1, POLL_MS);
    }
    return written;
}
