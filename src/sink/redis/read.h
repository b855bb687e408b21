/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the totals out of Redis. */
#ifndef TKR_SINK_REDIS_READ_H
#define TKR_SINK_REDIS_READ_H

#include <hiredis/hiredis.h>

#include "sink/sink.h"

/*
 * Visits each account and cycle, or each of its models, that the query asks for once, in the order of the keys' bytes. One account's one cycle
 * is one HGETALL; everything else is found by SCAN first: all that was there from beginning to end, each key once.
 * Keys that are not ours are passed over; a field that is missing or is not an integer 0..2^63-1 counts as 0, a
 * limit likewise as none. 0, the visitor's number, or -1 with the reason.
 */
int tkr_redis_read(redisContext *context, const struct tkr_usage_query *query, tkr_usage_visit *visit, void *arg,
                   tkr_message *ret_message);

#endif
