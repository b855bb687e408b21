/* SPDX-License-Identifier: Apache-2.0 */
/* Contributions into the ledger: compare with the row, then change it, all within the caller's transaction. */
#ifndef TKR_SINK_SQLITE_APPLY_H
#define TKR_SINK_SQLITE_APPLY_H

#include "sink/sqlite/ledger.h"

/* The statements that are kept; zeroed: none. */
struct tkr_ledger_statements {
    sqlite3_stmt *rows;
    sqlite3_stmt *put;
    sqlite3_stmt *drop; /* a record that is forgotten */
    sqlite3_stmt *seen_get;
    sqlite3_stmt *seen_put;
    sqlite3_stmt *model_rows; /* as the first three, for models */
    sqlite3_stmt *model_put;
    sqlite3_stmt *model_drop;
};

/* 0, or -1 with the reason and none kept. */
int tkr_ledger_statements_prepare(const struct tkr_ledger *ledger, struct tkr_ledger_statements *ret_statements,
                                  tkr_message *ret_message);
void tkr_ledger_statements_finalize(struct tkr_ledger_statements *statements);

/* Reads the source's `seen` into the chunk and, when it is the one expected, advances it. 0, or -1 with the reason. */
int tkr_ledger_advance_seen(const struct tkr_ledger *ledger, const struct tkr_ledger_statements *statements,
                            struct tkr_chunk *chunk, tkr_message *ret_message);

/*
 * Applies one contribution, or finds another record, or that it cannot be applied: the outcome says which, and then
 * nothing was written. A row of another life is added to the base row in the same step. 0, or -1 with the reason, and
 * the transaction must not be committed.
 */
int tkr_ledger_apply(const struct tkr_ledger *ledger, const struct tkr_ledger_statements *statements, const char *source,
                     struct tkr_contribution *item, tkr_message *ret_message);

#endif
