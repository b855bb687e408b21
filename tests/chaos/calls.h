/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What chaos_gateway does, as a function of numbers, and what it tells about it in mapped files, so that what a killed one
 * had done is known to the call.
 *
 * Each thread of each gateway works off steps 0, 1, 2, ... Most are a call of their own, recorded in one shot or begun,
 * streamed and ended. Beside these one long call is open most of the time: it begins, is streamed and ends in steps of its own.
 *
 *     step % 64     0                16            32            48           63
 *                   long call begins  tells tokens  tells tokens  tells tokens  long call ends
 *
 * A thread that stops after `finished` steps, orderly or not, leaves the long call open; the collector settles it from what was
 * told. Each call charges an account that no other thread has (its private account), and up to three that all share. So what
 * came of the one step that a kill interrupted can be read off the private account, and must then explain the shared ones.
 *
 * A gateway that is started again is a new one, with a number and a truth file of its own.
 */
#ifndef TESTS_CHAOS_CALLS_H
#define TESTS_CHAOS_CALLS_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "tokenring/tokenring.h"

#define CHAOS_THREADS 2 /* of a gateway */
#define CHAOS_USERS 150
#define CHAOS_TEAMS 12
#define CHAOS_ORGANISATIONS 3
#define CHAOS_SHARED (CHAOS_USERS + CHAOS_TEAMS + CHAOS_ORGANISATIONS)
#define CHAOS_CYCLES 3
#define CHAOS_LONG_STEPS 64u /* steps in the life of a long call */
#define CHAOS_LONG_EVERY 16u /* of them, between two tellings */
#define CHAOS_ID_BYTES 64

/* Progress of one thread. A kill needs no more than the order of the stores. */
struct chaos_thread {
    alignas(64) _Atomic uint64_t begun; /* steps that it set out to do */
    _Atomic uint64_t finished;          /* steps that it knows to be done */
    _Atomic uint32_t paused;            /* the pause that it keeps */
};

/* A gateway's truth file. */
struct chaos_truth {
    struct chaos_thread thread[CHAOS_THREADS];
};

/* One file for all gateways, written by who runs them. */
struct chaos_control {
    alignas(64) _Atomic uint64_t allowed; /* steps of all threads */
    alignas(64) _Atomic uint64_t claimed; /* of them, begun by somebody */
    alignas(64) _Atomic uint32_t pause;   /* not 0: everybody waits; each pause has a number of its own */
    _Atomic uint32_t stop;                /* everybody ends in order */
};

enum chaos_step_kind { CHAOS_SHORT, CHAOS_LONG_BEGIN, CHAOS_LONG_TELL, CHAOS_LONG_END };

struct chaos_step {
    enum chaos_step_kind kind;
    uint64_t call; /* number of the call that the step is of: short ones and long ones have different numbers */
    int64_t told;  /* CHAOS_LONG_TELL: tokens streamed so far */
};

enum chaos_nap { CHAOS_NAP_BEFORE, CHAOS_NAP_WITHIN, CHAOS_NAP_AFTER, CHAOS_NAP_COUNT };

struct chaos_call {
    uint32_t account_count;             /* the first is the private one */
    uint32_t account[TKR_ACCOUNTS_MAX]; /* 0..CHAOS_SHARED-1: shared; CHAOS_SHARED + n: private of thread n */
    uint32_t cycle;                     /* number of the cycle */
    int one_shot;                       /* recorded, not begun and ended; of a short call */
    enum chaos_nap nap;                 /* where in a short call the thread sleeps for a moment */
    uint32_t estimated;                 /* TKR_ESTIMATED_* */
    int32_t error;
    int64_t estimate; /* of the prompt */
    int64_t prompt;
    int64_t completion; /* a multiple of 4 */
    int64_t total;      /* -1: not told */
    int64_t cached;
    int64_t cache_write;
    int64_t reasoning;
    int64_t cost_nano_usd;
    int64_t duration_ms;
};

/* The number of a thread's private account: g is the gateway's number. */
static inline uint32_t chaos_private(uint32_t g, uint32_t thread)
{
    return CHAOS_SHARED + g * CHAOS_THREADS + thread;
}

/* Step i of any thread. */
struct chaos_step chaos_step_make(const struct chaos_call *long_call, uint64_t i);

/* The call with this number of a thread of gateway g; long_call: of the long ones, whose number is that of their begin. */
struct chaos_call chaos_call_make(uint32_t g, uint32_t thread, uint64_t call);

/* The long call that is open after `steps` steps, if there is one: its number, and the tokens that were told of it. */
int chaos_long_open(uint32_t g, uint32_t thread, uint64_t steps, uint64_t *ret_call, int64_t *ret_told);

/* Kind and id of an account; the id's length without the NUL that ends it. */
uint64_t chaos_account_kind(uint32_t account);
size_t chaos_account_id(uint32_t account, char ret_id[CHAOS_ID_BYTES]);

/* yyyymmdd of a cycle's number. */
uint32_t chaos_cycle(uint32_t number);

#endif
