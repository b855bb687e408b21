/* SPDX-License-Identifier: Apache-2.0 */
/* Walks over keys with SCAN. */
#ifndef TKR_SINK_REDIS_SCAN_H
#define TKR_SINK_REDIS_SCAN_H

#include <hiredis/hiredis.h>
#include <stddef.h>

#include "sink/sink.h"

#define TKR_REDIS_CURSOR_BYTES 24

/* One page of keys that match the glob, which may be empty or hold keys again, as an array; the caller frees it. cursor begins as
 * "0", and is "0" again after the last page. 0, or -1 with the reason. */
int tkr_redis_scan_page(redisContext *context, const char *pattern, char cursor[TKR_REDIS_CURSOR_BYTES], redisReply **ret_page,
                        tkr_message *ret_message);

/* Takes a key, which may come more than once; may use the connection. Anything but 0 stops the walk. */
typedef int tkr_redis_key_visit(const char *key, size_t len, void *arg);

/* Visits the keys that match the glob and are there from beginning to end. 0, the visitor's number, or -1 with the reason. */
int tkr_redis_scan(redisContext *context, const char *pattern, const struct tkr_give_up *give_up, tkr_redis_key_visit *visit,
                   void *arg, tkr_message *ret_message);

#endif
