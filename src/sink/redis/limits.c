/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/limits.h"

#include "sink/redis/connection.h"
#include "sink/redis/keys.h"
#include "sink/redis/limit_fields.h"
#include "sink/redis/read.h"
#include "sink/redis/scan.h"
#include "sink/redis/wire.h"

static size_t key_of(const struct tkr_usage_row *account, char ret_key[TKR_REDIS_KEY_BYTES])
{
    if (account->cycle == 0)
        return tkr_redis_limit_key(account->kind, account->id, account->id_len, ret_key);
    return tkr_redis_usage_key(account->kind, account->id, account->id_len, account->cycle, ret_key);
}

static int append(redisContext *context, struct tkr_redis_wire *wire, tkr_message *ret_message)
{
    const char *command;
    size_t len;

    if (!tkr_redis_wire_end(wire, &command, &len))
        return tkr_message_set(ret_message, "out of memory");
    return tkr_redis_append(context, command, len, ret_message);
}

/* VERB KEY FIELD VALUE, and, of HDEL, another field in place of the value. */
static int append_change(redisContext *context, struct tkr_redis_wire *wire, const char *verb,
                         const struct tkr_usage_row *account, const char *field, const char *other, int64_t value,
                         tkr_message *ret_message)
{
    char key[TKR_REDIS_KEY_BYTES];

    tkr_redis_wire_begin(wire);
    tkr_redis_wire_text(wire, verb);
    tkr_redis_wire_bytes(wire, key, key_of(account, key));
    tkr_redis_wire_text(wire, field);
    if (other != NULL)
        tkr_redis_wire_text(wire, other);
    if (value > 0)
        tkr_redis_wire_number(wire, (uint64_t)value);
    return append(context, wire, ret_message);
}

/* The reply to a change: the number of fields. */
static int take_change(redisContext *context, int64_t *ret_fields, tkr_message *ret_message)
{
    redisReply *reply;
    int rc = 0;

    if (tkr_redis_reply(context, &reply, ret_message) != 0)
        return -1;
    *ret_fields = reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
    if (reply->type == REDIS_REPLY_ERROR)
        rc = tkr_redis_refused(reply, ret_message);
    freeReplyObject(reply);
    return rc;
}

static int append_changes(redisContext *context, struct tkr_redis_wire *wire, const struct tkr_usage_row *account, int64_t tokens,
                          tkr_message *ret_message)
{
    if (tokens == TKR_LIMIT_NONE)
        return append_change(context, wire, "HDEL", account, TKR_REDIS_LIMIT_FIELD, TKR_REDIS_BLOCKED_FIELD, 0, ret_message);
    if (tokens == 0)
        return append_change(context, wire, "HSET", account, TKR_REDIS_BLOCKED_FIELD, NULL, 1, ret_message);
    if (append_change(context, wire, "HSET", account, TKR_REDIS_LIMIT_FIELD, NULL, tokens, ret_message) != 0)
        return -1;
    return append_change(context, wire, "HDEL", account, TKR_REDIS_BLOCKED_FIELD, NULL, 0, ret_message);
}

int tkr_redis_limit_set(redisContext *context, const struct tkr_usage_row *account, int64_t tokens, tkr_message *ret_message)
{
    struct tkr_redis_wire wire = {0};
    int64_t fields = 0;
    int64_t ended;
    int rc = append_changes(context, &wire, account, tokens, ret_message);

    tkr_redis_wire_free(&wire);
    if (rc == 0)
        rc = take_change(context, &fields, ret_message);
    if (rc == 0 && tokens > 0)
        rc = take_change(context, &ended, ret_message);
    return rc == 0 && tokens == TKR_LIMIT_NONE && fields == 0 ? 1 : rc;
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

    return row->limit != TKR_LIMIT_NONE ? visitor->visit(row, visitor->arg) : 0;
}

static int ask_standing(redisContext *context, const char *key, size_t len, redisReply **ret_reply, tkr_message *ret_message)
{
    struct tkr_redis_wire wire = {0};
    int rc;

    tkr_redis_wire_begin(&wire);
    tkr_redis_wire_text(&wire, "HGETALL");
    tkr_redis_wire_bytes(&wire, key, len);
    rc = append(context, &wire, ret_message);
    tkr_redis_wire_free(&wire);
    return rc == 0 ? tkr_redis_reply(context, ret_reply, ret_message) : -1;
}

/* Of a key that holds a standing limit, or should. */
static int visit_key(const char *key, size_t len, void *arg)
{
    const struct visitor *visitor = arg;
    char text[TKR_LIMIT_TEXT_BYTES] = "";
    struct tkr_usage_row row = {.limit = TKR_LIMIT_NONE};
    redisReply *reply;
    int rc;

    if (!tkr_redis_limit_key_parse(key, len, &row))
        return 0;
    if (ask_standing(visitor->context, key, len, &reply, visitor->message) != 0)
        return -1;
    rc = tkr_redis_limit_take(reply, &row.limit, text, visitor->message);
    freeReplyObject(reply);
    row.limit_text = row.limit == TKR_LIMIT_UNREADABLE ? text : NULL;
    return rc == 0 && row.limit != TKR_LIMIT_NONE ? visitor->visit(&row, visitor->arg) : rc;
}

int tkr_redis_limits(redisContext *context, const struct tkr_give_up *give_up, tkr_usage_visit *visit, void *arg,
                     tkr_message *ret_message)
{
    struct visitor visitor = {.context = context, .visit = visit, .arg = arg, .message = ret_message};
    struct tkr_usage_query all = {.any_kind = 1, .give_up = *give_up};
    int rc = tkr_redis_read(context, &all, visit_row, &visitor, ret_message);

    return rc != 0 ? rc : tkr_redis_scan(context, TKR_REDIS_LIMIT_PATTERN, give_up, visit_key, &visitor, ret_message);
}
