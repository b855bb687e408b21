/* SPDX-License-Identifier: Apache-2.0 */
/* A backup: a JSON object a line. What it is of, and how many lines of each kind it has; whether it is whole, a restore says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command/dump_file.h"
#include "command/text.h"

/* What a line begins with, which says its kind. */
static bool begins(const char *line, ssize_t len, const char *with)
{
    return len >= (ssize_t)strlen(with) && memcmp(line, with, strlen(with)) == 0;
}

/* The line's object under a key, if it is one. */
static void keep(struct tkr_dump *dump, const char *key, const char *line, size_t len)
{
    json_t *object = json_loadb(line, len, 0, NULL);

    if (json_is_object(object))
        (void)json_object_set(dump->object, key, object);
    else
        tkr_dump_doubt(dump, "its %s is no JSON object", key);
    json_decref(object);
}

struct lines {
    uint64_t all;
    uint64_t sources;
    uint64_t accounts;
    uint64_t unknown;
    bool ended;
};

static void take(struct tkr_dump *dump, const char *line, ssize_t len, struct lines *lines)
{
    lines->ended = begins(line, len, "{\"end\":");
    if (lines->all++ == 0)
        keep(dump, "head", line, (size_t)len);
    else if (lines->ended)
        keep(dump, "last_line", line, (size_t)len);
    else if (begins(line, len, "{\"source\":"))
        lines->sources++;
    else if (begins(line, len, "{\"account"))
        lines->accounts++;
    else
        lines->unknown++;
}

void tkr_dump_backup(struct tkr_dump *dump)
{
    int fd = dup(dump->fd);
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    struct lines lines = {0};
    char *line = NULL;
    size_t room = 0;
    ssize_t len;

    if (file == NULL) {
        if (fd >= 0)
            (void)close(fd);
        tkr_dump_doubt(dump, "it cannot be read");
        return;
    }
    while ((len = getline(&line, &room, file)) > 0)
        take(dump, line, len, &lines);
    free(line);
    (void)fclose(file);
    tkr_dump_set(dump->object, "sources", lines.sources);
    tkr_dump_set(dump->object, "accounts_and_limits", lines.accounts);
    if (lines.unknown > 0)
        tkr_dump_doubt(dump, "%llu lines are of no kind that this version knows", (unsigned long long)lines.unknown);
    if (!lines.ended)
        tkr_dump_doubt(dump, "it has no last line: it is cut");
}
