/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carrying over: all that a shard's file of an older layout holds goes into one of this layout, under the same name and number,
 * before any worker runs. Entries keep their lives, what the sink has acknowledged of them, and the batch that touched them last;
 * cursors keep their positions, the law its numbers, the flusher its `seen`. So the source goes on in the sink where it stood,
 * lanes where they stood, and what the sink loses later is healed as before. Entries that are forgotten stay behind.
 *
 * What a kill leaves: the older file, whole, until the new one takes its name in one step. Whatever was written of the new one by
 * then is thrown away by the next start.
 *
 * What is read: layouts from TKR_SHARD_MAJOR_OLDEST on, of at most as many counters as this version has. In all of them until
 * now the header, the cursors and the undo log are as in table/layout.h, and entries are as there but for the number of counters
 * and, in major 1, that none is of a model. Who changes more of the layout puts here how it was.
 *
 * Rejected: flushing the older file beside a new one until the sink has all, then removing it. Two shards would have to be two
 * sources, or the newer lives of one would fence off the older lives of the other; the cursors would have to move all the same;
 * it waits for the sink; and what the sink loses after the file is gone could not be healed.
 */
#ifndef TKR_TABLE_CARRY_H
#define TKR_TABLE_CARRY_H

#include "table/layout.h"

/* Bytes that the older file's entries need in an arena of this layout. UINT64_MAX: its arena is damaged. */
uint64_t tkr_carry_bytes(const struct tkr_shard_header *older);

/*
 * Fills the new file, whose header names its geometry and has memory up to the cursors: allocates and writes cursors and
 * entries, and sets the rest of the header, which the caller writes. 0, or an errno.
 */
int tkr_carry(const struct tkr_shard_header *older, int fd, struct tkr_shard_header *header);

#endif
