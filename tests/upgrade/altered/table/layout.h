/* SPDX-License-Identifier: Apache-2.0 */
/* The shard's layout under other numbers. */
#ifndef TESTS_UPGRADE_ALTERED_TABLE_LAYOUT_H
#define TESTS_UPGRADE_ALTERED_TABLE_LAYOUT_H

#include "../../../../src/table/layout.h"
#include "altered.h"

enum { SHARD_MAJOR_HERE = TKR_SHARD_MAJOR, SHARD_MINOR_HERE = TKR_SHARD_MINOR };
#undef TKR_SHARD_MAJOR
#undef TKR_SHARD_MINOR
#undef TKR_SHARD_MAJOR_OLDEST
#define TKR_SHARD_MAJOR ((uint32_t)(SHARD_MAJOR_HERE + ALTERED_MAJOR))
#define TKR_SHARD_MINOR ((uint32_t)(SHARD_MINOR_HERE + ALTERED_MINOR))
#define TKR_SHARD_MAJOR_OLDEST ((uint32_t)SHARD_MAJOR_HERE)

#endif
