/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/lookup.h"

#include <stdbool.h>
#include <string.h>

#include "sink/redis/connection.h"
#include "sink/redis/keys.h"
#include "sink/redis/wire.h"

#define BATCH 200 /* accounts in a round trip, two commands each */

static int append(redisContext *context, struct tkr_redis_wire *wire, tkr_message *ret_message)
{
    const char *command;
    size_t len;

    if (!tkr_redis_wire_end(wire, &command, &len))
        return tkr_message_set(ret_message, "out of memory");
    return tkr_redis_append(context, command, len, ret_message);
}

static int append_questions(redisContext *context, struct tkr_redis_wire *wire, const struct tkr_usage_row *account,
                            tkr_message *ret_message)
{
    char key[TKR_REDIS_KEY_BYTES];

    tkr_redis_wire_begin(wire);
    tkr_redis_wire_text(wire, "HGETALL");
    tkr_redis_wire_bytes(wire, key, tkr_redis_usage_key(account->kind, account->id, account->id_len, account->cycle, key));
    if (append(context, wire, ret_message) != 0)
        return -1;
    tkr_redis_wire_begin(wire);
    tkr_redis_wire_text(wire, "HGET");
    tkr_redis_wire_bytes(wire, key, tkr_redis_limit_key(account->kind, account->id, account->id_len, key));
    tkr_redis_wire_text(wire, TKR_REDIS_LIMIT_FIELD);
    return append(context, wire, ret_message);
}

static bool is_field(const redisReply *field, const char *name)
{
    return field->type == REDIS_REPLY_STRING && field->len == strlen(name) && memcmp(field->str, name, field->len) == 0;
}

/* A field's integer, or `otherwise` when it is below min. */
static int take_integer(const redisReply *value, const char *field, int64_t min, int64_t otherwise, int64_t *ret_value,
                        tkr_message *ret_message)
{
    int64_t number;

    if (value->type != REDIS_REPLY_STRING || strlen(value->str) != value->len ||
        !tkr_parse_integer(value->str, INT64_MIN, INT64_MAX, &number))
        return tkr_message_set(ret_message, "its %s is not an integer", field);
    *ret_value = number < min ? otherwise : number;
    return 0;
}

static int take_pair(const redisReply *field, const redisReply *value, struct tkr_usage_found *found, tkr_message *ret_message)
{
    if (is_field(field, TKR_REDIS_LIMIT_FIELD))
        return take_integer(value, TKR_REDIS_LIMIT_FIELD, 1, -1, &found->limit, ret_message);
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (is_field(field, tkr_counter_name[i]))
            return take_integer(value, tkr_counter_name[i], 0, 0, &found->counts.value[i], ret_message);
    }
    return 0;
}

static int take_usage(const redisReply *reply, struct tkr_usage_found *found, tkr_message *ret_message)
{
    if (reply->type == REDIS_REPLY_ERROR)
        return tkr_redis_refused(reply, ret_message);
    if (reply->type != REDIS_REPLY_ARRAY)
        return tkr_message_set(ret_message, "Redis answered something else than a hash to HGETALL");
    found->present = reply->elements > 0;
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        if (take_pair(reply->element[i], reply->element[i + 1], found, ret_message) != 0)
            return -1;
    }
    return 0;
}

static int take_standing(const redisReply *reply, struct tkr_usage_found *found, tkr_message *ret_message)
{
    if (reply->type == REDIS_REPLY_ERROR)
        return tkr_redis_refused(reply, ret_message);
    if (reply->type == REDIS_REPLY_NIL)
        return 0;
    return take_integer(reply, TKR_REDIS_LIMIT_FIELD, 1, -1, &found->standing, ret_message);
}

/* An answer about an account: -1 with the reason; found->fault says that it is of this account. */
static int answer(redisContext *context,
                  int (*take)(const redisReply *reply, struct tkr_usage_found *found, tkr_message *ret_message),
                  struct tkr_usage_found *found, tkr_message *ret_message)
{
    redisReply *reply;
    int rc;

    if (tkr_redis_reply(context, &reply, ret_message) != 0)
        return -1;
    rc = take(reply, found, ret_message);
    freeReplyObject(reply);
    found->fault = rc != 0;
    return rc;
}

static int look_up_batch(redisContext *context, struct tkr_redis_wire *wire, const struct tkr_usage_row *accounts, uint32_t count,
                         struct tkr_usage_found *found, tkr_message *ret_message)
{
    for (uint32_t i = 0; i < count; i++) {
        if (append_questions(context, wire, &accounts[i], ret_message) != 0)
            return -1;
    }
    if (tkr_redis_flush(context, ret_message) != 0)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        found[i] = (struct tkr_usage_found){.limit = -1, .standing = -1};
        if (answer(context, take_usage, &found[i], ret_message) != 0 ||
            answer(context, take_standing, &found[i], ret_message) != 0)
            return -1;
    }
    return 0;
}

int tkr_redis_lookup(redisContext *context, const struct tkr_usage_row *accounts, uint32_t count,
                     struct tkr_usage_found *ret_found, tkr_message *ret_message)
{
    struct tkr_redis_wire wire = {0};
    int rc = 0;

    for (uint32_t at = 0; at < count && rc == 0; at += BATCH)
        rc = look_up_batch(context, &wire, accounts + at, count - at < BATCH ? count - at : BATCH, ret_found + at, ret_message);
    tkr_redis_wire_free(&wire);
    return rc;
}
