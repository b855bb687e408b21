/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/dataset.h"

#include "sink/redis/connection.h"
#include "sink/redis/keys.h"

#define FIELD "identity"

/* ARGV: as it was read, "" for none; as it is to be. */
static const char script[] = "local f='" FIELD "'\n"
                             "if (redis.call('HGET',KEYS[1],f) or '')~=ARGV[1] then return 0 end\n"
                             "redis.call('HSET',KEYS[1],f,ARGV[2])\n"
                             "return 1\n";

int tkr_redis_dataset(redisContext *context, struct tkr_dataset *ret_dataset, tkr_message *ret_message)
{
    const char *const args[] = {"HGET", TKR_REDIS_DATASET_KEY, FIELD, NULL};
    redisReply *reply;
    int rc = 0;

    if (tkr_redis_command(context, args, &reply, ret_message) != 0)
        return -1;
    if (reply->type == REDIS_REPLY_NIL)
        *ret_dataset = (struct tkr_dataset){.id = ""};
    else if (reply->type != REDIS_REPLY_STRING || !tkr_dataset_parse(reply->str, reply->len, ret_dataset))
        rc = tkr_message_set(ret_message, "Redis: %s holds something that is not understood", TKR_REDIS_DATASET_KEY);
    freeReplyObject(reply);
    return rc;
}

int tkr_redis_dataset_set(redisContext *context, const struct tkr_dataset *read, const struct tkr_dataset *next,
                          tkr_message *ret_message)
{
    char was[TKR_DATASET_TEXT_BYTES];
    char will[TKR_DATASET_TEXT_BYTES];
    char sha[TKR_REDIS_SHA_BYTES];
    const char *const args[] = {"EVALSHA", sha, "1", TKR_REDIS_DATASET_KEY, was, will, NULL};
    redisReply *reply;
    int rc;

    tkr_dataset_format(read, was);
    tkr_dataset_format(next, will);
    if (tkr_redis_script_load(context, script, sha, ret_message) != 0 ||
        tkr_redis_command(context, args, &reply, ret_message) != 0)
        return -1;
    rc = reply->type == REDIS_REPLY_INTEGER && reply->integer == 1 ? 0 : 1;
    freeReplyObject(reply);
    return rc;
}
