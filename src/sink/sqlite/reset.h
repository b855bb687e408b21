/* SPDX-License-Identifier: Apache-2.0 */
/* Resets in a ledger, on a connection of their own. */
#ifndef TKR_SINK_SQLITE_RESET_H
#define TKR_SINK_SQLITE_RESET_H

#include "sink/sink.h"

/*
 * Adds what the account's cycle has come to, negative, to its row of source 'reset', whose life counts the resets; likewise for each
 * of its models. No other row
 * changes, so that what sources have recorded stays recorded: nothing comes back, whatever is flushed, folded or forgotten after.
 * 0 with what it was; 1: there is nothing about it; -1 with the reason.
 */
int tkr_ledger_reset(const char *path, int timeout_ms, const struct tkr_usage_row *account, tkr_counts *ret_before,
                     tkr_message *ret_message);

#endif
