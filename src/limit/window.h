/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A window: a gateway's mapping of the board and its reservations, found, lost and found again while threads look through it.
 *
 * Nobody waits. A thread that finds no board, or one that was replaced, tries to map the one that is there, unless another does
 * so or it was tried just now; all others go on without one meanwhile, for whom accounts are unknown.
 *
 * A mapping's addresses are never given up before the window is closed: a new board takes the place of the old one at the same
 * addresses (MAP_FIXED), and what is longer than it is covered by zeros that can be read. So a thread that still looks by the
 * old geometry reads bytes of the new board, or zeros: bounds are those of the addresses, and what it found is dismissed, because
 * the window's turn has changed. Writers are another matter: they enter and leave, and a board is exchanged while none is inside.
 *
 * Who writes: `turn`, `board`, spans: whoever holds `busy`. `inside`: writers, as they come and go.
 *
 * Barrier pairs
 *   P1  turn made odd, then the new mapping, then turn even (release); a reader loads turn (acquire), looks, with acquire loads,
 *       and loads turn again: unchanged and even, all it saw is of one board.
 *   P2  closing set, then inside looked at; a writer adds to inside, then looks at closing (sequentially consistent): one of the
 *       two sees the other.
 *
 * Zeroed memory is a window that has found nothing; in a child of a fork it is that again (producer/producer.h), and the mappings
 * are not there (MADV_DONTFORK).
 *
 * Threads: any, but tkr_window_close. Progress: tkr_window_board and tkr_window_enter lock-free, without a system call;
 * tkr_window_find makes some, ten times a second at most, where there is no board, and once for each new one.
 */
#ifndef TKR_LIMIT_WINDOW_H
#define TKR_LIMIT_WINDOW_H

#include "limit/board.h"

struct tkr_window {
    _Atomic uint64_t turn;             /* odd: being exchanged */
    _Atomic(struct tkr_board *) board; /* NULL: none yet */
    _Atomic uint64_t inside;           /* writers */
    atomic_bool closing;               /* no writer may enter */
    atomic_flag busy;                  /* a thread looks for a board */
    _Atomic int64_t retry_ns;          /* monotonic: not before */
    void *span[2];                     /* addresses of board and reservations */
    uint64_t span_bytes[2];
    struct tkr_window_old *old; /* what may still be looked at until the window is closed */
};

/* The board that is seen, or NULL; ret_turn vouches for what is read of it. */
static inline const struct tkr_board *tkr_window_board(const struct tkr_window *window, uint64_t *ret_turn)
{
    const struct tkr_board *board;

    *ret_turn = atomic_load_explicit(&window->turn, memory_order_acquire); /* P1 */
    board = atomic_load_explicit(&window->board, memory_order_acquire);
    if (*ret_turn % 2 != 0 || board == NULL || atomic_load_explicit(&board->header->retired, memory_order_relaxed) != 0)
        return NULL;
    return board;
}

/* Is all that was read since of one board? */
static inline bool tkr_window_same(const struct tkr_window *window, uint64_t turn)
{
    return atomic_load_explicit(&window->turn, memory_order_relaxed) == turn; /* all loads of the board's are acquire (P1) */
}

/* The board, to write to its cells, until tkr_window_leave; NULL: there is none, and nothing to leave. */
static inline const struct tkr_board *tkr_window_enter(struct tkr_window *window)
{
    (void)atomic_fetch_add_explicit(&window->inside, 1, memory_order_seq_cst); /* P2 */
    if (!atomic_load_explicit(&window->closing, memory_order_seq_cst)) {
        const struct tkr_board *board = atomic_load_explicit(&window->board, memory_order_acquire);
        if (board != NULL)
            return board;
    }
    (void)atomic_fetch_sub_explicit(&window->inside, 1, memory_order_release);
    return NULL;
}

static inline void tkr_window_leave(struct tkr_window *window)
{
    (void)atomic_fetch_sub_explicit(&window->inside, 1, memory_order_release); /* what was written before it */
}

/* Looks for a board in the runtime directory, where there is none or it was replaced. now_ns: monotonic. Never waits. */
void tkr_window_find(struct tkr_window *window, const char *path, bool own, int64_t now_ns);

/* Gives up all addresses. No other thread uses the window. */
void tkr_window_close(struct tkr_window *window);

#endif
