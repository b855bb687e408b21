/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite ledger: where it is, what that is, and whether there is room. The file is looked at as bytes, and never opened by SQLite. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "command/doctor/findings.h"
#include "command/number.h"
#include "sink/sink.h"

#define SUBJECT "ledger"
#define HEADER_BYTES 20
#define FORMAT_WAL 2 /* bytes 18 and 19 of the file: https://www.sqlite.org/fileformat.html, 1.3.3 */
#define ROOM_LEAST (UINT64_C(16) << 20)
#define ROOM_FEW (UINT64_C(256) << 20)

#define CIFS_MAGIC 0xff534d42u
#define FUSE_MAGIC 0x65735546u

static void look_at_file_system(struct tkr_findings *findings, const char *directory)
{
    struct statfs filesystem;

    if (statfs(directory, &filesystem) != 0)
        return; /* it was there just now */
    switch ((unsigned)filesystem.f_type) {
    case NFS_SUPER_MAGIC:
    case SMB_SUPER_MAGIC:
    case CIFS_MAGIC:
        tkr_finding_add(findings, TKR_FINDING_ERROR, SUBJECT, "put it on a local disk: SQLite's WAL does not work over a network",
                        "%s is on a network file system", directory);
        break;
    case TMPFS_MAGIC:
    case RAMFS_MAGIC:
        tkr_finding_add(findings, TKR_FINDING_WARNING, SUBJECT, "put it on a disk (TOKENRING_LEDGER, TOKENRING_STATE_DIR)",
                        "%s is in memory: a reboot takes the totals with it", directory);
        break;
    case OVERLAYFS_SUPER_MAGIC:
        tkr_finding_add(findings, TKR_FINDING_WARNING, SUBJECT, "put it on a volume that outlives the container",
                        "%s is in a container's own layer", directory);
        break;
    case FUSE_MAGIC:
        tkr_finding_add(findings, TKR_FINDING_WARNING, SUBJECT, "make sure that it is local, and that locks and mmap work there",
                        "%s is on a FUSE file system", directory);
        break;
    default:
        break;
    }
}

static void look_at_room(struct tkr_findings *findings, const char *directory)
{
    struct statvfs space;
    char text[TKR_COMMAND_NUMBER_BYTES];
    uint64_t room;

    if (statvfs(directory, &space) != 0)
        return; /* it was there just now */
    room = (uint64_t)space.f_bavail * space.f_frsize;
    (void)tkr_command_bytes(room, text);
    if (room < ROOM_LEAST)
        tkr_finding_add(findings, TKR_FINDING_ERROR, SUBJECT, "make room", "%s are free in %s", text, directory);
    else if (room < ROOM_FEW)
        tkr_finding_add(findings, TKR_FINDING_WARNING, SUBJECT, "make room: the write-ahead log alone may take 64 MiB",
                        "%s are free in %s", text, directory);
    else
        tkr_finding_add(findings, TKR_FINDING_OK, SUBJECT, NULL, "%s are free in %s", text, directory);
}

static void look_at_file(struct tkr_findings *findings, const char *path)
{
    unsigned char header[HEADER_BYTES];
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, header, sizeof(header)) : -1;
    int failure = errno;

    if (fd >= 0)
        (void)close(fd);
    if (fd < 0 && failure == ENOENT)
        tkr_finding_add(findings, TKR_FINDING_OK, SUBJECT, NULL, "%s is not there yet; the collector makes it", path);
    else if (n < 0)
        tkr_finding_add(findings, TKR_FINDING_ERROR, SUBJECT, "let the collector's user read and write it", "%s: %s", path,
                        strerror(failure));
    else if (n == 0)
        tkr_finding_add(findings, TKR_FINDING_OK, SUBJECT, NULL, "%s is empty; the collector fills it", path);
    else if (n < HEADER_BYTES || memcmp(header, "SQLite format 3", sizeof("SQLite format 3")) != 0)
        tkr_finding_add(findings, TKR_FINDING_ERROR, SUBJECT, "move it away, or set TOKENRING_LEDGER to another file",
                        "%s is no SQLite database", path);
    else if (header[18] != FORMAT_WAL || header[19] != FORMAT_WAL)
        tkr_finding_add(findings, TKR_FINDING_WARNING, SUBJECT,
                        "the collector turns it on when it starts; readers wait for it until then",
                        "%s does not use a write-ahead log (WAL)", path);
    else
        tkr_finding_add(findings, TKR_FINDING_OK, SUBJECT, NULL, "%s is a database with a write-ahead log (WAL)", path);
    if (n >= 0 && access(path, W_OK) != 0)
        tkr_finding_add(findings, TKR_FINDING_ERROR, SUBJECT, "let the collector's user write it, or run this as that user",
                        "%s may not be written by this user", path);
}

void tkr_doctor_ledger(struct tkr_findings *findings, const struct tkr_sink_config *config)
{
    char directory[TKR_SINK_PATH_BYTES];
    char *slash;
    struct stat status;

    (void)snprintf(directory, sizeof(directory), "%s", config->ledger); /* absolute, as the configuration has it */
    slash = strrchr(directory, '/');
    slash[slash == directory ? 1 : 0] = '\0';
    if (stat(directory, &status) != 0) {
        tkr_finding_add(findings, errno == ENOENT ? TKR_FINDING_WARNING : TKR_FINDING_ERROR, SUBJECT,
                        "make the directory, which the collector's user may write", "%s: %s", directory, strerror(errno));
        return;
    }
    if (access(directory, W_OK | X_OK) != 0)
        tkr_finding_add(findings, TKR_FINDING_ERROR, SUBJECT,
                        "let the collector's user write there: SQLite makes files beside the ledger",
                        "%s may not be written by this user", directory);
    look_at_file(findings, config->ledger);
    look_at_file_system(findings, directory);
    look_at_room(findings, directory);
}
