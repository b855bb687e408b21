/* SPDX-License-Identifier: Apache-2.0 */
/* All that a ledger has of an account's cycle, within the caller's transaction. */
#ifndef TKR_SINK_SQLITE_SNAPSHOT_H
#define TKR_SINK_SQLITE_SNAPSHOT_H

#include "sink/holdings.h"
#include "sink/sqlite/ledger.h"

/* The statements that are kept, and what was read last. Zeroed: none. */
struct tkr_ledger_snapshot {
    const struct tkr_ledger *ledger;
    sqlite3_stmt *rows;
    sqlite3_stmt *models;
    sqlite3_stmt *limit;
    sqlite3_stmt *forgotten;
    struct tkr_holdings holdings;
    char why[TKR_REASON_BYTES]; /* it cannot be read for */
};

/* Prepares it on an open ledger, which has all tables and counters. 0, or -1 with the reason; to be closed all the same. */
int tkr_ledger_snapshot_open(const struct tkr_ledger *ledger, struct tkr_ledger_snapshot *ret_snapshot, tkr_message *ret_message);
void tkr_ledger_snapshot_close(struct tkr_ledger_snapshot *snapshot);

/*
 * Reads an account and cycle (0: the standing limit). A row of a source and a life is a record; all other rows (older lives,
 * resets, what was restored, other programs') are of the rest. mark: of the backup that is asked for; NULL: none. 0 with the
 * holdings, finished; 1: it cannot be read as it is, and why; -1 with the reason, which is the ledger's.
 */
int tkr_ledger_snapshot_read(struct tkr_ledger_snapshot *snapshot, uint64_t kind, const char *id, uint32_t id_len, uint32_t cycle,
                             const char *mark, tkr_message *ret_message);

/* Binds kind (1), account (2) and cycle (3, '' for 0) of a statement. */
bool tkr_ledger_bind_account(sqlite3_stmt *statement, uint64_t kind, const char *id, uint32_t id_len, uint32_t cycle);

#endif
