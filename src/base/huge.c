/* SPDX-License-Identifier: Apache-2.0 */
#include "base/huge.h"

#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1, whatever shmem_enabled says: madvise(2) */
#endif

void *tkr_huge_reserve(uint64_t bytes, int protection)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t whole = (bytes + page - 1) / page * page;
    char *mapped = mmap(NULL, whole + TKR_HUGE_BYTES, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint64_t before;

    if (mapped == MAP_FAILED)
        return NULL;
    before = (TKR_HUGE_BYTES - (uintptr_t)mapped % TKR_HUGE_BYTES) % TKR_HUGE_BYTES;
    if (before > 0)
        (void)munmap(mapped, before);
    (void)munmap(mapped + before + whole, TKR_HUGE_BYTES - before);
    return mapped + before;
}

void tkr_huge_gather(void *base, uint64_t bytes)
{
    (void)madvise(base, bytes, MADV_COLLAPSE);
}
