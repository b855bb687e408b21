/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls that crash_gateway makes, as a function of their number, and what it tells about them in a file of its own, so
 * that what a killed one had done is known to the call.
 */
#ifndef TESTS_CRASH_CALLS_H
#define TESTS_CRASH_CALLS_H

#include <stdatomic.h>
#include <stdint.h>

#define CRASH_THREADS 2
#define CRASH_USERS 40
#define CRASH_TEAMS 5
#define CRASH_ACCOUNTS (CRASH_USERS + CRASH_TEAMS)
#define CRASH_MODELS 20 /* told by all calls of teams; more than are told apart */
#define CRASH_CYCLE 20240201u
#define CRASH_START_NS INT64_C(1706800000000000000) /* within it */

#define CRASH_HELD 100 /* calls that a thread keeps open at once when it is told to */

/* What a gateway is told to do, in this order. */
enum crash_order {
    CRASH_GO_ON, /* make calls */
    CRASH_HOLD,  /* begin the next CRASH_HELD calls and keep them open */
    CRASH_REST   /* end them, and make none */
};

/* Progress of each thread: calls that it began to make and that it knows to be made, in the order of their numbers. */
struct crash_truth {
    _Atomic uint64_t begun[CRASH_THREADS];
    _Atomic uint64_t finished[CRASH_THREADS];
    _Atomic uint64_t enough;                /* set by who watches: nobody needs more calls than the least number */
    _Atomic uint64_t order;                 /* enum crash_order, set by who watches */
    _Atomic uint64_t obeyed[CRASH_THREADS]; /* the last one that was done: CRASH_HOLD, CRASH_REST */
};

struct crash_call {
    uint32_t user;      /* number of the user */
    int32_t team;       /* number of the team, or -1: none is charged */
    int64_t prompt;     /* tokens; also the estimate */
    int64_t completion; /* tokens, even; half of them are told as progress */
    int64_t reserve;    /* tokens; 0: none. Only where a team is charged, and of gateway 0 by one thread */
    int one_shot;       /* recorded, not begun and ended */
};

/* Call number i of a thread of gateway g. */
static inline struct crash_call crash_call_make(uint32_t g, uint32_t thread, uint64_t i)
{
    uint64_t z = ((uint64_t)g << 48 | (uint64_t)thread << 40 | i) * UINT64_C(0x9e3779b97f4a7c15);
    struct crash_call call;

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9); /* splitmix64's finish */
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    call.user = (uint32_t)(z % CRASH_USERS);
    call.team = z >> 8 & 3 ? -1 : (int32_t)(z >> 16 & 0xff) % CRASH_TEAMS;
    call.prompt = 1 + (int64_t)(z >> 24 & 0x3ff);
    call.completion = 2 * (int64_t)(z >> 34 & 0x1ff);
    call.one_shot = (int)(z >> 44 & 1);
    call.reserve = call.one_shot || call.team < 0 || (g == 0 && thread > 0) ? 0 : call.prompt + call.completion + 7;
    return call;
}

#endif
