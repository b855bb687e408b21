/* SPDX-License-Identifier: Apache-2.0 */
/* Limits in a ledger, and what it has about accounts that are named. On connections of their own, without leave to write to read. */
#ifndef TKR_SINK_SQLITE_LIMITS_H
#define TKR_SINK_SQLITE_LIMITS_H

#include <sqlite3.h>

#include "sink/sink.h"

/*
 * The limit in a column of `tokens`: 0 blocks; what is below 0, or NULL, is none. SQLite keeps what a column of integers cannot
 * hold as it is: a text or a float is read as sink/limit.h has it, and shown in ret_text where it cannot be.
 */
int64_t tkr_ledger_limit(sqlite3_stmt *row, int column, char ret_text[TKR_LIMIT_TEXT_BYTES]);

/*
 * Sets a limit of tokens >= 0, where 0 blocks, or clears it (TKR_LIMIT_NONE); cycle 0 is the standing one. 0; 1: there was none
 * to clear; -1 with the reason.
 */
int tkr_ledger_limit_set(const char *path, int timeout_ms, const struct tkr_usage_row *account, int64_t tokens,
                         tkr_message *ret_message);

/* Visits all limits, those that cannot be read too, ordered by kind, account and cycle. 0, the visitor's number, or -1 with the
 * reason. */
int tkr_ledger_limits(const char *path, int timeout_ms, const struct tkr_give_up *give_up, tkr_usage_visit *visit, void *arg,
                      tkr_message *ret_message);

/* Looks up the accounts, all as of one moment. Sums below 0 count as 0. 0, or -1 with the reason. */
int tkr_ledger_lookup(const char *path, int timeout_ms, const struct tkr_usage_row *accounts, uint32_t count,
                      struct tkr_usage_found *ret_found, tkr_message *ret_message);

/* As tkr_sink_ops.claim: a row of the table `alert`, which is there or not. */
int tkr_ledger_claim(const char *path, int timeout_ms, const struct tkr_usage_row *account, uint32_t percent,
                     tkr_message *ret_message);

#endif
