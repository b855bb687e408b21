/* SPDX-License-Identifier: Apache-2.0 */
#include "table/carry.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/crash.h"
#include "table/file.h"

/* Where the parts of an entry with n counters lie, in bytes; struct tkr_entry is this with n = TKR_COUNTER_COUNT. */
#define AT_COUNTS sizeof(uint64_t)
#define AT_LIFE(n) (AT_COUNTS + 8 * (uint64_t)(n))
#define AT_KIND(n) (AT_LIFE(n) + 8)
#define AT_CYCLE(n) (AT_LIFE(n) + 16)
#define AT_ID_LEN(n) (AT_LIFE(n) + 20)
#define AT_NEAR_FULL(n) (AT_LIFE(n) + 21)
#define AT_KNOWN_LIFE(n) (AT_LIFE(n) + 24)
#define AT_KNOWN(n) (AT_LIFE(n) + 32)
#define AT_ID(n) (AT_KNOWN(n) + 8 * (uint64_t)(n))
_Static_assert(AT_KIND(TKR_COUNTER_COUNT) == offsetof(struct tkr_entry, kind) &&
                   AT_NEAR_FULL(TKR_COUNTER_COUNT) == offsetof(struct tkr_entry, near_full) &&
                   AT_KNOWN_LIFE(TKR_COUNTER_COUNT) == offsetof(struct tkr_entry, known_life) &&
                   AT_ID(TKR_COUNTER_COUNT) == offsetof(struct tkr_entry, id),
               "entries lie as they are read here");

/* A walk over the older file's entries. */
struct walk {
    const unsigned char *arena;
    uint64_t used;
    uint64_t at;
    uint32_t counters;
    const unsigned char *entry; /* the one found */
    uint32_t text_len;          /* of id and label */
    uint64_t life;
};

static uint64_t get(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed); /* nobody writes the older file any more */
}

static struct walk walk_begin(const struct tkr_shard_header *older)
{
    return (struct walk){.arena = (const unsigned char *)older + older->arena_offset,
                         .used = get(&older->law.arena_used),
                         .counters = older->counters};
}

/* The next entry. 1: found; 0: that was all; -1: damaged. */
static int walk_next(struct walk *walk)
{
    uint64_t bytes;
    uint32_t label_len;
    uint32_t cycle;

    if (walk->at == walk->used)
        return 0;
    walk->entry = walk->arena + walk->at;
    if (walk->used - walk->at < AT_ID(walk->counters))
        return -1;
    memcpy(&cycle, walk->entry + AT_CYCLE(walk->counters), sizeof(cycle));
    label_len = tkr_entry_word_label_len(cycle); /* of major 1: 0 */
    walk->text_len = walk->entry[AT_ID_LEN(walk->counters)] + label_len;
    memcpy(&walk->life, walk->entry + AT_LIFE(walk->counters), sizeof(walk->life));
    bytes = (AT_ID(walk->counters) + walk->text_len + TKR_ENTRY_UNIT - 1) / TKR_ENTRY_UNIT * TKR_ENTRY_UNIT;
    if (walk->text_len == label_len || label_len > TKR_ENTRY_LABEL_MAX || bytes > walk->used - walk->at)
        return -1;
    walk->at += bytes;
    return 1;
}

uint64_t tkr_carry_bytes(const struct tkr_shard_header *older)
{
    struct walk walk = walk_begin(older);
    uint64_t bytes = 0;
    int found;

    if (walk.used > older->arena_bytes)
        return UINT64_MAX;
    while ((found = walk_next(&walk)) == 1) {
        if (walk.life != 0)
            bytes += tkr_entry_bytes(walk.text_len);
    }
    return found == 0 ? bytes : UINT64_MAX;
}

