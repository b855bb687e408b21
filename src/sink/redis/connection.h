/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blocking connection to Redis with the configured timeouts, for one thread.
 *
 * Functions give 0, or -1 with the reason; after -1 the connection is to be freed with redisFree. A peer that is gone
 * never raises SIGPIPE, whatever the process does with that signal.
 */
#ifndef TKR_SINK_REDIS_CONNECTION_H
#define TKR_SINK_REDIS_CONNECTION_H

#include <hiredis/hiredis.h>

#include "sink/sink.h"

/* Connects (sink/redis/dial.h), unless it is given up meanwhile; authenticates when there is a password, selects the db when
 * it is not 0. */
int tkr_redis_open(const struct tkr_sink_config *config, const struct tkr_give_up *give_up, redisContext **ret_context,
                   tkr_message *ret_message);

/* Adds a formatted command to what is to be sent. */
int tkr_redis_append(redisContext *context, const char *command, size_t len, tkr_message *ret_message);

/* Sends all that was added. */
int tkr_redis_flush(redisContext *context, tkr_message *ret_message);

/* Sends what is left and waits for the next reply, which may be an error reply; the caller frees it. */
int tkr_redis_reply(redisContext *context, redisReply **ret_reply, tkr_message *ret_message);

/* One command of texts, up to 8, ended by NULL, and its reply. An error reply is -1 with its text. */
int tkr_redis_command(redisContext *context, const char *const args[], redisReply **ret_reply, tkr_message *ret_message);

#define TKR_REDIS_SHA_BYTES 41

/* Loads a script. ret_sha: what it is called by. */
int tkr_redis_script_load(redisContext *context, const char *script, char ret_sha[TKR_REDIS_SHA_BYTES], tkr_message *ret_message);

/* The next reply, of a script that answers 1 or, where it did nothing, 0. */
int tkr_redis_flag(redisContext *context, bool *ret_done, tkr_message *ret_message);

/* A script answered what it never returns. Always -1. */
int tkr_redis_misunderstood(tkr_message *ret_message);

/* What an error reply means, and what it says, up to where it repeats a key of ours. Always -1. */
int tkr_redis_refused_text(const char *error, tkr_message *ret_message);
int tkr_redis_refused(const redisReply *reply, tkr_message *ret_message);

#endif
