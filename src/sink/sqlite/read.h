/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the totals out of a ledger, on a connection of its own. */
#ifndef TKR_SINK_SQLITE_READ_H
#define TKR_SINK_SQLITE_READ_H

#include "sink/sink.h"

/*
 * Visits each account and cycle that the query asks for, or each of its models, ordered by kind, account, cycle and model, all as
 * of one moment.
 * Sums below 0 count as 0. 0, the visitor's number, or -1 with the reason.
 */
int tkr_ledger_read(const char *path, int timeout_ms, const struct tkr_usage_query *query, tkr_usage_visit *visit, void *arg,
                    tkr_message *ret_message);

#endif
