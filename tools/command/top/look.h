/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look of `tokenring top`: the figures of one moment and what changed since the moment before, all from shared memory, whether a
 * collector runs or not. What is drawn, printed or written as JSON is a look; who draws it reads nothing else.
 */
#ifndef TOOLS_COMMAND_TOP_LOOK_H
#define TOOLS_COMMAND_TOP_LOOK_H

#include "collector/balance.h"
#include "command/limit_board.h"
#include "command/top/rates.h"

/* What a region's process did since the look before. */
struct tkr_top_region {
    uint64_t offered;
    uint64_t counted;
    uint64_t dropped;
};

struct tkr_top_look {
    int64_t time_ns;                 /* Unix time */
    int64_t taken_ns;                /* the same by the monotonic clock, when it began */
    int64_t span_ns;                 /* since the look before; 0: there was none, and no rate is known */
    struct tkr_host_balance balance; /* of this moment */
    struct tkr_balance before;       /* the host's, of the look before */
    struct tkr_top_region *region;   /* as many as the balance has */
    struct tkr_top_rates rates;
    struct tkr_command_board_accounts limits; /* accounts near their limit, or over */
    tkr_message missed; /* why the last look could not be taken, and this is an older one; empty: it could */
};

/*
 * Looks again; start with a zeroed structure. runtime_dir NULL: the default. 0; -1 with the reason, also in `missed`: the look is as it
 * was. Runs within tkr_command_guarded.
 */
int tkr_top_look_take(struct tkr_top_look *look, const char *runtime_dir, tkr_message *ret_message);

/* So much per second, of what was added since the look before; 0 where that is not known. */
double tkr_top_per_second(const struct tkr_top_look *look, int64_t added);

/* Frees all; accepts a zeroed structure. */
void tkr_top_look_free(struct tkr_top_look *look);

#endif
