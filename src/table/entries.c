/* SPDX-License-Identifier: Apache-2.0 */
#include "table/entries.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/clock.h"
#include "base/crash.h"
#include "tokenring/tokenring.h"

#define GROUP 64u                              /* charges whose memory is fetched together */
#define NEAR_FULL (INT64_C(1) << 62)           /* from here on, look before adding */
#define RESERVE_BYTES (UINT64_C(64) << 10)     /* of the arena's memory, for TKR_OVERFLOW_ID alone */

/* --- hashing and finding --- */

static uint64_t hash_key(const struct tkr_shard *shard, uint64_t kind, uint32_t cycle, const char *id, size_t id_len)
{
    /* The seed is the process' own: ids are chosen by strangers. */
    return XXH3_64bits_withSeed(id, id_len, shard->seed ^ kind * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)cycle << 32);
}

static uint32_t reference_of(const struct tkr_shard *shard, const struct tkr_entry *entry)
{
    return (uint32_t)((uint64_t)((const unsigned char *)entry - shard->arena) / TKR_ENTRY_UNIT) + 1;
}

static bool entry_is(const struct tkr_entry *entry, const struct tkr_charge *charge)
{
    return entry->id_len == charge->id_len && entry->cycle == charge->cycle && entry->kind == charge->kind &&
           memcmp(entry->id, charge->id, charge->id_len) == 0;
}

static struct tkr_entry *find(const struct tkr_shard *shard, const struct tkr_charge *charge)
{
    uint64_t at = charge->hash;
    uint32_t reference;

    while ((reference = tkr_index_next(&shard->index, charge->hash, &at)) != 0) {
        struct tkr_entry *entry = tkr_shard_entry(shard, reference);
        if (entry_is(entry, charge))
            return entry;
    }
    return NULL;
}

static void prefetch_entry(const struct tkr_shard *shard, uint64_t hash)
{
    uint64_t at = hash;
    uint32_t reference = tkr_index_next(&shard->index, hash, &at);
    const char *entry;

    if (reference == 0)
        return;
    entry = (const char *)tkr_shard_entry(shard, reference);
    __builtin_prefetch(entry, 1);
    __builtin_prefetch(entry + 64, 1);
    __builtin_prefetch(entry + 192);
}

/* --- index --- */

static bool index_build(struct tkr_shard *shard, uint64_t count)
{
    uint64_t used = atomic_load_explicit(&shard->header->law.arena_used, memory_order_relaxed);
    struct tkr_index index;

    if (!tkr_index_open(&index, count))
        return false;
    for (uint64_t at = 0; at < used;) {
        const struct tkr_entry *entry = (const struct tkr_entry *)(shard->arena + at);
        if (entry->id_len == 0 || tkr_entry_bytes(entry->id_len) > used - at) {
            tkr_index_close(&index);
            return false;
        }
        tkr_index_insert(&index, hash_key(shard, entry->kind, entry->cycle, entry->id, entry->id_len),
                         reference_of(shard, entry));
        at += tkr_entry_bytes(entry->id_len);
    }
    tkr_index_close(&shard->index);
    shard->index = index;
    return true;
}

/* Room for one more: a larger index at 5/8; without memory the old one serves until 7/8. */
static bool index_room(struct tkr_shard *shard)
{
    if (!tkr_index_full(&shard->index) || index_build(shard, 2 * shard->index.count))
        return true;
    return shard->index.count < (shard->index.mask + 1) / 8 * 7;
}

/* --- changed list --- */

bool tkr_entries_reserve(struct tkr_shard *shard, size_t count)
{
    struct tkr_changed *list = shard->changed;
    size_t max = 2 * (list->count + count);
    uint32_t *more;

    if (list->max - list->count >= count)
        return true;
    more = realloc(list->reference, max * sizeof(*more));
    if (more == NULL)
        return false;
    list->reference = more;
    list->max = max;
    return true;
}

static void list_changed(struct tkr_shard *shard, const struct tkr_entry *entry)
{
    shard->changed->reference[shard->changed->count++] = reference_of(shard, entry);
}

static bool known_is_current(const struct tkr_entry *entry)
{
    if (atomic_load_explicit(&entry->known_life, memory_order_relaxed) != entry->life)
        return false;
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (atomic_load_explicit(&entry->known[i], memory_order_relaxed) !=
            atomic_load_explicit(&entry->counts[i], memory_order_relaxed))
            return false;
    }
    return true;
}

bool tkr_entries_index(struct tkr_shard *shard)
{
    uint64_t used = atomic_load_explicit(&shard->header->law.arena_used, memory_order_relaxed);
    uint64_t accounts = atomic_load_explicit(&shard->header->law.accounts, memory_order_relaxed);

    shard->handed_over = shard->batch;
    if (!index_build(shard, accounts) || !tkr_entries_reserve(shard, accounts))
        return false;
    for (uint64_t at = 0; at < used;) {
        const struct tkr_entry *entry = (const struct tkr_entry *)(shard->arena + at);
        if (!known_is_current(entry))
            list_changed(shard, entry);
        at += tkr_entry_bytes(entry->id_len);
    }
    return true;
}

