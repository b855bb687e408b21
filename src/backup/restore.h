/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restoring a backup: its accounts go to the sink, in the way and with the proof of sink/restore.h, while collectors and
 * gateways work.
 *
 *     read all of the file                     a kill leaves nothing done; what is wrong with it is known
 *     look at the sink's data set              refused where it is the backup's own, one that was there when the backup was made,
 *                                              or one into which another backup was restored
 *     note the backup in the data set          a kill leaves a note: no other backup can be restored there, this one goes on
 *     numbers of sources                       a kill leaves some of them, which are no less right alone
 *     accounts, some at a time                 a kill leaves whole accounts
 *     standing limits where there is none      a kill leaves some of them
 *     note that it was whole                   if nothing was left alone. Standing limits are not set again from then on
 */
#ifndef TKR_BACKUP_RESTORE_H
#define TKR_BACKUP_RESTORE_H

#include "backup/line.h"

struct tkr_backup_restore_options {
    const char *path; /* "-": standard input */
    bool dry_run;
    bool anyway;     /* tkr_restore_terms.anyway */
    const char *id;  /* of the only account that is wanted; NULL: all */
    uint32_t id_len; /* bytes */
    uint64_t kind;   /* its kind */
    /* What came of an account or standing limit. */
    void (*tell)(const struct tkr_holdings *account, const struct tkr_restored *restored, void *arg);
    void *arg;
};

struct tkr_backup_restore_report {
    struct tkr_backup_head head;
    struct tkr_backup_end end;
    uint64_t restored;  /* accounts and cycles */
    uint64_t before;    /* by an earlier run */
    uint64_t forgotten; /* by somebody, since the loss */
    uint64_t left;      /* alone, standing limits among them */
    uint64_t records;
    uint64_t limits;  /* set, of cycles and standing */
    uint64_t skipped; /* not wanted */
    tkr_counts added; /* to the accounts' own totals; a sum that does not fit stands at its end */
};

/* Restores it. 0 with the report, or -1 with the reason; the report holds what was done until then. */
int tkr_backup_restore(const struct tkr_backup_restore_options *options, const struct tkr_sink_config *config,
                       struct tkr_backup_restore_report *ret_report, tkr_message *ret_message);

#endif
