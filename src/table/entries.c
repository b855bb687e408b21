/* SPDX-License-Identifier: Apache-2.0 */
#include "table/entries.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "table/file.h"
#include "tokenring/tokenring.h"

#define GROUP 64u                          /* charges whose memory is fetched together */
#define NEAR_FULL (INT64_C(1) << 62)       /* from here on, look before adding */
#define RESERVE_BYTES (UINT64_C(64) << 10) /* of the arena, for TKR_OVERFLOW_ID alone */

/* --- hashing and finding --- */

static uint64_t hash_key(const struct tkr_shard *shard, uint64_t kind, uint32_t word, const char *id, size_t id_len,
                         const char *label)
{
    /* The seed is the process' own: ids are chosen by strangers. */
    uint64_t hash = XXH3_64bits_withSeed(id, id_len, shard->seed ^ kind * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)word << 32);
    uint32_t label_len = tkr_entry_word_label_len(word);

    return label_len == 0 ? hash : XXH3_64bits_withSeed(label, label_len, hash);
}

/* Fills in the charge's work space, before it is looked for. */
static void hash_charge(const struct tkr_shard *shard, struct tkr_charge *charge)
{
    charge->word = tkr_entry_cycle_word(charge->cycle, charge->model_len);
    charge->hash = hash_key(shard, charge->kind, charge->word, charge->id, charge->id_len, charge->model);
}

static uint32_t reference_of(const struct tkr_shard *shard, const struct tkr_entry *entry)
{
    return (uint32_t)((uint64_t)((const unsigned char *)entry - shard->arena) / TKR_ENTRY_UNIT) + 1;
}

/* The worker's own loads: it wrote these. */
static uint64_t life_of(const struct tkr_entry *entry)
{
    return atomic_load_explicit(&entry->life, memory_order_relaxed);
}

static uint8_t id_len_of(const struct tkr_entry *entry)
{
    return atomic_load_explicit(&entry->id_len, memory_order_relaxed);
}

static uint32_t label_len_of(const struct tkr_entry *entry)
{
    return tkr_entry_word_label_len(atomic_load_explicit(&entry->cycle, memory_order_relaxed));
}

static bool entry_is(const struct tkr_entry *entry, const struct tkr_charge *charge)
{
    return id_len_of(entry) == charge->id_len && atomic_load_explicit(&entry->cycle, memory_order_relaxed) == charge->word &&
           atomic_load_explicit(&entry->kind, memory_order_relaxed) == charge->kind &&
           memcmp(entry->id, charge->id, charge->id_len) == 0 &&
           (charge->model_len == 0 || memcmp(entry->id + charge->id_len, charge->model, charge->model_len) == 0);
}

