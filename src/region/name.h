/* SPDX-License-Identifier: Apache-2.0 */
/* The name of a region's file and the id that it says (region/layout.h). */
#ifndef TKR_REGION_NAME_H
#define TKR_REGION_NAME_H

#include <stdbool.h>

#include "region/layout.h"

/* The prefix, TKR_REGION_PREFIX or, while the region is made, TKR_REGION_PREFIX_NEW, and the id's digits. */
void tkr_region_name_format(const char *prefix, const uint8_t id[TKR_REGION_ID_BYTES], char ret_name[TKR_REGION_NAME_BYTES]);

/* Is this the name of a region that is ready? ret_id is what the name says. */
bool tkr_region_name_parse(const char *name, uint8_t ret_id[TKR_REGION_ID_BYTES]);

/* Is this a file under a temporary name? */
bool tkr_region_name_is_new(const char *name);

#endif
