/* SPDX-License-Identifier: Apache-2.0 */
/* Result codes: how many there are, and their keys. The list is errors.def; the values are tokenring.h's. */
#ifndef TKR_BASE_ERRORS_H
#define TKR_BASE_ERRORS_H

#include "tokenring/tokenring.h"

enum tkr_result_number {
#define TKR_RESULT(symbol, key, text) TKR_RESULT_##symbol,
#include "base/errors.def"
#undef TKR_RESULT
    TKR_RESULT_COUNT
};

#define TKR_RESULT(symbol, key, text) _Static_assert(TKR_##symbol == -(int)TKR_RESULT_##symbol, "errors.def follows tokenring.h");
#include "base/errors.def"
#undef TKR_RESULT

/* Key of result number n (= -code), for JSON and metrics; NULL when n is none. */
const char *tkr_result_key(unsigned n);

#endif
