/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/read.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sink/redis/connection.h"
#include "sink/redis/keys.h"
#include "sink/redis/limit_fields.h"
#include "sink/redis/models.h"
#include "sink/redis/scan.h"
#include "sink/redis/wire.h"
#include "tokenring/tokenring.h"

#define BATCH 256 /* HGETALLs in flight */

/* Keys found, their bytes one behind the other. */
struct key {
    size_t offset;
    const char *bytes; /* set when no more are added */
    size_t len;
};

struct keys {
    struct key *key;
    size_t count;
    size_t max;
    char *bytes;
    size_t used;
    size_t size;
};

static bool grow(void **array, size_t *max, size_t needed, size_t element_bytes)
{
    size_t more = *max != 0 ? *max : 1024;
    void *grown;

    if (needed <= *max)
        return true;
    while (more < needed)
        more *= 2;
    grown = realloc(*array, more * element_bytes);
    if (grown == NULL)
        return false;
    *array = grown;
    *max = more;
    return true;
}

static bool keys_add(struct keys *keys, const char *bytes, size_t len)
{
    void *key = keys->key;
    void *store = keys->bytes;
    bool enough = grow(&key, &keys->max, keys->count + 1, sizeof(*keys->key));

    keys->key = key;
    enough = enough && grow(&store, &keys->size, keys->used + len, 1);
    keys->bytes = store;
    if (!enough)
        return false;
    memcpy(keys->bytes + keys->used, bytes, len);
    keys->key[keys->count++] = (struct key){.offset = keys->used, .len = len};
    keys->used += len;
    return true;
}

static int compare_keys(const void *left, const void *right)
{
    const struct key *a = left;
    const struct key *b = right;
    int order = memcmp(a->bytes, b->bytes, a->len < b->len ? a->len : b->len);

    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

/* SCAN may give a key more than once. */
static void keys_sort_and_unify(struct keys *keys)
{
    size_t kept = 0;

    for (size_t i = 0; i < keys->count; i++)
        keys->key[i].bytes = keys->bytes + keys->key[i].offset;
    if (keys->count > 1)
        qsort(keys->key, keys->count, sizeof(*keys->key), compare_keys);
    for (size_t i = 0; i < keys->count; i++) {
        if (kept == 0 || compare_keys(&keys->key[kept - 1], &keys->key[i]) != 0)
            keys->key[kept++] = keys->key[i];
    }
    keys->count = kept;
}

static void keys_free(struct keys *keys)
{
    free(keys->key);
    free(keys->bytes);
}

static bool parse_key(const struct tkr_usage_query *query, const char *key, size_t len, struct tkr_usage_row *ret_row)
{
    return query->by_model ? tkr_redis_models_key_parse(key, len, ret_row) : tkr_redis_usage_key_parse(key, len, ret_row);
}

/* The glob may match more than was asked for: ids hold ':' too. */
static bool wanted(const struct tkr_usage_query *query, const struct tkr_usage_row *row)
{
    if (query->id != NULL && (row->id_len != query->id_len || memcmp(row->id, query->id, row->id_len) != 0))
        return false;
    if (query->cycle != 0 && row->cycle != query->cycle)
        return false;
    return query->any_kind || row->kind == query->kind;
}

/* What is being looked for, and where it goes. */
struct finding {
    const struct tkr_usage_query *query;
    struct keys *keys;
    tkr_message *message;
};

static int add_found(const char *key, size_t len, void *arg)
{
    const struct finding *finding = arg;
    struct tkr_usage_row row;

    if (!parse_key(finding->query, key, len, &row) || !wanted(finding->query, &row) || keys_add(finding->keys, key, len))
        return 0;
    return tkr_message_set(finding->message, "out of memory");
}

static int scan(redisContext *context, const struct tkr_usage_query *query, struct keys *keys, tkr_message *ret_message)
{
    struct finding finding = {.query = query, .keys = keys, .message = ret_message};
    char pattern[TKR_REDIS_PATTERN_BYTES];

    tkr_redis_usage_pattern(query, pattern);
    return tkr_redis_scan(context, pattern, &query->give_up, add_found, &finding, ret_message);
}

static bool is_field(const redisReply *field, const char *name)
{
    return field->type == REDIS_REPLY_STRING && field->len == strlen(name) && memcmp(field->str, name, field->len) == 0;
}

static int64_t integer_or(const redisReply *value, int64_t otherwise)
{
    int64_t number;

    if (value->type != REDIS_REPLY_STRING || strlen(value->str) != value->len ||
        !tkr_parse_integer(value->str, 0, INT64_MAX, &number))
        return otherwise;
    return number;
}

static void take_field(const redisReply *field, const redisReply *value, struct tkr_usage_row *row,
                       char limit_text[TKR_LIMIT_TEXT_BYTES])
{
    if (tkr_redis_limit_field(field, value, &row->limit, limit_text))
        return;
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (is_field(field, tkr_counter_name[i]))
            row->counts.value[i] = integer_or(value, 0);
    }
}