static uint64_t hash_of(const void *shard, uint32_t reference)
{
    const struct tkr_entry *entry = tkr_shard_entry(shard, reference);

    return hash_key(shard, atomic_load_explicit(&entry->kind, memory_order_relaxed),
                    atomic_load_explicit(&entry->cycle, memory_order_relaxed), entry->id, id_len_of(entry),
                    entry->id + id_len_of(entry));
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

uint32_t tkr_shard_find(const struct tkr_shard *shard, uint64_t kind, const char *id, uint32_t id_len, uint32_t cycle)
{
    struct tkr_charge account = {.kind = kind, .id = id, .id_len = id_len, .cycle = cycle};
    const struct tkr_entry *entry;

    hash_charge(shard, &account);
    entry = find(shard, &account);
    return entry != NULL ? reference_of(shard, entry) : 0;
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

/* References on their way into an index: each waits while the slot of its hash is fetched. Zeroed: none. */
struct waiting {
    uint64_t hash[GROUP];
    uint32_t reference[GROUP];
    uint64_t count; /* that ever came */
};

static void index_soon(struct tkr_index *index, struct waiting *waiting, uint64_t hash, uint32_t reference)
{
    uint64_t i = waiting->count++ % GROUP;

    tkr_index_prefetch(index, hash);
    if (waiting->count > GROUP)
        tkr_index_insert(index, waiting->hash[i], waiting->reference[i]);
    waiting->hash[i] = hash;
    waiting->reference[i] = reference;
}

static void index_rest(struct tkr_index *index, const struct waiting *waiting)
{
    for (uint64_t i = 0; i < waiting->count && i < GROUP; i++)
        tkr_index_insert(index, waiting->hash[i], waiting->reference[i]);
}

/* Looks once more at an entry that is there: false: stop. */
typedef bool entry_look(struct tkr_shard *shard, const struct tkr_entry *entry);

/*
 * With room for count entries, one pass over the arena; look, when not NULL, sees each of them. false: no memory, or the arena is
 * damaged: it holds more.
 */
static bool index_build(struct tkr_shard *shard, uint64_t count, entry_look *look)
{
    uint64_t used = atomic_load_explicit(&shard->header->law.arena_used, memory_order_relaxed);
    struct waiting waiting = {.count = 0};
    struct tkr_index index;

    if (!tkr_index_open(&index, count))
        return false;
    for (uint64_t at = 0; at < used;) {
        const struct tkr_entry *entry = (const struct tkr_entry *)(shard->arena + at);
        uint64_t bytes = tkr_entry_size(entry);
        if (bytes == 0 || bytes > used - at || (life_of(entry) != 0 && waiting.count >= count) ||
            (look != NULL && !look(shard, entry))) {
            tkr_index_close(&index);
            return false;
        }
        if (life_of(entry) != 0)
            index_soon(&index, &waiting, hash_of(shard, reference_of(shard, entry)), reference_of(shard, entry));
        at += bytes;
    }
    index_rest(&index, &waiting);
    tkr_index_close(&shard->index);
    shard->index = index;
    return true;
}

/* Room for one more: a larger index at 5/8; without memory the old one serves until 7/8. */
static bool index_room(struct tkr_shard *shard)
{
    if (!tkr_index_full(&shard->index) || index_build(shard, 2 * shard->index.count, NULL))
        return true;
    return shard->index.count < (shard->index.mask + 1) / 8 * 7;
}

/* --- changed list --- */

static bool list_room(struct tkr_changed *list, size_t count)
{
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

bool tkr_entries_reserve(struct tkr_shard *shard, size_t count)
{
    return list_room(shard->changed, count);
}

static void list_changed(struct tkr_shard *shard, const struct tkr_entry *entry)
{
    shard->changed->reference[shard->changed->count++] = reference_of(shard, entry);
}

static bool known_is_current(const struct tkr_entry *entry)
{
    if (atomic_load_explicit(&entry->known_life, memory_order_relaxed) != life_of(entry))
        return false;
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (atomic_load_explicit(&entry->known[i], memory_order_relaxed) !=
            atomic_load_explicit(&entry->counts[i], memory_order_relaxed))
            return false;
    }
    return true;
}

/* Remembers the memory of a forgotten entry; without memory for that, it is found again at the next start. */
static void keep_unused(struct tkr_shard *shard, const struct tkr_entry *entry)
{
    struct tkr_changed *list = &shard->unused[tkr_entry_size(entry) / TKR_ENTRY_UNIT];

    if (list_room(list, 1))
        list->reference[list->count++] = reference_of(shard, entry);
}

/* An entry that a new collector finds: free for another, or not known to be in the sink. false: no memory. */
static bool take_over(struct tkr_shard *shard, const struct tkr_entry *entry)
{
    if (life_of(entry) == 0) {
        keep_unused(shard, entry);
        return true;
    }
    shard->labelled |= label_len_of(entry) > 0;
    if (known_is_current(entry))
        return true;
    if (!tkr_entries_reserve(shard, 1))
        return false;
    list_changed(shard, entry);
    return true;
}

/* --- how many models an account has --- */

/* The key of the account whose label the entry has, as a charge of it; the worker's own loads. */
static struct tkr_charge account_of(const struct tkr_entry *entry)
{
    uint32_t word = atomic_load_explicit(&entry->cycle, memory_order_relaxed);

    return (struct tkr_charge){.kind = atomic_load_explicit(&entry->kind, memory_order_relaxed),
                               .id = entry->id,
                               .id_len = id_len_of(entry),
                               .cycle = tkr_entry_word_cycle(word)};
}

/* How many models the account has that an entry of a label is of; NULL when it has no entry of its own, as `~overflow` may. */
static uint8_t *labels_of(struct tkr_shard *shard, struct tkr_charge account)
{
    const struct tkr_entry *entry;

    account.model_len = 0;
    hash_charge(shard, &account);
    entry = find(shard, &account);
    return entry != NULL ? &shard->labels[reference_of(shard, entry)] : NULL;
}

static bool is_other(const char *label, uint32_t label_len)
{
    return label_len == sizeof(TKR_LABEL_OTHER) - 1 && memcmp(label, TKR_LABEL_OTHER, label_len) == 0;
}

/* An entry of a label has come: `other` is not one of the models that are bounded. */
static void label_added(uint8_t *labels, bool other)
{
    if (labels != NULL)
        *labels = (uint8_t)(other ? *labels | TKR_LABELS_OTHER : *labels + 1u);
}

static void label_forgotten(struct tkr_shard *shard, const struct tkr_entry *entry)
{
    uint8_t *labels = labels_of(shard, account_of(entry));

    if (labels == NULL)
        return;
    if (is_other(entry->id + id_len_of(entry), label_len_of(entry)))
        *labels &= (uint8_t)~TKR_LABELS_OTHER;
    else
        --*labels;
}

/* After an index is built at start, which holds no damage: each entry of a label counts for its account. */
static void count_labels(struct tkr_shard *shard)
{
    uint64_t used = atomic_load_explicit(&shard->header->law.arena_used, memory_order_relaxed);

    for (uint64_t at = 0; at < used;) {
        const struct tkr_entry *entry = (const struct tkr_entry *)(shard->arena + at);
        if (life_of(entry) != 0 && label_len_of(entry) > 0)
            label_added(labels_of(shard, account_of(entry)), is_other(entry->id + id_len_of(entry), label_len_of(entry)));
        at += tkr_entry_size(entry);
    }
}

bool tkr_entries_index(struct tkr_shard *shard)
{
    uint64_t accounts = atomic_load_explicit(&shard->header->law.accounts, memory_order_relaxed);

    shard->handed_over = shard->batch;
    if (!index_build(shard, accounts, take_over) || shard->index.count != accounts)
        return false;
    if (shard->labelled)
        count_labels(shard);
    return true;
}

/* --- adding an entry --- */

/* Gives the arena's next step memory: less of it, where the tmpfs does not have as much. */
static bool arena_grow(struct tkr_shard *shard)
{
    uint64_t offset = shard->header->arena_offset + shard->arena_allocated;
    uint64_t bytes = TKR_ARENA_STEP_BYTES - shard->arena_allocated % TKR_ARENA_STEP_BYTES;

    if (tkr_shard_short_of_memory(shard))
        return false;
    if (tkr_shard_file_allocate(shard->fd, offset, bytes) != 0) {
        bytes = TKR_ARENA_STEP_BYTES_MIN;
        if (!tkr_shard_allocate(shard, offset, bytes))
            return false;
    }
    shard->arena_allocated += bytes;
    return true;
}

/* Memory for bytes more at the arena's end. */
static bool arena_room(struct tkr_shard *shard, uint64_t used, uint64_t bytes)
{
    if (shard->arena_allocated < used)
        shard->arena_allocated = used / TKR_ARENA_STEP_BYTES_MIN * TKR_ARENA_STEP_BYTES_MIN; /* just opened */
    while (used + bytes > shard->arena_allocated) {
        if (!arena_grow(shard))
            return false;
    }
    return true;
}

/* Higher than any life given before, and than `above`. */
static uint64_t next_life(struct tkr_law *law, uint64_t above)
{
    uint64_t life = atomic_load_explicit(&law->life_last, memory_order_relaxed) + 1;
    uint64_t now = (uint64_t)tkr_clock_unix_ns();

    if (life < now)
        life = now;
    if (life <= above)
        life = above + 1;
    tkr_batch_set(&law->life_last, life);
    return life;
}

/* Whole words, each stored once: a reader may be looking at what was here before. */
static void write_text(_Atomic uint64_t *word, const struct tkr_charge *charge)
{
    uint64_t text[(TKR_ENTRY_ID_MAX + TKR_ENTRY_LABEL_MAX) / sizeof(*word) + 1];
    uint32_t len = charge->id_len + charge->model_len;

    text[(len - 1) / sizeof(*word)] = 0; /* what the last word has too many */
    memcpy(text, charge->id, charge->id_len);
    if (charge->model_len > 0)
        memcpy((char *)text + charge->id_len, charge->model, charge->model_len);
    for (uint32_t i = 0; i * sizeof(*word) < len; i++)
        atomic_store_explicit(&word[i], text[i], memory_order_release); /* after the stamp (P1) */
}

static void entry_write(struct tkr_entry *entry, const struct tkr_charge *charge, uint64_t batch, uint64_t life)
{
    atomic_store_explicit(&entry->stamp, batch, memory_order_release); /* not committed: readers keep off (I2) */
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        atomic_store_explicit(&entry->counts[i], 0, memory_order_release);
        atomic_store_explicit(&entry->known[i], 0, memory_order_relaxed); /* nobody reads these of a new entry */
    }
    atomic_store_explicit(&entry->known_life, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->kind, charge->kind, memory_order_release);
    /* Both lengths at once: who walks over an entry that is used again finds its size, which stays (I5). */
    atomic_store_explicit(
        &entry->shape, tkr_entry_shape_pack((struct tkr_entry_shape){.cycle = charge->word, .id_len = (uint8_t)charge->id_len}),
        memory_order_release);
    write_text((_Atomic uint64_t *)entry->id, charge);
    atomic_store_explicit(&entry->life, life, memory_order_release);
}

/* Memory for an entry: a forgotten one's, saved in the log, or the arena's end. NULL: there is none at present. */
static struct tkr_entry *entry_memory(struct tkr_shard *shard, uint64_t bytes, bool *ret_at_end)
{
    struct tkr_changed *unused = &shard->unused[bytes / TKR_ENTRY_UNIT];
    uint64_t used = atomic_load_explicit(&shard->header->law.arena_used, memory_order_relaxed);
    struct tkr_entry *entry;

    *ret_at_end = unused->count == 0;
    if (*ret_at_end)
        return arena_room(shard, used, bytes) ? (struct tkr_entry *)(shard->arena + used) : NULL;
    entry = tkr_shard_entry(shard, unused->reference[--unused->count]);
    tkr_batch_touch(shard, entry, TKR_ENTRY_UNDO_BYTES);
    return entry;
}

/* A new entry for the key, in a table that has room for it. NULL: there is no memory for it at present. */
static struct tkr_entry *insert(struct tkr_shard *shard, const struct tkr_charge *charge)
{
    struct tkr_law *law = tkr_batch_law(shard);
    uint64_t bytes = tkr_entry_bytes(charge->id_len + charge->model_len);
    struct tkr_entry *entry;
    bool at_end;

    if (!index_room(shard)) {
        tkr_shard_memory_refused(shard);
        return NULL;
    }
    entry = entry_memory(shard, bytes, &at_end);
    if (entry == NULL)
        return NULL;
    entry_write(entry, charge, shard->batch, next_life(law, 0));
    TKR_CRASH(ENTRY_WRITTEN);
    tkr_index_insert(&shard->index, charge->hash, reference_of(shard, entry));
    tkr_batch_add(&law->accounts, 1);
    TKR_CRASH(ENTRY_COUNTED);
    if (at_end) /* the entry is whole before it is reachable (I5) */
        tkr_batch_add(&law->arena_used, bytes);
    TKR_CRASH(ENTRY_INSERTED);
    list_changed(shard, entry);
    return entry;
}

/* Says so once, until something was forgotten. */
static void note_overflow(struct tkr_shard *shard)
{
    uint64_t accounts = atomic_load_explicit(&shard->header->law.accounts, memory_order_relaxed); /* the worker's own */

    tkr_batch_add(&tkr_batch_law(shard)->overflow_charges, 1);
    if (!shard->overflowing)
        TKR_LOG(TKR_LOG_WARNING,
                "shard-{shard} has {accounts} accounts and models of {accounts_max} (TOKENRING_MAX_ACCOUNTS) and no room for "
                "more; usage of others is charged to the account " TKR_OVERFLOW_ID,
                tkr_field_shard(shard->header->number), tkr_field_accounts(accounts),
                tkr_field_accounts_max(shard->header->accounts_max));
    shard->overflowing = true;
}

static void name_other(struct tkr_shard *shard, struct tkr_charge *charge)
{
    charge->model = TKR_LABEL_OTHER;
    charge->model_len = sizeof(TKR_LABEL_OTHER) - 1;
    hash_charge(shard, charge);
}

/*
 * May the table take another entry, of so many bytes? This is a matter of TOKENRING_MAX_ACCOUNTS, for which the arena was sized;
 * entries of other sizes that were forgotten may have used it up.
 */
static bool table_has_room(const struct tkr_shard *shard, uint64_t bytes)
{
    const struct tkr_law *law = &shard->header->law; /* the worker's own words, below */

    return atomic_load_explicit(&law->accounts, memory_order_relaxed) < shard->header->accounts_max &&
           (shard->unused[bytes / TKR_ENTRY_UNIT].count > 0 ||
            atomic_load_explicit(&law->arena_used, memory_order_relaxed) + bytes + RESERVE_BYTES <= shard->header->arena_bytes);
}

/* The entry of all strangers: `~overflow` for accounts, its `other` for their models. NULL: no memory at present. */
static struct tkr_entry *find_or_insert_overflow(struct tkr_shard *shard, const struct tkr_charge *charge)
{
    struct tkr_charge overflow = {
        .kind = TKR_KIND_USER, .id = TKR_OVERFLOW_ID, .id_len = sizeof(TKR_OVERFLOW_ID) - 1, .cycle = charge->cycle};
    struct tkr_entry *entry;

    if (charge->model_len > 0)
        name_other(shard, &overflow);
    else
        hash_charge(shard, &overflow);
    entry = find(shard, &overflow);
    if (entry == NULL) {
        entry = insert(shard, &overflow);
        if (entry != NULL && charge->model_len > 0)
            label_added(labels_of(shard, overflow), true);
    }
    if (entry != NULL)
        note_overflow(shard);
    return entry;
}

/*
 * A label that the account does not have yet: an entry for it, or that of `other` when the account has its models already. Of
 * an account that has no entry itself, being charged to `~overflow`, there are no labels either.
 */
static struct tkr_entry *find_or_insert_label(struct tkr_shard *shard, struct tkr_charge label)
{
    uint8_t *labels = labels_of(shard, label);
    bool other = is_other(label.model, label.model_len);
    struct tkr_entry *entry = NULL;

    if (labels != NULL && !other && (*labels & ~TKR_LABELS_OTHER) >= shard->models_max) {
        name_other(shard, &label);
        other = true;
        entry = find(shard, &label);
    }
    if (entry != NULL)
        return entry;
    if (labels == NULL || !table_has_room(shard, tkr_entry_bytes(label.id_len + label.model_len)))
        return find_or_insert_overflow(shard, &label);
    entry = insert(shard, &label);
    if (entry != NULL)
        label_added(labels, other);
    return entry;
}

/* The entry that a charge goes to: its own, or what stands for it in a full table. NULL: no memory at present. */
static struct tkr_entry *find_or_insert(struct tkr_shard *shard, const struct tkr_charge *charge)
{
    struct tkr_entry *entry = find(shard, charge);

    if (entry != NULL)
        return entry;
    if (charge->model_len > 0)
        return find_or_insert_label(shard, *charge);
    return table_has_room(shard, tkr_entry_bytes(charge->id_len)) ? insert(shard, charge)
                                                                  : find_or_insert_overflow(shard, charge);
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

enum resolved { COUNTED, REFUSED, WAITS };

/* Finds the entries of one event's charges. An event is counted for all its accounts or for none. */
static enum resolved resolve(struct tkr_shard *shard, struct tkr_charge *charge, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        charge[i].entry = find_or_insert(shard, &charge[i]);
        if (charge[i].entry == NULL)
            return WAITS;
        if (atomic_load_explicit(&charge[i].entry->near_full, memory_order_relaxed) != 0 &&
            would_overflow(charge[i].entry, charge[i].counts, times_charged(charge, i)))
            return REFUSED;
    }
    return COUNTED;
}

/* *waiting: the queue of which an event waits; NO_QUEUE: none does. Events of a queue follow each other, so it is the last. */
#define NO_QUEUE UINT32_MAX

static void apply_event(struct tkr_shard *shard, struct tkr_charge *charge, uint32_t count, uint32_t *waiting)
{
    enum resolved resolved = charge[0].queue == *waiting ? WAITS : resolve(shard, charge, count);

    if (resolved == WAITS)
        *waiting = charge[0].queue;
    for (uint32_t i = 0; i < count; i++) {
        charge[i].refused = resolved == REFUSED;
        charge[i].waits = resolved == WAITS;
        if (resolved == COUNTED)
            add(shard, charge[i].entry, charge[i].counts);
    }
}

static void apply_group(struct tkr_shard *shard, struct tkr_charge *charge, uint32_t count, uint32_t *waiting)
{
    for (uint32_t i = 0; i < count; i++) {
        hash_charge(shard, &charge[i]);
        tkr_index_prefetch(&shard->index, charge[i].hash);
    }
    for (uint32_t i = 0; i < count; i++)
        prefetch_entry(shard, charge[i].hash);
    for (uint32_t i = 0; i < count;) {
        uint32_t end = i + 1;
        while (end < count && charge[end].event == charge[i].event)
            end++;
        apply_event(shard, &charge[i], end - i, waiting);
        i = end;
    }
}

void tkr_batch_apply(struct tkr_shard *shard, struct tkr_charge *charge, uint32_t count)
{
    uint32_t waiting = NO_QUEUE;

    for (uint32_t at = 0; at < count;) {
        uint32_t end = count - at > GROUP ? at + GROUP : count;
        while (end < count && charge[end].event == charge[end - 1].event)
            end++; /* never parts an event */
        apply_group(shard, &charge[at], end - at, &waiting);
        at = end;
    }
}

/* --- the flusher's requests --- */

/* Gives up an entry that the sink has whole and that nobody has touched since. Its memory is of use after the commit. */
static bool forget(struct tkr_shard *shard, struct tkr_entry *entry, const struct tkr_request *request)
{
    uint64_t stamp = atomic_load_explicit(&entry->stamp, memory_order_relaxed);
    uint32_t reference = request->reference;

    if (stamp > request->stamp_max || stamp > shard->handed_over || !known_is_current(entry) || shard->labels[reference] != 0)
        return false;
    if (label_len_of(entry) > 0)
        label_forgotten(shard, entry);
    tkr_index_remove(&shard->index, tkr_index_at(&shard->index, hash_of(shard, reference), reference), hash_of, shard);
    tkr_batch_touch(shard, entry, TKR_ENTRY_UNDO_BYTES);
    tkr_batch_set(&entry->life, 0);
    tkr_batch_set(&tkr_batch_law(shard)->accounts,
                  atomic_load_explicit(&tkr_batch_law(shard)->accounts, memory_order_relaxed) - 1);
    return true;
}

/* Begins a new life with what the sink has not acknowledged: what it has under the life before stays as it is. */
static bool relive(struct tkr_shard *shard, struct tkr_entry *entry, const struct tkr_request *request)
{
    bool acknowledged = atomic_load_explicit(&entry->known_life, memory_order_relaxed) == life_of(entry);

    if (request->life_above >= INT64_MAX)
        return false; /* no life is above that */
    if (atomic_load_explicit(&entry->stamp, memory_order_relaxed) <= shard->handed_over)
        list_changed(shard, entry);
    tkr_batch_touch(shard, entry, TKR_ENTRY_UNDO_BYTES);
    for (int i = 0; acknowledged && i < TKR_COUNTER_COUNT; i++) {
        int64_t rest = atomic_load_explicit(&entry->counts[i], memory_order_relaxed) -
                       atomic_load_explicit(&entry->known[i], memory_order_relaxed);
        atomic_store_explicit(&entry->counts[i], rest, memory_order_release); /* after the stamp (P1) */
    }
    tkr_batch_set(&entry->life, next_life(tkr_batch_law(shard), request->life_above));
    return true;
}

static bool serve_request(struct tkr_shard *shard, const struct tkr_request *request)
{
    struct tkr_entry *entry = tkr_shard_entry(shard, request->reference);

    if (life_of(entry) != request->life)
        return false;
    return request->kind == TKR_REQUEST_FORGET ? forget(shard, entry, request) : relive(shard, entry, request);
}

void tkr_entries_serve_requests(struct tkr_shard *shard)
{
    if (shard->request_count == 0 || !tkr_batch_begin(shard))
        return;
    for (uint32_t i = 0; i < shard->request_count; i++)
        shard->request[i].done = serve_request(shard, &shard->request[i]);
    TKR_CRASH(FORGETTING);
    tkr_batch_commit(shard);
    TKR_CRASH(FORGOTTEN);
    for (uint32_t i = 0; i < shard->request_count; i++) {
        const struct tkr_request *request = &shard->request[i];
        if (!request->done || request->kind != TKR_REQUEST_FORGET)
            continue;
        keep_unused(shard, tkr_shard_entry(shard, request->reference));
        shard->overflowing = false;
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
