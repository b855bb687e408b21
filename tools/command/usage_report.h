/* SPDX-License-Identifier: Apache-2.0 */
/* What `tokenring usage` reports: totals from the sink and what this host has not flushed yet, as rows and as JSON. */
#ifndef TOOLS_COMMAND_USAGE_REPORT_H
#define TOOLS_COMMAND_USAGE_REPORT_H

#include <jansson.h>

#include "command/usage_rows.h"

struct tkr_command_usage_report {
    struct tkr_usage_query query; /* what is asked for */
    enum tkr_counter by;          /* what the rows are sorted by, the highest first */
    size_t top;                   /* rows at most; 0: all */
    tkr_message sink;             /* found, from here on: which sink it is */
    bool unflushed_known;
    tkr_message unflushed_why; /* why what is not flushed cannot be told; empty: it is, or no collector ever ran here */
    struct tkr_command_usage_rows rows;
};

/* Reads the rows, sorted; runtime_dir NULL: the default. 0, or -1 with the reason. tkr_command_usage_free(&rows) in any case. */
int tkr_command_usage_read(struct tkr_command_usage_report *report, const struct tkr_sink_config *sink, const char *runtime_dir,
                           tkr_message *ret_message);

/* A new object: sink, rows with all counters. */
json_t *tkr_command_usage_json(const struct tkr_command_usage_report *report);

/* The counter of a name. false: there is none; ret_list, of 512 bytes, has those that there are. */
#define TKR_COMMAND_COUNTERS_BYTES 512
bool tkr_command_usage_counter(const char *name, enum tkr_counter *ret_counter, char ret_list[TKR_COMMAND_COUNTERS_BYTES]);

#endif
