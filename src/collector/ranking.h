/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ranking: which users have used most, and what they used since they are shown by name; all others together are one more. Metrics
 * show a bounded number of users so (a label for each of a million would end whoever stores them).
 *
 *   what the sink acknowledges of an account -> Space-Saving (Metwally, Agrawal, El Abbadi 2005): of so many users a weight
 *                                            -> the heaviest are shown: their tokens go to their own sums
 *                                            -> those of anybody else to `other`
 *
 * A user who is not in it takes the place of the lightest, and its weight as a possible error. Weights halve every hour, so
 * that it is about these days. A user is shown from its first tokens on while there is room, else once it is certainly heavier
 * than the lightest who is shown; what it used before stays with the others.
 *
 * Sums are of acknowledged differences, each of which is once in one of them; so all of them together are what the sink has
 * acknowledged to this process. When the sink goes back, differences are negative until all is sent again: a sum falls and
 * comes back, and what is shown of it is the largest that it was. So no series ever falls; one ends when its user is shown no more.
 *
 * Threads: the flusher adds; any reads. A lock is held for some microseconds; workers never take it.
 */
#ifndef TKR_COLLECTOR_RANKING_H
#define TKR_COLLECTOR_RANKING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/counters.h"
#include "tokenring/tokenring.h"

#define TKR_RANKING_SHOWN_MAX 1000u
#define TKR_RANKING_OTHER \
    "other" /* what the others are called: a user of this name is one of them, as are ids that are no UTF-8 */

/* The parts of a total. Their sum is total_tokens. */
enum tkr_ranking_part {
    TKR_RANKING_PROMPT,
    TKR_RANKING_COMPLETION,
    TKR_RANKING_REST, /* of totals that were told without the other two */
    TKR_RANKING_PARTS
};

/* A user who is shown, or, with an id of no bytes, the others. */
struct tkr_ranking_row {
    char id[TKR_ID_BYTES_MAX];
    uint32_t id_len;
    int64_t tokens[TKR_RANKING_PARTS];
};

struct tkr_ranking;

/* For so many users who are shown, 0..TKR_RANKING_SHOWN_MAX. NULL: no memory. */
struct tkr_ranking *tkr_ranking_open(uint32_t shown_max);
void tkr_ranking_close(struct tkr_ranking *ranking);

/* Adds what was acknowledged of a user; after the sink has gone back, differences below zero. ranking may be NULL. */
void tkr_ranking_add(struct tkr_ranking *ranking, const char *id, uint32_t id_len, const tkr_counts *difference);

/* Decides anew who is shown. Once in a while, by who adds. now_ns: monotonic. ranking may be NULL. */
void tkr_ranking_decide(struct tkr_ranking *ranking, int64_t now_ns);

/*
 * Copies the rows: the others first, then those who are shown, in no order. ret_rows has room for 1 + shown_max. Returns their
 * number; *ret_ended: how many users have ceased to be shown.
 */
uint32_t tkr_ranking_read(struct tkr_ranking *ranking, struct tkr_ranking_row *ret_rows, uint64_t *ret_ended);

#endif
