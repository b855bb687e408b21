/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The script that applies a chunk in Redis, and what its answers mean.
 *
 * KEYS: the hash of `seen`, then per contribution the account's totals and its records.
 * ARGV: source, seen expected ("" for none), seen next; then per contribution: record expected ("" for none; "\0" for none, and
 *       none of the counters that change in the totals either, sink/sink.h, bare), record next, letters of the counters that
 *       change (base/counters.def; total_tokens last), and a delta for each letter. Where it is of a model, its hashes are those of models (sink/redis/keys.h), and '/' and the model follow the letters: fields are
 *       then "MODEL:counter" in the totals, "SOURCE:MODEL" in the records.
 * Answer: an array: seen as it was found ("" for none), then per contribution
 *       1            applied
 *       "=" record   the record is another one, or the chunk is late; nothing changed
 *       "~"          there is no record, one was expected, and the account's cycle is among those that are remembered as forgotten
 *                    (sink/redis/forget.h); nothing changed
 *       "!" error    Redis refused the totals; what had been added was taken back, the account is as it was. Where the
 *                    error is about one field, " in " and its name follow
 *       "?" error    Redis refused the record; nothing changed
 *
 * A chunk that has a number of its own (next is not expected) and finds one that is as high is late: a later chunk was answered
 * meanwhile. It changes nothing. Its records would tell that by themselves, but for those that were removed since: an entry's first
 * contribution, held up for long on a connection that was given up, expects no record, and would be added once more.
 *
 * Deltas stay decimal strings all the way: exact to 2^63 - 1, where Lua's numbers end at 2^53. Every write that is not
 * allowed at all (out of memory, read-only, not permitted) is refused at the first write, before anything changed, and
 * fails the whole script. The record is written before the totals: a refusal of either leaves both as they were.
 *
 * Taking back deletes a field that it leaves at 0. On first contact, which is where a bad account shows, fields that
 * held a 0 before are known and stay; later a 0 of somebody else's may become an absent field, which reads the same.
 *
 * Needs HGET, HSET, HDEL and HINCRBY, and EVALSHA and SCRIPT LOAD to be run.
 */
#ifndef TKR_SINK_REDIS_SCRIPT_H
#define TKR_SINK_REDIS_SCRIPT_H

#include <stdbool.h>

extern const char tkr_redis_script[];

/*
 * Does this error, which Redis gave for one contribution, lie in that account's own keys? Only errors that are known to
 * do so do: a wrong type, a value that is not an integer, an overflow. Any other one is the sink's.
 */
bool tkr_redis_error_is_poison(const char *error);

#endif
