/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What accounts and models use, and how fast: the shards' entries, read again and again, and what was added from look to look.
 *
 * An entry is copied when its stamp is another than at the last look, and only then: the same stamp is the same committed state
 * (table/layout.h, I1 and I3). So a look at a million accounts that are idle is a million loads, not copies and hashes.
 */
#ifndef TOOLS_COMMAND_TOP_RATES_H
#define TOOLS_COMMAND_TOP_RATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/settings.h"
#include "table/reader.h"
#include "traffic/names.h"

struct tkr_top_figures {
    int64_t tokens;
    int64_t calls;
    int64_t errors;
    int64_t cost_nano_usd;
    int64_t duration_ms;
};

/* An account, or a model of all accounts of a kind (a call is charged to several, of which each has the model), in all cycles that are
 * in memory. */
struct tkr_top_usage {
    bool model;
    uint64_t kind;
    const char *name; /* id or model, without a NUL; the rates' own */
    uint32_t name_len;
    struct tkr_top_figures total;
    struct tkr_top_figures since; /* of look number `look`; else nothing was added */
    uint64_t look;
};

struct tkr_top_entry; /* what is remembered of one */

struct tkr_top_shard {
    struct tkr_reader *reader; /* NULL: not open */
    uint64_t inode;
    uint64_t bytes;
    struct tkr_top_entry *entry; /* by its place */
    size_t count;
    size_t room;
    bool fresh; /* seen for the first time in this look: what it holds was not added since the last */
};

/* Start with a zeroed structure. */
struct tkr_top_rates {
    struct tkr_top_usage *usage; /* accounts and models, in the order of their first coming */
    size_t count;
    size_t room;
    size_t accounts; /* of them */
    uint64_t look;   /* number of the last one */
    struct tkr_top_figures users_since;
    struct tkr_traffic_names keys;
    struct tkr_top_shard shard[TKR_SHARDS_MAX];
};

/* Takes a look at the shards in a collector's folder; -1: there is no folder, and no shard. 0, or -1 with the reason. */
int tkr_top_rates_look(struct tkr_top_rates *rates, int folder, tkr_message *ret_message);

/* What was added in the last look. */
static inline struct tkr_top_figures tkr_top_since(const struct tkr_top_rates *rates, const struct tkr_top_usage *usage)
{
    return usage->look == rates->look ? usage->since : (struct tkr_top_figures){0};
}

/* Frees all; accepts a zeroed structure. */
void tkr_top_rates_free(struct tkr_top_rates *rates);

#endif
