/* SPDX-License-Identifier: Apache-2.0 */
#include "command/moment.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

const char *tkr_command_moment(int64_t unix_ns, char ret_text[TKR_COMMAND_MOMENT_BYTES])
{
    time_t seconds = (time_t)(unix_ns / TKR_NS_PER_S);
    struct tm utc;

    if (gmtime_r(&seconds, &utc) == NULL || strftime(ret_text, TKR_COMMAND_MOMENT_BYTES, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        (void)snprintf(ret_text, TKR_COMMAND_MOMENT_BYTES, "unknown");
    return ret_text;
}

const char *tkr_command_moment_ms(int64_t unix_ns, char ret_text[TKR_COMMAND_MOMENT_BYTES])
{
    unsigned ms = (unsigned)(unix_ns / TKR_NS_PER_MS % 1000) % 1000u; /* of what lies before 1970, anything */
    char *z;

    (void)tkr_command_moment(unix_ns, ret_text);
    z = strchr(ret_text, 'Z');
    if (z != NULL)
        (void)snprintf(z, TKR_COMMAND_MOMENT_BYTES - (size_t)(z - ret_text), ".%03uZ", ms);
    return ret_text;
}

json_t *tkr_command_moment_json(int64_t unix_ns)
{
    char text[TKR_COMMAND_MOMENT_BYTES];

    return unix_ns == 0 ? json_null() : json_string(tkr_command_moment(unix_ns, text));
}
