/* SPDX-License-Identifier: Apache-2.0 */
/* The region's layout under other numbers. */
#ifndef TESTS_UPGRADE_ALTERED_REGION_LAYOUT_H
#define TESTS_UPGRADE_ALTERED_REGION_LAYOUT_H

#include "../../../../src/region/layout.h"
#include "altered.h"

enum { REGION_MAJOR_HERE = TKR_REGION_MAJOR, REGION_MINOR_HERE = TKR_REGION_MINOR };
#undef TKR_REGION_MAJOR
#undef TKR_REGION_MINOR
#undef TKR_REGION_MAJOR_OLDEST
#define TKR_REGION_MAJOR ((uint32_t)(REGION_MAJOR_HERE + ALTERED_MAJOR))
#define TKR_REGION_MINOR ((uint32_t)(REGION_MINOR_HERE + ALTERED_MINOR))
#define TKR_REGION_MAJOR_OLDEST ((uint32_t)REGION_MAJOR_HERE) /* the previous, as seen from the next */

#endif
