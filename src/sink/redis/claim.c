/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/claim.h"

#include "sink/redis/connection.h"
#include "sink/redis/keys.h"
#include "sink/redis/wire.h"

/* Sends VERB KEY and numbers; of 0 none. */
static int send(redisContext *context, const char *verb, const struct tkr_usage_row *account, uint64_t first, uint64_t second,
                tkr_message *ret_message)
{
    struct tkr_redis_wire wire = {0};
    char key[TKR_REDIS_KEY_BYTES];
    const char *command;
    size_t len;
    int rc;

    tkr_redis_wire_begin(&wire);
    tkr_redis_wire_text(&wire, verb);
    tkr_redis_wire_bytes(&wire, key, tkr_redis_alerts_key(account->kind, account->id, account->id_len, account->cycle, key));
    tkr_redis_wire_number(&wire, first);
    if (second > 0)
        tkr_redis_wire_number(&wire, second);
    if (!tkr_redis_wire_end(&wire, &command, &len))
        rc = tkr_message_set(ret_message, "out of memory");
    else
        rc = tkr_redis_append(context, command, len, ret_message);
    tkr_redis_wire_free(&wire);
    return rc;
}

/* The integer that is answered, or -1 with the reason. */
static long long take(redisContext *context, tkr_message *ret_message)
{
    redisReply *reply;
    long long integer = -1;

    if (tkr_redis_reply(context, &reply, ret_message) != 0)
        return -1;
    if (reply->type == REDIS_REPLY_INTEGER)
        integer = reply->integer;
    else if (reply->type == REDIS_REPLY_ERROR)
        (void)tkr_redis_refused(reply, ret_message);
    else
        (void)tkr_message_set(ret_message, "Redis answered something that is no number");
    freeReplyObject(reply);
    return integer;
}

/* The expiry is given anew by whoever asks: a claim lasts as long as somebody has it in mind, and a year. */
int tkr_redis_claim(redisContext *context, const struct tkr_usage_row *account, uint32_t percent, tkr_message *ret_message)
{
    long long times;
    long long expires;

    if (send(context, "HINCRBY", account, percent, 1, ret_message) != 0 ||
        send(context, "EXPIRE", account, TKR_FORGOTTEN_KEPT_S, 0, ret_message) != 0)
        return -1;
    times = take(context, ret_message);
    expires = take(context, ret_message);
    return times < 0 || expires < 0 ? -1 : times == 1;
}
