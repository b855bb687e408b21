/* SPDX-License-Identifier: Apache-2.0 */
/* Which sources have been here, and of which accounts and models there are records. */
#ifndef TKR_SINK_REDIS_RECORDS_H
#define TKR_SINK_REDIS_RECORDS_H

#include <hiredis/hiredis.h>

#include "sink/sink.h"

/* Visits each source of which Redis has a number. 0, the visitor's number, or -1 with the reason. */
int tkr_redis_sources(redisContext *context, tkr_source_visit *visit, void *arg, tkr_message *ret_message);

/*
 * Visits the accounts and cycles of the records, of whichever source, page by page as SCAN finds them, and of models those that the
 * collector has records of; Redis is left alone nine times as long as a page took. 0, the visitor's number, or -1 with the reason.
 */
int tkr_redis_records(redisContext *context, const char *collector, tkr_usage_visit *visit, void *arg, tkr_message *ret_message);

#endif
