/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/info.h"

#include <stdio.h>
#include <string.h>

bool tkr_redis_info_find(const char *info, const char *name, char ret_value[TKR_REDIS_INFO_BYTES])
{
    size_t len = strlen(name);

    for (const char *line = info; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, len) == 0 && line[len] == ':') {
            (void)snprintf(ret_value, TKR_REDIS_INFO_BYTES, "%.*s", (int)strcspn(line + len + 1, "\r\n"), line + len + 1);
            return true;
        }
    }
    return false;
}
