/* SPDX-License-Identifier: Apache-2.0 */
/* Which data set this Redis holds: one field of a hash (sink/redis/keys.h), replaced where it is as it was read. */
#ifndef TKR_SINK_REDIS_DATASET_H
#define TKR_SINK_REDIS_DATASET_H

#include <hiredis/hiredis.h>

#include "sink/dataset.h"

/* As tkr_sink_ops.dataset and dataset_set. */
int tkr_redis_dataset(redisContext *context, struct tkr_dataset *ret_dataset, tkr_message *ret_message);
int tkr_redis_dataset_set(redisContext *context, const struct tkr_dataset *read, const struct tkr_dataset *next,
                          tkr_message *ret_message);

#endif
