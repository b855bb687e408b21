/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/sink.h"

#define SHOWN_BYTES 120u

void tkr_usage_found_name(const struct tkr_usage_row *accounts, const struct tkr_usage_found *found, uint32_t count,
                          tkr_message *message)
{
    const tkr_message why = *message;
    uint32_t i = 0;

    while (i < count && !found[i].fault)
        i++;
    if (i < count)
        (void)tkr_message_set(message, "%.*s: %s", (int)(accounts[i].id_len < SHOWN_BYTES ? accounts[i].id_len : SHOWN_BYTES),
                              accounts[i].id, why.text);
}
