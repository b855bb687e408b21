/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of an account's hashes of models (sink/redis/keys.h), taken apart. */
#ifndef TKR_SINK_REDIS_MODELS_H
#define TKR_SINK_REDIS_MODELS_H

#include <hiredis/hiredis.h>

#include "sink/sink.h"

/*
 * Visits each model of the totals that a HGETALL gave, in the order of the models' bytes; account says whose they are. Fields that
 * are not ours are passed over, a value that is no integer 0..2^63-1 counts as 0. 0, the visitor's number, or -1 with the reason.
 */
int tkr_redis_models_visit(const redisReply *totals, const struct tkr_usage_row *account, tkr_usage_visit *visit, void *arg,
                           tkr_message *ret_message);

/*
 * Reads the hash of an account's records of models, and visits those of the collector's sources; a key that holds no hash has
 * none. 0, the visitor's number, or -1 with the reason.
 */
int tkr_redis_model_records_visit(redisContext *context, const redisReply *key, const struct tkr_usage_row *account,
                                  const char *collector, tkr_usage_visit *visit, void *arg, tkr_message *ret_message);

#endif
