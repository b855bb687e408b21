/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash index over a shard's entries: open addressing with linear probing, private to the collector's process and built
 * anew at start. It stores, per entry, 32 bits of the hash and a reference; it never looks at entries itself.
 *
 * Threads: the shard's worker alone.
 */
#ifndef TKR_TABLE_INDEX_H
#define TKR_TABLE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tkr_index {
    uint64_t *slot; /* upper 32 bits of the hash << 32 | reference; 0: empty */
    uint64_t mask;  /* slots - 1, a power of two */
    uint64_t count;
};

/* Makes an empty index with room for count entries. false: no memory. */
bool tkr_index_open(struct tkr_index *index, uint64_t count);

void tkr_index_close(struct tkr_index *index);

/* Is it time to rebuild before the next insert? (More than 5/8 full.) */
static inline bool tkr_index_full(const struct tkr_index *index)
{
    return index->count >= (index->mask + 1) / 8 * 5;
}

/* Adds a reference, not 0, under a hash that no equal key is in. The index is not full. */
void tkr_index_insert(struct tkr_index *index, uint64_t hash, uint32_t reference);

/* Where a reference stands that was inserted under this hash; it is there. */
uint64_t tkr_index_at(const struct tkr_index *index, uint64_t hash, uint32_t reference);

/*
 * Takes the slot at a place out. The slots behind it move up to where probing finds them (deletion without tombstones: Knuth,
 * The Art of Computer Programming, volume 3, 6.4, algorithm R), for which home gives the hash of a reference.
 */
void tkr_index_remove(struct tkr_index *index, uint64_t at, uint64_t (*home)(const void *arg, uint32_t reference),
                      const void *arg);

static inline void tkr_index_prefetch(const struct tkr_index *index, uint64_t hash)
{
    __builtin_prefetch(&index->slot[hash & index->mask]);
}

/*
 * Walks the candidates of a hash: *at begins as hash & mask; returns the next reference whose 32 bits match, or 0 at the end.
 */
static inline uint32_t tkr_index_next(const struct tkr_index *index, uint64_t hash, uint64_t *at)
{
    for (uint64_t slot; (slot = index->slot[*at & index->mask]) != 0;) {
        ++*at;
        if (slot >> 32 == hash >> 32)
            return (uint32_t)slot;
    }
    return 0;
}

#endif
