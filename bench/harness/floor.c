/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/floor.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "event/frame.h"
#include "harness/bench.h"

#define GROUP 64
#define CHARGES_MAX (GROUP + TKR_ACCOUNTS_MAX)
#define HUGE_BYTES (UINT64_C(2) << 20)
#define SEED UINT64_C(0x5eed)

static void *memory(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); /* as shards are shared */

    return at == MAP_FAILED ? NULL : at;
}

static uint64_t hash_key(uint64_t kind, uint32_t cycle, const char *id, size_t id_len)
{
    return XXH3_64bits_withSeed(id, id_len, SEED ^ kind * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)cycle << 32);
}

static unsigned long set_hash(const void *object, unsigned long seed)
{
    const struct bench_floor_entry *entry = object;

    (void)seed;
    return hash_key(entry->kind, entry->cycle, entry->id, entry->id_len);
}

static bool set_same(const void *a, const void *b)
{
    const struct bench_floor_entry *x = a;
    const struct bench_floor_entry *y = b;

    return x->id_len == y->id_len && x->cycle == y->cycle && x->kind == y->kind && memcmp(x->id, y->id, x->id_len) == 0;
}

static void *set_malloc(size_t bytes)
{
    return malloc(bytes);
}

static void set_free(void *at, size_t bytes, bool defer)
{
    (void)bytes;
    (void)defer;
    free(at);
}

static struct ck_malloc set_memory = {.malloc = set_malloc, .free = set_free};

/* In huge pages, as the table's index has it: what is compared is the protection. */
static void *huge_zeros(size_t bytes)
{
    size_t rounded = (bytes + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES;
    void *at = aligned_alloc(HUGE_BYTES, rounded);

    if (at == NULL)
        return NULL;
    (void)madvise(at, rounded, MADV_HUGEPAGE);
    return memset(at, 0, rounded);
}

int bench_floor_make(struct bench_floor *floor, uint32_t accounts)
{
    uint64_t slots = 64;

    memset(floor, 0, sizeof(*floor));
    while (slots / 8 * 5 < accounts)
        slots *= 2;
    floor->count_max = accounts;
    floor->mask = slots - 1;
    floor->entry = memory(accounts * sizeof(*floor->entry));
    floor->slot = huge_zeros(slots * sizeof(*floor->slot));
    if (floor->entry == NULL || floor->slot == NULL ||
        !ck_hs_init(&floor->set, CK_HS_MODE_SPMC | CK_HS_MODE_OBJECT, set_hash, set_same, &set_memory, 2 * accounts, 1))
        return bench_wrong("no memory for a floor of %u accounts", accounts);
    return 0;
}

void bench_floor_free(struct bench_floor *floor)
{
    if (floor->entry != NULL)
        (void)munmap(floor->entry, floor->count_max * sizeof(*floor->entry));
    free(floor->slot);
    ck_hs_destroy(&floor->set);
    memset(floor, 0, sizeof(*floor));
}

static struct bench_floor_entry *add_entry(struct bench_floor *floor, const tkr_account *account, uint32_t cycle)
{
    struct bench_floor_entry *entry = &floor->entry[floor->count++];

    entry->kind = account->kind;
    entry->cycle = cycle;
    entry->id_len = account->len;
    memcpy(entry->id, account->id, account->len);
    return entry;
}

static void add_counts(struct bench_floor_entry *entry, const tkr_counts *counts)
{
    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        entry->counts.value[i] += counts->value[i];
}

/* --- batched --- */

struct charge {
    const tkr_account *account;
    uint32_t cycle;
    uint64_t hash;
    const tkr_counts *counts;
};

static struct bench_floor_entry *find_or_add(struct bench_floor *floor, const struct charge *charge)
{
    uint64_t at = charge->hash;
    uint64_t slot;

    for (; (slot = floor->slot[at & floor->mask]) != 0; at++) {
        struct bench_floor_entry *entry = &floor->entry[(uint32_t)slot - 1];
        if (slot >> 32 == charge->hash >> 32 && entry->id_len == charge->account->len && entry->cycle == charge->cycle &&
            entry->kind == charge->account->kind && memcmp(entry->id, charge->account->id, entry->id_len) == 0)
            return entry;
    }
    floor->slot[at & floor->mask] = charge->hash >> 32 << 32 | (floor->count + 1);
    return add_entry(floor, charge->account, charge->cycle);
}

static void prefetch_entry(const struct bench_floor *floor, uint64_t hash)
{
    uint64_t slot = floor->slot[hash & floor->mask];
    const char *entry = (const char *)&floor->entry[(uint32_t)slot - 1];

    if (slot == 0)
        return;
    __builtin_prefetch(entry, 1);
    __builtin_prefetch(entry + 64, 1);
    __builtin_prefetch(entry + 128);
}

static void apply(struct bench_floor *floor, struct charge *charge, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        charge[i].hash = hash_key(charge[i].account->kind, charge[i].cycle, charge[i].account->id, charge[i].account->len);
        __builtin_prefetch(&floor->slot[charge[i].hash & floor->mask]);
    }
    for (unsigned i = 0; i < count; i++)
        prefetch_entry(floor, charge[i].hash);
    for (unsigned i = 0; i < count; i++)
        add_counts(find_or_add(floor, &charge[i]), charge[i].counts);
}

