/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of the keys in Redis, shared with the readers and writers that were there before:
 *
 *     token_usage:ID:YYYY-MM-DD               totals of a user, a hash
 *     token_usage_KIND:ID:YYYY-MM-DD          totals of another kind of account
 *     tr1:{0}:ID:YYYY-MM-DD                   records of a user: field = source, value = sink/record.h
 *     tr1:{0}_KIND:ID:YYYY-MM-DD              records of another kind of account
 *     token_usage.models:ID:YYYY-MM-DD        totals of a user's models: field = MODEL ":" counter
 *     token_usage_KIND.models:ID:YYYY-MM-DD   of another kind of account
 *     tr1:{0}.models:ID:YYYY-MM-DD            records of a user's models: field = source ":" MODEL, value as above
 *     tr1:{0}_KIND.models:ID:YYYY-MM-DD       of another kind of account
 *     token_limit:ID                          standing limit of a user, a hash with usage_limit or usage_blocked
 *     token_limit_KIND:ID                     of another kind of account
 *     tr1:{0}.alerts:ID:YYYY-MM-DD            claims of a user's cycle: field = percent of the limit that was used; expires
 *     tr1:{0}_KIND.alerts:ID:YYYY-MM-DD       of another kind of account
 *     tr1:{0}:forgotten:SHA1                  the key of totals with this digest was forgotten; expires
 *     tr1:{0}:seen                            field = source, value = number of its last chunk, decimal
 *     tr1:{0}:dataset                         field `identity`: which data set this is (sink/dataset.h)
 *
 * Among the records of an account's cycle a field "backup.ID" is no source: that backup was restored into it (sink/restore.h);
 * its value is the time of that and the highest chunk number that the backup knew.
 *
 * Ids and models are any bytes, ':' and braces included: a cycle is the last ten bytes of a key, a kind, in which there is no '.',
 * ends at the first ':' or '.'; a counter's name follows the last ':' of a field, a source ends at the first.
 * "{0}" is the hash tag of a Redis that is not a cluster.
 */
#ifndef TKR_SINK_REDIS_KEYS_H
#define TKR_SINK_REDIS_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "sink/sink.h"

#define TKR_REDIS_KEY_BYTES 320     /* the longest key: 11 + 13 + 7 + 1 + 255 + 1 + 10 */
#define TKR_REDIS_PATTERN_BYTES 576 /* with every byte of the id escaped */
#define TKR_REDIS_SEEN_KEY "tr1:{0}:seen"
#define TKR_REDIS_DATASET_KEY "tr1:{0}:dataset"

/* Write the key, without a NUL, and return its length. kind is valid, id_len is 1..255, cycle is valid. */
size_t tkr_redis_usage_key(uint64_t kind, const char *id, size_t id_len, uint32_t cycle, char ret_key[TKR_REDIS_KEY_BYTES]);
size_t tkr_redis_record_key(uint64_t kind, const char *id, size_t id_len, uint32_t cycle, char ret_key[TKR_REDIS_KEY_BYTES]);

/* As above, of claims. */
size_t tkr_redis_alerts_key(uint64_t kind, const char *id, size_t id_len, uint32_t cycle, char ret_key[TKR_REDIS_KEY_BYTES]);

/* As above, of a standing limit. */
size_t tkr_redis_limit_key(uint64_t kind, const char *id, size_t id_len, char ret_key[TKR_REDIS_KEY_BYTES]);

/* Takes a key of a standing limit apart, its cycle 0. False when it is none of ours. */
bool tkr_redis_limit_key_parse(const char *key, size_t len, struct tkr_usage_row *ret_row);

#define TKR_REDIS_LIMIT_PATTERN "token_limit*"

/* The same for the models of the account: one hash of totals and one of records for all of them. */
size_t tkr_redis_models_key(uint64_t kind, const char *id, size_t id_len, uint32_t cycle, char ret_key[TKR_REDIS_KEY_BYTES]);
size_t tkr_redis_model_records_key(uint64_t kind, const char *id, size_t id_len, uint32_t cycle,
                                   char ret_key[TKR_REDIS_KEY_BYTES]);

/* Take a key of totals, or of records, apart: kind, id (inside key) and cycle of *ret_row. False when it is none of ours. */
bool tkr_redis_usage_key_parse(const char *key, size_t len, struct tkr_usage_row *ret_row);
bool tkr_redis_record_key_parse(const char *key, size_t len, struct tkr_usage_row *ret_row);
bool tkr_redis_models_key_parse(const char *key, size_t len, struct tkr_usage_row *ret_row);
bool tkr_redis_model_records_key_parse(const char *key, size_t len, struct tkr_usage_row *ret_row);

/* The glob for SCAN that matches at least the keys of records, those of models too. */
#define TKR_REDIS_RECORD_PATTERN "tr1:{0}*:*-*-*"

/* The glob for SCAN that matches at least the keys of records of the query's account, or of its models, all cycles; with its NUL. */
void tkr_redis_account_records_pattern(const struct tkr_usage_query *query, char ret_pattern[TKR_REDIS_PATTERN_BYTES]);

/* The glob for SCAN that matches at least the keys that the query asks for; with its NUL. */
void tkr_redis_usage_pattern(const struct tkr_usage_query *query, char ret_pattern[TKR_REDIS_PATTERN_BYTES]);

#endif
