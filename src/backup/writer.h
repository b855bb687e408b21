/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backup's file being written: under the name PATH.part, and under its own only when it is whole and on the disk. Whatever was
 * there before stays until then. A kill leaves PATH.part, which the next one takes over; two at once are told apart by a lock on
 * it.
 *
 * The file is for its owner alone (0600): ids and usage are nobody else's.
 */
#ifndef TKR_BACKUP_WRITER_H
#define TKR_BACKUP_WRITER_H

#include <stdio.h>

#include "backup/line.h"

struct tkr_backup_writer {
    const char *path; /* "-": standard output; borrowed */
    char *part;       /* NULL for standard output */
    FILE *file;
    void *sum; /* of all bytes so far */
    uint64_t bytes;
};

/* 0, or -1 with the reason; to be closed all the same. */
int tkr_backup_writer_open(const char *path, struct tkr_backup_writer *ret_writer, tkr_message *ret_message);

/* Takes a line that was made by backup/print.h, and frees it; NULL is that there was no memory. */
int tkr_backup_writer_put(struct tkr_backup_writer *writer, char *line, tkr_message *ret_message);

/* Writes the last line, with the checksum, which is filled in; the file then has its name. */
int tkr_backup_writer_end(struct tkr_backup_writer *writer, struct tkr_backup_end *end, tkr_message *ret_message);

/* Removes what was not ended. */
void tkr_backup_writer_close(struct tkr_backup_writer *writer);

#endif
