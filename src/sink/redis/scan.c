/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/scan.h"

#include <stdbool.h>
#include <string.h>

#include "sink/redis/connection.h"

#define SCAN_COUNT "1000"
#define CURSOR_BYTES 24

static bool is_page(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 && reply->element[0]->type == REDIS_REPLY_STRING &&
           reply->element[0]->len < CURSOR_BYTES && reply->element[1]->type == REDIS_REPLY_ARRAY;
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

int tkr_redis_scan(redisContext *context, const char *pattern, tkr_redis_key_visit *visit, void *arg, tkr_message *ret_message)
{
    char cursor[CURSOR_BYTES] = "0";
    const char *const args[] = {"SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT, NULL};
    int rc;

    do {
        redisReply *reply;

        if (tkr_redis_command(context, args, &reply, ret_message) != 0)
            return -1;
        if (is_page(reply)) {
            memcpy(cursor, reply->element[0]->str, reply->element[0]->len + 1);
            rc = visit_page(reply->element[1], visit, arg);
        } else {
            rc = tkr_message_set(ret_message, "Redis answered something else than a cursor and keys to SCAN");
        }
        freeReplyObject(reply);
    } while (rc == 0 && strcmp(cursor, "0") != 0);
    return rc;
}
