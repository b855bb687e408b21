/* SPDX-License-Identifier: Apache-2.0 */
/* Limits as gateways of this host see them: the collector's board, read from shared memory. */
#ifndef TOOLS_COMMAND_LIMIT_BOARD_H
#define TOOLS_COMMAND_LIMIT_BOARD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/settings.h"
#include "limit/board.h"

/* Accounts on the board, the nearest to their limit first; those without one last. */
struct tkr_command_board_accounts {
    struct tkr_board_account *account;
    size_t count;
};

/*
 * Copies those that are on the board, or only those near their limit, or over. runtime_dir NULL: the default.
 * 1; 0: no collector makes a board there, and there are none; -1 with the reason. The caller frees in any case.
 */
int tkr_command_board_read(const char *runtime_dir, bool only_near, struct tkr_command_board_accounts *ret_accounts,
                           tkr_message *ret_message);

/* Accepts a zeroed structure. */
void tkr_command_board_free(struct tkr_command_board_accounts *accounts);

/* What is left of a limit. */
int64_t tkr_command_board_remaining(const struct tkr_board_figures *figures);

/* Tokens taken of a limit, reserved ones too, in percent; 100 where it is blocked; -1: it has none. */
double tkr_command_board_percent(const struct tkr_board_figures *figures);

/* A new array, one object an account. */
json_t *tkr_command_board_json(const struct tkr_command_board_accounts *accounts);

/* The part of `tokenring stat` about limits: the accounts that are near theirs, or over. */
json_t *tkr_command_limits_near_json(const char *runtime_dir);

#endif
