/* SPDX-License-Identifier: Apache-2.0 */
/* The counters per account and cycle: numbers, names and a vector of them. The list is counters.def. */
#ifndef TKR_BASE_COUNTERS_H
#define TKR_BASE_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

enum tkr_counter {
#define TKR_COUNTER(symbol, name, letter, help) TKR_COUNTER_##symbol,
#include "base/counters.def"
#undef TKR_COUNTER
    TKR_COUNTER_COUNT
};

#define TKR_COUNTER_MAX 15 /* room that layouts leave for this list to grow */
_Static_assert(TKR_COUNTER_COUNT <= TKR_COUNTER_MAX, "frames and records have room for 15 counters");

/* A vector over the list, every element 0..INT64_MAX. */
typedef struct tkr_counts {
    int64_t value[TKR_COUNTER_COUNT];
} tkr_counts;

/* Is every element of a at most that of b? */
bool tkr_counts_nowhere_above(const tkr_counts *a, const tkr_counts *b);

extern const char *const tkr_counter_name[TKR_COUNTER_COUNT];
extern const char *const tkr_counter_help[TKR_COUNTER_COUNT];
extern const char tkr_counter_letter[TKR_COUNTER_COUNT];

#endif
