/* SPDX-License-Identifier: Apache-2.0 */
/* The part of `tokenring stat` about the sink: does it take the totals, and which accounts does it not take as they are? */
#ifndef TOOLS_COMMAND_SINK_HEALTH_H
#define TOOLS_COMMAND_SINK_HEALTH_H

#include <jansson.h>

#include "collector/balance.h"

/* Accounts whose totals are not in the sink yet, as far as the shards know. */
uint64_t tkr_command_sink_waiting(const struct tkr_host_balance *balance);

/* A state of enum tkr_health_state, or of a file that says nonsense, for people: "takes usage". */
const char *tkr_command_sink_state(const struct tkr_health *health);

/* What a collector says of its sink: a new JSON object. */
json_t *tkr_command_health_json(const struct tkr_health *health);

/* A new JSON object; null when no collector has said anything. */
json_t *tkr_command_sink_json(const struct tkr_host_balance *balance);

/* What else of the collector somebody should look at: a new JSON array of sentences. */
json_t *tkr_command_problems_json(const struct tkr_host_balance *balance);

/* Lines for people; none when no collector has said anything. */
void tkr_command_sink_print(const struct tkr_host_balance *balance);

#endif
