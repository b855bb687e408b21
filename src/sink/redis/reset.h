/* SPDX-License-Identifier: Apache-2.0 */
/* Resets in Redis. */
#ifndef TKR_SINK_REDIS_RESET_H
#define TKR_SINK_REDIS_RESET_H

#include <hiredis/hiredis.h>

#include "sink/sink.h"

/*
 * Removes the counters of the account's cycle and of its models, in one step; usage_limit, which is an administrator's, stays.
 * Needs what flushing needs, and HGETALL. 0 with what they were; 1: there are none; -1 with the reason.
 */
int tkr_redis_reset(redisContext *context, const struct tkr_usage_row *account, tkr_counts *ret_before, tkr_message *ret_message);

#endif
