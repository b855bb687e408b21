/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The accounts that an alert handler looks at: a table of bounded size, with when each is to be looked at next. A call makes its
 * accounts due at once; each look that finds nothing new doubles the time to the next one, so what a slow collector flushes late is
 * still seen, and what is idle costs next to nothing.
 *
 * Threads: those who end calls note, one looks; a lock, held for the table's sake only.
 */
#ifndef TKR_REPOSITORY_WATCH_H
#define TKR_REPOSITORY_WATCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "tokenring/tokenring.h"

#define TKR_WATCH_WAIT_MAX 64u /* rounds between two looks, at most */

struct tkr_watched {
    uint32_t next; /* in its chain, by number + 1; 0: the last */
    uint32_t cycle;
    uint64_t kind;
    uint64_t round; /* of its last call */
    uint64_t due;   /* round of the next look */
    uint32_t wait;  /* rounds to the look after that */
    uint32_t said;  /* a bit for each percent that is done with */
    uint32_t id_len;
    char id[TKR_ID_BYTES_MAX];
};

struct tkr_watch {
    pthread_mutex_t mutex;
    struct tkr_watched *item;
    uint32_t *chain; /* heads, by hash */
    uint32_t mask;
    uint32_t max;
    uint32_t count;
    uint32_t at;   /* how far the round has come */
    uint32_t hand; /* where room is looked for next */
    uint64_t round;
};

/* false: no memory; to be closed all the same. */
bool tkr_watch_open(struct tkr_watch *watch, uint32_t max);
void tkr_watch_close(struct tkr_watch *watch);

/* An account, which is valid, has been used: it is due. In a full table one that is long idle makes room: the longest idle of a
 * few, so that nobody waits for a search. */
void tkr_watch_note(struct tkr_watch *watch, const tkr_account *account, uint32_t cycle);

/* Begins the next round. */
void tkr_watch_begin(struct tkr_watch *watch);

/* Copies those that are due among the next max of the round; they are due again in a later one. Returns their number, -1: the
 * round has come to its end. */
int tkr_watch_due(struct tkr_watch *watch, struct tkr_watched *ret_due, uint32_t max);

/* What has been said of one of them; it is due soon again. */
void tkr_watch_said(struct tkr_watch *watch, const struct tkr_watched *one, uint32_t said);

#endif
