/* SPDX-License-Identifier: Apache-2.0 */
/* Limits as gateways of this host see them: the collector's board, read from shared memory. */
#ifndef TOOLS_COMMAND_LIMIT_BOARD_H
#define TOOLS_COMMAND_LIMIT_BOARD_H

#include <jansson.h>

/* `tokenring limit watch`; argv[0] is "watch". Returns the exit code. */
int tkr_command_limit_watch(int argc, char **argv);

/* The part of `tokenring stat` about limits: a new JSON array of the accounts that are near theirs, or over. */
json_t *tkr_command_limits_near_json(const char *runtime_dir);

#endif
