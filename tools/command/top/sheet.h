/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of a look: which rows each part has, and in what order. */
#ifndef TOOLS_COMMAND_TOP_SHEET_H
#define TOOLS_COMMAND_TOP_SHEET_H

#include "base/errors.h"
#include "command/text.h"
#include "command/top/look.h"
#include "command/top/order.h"

/* What a picture may be of; ALL has a bit of each. */
enum tkr_top_part {
    TKR_TOP_ALL,
    TKR_TOP_ACCOUNTS,
    TKR_TOP_MODELS,
    TKR_TOP_REGIONS,
    TKR_TOP_LIMITS,
    TKR_TOP_DROPS,
    TKR_TOP_SINK,
    TKR_TOP_PART_COUNT
};

extern const char *const tkr_top_part_name[TKR_TOP_PART_COUNT];

#define TKR_TOP_DROPS_MAX ((size_t)TKR_DROP_COUNT + TKR_RESULT_COUNT + 1)

/* Calls that were not counted, by why. */
struct tkr_top_drop {
    const char *what; /* "dropped" or "refused" or "skipped" */
    const char *cause;
    const char *why;
    uint64_t calls;
    uint64_t since; /* the look before */
};

struct tkr_top_sheet {
    const struct tkr_top_look *look;
    const struct tkr_top_order *order;
    struct tkr_top_chosen accounts;
    struct tkr_top_chosen models;
    uint32_t *region; /* numbers of those that match, in order */
    size_t regions;
    uint32_t *limit; /* the same of accounts near their limit */
    size_t limits;
    struct tkr_top_drop drop[TKR_TOP_DROPS_MAX];
    size_t drops;
};

/* Makes the tables, with at most `rows` accounts and models. false: no memory. tkr_top_sheet_close in any case. */
bool tkr_top_sheet_open(const struct tkr_top_look *look, const struct tkr_top_order *order, size_t rows,
                        struct tkr_top_sheet *ret_sheet);
void tkr_top_sheet_close(struct tkr_top_sheet *sheet);

/* Rows of a part that can be shown; that match; that there are in all. */
size_t tkr_top_sheet_rows(const struct tkr_top_sheet *sheet, enum tkr_top_part part);
size_t tkr_top_sheet_matching(const struct tkr_top_sheet *sheet, enum tkr_top_part part);
size_t tkr_top_sheet_all(const struct tkr_top_sheet *sheet, enum tkr_top_part part);

/* "4242 gateway 3f9a1c02": its process, what that runs, the beginning of the region's id; clean. ret_text has TKR_TOP_NAME_BYTES. */
void tkr_top_region_name(const struct tkr_balance_region *region, char *ret_text);

#endif
