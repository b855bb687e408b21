/* SPDX-License-Identifier: Apache-2.0 */
#include "chaos/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "support/network.h"

#define NAME_TIMEOUT_S 1 /* of a question that a silent name server lost */

int place_enter(void)
{
    return network_enter() ? 0 : -1;
}

static int mount_tmpfs(const char *path)
{
    char options[48];

    (void)snprintf(options, sizeof(options), "size=%lld,mode=0700", (long long)PLACE_TMPFS_BYTES);
    return mount("tmpfs", path, "tmpfs", 0, options);
}

static int make_clocks(struct place *place)
{
    int fd = open(place->clocks_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    place->clocks = NULL;
    if (fd >= 0 && ftruncate(fd, sizeof(*place->clocks)) == 0) {
        void *bytes = mmap(NULL, sizeof(*place->clocks), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        place->clocks = bytes == MAP_FAILED ? NULL : bytes;
    }
    if (fd >= 0)
        (void)close(fd);
    return place->clocks != NULL ? 0 : -1;
}

int place_start(struct place *ret_place, bool apart, const char *state)
{
    struct place *place = ret_place;

    memset(place, 0, sizeof(*place));
    if (tempdir_make(place->runtime) != 0)
        return -1;
    (void)snprintf(place->filler, sizeof(place->filler), "%s/filler", place->runtime);
    (void)snprintf(place->clocks_path, sizeof(place->clocks_path), "%s/clocks", state);
    if (make_clocks(place) != 0)
        return -1;
    if (!apart)
        return 0;
    if (mount_tmpfs(place->runtime) != 0)
        return -1;
    place->apart = true;
    place->names = network_name_server_start(0);
    return place->names != NULL && network_use_name_server(NAME_TIMEOUT_S) == 0 ? 0 : -1;
}

void place_end(struct place *place)
{
    network_name_server_stop(place->names);
    if (place->apart)
        (void)umount2(place->runtime, MNT_DETACH);
    if (place->clocks != NULL)
        (void)munmap(place->clocks, sizeof(*place->clocks));
    tempdir_remove(place->runtime);
    memset(place, 0, sizeof(*place));
}

int place_fill(struct place *place, int64_t left_bytes)
{
    struct statvfs status;
    int64_t bytes;
    int fd = open(place->filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int failure = fd < 0 || fstatvfs(fd, &status) != 0 ? errno : 0;

    if (failure == 0) {
        bytes = (int64_t)status.f_bavail * (int64_t)status.f_frsize - left_bytes;
        failure = bytes > 0 ? posix_fallocate(fd, 0, bytes) : 0;
    }
    if (fd >= 0)
        (void)close(fd);
    errno = failure;
    return failure == 0 ? 0 : -1;
}

void place_empty(struct place *place)
{
    (void)unlink(place->filler);
}

void place_silence(struct place *place, bool silent)
{
    network_name_server_delay(place->names, silent ? -1 : 0);
}

void place_step(struct place *place, enum place_clock clock, int64_t ahead_ns)
{
    atomic_store(&place->clocks->clock[clock].ahead_ns, ahead_ns);
}
