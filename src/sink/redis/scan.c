/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/scan.h"

#include <stdbool.h>
#include <string.h>

#include "sink/redis/connection.h"

#define SCAN_COUNT "1000"

static bool is_page(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 && reply->element[0]->type == REDIS_REPLY_STRING &&
           reply->element[0]->len < TKR_REDIS_CURSOR_BYTES && reply->element[1]->type == REDIS_REPLY_ARRAY;
}

int tkr_redis_scan_page(redisContext *context, const char *pattern, char cursor[TKR_REDIS_CURSOR_BYTES], redisReply **ret_page,
                        tkr_message *ret_message)
{
    const char *const args[] = {"SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT, NULL};
    redisReply *reply;
    int rc = 0;

    if (tkr_redis_command(context, args, &reply, ret_message) != 0)
        return -1;
    if (is_page(reply)) {
        memcpy(cursor, reply->element[0]->str, reply->element[0]->len + 1);
        *ret_page = reply->element[1];
        reply->element[1] = NULL; /* freed by the caller; a NULL is passed over */
    } else {
        rc = tkr_message_set(ret_message, "Redis answered something else than a cursor and keys to SCAN");
    }
    freeReplyObject(reply);
    return rc;
}

static int visit_page(const redisReply *page, tkr_redis_key_visit *visit, void *arg)
{
    int rc = 0;

    for (size_t i = 0; i < page->elements && rc == 0; i++) {
        if (page->element[i]->type == REDIS_REPLY_STRING)
            rc = visit(page->element[i]->str, page->element[i]->len, arg);
    }
    return rc;
}

int tkr_redis_scan(redisContext *context, const char *pattern, const struct tkr_give_up *give_up, tkr_redis_key_visit *visit,
                   void *arg, tkr_message *ret_message)
{
    char cursor[TKR_REDIS_CURSOR_BYTES] = "0";
    int rc;

    do {
        redisReply *page;

        if (tkr_given_up(give_up))
            return tkr_message_set(ret_message, "reading was given up");
        if (tkr_redis_scan_page(context, pattern, cursor, &page, ret_message) != 0)
            return -1;
        rc = visit_page(page, visit, arg);
        freeReplyObject(page);
    } while (rc == 0 && strcmp(cursor, "0") != 0);
    return rc;
}
