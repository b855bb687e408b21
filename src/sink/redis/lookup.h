/* SPDX-License-Identifier: Apache-2.0 */
/* What Redis has about accounts that are named, without walking over keys. */
#ifndef TKR_SINK_REDIS_LOOKUP_H
#define TKR_SINK_REDIS_LOOKUP_H

#include <hiredis/hiredis.h>

#include "sink/sink.h"

/*
 * Looks up the accounts, some hundred of them in a round trip. Counters below 0, and limits that are not above it, count as none.
 * 0, or -1 with the reason, which may be that a field is no integer: then the fault of that one is set, and the rest not looked up.
 */
int tkr_redis_lookup(redisContext *context, const struct tkr_usage_row *accounts, uint32_t count,
                     struct tkr_usage_found *ret_found, tkr_message *ret_message);

#endif
