/* SPDX-License-Identifier: Apache-2.0 */
#include "limit/board.h"

#include <string.h>

#include "base/clock.h"
#include "base/crash.h"

#define REACH_MAX 63u  /* places from home at most: with twice as many as accounts, nearly none is beyond a few */
#define CANDIDATES 64u /* places at which the account asked for longest ago is looked for, to leave */
_Static_assert(REACH_MAX < TKR_BOARD_ACCOUNTS_MIN && REACH_MAX <= 0xff, "a reach is within the board and its bits");

/* --- geometry --- */

uint32_t tkr_board_places(uint32_t accounts_max)
{
    uint32_t places = 1;

    while (places < TKR_BOARD_SPARSITY * (uint64_t)accounts_max)
        places *= 2;
    return places;
}

static uint64_t entries_offset(uint32_t places)
{
    return TKR_BOARD_HEADER_BYTES + places / 8;
}

uint64_t tkr_board_bytes(uint32_t places)
{
    return entries_offset(places) + (uint64_t)places * sizeof(struct tkr_board_entry);
}

uint64_t tkr_reservations_bytes(uint32_t places)
{
    return TKR_BOARD_HEADER_BYTES + (uint64_t)places * sizeof(struct tkr_board_cells);
}

bool tkr_board_fits(const struct tkr_board_header *board, uint64_t board_bytes, const struct tkr_board_header *reservations,
                    uint64_t reservations_bytes, const uint8_t boot_id[TKR_BOOT_ID_BYTES])
{
    uint32_t max = board->accounts_max;

    return board->magic == TKR_BOARD_MAGIC && reservations->magic == TKR_RESERVATIONS_MAGIC && board->major == TKR_BOARD_MAJOR &&
           reservations->major == TKR_BOARD_MAJOR && memcmp(board->boot_id, boot_id, TKR_BOOT_ID_BYTES) == 0 &&
           board->generation == reservations->generation && max >= TKR_BOARD_ACCOUNTS_MIN && max <= TKR_BOARD_ACCOUNTS_MAX &&
           reservations->accounts_max == max && board->places == tkr_board_places(max) &&
           board_bytes == tkr_board_bytes(board->places) && reservations_bytes == tkr_reservations_bytes(board->places);
}

void tkr_board_lay(struct tkr_board *board, void *board_memory, void *reservations_memory, const struct tkr_board_header *header)
{
    board->header = board_memory;
    board->taken = (_Atomic uint64_t *)((char *)board_memory + TKR_BOARD_HEADER_BYTES);
    board->entry = (struct tkr_board_entry *)((char *)board_memory + entries_offset(header->places));
    board->cells = (struct tkr_board_cells *)((char *)reservations_memory + TKR_BOARD_HEADER_BYTES);
    board->seed = header->seed;
    board->generation = header->generation;
    board->accounts_max = header->accounts_max;
    board->places = header->places;
    board->turn = NULL;
    board->shown = 0;
}

static void format_one(struct tkr_board_header *header, uint32_t accounts_max, uint64_t generation,
                       const uint8_t boot_id[TKR_BOOT_ID_BYTES])
{
    header->major = TKR_BOARD_MAJOR;
    header->minor = TKR_BOARD_MINOR;
    memcpy(header->boot_id, boot_id, TKR_BOOT_ID_BYTES);
    header->generation = generation;
    header->accounts_max = accounts_max;
    header->places = tkr_board_places(accounts_max);
}

