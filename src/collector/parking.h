/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parking: accounts, and models of accounts, that the sink cannot take as they are (sink/contribution.h: poison, conflict, ambiguity). They wait in their
 * outlet and are tried again slowly, while all others go on.
 *
 * Who reads the log is told once when an account is parked, once when the reason changes and once when it is written again; and
 * when there are many, of a few by name and of the others how many they are.
 *
 * Threads: the flusher's alone.
 */
#ifndef TKR_COLLECTOR_PARKING_H
#define TKR_COLLECTOR_PARKING_H

#include "base/log.h"
#include "collector/health.h"
#include "collector/outlet.h"

struct tkr_parking {
    int64_t retry_ns;                                        /* between tries */
    struct tkr_health_account account[TKR_HEALTH_NAMED_MAX]; /* some of those that are parked, for health */
    struct {
        const struct tkr_outlet *outlet;
        uint32_t reference;
    } whose[TKR_HEALTH_NAMED_MAX];
    uint32_t named;
    uint32_t lines_left;     /* of the log, for accounts by name, in this minute */
    int64_t lines_until_ns;  /* end of the minute */
    int64_t sums_ns;         /* those that were not named are not told of before */
    uint64_t parked_unnamed; /* not told of yet */
    uint64_t written_unnamed;
};

/* Parks an entry that is not in the outlet; sent is what was tried and why the sentence for people. */
void tkr_parking_put(struct tkr_parking *parking, struct tkr_outlet *outlet, struct tkr_outlet_item item,
                     const struct tkr_contribution *sent, const char *why);

/* The sink has taken an entry that was parked before. */
void tkr_parking_written(struct tkr_parking *parking, const struct tkr_outlet *outlet, uint32_t reference,
                         const struct tkr_contribution *sent);

/* Before and after each pass: tells of those that were not named, once in a minute, and begins the next one. */
void tkr_parking_tell(struct tkr_parking *parking, int64_t now_ns);

/* Writes "user alice, cycle 2026-11-01: why; then" to the log; of a model, "user alice, cycle 2026-11-01, model gpt-4o: ...". */
void tkr_parking_log(enum tkr_log_level level, const struct tkr_contribution *sent, const char *why, const char *then);

#endif
