/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger: one SQLite file, in WAL mode, readable with the sqlite3 shell while it is written.
 *
 *     contribution        account, kind, cycle 'YYYY-MM-DD', source, life, and a column for each counter of
 *                         base/counters.def. One row per source, and a base row with source '' and life 0, which holds what
 *                         older lives of all sources came to. Resets are a row of source 'reset', negative. What a restore
 *                         added that no source had recorded is a row of source 'backup.ID' (sink/restore.h), its
 *                         life the highest chunk number that the backup knew.
 *     model_contribution  the same for models of accounts: a column `model` besides, and such rows for each model
 *     seen                source, number of its last chunk
 *     usage_limit         kind, account, cycle ('' for a standing limit), tokens; 0: the account is blocked
 *     alert               kind, account, cycle, percent of the limit that was used, and said so
 *     forgotten           digest of an account's cycle that was forgotten (sink/sqlite/forget.h), and when, in seconds
 *     dataset             name 'identity': which data set this is (sink/dataset.h)
 *     usage               a view: the sums per kind, account and cycle. This is what is to be read.
 *     usage_by_model      a view: the sums per kind, account, cycle and model, each a part of what `usage` has
 *
 * application_id says that it is a ledger; user_version is TKR_LEDGER_LAYOUT * 100 + the number of counters. A file
 * with fewer counters, or without one of the later tables (models, limits, alerts, forgotten, dataset), is brought up on opening; one with more
 * counters or of a newer layout is left alone.
 *
 * Committed is on disk (synchronous=FULL). Not for network file systems: WAL needs shared memory among its users.
 */
#ifndef TKR_SINK_SQLITE_LEDGER_H
#define TKR_SINK_SQLITE_LEDGER_H

#include <stdbool.h>
#include <sys/types.h>

#include <sqlite3.h>

#include "sink/sink.h"

#define TKR_LEDGER_APPLICATION_ID 0x746b7231 /* "tkr1" */
#define TKR_LEDGER_LAYOUT 1

/* An open ledger, and which file it is. */
struct tkr_ledger {
    sqlite3 *db;
    const char *path; /* borrowed */
    dev_t device;
    ino_t inode;
    ino_t wal_inode; /* of the files beside it; 0: none */
    ino_t shm_inode;
    bool by_model; /* opened for reading: there is the table of models */
};

/*
 * Opens the file for writing, makes it when it is not there (its directory only when that is the default one in the
 * home directory), and brings it up to this program's counters. timeout_ms: how long to wait for another writer.
 * 0, or -1 with the reason.
 */
int tkr_ledger_open(const char *path, int timeout_ms, struct tkr_ledger *ret_ledger, tkr_message *ret_message);

/* Opens it for reading. *ret_counters: how many it has, at most TKR_COUNTER_COUNT. 0; 1: there is none yet, as the message says;
 * -1 with the reason. */
int tkr_ledger_open_to_read(const char *path, int timeout_ms, struct tkr_ledger *ret_ledger, int *ret_counters,
                            tkr_message *ret_message);

/* Has it a table for limits? One that was only read since this program came has none yet. */
bool tkr_ledger_has_limits(const struct tkr_ledger *ledger);

/* Has it a table for what data set it is? Likewise. */
bool tkr_ledger_has_dataset(const struct tkr_ledger *ledger);

/* Is the open file no longer the one at its path: replaced, moved or removed? */
bool tkr_ledger_gone(const struct tkr_ledger *ledger);

/* Bytes of the write-ahead log beside the file at path; 0: there is none. */
uint64_t tkr_ledger_wal_bytes(const char *path);

/* Runs statements that give no rows. 0, or -1 with the reason. */
int tkr_ledger_run(const struct tkr_ledger *ledger, const char *sql, tkr_message *ret_message);

/* Prepares a statement to be kept; the caller finalizes it. 0, or -1 with the reason. */
int tkr_ledger_prepare(const struct tkr_ledger *ledger, const char *sql, sqlite3_stmt **ret_statement, tkr_message *ret_message);

/* "ledger PATH: " and what SQLite says about its last failure. Always -1. */
int tkr_ledger_failed(const struct tkr_ledger *ledger, tkr_message *ret_message);

/*
 * Closes one that is gone: what its WAL holds goes into the file that was opened, wherever that lies now, and the WAL does not stay
 * at the path, where SQLite would take it for that of the next file. All statements are finalized.
 */
void tkr_ledger_leave(struct tkr_ledger *ledger);

/* Closes it; all statements are finalized. Accepts one that never opened. */
void tkr_ledger_close(struct tkr_ledger *ledger);

#endif
