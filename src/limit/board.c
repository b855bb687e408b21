/* SPDX-License-Identifier: Apache-2.0 */
#include "limit/board.h"

#include <string.h>

#define TAG_SHIFT (64 - (32 - TKR_BOARD_NUMBER_BITS))
#define NUMBER_MASK ((UINT32_C(1) << TKR_BOARD_NUMBER_BITS) - 1)
#define LEFT (UINT32_C(1) << TKR_BOARD_NUMBER_BITS) /* in a slot: whoever was here has left, and others may follow */
#define CANDIDATES 32u                              /* among which the one asked for longest ago leaves */
_Static_assert(TKR_BOARD_ENTRIES_MAX <= NUMBER_MASK, "the number of an entry plus one fits its slot");

/* --- geometry --- */

uint32_t tkr_board_buckets(uint32_t entries_max)
{
    uint32_t buckets = 1;

    while ((uint64_t)buckets * TKR_BOARD_SLOTS < 4 * (uint64_t)entries_max) /* most are found at the first place */
        buckets *= 2;
    return buckets;
}

static uint64_t entries_offset(uint32_t buckets)
{
    return TKR_BOARD_HEADER_BYTES + (uint64_t)buckets * TKR_BOARD_SLOTS * sizeof(uint32_t);
}

uint64_t tkr_board_bytes(uint32_t entries_max, uint32_t buckets)
{
    return entries_offset(buckets) + (uint64_t)entries_max * sizeof(struct tkr_board_entry);
}

uint64_t tkr_reservations_bytes(uint32_t entries_max)
{
    return TKR_BOARD_HEADER_BYTES + (uint64_t)entries_max * sizeof(struct tkr_board_cells);
}

bool tkr_board_fits(const struct tkr_board_header *board, uint64_t board_bytes, const struct tkr_board_header *reservations,
                    uint64_t reservations_bytes, const uint8_t boot_id[TKR_BOOT_ID_BYTES])
{
    uint32_t max = board->entries_max;

    return board->magic == TKR_BOARD_MAGIC && reservations->magic == TKR_RESERVATIONS_MAGIC && board->major == TKR_BOARD_MAJOR &&
           reservations->major == TKR_BOARD_MAJOR && memcmp(board->boot_id, boot_id, TKR_BOOT_ID_BYTES) == 0 &&
           board->generation == reservations->generation && max >= TKR_BOARD_ENTRIES_MIN && max <= TKR_BOARD_ENTRIES_MAX &&
           reservations->entries_max == max && board->buckets == tkr_board_buckets(max) &&
           board_bytes == tkr_board_bytes(max, board->buckets) && reservations_bytes == tkr_reservations_bytes(max);
}

void tkr_board_lay(struct tkr_board *board, void *board_memory, void *reservations_memory, const struct tkr_board_header *header)
{
    board->header = board_memory;
    board->index = (_Atomic uint32_t *)((char *)board_memory + TKR_BOARD_HEADER_BYTES);
    board->entry = (struct tkr_board_entry *)((char *)board_memory + entries_offset(header->buckets));
    board->cells = (struct tkr_board_cells *)((char *)reservations_memory + TKR_BOARD_HEADER_BYTES);
    board->seed = header->seed;
    board->generation = header->generation;
    board->entries_max = header->entries_max;
    board->buckets = header->buckets;
    board->turn = NULL;
    board->shown = 0;
}

static void format_one(struct tkr_board_header *header, uint32_t entries_max, uint64_t generation,
                       const uint8_t boot_id[TKR_BOOT_ID_BYTES])
{
    header->major = TKR_BOARD_MAJOR;
    header->minor = TKR_BOARD_MINOR;
    memcpy(header->boot_id, boot_id, TKR_BOOT_ID_BYTES);
    header->generation = generation;
    header->entries_max = entries_max;
    header->buckets = tkr_board_buckets(entries_max);
}

void tkr_board_format(void *board_memory, void *reservations_memory, uint32_t entries_max, uint64_t generation, uint64_t seed,
                      const uint8_t boot_id[TKR_BOOT_ID_BYTES])
{
    struct tkr_board_header *board = board_memory;
    struct tkr_board_header *reservations = reservations_memory;

    format_one(board, entries_max, generation, boot_id);
    format_one(reservations, entries_max, generation, boot_id);
    board->seed = seed;
    board->bytes = tkr_board_bytes(entries_max, board->buckets);
    reservations->bytes = tkr_reservations_bytes(entries_max);
    reservations->magic = TKR_RESERVATIONS_MAGIC;
    board->magic = TKR_BOARD_MAGIC;
}

