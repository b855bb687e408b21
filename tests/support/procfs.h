/* SPDX-License-Identifier: Apache-2.0 */
/* What a running process takes, as the kernel counts it. */
#ifndef TESTS_SUPPORT_PROCFS_H
#define TESTS_SUPPORT_PROCFS_H

#include <stdbool.h>
#include <sys/types.h>

struct procfs_usage {
    long anonymous_bytes; /* resident, the process' own: heap, stacks, SQLite's cache */
    long files;           /* open descriptors */
    long mappings;
};

/* Reads all three. 0, or -1 when the process is gone. */
int procfs_read(pid_t pid, struct procfs_usage *ret_usage);

/* Is this a sanitizer's build? Its memory is then not what the program takes, and everything is slower. */
bool procfs_instrumented(void);

#endif
