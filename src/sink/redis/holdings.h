/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All accounts, one after the other, by SCAN.
 *
 * An account is found by any of its keys, and visited by one: by its totals; where there are none (a DEL is a reset, and the
 * records say of how much), by its records; and so on. Keys of records are walked first. An account without totals is visited
 * there; one that has some is left to the second walk, which comes to all that have some then. So one that gets totals in
 * between, as the next flush does, may be visited twice, and is never missed. It is missed only if its totals are deleted in
 * between and nobody uses it until the end.
 */
#ifndef TKR_SINK_REDIS_HOLDINGS_H
#define TKR_SINK_REDIS_HOLDINGS_H

#include <hiredis/hiredis.h>

#include "sink/sink.h"

/* As tkr_sink_ops.holdings. */
int tkr_redis_holdings(redisContext *context, tkr_holdings_visit *visit, void *arg, tkr_message *ret_message);

#endif
