/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/reset.h"

#include <stdbool.h>
#include <string.h>

#include "sink/redis/connection.h"
#include "sink/redis/keys.h"
#include "sink/redis/wire.h"

static const char script[] = "local out={}\n"
                             "local models=redis.pcall('HGETALL',KEYS[2])\n"
                             "if models.err and string.sub(models.err,1,9)~='WRONGTYPE' then return models end\n"
                             "for i=1,#ARGV do\n"
                             " out[i]=redis.call('HGET',KEYS[1],ARGV[i]) or ''\n"
                             " redis.call('HDEL',KEYS[1],ARGV[i])\n"
                             "end\n"
                             "for i=1,#models,2 do redis.call('HDEL',KEYS[2],models[i]) end\n"
                             "local claims=redis.pcall('HGETALL',KEYS[3])\n"
                             "for i=1,#claims,2 do redis.call('HDEL',KEYS[3],claims[i]) end\n"
                             "return out\n";

static bool put_call(struct tkr_redis_wire *wire, const redisReply *sha, const struct tkr_usage_row *account,
                     const char **ret_command, size_t *ret_len)
{
    char key[TKR_REDIS_KEY_BYTES];

    tkr_redis_wire_begin(wire);
    tkr_redis_wire_text(wire, "EVALSHA");
    tkr_redis_wire_bytes(wire, sha->str, sha->len);
    tkr_redis_wire_number(wire, 3);
    tkr_redis_wire_bytes(wire, key, tkr_redis_usage_key(account->kind, account->id, account->id_len, account->cycle, key));
    tkr_redis_wire_bytes(wire, key, tkr_redis_models_key(account->kind, account->id, account->id_len, account->cycle, key));
    tkr_redis_wire_bytes(wire, key, tkr_redis_alerts_key(account->kind, account->id, account->id_len, account->cycle, key));
    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        tkr_redis_wire_text(wire, tkr_counter_name[i]);
    return tkr_redis_wire_end(wire, ret_command, ret_len);
}

/* What was no integer counts as 0, as for who reads it. */
static int take_before(const redisReply *reply, tkr_counts *ret_before, tkr_message *ret_message)
{
    bool any = false;

    if (reply->type == REDIS_REPLY_ERROR)
        return tkr_redis_refused(reply, ret_message);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != TKR_COUNTER_COUNT)
        return tkr_redis_misunderstood(ret_message);
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        const redisReply *value = reply->element[i];

        ret_before->value[i] = 0;
        if (value->type == REDIS_REPLY_STRING && value->len > 0) {
            any = true;
            (void)tkr_parse_integer(value->str, INT64_MIN, INT64_MAX, &ret_before->value[i]);
        }
    }
    return any ? 0 : 1;
}

int tkr_redis_reset(redisContext *context, const struct tkr_usage_row *account, tkr_counts *ret_before, tkr_message *ret_message)
{
    const char *const args[] = {"SCRIPT", "LOAD", script, NULL};
    struct tkr_redis_wire wire = {0};
    redisReply *reply;
    const char *command;
    size_t len;
    int rc = -1;

    if (tkr_redis_command(context, args, &reply, ret_message) != 0)
        return -1;
    if (reply->type != REDIS_REPLY_STRING)
        (void)tkr_message_set(ret_message, "the answer to SCRIPT LOAD is not that of a Redis");
    else if (!put_call(&wire, reply, account, &command, &len))
        (void)tkr_message_set(ret_message, "out of memory");
    else
        rc = tkr_redis_append(context, command, len, ret_message);
    freeReplyObject(reply);
    if (rc == 0 && (rc = tkr_redis_reply(context, &reply, ret_message)) == 0) {
        rc = take_before(reply, ret_before, ret_message);
        freeReplyObject(reply);
    }
    tkr_redis_wire_free(&wire);
    return rc;
}
