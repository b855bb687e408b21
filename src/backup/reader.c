/* SPDX-License-Identifier: Apache-2.0 */
#include "backup/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "backup/parse.h"

#define SHOWN_BYTES 120
#define ROOM_FIRST_BYTES 4096 /* for a line */

static const char *name_of(const struct tkr_backup_reader *reader)
{
    return strcmp(reader->path, "-") != 0 ? reader->path : "standard input";
}

static int failed(const struct tkr_backup_reader *reader, int error, tkr_message *ret_message)
{
    return tkr_message_set(ret_message, "%.*s: %s", SHOWN_BYTES, name_of(reader), strerror(error));
}

static int no_memory(tkr_message *ret_message)
{
    return tkr_message_set(ret_message, "there is no memory to read the backup");
}

static int wrong(const struct tkr_backup_reader *reader, const char *why, tkr_message *ret_message)
{
    return tkr_message_set(ret_message, "%.*s, line %" PRIu64 ": %s", SHOWN_BYTES, name_of(reader), reader->number, why);
}

/* --- the file --- */

static int restart(struct tkr_backup_reader *reader, tkr_message *ret_message)
{
    if (fseeko(reader->file, 0, SEEK_SET) != 0)
        return failed(reader, errno, ret_message);
    if (XXH64_reset(reader->sum, 0) == XXH_ERROR)
        return no_memory(ret_message);
    reader->number = 0;
    reader->ended = false;
    reader->counted = (struct tkr_backup_end){0};
    return 0;
}

/* Copies what can be read only once to where it can be read twice. */
static int spool(struct tkr_backup_reader *reader, tkr_message *ret_message)
{
    FILE *copy = tmpfile();
    char bytes[65536];
    size_t n;
    int error = errno;

    if (copy == NULL)
        return tkr_message_set(ret_message, "%.*s: no temporary file for it: %s", SHOWN_BYTES, name_of(reader), strerror(error));
    errno = 0;
    while ((n = fread(bytes, 1, sizeof(bytes), reader->file)) > 0) {
        if (fwrite(bytes, 1, n, copy) != n)
            break;
    }
    error = errno;
    if (n > 0 || ferror(reader->file) != 0 || fflush(copy) != 0) {
        (void)fclose(copy);
        return failed(reader, error != 0 ? error : EIO, ret_message);
    }
    (void)fclose(reader->file); /* was only read */
    reader->file = copy;
    return 0;
}

