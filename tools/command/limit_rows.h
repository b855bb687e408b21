/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of `tokenring limit list`: limits that were set, or accounts that are near theirs. */
#ifndef TOOLS_COMMAND_LIMIT_ROWS_H
#define TOOLS_COMMAND_LIMIT_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#include "sink/sink.h"
#include "tokenring/tokenring.h"

struct tkr_command_limit_row {
    uint64_t kind;
    char id[TKR_ID_BYTES_MAX];
    uint32_t id_len;
    uint32_t cycle;                        /* 0: a standing limit itself */
    int64_t limit;                         /* as sink/limit.h has it, and not TKR_LIMIT_NONE */
    int64_t used;                          /* total tokens of the cycle */
    bool standing;                         /* the limit is a standing one */
    char unreadable[TKR_LIMIT_TEXT_BYTES]; /* what stands there; empty unless the limit is unreadable */
};

/* Start with a zeroed structure. */
struct tkr_command_limit_rows {
    struct tkr_command_limit_row *row;
    size_t count;
    size_t room;
};

/* Fills in the limits that were set, by account, kind and cycle. 0, or -1 with the reason. */
int tkr_command_limits_read(struct tkr_command_limit_rows *rows, tkr_sink *sink, const struct tkr_usage_query *query,
                            tkr_message *ret_message);

/*
 * Fills in the accounts and cycles that have used at least the fraction of the limit that holds for them, those who have used
 * most of it first. 0, or -1 with the reason.
 */
int tkr_command_limits_near(struct tkr_command_limit_rows *rows, tkr_sink *sink, const struct tkr_usage_query *query,
                            double fraction, tkr_message *ret_message);

/* Reads a fraction. false: it is no number above 0, at most 1. */
bool tkr_command_limits_fraction(const char *text, double *ret_fraction);

/* Frees all; accepts a zeroed structure. */
void tkr_command_limits_free(struct tkr_command_limit_rows *rows);

#endif