/* --- adding an entry --- */

/* Gives the arena's next step memory. */
static bool arena_grow(struct tkr_shard *shard)
{
    uint64_t at = shard->arena_allocated;
    int failure;

    if (at + TKR_ARENA_STEP_BYTES > shard->header->arena_bytes)
        return false;
    do {
        failure = posix_fallocate(shard->fd, (off_t)(shard->header->arena_offset + at), (off_t)TKR_ARENA_STEP_BYTES);
    } while (failure == EINTR);
    if (failure == 0)
        shard->arena_allocated += TKR_ARENA_STEP_BYTES;
    return failure == 0;
}

/* Memory for bytes more at the arena's end, leaving reserve bytes of it alone. */
static bool arena_room(struct tkr_shard *shard, uint64_t used, uint64_t bytes, uint64_t reserve)
{
    if (shard->arena_allocated < used)
        shard->arena_allocated = used / TKR_ARENA_STEP_BYTES * TKR_ARENA_STEP_BYTES; /* just opened */
    while (used + bytes + reserve > shard->arena_allocated) {
        if (!arena_grow(shard))
            return false;
    }
    return true;
}

static uint64_t next_life(struct tkr_law *law)
{
    uint64_t life = atomic_load_explicit(&law->life_last, memory_order_relaxed) + 1;
    uint64_t now = (uint64_t)tkr_clock_unix_ns();

    if (life < now)
        life = now;
    tkr_batch_set(&law->life_last, life);
    return life;
}

static void entry_write(struct tkr_entry *entry, const struct tkr_charge *charge, uint64_t batch, uint64_t life)
{
    atomic_store_explicit(&entry->stamp, batch, memory_order_release); /* not committed: readers keep off (I2) */
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        atomic_store_explicit(&entry->counts[i], 0, memory_order_release);
        atomic_store_explicit(&entry->known[i], 0, memory_order_relaxed); /* nobody reads these of a new entry */
    }
    atomic_store_explicit(&entry->known_life, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->known_sequence, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->near_full, 0, memory_order_relaxed);
    entry->life = life;
    entry->kind = charge->kind;
    entry->cycle = charge->cycle;
    entry->id_len = (uint8_t)charge->id_len;
    memcpy(entry->id, charge->id, charge->id_len);
}

/* A new entry for the key, if there is room for it. */
static struct tkr_entry *insert(struct tkr_shard *shard, const struct tkr_charge *charge, uint64_t reserve)
{
    struct tkr_law *law = tkr_batch_law(shard);
    uint64_t used = atomic_load_explicit(&law->arena_used, memory_order_relaxed);
    uint64_t bytes = tkr_entry_bytes(charge->id_len);
    struct tkr_entry *entry = (struct tkr_entry *)(shard->arena + used);

    if (!arena_room(shard, used, bytes, reserve) || !index_room(shard))
        return NULL;
    entry_write(entry, charge, shard->batch, next_life(law));
    TKR_CRASH(ENTRY_WRITTEN);
    tkr_index_insert(&shard->index, charge->hash, reference_of(shard, entry));
    tkr_batch_add(&law->accounts, 1);
    TKR_CRASH(ENTRY_COUNTED);
    tkr_batch_set(&law->arena_used, used + bytes); /* the entry is whole before it is reachable (I5) */
    TKR_CRASH(ENTRY_INSERTED);
    list_changed(shard, entry);
    return entry;
}

/* The entry that a charge goes to: its own, or when the table is full that of all strangers. */
static struct tkr_entry *find_or_insert(struct tkr_shard *shard, const struct tkr_charge *charge)
{
    struct tkr_charge overflow = {.kind = TKR_KIND_USER,
                                  .id = TKR_OVERFLOW_ID,
                                  .id_len = sizeof(TKR_OVERFLOW_ID) - 1,
                                  .cycle = charge->cycle};
    struct tkr_entry *entry = find(shard, charge);

    if (entry == NULL && atomic_load_explicit(&shard->header->law.accounts, memory_order_relaxed) < shard->header->accounts_max)
        entry = insert(shard, charge, RESERVE_BYTES);
    if (entry != NULL)
        return entry;
    overflow.hash = hash_key(shard, overflow.kind, overflow.cycle, overflow.id, overflow.id_len);
    entry = find(shard, &overflow);
    if (entry == NULL)
        entry = insert(shard, &overflow, 0);
    if (entry != NULL)
        tkr_batch_add(&tkr_batch_law(shard)->overflow_charges, 1);
    return entry;
}

/* --- applying --- */

