/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The board and its reservations: two files in the runtime directory, by which a collector tells the gateways of its host what
 * accounts have used and may use, and gateways tell each other what their open calls hold. Drawn before any code.
 *
 *   "board", read by gateways, written by the collector alone
 *        0   header, 4096 bytes: identity and geometry (constant), the mark that it was replaced
 *     4096   a bit for each place: is it somebody's?
 *        .   places x 320 bytes: entries
 *
 *   "reservations", written by all
 *        0   header, 4096 bytes: the same identity
 *     4096   places x 64 bytes: two cells, and when somebody last asked
 *
 * The board is a hash table, with two places for each account or more. What is said of an account is at one place of both files: its
 * home, which is the hash's, or the next that was free. So a check of an account that nobody asked for lately waits for
 * memory once: all that it will read is fetched before any of it is. Accounts never move; how far those of a home are from it at
 * most is its reach, so that none that left need be remembered.
 *
 * Both are allocated whole before they are renamed into place, reservations first, and are never cut or written over by their
 * maker. A collector that starts takes over the board that is there, if it is whole, of this boot, this layout and the size that
 * is asked for: what calls hold stays, and all accounts are unknown until it has looked them up. Else it makes both anew, marks
 * the board that is there as retired, and renames; then all accounts are unknown until the calls have ended, and are counted,
 * that hold on the one before, for a minute at most: those that are open for longer hold nothing any more. What belongs together
 * carries the same generation.
 *
 * Who writes: header, bits, key and figures of entries: the collector's keeper (one thread); `counted`: its workers (atomic
 * additions); `epoch`: its main thread; cells: any gateway, and the collector's workers and main thread; `asked_s`: any gateway.
 *
 * Invariants
 *   I1  seq of an entry is even  =>  its key is whole, and the same as long as seq is.
 *   I2  used = base + counted is never below what this host knows to be used, as of the last lookup and all counted since: the
 *       keeper reads counted, then what the shards have counted and not seen acknowledged, then asks the sink; base is the sink's
 *       total plus the second less the first. What was acknowledged before the second is in the sink's total; what was counted
 *       later adds to counted after the first. So what is flushed between is in it twice, until the next lookup; never not at
 *       all.
 *   I3  An entry changes hands only while both its cells are 0.
 *   I5  No account that is on the board is farther from its home than the home's reach: it is raised before the account's seq is
 *       even, and lowered after it is odd.
 *   I4  What a cell that is not of the entry's epoch has beyond what slots and releases in lanes vouch for is drift
 *       (limit/hold.h I5).
 *
 * Barrier pairs
 *   P1  key, then seq (release); a reader loads seq (acquire), key (acquire), seq: as table/layout.h P1.
 *   P2  counted, then base: the keeper loads counted before it stores base (release); a reader loads base (acquire), then
 *       counted, and so sees at least what the keeper had subtracted.
 *   P3  seq made odd, then cells looked at (both sequentially consistent); a gateway adds to a cell, then looks at seq (the
 *       same). One of the two sees the other: an entry that changes hands is either kept, or the gateway gives back what it
 *       added.
 *   P5  counted, then cells: a worker adds what it has counted of a call, then takes off what the call held (release); a reader
 *       loads cells (acquire, and more), then base, then counted. So what a call held and then used is in one of them at least.
 *   P6  seq raised by two and fresh_ns made 0, by a keeper that takes a board over, then all that its collector does to counted
 *       and cells; a reader finds an entry, reads, and then looks at seq: what is of the new collector it takes for nothing.
 *   P7  retired, then slots looked at for those that name another board, with a fence between; a gateway writes its slot, adds,
 *       with the addition as its fence, and then looks at retired. One of the two sees the other: so the collector knows when the
 *       last call has ended that holds on the board before.
 *   P4  epoch changed, then slots looked at, with a fence between; a gateway writes its slot, adds, and then looks at epoch again,
 *       with the addition as its fence: a slot that was not seen carries the new epoch.
 *
 * What a kill of the collector leaves: files under temporary names, which the next one removes; a board that grows old, with at
 * most one entry that is changing hands, a count of accounts that may be off by one and reaches that may be too far
 * (tkr_board_resume); or one that is retired: then accounts are unknown until the next collector has made one. What it had
 * counted and not taken off the cells, and what a kill of a gateway leaves: limit/hold.h.
 *
 * Not promised: whoever may write the reservations can write nonsense to cells, and cut the file, which ends gateways that touch
 * it; the collector then gives the board up, and goes on.
 * A directory that is one user's own holds nobody else; where gateways of several users share one, they trust each other so far.
 * Totals are not in these files.
 *
 * Rejected: reservations in the regions (a check would have to look at each gateway); one cell (drift could never be told from
 * what is held); an index of entry numbers (half the memory, but a cold check
 * waits for memory twice, and took 1.6 times as long); four places for each account, and the choice between home and the next
 * place without a branch (no faster).
 */
