/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shard's file in its directory: found, judged, made, carried over, set aside. Inside the room.
 *
 * What is found under the name, and what becomes of it:
 *
 *   nothing                                                       a new one is made
 *   one of this layout, boot and inode                            gone on with
 *   one that this version reads and cannot go on with in place:   carried over (table/carry.h)
 *     an older layout, fewer counters, another number of cursors
 *   one of a newer layout, or of one too old                      refused, and left as it is: its cursors tell what of the lanes
 *                                                                 is counted, so whoever began anew beside it would count twice
 *   another boot's, a copy, damaged, no shard                     set aside as "aside-TIME-shard-N"; a new one is made. Of each
 *                                                                 shard the last TKR_ASIDE_KEPT are kept
 */
#ifndef TKR_TABLE_FILE_H
#define TKR_TABLE_FILE_H

#include "table/shard.h"

#define TKR_ASIDE_KEPT 3

/* Opens the file, one that is fit to go on with. 0, or -1 with the reason. */
int tkr_shard_file_open(int directory, const struct tkr_shard_options *options, int *ret_fd, uint64_t *ret_bytes,
                        tkr_message *ret_message);

/* Gives part of the file memory. 0, or an errno. */
int tkr_shard_file_allocate(int fd, uint64_t offset, uint64_t bytes);

/* Gives part of a shard's file memory, unless the tmpfs refused some just now. false: there is none at present. */
bool tkr_shard_allocate(struct tkr_shard *shard, uint64_t offset, uint64_t bytes);

/* Notes that there was no memory: none is asked for again for a while. */
void tkr_shard_memory_refused(struct tkr_shard *shard);

/* How long an arena for so many accounts may get. */
uint64_t tkr_shard_arena_bytes(uint32_t accounts_max);

enum tkr_recovery { TKR_RECOVERY_NONE, TKR_RECOVERY_DONE, TKR_RECOVERY_DAMAGED };

/*
 * Puts an unfinished batch of a mapped file back. Killed in here, it is begun again with the same number. ret_batch: the last
 * batch of the file.
 */
enum tkr_recovery tkr_shard_file_recover(struct tkr_shard_header *header, uint64_t *ret_batch);

#endif
