/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tmpfs.h"

#include <sys/vfs.h>

bool tkr_tmpfs_read(int fd, struct tkr_tmpfs *ret_tmpfs)
{
    struct statfs status;

    if (fstatfs(fd, &status) != 0)
        return false;
    ret_tmpfs->bytes = (uint64_t)status.f_blocks * (uint64_t)status.f_bsize;
    ret_tmpfs->available = status.f_blocks == 0 ? UINT64_MAX : (uint64_t)status.f_bavail * (uint64_t)status.f_bsize;
    return true;
}

uint64_t tkr_tmpfs_share(uint64_t tmpfs_bytes)
{
    uint64_t share = tmpfs_bytes / TKR_TMPFS_SHARE_PART;

    return share < TKR_TMPFS_SHARE_BYTES_MAX ? share : TKR_TMPFS_SHARE_BYTES_MAX;
}

bool tkr_tmpfs_gateway_may_take(int fd, uint64_t bytes)
{
    struct tkr_tmpfs tmpfs;

    if (!tkr_tmpfs_read(fd, &tmpfs))
        return true;
    return tmpfs.available >= bytes && tmpfs.available - bytes >= tkr_tmpfs_share(tmpfs.bytes);
}
