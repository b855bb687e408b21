/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/limit_fields.h"

#include <stdio.h>
#include <string.h>

#include "sink/redis/connection.h"

static bool is_field(const redisReply *field, const char *name)
{
    return field->type == REDIS_REPLY_STRING && field->len == strlen(name) && memcmp(field->str, name, field->len) == 0;
}

/* What both fields say. */
static int64_t join(int64_t known, int64_t read)
{
    if (known == 0 || read == 0)
        return 0;
    if (known == TKR_LIMIT_UNREADABLE || read == TKR_LIMIT_UNREADABLE)
        return TKR_LIMIT_UNREADABLE;
    return read != TKR_LIMIT_NONE ? read : known;
}

bool tkr_redis_limit_field(const redisReply *field, const redisReply *value, int64_t *limit, char text[TKR_LIMIT_TEXT_BYTES])
{
    bool blocks = is_field(field, TKR_REDIS_BLOCKED_FIELD);
    int64_t read;

    if (value->type != REDIS_REPLY_STRING || (!blocks && !is_field(field, TKR_REDIS_LIMIT_FIELD)))
        return false;
    read = blocks ? tkr_limit_read_blocked(value->str, value->len) : tkr_limit_read(value->str, value->len);
    if (read == TKR_LIMIT_UNREADABLE && text[0] == '\0')
        tkr_limit_show(value->str, value->len, text);
    *limit = join(*limit, read);
    return true;
}

int tkr_redis_limit_take(const redisReply *reply, int64_t *limit, char text[TKR_LIMIT_TEXT_BYTES], tkr_message *ret_message)
{
    if (reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "WRONGTYPE", 9) == 0) {
        *limit = TKR_LIMIT_UNREADABLE;
        if (text[0] == '\0')
            (void)snprintf(text, TKR_LIMIT_TEXT_BYTES, "WRONGTYPE, a value of another type");
        return 0;
    }
    if (reply->type == REDIS_REPLY_ERROR)
        return tkr_redis_refused(reply, ret_message);
    if (reply->type != REDIS_REPLY_ARRAY)
        return tkr_message_set(ret_message, "Redis answered something else than a hash to HGETALL");
    for (size_t i = 0; i + 1 < reply->elements; i += 2)
        (void)tkr_redis_limit_field(reply->element[i], reply->element[i + 1], limit, text);
    return 0;
}
