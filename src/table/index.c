/* SPDX-License-Identifier: Apache-2.0 */
#include "table/index.h"

#include <stdlib.h>

#define SLOTS_MIN 1024u

bool tkr_index_open(struct tkr_index *index, uint64_t count)
{
    uint64_t slots = SLOTS_MIN;

    while (slots / 8 * 5 <= count)
        slots *= 2;
    index->slot = calloc(slots, sizeof(*index->slot));
    index->mask = slots - 1;
    index->count = 0;
    return index->slot != NULL;
}

void tkr_index_close(struct tkr_index *index)
{
    free(index->slot);
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
