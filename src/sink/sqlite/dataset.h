/* SPDX-License-Identifier: Apache-2.0 */
/* Which data set a ledger holds, on connections of their own. */
#ifndef TKR_SINK_SQLITE_DATASET_H
#define TKR_SINK_SQLITE_DATASET_H

#include "sink/dataset.h"

/* As tkr_sink_ops.dataset and dataset_set. */
int tkr_ledger_dataset(const char *path, int timeout_ms, struct tkr_dataset *ret_dataset, tkr_message *ret_message);
int tkr_ledger_dataset_set(const char *path, int timeout_ms, const struct tkr_dataset *read, const struct tkr_dataset *next,
                           tkr_message *ret_message);

#endif
