/* SPDX-License-Identifier: Apache-2.0 */
/* Prints what a gateway run offered, for people and as JSON. */
#ifndef TOOLS_COMMAND_OFFERED_H
#define TOOLS_COMMAND_OFFERED_H

#include <jansson.h>

#include "command/traffic_options.h"
#include "traffic/gateway.h"

/* A run and what came of it. */
struct tkr_command_offered {
    const struct tkr_command_traffic *traffic;
    const struct tkr_gateway_config *config;
    const struct tkr_gateway_report *report;
    struct tkr_command_cycles cycles;
};

/*
 * One object: calls, prompt_tokens, completion_tokens, total_tokens; users: {NAME: {calls, prompt_tokens, ...}} of
 * those with calls; refused, dropped: {cause: calls}; cycle (null when the calls lie in several), cycle_first,
 * cycle_last; record_ns, open_call_ns (medians per call, null: too few), elapsed_s, producers, seed, calls_wanted,
 * stopped. A NAME that is no clean UTF-8 is made so, with id_hex inside; if that makes two alike, "~" and the bytes in
 * hex follow.
 * NULL when there is no memory.
 */
json_t *tkr_command_offered_json(const struct tkr_command_offered *offered);

void tkr_command_offered_print(const struct tkr_command_offered *offered);

#endif
