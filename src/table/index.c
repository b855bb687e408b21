/* SPDX-License-Identifier: Apache-2.0 */
#include "table/index.h"

#include <sys/mman.h>

#define SLOTS_MIN 1024u

static size_t bytes(const struct tkr_index *index)
{
    return (index->mask + 1) * sizeof(*index->slot);
}

/*
 * Zeroed memory of its own, in huge pages where the kernel gives them: looks into a large index go anywhere, so with small pages
 * nearly each of them misses the TLB too.
 */
bool tkr_index_open(struct tkr_index *index, uint64_t count)
{
    uint64_t slots = SLOTS_MIN;
    void *memory;

    while (slots / 8 * 5 <= count)
        slots *= 2;
    index->mask = slots - 1;
    index->count = 0;
    index->slot = NULL;
    memory = mmap(NULL, bytes(index), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    (void)madvise(memory, bytes(index), MADV_HUGEPAGE); /* only faster */
    index->slot = memory;
    return true;
}

void tkr_index_close(struct tkr_index *index)
{
    if (index->slot != NULL)
        (void)munmap(index->slot, bytes(index));
    index->slot = NULL;
}

void tkr_index_insert(struct tkr_index *index, uint64_t hash, uint32_t reference)
{
    uint64_t at = hash & index->mask;

    while (index->slot[at] != 0)
        at = (at + 1) & index->mask;
    index->slot[at] = (hash >> 32) << 32 | reference;
    index->count++;
}

uint64_t tkr_index_at(const struct tkr_index *index, uint64_t hash, uint32_t reference)
{
    uint64_t at = hash & index->mask;

    while ((uint32_t)index->slot[at] != reference)
        at = (at + 1) & index->mask;
    return at;
}

void tkr_index_remove(struct tkr_index *index, uint64_t at, uint64_t (*home)(const void *arg, uint32_t reference),
                      const void *arg)
{
    uint64_t hole = at;

    for (uint64_t next = (at + 1) & index->mask; index->slot[next] != 0; next = (next + 1) & index->mask) {
        uint64_t from_home = (next - home(arg, (uint32_t)index->slot[next])) & index->mask;
        uint64_t from_hole = (next - hole) & index->mask;
        if (from_home < from_hole)
            continue; /* its home lies behind the hole: probing would not find it there */
        index->slot[hole] = index->slot[next];
        hole = next;
    }
    index->slot[hole] = 0;
    index->count--;
}
