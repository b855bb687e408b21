/* SPDX-License-Identifier: Apache-2.0 */
/* Claims in Redis: a hash per account and cycle, a field per percent; whose HINCRBY makes it 1 is the first. */
#ifndef TKR_SINK_REDIS_CLAIM_H
#define TKR_SINK_REDIS_CLAIM_H

#include <hiredis/hiredis.h>

#include "sink/sink.h"

/* As tkr_sink_ops.claim. */
int tkr_redis_claim(redisContext *context, const struct tkr_usage_row *account, uint32_t percent, tkr_message *ret_message);

#endif
