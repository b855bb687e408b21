/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forgetting in Redis: the keys of an account are deleted, totals and records of a cycle in one step. In the same step
 * tr1:{0}:forgotten:SHA1 is made, which tells collectors that count on that the records did not get lost: SHA1 is of the key of
 * the totals, in hexadecimal, and the key, a hash with the time in field `at`, expires after TKR_FORGOTTEN_KEPT_S.
 */
#ifndef TKR_SINK_REDIS_FORGET_H
#define TKR_SINK_REDIS_FORGET_H

#include <hiredis/hiredis.h>

#include "sink/sink.h"

/* Needs +scan, +del and +expire besides what flushing needs. 0 with the cycles erased; 1: there was nothing; -1 with the reason. */
int tkr_redis_forget(redisContext *context, const struct tkr_usage_row *account, uint32_t *ret_cycles, tkr_message *ret_message);

#endif
