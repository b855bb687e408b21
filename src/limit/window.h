/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A window: a gateway's mapping of the board and its reservations, found, lost and found again while threads look through it.
 *
 * Nobody waits. A thread that finds no board, or one that was replaced, tries to map the one that is there, unless another does
 * so or it was tried just now; all others go on without one meanwhile, for whom accounts are unknown.
 *
 * Addresses are never given up before the window is closed, so that a thread may go on looking by the geometry of a board that is
 * gone: what it reads is bytes of the new board, or zeros, bounds are those of the addresses, and what it found is dismissed,
 * because the window's turn has changed.
 *   Board: a new one takes the place of the old one at the same addresses (MAP_FIXED), zeros behind it.
 *   Reservations: what writes to cells of a board that is gone must not reach those of another. So a new board's cells lie at
 * other addresses; those of the old one become zeros that nobody else sees; and they serve a later board when no slot of this
 * process names the board whose cells were there (limit/hold.h: from before its first addition until after its last subtraction
 * a slot does).
 *
 * Who writes: all of it, whoever holds `busy`.
 *
 * Barrier pairs
 *   P1  turn made odd, then the new mapping, then turn even (release); a reader loads the board (acquire), looks, with acquire
 *       loads, and then asks whether turn is still the board's: if so, all it saw is of one board.
 *   P2  turn made odd, then slots looked at for those that name an older board, with a fence between; who holds writes its slot,
 *       adds to a cell, and then looks at turn, with the addition as its fence. One of the two sees the other: addresses are
 *       kept for the holder; or it touches no cell again, and one addition may have gone to whatever lies there now: drift, which
 *       the collector mends (limit/hold.h).
 *
 * So may the second at which somebody asked (tkr_board_ask): a hint.
 *
 * Zeroed memory is a window that has found nothing; in a child of a fork it is that again (producer/producer.h), and the mappings
 * are not there (MADV_DONTFORK).
 *
 * Threads: any, but tkr_window_close. Progress: tkr_window_board lock-free, without a system call; tkr_window_find makes some,
 * ten times a second at most, where there is no board, and once for each new one.
 */
#ifndef TKR_LIMIT_WINDOW_H
#define TKR_LIMIT_WINDOW_H

#include "limit/board.h"

struct tkr_window_view;
struct tkr_window_page;

struct tkr_window {
    _Atomic uint64_t turn;             /* odd: being exchanged */
    _Atomic(struct tkr_board *) board; /* NULL: none yet */
    atomic_flag busy;                  /* a thread looks for a board */
    _Atomic int64_t retry_ns;          /* monotonic: not before */
    void *span;                        /* addresses of boards */
    uint64_t span_bytes;
    struct tkr_window_view *cells; /* all that have addresses of reservations; the last one made first */
    struct tkr_window_page *page;  /* that hold what was ever seen */
};

/* Does any slot of this process name a board of this tag (limit/hold.h)? */
typedef bool tkr_window_named(const void *context, uint64_t tag);

/* The board that is seen, or NULL; what is read of it is to be believed only if tkr_board_shown afterwards. */
static inline const struct tkr_board *tkr_window_board(const struct tkr_window *window)
{
    const struct tkr_board *board = atomic_load_explicit(&window->board, memory_order_acquire);

    return board == NULL || atomic_load_explicit(&board->header->retired, memory_order_relaxed) != 0 ? NULL : board;
}

/*
 * Looks for a board in the runtime directory, where there is none or it was replaced. now_ns: monotonic. Never waits. named is
 * called within it.
 */
void tkr_window_find(struct tkr_window *window, const char *path, bool own, int64_t now_ns, tkr_window_named *named,
                     const void *context);

/* Gives up all addresses. No other thread uses the window. */
void tkr_window_close(struct tkr_window *window);

#endif
