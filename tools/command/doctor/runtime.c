/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime directory: is it there, safe, in memory, and is there room in it? */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/host.h"
#include "base/huge.h"
#include "base/tmpfs.h"
#include "collector/home.h"
#include "command/doctor/findings.h"
#include "command/number.h"
#include "region/name.h"
#include "tokenring/tokenring.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

#define SUBJECT "runtime directory"
#define MODE_SHARED 03773
#define MODE_MASK 07777
#define ROOM_LEAST (UINT64_C(4) << 20) /* a lane that grows, and a new process */

/* What files may still take of the tmpfs: their size less what they have. */
struct budget {
    unsigned regions;
    uint64_t regions_bytes;
    uint64_t collector_bytes;
};

static const char *owner_text(const struct stat *status)
{
    return status->st_uid == geteuid() ? "this user's" : status->st_uid == 0 ? "root's" : "another user's";
}

static void look_at_mode(struct tkr_findings *findings, const char *path, const struct stat *status, bool own)
{
    unsigned mode = status->st_mode & MODE_MASK;

    if (own || (mode & (S_IWGRP | S_IWOTH)) == 0)
        tkr_finding_add(findings, TKR_FINDING_OK, SUBJECT, NULL, "%s is %s, mode %04o: only its owner's gateways can record",
                        path, owner_text(status), mode);
    else if (mode == MODE_SHARED)
        tkr_finding_add(findings, TKR_FINDING_OK, SUBJECT, NULL,
                        "%s is %s, mode 3773: gateways of all users can record, each apart", path, owner_text(status));
    else
        tkr_finding_add(findings, TKR_FINDING_WARNING, SUBJECT, "chmod 3773, as the collector makes it",
                        "%s is %s, mode %04o: users that share it see each other's files", path, owner_text(status), mode);
    if (access(path, W_OK | X_OK) != 0)
        tkr_finding_add(findings, TKR_FINDING_WARNING, SUBJECT, "run gateways as a user that may write there",
                        "this user cannot make files in %s", path);
}

/* Adds what a file may still take. */
static void weigh(int directory, const char *name, uint64_t *sum)
{
    struct stat status;
    uint64_t taken;

    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode))
        return;
    taken = (uint64_t)status.st_blocks * 512;
    *sum += (uint64_t)status.st_size > taken ? (uint64_t)status.st_size - taken : 0;
}

