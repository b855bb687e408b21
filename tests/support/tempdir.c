/* SPDX-License-Identifier: Apache-2.0 */
#include "support/tempdir.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PREFIX "/dev/shm/tokenring-test-"
#define OPEN_DIRECTORIES 16

_Static_assert(sizeof(PREFIX "XXXXXX") <= TEMPDIR_BYTES, "the name fits");

int tempdir_make(char ret_path[TEMPDIR_BYTES])
{
    memcpy(ret_path, PREFIX "XXXXXX", sizeof(PREFIX "XXXXXX"));
    if (mkdtemp(ret_path) != NULL)
        return 0;
    ret_path[0] = '\0';
    return -1;
}

/* On the way down, so that directories that a test closed can be emptied; ordinary users need this. */
static int open_up(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)where;
    if (type == FTW_D || type == FTW_DNR)
        (void)chmod(path, 0700); /* if not, removing fails too and the directory stays */
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    (void)remove(path); /* go on: as much as can be removed */
    return 0;
}

void tempdir_remove(const char *path)
{
    if (strncmp(path, PREFIX, sizeof(PREFIX) - 1) != 0 || strlen(path) != sizeof(PREFIX "XXXXXX") - 1)
        return;
    (void)nftw(path, open_up, OPEN_DIRECTORIES, FTW_PHYS);
    (void)nftw(path, remove_one, OPEN_DIRECTORIES, FTW_PHYS | FTW_DEPTH);
}
