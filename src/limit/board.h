/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A board over borrowed memory: found by its readers, changed by its keeper. No file, no system call (limit/layout.h has the
 * argument).
 *
 * Threads: what is said to be the keeper's, by one thread; all else by any.
 */
#ifndef TKR_LIMIT_BOARD_H
#define TKR_LIMIT_BOARD_H

#include <stdbool.h>
#include <stddef.h>

#include "limit/layout.h"

/* Where a board lies. All but the pointers' targets is constant. */
struct tkr_board {
    struct tkr_board_header *header;
    _Atomic uint64_t *taken; /* a bit for each place */
    struct tkr_board_entry *entry;
    struct tkr_board_cells *cells;
    uint64_t seed;
    uint64_t generation;
    uint32_t accounts_max;
    uint32_t places;
    const _Atomic uint64_t *turn; /* of the window through which it is seen (limit/window.h); NULL: it is never replaced */
    uint64_t shown;               /* what turn is as long as it is this board's */
};

/* Is all that was read of it, by acquire loads, its own? */
static inline bool tkr_board_shown(const struct tkr_board *board)
{
    return board->turn == NULL || atomic_load_explicit(board->turn, memory_order_acquire) == board->shown;
}

/* Whom an entry is about, in words. */
struct tkr_board_key {
    uint64_t kind;
    uint64_t shape; /* without a reach */
    uint64_t hash;
    uint32_t words;
    uint64_t id[TKR_BOARD_ID_WORDS];
};

/* What an entry says, at one moment. */
struct tkr_board_figures {
    int64_t limit; /* 0: none, or, of a blocked account, that it is 0 */
    int64_t used;
    int64_t reserved; /* held by open calls, and what ended calls used that is not counted yet */
    int64_t fresh_ns; /* 0: not looked up yet */
    bool blocked;     /* after tkr_board_unblock, which takes off what stands for it (limit/layout.h) */
};

/* Any figure of a blocked account is beyond half of what stands for the block; no other account with a limit of 1 comes near
 * it. */
static inline void tkr_board_unblock(struct tkr_board_figures *figures)
{
    figures->blocked = figures->limit == TKR_BOARD_BLOCKED_LIMIT && figures->used > TKR_BOARD_BLOCKED_BASE / 2;
    if (__builtin_expect(!figures->blocked, 1))
        return;
    figures->limit = 0;
    figures->used -= TKR_BOARD_BLOCKED_BASE;
}

/* What gateways take figures for whose options name nothing else (tokenring.h). */
#define TKR_LIMIT_WARN_PERCENT 80u
#define TKR_LIMIT_MAX_AGE_MS 10000u
enum tkr_board_verdict { TKR_BOARD_ALLOWED, TKR_BOARD_SOFT, TKR_BOARD_REFUSED, TKR_BOARD_UNKNOWN, TKR_BOARD_VERDICTS };
extern const char *const tkr_board_verdict_word[TKR_BOARD_VERDICTS];

/* Tokens used, and those and the reserved ones, of figures that may be damaged: from 0 to INT64_MAX. */
int64_t tkr_board_used(const struct tkr_board_figures *figures);
int64_t tkr_board_taken(const struct tkr_board_figures *figures);

/* How old they are by the monotonic clock; -1: not looked up yet. */
int64_t tkr_board_age_ns(const struct tkr_board_figures *figures, int64_t now_ns);
enum tkr_board_verdict tkr_board_judge(const struct tkr_board_figures *figures, int64_t age_ns);

/* The places of a board for so many accounts, and the bytes of its files with so many places. */
uint32_t tkr_board_places(uint32_t accounts_max);
uint64_t tkr_board_bytes(uint32_t places);
uint64_t tkr_reservations_bytes(uint32_t places);

/* Are these the headers of a board and its reservations that this version reads, in files of so many bytes, of this boot? */
bool tkr_board_fits(const struct tkr_board_header *board, uint64_t board_bytes, const struct tkr_board_header *reservations,
                    uint64_t reservations_bytes, const uint8_t boot_id[TKR_BOOT_ID_BYTES]);

/* Lays a board over two memories whose geometry is that of the header; it is never replaced. */
void tkr_board_lay(struct tkr_board *board, void *board_memory, void *reservations_memory, const struct tkr_board_header *header);

/* Keeper: writes the headers of a new board to zeroed memory; magic last. */
void tkr_board_format(void *board_memory, void *reservations_memory, uint32_t accounts_max, uint64_t generation, uint64_t seed,
                      const uint8_t boot_id[TKR_BOOT_ID_BYTES]);

/* The key of an account, whose id has 1..255 bytes, in a cycle. */
void tkr_board_key(const struct tkr_board *board, uint64_t kind, const char *id, uint32_t id_len, uint32_t cycle,
                   struct tkr_board_key *ret_key);

/* The place so far from a hash's home. */
static inline uint32_t tkr_board_place(const struct tkr_board *board, uint64_t hash, uint32_t distance)
{
    return ((uint32_t)hash + distance) & (board->places - 1);
}

static inline void tkr_board_prefetch_place(const struct tkr_board *board, uint32_t number, uint32_t words)
{
    __builtin_prefetch(&board->entry[number]);
    __builtin_prefetch(&board->cells[number]);
    for (uint32_t i = 0; i < words; i += 8)
        __builtin_prefetch(&board->entry[number].id[i]);
}