/* Would the entry pass 2^63-1 when it has been charged so many times? An event may name an account more than once. */
static bool would_overflow(const struct tkr_entry *entry, const tkr_counts *counts, int64_t times)
{
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        int64_t more;
        if (__builtin_mul_overflow(counts->value[i], times, &more) ||
            atomic_load_explicit(&entry->counts[i], memory_order_relaxed) > INT64_MAX - more)
            return true;
    }
    return false;
}

/* The event's charges up to this one that go to the same entry. */
static int64_t times_charged(const struct tkr_charge *charge, uint32_t last)
{
    int64_t times = 1;

    for (uint32_t i = 0; i < last; i++)
        times += charge[i].entry == charge[last].entry;
    return times;
}

static void add(struct tkr_shard *shard, struct tkr_entry *entry, const tkr_counts *counts)
{
    uint64_t stamp = atomic_load_explicit(&entry->stamp, memory_order_relaxed);
    int64_t seen = 0;

    if (stamp != shard->batch) {
        if (stamp <= shard->handed_over)
            list_changed(shard, entry);
        tkr_batch_touch(shard, entry, TKR_ENTRY_UNDO_BYTES);
        TKR_CRASH(ENTRY_STAMPED);
    }
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        int64_t sum = atomic_load_explicit(&entry->counts[i], memory_order_relaxed) + counts->value[i];
        atomic_store_explicit(&entry->counts[i], sum, memory_order_release); /* after the stamp (P1) */
        seen |= sum;
        TKR_CRASH(ENTRY_HALF);
    }
    TKR_CRASH(ENTRY_CHANGED);
    if (__builtin_expect(seen >= NEAR_FULL, 0))
        atomic_store_explicit(&entry->near_full, 1, memory_order_relaxed); /* only ever the worker's */
}

/* Finds the entries of one event's charges. An event is counted for all its accounts or for none. */
static bool resolve(struct tkr_shard *shard, struct tkr_charge *charge, uint32_t count, enum tkr_drop *ret_why)
{
    for (uint32_t i = 0; i < count; i++) {
        charge[i].entry = find_or_insert(shard, &charge[i]);
        *ret_why = charge[i].entry == NULL ? TKR_DROP_NO_SPACE : TKR_DROP_OVERFLOW;
        if (charge[i].entry == NULL ||
            (atomic_load_explicit(&charge[i].entry->near_full, memory_order_relaxed) != 0 &&
             would_overflow(charge[i].entry, charge[i].counts, times_charged(charge, i))))
            return false;
    }
    return true;
}

static void apply_event(struct tkr_shard *shard, struct tkr_charge *charge, uint32_t count)
{
    enum tkr_drop why = TKR_DROP_OVERFLOW;
    bool counted = resolve(shard, charge, count, &why);

    for (uint32_t i = 0; i < count; i++) {
        charge[i].refused = !counted;
        charge[i].why = why;
        if (counted)
            add(shard, charge[i].entry, charge[i].counts);
    }
}

static void apply_group(struct tkr_shard *shard, struct tkr_charge *charge, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        charge[i].hash = hash_key(shard, charge[i].kind, charge[i].cycle, charge[i].id, charge[i].id_len);
        tkr_index_prefetch(&shard->index, charge[i].hash);
    }
    for (uint32_t i = 0; i < count; i++)
        prefetch_entry(shard, charge[i].hash);
    for (uint32_t i = 0; i < count;) {
        uint32_t end = i + 1;
        while (end < count && charge[end].event == charge[i].event)
            end++;
        apply_event(shard, &charge[i], end - i);
        i = end;
    }
}

void tkr_batch_apply(struct tkr_shard *shard, struct tkr_charge *charge, uint32_t count)
{
    for (uint32_t at = 0; at < count;) {
        uint32_t end = count - at > GROUP ? at + GROUP : count;
        while (end < count && charge[end].event == charge[end - 1].event)
            end++; /* never parts an event */
        apply_group(shard, &charge[at], end - at);
        at = end;
    }
}

/* --- the flusher's part of an entry --- */

void tkr_entry_known_set(struct tkr_entry *entry, uint64_t life, const tkr_counts *counts)
{
    uint16_t sequence = atomic_load_explicit(&entry->known_sequence, memory_order_relaxed) | 1u; /* odd: being written */

    atomic_store_explicit(&entry->known_sequence, sequence, memory_order_relaxed);
    /* Each word after the odd number (release), the even one after all of them: as a stamp (layout.h, P1). */
    atomic_store_explicit(&entry->known_life, life, memory_order_release);
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        atomic_store_explicit(&entry->known[i], counts->value[i], memory_order_release);
        TKR_CRASH(KNOWN_HALF);
    }
    atomic_store_explicit(&entry->known_sequence, (uint16_t)(sequence + 1u), memory_order_release);
    TKR_CRASH(KNOWN_NOTED);
}
