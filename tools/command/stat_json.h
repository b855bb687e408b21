/* SPDX-License-Identifier: Apache-2.0 */
/* What `tokenring stat` tells, as JSON. */
#ifndef TOOLS_COMMAND_STAT_JSON_H
#define TOOLS_COMMAND_STAT_JSON_H

#include <jansson.h>

#include "collector/balance.h"

/*
 * A new object: collector, collector_running, law_holds, host, shards, regions, sink, handlers, limits. runtime_dir, where the balance
 * was read, NULL: the default.
 */
json_t *tkr_command_stat_json(const char *runtime_dir, const struct tkr_host_balance *balance);

#endif