/* --- keys --- */

/* Both halves of a product (Wang Yi's wyhash): enough to spread ids, which need no more against a seed that they do not know. */
static uint64_t mix(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* The word at which an id of so many bytes ends, zeros behind it. */
static inline uint64_t last_word(const char *id, uint32_t id_len)
{
    uint32_t rest = (id_len - 1) % 8 + 1;
    uint64_t word = 0;

    if (id_len < 8 || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__) {
        memcpy(&word, id + id_len - rest, rest);
        return word;
    }
    memcpy(&word, id + id_len - 8, 8); /* with some of the word before, which are shifted out */
    return word >> (8 * (8 - rest));
}

void tkr_board_key(const struct tkr_board *board, uint64_t kind, const char *id, uint32_t id_len, uint32_t cycle,
                   struct tkr_board_key *ret_key)
{
    uint64_t hash = mix(board->seed ^ kind ^ UINT64_C(0xa0761d6478bd642f), UINT64_C(0xe7037ed1a0b428db) ^ cycle ^ id_len);
    uint64_t salt = UINT64_C(0x8ebc6af09c88c6e3) ^ board->seed;
    uint32_t last = (id_len + 7) / 8 - 1;

    ret_key->kind = kind;
    ret_key->shape = (uint64_t)id_len << 32 | cycle;
    ret_key->words = last + 1;
    ret_key->id[last] = last_word(id, id_len);
    for (uint32_t i = 0; i < last; i++)
        memcpy(&ret_key->id[i], id + (size_t)i * 8, 8);
    for (uint32_t i = 0; i < last; i += 2) /* two words at once; the last one may be in it twice */
        hash = mix(hash ^ ret_key->id[i], salt ^ ret_key->id[i + 1]);
    ret_key->hash = mix(hash ^ ret_key->id[last], salt ^ UINT64_C(0x589965cc75374cc3));
}

/* --- finding and reading --- */

/* false: the entry is another's, or changing hands. */
static inline bool entry_is(const struct tkr_board_entry *entry, const struct tkr_board_key *key, uint64_t *ret_seq)
{
    uint64_t seq = atomic_load_explicit(&entry->seq, memory_order_acquire); /* P1 */

    if (seq % 2 != 0 || atomic_load_explicit(&entry->kind, memory_order_acquire) != key->kind ||
        atomic_load_explicit(&entry->shape, memory_order_acquire) != key->shape)
        return false;
    for (uint32_t i = 0; i < key->words; i++) {
        if (atomic_load_explicit(&entry->id[i], memory_order_acquire) != key->id[i])
            return false;
    }
    *ret_seq = seq;
    return atomic_load_explicit(&entry->seq, memory_order_relaxed) == seq; /* all loads before are acquire */
}

static _Atomic uint32_t *bucket_of(const struct tkr_board *board, uint64_t hash)
{
    return &board->index[(hash & (board->buckets - 1)) * TKR_BOARD_SLOTS];
}

/* The slots of a bucket are tried from a place on that the hash tells: an account is found at the first or second. */
static inline uint32_t place(uint64_t hash, uint32_t i)
{
    return ((uint32_t)(hash >> 32) + i) % TKR_BOARD_SLOTS;
}

bool tkr_board_find(const struct tkr_board *board, const struct tkr_board_key *key, uint32_t *ret_number, uint64_t *ret_seq)
{
    const _Atomic uint32_t *slot = bucket_of(board, key->hash);
    uint32_t tag = (uint32_t)(key->hash >> TAG_SHIFT);

    for (uint32_t i = 0; i < TKR_BOARD_SLOTS; i++) {
        uint32_t word = atomic_load_explicit(&slot[place(key->hash, i)],
                                             memory_order_relaxed); /* the entry's seq vouches for what is there */
        uint32_t number = (word & NUMBER_MASK) - 1;
        if (word == 0)
            return false; /* nobody was ever here, nor behind */
        if (word >> TKR_BOARD_NUMBER_BITS != tag || number >= board->entries_max)
            continue;
        __builtin_prefetch(&board->entry[number].id); /* with the entry's first line: all will be wanted */
        __builtin_prefetch(&board->cells[number]);
        if (entry_is(&board->entry[number], key, ret_seq)) {
            *ret_number = number;
            return true;
        }
    }
    return false;
}

static bool copy_key(const struct tkr_board_entry *entry, struct tkr_board_account *ret_account, uint64_t *ret_seq)
{
    uint64_t seq = atomic_load_explicit(&entry->seq, memory_order_acquire); /* P1 */
    uint64_t shape = atomic_load_explicit(&entry->shape, memory_order_acquire);

    if (seq % 2 != 0 || shape >> 32 < 1 || shape >> 32 > TKR_ID_BYTES_MAX)
        return false;
    ret_account->kind = atomic_load_explicit(&entry->kind, memory_order_acquire);
    ret_account->cycle = (uint32_t)shape;
    ret_account->id_len = (uint32_t)(shape >> 32);
    for (uint32_t i = 0; i < TKR_BOARD_ID_WORDS; i++) {
        uint64_t word = atomic_load_explicit(&entry->id[i], memory_order_acquire);
        memcpy(ret_account->id + i * sizeof(word), &word, sizeof(word));
    }
    *ret_seq = seq;
    return atomic_load_explicit(&entry->seq, memory_order_relaxed) == seq; /* all loads before are acquire */
}

bool tkr_board_copy_key(const struct tkr_board *board, uint32_t number, struct tkr_board_account *ret_account)
{
    uint64_t seq;

    return copy_key(&board->entry[number], ret_account, &seq);
}

bool tkr_board_copy(const struct tkr_board *board, uint32_t number, struct tkr_board_account *ret_account)
{
    uint64_t seq;

    return copy_key(&board->entry[number], ret_account, &seq) && tkr_board_read(board, number, seq, &ret_account->figures);
}

/* --- the keeper's --- */

static uint64_t hash_of(const struct tkr_board *board, const struct tkr_board_entry *entry)
{
    struct tkr_board_key key;
    uint64_t shape = atomic_load_explicit(&entry->shape, memory_order_relaxed); /* the keeper's own words, as in all below */

    tkr_board_key(board, atomic_load_explicit(&entry->kind, memory_order_relaxed), (const char *)entry->id,
                  (uint32_t)(shape >> 32), (uint32_t)shape, &key);
    return key.hash;
}

/* A slot that nobody follows is as if it had never been used. */
static void unlist(struct tkr_board *board, uint32_t number)
{
    uint64_t hash = hash_of(board, &board->entry[number]);
    _Atomic uint32_t *slot = bucket_of(board, hash);

    for (uint32_t i = 0; i < TKR_BOARD_SLOTS; i++) {
        uint32_t next = atomic_load_explicit(&slot[(i + 1) % TKR_BOARD_SLOTS], memory_order_relaxed);
        if ((atomic_load_explicit(&slot[i], memory_order_relaxed) & NUMBER_MASK) == number + 1)
            atomic_store_explicit(&slot[i], next == 0 ? 0 : LEFT, memory_order_relaxed);
    }
}

/* Takes an entry out of its account's hands. false: its calls hold something, and it stays. */
static bool vacate(struct tkr_board *board, uint32_t number)
{
    struct tkr_board_entry *entry = &board->entry[number];
    struct tkr_board_cells *cells = &board->cells[number];
    uint64_t seq = atomic_load_explicit(&entry->seq, memory_order_relaxed);

    atomic_store_explicit(&entry->seq, seq + 1, memory_order_seq_cst); /* P3 */
    if (atomic_load_explicit(&cells->cell[0], memory_order_seq_cst) == 0 &&
        atomic_load_explicit(&cells->cell[1], memory_order_seq_cst) == 0) {
        unlist(board, number);
        return true;
    }
    atomic_store_explicit(&entry->seq, seq + 2, memory_order_release);
    return false;
}

static uint64_t asked_of(const struct tkr_board *board, uint32_t number)
{
    return atomic_load_explicit(&board->cells[number].asked_s, memory_order_relaxed); /* a hint */
}

/* Of the entries that number() names, the one asked for longest ago leaves. false: it holds something, or there is none. */
static bool leave_oldest(struct tkr_board *board, const uint32_t *number, uint32_t count, uint32_t *ret_number)
{
    bool found = false;

    for (uint32_t i = 0; i < count; i++) {
        const struct tkr_board_cells *cells = &board->cells[number[i]];
        if (atomic_load_explicit(&cells->cell[0], memory_order_relaxed) != 0 ||
            atomic_load_explicit(&cells->cell[1], memory_order_relaxed) != 0)
            continue;
        if (!found || asked_of(board, number[i]) < asked_of(board, *ret_number))
            *ret_number = number[i];
        found = true;
    }
    return found && vacate(board, *ret_number);
}

/* The bucket's free slot. NULL: it is full. */
static _Atomic uint32_t *slot_free(const struct tkr_board *board, uint64_t hash)
{
    _Atomic uint32_t *slot = bucket_of(board, hash);

    for (uint32_t i = 0; i < TKR_BOARD_SLOTS; i++) {
        if ((atomic_load_explicit(&slot[place(hash, i)], memory_order_relaxed) & NUMBER_MASK) == 0)
            return &slot[place(hash, i)];
    }
    return NULL;
}

static bool leave_of_bucket(struct tkr_board *board, uint64_t hash, uint32_t *ret_number)
{
    const _Atomic uint32_t *slot = bucket_of(board, hash);
    uint32_t number[TKR_BOARD_SLOTS];

    for (uint32_t i = 0; i < TKR_BOARD_SLOTS; i++)
        number[i] = (atomic_load_explicit(&slot[i], memory_order_relaxed) & NUMBER_MASK) - 1;
    return leave_oldest(board, number, TKR_BOARD_SLOTS, ret_number);
}

/* Some entries that the hash chooses: each time others. */
static bool leave_of_any(struct tkr_board *board, uint64_t hash, uint32_t *ret_number)
{
    uint32_t number[CANDIDATES];

    for (uint32_t i = 0; i < CANDIDATES; i++) {
        hash = mix(hash, UINT64_C(0x9e3779b97f4a7c15));
        number[i] = (uint32_t)(hash % board->entries_max);
    }
    return leave_oldest(board, number, CANDIDATES, ret_number);
}

/* An entry that is nobody's. */
static bool entry_free(struct tkr_board *board, uint64_t hash, uint32_t *ret_number)
{
    uint64_t used = atomic_load_explicit(&board->header->entries_used, memory_order_relaxed);

    if (slot_free(board, hash) == NULL)
        return leave_of_bucket(board, hash, ret_number);
    if (used >= board->entries_max)
        return leave_of_any(board, hash, ret_number);
    *ret_number = (uint32_t)used;
    atomic_store_explicit(&board->entry[used].seq, 1, memory_order_release);
    atomic_store_explicit(&board->header->entries_used, used + 1, memory_order_release);
    return true;
}

static void store_key(struct tkr_board_entry *entry, const struct tkr_board_key *key)
{
    atomic_store_explicit(&entry->fresh_ns, 0, memory_order_release);
    atomic_store_explicit(&entry->limit, 0, memory_order_release);
    atomic_store_explicit(&entry->kind, key->kind, memory_order_release); /* P1: with the odd seq before it */
    atomic_store_explicit(&entry->shape, key->shape, memory_order_release);
    for (uint32_t i = 0; i < TKR_BOARD_ID_WORDS; i++)
        atomic_store_explicit(&entry->id[i], i < key->words ? key->id[i] : 0, memory_order_release);
}

bool tkr_board_take(struct tkr_board *board, const struct tkr_board_key *key, uint32_t *ret_number)
{
    uint32_t number;
    _Atomic uint32_t *slot;
    uint64_t seq;

    if (!entry_free(board, key->hash, &number))
        return false;
    slot = slot_free(board, key->hash); /* there is one: whoever left it full has left */
    store_key(&board->entry[number], key);
    seq = atomic_load_explicit(&board->entry[number].seq, memory_order_relaxed);
    atomic_store_explicit(&board->entry[number].seq, seq + 1, memory_order_release); /* key before seq (P1) */
    atomic_store_explicit(slot, (uint32_t)(key->hash >> TAG_SHIFT) << TKR_BOARD_NUMBER_BITS | (number + 1), memory_order_release);
    *ret_number = number;
    return true;
}

void tkr_board_publish(struct tkr_board *board, uint32_t number, int64_t limit, int64_t base, int64_t fresh_ns)
{
    struct tkr_board_entry *entry = &board->entry[number];

    atomic_store_explicit(&entry->limit, limit, memory_order_release);
    atomic_store_explicit(&entry->base, base, memory_order_release);         /* P2 */
    atomic_store_explicit(&entry->fresh_ns, fresh_ns, memory_order_release); /* a reader that sees it sees these, or later ones */
}
