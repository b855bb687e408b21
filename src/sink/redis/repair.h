/* SPDX-License-Identifier: Apache-2.0 */
/* Writes records anew that are missing in Redis, where it is known what of them the totals have (sink/repair.h). */
#ifndef TKR_SINK_REDIS_REPAIR_H
#define TKR_SINK_REDIS_REPAIR_H

#include <hiredis/hiredis.h>

#include "sink/repair.h"

/*
 * Reads each account whole (sink/redis/snapshot.h), decides, and writes by a script that compares it once more. Needs HGETALL
 * besides what a chunk needs; an account that Redis does not let be read so is UNREADABLE.
 * 0 with what came of each, or -1 with the reason: each may have been written or not, and may be asked again.
 */
int tkr_redis_repair(redisContext *context, const char *source, const struct tkr_repair_terms *terms, struct tkr_repair *repairs,
                     uint32_t count, tkr_message *ret_message);

#endif
