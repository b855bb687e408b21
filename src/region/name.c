/* SPDX-License-Identifier: Apache-2.0 */
#include "region/name.h"

#include <stdio.h>
#include <string.h>

#include "base/host.h"

void tkr_region_name_format(const char *prefix, const uint8_t id[TKR_REGION_ID_BYTES], char ret_name[TKR_REGION_NAME_BYTES])
{
    int at = snprintf(ret_name, TKR_REGION_NAME_BYTES, "%s", prefix);

    for (int i = 0; i < TKR_REGION_ID_BYTES; i++)
        at += snprintf(ret_name + at, TKR_REGION_NAME_BYTES - (size_t)at, "%02x", id[i]);
}

bool tkr_region_name_parse(const char *name, uint8_t ret_id[TKR_REGION_ID_BYTES])
{
    const char *digits = name + sizeof(TKR_REGION_PREFIX) - 1;

    if (strncmp(name, TKR_REGION_PREFIX, sizeof(TKR_REGION_PREFIX) - 1) != 0 || strlen(digits) != 2 * (size_t)TKR_REGION_ID_BYTES)
        return false;
    for (int i = 0; i < TKR_REGION_ID_BYTES; i++) {
        int high = tkr_hex_digit(digits[2 * i]);
        int low = tkr_hex_digit(digits[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret_id[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool tkr_region_name_is_new(const char *name)
{
    return strncmp(name, TKR_REGION_PREFIX_NEW, sizeof(TKR_REGION_PREFIX_NEW) - 1) == 0;
}
