/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that Redis has of an account's cycle, in one step: a script that reads its four hashes.
 *
 * KEYS: totals, records, totals of models, records of models. ARGV: "whole"; "digest" where a digest is wanted, too; "brief"
 * where the others are wanted only if there are no totals. Answer: an array: per key its fields and values, or "!" and the
 * error; whether the cycle is remembered as forgotten, 1 or 0; and the
 *         digest, SHA1 over all of it, "" where none is wanted. What has the same digest was not changed in between. (The other way
 *         round need not hold: a large hash may change its order by itself. Then it is read once more.)
 *
 * Needs HGETALL and HGET, and EVALSHA and SCRIPT LOAD to be run.
 */
#ifndef TKR_SINK_REDIS_SNAPSHOT_H
#define TKR_SINK_REDIS_SNAPSHOT_H

#include <hiredis/hiredis.h>

#include "sink/holdings.h"
#include "sink/redis/wire.h"

enum { TKR_REDIS_TOTALS, TKR_REDIS_RECORDS, TKR_REDIS_MODELS, TKR_REDIS_MODEL_RECORDS, TKR_REDIS_HASHES };

/* Lua: `hashes(KEYS, digest wanted, brief)` gives the answer's first four, and the digest. Scripts that must see the same begin
 * with it. */
extern const char tkr_redis_snapshot_read[];

/* The script. */
extern const char tkr_redis_snapshot_script[];

/* Zeroed: empty and valid. */
struct tkr_redis_snapshot {
    struct tkr_holdings holdings;
    bool there[TKR_REDIS_HASHES];
    char digest[41];
    char why[TKR_REASON_BYTES]; /* it cannot be read for */
};

/* Adds the four keys to a command. */
void tkr_redis_snapshot_keys(struct tkr_redis_wire *wire, const struct tkr_usage_row *account);

enum tkr_redis_snapshot_depth { TKR_REDIS_SNAPSHOT_BRIEF, TKR_REDIS_SNAPSHOT_WHOLE, TKR_REDIS_SNAPSHOT_DIGEST };

/* Writes the whole call. false: no memory. */
bool tkr_redis_snapshot_call(struct tkr_redis_wire *wire, const char *sha, const struct tkr_usage_row *account,
                             enum tkr_redis_snapshot_depth depth, const char **ret_command, size_t *ret_len);

/*
 * Takes an answer. mark: of the backup that is asked for; NULL: none. 0 with the holdings, finished; 1: it cannot be read as it
 * is, and why; -1 with the reason, which is Redis's.
 */
int tkr_redis_snapshot_take(const redisReply *reply, const struct tkr_usage_row *account, const char *mark,
                            struct tkr_redis_snapshot *snapshot, tkr_message *ret_message);

void tkr_redis_snapshot_free(struct tkr_redis_snapshot *snapshot);

#endif
