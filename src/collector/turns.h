/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns of cycles: accounts that are on the board in a cycle are put there for the next one ahead of its begin, so that their
 * limits are known, and hold, from the first check of the new cycle on.
 *
 * Which cycle follows, and when, only gateways know: each chooses its anchor day, its offset from UTC, or days of its own time
 * zone, and the date alone does not tell a month of the 28th from one that is cut to it. So a gateway says both with each
 * account that it asks for; a few of them are enough, since what follows a cycle is the same for all its accounts. Gateways may
 * differ about the moment (offsets) and about what follows (months, days): each answer is noted, up to TKR_TURNS_MAX.
 *
 * TKR_TURN_AHEAD_S before the earliest moment the board is walked, in small steps: first those that somebody asked for within
 * TKR_TURN_RECENT_S, then all others. Accounts that come up later are put there twice at once. Nobody leaves the board for it:
 * what finds no room is unknown at first, as any account is. So the cost is a lookup of each account, once a cycle, spread over
 * some of these seconds, and their place on the board.
 *
 * Threads: the keeper's.
 */
#ifndef TKR_COLLECTOR_TURNS_H
#define TKR_COLLECTOR_TURNS_H

#include <stdbool.h>
#include <stdint.h>

#define TKR_TURNS_MAX 64u
#define TKR_TURN_AHEAD_S 120
#define TKR_TURN_RECENT_S 600u
#define TKR_TURN_STEP_NS INT64_C(100000000)

struct tkr_turn {
    uint32_t cycle; /* 0: there is none here */
    uint32_t next;
    int64_t first_s; /* Unix time: the earliest moment that somebody names, and the last */
    int64_t last_s;
    uint32_t pass; /* 0: recent ones; 1: all; 2: done */
    uint32_t at;   /* the place that comes next in it */
};

struct tkr_turns {
    struct tkr_turn turn[TKR_TURNS_MAX];
};

/* Notes what a gateway says of a cycle. What cannot be is passed over; of too many, the one that is over for longest makes
 * room. true: something new was said. */
bool tkr_turns_note(struct tkr_turns *turns, uint32_t cycle, uint32_t next, int64_t end_s, int64_t now_s);

/* Is the turn near, or just over for some? */
static inline bool tkr_turn_near(const struct tkr_turn *turn, int64_t now_s)
{
    return turn->cycle != 0 && now_s >= turn->first_s - TKR_TURN_AHEAD_S && now_s <= turn->last_s;
}

/* How many of so many places a step looks at, so that both passes are over in half of the time that is left, or in some
 * seconds. */
uint32_t tkr_turn_step(const struct tkr_turn *turn, uint32_t places, int64_t now_s);

#endif
