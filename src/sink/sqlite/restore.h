/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restoring accounts in a ledger, on connections of their own: all that are given in one transaction. What the backup has without a
 * record becomes a row whose source is the mark, which so is the mark too; it may be negative.
 */
#ifndef TKR_SINK_SQLITE_RESTORE_H
#define TKR_SINK_SQLITE_RESTORE_H

#include "sink/restore.h"

/* As tkr_sink_ops.restore and sources_set. A dry run finds nothing where there is no ledger. */
int tkr_ledger_restore(const char *path, int timeout_ms, const struct tkr_restore_terms *terms,
                       const struct tkr_holdings *accounts, uint32_t count, struct tkr_restored *ret_restored,
                       tkr_message *ret_message);
int tkr_ledger_sources_set(const char *path, int timeout_ms, const struct tkr_source_seen *sources, uint32_t count,
                           tkr_message *ret_message);

#endif
