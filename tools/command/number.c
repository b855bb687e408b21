/* SPDX-License-Identifier: Apache-2.0 */
#include "command/number.h"

#include <inttypes.h>
#include <stdio.h>

#define WHOLE_MAX 99999 /* written out */
#define LARGEST 9.99e20 /* above all that is counted */

static const char *write_scaled(double value, const char *sign, char ret_text[TKR_COMMAND_NUMBER_BYTES])
{
    static const char letters[] = "kMGTPE";
    const char *letter = letters;

    value = value < LARGEST ? value / 1000 : LARGEST / 1000;
    for (; value >= 999.5 && letter[1] != '\0'; letter++)
        value /= 1000;
    (void)snprintf(ret_text, TKR_COMMAND_NUMBER_BYTES, "%s%.*f%c", sign,
                   value >= 99.95   ? 0
                   : value >= 9.995 ? 1
                                    : 2,
                   value, *letter);
    return ret_text;
}

const char *tkr_command_unsigned(uint64_t value, char ret_text[TKR_COMMAND_NUMBER_BYTES])
{
    if (value > WHOLE_MAX)
        return write_scaled((double)value, "", ret_text);
    (void)snprintf(ret_text, TKR_COMMAND_NUMBER_BYTES, "%" PRIu64, value);
    return ret_text;
}

const char *tkr_command_number(int64_t value, char ret_text[TKR_COMMAND_NUMBER_BYTES])
{
    if (value >= 0)
        return tkr_command_unsigned((uint64_t)value, ret_text);
    if (value < -WHOLE_MAX / 10)
        return write_scaled(-(double)value, "-", ret_text);
    (void)snprintf(ret_text, TKR_COMMAND_NUMBER_BYTES, "%" PRId64, value);
    return ret_text;
}

const char *tkr_command_rate(double value, char ret_text[TKR_COMMAND_NUMBER_BYTES])
{
    if (value > WHOLE_MAX + 0.5)
        return write_scaled(value, "", ret_text);
    (void)snprintf(ret_text, TKR_COMMAND_NUMBER_BYTES, "%.*f", value > 0 && value < 99.95 ? 1 : 0, value);
    return ret_text;
}

const char *tkr_command_bytes(uint64_t bytes, char ret_text[TKR_COMMAND_NUMBER_BYTES])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    int unit = 0;

    for (; value >= 1023.5 && unit < 6; unit++)
        value /= 1024;
    (void)snprintf(ret_text, TKR_COMMAND_NUMBER_BYTES, "%.*f %s", unit == 0 || value >= 9.95 ? 0 : 1, value, units[unit]);
    return ret_text;
}
