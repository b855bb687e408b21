/* SPDX-License-Identifier: Apache-2.0 */
/* `tokenring top` on a terminal: pictures drawn with curses, keys, sizes that change, and the terminal put back as it was. */
#ifndef TOOLS_COMMAND_TOP_SCREEN_H
#define TOOLS_COMMAND_TOP_SCREEN_H

#include "command/top/picture.h"

struct tkr_top_options {
    const char *command;
    const char *runtime_dir; /* NULL: the default */
    struct tkr_top_wish wish;
    int64_t count; /* looks until it ends by itself; 0: never */
};

/* Takes a look. 0; -1 with the reason: the look is as it was; 1 with the reason: a file was cut meanwhile, and the command ends. */
int tkr_top_look_safely(const struct tkr_top_options *options, struct tkr_top_look *look, tkr_message *ret_message);

/* Shows looks on the terminal until q, a signal, or options->count of them. Returns the exit code. */
int tkr_top_screen(struct tkr_top_options *options);

#endif
