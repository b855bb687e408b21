/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/eviction.h"

#include <string.h>

#include "sink/redis/connection.h"

static const char question[] = "*2\r\n$4\r\nINFO\r\n$6\r\nmemory\r\n";

const char *const tkr_redis_evicts_means[] = {
    [TKR_REDIS_EVICTS_NOTHING] = "",
    [TKR_REDIS_EVICTS_EXPIRING] = "an alert could be said twice, and an account that was forgotten be parked",
    [TKR_REDIS_EVICTS_ANY] = "what is evicted would be lost, or counted twice",
};

bool tkr_redis_eviction_read(const char *info, struct tkr_redis_eviction *ret_eviction)
{
    struct tkr_redis_eviction eviction = {.evicts = TKR_REDIS_EVICTS_ANY, .max = "0"};

    if (!tkr_redis_info_find(info, "maxmemory_policy", eviction.policy))
        return false;
    (void)tkr_redis_info_find(info, "maxmemory", eviction.max); /* else none is set */
    if (strcmp(eviction.policy, "noeviction") == 0 || strcmp(eviction.max, "0") == 0)
        eviction.evicts = TKR_REDIS_EVICTS_NOTHING;
    else if (strncmp(eviction.policy, "volatile-", strlen("volatile-")) == 0)
        eviction.evicts = TKR_REDIS_EVICTS_EXPIRING;
    *ret_eviction = eviction;
    return true;
}

/* Given to all, chunks too, until it is over; any other is this connection's for good. */
static bool passes(const char *error)
{
    return strncmp(error, "BUSY ", strlen("BUSY ")) == 0;
}

static int take_answer(const redisReply *reply, tkr_message *ret_advice, tkr_message *ret_message)
{
    struct tkr_redis_eviction eviction;

    if (reply->type == REDIS_REPLY_ERROR && passes(reply->str))
        return tkr_redis_refused(reply, ret_message);
    ret_advice->text[0] = '\0';
    if (reply->type != REDIS_REPLY_STRING || !tkr_redis_eviction_read(reply->str, &eviction))
        return 1;
    if (eviction.evicts != TKR_REDIS_EVICTS_NOTHING)
        (void)tkr_message_set(ret_advice, "Redis may evict %s (maxmemory-policy %.40s, maxmemory %.40s): %s; %s",
                              eviction.evicts == TKR_REDIS_EVICTS_ANY ? "any key" : "keys that expire", eviction.policy,
                              eviction.max, tkr_redis_evicts_means[eviction.evicts], TKR_REDIS_EVICTION_REMEDY);
    return 0;
}

int tkr_redis_eviction_advise(redisContext *context, tkr_message *ret_advice, tkr_message *ret_message)
{
    redisReply *reply;
    int rc;

    if (tkr_redis_append(context, question, strlen(question), ret_message) != 0 ||
        tkr_redis_reply(context, &reply, ret_message) != 0)
        return -1;
    rc = take_answer(reply, ret_advice, ret_message);
    freeReplyObject(reply);
    return rc;
}
