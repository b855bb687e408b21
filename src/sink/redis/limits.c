/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/limits.h"

#include <stdbool.h>
#include <string.h>

#include "sink/redis/connection.h"
#include "sink/redis/keys.h"
#include "sink/redis/read.h"
#include "sink/redis/scan.h"
#include "sink/redis/wire.h"

static size_t key_of(const struct tkr_usage_row *account, char ret_key[TKR_REDIS_KEY_BYTES])
{
    if (account->cycle == 0)
        return tkr_redis_limit_key(account->kind, account->id, account->id_len, ret_key);
    return tkr_redis_usage_key(account->kind, account->id, account->id_len, account->cycle, ret_key);
}

/* Runs VERB KEY usage_limit [tokens]; an error reply is -1 with its text. */
static int run(redisContext *context, const char *verb, const char *key, size_t key_len, int64_t tokens, redisReply **ret_reply,
               tkr_message *ret_message)
{
    struct tkr_redis_wire wire = {0};
    const char *command;
    size_t len;
    int rc = -1;

    tkr_redis_wire_begin(&wire);
    tkr_redis_wire_text(&wire, verb);
    tkr_redis_wire_bytes(&wire, key, key_len);
    tkr_redis_wire_text(&wire, TKR_REDIS_LIMIT_FIELD);
    if (tokens > 0)
        tkr_redis_wire_number(&wire, (uint64_t)tokens);
    if (!tkr_redis_wire_end(&wire, &command, &len))
        (void)tkr_message_set(ret_message, "out of memory");
    else if (tkr_redis_append(context, command, len, ret_message) == 0)
        rc = tkr_redis_reply(context, ret_reply, ret_message);
    tkr_redis_wire_free(&wire);
    if (rc == 0 && (*ret_reply)->type == REDIS_REPLY_ERROR) {
        rc = tkr_redis_refused(*ret_reply, ret_message);
        freeReplyObject(*ret_reply);
    }
    return rc;
}

int tkr_redis_limit_set(redisContext *context, const struct tkr_usage_row *account, int64_t tokens, tkr_message *ret_message)
{
    char key[TKR_REDIS_KEY_BYTES];
    size_t len = key_of(account, key);
    redisReply *reply;
    int rc;

    if (run(context, tokens > 0 ? "HSET" : "HDEL", key, len, tokens, &reply, ret_message) != 0)
        return -1;
    rc = tokens == 0 && reply->type == REDIS_REPLY_INTEGER && reply->integer == 0;
    freeReplyObject(reply);
    return rc;
}

struct visitor {
    redisContext *context;
    tkr_usage_visit *visit;
    void *arg;
    tkr_message *message;
};

/* Of a cycle, with its totals. */
static int visit_row(const struct tkr_usage_row *row, void *arg)
{
    const struct visitor *visitor = arg;

    return row->limit > 0 ? visitor->visit(row, visitor->arg) : 0;
}

/* Of a key that holds a standing limit; one of another type holds none. */
static int visit_key(const char *key, size_t len, void *arg)
{
    const struct visitor *visitor = arg;
    struct tkr_usage_row row = {.limit = -1};
    tkr_message why;
    redisReply *reply;
    bool is_limit;

    if (!tkr_redis_limit_key_parse(key, len, &row))
        return 0;
    if (run(visitor->context, "HGET", key, len, 0, &reply, &why) != 0) {
        *visitor->message = why;
        return visitor->context->err != 0 || strstr(why.text, "WRONGTYPE") == NULL ? -1 : 0;
    }
    is_limit = reply->type == REDIS_REPLY_STRING && strlen(reply->str) == reply->len &&
               tkr_parse_integer(reply->str, 1, INT64_MAX, &row.limit);
    freeReplyObject(reply);
    return is_limit ? visitor->visit(&row, visitor->arg) : 0;
}

int tkr_redis_limits(redisContext *context, const struct tkr_give_up *give_up, tkr_usage_visit *visit, void *arg,
                     tkr_message *ret_message)
{
    struct visitor visitor = {.context = context, .visit = visit, .arg = arg, .message = ret_message};
    struct tkr_usage_query all = {.any_kind = 1, .give_up = *give_up};
    int rc = tkr_redis_read(context, &all, visit_row, &visitor, ret_message);

    return rc != 0 ? rc : tkr_redis_scan(context, TKR_REDIS_LIMIT_PATTERN, give_up, visit_key, &visitor, ret_message);
}
