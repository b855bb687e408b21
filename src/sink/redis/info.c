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

bool tkr_redis_server_read(const char *info, struct tkr_redis_server *ret_server)
{
    struct tkr_redis_server server = {.name = ""};
    char mode[TKR_REDIS_INFO_BYTES] = "";
    char key[TKR_REDIS_INFO_BYTES + sizeof("_version")];

    if (!tkr_redis_info_find(info, "redis_version", server.redis))
        return false;
    if (tkr_redis_info_find(info, "server_name", server.name)) {
        (void)snprintf(key, sizeof(key), "%s_version", server.name);
        (void)tkr_redis_info_find(info, key, server.own);
    }
    if (!tkr_redis_info_find(info, "redis_mode", mode))
        (void)tkr_redis_info_find(info, "server_mode", mode); /* Valkey's; very old ones say neither */
    server.cluster = strcmp(mode, "cluster") == 0;
    *ret_server = server;
    return true;
}
