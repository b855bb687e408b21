/* SPDX-License-Identifier: Apache-2.0 */
/* Billing cycles: civil dates as yyyymmdd and the ranges of time that they name. */
#ifndef TKR_BASE_CYCLE_H
#define TKR_BASE_CYCLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/zone.h"

#define TKR_CYCLE_TEXT_BYTES 11 /* "YYYY-MM-DD" and its NUL */

/* How a producer names the cycle of a moment. */
struct tkr_cycle_rule {
    const struct tkr_zone *zone; /* the day in this local time; NULL: the month from anchor_day, at the offset */
    int32_t anchor_day;          /* 1..31 */
    int32_t utc_offset_minutes;  /* -1440..1440 */
};

/* A cycle and the moments that belong to it: begin_ns <= t < end_ns. */
struct tkr_cycle_span {
    int64_t begin_ns;
    int64_t end_ns;
    uint32_t cycle; /* yyyymmdd */
};

/* A real date from 19700101 to 22611231 (the last whole year that 63 bits of nanoseconds reach). */
bool tkr_cycle_valid(uint32_t cycle);

/* The cycle that holds unix_ns >= 0, always a valid date: what lies before 1970 or after 2261 in the rule's zone is named
 * by the first or the last day. The span is right for all its moments; it may be shorter than the cycle. rule is valid. */
void tkr_cycle_find(const struct tkr_cycle_rule *rule, int64_t unix_ns, struct tkr_cycle_span *ret_span);

/* When a cycle ends, and which follows. */
struct tkr_cycle_turn {
    uint32_t cycle;
    uint32_t next;
    int64_t end_ns; /* Unix time, as far as 63 bits of nanoseconds reach */
};

/* The turn at the end of a cycle by the rule, both valid. A date that is none of the rule's, since others count months from
 * another day, is taken for a month from that day. */
void tkr_cycle_turn_find(const struct tkr_cycle_rule *rule, uint32_t cycle, struct tkr_cycle_turn *ret_turn);

/* "YYYY-MM-DD" with its NUL. */
void tkr_cycle_format(uint32_t cycle, char ret_text[TKR_CYCLE_TEXT_BYTES]);

/* Reads exactly "YYYY-MM-DD", a valid date; false and nothing written otherwise. */
bool tkr_cycle_parse(const char *text, uint32_t *ret_cycle);

/* Days since 1970-01-01 of a civil date, proleptic Gregorian (Howard Hinnant, "chrono-Compatible Low-Level Date
 * Algorithms", days_from_civil). */
int64_t tkr_days_from_civil(int64_t year, unsigned month, unsigned day);

#endif
