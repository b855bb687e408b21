/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows `tokenring top` shows, and in what order. */
#ifndef TOOLS_COMMAND_TOP_ORDER_H
#define TOOLS_COMMAND_TOP_ORDER_H

#include <stdbool.h>
#include <stddef.h>

#include "command/text.h"
#include "command/top/rates.h"

/* Rates, per second, first: highest first, as the total; the name in its own order. */
enum tkr_top_key {
    TKR_TOP_BY_RATE, /* tokens */
    TKR_TOP_BY_CALLS,
    TKR_TOP_BY_ERRORS,
    TKR_TOP_BY_COST,
    TKR_TOP_BY_TOTAL, /* tokens in all */
    TKR_TOP_BY_NAME,
    TKR_TOP_KEY_COUNT
};

/* "rate", "calls" and so on, for --sort. */
extern const char *const tkr_top_key_name[TKR_TOP_KEY_COUNT];

#define TKR_TOP_FILTER_BYTES 64

struct tkr_top_order {
    enum tkr_top_key key;
    bool reversed;
    char filter[TKR_TOP_FILTER_BYTES]; /* part of a name; empty: all */
};

/* Does a name, of any bytes, hold the filter? Letters A-Z are as a-z. An empty filter is held by all. */
bool tkr_top_matches(const struct tkr_top_order *order, const char *name, size_t len);

/* The first rows of the order. */
struct tkr_top_chosen {
    const struct tkr_top_usage **row;
    size_t count;
    size_t matching; /* how many the filter lets through */
};

/*
 * Chooses the first `max` accounts, or models, that match. A kind and ':' stand before a name where it is not "user".
 * One pass and no sorting of what is not chosen. false: no memory. tkr_top_chosen_free in any case.
 */
bool tkr_top_choose(const struct tkr_top_rates *rates, const struct tkr_top_order *order, bool models, size_t max,
                    struct tkr_top_chosen *ret_chosen);
void tkr_top_chosen_free(struct tkr_top_chosen *chosen);

/* The name as people see it, with its kind; clean. ret_text has TKR_TOP_NAME_BYTES. */
#define TKR_TOP_NAME_BYTES (TKR_COMMAND_KIND_BYTES + 1 + TKR_COMMAND_CLEAN_BYTES(TKR_ENTRY_ID_MAX))
void tkr_top_name(uint64_t kind, const char *name, size_t len, char *ret_text);

#endif
