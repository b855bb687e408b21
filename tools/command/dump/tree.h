/* SPDX-License-Identifier: Apache-2.0 */
/* JSON as people read it: a line for each member, a line for each row of a list. */
#ifndef TOOLS_COMMAND_DUMP_TREE_H
#define TOOLS_COMMAND_DUMP_TREE_H

#include <jansson.h>

/* Prints the members of an object to standard output, in their order. */
void tkr_command_tree_print(const json_t *object);

#endif