static int open_file(struct tkr_backup_reader *reader, tkr_message *ret_message)
{
    bool standard = strcmp(reader->path, "-") == 0;
    int fd = standard ? dup(STDIN_FILENO) : open(reader->path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return failed(reader, errno, ret_message);
    reader->file = fdopen(fd, "rb");
    if (reader->file == NULL) {
        (void)close(fd);
        return no_memory(ret_message);
    }
    if (fstat(fd, &st) != 0)
        return failed(reader, errno, ret_message);
    if (S_ISDIR(st.st_mode))
        return failed(reader, EISDIR, ret_message);
    return S_ISREG(st.st_mode) && !standard ? 0 : spool(reader, ret_message);
}

int tkr_backup_reader_open(const char *path, struct tkr_backup_reader *ret_reader, tkr_message *ret_message)
{
    *ret_reader = (struct tkr_backup_reader){.path = path};
    ret_reader->sum = XXH64_createState();
    ret_reader->text = malloc(ROOM_FIRST_BYTES);
    if (ret_reader->sum == NULL || ret_reader->text == NULL)
        return no_memory(ret_message);
    ret_reader->room = ROOM_FIRST_BYTES;
    if (open_file(ret_reader, ret_message) != 0)
        return -1;
    return restart(ret_reader, ret_message);
}

void tkr_backup_reader_close(struct tkr_backup_reader *reader)
{
    if (reader->file != NULL)
        (void)fclose(reader->file); /* was only read */
    free(reader->text);
    free(reader->source);
    (void)XXH64_freeState(reader->sum); /* takes NULL */
    *reader = (struct tkr_backup_reader){.path = NULL};
}

/* --- lines --- */

static bool room_for_one(struct tkr_backup_reader *reader)
{
    size_t more = 2 * reader->room;
    char *grown;

    if (reader->len < reader->room)
        return true;
    grown = realloc(reader->text, more);
    if (grown == NULL)
        return false;
    reader->text = grown;
    reader->room = more;
    return true;
}

/* Takes a line into reader->text, without its newline. 1; 0: the file ended before it; -1. */
static int read_text(struct tkr_backup_reader *reader, tkr_message *ret_message)
{
    int c;

    reader->len = 0;
    reader->number++;
    while ((c = getc_unlocked(reader->file)) != EOF && c != '\n') {
        if (reader->len == TKR_BACKUP_LINE_BYTES_MAX)
            return wrong(reader, "it is longer than 16 MiB, which no line of a backup is", ret_message);
        if (!room_for_one(reader))
            return no_memory(ret_message);
        reader->text[reader->len++] = (char)c;
    }
    if (c == '\n')
        return 1;
    if (ferror(reader->file) != 0)
        return failed(reader, errno, ret_message);
    if (reader->len > 0)
        return wrong(reader, "the file is cut off here", ret_message);
    return 0;
}

static void add_to_sum(struct tkr_backup_reader *reader)
{
    (void)XXH64_update(reader->sum, reader->text, reader->len); /* fail for a NULL only */
    (void)XXH64_update(reader->sum, "\n", 1);
}

/* Does the last line say what was read? It has to be the last. */
static int check_end(struct tkr_backup_reader *reader, const struct tkr_backup_end *end, tkr_message *ret_message)
{
    if (reader->len >= TKR_BACKUP_END_REST)
        (void)XXH64_update(reader->sum, reader->text, reader->len - TKR_BACKUP_END_REST);
    if (end->xxh64 != XXH64_digest(reader->sum))
        return wrong(reader, "the checksum of what is before it is another one: the file is damaged", ret_message);
    if (end->sources != reader->counted.sources || end->accounts != reader->counted.accounts ||
        end->limits != reader->counted.limits)
        return wrong(reader, "it counts other lines than there are: the file is damaged", ret_message);
    if (getc_unlocked(reader->file) != EOF)
        return wrong(reader, "it is how a backup ends, and more follows", ret_message);
    reader->end = *end;
    reader->ended = true;
    return 0;
}

static int take_line(struct tkr_backup_reader *reader, const struct tkr_backup_line *line, tkr_message *ret_message)
{
    bool first = reader->number == 1;

    if (first != (line->kind == TKR_BACKUP_HEAD))
        return wrong(reader, first ? "this is not how a backup begins" : "a backup begins within the file", ret_message);
    switch (line->kind) {
    case TKR_BACKUP_HEAD:
        reader->head = line->head;
        break;
    case TKR_BACKUP_SOURCE:
        reader->counted.sources++;
        break;
    case TKR_BACKUP_ACCOUNT:
        *(line->holdings.cycle == 0 ? &reader->counted.limits : &reader->counted.accounts) += 1;
        break;
    default:
        return check_end(reader, &line->end, ret_message);
    }
    add_to_sum(reader);
    return 0;
}

int tkr_backup_reader_next(struct tkr_backup_reader *reader, struct tkr_backup_line *line, tkr_message *ret_message)
{
    struct tkr_backup_counters counters = reader->counters;
    tkr_message why;
    int rc;

    if (reader->ended)
        return 0;
    rc = read_text(reader, ret_message);
    if (rc < 0)
        return -1;
    if (rc == 0)
        return tkr_message_set(ret_message, "%.*s: the file %s", SHOWN_BYTES, name_of(reader),
                               reader->number == 1 ? "is empty" : "is cut off: it has no last line that says that it is whole");
    if (tkr_backup_parse(reader->text, reader->len, &counters, line, &why) != 0)
        return wrong(reader, why.text, ret_message);
    reader->counters = counters; /* of the first line */
    return take_line(reader, line, ret_message) == 0 ? 1 : -1;
}

/* --- all of it --- */

static bool keep_source(struct tkr_backup_reader *reader, const struct tkr_source_seen *source)
{
    uint32_t more = reader->source_max != 0 ? 2 * reader->source_max : 64;
    struct tkr_source_seen *grown;

    if (reader->source_count == reader->source_max) {
        grown = realloc(reader->source, more * sizeof(*grown));
        if (grown == NULL)
            return false;
        reader->source = grown;
        reader->source_max = more;
    }
    reader->source[reader->source_count++] = *source;
    return true;
}

static int compare_sources(const void *left, const void *right)
{
    const struct tkr_source_seen *a = left;
    const struct tkr_source_seen *b = right;

    return strcmp(a->source, b->source);
}

static int sort_sources(struct tkr_backup_reader *reader, tkr_message *ret_message)
{
    if (reader->source_count > 0)
        qsort(reader->source, reader->source_count, sizeof(*reader->source), compare_sources);
    for (uint32_t i = 1; i < reader->source_count; i++) {
        if (strcmp(reader->source[i - 1].source, reader->source[i].source) == 0)
            return tkr_message_set(ret_message, "%.*s: it has source %s twice", SHOWN_BYTES, name_of(reader),
                                   reader->source[i].source);
    }
    return 0;
}

int tkr_backup_reader_check(struct tkr_backup_reader *reader, tkr_message *ret_message)
{
    struct tkr_backup_line line = {.kind = TKR_BACKUP_HEAD};
    int rc;

    reader->source_count = 0;
    while ((rc = tkr_backup_reader_next(reader, &line, ret_message)) == 1) {
        if (line.kind == TKR_BACKUP_SOURCE && !keep_source(reader, &line.source)) {
            rc = no_memory(ret_message);
            break;
        }
    }
    tkr_holdings_free(&line.holdings);
    if (rc == 0)
        rc = sort_sources(reader, ret_message);
    return rc == 0 ? restart(reader, ret_message) : rc;
}

static bool is_missing(const char *path)
{
    struct stat st;

    return stat(path, &st) != 0 ? errno == ENOENT : S_ISREG(st.st_mode) && st.st_size == 0;
}

int tkr_backup_head_of(const char *path, struct tkr_backup_head *ret_head, tkr_message *ret_message)
{
    struct tkr_backup_line line = {.kind = TKR_BACKUP_HEAD};
    struct tkr_backup_reader reader;
    struct stat st;
    int rc = -1;

    if (is_missing(path))
        return 1;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return tkr_message_set(ret_message, "%.*s: this is no regular file", SHOWN_BYTES, path);
    if (tkr_backup_reader_open(path, &reader, ret_message) == 0 && tkr_backup_reader_next(&reader, &line, ret_message) == 1) {
        *ret_head = reader.head;
        rc = 0;
    }
    tkr_backup_reader_close(&reader);
    tkr_holdings_free(&line.holdings);
    return rc;
}
