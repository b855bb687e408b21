/* SPDX-License-Identifier: Apache-2.0 */
/* Which sources have been here, and of which accounts they have rows. On connections of their own. */
#ifndef TKR_SINK_SQLITE_RECORDS_H
#define TKR_SINK_SQLITE_RECORDS_H

#include "sink/sink.h"

/* Visits each source of which the ledger has a number. 0, the visitor's number, or -1 with the reason. */
int tkr_ledger_sources(const char *path, int timeout_ms, tkr_source_visit *visit, void *arg, tkr_message *ret_message);

/*
 * Visits the accounts and cycles, then their models, of which a source of this collector has a row, page by page: no transaction is open during a
 * visit. 0, the visitor's number, or -1 with the reason.
 */
int tkr_ledger_records(const char *path, int timeout_ms, const char *collector, tkr_usage_visit *visit, void *arg,
                       tkr_message *ret_message);

#endif
