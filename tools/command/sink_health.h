/* SPDX-License-Identifier: Apache-2.0 */
/* The part of `tokenring stat` about the sink: does it take the totals, and which accounts does it not take as they are? */
#ifndef TOOLS_COMMAND_SINK_HEALTH_H
#define TOOLS_COMMAND_SINK_HEALTH_H

#include <jansson.h>

#include "collector/balance.h"

/* A new JSON object; null when no collector has said anything. */
json_t *tkr_command_sink_json(const struct tkr_host_balance *balance);

/* Lines for people; none when no collector has said anything. */
void tkr_command_sink_print(const struct tkr_host_balance *balance);

#endif
