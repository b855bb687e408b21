/* SPDX-License-Identifier: Apache-2.0 */
#include "event/contradictions.h"

const char *const tkr_contradiction_key[TKR_CONTRADICTIONS] = {
#define TKR_CONTRADICTION(symbol, key, text) #key,
#include "event/contradictions.def"
#undef TKR_CONTRADICTION
};

const char *const tkr_contradiction_text[TKR_CONTRADICTIONS] = {
#define TKR_CONTRADICTION(symbol, key, text) text,
#include "event/contradictions.def"
#undef TKR_CONTRADICTION
};
