/* SPDX-License-Identifier: Apache-2.0 */
/* Directories for one test, on the tmpfs that runtime files must lie on. */
#ifndef TESTS_SUPPORT_TEMPDIR_H
#define TESTS_SUPPORT_TEMPDIR_H

#define TEMPDIR_BYTES 48 /* short enough that a Unix socket's path fits behind it */

/* Makes a directory of mode 0700 under /dev/shm. 0, or -1 with errno. */
int tempdir_make(char ret_path[TEMPDIR_BYTES]);

/* Removes it with all that is in it, following no link; does nothing for "" and for what tempdir_make did not name. */
void tempdir_remove(const char *path);

#endif