/* Visits the row, or the rows of models, that a HGETALL gave; a key that is gone by now, or holds no hash, is no row. */
static int visit_reply(const struct tkr_usage_query *query, const struct key *key, const redisReply *reply,
                       tkr_usage_visit *visit, void *arg, tkr_message *ret_message)
{
    char limit_text[TKR_LIMIT_TEXT_BYTES] = "";
    struct tkr_usage_row row = {.limit = TKR_LIMIT_NONE};

    if (reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "WRONGTYPE", 9) != 0)
        return tkr_redis_refused(reply, ret_message);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0 || !parse_key(query, key->bytes, key->len, &row))
        return 0;
    if (query->by_model)
        return tkr_redis_models_visit(reply, &row, visit, arg, ret_message);
    for (size_t i = 0; i + 1 < reply->elements; i += 2)
        take_field(reply->element[i], reply->element[i + 1], &row, limit_text);
    row.limit_text = row.limit == TKR_LIMIT_UNREADABLE ? limit_text : NULL;
    return visit(&row, arg);
}

static int send_batch(redisContext *context, struct tkr_redis_wire *wire, const struct key *key, size_t count,
                      tkr_message *ret_message)
{
    const char *command;
    size_t len;

    for (size_t i = 0; i < count; i++) {
        tkr_redis_wire_begin(wire);
        tkr_redis_wire_text(wire, "HGETALL");
        tkr_redis_wire_bytes(wire, key[i].bytes, key[i].len);
        if (!tkr_redis_wire_end(wire, &command, &len))
            return tkr_message_set(ret_message, "out of memory");
        if (tkr_redis_append(context, command, len, ret_message) != 0)
            return -1;
    }
    return tkr_redis_flush(context, ret_message);
}

static int visit_batch(redisContext *context, const struct tkr_usage_query *query, const struct key *key, size_t count,
                       tkr_usage_visit *visit, void *arg, tkr_message *ret_message)
{
    redisReply *reply;
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++) {
        if (tkr_redis_reply(context, &reply, ret_message) != 0)
            return -1;
        rc = visit_reply(query, &key[i], reply, visit, arg, ret_message);
        freeReplyObject(reply);
    }
    return rc;
}

static int visit_keys(redisContext *context, const struct tkr_usage_query *query, const struct keys *keys, tkr_usage_visit *visit,
                      void *arg, tkr_message *ret_message)
{
    struct tkr_redis_wire wire = {0};
    int rc = 0;

    for (size_t at = 0; at < keys->count && rc == 0; at += BATCH) {
        size_t count = keys->count - at < BATCH ? keys->count - at : BATCH;

        if (tkr_given_up(&query->give_up))
            rc = tkr_message_set(ret_message, "reading was given up");
        else
            rc = send_batch(context, &wire, keys->key + at, count, ret_message);
        if (rc == 0)
            rc = visit_batch(context, query, keys->key + at, count, visit, arg, ret_message);
    }
    tkr_redis_wire_free(&wire);
    return rc;
}

static int find_keys(redisContext *context, const struct tkr_usage_query *query, struct keys *keys, tkr_message *ret_message)
{
    char key[TKR_REDIS_KEY_BYTES];
    size_t len;

    if (query->id == NULL || query->cycle == 0 || query->any_kind)
        return scan(context, query, keys, ret_message);
    len = query->by_model ? tkr_redis_models_key(query->kind, query->id, query->id_len, query->cycle, key)
                          : tkr_redis_usage_key(query->kind, query->id, query->id_len, query->cycle, key);
    if (!keys_add(keys, key, len))
        return tkr_message_set(ret_message, "out of memory");
    return 0;
}

int tkr_redis_read(redisContext *context, const struct tkr_usage_query *query, tkr_usage_visit *visit, void *arg,
                   tkr_message *ret_message)
{
    struct keys keys = {0};
    int rc;

    if (query->id != NULL && (query->id_len == 0 || query->id_len > TKR_ID_BYTES_MAX))
        return 0; /* no account has such an id */
    rc = find_keys(context, query, &keys, ret_message);
    if (rc == 0) {
        keys_sort_and_unify(&keys);
        rc = visit_keys(context, query, &keys, visit, arg, ret_message);
    }
    keys_free(&keys);
    return rc;
}
