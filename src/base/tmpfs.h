/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of the tmpfs that holds a runtime directory, and who may take it.
 *
 * Lanes, the board and the collector's tables share it. What lies in lanes can only leave them through the collector's tables: were
 * all of it lanes, no collector could begin, and nothing would ever be free again. So gateways leave a share of it alone, also before
 * any collector runs: the collector's share. Each gateway looks before it takes; as many as look at the same moment may take one step
 * of allocation each (128 KiB) from the share.
 *
 * Threads: any.
 */
#ifndef TKR_BASE_TMPFS_H
#define TKR_BASE_TMPFS_H

#include <stdbool.h>
#include <stdint.h>

#define TKR_TMPFS_SHARE_PART 4u                           /* the collector's share is a quarter, */
#define TKR_TMPFS_SHARE_BYTES_MAX (UINT64_C(256) << 20)   /* at most so much */
#define TKR_TMPFS_RECOMMENDED_BYTES (UINT64_C(512) << 20) /* for defaults: board, tables, lanes while no collector runs */

struct tkr_tmpfs {
    uint64_t bytes;     /* its size; 0: it has no bound */
    uint64_t available; /* of them, free; UINT64_MAX when it has no bound */
};

/* Reads the sizes of the file system that holds an open file or directory. false: they cannot be read. */
bool tkr_tmpfs_read(int fd, struct tkr_tmpfs *ret_tmpfs);

/* What gateways leave free of a tmpfs of this size, in bytes. */
uint64_t tkr_tmpfs_share(uint64_t tmpfs_bytes);

/* May a gateway take so many bytes more? true also where the sizes cannot be read: then the allocation itself decides. */
bool tkr_tmpfs_gateway_may_take(int fd, uint64_t bytes);

#endif