/* The target is zeros: counters that the older version did not have start there. */
static void carry_entry(const struct walk *walk, unsigned char *to)
{
    const unsigned char *from = walk->entry;
    uint32_t n = walk->counters;

    memcpy(to, from, AT_LIFE(n)); /* stamp, counts */
    memcpy(to + AT_LIFE(TKR_COUNTER_COUNT), from + AT_LIFE(n), AT_NEAR_FULL(0) + 1 - AT_LIFE(0));
    memcpy(to + AT_KNOWN_LIFE(TKR_COUNTER_COUNT), from + AT_KNOWN_LIFE(n), AT_ID(n) - AT_KNOWN_LIFE(n));
    memcpy(to + AT_ID(TKR_COUNTER_COUNT), from + AT_ID(n), walk->text_len);
}

/* What was still to be compared with the sink is so still: [recheck_at, recheck_end) counts in bytes of the arena. */
static uint64_t carry_entries(const struct tkr_shard_header *older, unsigned char *arena, struct tkr_shard_header *header)
{
    struct walk walk = walk_begin(older);
    uint64_t recheck_at = 0;
    uint64_t recheck_end = 0;
    uint64_t used = 0;

    for (uint64_t at = 0; walk_next(&walk) == 1; at = walk.at) {
        if (walk.life == 0)
            continue;
        carry_entry(&walk, arena + used);
        used += tkr_entry_bytes(walk.text_len);
        if (at < get(&older->recheck_at))
            recheck_at = used;
        if (at < get(&older->recheck_end))
            recheck_end = used;
    }
    atomic_store_explicit(&header->recheck_at, recheck_at, memory_order_relaxed); /* a copy of our own */
    atomic_store_explicit(&header->recheck_end, recheck_end, memory_order_relaxed);
    atomic_store_explicit(&header->recheck_seen, get(&older->recheck_seen), memory_order_relaxed); /* 0 in layouts without it */
    return used;
}

static void carry_header(const struct tkr_shard_header *older, uint64_t used, struct tkr_shard_header *header)
{
    header->name = older->name; /* the source stays the same */
    header->number = older->number;
    memcpy(&header->law, &older->law, sizeof(header->law));
    atomic_store_explicit(&header->law.arena_used, used, memory_order_relaxed); /* a copy of our own, as all of this */
    atomic_store_explicit(&header->arena_committed, used, memory_order_relaxed);
    atomic_store_explicit(&header->committed, get(&older->committed), memory_order_relaxed);
    atomic_store_explicit(&header->cursors_used, get(&older->cursors_used), memory_order_relaxed);
    atomic_store_explicit(&header->seen, get(&older->seen), memory_order_relaxed);
    atomic_store_explicit(&header->sent, get(&older->sent), memory_order_relaxed);
    atomic_store_explicit(&header->marks, get(&older->marks), memory_order_relaxed); /* of a minor before 2.1: none */
    memcpy(header->mark_boot_s, older->mark_boot_s, sizeof(header->mark_boot_s));
    memcpy(header->mark_batch, older->mark_batch, sizeof(header->mark_batch));
}

int tkr_carry(const struct tkr_shard_header *older, int fd, struct tkr_shard_header *header)
{
    uint64_t cursors_bytes = get(&older->cursors_used) * sizeof(struct tkr_cursor);
    uint64_t bytes = tkr_carry_bytes(older);
    unsigned char *base;
    uint64_t used;
    int failure = tkr_shard_file_allocate(fd, header->arena_offset, bytes > 0 ? bytes : 1);

    if (failure == 0)
        failure = tkr_shard_file_allocate(fd, header->cursors_offset, cursors_bytes > 0 ? cursors_bytes : 1);
    if (failure != 0)
        return failure;
    base = mmap(NULL, header->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return errno;
    used = carry_entries(older, base + header->arena_offset, header);
    TKR_CRASH(CARRY_ENTRIES);
    memcpy(base + header->cursors_offset, (const unsigned char *)older + older->cursors_offset, cursors_bytes);
    carry_header(older, used, header);
    (void)munmap(base, header->bytes);
    TKR_CRASH(CARRY_COPIED);
    return 0;
}
