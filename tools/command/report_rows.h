/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of `tokenring report`: totals of a range of cycles, line by line, and what changes along a line. */
#ifndef TOOLS_COMMAND_REPORT_ROWS_H
#define TOOLS_COMMAND_REPORT_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#include "sink/sink.h"
#include "tokenring/tokenring.h"

/* A line is what is followed from cycle to cycle: an account of a kind, or one of its models. */
struct tkr_command_report_row {
    uint64_t kind;
    char id[TKR_ID_BYTES_MAX];
    char model[TKR_LABEL_BYTES_MAX];
    uint32_t id_len;
    uint32_t model_len; /* 0: the account's own totals */
    uint32_t cycle;
    tkr_counts counts;
};

/* Start with a zeroed structure. */
struct tkr_command_report_rows {
    struct tkr_command_report_row *row;
    size_t count;
    size_t room;
};

/* From the cycle before on the same line, of which there is one. */
struct tkr_command_report_change {
    int64_t amount;
    bool has_percent; /* false: there was 0 before */
    double percent;
};

/* Reads the rows from..to (inclusive), line by line and by cycle. 0, or -1 with the reason. */
int tkr_command_report_read(struct tkr_command_report_rows *rows, tkr_sink *sink, const struct tkr_usage_query *query,
                            uint32_t from, uint32_t to, tkr_message *ret_message);

/* How many rows, from the first one on, are of its line. count is at least 1. */
size_t tkr_command_report_line(const struct tkr_command_report_row *row, size_t count);

/* How a counter changed from the one row to the next. */
struct tkr_command_report_change tkr_command_report_change(const struct tkr_command_report_row *before,
                                                           const struct tkr_command_report_row *now, enum tkr_counter counter);

/* The sum of a counter over rows; INT64_MAX when it is above. */
int64_t tkr_command_report_sum(const struct tkr_command_report_row *row, size_t count, enum tkr_counter counter);

/* Frees all; accepts a zeroed structure. */
void tkr_command_report_free(struct tkr_command_report_rows *rows);

#endif