/* false: it may not be listed. */
static bool weigh_all(int directory, bool collector, struct budget *budget)
{
    int fd = openat(directory, collector ? TKR_COLLECTOR_FOLDER : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *files = fd >= 0 ? fdopendir(fd) : NULL;
    uint8_t id[TKR_REGION_ID_BYTES];
    const struct dirent *item;

    if (files == NULL) {
        bool none = fd < 0 && errno == ENOENT;
        if (fd >= 0)
            (void)close(fd);
        return none;
    }
    while ((item = readdir(files)) != NULL) {
        if (collector) {
            weigh(fd, item->d_name, &budget->collector_bytes);
        } else if (tkr_region_name_parse(item->d_name, id)) {
            budget->regions++;
            weigh(fd, item->d_name, &budget->regions_bytes);
        }
    }
    (void)closedir(files);
    return true;
}

static void look_at_room(struct tkr_findings *findings, int directory)
{
    static const char more[] =
        "make the tmpfs larger (mount -o remount,size=...; docker run --shm-size), or region_bytes_max and "
        "TOKENRING_MAX_ACCOUNTS smaller";
    struct budget budget = {0};
    struct tkr_tmpfs tmpfs;
    char text[4][TKR_COMMAND_NUMBER_BYTES];
    uint64_t share;

    if (!tkr_tmpfs_read(directory, &tmpfs))
        return; /* it was open as a tmpfs just now */
    if (!weigh_all(directory, false, &budget) || !weigh_all(directory, true, &budget))
        tkr_finding_add(findings, TKR_FINDING_WARNING, SUBJECT, "run this as the collector's user or as root",
                        "what lies in it may not be seen by this user");
    share = tkr_tmpfs_share(tmpfs.bytes);
    (void)tkr_command_bytes(tmpfs.available, text[0]);
    (void)tkr_command_bytes(budget.regions_bytes, text[1]);
    (void)tkr_command_bytes(budget.collector_bytes, text[2]);
    (void)tkr_command_bytes(share, text[3]);
    if (tmpfs.available < share + ROOM_LEAST)
        tkr_finding_add(findings, TKR_FINDING_ERROR, "room", more,
                        "%s are free in the tmpfs, of which gateways leave %s to the collector: lanes cannot grow, and calls are "
                        "dropped",
                        text[0], text[3]);
    else if (tmpfs.available < budget.regions_bytes + budget.collector_bytes)
        tkr_finding_add(findings, TKR_FINDING_WARNING, "room", more,
                        "%s are free in the tmpfs; lanes of %u region%s may come to take %s more, and the collector's files %s",
                        text[0], budget.regions, budget.regions == 1 ? "" : "s", text[1], text[2]);
    else
        tkr_finding_add(findings, TKR_FINDING_OK, "room", NULL,
                        "%s are free in the tmpfs; lanes of %u region%s may come to take %s more, and the collector's files %s",
                        text[0], budget.regions, budget.regions == 1 ? "" : "s", text[1], text[2]);
    if (tmpfs.bytes != 0 && tmpfs.bytes < TKR_TMPFS_RECOMMENDED_BYTES)
        tkr_finding_add(findings, TKR_FINDING_WARNING, "room", more,
                        "the tmpfs has %s in all; 512 MiB are recommended for the default sizes",
                        tkr_command_bytes(tmpfs.bytes, text[0]));
}

/* Can a collector make it? That is what its parent says. */
static void look_at_missing(struct tkr_findings *findings, const char *path)
{
    static const char elsewhere[] = "set TOKENRING_RUNTIME_DIR to a directory on a tmpfs that this user may write, or mount one "
                                    "there (mount -t tmpfs; docker run --shm-size)";
    char parent[TKR_RUNTIME_PATH_BYTES];
    struct statfs filesystem;
    char *slash;

    (void)snprintf(parent, sizeof(parent), "%s", path); /* absolute */
    slash = strrchr(parent, '/');
    slash[slash == parent ? 1 : 0] = '\0';
    if (statfs(parent, &filesystem) != 0)
        tkr_finding_add(findings, TKR_FINDING_ERROR, SUBJECT, elsewhere, "%s is not there and cannot be made: %s: %s", path,
                        parent, strerror(errno));
    else if (filesystem.f_type != TMPFS_MAGIC)
        tkr_finding_add(findings, TKR_FINDING_ERROR, SUBJECT, elsewhere, "%s is not there, and %s is not on a tmpfs", path,
                        parent);
    else if (access(parent, W_OK | X_OK) != 0)
        tkr_finding_add(findings, TKR_FINDING_ERROR, SUBJECT, elsewhere,
                        "%s is not there, and this user cannot make it in %s: %s", path, parent, strerror(errno));
    else
        tkr_finding_add(findings, TKR_FINDING_WARNING, SUBJECT, "start tokenringd, which makes it", "%s is not there yet", path);
}

/* What a byte of a new file takes of the tmpfs, if it is allocated, or touched without huge pages as regions are. 0: unknown. */
static uint64_t taken_by_a_byte(int directory, bool touched)
{
    struct stat status = {0};
    int fd = openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    void *base = MAP_FAILED;
    bool done = fd >= 0 && ftruncate(fd, 2 * TKR_HUGE_BYTES) == 0;

    if (done && touched) {
        base = mmap(NULL, 2 * TKR_HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        done = base != MAP_FAILED && madvise(base, 2 * TKR_HUGE_BYTES, MADV_NOHUGEPAGE) == 0 &&
               madvise(base, 1, MADV_POPULATE_WRITE) == 0;
    } else if (done) {
        done = posix_fallocate(fd, 0, 1) == 0;
    }
    done = done && fstat(fd, &status) == 0;
    if (base != MAP_FAILED)
        (void)munmap(base, 2 * TKR_HUGE_BYTES);
    if (fd >= 0)
        (void)close(fd);
    return done ? (uint64_t)status.st_blocks * 512 : 0;
}

/* A tmpfs that gives huge pages to all files (mount option huge=) has no room for many small ones. */
static void look_at_pages(struct tkr_findings *findings, int directory)
{
    if (taken_by_a_byte(directory, false) < TKR_HUGE_BYTES)
        return;
    if (taken_by_a_byte(directory, true) < TKR_HUGE_BYTES)
        tkr_finding_add(findings, TKR_FINDING_OK, "room", NULL,
                        "the tmpfs gives files huge pages (huge=always or within_size): regions do without, other files take "
                        "multiples of 2 MiB");
    else
        tkr_finding_add(findings, TKR_FINDING_WARNING, "room", "mount it with huge=never, or use Linux 5.14 or later",
                        "the tmpfs gives files huge pages (huge=always or within_size): each gateway takes 4 MiB at least");
}

static void look_at_failure(struct tkr_findings *findings, const char *path, int failure)
{
    struct stat status;

    if (failure == TKR_ETMPFS)
        tkr_finding_add(findings, TKR_FINDING_ERROR, SUBJECT,
                        "set TOKENRING_RUNTIME_DIR to a directory on one, say below /dev/shm or /run", "%s is not on a tmpfs",
                        path);
    else if (lstat(path, &status) != 0 && errno == ENOENT)
        look_at_missing(findings, path);
    else if (lstat(path, &status) != 0)
        tkr_finding_add(findings, TKR_FINDING_ERROR, SUBJECT, "let this user enter it, or set TOKENRING_RUNTIME_DIR", "%s: %s",
                        path, strerror(errno));
    else if (!S_ISDIR(status.st_mode))
        tkr_finding_add(findings, TKR_FINDING_ERROR, SUBJECT, "remove it, or set TOKENRING_RUNTIME_DIR", "%s is no directory",
                        path);
    else
        tkr_finding_add(findings, TKR_FINDING_ERROR, SUBJECT,
                        "chmod 3773 (or 0700), and make it the collector's user's; or set TOKENRING_RUNTIME_DIR to another",
                        "%s is not safe: it is %s, mode %04o", path, owner_text(&status), (unsigned)status.st_mode & MODE_MASK);
}

void tkr_doctor_runtime(struct tkr_findings *findings, const char *runtime_dir)
{
    char path[TKR_RUNTIME_PATH_BYTES];
    struct stat status;
    bool own;
    int directory;

    if (tkr_runtime_path(runtime_dir, path, &own) != TKR_OK) {
        tkr_finding_add(findings, TKR_FINDING_ERROR, SUBJECT, "use a shorter path", "its path is too long");
        return;
    }
    directory = tkr_runtime_open(path, own, false, NULL);
    if (directory < 0) {
        look_at_failure(findings, path, directory);
        return;
    }
    if (fstat(directory, &status) == 0)
        look_at_mode(findings, path, &status, own);
    look_at_room(findings, directory);
    look_at_pages(findings, directory);
    (void)close(directory);
}
