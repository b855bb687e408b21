/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts that a backup or a restore could not take, by name: the first of them, and how many there are. */
#ifndef TOOLS_COMMAND_HOLDINGS_H
#define TOOLS_COMMAND_HOLDINGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "sink/holdings.h"

#define TKR_COMMAND_NAMED_MAX 1000

/* "user alice, cycle 2026-11-01"; of a standing limit "user alice, standing limit". */
#define TKR_COMMAND_ACCOUNT_BYTES (3 * TKR_ID_BYTES_MAX + 64)
void tkr_command_account_text(const struct tkr_holdings *account, char ret_text[TKR_COMMAND_ACCOUNT_BYTES]);

struct tkr_command_named {
    const char *command;
    json_t *list; /* NULL: told on standard error */
    uint64_t count;
};

/* Tells of one: "tokenring COMMAND: ACCOUNT: what: why". */
void tkr_command_name_account(struct tkr_command_named *named, const struct tkr_holdings *account, const char *what,
                              const char *why);

/* Tells how many were not named, if any. */
void tkr_command_name_rest(const struct tkr_command_named *named);

#endif
