/* SPDX-License-Identifier: Apache-2.0 */
/* All accounts of a ledger, page by page, each page in a transaction of its own: none is open during a visit. */
#ifndef TKR_SINK_SQLITE_HOLDINGS_H
#define TKR_SINK_SQLITE_HOLDINGS_H

#include "sink/sink.h"

/* As tkr_sink_ops.holdings. */
int tkr_ledger_holdings(const char *path, int timeout_ms, tkr_holdings_visit *visit, void *arg, tkr_message *ret_message);

#endif
