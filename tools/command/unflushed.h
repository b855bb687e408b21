/* SPDX-License-Identifier: Apache-2.0 */
/* What the collector of this host has counted and not yet flushed, read from its shards while it works. */
#ifndef TOOLS_COMMAND_UNFLUSHED_H
#define TOOLS_COMMAND_UNFLUSHED_H

#include <stdbool.h>

#include "base/settings.h"
#include "command/usage_rows.h"

/*
 * Adds it to the rows, as far as the query asks for it. runtime_dir NULL: the default. *ret_found: there are shards;
 * false and nothing added when no collector ever ran there. 0, or -1 with the reason; then rows may hold a part.
 */
int tkr_command_unflushed_read(const char *runtime_dir, const struct tkr_usage_query *query, struct tkr_command_usage_rows *rows,
                               bool *ret_found, tkr_message *ret_message);

#endif