void tkr_board_format(void *board_memory, void *reservations_memory, uint32_t accounts_max, uint64_t generation, uint64_t seed,
                      const uint8_t boot_id[TKR_BOOT_ID_BYTES])
{
    struct tkr_board_header *board = board_memory;
    struct tkr_board_header *reservations = reservations_memory;

    format_one(board, accounts_max, generation, boot_id);
    format_one(reservations, accounts_max, generation, boot_id);
    board->seed = seed;
    board->bytes = tkr_board_bytes(board->places);
    reservations->bytes = tkr_reservations_bytes(reservations->places);
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
    ret_key->words = last + 1;
    ret_key->id[last] = last_word(id, id_len);
    for (uint32_t i = 0; i < last; i++)
        memcpy(&ret_key->id[i], id + (size_t)i * 8, 8);
    for (uint32_t i = 0; i < last; i += 2) /* two words at once; the last one may be in it twice */
        hash = mix(hash ^ ret_key->id[i], salt ^ ret_key->id[i + 1]);
    hash = mix(hash ^ ret_key->id[last], salt ^ UINT64_C(0x589965cc75374cc3));
    ret_key->hash = hash;
    ret_key->shape = (uint64_t)id_len << TKR_BOARD_LEN_SHIFT | cycle | hash >> TKR_BOARD_TAG_SHIFT << TKR_BOARD_TAG_SHIFT;
}

/* --- finding and reading --- */

static inline uint32_t reach_of(uint64_t shape)
{
    return (uint32_t)((shape & TKR_BOARD_REACH_MASK) >> TKR_BOARD_REACH_SHIFT);
}

/* false: the entry is another's, or changing hands. */
static inline bool entry_is(const struct tkr_board_entry *entry, const struct tkr_board_key *key, uint64_t *ret_seq)
{
    uint64_t seq = atomic_load_explicit(&entry->seq, memory_order_acquire); /* P1 */

    if (((atomic_load_explicit(&entry->shape, memory_order_acquire) ^ key->shape) & ~TKR_BOARD_REACH_MASK) != 0 || seq % 2 != 0 ||
        atomic_load_explicit(&entry->kind, memory_order_acquire) != key->kind)
        return false;
    for (uint32_t i = 0; i < key->words; i++) {
        if (atomic_load_explicit(&entry->id[i], memory_order_acquire) != key->id[i])
            return false;
    }
    *ret_seq = seq;
    return atomic_load_explicit(&entry->seq, memory_order_relaxed) == seq; /* all loads before are acquire */
}

bool tkr_board_find(const struct tkr_board *board, const struct tkr_board_key *key, uint32_t *ret_number, uint64_t *ret_seq)
{
    uint32_t number = tkr_board_place(board, key->hash, 0);
    uint32_t reach;

    if (entry_is(&board->entry[number], key, ret_seq)) {
        *ret_number = number;
        return true;
    }
    reach = reach_of(atomic_load_explicit(&board->entry[number].shape, memory_order_acquire)); /* I5 */
    for (uint32_t distance = 1; distance <= reach; distance++) {
        number = tkr_board_place(board, key->hash, distance);
        if (entry_is(&board->entry[number], key, ret_seq)) {
            *ret_number = number;
            return true;
        }
    }
    return false;
}

bool tkr_board_next(const struct tkr_board *board, uint32_t *number)
{
    uint32_t at = *number;

    while (at < board->places) {
        uint64_t bits = atomic_load_explicit(&board->taken[at / 64], memory_order_acquire) >> (at % 64);
        if (bits != 0) {
            *number = at + (uint32_t)__builtin_ctzll(bits);
            return true;
        }
        at = (at / 64 + 1) * 64;
    }
    *number = board->places;
    return false;
}

static bool copy_key(const struct tkr_board *board, uint32_t number, struct tkr_board_account *ret_account, uint64_t *ret_seq)
{
    const struct tkr_board_entry *entry = &board->entry[number];
    uint64_t seq = atomic_load_explicit(&entry->seq, memory_order_acquire); /* P1 */
    uint64_t shape = atomic_load_explicit(&entry->shape, memory_order_acquire);

    if (seq % 2 != 0 || tkr_board_id_len(shape) == 0)
        return false;
    ret_account->kind = atomic_load_explicit(&entry->kind, memory_order_acquire);
    ret_account->cycle = (uint32_t)shape;
    ret_account->id_len = tkr_board_id_len(shape);
    for (uint32_t i = 0; i < TKR_BOARD_ID_WORDS; i++) {
        uint64_t word = atomic_load_explicit(&board->entry[number].id[i], memory_order_acquire);
        memcpy(ret_account->id + i * sizeof(word), &word, sizeof(word));
    }
    *ret_seq = seq;
    return atomic_load_explicit(&entry->seq, memory_order_relaxed) == seq; /* all loads before are acquire */
}