/* Fetches what finding and reading will want, so that none of it is waited for singly: as early as the key is known. */
static inline void tkr_board_prefetch(const struct tkr_board *board, const struct tkr_board_key *key)
{
    tkr_board_prefetch_place(board, tkr_board_place(board, key->hash, 0), key->words);
    tkr_board_prefetch_place(board, tkr_board_place(board, key->hash, 1), key->words); /* where one in seven is */
}

/*
 * Finds the entry of a key. ret_seq vouches for it: as long as the entry's is the same, the entry is this key's. false: not
 * there.
 */
bool tkr_board_find(const struct tkr_board *board, const struct tkr_board_key *key, uint32_t *ret_number, uint64_t *ret_seq);

/* What a cell holds. Below 0 it is somebody's nonsense: then it holds nothing. */
static inline int64_t tkr_board_held(const _Atomic int64_t *cell)
{
    int64_t tokens = atomic_load_explicit(cell, memory_order_seq_cst); /* P3, P5, and the look that follows an addition */

    return tokens < 0 ? 0 : tokens > INT64_MAX / 4 ? INT64_MAX / 4 : tokens;
}

/* Reads what an entry says, all but `blocked`, as it is. false: it has changed hands since tkr_board_find. */
static inline bool tkr_board_read(const struct tkr_board *board, uint32_t number, uint64_t seq,
                                  struct tkr_board_figures *ret_figures)
{
    const struct tkr_board_entry *entry = &board->entry[number];
    const struct tkr_board_cells *cells = &board->cells[number];
    int64_t base;

    ret_figures->fresh_ns = atomic_load_explicit(&entry->fresh_ns, memory_order_acquire);
    ret_figures->limit = atomic_load_explicit(&entry->limit, memory_order_acquire);
    ret_figures->reserved = tkr_board_held(&cells->cell[0]) + tkr_board_held(&cells->cell[1]); /* before counted (P5) */
    base = atomic_load_explicit(&entry->base, memory_order_acquire);                           /* before counted (P2) */
    ret_figures->used = (int64_t)((uint64_t)base + atomic_load_explicit(&entry->counted, memory_order_acquire));
    return atomic_load_explicit(&entry->seq, memory_order_seq_cst) == seq; /* P3 */
}

/* Finds the first place from *number on that is somebody's. false: there is none, and *number is the number of places. */
bool tkr_board_next(const struct tkr_board *board, uint32_t *number);

static inline uint32_t tkr_board_id_len(uint64_t shape)
{
    return (uint32_t)(shape >> TKR_BOARD_LEN_SHIFT) & 0xff;
}

/* Whom an entry is about, and what it says, for those who look at all of them. */
struct tkr_board_account {
    uint64_t kind;
    uint32_t cycle;
    uint32_t id_len;
    char id[TKR_BOARD_ID_WORDS * 8];
    struct tkr_board_figures figures;
};

/* Copies an entry; of its figures nothing (no cells are touched), or all. false: it is nobody's, or
 * changing hands. */
bool tkr_board_copy_key(const struct tkr_board *board, uint32_t number, struct tkr_board_account *ret_account);
bool tkr_board_copy(const struct tkr_board *board, uint32_t number, struct tkr_board_account *ret_account);

#define TKR_LIMIT_REFUSE_AGE_NS INT64_C(2000000000) /* figures that are older refuse nobody while their account is idle */
#define TKR_BOARD_BUSY_S 10u /* an account that somebody asked for within so many seconds is busy; else idle */

static inline bool tkr_board_busy(const struct tkr_board *board, uint32_t number, uint64_t now_s)
{
    return atomic_load_explicit(&board->cells[number].asked_s, memory_order_relaxed) + TKR_BOARD_BUSY_S >= now_s; /* a hint */
}

/* Was it asked for in this second? */
static inline bool tkr_board_asked_in(const struct tkr_board *board, uint32_t number, uint64_t now_s)
{
    return atomic_load_explicit(&board->cells[number].asked_s, memory_order_relaxed) == now_s; /* a hint */
}

/* Notes that somebody asks. */
static inline void tkr_board_ask(const struct tkr_board *board, uint32_t number, uint64_t now_s)
{
    _Atomic uint64_t *asked = &board->cells[number].asked_s;

    if (atomic_load_explicit(asked, memory_order_relaxed) != now_s)
        atomic_store_explicit(asked, now_s, memory_order_relaxed); /* a hint */
}

/*
 * Keeper: gives a key an entry that says nothing yet (fresh_ns 0). On a full board the account leaves that was asked for longest
 * ago, of those looked at, that holds nothing, and for which nobody has asked since leaves_s (monotonic; UINT64_MAX: whoever
 * did; 0: nobody leaves). false: none is to be had at present.
 */
bool tkr_board_take(struct tkr_board *board, const struct tkr_board_key *key, uint64_t leaves_s, uint32_t *ret_number);

/*
 * Keeper: takes up a board whose last keeper died anywhere, before anything is counted on it or taken off its cells: its accounts
 * stay, with what is held of them, and nothing is known of them until it is published (fresh_ns 0). Whoever has found an entry
 * before finds that it has changed hands. No cells are touched.
 */
void tkr_board_resume(struct tkr_board *board);

/* Keeper: publishes what an entry says, as limit/layout.h has it. */
void tkr_board_publish(struct tkr_board *board, uint32_t number, int64_t limit, int64_t base, int64_t fresh_ns);

#endif
