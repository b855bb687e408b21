/* SPDX-License-Identifier: Apache-2.0 */
/* Where the log goes: standard error, or a file that is appended to. */
#ifndef TKR_BASE_LOG_FILE_H
#define TKR_BASE_LOG_FILE_H

#include <stdbool.h>
#include <stddef.h>

#define TKR_LOG_FILE_MODE 0640 /* less the umask */

/*
 * Opens a file to append to; makes it where it is not there. A regular file or a character device such as /dev/null: others could
 * keep a start waiting. A descriptor, close-on-exec; -1 with errno, EINVAL where it is neither.
 */
int tkr_log_file_open(const char *path);

/* Is the descriptor the stream that JOURNAL_STREAM names (sd-daemon(3)): does the journal read what is written there? */
bool tkr_log_file_is_journal(int fd);

/*
 * Writes all of it, in one write(2) where the file takes it whole. What cannot take more at present is waited for, also where it is
 * non-blocking, until give_up(argument) says so. Returns the bytes written; fewer than len: errno says why, EAGAIN that it was given up.
 */
size_t tkr_log_file_write(int fd, const char *bytes, size_t len, bool (*give_up)(void *argument), void *argument);

#endif