bool tkr_board_copy_key(const struct tkr_board *board, uint32_t number, struct tkr_board_account *ret_account)
{
    uint64_t seq;

    return copy_key(board, number, ret_account, &seq);
}

bool tkr_board_copy(const struct tkr_board *board, uint32_t number, struct tkr_board_account *ret_account)
{
    uint64_t seq;

    if (!copy_key(board, number, ret_account, &seq) || !tkr_board_read(board, number, seq, &ret_account->figures))
        return false;
    tkr_board_unblock(&ret_account->figures);
    return true;
}

/* --- the keeper's: its own words are read relaxed --- */

static uint64_t shape_of(const struct tkr_board *board, uint32_t number)
{
    return atomic_load_explicit(&board->entry[number].shape, memory_order_relaxed);
}

static bool is_taken(const struct tkr_board *board, uint32_t number)
{
    return (atomic_load_explicit(&board->taken[number / 64], memory_order_relaxed) >> (number % 64) & 1) != 0;
}

/* Somebody's from now on, or nobody's. */
static void turn_taken(struct tkr_board *board, uint32_t number, bool taken)
{
    _Atomic uint64_t *word = &board->taken[number / 64];
    uint64_t accounts = atomic_load_explicit(&board->header->accounts, memory_order_relaxed);

    atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) ^ UINT64_C(1) << (number % 64),
                          memory_order_release);
    atomic_store_explicit(&board->header->accounts, taken ? accounts + 1 : accounts - 1, memory_order_relaxed);
}

static uint32_t home_of(const struct tkr_board *board, uint32_t number)
{
    struct tkr_board_key key;
    uint64_t shape = shape_of(board, number);

    tkr_board_key(board, atomic_load_explicit(&board->entry[number].kind, memory_order_relaxed),
                  (const char *)board->entry[number].id, tkr_board_id_len(shape), (uint32_t)shape, &key);
    return tkr_board_place(board, key.hash, 0);
}

static void set_reach(struct tkr_board *board, uint32_t home, uint32_t reach)
{
    uint64_t shape = shape_of(board, home);

    atomic_store_explicit(&board->entry[home].shape, (shape & ~TKR_BOARD_REACH_MASK) | (uint64_t)reach << TKR_BOARD_REACH_SHIFT,
                          memory_order_release);
}

/* After the last account but those nearer has left a home. */
static void lower_reach(struct tkr_board *board, uint32_t home, uint32_t reach)
{
    while (reach > 0 &&
           !(is_taken(board, tkr_board_place(board, home, reach)) && home_of(board, tkr_board_place(board, home, reach)) == home))
        reach--;
    set_reach(board, home, reach);
}

/* Takes an entry out of its account's hands. false: its calls hold something, and it stays. */
static bool vacate(struct tkr_board *board, uint32_t number)
{
    struct tkr_board_entry *entry = &board->entry[number];
    struct tkr_board_cells *cells = &board->cells[number];
    uint64_t seq = atomic_load_explicit(&entry->seq, memory_order_relaxed);
    uint32_t home = home_of(board, number);

    atomic_store_explicit(&entry->seq, seq + 1, memory_order_seq_cst); /* P3 */
    if (atomic_load_explicit(&cells->cell[0], memory_order_seq_cst) != 0 ||
        atomic_load_explicit(&cells->cell[1], memory_order_seq_cst) != 0) {
        atomic_store_explicit(&entry->seq, seq + 2, memory_order_release);
        return false;
    }
    turn_taken(board, number, false);
    lower_reach(board, home, reach_of(shape_of(board, home)));
    return true;
}

static uint64_t asked_of(const struct tkr_board *board, uint32_t number)
{
    return atomic_load_explicit(&board->cells[number].asked_s, memory_order_relaxed); /* a hint */
}

