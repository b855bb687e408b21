/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/lookup.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "sink/redis/connection.h"
#include "sink/redis/keys.h"
#include "sink/redis/limit_fields.h"
#include "sink/redis/wire.h"

#define BATCH 128    /* accounts whose questions are sent at once, two commands each */
#define IN_FLIGHT 3u /* batches that Redis has to answer, so that it need not wait for us */

static int append(redisContext *context, struct tkr_redis_wire *wire, tkr_message *ret_message)
{
    const char *command;
    size_t len;

    if (!tkr_redis_wire_end(wire, &command, &len))
        return tkr_message_set(ret_message, "out of memory");
    return tkr_redis_append(context, command, len, ret_message);
}

static int append_question(redisContext *context, struct tkr_redis_wire *wire, const char *key, size_t key_len,
                           tkr_message *ret_message)
{
    tkr_redis_wire_begin(wire);
    tkr_redis_wire_text(wire, "HGETALL");
    tkr_redis_wire_bytes(wire, key, key_len);
    return append(context, wire, ret_message);
}

static int append_questions(redisContext *context, struct tkr_redis_wire *wire, const struct tkr_usage_row *account,
                            tkr_message *ret_message)
{
    char key[TKR_REDIS_KEY_BYTES];
    size_t len = tkr_redis_usage_key(account->kind, account->id, account->id_len, account->cycle, key);

    if (append_question(context, wire, key, len, ret_message) != 0)
        return -1;
    len = tkr_redis_limit_key(account->kind, account->id, account->id_len, key);
    return append_question(context, wire, key, len, ret_message);
}

/* --- answers: 0, or -1 with the reason, which is none of the account's --- */

static bool is_field(const redisReply *field, const char *name)
{
    return field->type == REDIS_REPLY_STRING && field->len == strlen(name) && memcmp(field->str, name, field->len) == 0;
}

static void fault(struct tkr_usage_found *found, const char *what, const char *why)
{
    found->fault = true;
    (void)snprintf(found->text, sizeof(found->text), "its %s%s", what, why);
}

/* A counter; below 0 it counts as 0. */
static void take_counter(const redisReply *value, int counter, struct tkr_usage_found *found)
{
    int64_t number;

    if (value->type != REDIS_REPLY_STRING || strlen(value->str) != value->len ||
        !tkr_parse_integer(value->str, INT64_MIN, INT64_MAX, &number))
        fault(found, tkr_counter_name[counter], " is not an integer");
    else
        found->counts.value[counter] = number > 0 ? number : 0;
}

static void take_pair(const redisReply *field, const redisReply *value, struct tkr_usage_found *found)
{
    if (tkr_redis_limit_field(field, value, &found->limit, found->text))
        return;
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (is_field(field, tkr_counter_name[i]))
            take_counter(value, i, found);
    }
}

static int take_usage(const redisReply *reply, struct tkr_usage_found *found, tkr_message *ret_message)
{
    if (reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "WRONGTYPE", 9) == 0) {
        fault(found, "totals", ": WRONGTYPE, a value of another type is there");
        return 0;
    }
    if (reply->type == REDIS_REPLY_ERROR)
        return tkr_redis_refused(reply, ret_message);
    if (reply->type != REDIS_REPLY_ARRAY)
        return tkr_message_set(ret_message, "Redis answered something else than a hash to HGETALL");
    found->present = reply->elements > 0;
    for (size_t i = 0; i + 1 < reply->elements; i += 2)
        take_pair(reply->element[i], reply->element[i + 1], found);
    return 0;
}

/* What is said of the standing limit is not shown where the cycle's own is unreadable, which comes first. */
static int take_standing(const redisReply *reply, struct tkr_usage_found *found, tkr_message *ret_message)
{
    return tkr_redis_limit_take(reply, &found->standing, found->text, ret_message);
}

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
    return rc;
}

/* --- batches --- */

static int ask(redisContext *context, struct tkr_redis_wire *wire, const struct tkr_usage_row *accounts, uint32_t count,
               tkr_message *ret_message)
{
    for (uint32_t i = 0; i < count; i++) {
        if (append_questions(context, wire, &accounts[i], ret_message) != 0)
            return -1;
    }
    return tkr_redis_flush(context, ret_message);
}

static int await(redisContext *context, struct tkr_usage_found *found, uint32_t count, tkr_message *ret_message)
{
    for (uint32_t i = 0; i < count; i++) {
        found[i] = (struct tkr_usage_found){.limit = TKR_LIMIT_NONE, .standing = TKR_LIMIT_NONE};
        if (answer(context, take_usage, &found[i], ret_message) != 0 ||
            answer(context, take_standing, &found[i], ret_message) != 0)
            return -1;
    }
    return 0;
}

static uint32_t batch(uint32_t at, uint32_t count)
{
    return count - at < BATCH ? count - at : BATCH;
}

int tkr_redis_lookup(redisContext *context, const struct tkr_usage_row *accounts, uint32_t count,
                     struct tkr_usage_found *ret_found, tkr_message *ret_message)
{
    struct tkr_redis_wire wire = {0};
    uint32_t asked = 0;
    int rc = 0;

    for (uint32_t at = 0; at < count && rc == 0; at += BATCH) {
        for (; rc == 0 && asked < count && asked < at + IN_FLIGHT * BATCH; asked += batch(asked, count))
            rc = ask(context, &wire, accounts + asked, batch(asked, count), ret_message);
        if (rc == 0)
            rc = await(context, ret_found + at, batch(at, count), ret_message);
    }
    tkr_redis_wire_free(&wire);
    return rc;
}
