/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields of a limit, of whatever hash has them: of totals (of the cycle), or of a standing limit. usage_limit is above 0; 0
 * has always meant that there is none, to the readers that were there before. So what blocks an account, a limit of 0, is a
 * field of its own, usage_blocked, with another figure than 0, which those readers pass over. Where both are there, the block
 * holds.
 */
#ifndef TKR_SINK_REDIS_LIMIT_FIELDS_H
#define TKR_SINK_REDIS_LIMIT_FIELDS_H

#include <hiredis/hiredis.h>
#include <stdbool.h>

#include "base/settings.h"
#include "sink/limit.h"

#define TKR_REDIS_LIMIT_FIELD "usage_limit"
#define TKR_REDIS_BLOCKED_FIELD "usage_blocked"

/*
 * Takes a field if it is one of the two: *limit, TKR_LIMIT_NONE before the first, is what both say; what cannot be read is
 * shown in text, if that is empty. false: it is another field.
 */
bool tkr_redis_limit_field(const redisReply *field, const redisReply *value, int64_t *limit, char text[TKR_LIMIT_TEXT_BYTES]);

/* Takes the answer to HGETALL of a standing limit. 0, also where a value of another type is there; -1: it is another error. */
int tkr_redis_limit_take(const redisReply *reply, int64_t *limit, char text[TKR_LIMIT_TEXT_BYTES], tkr_message *ret_message);

#endif
