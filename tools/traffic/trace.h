/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded calls in memory: read from CSV files (traffic/csv.h), given users, paced. */
#ifndef TOOLS_TRAFFIC_TRACE_H
#define TOOLS_TRAFFIC_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "base/settings.h"
#include "traffic/gateway.h"
#include "traffic/names.h"
#include "traffic/users.h"

/* Start with a zeroed structure. */
struct tkr_traffic_trace {
    struct tkr_traffic_call *call;
    size_t count;
    size_t room;
    struct tkr_traffic_names users;
    struct tkr_traffic_names models;
};

/* Appends the calls of a file; "-" is the standard input. 0, or -1 with "PATH: line N, ...". */
int tkr_traffic_trace_read(struct tkr_traffic_trace *trace, const char *path, tkr_message *ret_message);

/*
 * Draws a user for each call that has none (its file had no User column): call number n always gets the same one for a
 * seed. 0, or -1 with the reason.
 */
int tkr_traffic_trace_draw_users(struct tkr_traffic_trace *trace, const struct tkr_traffic_users *users, uint64_t seed,
                                 tkr_message *ret_message);

/* Puts the calls in order of time, and makes each due when it was, `speed` times as fast; speed is above 0. */
void tkr_traffic_trace_pace(struct tkr_traffic_trace *trace, double speed);

/* A tkr_traffic_source; arg is the trace. */
void tkr_traffic_trace_source(const void *arg, uint64_t n, struct tkr_traffic_call *ret_call);

/* Frees all; accepts a zeroed structure. */
void tkr_traffic_trace_free(struct tkr_traffic_trace *trace);

#endif
