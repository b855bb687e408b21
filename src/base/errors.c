/* SPDX-License-Identifier: Apache-2.0 */
#include "base/errors.h"

static const char *const texts[TKR_RESULT_COUNT] = {
#define TKR_RESULT(symbol, key, text) text,
#include "base/errors.def"
#undef TKR_RESULT
};

static const char *const keys[TKR_RESULT_COUNT] = {
#define TKR_RESULT(symbol, key, text) #key,
#include "base/errors.def"
#undef TKR_RESULT
};

const char *tkr_strerror(int code)
{
    if (code > 0 || code <= -(int)TKR_RESULT_COUNT)
        return "unknown result code";
    return texts[-code];
}

const char *tkr_result_key(unsigned n)
{
    return n < TKR_RESULT_COUNT ? keys[n] : NULL;
}
