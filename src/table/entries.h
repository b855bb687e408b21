/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of a shard: memory, index, changed list. Inside the room; the worker's thread. */
#ifndef TKR_TABLE_ENTRIES_H
#define TKR_TABLE_ENTRIES_H

#include "table/shard.h"

#define TKR_ARENA_STEP_BYTES (UINT64_C(2) << 20)      /* memory is allocated so much at a time */
#define TKR_ARENA_STEP_BYTES_MIN (UINT64_C(64) << 10) /* or so much, where the tmpfs does not have as much any more */

/* Builds the index over what the arena holds, and lists what the sink may not have. false: no memory or a damaged arena. */
bool tkr_entries_index(struct tkr_shard *shard);

/* Does the flusher's requests, in a batch of their own; between batches. */
void tkr_entries_serve_requests(struct tkr_shard *shard);

/* Makes room in the changed list for count more. false: no memory. */
bool tkr_entries_reserve(struct tkr_shard *shard, size_t count);

#endif
