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