static bool holds(const struct tkr_board *board, uint32_t number)
{
    const struct tkr_board_cells *cells = &board->cells[number];

    return atomic_load_explicit(&cells->cell[0], memory_order_relaxed) != 0 ||
           atomic_load_explicit(&cells->cell[1], memory_order_relaxed) != 0;
}

/* Of the accounts at these places, the one asked for longest ago leaves. false: each holds something, or was asked for since,
 * or there is none. */
static bool leave_oldest(struct tkr_board *board, const uint32_t *number, uint32_t count, uint64_t leaves_s)
{
    uint32_t oldest = 0;
    bool found = false;

    for (uint32_t i = 0; i < count; i++) {
        if (!is_taken(board, number[i]) || holds(board, number[i]) || asked_of(board, number[i]) >= leaves_s)
            continue;
        if (!found || asked_of(board, number[i]) < asked_of(board, oldest))
            oldest = number[i];
        found = true;
    }
    return found && vacate(board, oldest);
}

/* Of places that the hash chooses: each time others. */
static bool leave_any(struct tkr_board *board, uint64_t hash, uint64_t leaves_s)
{
    uint32_t number[CANDIDATES];

    for (uint32_t i = 0; i < CANDIDATES; i++) {
        hash = mix(hash, UINT64_C(0x9e3779b97f4a7c15));
        number[i] = tkr_board_place(board, hash, 0);
    }
    return leave_oldest(board, number, CANDIDATES, leaves_s);
}

/* Of the places at which an account may be. */
static bool leave_near(struct tkr_board *board, uint64_t hash, uint64_t leaves_s)
{
    uint32_t number[REACH_MAX + 1];

    for (uint32_t i = 0; i <= REACH_MAX; i++)
        number[i] = tkr_board_place(board, hash, i);
    return leave_oldest(board, number, REACH_MAX + 1, leaves_s);
}

/* How far from home the next free place is. false: beyond all reach. */
static bool find_free(const struct tkr_board *board, uint64_t hash, uint32_t *ret_distance)
{
    for (uint32_t i = 0; i <= REACH_MAX; i++) {
        *ret_distance = i;
        if (!is_taken(board, tkr_board_place(board, hash, i)))
            return true;
    }
    return false;
}

/* seq is odd. */
static void store_key(struct tkr_board *board, uint32_t number, const struct tkr_board_key *key)
{
    struct tkr_board_entry *entry = &board->entry[number];
    uint64_t reach = shape_of(board, number) & TKR_BOARD_REACH_MASK; /* of the place, whoever is in it */

    atomic_store_explicit(&entry->fresh_ns, 0, memory_order_release);
    atomic_store_explicit(&entry->limit, 0, memory_order_release);
    atomic_store_explicit(&entry->kind, key->kind, memory_order_release); /* P1: with the odd seq before it */
    atomic_store_explicit(&entry->shape, key->shape | reach, memory_order_release);
    for (uint32_t i = 0; i < TKR_BOARD_ID_WORDS; i++)
        atomic_store_explicit(&board->entry[number].id[i], i < key->words ? key->id[i] : 0, memory_order_release);
}

bool tkr_board_take(struct tkr_board *board, const struct tkr_board_key *key, uint64_t leaves_s, uint32_t *ret_number)
{
    bool full = atomic_load_explicit(&board->header->accounts, memory_order_relaxed) >= board->accounts_max;
    uint32_t home = tkr_board_place(board, key->hash, 0);
    uint32_t distance;
    uint32_t number;
    uint64_t seq;

    if (full && !leave_any(board, key->hash, leaves_s))
        return false;
    if (!find_free(board, key->hash, &distance) &&
        !(leave_near(board, key->hash, leaves_s) && find_free(board, key->hash, &distance)))
        return false;
    number = tkr_board_place(board, key->hash, distance);
    seq = atomic_load_explicit(&board->entry[number].seq, memory_order_relaxed) | 1; /* the first time it is even */
    atomic_store_explicit(&board->entry[number].seq, seq, memory_order_release);
    store_key(board, number, key);
    if (distance > reach_of(shape_of(board, home)))
        set_reach(board, home, distance);                                            /* I5 */
    atomic_store_explicit(&board->entry[number].seq, seq + 1, memory_order_release); /* key before seq (P1) */
    turn_taken(board, number, true);
    *ret_number = number;
    return true;
}

