/* SPDX-License-Identifier: Apache-2.0 */
/*
 * May this Redis evict keys of ours?
 *
 * It evicts once it has a maxmemory and a policy other than noeviction. Those named volatile-* take only keys that expire: of ours
 * the claims of alerts and the marks of what was forgotten (sink/redis/keys.h). All others take any key: totals, limits and records.
 */
#ifndef TKR_SINK_REDIS_EVICTION_H
#define TKR_SINK_REDIS_EVICTION_H

#include <hiredis/hiredis.h>

#include "sink/redis/info.h"
#include "sink/sink.h"

#define TKR_REDIS_EVICTION_REMEDY "CONFIG SET maxmemory-policy noeviction, and in redis.conf"

enum tkr_redis_evicts { TKR_REDIS_EVICTS_NOTHING, TKR_REDIS_EVICTS_EXPIRING, TKR_REDIS_EVICTS_ANY };

struct tkr_redis_eviction {
    enum tkr_redis_evicts evicts;
    char policy[TKR_REDIS_INFO_BYTES];
    char max[TKR_REDIS_INFO_BYTES]; /* maxmemory, bytes; "0": none is set */
};

/* What comes of it: a clause, empty for TKR_REDIS_EVICTS_NOTHING. */
extern const char *const tkr_redis_evicts_means[];

/* Reads what INFO says of its memory. false: the policy is not in there. */
bool tkr_redis_eviction_read(const char *info, struct tkr_redis_eviction *ret_eviction);

/* As tkr_sink_ops.advise. After -1 the connection is to be freed. */
int tkr_redis_eviction_advise(redisContext *context, tkr_message *ret_advice, tkr_message *ret_message);

#endif
