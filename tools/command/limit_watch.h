/* SPDX-License-Identifier: Apache-2.0 */
/* `tokenring limit watch`: limits as gateways of this host see them, again and again. */
#ifndef TOOLS_COMMAND_LIMIT_WATCH_H
#define TOOLS_COMMAND_LIMIT_WATCH_H

/* argv[0] is "watch". Returns the exit code. */
int tkr_command_limit_watch(int argc, char **argv);

#endif
