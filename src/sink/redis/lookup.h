/* SPDX-License-Identifier: Apache-2.0 */
/* What Redis has about accounts that are named, without walking over keys. */
#ifndef TKR_SINK_REDIS_LOOKUP_H
#define TKR_SINK_REDIS_LOOKUP_H

#include <hiredis/hiredis.h>

#include "sink/sink.h"

/*
 * Looks up the accounts, some hundred of them in a round trip, and more on the way. Counters below 0 count as 0. What of an
 * account cannot be understood is said of it. 0, or -1 with the reason, which is none of an account's.
 */
int tkr_redis_lookup(redisContext *context, const struct tkr_usage_row *accounts, uint32_t count,
                     struct tkr_usage_found *ret_found, tkr_message *ret_message);

#endif
