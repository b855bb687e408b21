/* SPDX-License-Identifier: Apache-2.0 */
#include "base/counters.h"

const char *const tkr_counter_name[TKR_COUNTER_COUNT] = {
#define TKR_COUNTER(symbol, name, letter, help) #name,
#include "base/counters.def"
#undef TKR_COUNTER
};

const char *const tkr_counter_help[TKR_COUNTER_COUNT] = {
#define TKR_COUNTER(symbol, name, letter, help) help,
#include "base/counters.def"
#undef TKR_COUNTER
};

const char tkr_counter_letter[TKR_COUNTER_COUNT] = {
#define TKR_COUNTER(symbol, name, letter, help) letter,
#include "base/counters.def"
#undef TKR_COUNTER
};

bool tkr_counts_nowhere_above(const tkr_counts *a, const tkr_counts *b)
{
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (a->value[i] > b->value[i])
            return false;
    }
    return true;
}
