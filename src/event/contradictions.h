/* SPDX-License-Identifier: Apache-2.0 */
/* The list of event/contradictions.def as numbers, keys and texts. */
#ifndef TKR_EVENT_CONTRADICTIONS_H
#define TKR_EVENT_CONTRADICTIONS_H

enum tkr_contradiction {
#define TKR_CONTRADICTION(symbol, key, text) TKR_CONTRADICTION_##symbol,
#include "event/contradictions.def"
#undef TKR_CONTRADICTION
    TKR_CONTRADICTIONS
};

extern const char *const tkr_contradiction_key[TKR_CONTRADICTIONS];
extern const char *const tkr_contradiction_text[TKR_CONTRADICTIONS];

#endif