size_t bench_floor_batched(struct bench_floor *floor, const unsigned char *bytes, size_t count)
{
    static struct tkr_event event[GROUP];
    static tkr_counts counts[GROUP];
    static struct charge charge[CHARGES_MAX];
    size_t at = 0;
    size_t length;

    do {
        unsigned charges = 0;
        for (unsigned i = 0; charges < GROUP && (length = tkr_frame_length(bytes + at, count - at)) != 0; at += length) {
            if (!tkr_frame_decode(bytes + at, length, &event[i]) || event[i].type != TKR_FRAME_USAGE)
                continue;
            memset(&counts[i], 0, sizeof(counts[i]));
            tkr_event_counts(&event[i], &counts[i]);
            for (uint32_t a = 0; a < event[i].account_count; a++)
                charge[charges++] = (struct charge){&event[i].account[a], event[i].cycle, 0, &counts[i]};
            i++;
        }
        apply(floor, charge, charges);
    } while (length != 0);
    return at;
}

/* --- ck_hs --- */

size_t bench_floor_ck_hs(struct bench_floor *floor, const unsigned char *bytes, size_t count)
{
    struct tkr_event event;
    size_t at = 0;
    size_t length;

    for (; (length = tkr_frame_length(bytes + at, count - at)) != 0; at += length) {
        tkr_counts counts = {{0}};
        if (!tkr_frame_decode(bytes + at, length, &event) || event.type != TKR_FRAME_USAGE)
            continue;
        tkr_event_counts(&event, &counts);
        for (uint32_t a = 0; a < event.account_count; a++) {
            struct bench_floor_entry key = {.kind = event.account[a].kind, .cycle = event.cycle, .id_len = event.account[a].len};
            struct bench_floor_entry *entry;
            unsigned long hash;
            memcpy(key.id, event.account[a].id, key.id_len);
            hash = CK_HS_HASH(&floor->set, set_hash, &key);
            entry = ck_hs_get(&floor->set, hash, &key);
            if (entry == NULL) {
                entry = add_entry(floor, &event.account[a], event.cycle);
                (void)ck_hs_put(&floor->set, hash, entry);
            }
            add_counts(entry, &counts);
        }
    }
    return at;
}

int64_t bench_floor_total(const struct bench_floor *floor)
{
    int64_t total = 0;

    for (uint32_t i = 0; i < floor->count; i++)
        total += floor->entry[i].counts.value[TKR_COUNTER_TOTAL];
    return total;
}
