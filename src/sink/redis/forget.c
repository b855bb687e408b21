/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/forget.h"

#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "sink/redis/connection.h"
#include "sink/redis/keys.h"
#include "sink/redis/scan.h"
#include "sink/redis/wire.h"

#define SHA_BYTES 41

/* KEYS: pairs of totals and their records, and claims. Answer: how many keys there were. */
static const char script[] = "local all=redis.call('DEL',KEYS[#KEYS])\n"
                             "for i=1,#KEYS-1,2 do\n"
                             " local n=redis.call('DEL',KEYS[i],KEYS[i+1])\n"
                             " if n>0 then\n"
                             "  local k='tr1:{0}:forgotten:'..redis.sha1hex(KEYS[i])\n"
                             "  redis.call('HSET',k,'at',ARGV[1])\n"
                             "  redis.call('EXPIRE',k,ARGV[2])\n"
                             " end\n"
                             " all=all+n\n"
                             "end\n"
                             "return all\n";

struct forgetting {
    redisContext *context;
    const struct tkr_usage_row *account;
    char sha[SHA_BYTES]; /* of the script */
    uint32_t cycles;
    struct tkr_redis_wire wire;
    tkr_message *message;
};

static int load(struct forgetting *f)
{
    const char *const args[] = {"SCRIPT", "LOAD", script, NULL};
    redisReply *reply;
    bool loaded;

    if (tkr_redis_command(f->context, args, &reply, f->message) != 0)
        return -1;
    loaded = reply->type == REDIS_REPLY_STRING && reply->len == SHA_BYTES - 1;
    if (loaded)
        memcpy(f->sha, reply->str, SHA_BYTES);
    freeReplyObject(reply);
    return loaded ? 0 : tkr_message_set(f->message, "the answer to SCRIPT LOAD is not that of a Redis");
}

/* Sends the command that is in the wire. The number that it answers with, or -1 with the reason. */
static int send(struct forgetting *f)
{
    const char *command;
    redisReply *reply;
    size_t len;
    int rc;

    if (!tkr_redis_wire_end(&f->wire, &command, &len))
        return tkr_message_set(f->message, "out of memory");
    if (tkr_redis_append(f->context, command, len, f->message) != 0 || tkr_redis_reply(f->context, &reply, f->message) != 0)
        return -1;
    if (reply->type == REDIS_REPLY_INTEGER)
        rc = (int)reply->integer;
    else if (reply->type == REDIS_REPLY_ERROR)
        rc = tkr_redis_refused(reply, f->message);
    else
        rc = tkr_message_set(f->message, "Redis answered something that is no number");
    freeReplyObject(reply);
    return rc;
}

static int erase_cycle(struct forgetting *f, uint32_t cycle)
{
    const struct tkr_usage_row *account = f->account;
    char key[TKR_REDIS_KEY_BYTES];
    int erased;

    tkr_redis_wire_begin(&f->wire);
    tkr_redis_wire_text(&f->wire, "EVALSHA");
    tkr_redis_wire_text(&f->wire, f->sha);
    tkr_redis_wire_number(&f->wire, 5);
    tkr_redis_wire_bytes(&f->wire, key, tkr_redis_usage_key(account->kind, account->id, account->id_len, cycle, key));
    tkr_redis_wire_bytes(&f->wire, key, tkr_redis_record_key(account->kind, account->id, account->id_len, cycle, key));
    tkr_redis_wire_bytes(&f->wire, key, tkr_redis_models_key(account->kind, account->id, account->id_len, cycle, key));
    tkr_redis_wire_bytes(&f->wire, key, tkr_redis_model_records_key(account->kind, account->id, account->id_len, cycle, key));
    tkr_redis_wire_bytes(&f->wire, key, tkr_redis_alerts_key(account->kind, account->id, account->id_len, cycle, key));
    tkr_redis_wire_number(&f->wire, (uint64_t)(tkr_clock_unix_ns() / TKR_NS_PER_S));
    tkr_redis_wire_number(&f->wire, TKR_FORGOTTEN_KEPT_S);
    erased = send(f);
    f->cycles += erased > 0;
    return erased < 0 ? -1 : 0;
}

static bool is_of(const struct forgetting *f, const struct tkr_usage_row *row)
{
    return row->kind == f->account->kind && row->id_len == f->account->id_len &&
           memcmp(row->id, f->account->id, row->id_len) == 0;
}

static int visit_usage(const char *key, size_t len, void *arg)
{
    struct forgetting *f = arg;
    struct tkr_usage_row row;

    return (tkr_redis_usage_key_parse(key, len, &row) || tkr_redis_models_key_parse(key, len, &row)) && is_of(f, &row)
               ? erase_cycle(f, row.cycle)
               : 0;
}

static int visit_record(const char *key, size_t len, void *arg)
{
    struct forgetting *f = arg;
    struct tkr_usage_row row;

    return (tkr_redis_record_key_parse(key, len, &row) || tkr_redis_model_records_key_parse(key, len, &row)) && is_of(f, &row)
               ? erase_cycle(f, row.cycle)
               : 0;
}

/* Returns whether there was a standing limit, or -1 with the reason. */
static int erase_standing(struct forgetting *f)
{
    char key[TKR_REDIS_KEY_BYTES];

    tkr_redis_wire_begin(&f->wire);
    tkr_redis_wire_text(&f->wire, "DEL");
    tkr_redis_wire_bytes(&f->wire, key, tkr_redis_limit_key(f->account->kind, f->account->id, f->account->id_len, key));
    return send(f);
}

/* Of the account itself, or of its models: the cycles of which there are totals, or records of totals that were deleted. */
static int erase_cycles(struct forgetting *f, bool by_model)
{
    const struct tkr_usage_query query = {
        .kind = f->account->kind, .id = f->account->id, .id_len = f->account->id_len, .by_model = by_model};
    char pattern[TKR_REDIS_PATTERN_BYTES];

    tkr_redis_usage_pattern(&query, pattern);
    if (tkr_redis_scan(f->context, pattern, &query.give_up, visit_usage, f, f->message) != 0)
        return -1;
    tkr_redis_account_records_pattern(&query, pattern);
    return tkr_redis_scan(f->context, pattern, &query.give_up, visit_record, f, f->message);
}

static int forget(struct forgetting *f)
{
    int standing;

    if (load(f) != 0 || erase_cycles(f, false) != 0 || erase_cycles(f, true) != 0)
        return -1;
    standing = erase_standing(f);
    if (standing < 0)
        return -1;
    return f->cycles > 0 || standing > 0 ? 0 : 1;
}

int tkr_redis_forget(redisContext *context, const struct tkr_usage_row *account, uint32_t *ret_cycles, tkr_message *ret_message)
{
    struct forgetting f = {.context = context, .account = account, .message = ret_message};
    int rc = forget(&f);

    tkr_redis_wire_free(&f.wire);
    if (rc == 0)
        *ret_cycles = f.cycles;
    return rc;
}
