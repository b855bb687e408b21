/* SPDX-License-Identifier: Apache-2.0 */
#include "backup/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "backup/print.h"
#include "base/crash.h"

#define SHOWN_BYTES 120
#define MODE 0600

static int failed(const struct tkr_backup_writer *writer, tkr_message *ret_message)
{
    int error = errno;

    return tkr_message_set(ret_message, "%.*s: %s", SHOWN_BYTES,
                           strcmp(writer->path, "-") != 0 ? writer->path : "standard output", strerror(error));
}

static int no_memory(tkr_message *ret_message)
{
    return tkr_message_set(ret_message, "there is no memory for the backup");
}

/* Is the open file the one that has the name? Another backup may have renamed it before the lock was ours. */
static bool is_named(int fd, const char *name)
{
    struct stat open_file;
    struct stat named;

    return fstat(fd, &open_file) == 0 && lstat(name, &named) == 0 && open_file.st_dev == named.st_dev &&
           open_file.st_ino == named.st_ino;
}

/* The descriptor of PATH.part, empty and locked, or -1. */
static int open_part(struct tkr_backup_writer *writer, tkr_message *ret_message)
{
    int fd = open(writer->part, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, MODE);

    if (fd < 0)
        return failed(writer, ret_message);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 || !is_named(fd, writer->part))
        (void)tkr_message_set(ret_message, "%.*s: another backup is being written to it", SHOWN_BYTES, writer->path);
    else if (fchmod(fd, MODE) != 0 || ftruncate(fd, 0) != 0)
        (void)failed(writer, ret_message);
    else
        return fd;
    (void)close(fd);
    return -1;
}

static int open_file(struct tkr_backup_writer *writer, tkr_message *ret_message)
{
    bool standard = strcmp(writer->path, "-") == 0;
    int fd;

    if (!standard && asprintf(&writer->part, "%s.part", writer->path) < 0) {
        writer->part = NULL;
        return no_memory(ret_message);
    }
    fd = standard ? dup(STDOUT_FILENO) : open_part(writer, ret_message);
    if (fd < 0) {
        free(writer->part); /* not ours */
        writer->part = NULL;
        return standard ? failed(writer, ret_message) : -1;
    }
    writer->file = fdopen(fd, "wb");
    if (writer->file == NULL) {
        (void)close(fd);
        return no_memory(ret_message);
    }
    return 0;
}

int tkr_backup_writer_open(const char *path, struct tkr_backup_writer *ret_writer, tkr_message *ret_message)
{
    *ret_writer = (struct tkr_backup_writer){.path = path};
    ret_writer->sum = XXH64_createState();
    if (ret_writer->sum == NULL || XXH64_reset(ret_writer->sum, 0) == XXH_ERROR)
        return no_memory(ret_message);
    return open_file(ret_writer, ret_message);
}

static int write_line(struct tkr_backup_writer *writer, const char *line, tkr_message *ret_message)
{
    size_t len = strlen(line);

    if (fwrite(line, 1, len, writer->file) != len)
        return failed(writer, ret_message);
    writer->bytes += len;
    return 0;
}

int tkr_backup_writer_put(struct tkr_backup_writer *writer, char *line, tkr_message *ret_message)
{
    int rc;

    if (line == NULL)
        return no_memory(ret_message);
    (void)XXH64_update(writer->sum, line, strlen(line)); /* fails for a NULL only */
    rc = write_line(writer, line, ret_message);
    free(line);
    return rc;
}

/* The directory too, so that the name is on the disk. One that cannot be opened for it is not our failure. */
static void sync_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + 1);
    int fd = directory != NULL ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
    free(directory);
}

static int name_file(struct tkr_backup_writer *writer, tkr_message *ret_message)
{
    if (fsync(fileno(writer->file)) != 0)
        return failed(writer, ret_message);
    TKR_CRASH(BACKUP_SYNCED);
    if (rename(writer->part, writer->path) != 0)
        return failed(writer, ret_message);
    free(writer->part);
    writer->part = NULL;
    sync_directory(writer->path);
    return 0;
}

/* The last line; its checksum is of what is before its own digits, in that line too. */
static char *end_line(struct tkr_backup_writer *writer, struct tkr_backup_end *end)
{
    char *line = tkr_backup_print_end(end);

    if (line == NULL)
        return NULL;
    (void)XXH64_update(writer->sum, line, strlen(line) - 1 - TKR_BACKUP_END_REST);
    free(line);
    end->xxh64 = XXH64_digest(writer->sum);
    return tkr_backup_print_end(end);
}

int tkr_backup_writer_end(struct tkr_backup_writer *writer, struct tkr_backup_end *end, tkr_message *ret_message)
{
    char *line = end_line(writer, end);
    int rc;

    if (line == NULL)
        return no_memory(ret_message);
    rc = write_line(writer, line, ret_message);
    free(line);
    if (rc == 0 && fflush(writer->file) != 0)
        rc = failed(writer, ret_message);
    return rc == 0 && writer->part != NULL ? name_file(writer, ret_message) : rc;
}

/* Removed before the lock goes with the descriptor: nobody else's is. */
void tkr_backup_writer_close(struct tkr_backup_writer *writer)
{
    if (writer->part != NULL)
        (void)unlink(writer->part); /* if it cannot be, the next backup takes it over */
    if (writer->file != NULL)
        (void)fclose(writer->file); /* what counts was flushed, and looked at */
    free(writer->part);
    (void)XXH64_freeState(writer->sum); /* takes NULL */
    *writer = (struct tkr_backup_writer){.path = NULL};
}
