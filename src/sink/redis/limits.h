/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits in Redis: the fields usage_limit and usage_blocked (sink/redis/keys.h), of an account's cycle in the hash of its totals,
 * which administrators and the programs that were there before write too, and standing in a hash of its own.
 */
#ifndef TKR_SINK_REDIS_LIMITS_H
#define TKR_SINK_REDIS_LIMITS_H

#include <hiredis/hiredis.h>

#include "sink/sink.h"

/*
 * Sets a limit of tokens > 0, blocks (0), or clears both (TKR_LIMIT_NONE); cycle 0 is the standing one. A limit that is there
 * stays under a block, for readers that know no block; who dies between the limit and the end of a block leaves the block. 0;
 * 1: there was none to clear; -1 with the reason.
 */
int tkr_redis_limit_set(redisContext *context, const struct tkr_usage_row *account, int64_t tokens, tkr_message *ret_message);

/* Visits all limits, blocks and what cannot be read of either. 0, the visitor's number, or -1 with the reason. */
int tkr_redis_limits(redisContext *context, const struct tkr_give_up *give_up, tkr_usage_visit *visit, void *arg,
                     tkr_message *ret_message);

#endif
