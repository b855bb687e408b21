/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a backup: all that the sink has goes into a file (backup/line.h), account by account, each as it was at one moment, while
 * collectors work. One account is in memory at a time.
 *
 * The numbers of sources are read first: what is recorded later is of later chunks (sink/restore.h, R5). The data set gets its
 * number before, and must have the same one afterwards: else it was lost in between, and what was read is of two.
 *
 * A file that holds a backup is replaced only by one of the same data set, or of one into which that data set was restored
 * whole: after a loss the next backup, which a timer makes, would take the place of the one that is needed now.
 */
#ifndef TKR_BACKUP_BACKUP_H
#define TKR_BACKUP_BACKUP_H

#include "backup/line.h"

struct tkr_backup_options {
    const char *path;   /* "-": standard output */
    int64_t deadline_s; /* it is given up after so long */
    /* An account or standing limit that could not be read; the reason. */
    void (*left_out)(const struct tkr_holdings *holdings, const char *why, void *arg);
    void *arg;
};

struct tkr_backup_report {
    struct tkr_backup_head head;
    struct tkr_backup_end end;
    uint64_t foreign; /* fields that are none of ours, and not in it */
    uint64_t bytes;
};

/* Makes it. 0 with the report, or -1 with the reason: then there is no file, or the one that was there before. */
int tkr_backup_make(const struct tkr_backup_options *options, const struct tkr_sink_config *config,
                    struct tkr_backup_report *ret_report, tkr_message *ret_message);

#endif
