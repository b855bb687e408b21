/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/advice.h"

#include <stddef.h>
#include <string.h>

#define ACL "Redis denies this user a command or a key: see its ACL"

static const struct {
    const char *begins;
    const char *means;
} known[] = {
    {"OOM ", "Redis is out of memory: raise its maxmemory, or make room"},
    {"READONLY ", "this Redis is a read-only replica: give the address of its master"},
    {"LOADING ", "Redis is still loading its data"},
    {"MISCONF ", "Redis cannot save to its disk and refuses writes until it can"},
    {"NOREPLICAS ", "Redis lacks the replicas that its min-replicas-to-write asks for"},
    {"NOSCRIPT ", "Redis has forgotten the script, which will be loaded again"},
    {"BUSY ", "Redis is kept busy by somebody's script: SCRIPT KILL ends it"},
    {"NOAUTH ", "Redis wants a password: set REDIS_PASSWORD"},
    {"WRONGPASS ", "Redis does not know this user and password: see REDIS_USERNAME and REDIS_PASSWORD"},
    {"NOPERM ", ACL},
    {"ERR The user executing the script can't ", ACL},
    {"ERR max number of clients reached", "Redis has no connection left: raise its maxclients"},
    {"MASTERDOWN ", "this Redis is a replica that has lost its master"},
    {"CLUSTERDOWN ", "this Redis is part of a cluster that is down"},
    {"MOVED ", "this Redis is part of a cluster, which is not supported"},
};

const char *tkr_redis_advice(const char *error)
{
    if (error[0] == '-') /* as some versions hand it to a script */
        error++;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strncmp(error, known[i].begins, strlen(known[i].begins)) == 0)
            return known[i].means;
    }
    return NULL;
}
