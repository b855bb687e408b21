/* SPDX-License-Identifier: Apache-2.0 */
/* Causes of loss, numbered by drops.def. */
#ifndef TKR_BASE_DROPS_H
#define TKR_BASE_DROPS_H

enum tkr_drop {
#define TKR_DROP(symbol, key, help) TKR_DROP_##symbol,
#include "base/drops.def"
#undef TKR_DROP
    TKR_DROP_COUNT
};

#define TKR_DROP_MAX 16 /* room in layouts for this list to grow */
_Static_assert(TKR_DROP_COUNT <= TKR_DROP_MAX, "layouts have room for 16 causes");

extern const char *const tkr_drop_key[TKR_DROP_COUNT];

#endif
