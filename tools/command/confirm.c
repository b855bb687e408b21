/* SPDX-License-Identifier: Apache-2.0 */
#include "command/confirm.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command/command.h"

int tkr_command_confirm(const char *command, bool yes, const char *what)
{
    char answer[16] = "";

    if (yes)
        return TKR_COMMAND_OK;
    if (isatty(STDIN_FILENO) != 1)
        return tkr_command_wrong(command, "would %s; nothing was done, since standard input is no terminal: pass --yes", what);
    (void)fprintf(stderr, "this is to %s; type yes to go on: ", what);
    if (fgets(answer, sizeof(answer), stdin) != NULL && strcmp(answer, "yes\n") == 0)
        return TKR_COMMAND_OK;
    return tkr_command_failed(command, "the answer was not yes; nothing was done");
}
