/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/sink.h"

#define SHOWN_BYTES 120u

int tkr_usage_found_check(const struct tkr_usage_row *accounts, const struct tkr_usage_found *found, uint32_t count,
                          tkr_message *ret_message)
{
    uint32_t i = 0;

    while (i < count && tkr_usage_found_good(&found[i]))
        i++;
    if (i == count)
        return 0;
    return tkr_message_set(ret_message, "%.*s: %s%s", (int)(accounts[i].id_len < SHOWN_BYTES ? accounts[i].id_len : SHOWN_BYTES),
                           accounts[i].id, found[i].fault ? "" : "its limit (usage_limit) cannot be read: ", found[i].text);
}
