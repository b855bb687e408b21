/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of `tokenring usage`: what the sink holds and, beside it, what this host has counted and not flushed yet. */
#ifndef TOOLS_COMMAND_USAGE_ROWS_H
#define TOOLS_COMMAND_USAGE_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/counters.h"
#include "sink/sink.h"
#include "traffic/names.h"

struct tkr_command_usage_row {
    uint64_t kind;
    const char *id; /* the rows' own, no NUL */
    uint32_t id_len;
    uint32_t cycle;
    uint32_t model_len;   /* 0: the account's own totals */
    const char *model;    /* the rows' own, no NUL */
    tkr_counts counts;    /* in the sink */
    tkr_counts unflushed; /* counted by collectors of this host, not in the sink yet */
    int64_t limit;        /* -1: none */
    int64_t rank;         /* the counter that the rows are sorted by, once they are */
};

/* Start with a zeroed structure. */
struct tkr_command_usage_rows {
    struct tkr_command_usage_row *row;
    size_t count;
    size_t room;
    struct tkr_traffic_names keys; /* number of (kind, cycle, id, model) is the row's, until they are sorted */
    bool cut;                      /* there were more than are kept */
};

/* What a row is about. */
struct tkr_command_usage_key {
    uint64_t kind;
    const char *id;
    uint32_t id_len; /* 0..255 */
    uint32_t cycle;
    uint32_t model_len; /* 0: the account itself; at most TKR_LABEL_BYTES_MAX */
    const char *model;
};

/* Does the key belong to what was asked for? */
bool tkr_command_usage_wanted(const struct tkr_usage_query *query, const struct tkr_command_usage_key *key);

/* Sets what the sink has; a second visit of the same row (Redis may show one twice) sets it again. 0, -1: no memory. */
int tkr_command_usage_set(struct tkr_command_usage_rows *rows, const struct tkr_usage_row *sink_row);

/* Adds what one shard has not flushed yet; shards may share an account. Of a row that was not kept, nothing. 0, -1: no memory. */
int tkr_command_usage_add_unflushed(struct tkr_command_usage_rows *rows, const struct tkr_command_usage_key *key,
                                    const tkr_counts *unflushed);

/* Keeps `count` rows, those with the highest of the counter in the sink; more may be set and added after that. 0, -1: no memory. */
int tkr_command_usage_keep(struct tkr_command_usage_rows *rows, enum tkr_counter by, size_t count);

/* Puts the rows with the highest of the counter first. Nothing may be set or added after that. */
void tkr_command_usage_sort(struct tkr_command_usage_rows *rows, enum tkr_counter by);

/* Frees all; accepts a zeroed structure. */
void tkr_command_usage_free(struct tkr_command_usage_rows *rows);

#endif
