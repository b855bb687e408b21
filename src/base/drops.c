/* SPDX-License-Identifier: Apache-2.0 */
#include "base/drops.h"

const char *const tkr_drop_key[TKR_DROP_COUNT] = {
#define TKR_DROP(symbol, key, help) #key,
#include "base/drops.def"
#undef TKR_DROP
};
