/* SPDX-License-Identifier: Apache-2.0 */
/* A look of `tokenring top` as JSON. */
#ifndef TOOLS_COMMAND_TOP_JSON_H
#define TOOLS_COMMAND_TOP_JSON_H

#include <jansson.h>

#include "command/top/picture.h"

/* A new object with at most wish->limit rows of each part; NULL: no memory. Rates are null where there was no look before. */
json_t *tkr_top_json(const struct tkr_top_look *look, const struct tkr_top_wish *wish);

#endif
