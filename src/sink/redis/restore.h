/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restoring accounts in Redis: each is read by the snapshot's script (sink/redis/snapshot.h), decided on by sink/restore.h, and
 * written by another one, which changes nothing where the account is not as it was read. Then it is read anew.
 *
 * KEYS: totals, records, totals of models, records of models.
 * ARGV: the digest that was read; then per key how many fields are written, and each with its value.
 * Answer: 1: written; 0: the account is another one by now; an error: nothing is changed.
 *
 * Totals are written, not added to: that they are as they were read is known, and a sum that was looked at cannot overflow. So
 * there is one kind of write. What forbids it forbids the first of them, or, where only some of the keys may be written, what
 * was written is taken back. Records first, then totals.
 *
 * Needs HGETALL, HSET and HDEL (and HGET), and EVALSHA and SCRIPT LOAD to be run: what flushing needs, and HGETALL.
 */
#ifndef TKR_SINK_REDIS_RESTORE_H
#define TKR_SINK_REDIS_RESTORE_H

#include <hiredis/hiredis.h>

#include "sink/restore.h"

/* As tkr_sink_ops.restore. */
int tkr_redis_restore(redisContext *context, const struct tkr_restore_terms *terms, const struct tkr_holdings *accounts,
                      uint32_t count, struct tkr_restored *ret_restored, tkr_message *ret_message);

/* As tkr_sink_ops.sources_set. */
int tkr_redis_sources_set(redisContext *context, const struct tkr_source_seen *sources, uint32_t count, tkr_message *ret_message);

#endif
