/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/models.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sink/redis/connection.h"
#include "sink/redis/wire.h"

/* A field of the totals: "MODEL:counter". */
struct field {
    const char *model;
    size_t model_len;
    int counter;
    int64_t value;
};

static bool is_model(const char *model, size_t len)
{
    return len >= 1 && len <= TKR_LABEL_BYTES_MAX && tkr_text_clean(model, len);
}

static int counter_named(const char *name, size_t len)
{
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (strlen(tkr_counter_name[i]) == len && memcmp(tkr_counter_name[i], name, len) == 0)
            return i;
    }
    return -1;
}

/* False when it is none of ours. */
static bool parse_field(const redisReply *name, const redisReply *value, struct field *ret_field)
{
    const char *colon = name->type == REDIS_REPLY_STRING ? memrchr(name->str, ':', name->len) : NULL;

    if (colon == NULL || value->type != REDIS_REPLY_STRING)
        return false;
    ret_field->model = name->str;
    ret_field->model_len = (size_t)(colon - name->str);
    ret_field->counter = counter_named(colon + 1, name->len - ret_field->model_len - 1);
    if (strlen(value->str) != value->len || !tkr_parse_integer(value->str, 0, INT64_MAX, &ret_field->value))
        ret_field->value = 0;
    return ret_field->counter >= 0 && is_model(ret_field->model, ret_field->model_len);
}

static int compare_models(const void *left, const void *right)
{
    const struct field *a = left;
    const struct field *b = right;
    int order = memcmp(a->model, b->model, a->model_len < b->model_len ? a->model_len : b->model_len);

    return order != 0 ? order : (a->model_len > b->model_len) - (a->model_len < b->model_len);
}

/* Fields of one model follow each other. */
static int visit_fields(const struct field *field, size_t count, const struct tkr_usage_row *account, tkr_usage_visit *visit,
                        void *arg)
{
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0;) {
        struct tkr_usage_row row = *account;
        const struct field *first = &field[i];

        row.model = first->model;
        row.model_len = (uint32_t)first->model_len;
        for (; i < count && compare_models(first, &field[i]) == 0; i++)
            row.counts.value[field[i].counter] = field[i].value;
        rc = visit(&row, arg);
    }
    return rc;
}

int tkr_redis_models_visit(const redisReply *totals, const struct tkr_usage_row *account, tkr_usage_visit *visit, void *arg,
                           tkr_message *ret_message)
{
    struct field *field = calloc(totals->elements / 2 + 1, sizeof(*field));
    size_t count = 0;
    int rc;

    if (field == NULL)
        return tkr_message_set(ret_message, "out of memory");
    for (size_t i = 0; i + 1 < totals->elements; i += 2)
        count += parse_field(totals->element[i], totals->element[i + 1], &field[count]);
    qsort(field, count, sizeof(*field), compare_models);
    rc = visit_fields(field, count, account, visit, arg);
    free(field);
    return rc;
}

/* Visits the model of a field "SOURCE:MODEL" when the source is one of the collector's: "NAME.0" and so on. */
static int visit_record(const redisReply *field, const struct tkr_usage_row *account, const char *collector,
                        tkr_usage_visit *visit, void *arg)
{
    struct tkr_usage_row row = *account;
    size_t name_len = strlen(collector);
    const char *colon = field->type == REDIS_REPLY_STRING ? memchr(field->str, ':', field->len) : NULL;

    if (colon == NULL || field->len <= name_len || memcmp(field->str, collector, name_len) != 0 || field->str[name_len] != '.')
        return 0;
    row.model = colon + 1;
    row.model_len = (uint32_t)(field->str + field->len - row.model);
    return is_model(row.model, row.model_len) ? visit(&row, arg) : 0;
}

static int read_all(redisContext *context, const redisReply *key, redisReply **ret_reply, tkr_message *ret_message)
{
    struct tkr_redis_wire wire = {0};
    const char *command;
    size_t len;
    int rc = -1;

    tkr_redis_wire_begin(&wire);
    tkr_redis_wire_text(&wire, "HGETALL");
    tkr_redis_wire_bytes(&wire, key->str, key->len);
    if (!tkr_redis_wire_end(&wire, &command, &len))
        (void)tkr_message_set(ret_message, "out of memory");
    else if (tkr_redis_append(context, command, len, ret_message) == 0)
        rc = tkr_redis_reply(context, ret_reply, ret_message);
    tkr_redis_wire_free(&wire);
    return rc;
}

int tkr_redis_model_records_visit(redisContext *context, const redisReply *key, const struct tkr_usage_row *account,
                                  const char *collector, tkr_usage_visit *visit, void *arg, tkr_message *ret_message)
{
    redisReply *reply;
    int rc = 0;

    if (read_all(context, key, &reply, ret_message) != 0)
        return -1;
    if (reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "WRONGTYPE", 9) != 0)
        rc = tkr_redis_refused(reply, ret_message);
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && rc == 0 && i + 1 < reply->elements; i += 2)
        rc = visit_record(reply->element[i], account, collector, visit, arg);
    freeReplyObject(reply);
    return rc;
}
