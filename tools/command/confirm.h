/* SPDX-License-Identifier: Apache-2.0 */
/* Asking before something is done that cannot be undone. */
#ifndef TOOLS_COMMAND_CONFIRM_H
#define TOOLS_COMMAND_CONFIRM_H

#include <stdbool.h>

/* A row for a table of options, and its help. */
#define TKR_COMMAND_OPTION_YES(value)     \
    {                                     \
        "yes", no_argument, NULL, (value) \
    }
#define TKR_COMMAND_YES_HELP "  --yes              do not ask; needed where standard input is no terminal\n"

/*
 * Asks on the terminal, as "this is to WHAT; type yes to go on: " on standard error, unless `yes` says so already; where there is
 * none it says "would WHAT". what begins with a verb: "erase every trace of ...".
 * TKR_COMMAND_OK: go on; TKR_COMMAND_FAILED: the answer was another one; TKR_COMMAND_WRONG: there is nobody to ask. Told already.
 */
int tkr_command_confirm(const char *command, bool yes, const char *what);

#endif
