/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backup's file being read, any bytes. It is read from one end to the other before anything is done with it: what is cut off,
 * damaged or not understood is known by then. What comes through a pipe is kept in a temporary file meanwhile.
 */
#ifndef TKR_BACKUP_READER_H
#define TKR_BACKUP_READER_H

#include <stdbool.h>
#include <stdio.h>

#include "backup/line.h"

struct tkr_backup_reader {
    const char *path; /* "-": standard input; borrowed */
    FILE *file;
    char *text; /* the line that was read last */
    size_t room;
    size_t len;
    uint64_t number; /* of that line, from 1 */
    bool ended;      /* the last line was read */
    void *sum;       /* of the lines before it */
    struct tkr_backup_head head;
    struct tkr_backup_counters counters;
    struct tkr_backup_end counted;  /* so far */
    struct tkr_backup_end end;      /* once checked */
    struct tkr_source_seen *source; /* by name, once checked */
    uint32_t source_count;
    uint32_t source_max;
};

/* Opens it. 0, or -1 with the reason; to be closed all the same. */
int tkr_backup_reader_open(const char *path, struct tkr_backup_reader *ret_reader, tkr_message *ret_message);

/* Reads all of it, and begins anew. 0 with head, end and sources; -1 with what is wrong, and where. */
int tkr_backup_reader_check(struct tkr_backup_reader *reader, tkr_message *ret_message);

/* Reads the next line, which is of any kind. 1; 0 after the last one; -1 with what is wrong, and where. */
int tkr_backup_reader_next(struct tkr_backup_reader *reader, struct tkr_backup_line *line, tkr_message *ret_message);

/* Reads the first line of a file. 0 with the head; 1: there is no such file, or nothing in it; -1 with why it is no backup. */
int tkr_backup_head_of(const char *path, struct tkr_backup_head *ret_head, tkr_message *ret_message);

void tkr_backup_reader_close(struct tkr_backup_reader *reader);

#endif
