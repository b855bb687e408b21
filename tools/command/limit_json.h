/* SPDX-License-Identifier: Apache-2.0 */
/* Limits as JSON, and how their cycles are told. */
#ifndef TOOLS_COMMAND_LIMIT_JSON_H
#define TOOLS_COMMAND_LIMIT_JSON_H

#include <jansson.h>

#include "base/cycle.h"
#include "command/limit_rows.h"

/* "2026-11-01", or "standing". */
void tkr_command_limit_cycle(uint32_t cycle, char ret_text[TKR_CYCLE_TEXT_BYTES]);

/* A new object with account, kind and cycle, which is null for a standing limit. */
json_t *tkr_command_limit_json(const struct tkr_usage_query *query);

/* A number of tokens, 0 where the account is blocked; null where it is no limit, or unreadable. */
json_t *tkr_command_limit_tokens_json(int64_t tokens);

/* A new object: rows, each with account, kind, cycle, limit, standing, used; unreadable: what stands in the place of a limit. */
json_t *tkr_command_limits_json(const struct tkr_command_limit_rows *rows);

#endif