#ifndef TKR_LIMIT_LAYOUT_H
#define TKR_LIMIT_LAYOUT_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/host.h"
#include "tokenring/tokenring.h"

#define TKR_BOARD_MAGIC UINT64_C(0x314452414f425254)        /* "TRBOARD1" */
#define TKR_RESERVATIONS_MAGIC UINT64_C(0x3156525345525254) /* "TRRESRV1" */
#define TKR_BOARD_MAJOR 3u
#define TKR_BOARD_MINOR 1u /* 3.1: waits */
#define TKR_BOARD_NAME "board"
#define TKR_RESERVATIONS_NAME "reservations"
#define TKR_BOARD_HEADER_BYTES 4096u
#define TKR_BOARD_ACCOUNTS_MIN 1024u
#define TKR_BOARD_ACCOUNTS_MAX (UINT32_C(1) << 20)
#define TKR_BOARD_SPARSITY 2u /* places for each account, at least */
#define TKR_BOARD_PLACES_MAX (TKR_BOARD_SPARSITY * TKR_BOARD_ACCOUNTS_MAX)
#define TKR_BOARD_ID_WORDS 32u /* 255 bytes and a zero */

/* At the start of both files. */
struct tkr_board_header {
    uint64_t magic;
    uint32_t major;
    uint32_t minor;
    uint8_t boot_id[TKR_BOOT_ID_BYTES];
    uint64_t generation; /* random; the same in both files */
    uint64_t seed;       /* of the hashes */
    uint64_t bytes;      /* of the file */
    uint32_t accounts_max;
    uint32_t places;                       /* a power of two */
    alignas(128) _Atomic uint64_t retired; /* not 0: replaced, or about to be */
    _Atomic uint64_t accounts;             /* that are on it */
    _Atomic uint64_t waits;                /* not 0: nothing is published while calls hold on the board before; 0: minor 0 */
};
_Static_assert(sizeof(struct tkr_board_header) <= TKR_BOARD_HEADER_BYTES, "the header fits its page");

/*
 * A limit of 0 blocks an account; on the board 0 has always been no limit. So a blocked account has a limit of 1 token and in its
 * base, beside what is used, so much more: whoever does not know of it, a gateway or a command of an older version, refuses by
 * the figures.
 */
#define TKR_BOARD_BLOCKED_LIMIT INT64_C(1)
#define TKR_BOARD_BLOCKED_BASE (INT64_C(1) << 61)

/* The shape of a key, and beside it what is not the key's but its place's: the reach. */
#define TKR_BOARD_LEN_SHIFT 32
#define TKR_BOARD_REACH_SHIFT 40
#define TKR_BOARD_TAG_SHIFT 48
#define TKR_BOARD_REACH_MASK (UINT64_C(0xff) << TKR_BOARD_REACH_SHIFT)

struct tkr_board_entry {
    alignas(64) _Atomic uint64_t seq; /* odd: it is changing hands, or nobody's */
    _Atomic uint64_t kind;
    _Atomic uint64_t shape;   /* cycle | bytes of the id << 32 | reach of this place << 40 | 16 bits of the hash << 48 */
    _Atomic int64_t limit;    /* tokens that hold; 0: no limit; a limit of 0, which blocks: TKR_BOARD_BLOCKED_LIMIT */
    _Atomic int64_t base;     /* used = base + counted (I2) */
    _Atomic uint64_t counted; /* by this collector, since it began; modulo 2^64 */
    _Atomic int64_t fresh_ns; /* monotonic, of the last lookup; 0: not looked up yet */
    _Atomic uint64_t epoch;   /* its lowest bit is the cell for new calls */
    _Atomic uint64_t id[TKR_BOARD_ID_WORDS]; /* zeros behind it */
};
_Static_assert(sizeof(struct tkr_board_entry) == 320, "entries have no holes");

struct tkr_board_cells {
    alignas(64) _Atomic int64_t cell[2]; /* tokens held */
    _Atomic uint64_t asked_s;            /* monotonic second of the last check; a hint */
};
_Static_assert(sizeof(struct tkr_board_cells) == 64, "cells of two accounts share no line");

#endif
