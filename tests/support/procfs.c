/* SPDX-License-Identifier: Apache-2.0 */
#include "support/procfs.h"

#include <dirent.h>
#include <stdio.h>

#define PATH_BYTES 64
#define LINE_BYTES 4608 /* a mapping's line names a path */

static FILE *open_of(pid_t pid, const char *name)
{
    char path[PATH_BYTES];

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    return fopen(path, "re");
}

static long anonymous_bytes(pid_t pid)
{
    FILE *file = open_of(pid, "status");
    char line[LINE_BYTES];
    long kib = -1;

    while (file != NULL && kib < 0 && fgets(line, sizeof(line), file) != NULL)
        (void)sscanf(line, "RssAnon: %ld kB", &kib); /* another line leaves it */
    if (file != NULL)
        (void)fclose(file);
    return kib < 0 ? -1 : kib * 1024;
}

static long count_lines(pid_t pid, const char *name)
{
    FILE *file = open_of(pid, name);
    char line[LINE_BYTES];
    long count = 0;

    if (file == NULL)
        return -1;
    while (fgets(line, sizeof(line), file) != NULL)
        count++;
    (void)fclose(file);
    return count;
}

static long count_files(pid_t pid)
{
    char path[PATH_BYTES];
    DIR *directory;
    long count = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    directory = opendir(path);
    if (directory == NULL)
        return -1;
    for (const struct dirent *item; (item = readdir(directory)) != NULL;)
        count += item->d_name[0] != '.';
    (void)closedir(directory);
    return count;
}

int procfs_read(pid_t pid, struct procfs_usage *ret_usage)
{
    struct procfs_usage usage = {anonymous_bytes(pid), count_files(pid), count_lines(pid, "maps")};

    if (usage.anonymous_bytes < 0 || usage.files < 0 || usage.mappings < 0)
        return -1;
    *ret_usage = usage;
    return 0;
}

bool procfs_instrumented(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#else
    return false;
#endif
}