/* What a kill may have left of a place: see tkr_board_take and vacate. */
static void resume_place(struct tkr_board *board, uint32_t number)
{
    struct tkr_board_entry *entry = &board->entry[number];
    uint64_t seq = atomic_load_explicit(&entry->seq, memory_order_relaxed);

    if (!is_taken(board, number)) { /* its key may be whole, but nobody has it yet, or any more */
        if (seq % 2 == 0 && tkr_board_id_len(shape_of(board, number)) != 0)
            atomic_store_explicit(&entry->seq, seq + 1, memory_order_release);
        return;
    }
    /* Odd: it was to leave, and its key is whole still. */
    atomic_store_explicit(&entry->seq, seq | 1, memory_order_seq_cst);
    atomic_store_explicit(&entry->fresh_ns, 0, memory_order_release);
    atomic_store_explicit(&entry->seq, (seq | 1) + 1, memory_order_release);
    TKR_CRASH(BOARD_RESUMED);
}

void tkr_board_resume(struct tkr_board *board)
{
    uint64_t accounts = 0;

    for (uint32_t i = 0; i < board->places; i++) {
        accounts += is_taken(board, i);
        resume_place(board, i);
    }
    atomic_store_explicit(&board->header->accounts, accounts, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* each seq before all that is done on the board from now on (P6) */
}

void tkr_board_publish(struct tkr_board *board, uint32_t number, int64_t limit, int64_t base, int64_t fresh_ns)
{
    struct tkr_board_entry *entry = &board->entry[number];

    atomic_store_explicit(&entry->limit, limit, memory_order_release);
    atomic_store_explicit(&entry->base, base, memory_order_release);         /* P2 */
    atomic_store_explicit(&entry->fresh_ns, fresh_ns, memory_order_release); /* a reader that sees it sees these, or later ones */
}

/* --- what figures mean --- */

const char *const tkr_board_verdict_word[TKR_BOARD_VERDICTS] = {
    [TKR_BOARD_ALLOWED] = "allowed", [TKR_BOARD_SOFT] = "soft", [TKR_BOARD_REFUSED] = "refused", [TKR_BOARD_UNKNOWN] = "unknown"};

int64_t tkr_board_used(const struct tkr_board_figures *figures)
{
    return figures->used > 0 ? figures->used : 0;
}

int64_t tkr_board_taken(const struct tkr_board_figures *figures)
{
    int64_t sum;

    return __builtin_add_overflow(tkr_board_used(figures), figures->reserved, &sum) ? INT64_MAX : sum;
}

int64_t tkr_board_age_ns(const struct tkr_board_figures *figures, int64_t now_ns)
{
    if (figures->fresh_ns <= 0) /* below: damaged */
        return -1;
    return now_ns > figures->fresh_ns ? now_ns - figures->fresh_ns : 0;
}

enum tkr_board_verdict tkr_board_judge(const struct tkr_board_figures *figures, int64_t age_ns)
{
    int64_t taken = tkr_board_taken(figures);

    if (age_ns < 0 || age_ns > TKR_LIMIT_MAX_AGE_MS * TKR_NS_PER_MS)
        return TKR_BOARD_UNKNOWN;
    if (figures->blocked)
        return TKR_BOARD_REFUSED;
    if (figures->limit <= 0)
        return TKR_BOARD_ALLOWED;
    if (taken >= figures->limit)
        return TKR_BOARD_REFUSED;
    return (double)taken * 100 >= (double)figures->limit * TKR_LIMIT_WARN_PERCENT ? TKR_BOARD_SOFT : TKR_BOARD_ALLOWED;
}
