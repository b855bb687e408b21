/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/advice.h"

#include <stddef.h>
#include <string.h>

#define ACL "Redis denies this user a command or a key: see its ACL"
#define CLUSTER "this Redis is part of a cluster, which is not supported yet"
#define CLUSTER_DOWN "this Redis is part of a cluster that is down, and clusters are not supported yet"

enum kind { OTHER, DENIED, UNWRITABLE };

/* Texts of Redis 7.0 and 8 and of Valkey 8 and 9, of which each begins. tests/unit/sink/test_redis_advice.c has them whole. */
static const struct {
    const char *begins;
    enum kind kind;
    const char *means;
} known[] = {
    {"OOM ", UNWRITABLE, "Redis is out of memory: raise its maxmemory, or make room"},
    {"READONLY ", UNWRITABLE, "this Redis is a read-only replica: give the address of its master"},
    {"LOADING ", UNWRITABLE, "Redis is still loading its data"},
    {"MISCONF ", UNWRITABLE, "Redis cannot save to its disk and refuses writes until it can"},
    {"NOREPLICAS ", UNWRITABLE, "Redis lacks the replicas that its min-replicas-to-write asks for"},
    {"MASTERDOWN ", UNWRITABLE, "this Redis is a replica that has lost its master"},
    {"NOSCRIPT ", OTHER, "Redis has forgotten the script, which will be loaded again"},
    {"BUSY ", OTHER, "Redis is kept busy by somebody's script: SCRIPT KILL ends it"},
    {"NOAUTH ", OTHER, "Redis wants a password: set REDIS_PASSWORD"},
    {"WRONGPASS ", OTHER, "Redis does not know this user and password: see REDIS_USERNAME and REDIS_PASSWORD"},
    {"ERR invalid password", OTHER, "Redis does not know this password: see REDIS_PASSWORD"},
    {"ERR AUTH <password> called without any password", OTHER,
     "Redis has no password: give REDIS_USERNAME too, or unset REDIS_PASSWORD"},
    {"ERR Client sent AUTH, but no password is set", OTHER, "Redis has no password: unset REDIS_PASSWORD"},
    {"ERR wrong number of arguments for 'auth'", OTHER, "this Redis knows no users (it is older than 6): unset REDIS_USERNAME"},
    {"DENIED ", OTHER, "Redis is in protected mode, and takes no clients of other hosts: give it a password (requirepass)"},
    {"NOPERM ", DENIED, ACL},
    {"ERR The user executing the script can't ", DENIED, ACL},
    {"ERR ACL failure in script: ", DENIED, ACL},
    {"ERR max number of clients ", OTHER, "Redis has no connection left: raise its maxclients"},
    {"ERR DB index is out of range", OTHER, "Redis has no database of this number: see REDIS_DB, or the end of REDIS_URL"},
    {"ERR invalid DB index", OTHER, "Redis has no database of this number: see REDIS_DB, or the end of REDIS_URL"},
    {"ERR SELECT is not allowed in cluster mode", OTHER, CLUSTER},
    {"CLUSTERDOWN ", UNWRITABLE, CLUSTER_DOWN},
    {"ERR Script attempted to execute a command while the cluster is down", UNWRITABLE, CLUSTER_DOWN},
    {"ERR Script attempted to execute a write command while the cluster is down", UNWRITABLE, CLUSTER_DOWN},
    {"CROSSSLOT ", OTHER, CLUSTER},
    {"MOVED ", OTHER, CLUSTER},
    {"ASK ", OTHER, CLUSTER},
    {"TRYAGAIN ", OTHER, CLUSTER},
    {"ERR Script attempted to access a non local key in a cluster node", OTHER, CLUSTER},
    {"ERR Script attempted to access a slot not served", OTHER, CLUSTER},
    {"ERR Script attempted to access keys that do not hash to the same slot", OTHER, CLUSTER},
    {"REDIRECT ", UNWRITABLE, "this server is a replica: give the address of its primary"},
};

/* NULL: an error that is not in the list. */
static const char *find(const char *error, enum kind *ret_kind)
{
    *ret_kind = OTHER;
    if (error[0] == '-') /* as some versions hand it to a script */
        error++;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strncmp(error, known[i].begins, strlen(known[i].begins)) != 0)
            continue;
        *ret_kind = known[i].kind;
        return known[i].means;
    }
    return NULL;
}

const char *tkr_redis_advice(const char *error)
{
    enum kind kind;

    return find(error, &kind);
}

bool tkr_redis_is_denied(const char *error)
{
    enum kind kind;

    (void)find(error, &kind);
    return kind == DENIED;
}

bool tkr_redis_is_unwritable(const char *error)
{
    enum kind kind;

    (void)find(error, &kind);
    return kind == UNWRITABLE;
}
