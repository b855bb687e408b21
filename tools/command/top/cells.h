/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in the cells of the tables of a look, and how they become lines. */
#ifndef TOOLS_COMMAND_TOP_CELLS_H
#define TOOLS_COMMAND_TOP_CELLS_H

#include "command/top/sheet.h"

/* A row of a part, or with row SIZE_MAX its heading, in so many columns of a terminal: as many cells as fit, the first ones first. */
#define TKR_TOP_HEADING_ROW SIZE_MAX
void tkr_top_line(const struct tkr_top_sheet *sheet, enum tkr_top_part part, size_t row, size_t columns, char *ret_line);

/* Does a row tell of something that should not be? */
bool tkr_top_alarms(const struct tkr_top_sheet *sheet, enum tkr_top_part part, size_t row);

#endif
