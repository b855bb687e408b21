/* SPDX-License-Identifier: Apache-2.0 */
/* Which account, kind and cycle a subcommand is asked about. */
#ifndef TOOLS_COMMAND_QUERY_H
#define TOOLS_COMMAND_QUERY_H

#include "sink/sink.h"

/* Read --kind, --cycle (a date, or all: 0) and the operand ACCOUNT. 0, or TKR_COMMAND_WRONG with a sentence. */
int tkr_command_query_kind(const char *command, const char *text, struct tkr_usage_query *query);
int tkr_command_query_cycle(const char *command, const char *text, struct tkr_usage_query *query);
int tkr_command_query_account(const char *command, const char *text, struct tkr_usage_query *query);

#endif
