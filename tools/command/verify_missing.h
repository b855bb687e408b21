/* SPDX-License-Identifier: Apache-2.0 */
/* Records that are missing in the sink, by name: what is known of them, what was done, and what can be chosen. */
#ifndef TOOLS_COMMAND_VERIFY_MISSING_H
#define TOOLS_COMMAND_VERIFY_MISSING_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "sink/repair.h"

#define TKR_COMMAND_MISSING_MAX 1000 /* that are named */

struct tkr_command_missing {
    const char *command;
    bool repair;  /* was asked for */
    json_t *list; /* NULL: told on standard error */
    uint64_t count;
};

/* Tells of one; arg is a struct tkr_command_missing (collector/verify.h). */
void tkr_command_missing_tell(const struct tkr_repair *missing, bool repaired, void *arg);

/* Tells how many were not named, if any. */
void tkr_command_missing_rest(const struct tkr_command_missing *missing);

#endif
