/* SPDX-License-Identifier: Apache-2.0 */
#include "base/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int tkr_message_set(tkr_message *message, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(message->text, sizeof(message->text), format, args);
    va_end(args);
    return -1;
}

const char *tkr_setting_text(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0' ? value : NULL;
}

bool tkr_parse_integer(const char *text, int64_t min, int64_t max, int64_t *ret_value)
{
    char *end;
    long long value;

    if (text[0] != '-' && (text[0] < '0' || text[0] > '9'))
        return false; /* strtoll would skip blanks and take '+' */
    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
        return false;
    *ret_value = value;
    return true;
}

int tkr_setting_integer(const char *name, int64_t min, int64_t max, int64_t value_default, int64_t *ret_value,
                        tkr_message *ret_message)
{
    const char *text = tkr_setting_text(name);

    if (text == NULL)
        *ret_value = value_default;
    else if (!tkr_parse_integer(text, min, max, ret_value))
        return tkr_message_set(ret_message, "%s=%s: allowed is an integer from %" PRId64 " to %" PRId64, name, text, min, max);
    return 0;
}
