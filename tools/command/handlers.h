/* SPDX-License-Identifier: Apache-2.0 */
/* The part of `tokenring stat` about gateways' callback handlers: what those of each type have had to say to this collector. */
#ifndef TOOLS_COMMAND_HANDLERS_H
#define TOOLS_COMMAND_HANDLERS_H

#include <jansson.h>

#include "collector/balance.h"

/* The key of a notice (enum tkr_notice) in JSON; NULL: this version knows none of this number. */
const char *tkr_command_notice_key(unsigned notice);

/* A new JSON array, one object a type; empty when nothing was said. */
json_t *tkr_command_handlers_json(const struct tkr_host_balance *balance);

/* A line a type, for people. */
void tkr_command_handlers_print(const struct tkr_host_balance *balance);

#endif
