/* SPDX-License-Identifier: Apache-2.0 */
/* Writes records anew that are missing in a ledger, where it is known what of them the totals have (sink/repair.h). */
#ifndef TKR_SINK_SQLITE_REPAIR_H
#define TKR_SINK_SQLITE_REPAIR_H

#include "sink/repair.h"

/*
 * A total is the sum of its rows: who deletes a row takes what it recorded off the total, and it is LACKING. Only a row that was
 * removed by tokenring (a new life, a retirement) lives on in the base row; a record that is written anew is taken off that
 * row, so that the total stays. All in one transaction.
 * 0 with what came of each, or -1 with the reason: none of them was written.
 */
int tkr_ledger_repair(const char *path, int timeout_ms, const char *source, const struct tkr_repair_terms *terms,
                      struct tkr_repair *repairs, uint32_t count, tkr_message *ret_message);

#endif
