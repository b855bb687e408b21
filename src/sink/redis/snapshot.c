/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/snapshot.h"

#include <stdio.h>
#include <string.h>

#include "sink/record.h"
#include "sink/redis/connection.h"
#include "sink/redis/keys.h"
#include "sink/redis/limit_fields.h"
#include "sink/redis/script.h"

#define ERROR_BYTES_MAX 224 /* of what is said of one account */
#define FORGOTTEN TKR_REDIS_HASHES
#define DIGEST (TKR_REDIS_HASHES + 1)

/* Lengths in front of texts: no two contents read the same. */
#define READ                                                                           \
    "local function hashes(keys,wanted,brief)\n"                                       \
    " local out,seen={},{}\n"                                                          \
    " for i=1,4 do\n"                                                                  \
    "  local h={}\n"                                                                   \
    "  if i==1 or not brief or #out[1]==0 then h=redis.pcall('HGETALL',keys[i]) end\n" \
    "  if h.err then h='!'..h.err seen[#seen+1]=h\n"                                   \
    "  elseif wanted then\n"                                                           \
    "   seen[#seen+1]='#'..#h\n"                                                       \
    "   for j=1,#h do seen[#seen+1]=#h[j]..':'..h[j] end\n"                            \
    "  end\n"                                                                          \
    "  out[i]=h\n"                                                                     \
    " end\n"                                                                           \
    " return out,wanted and redis.sha1hex(table.concat(seen)) or ''\n"                 \
    "end\n"

const char tkr_redis_snapshot_read[] = READ;

const char tkr_redis_snapshot_script[] = READ "local out,digest=hashes(KEYS,ARGV[1]=='digest',ARGV[1]=='brief')\n"
                                              "local f=redis.call('HGET','tr1:{0}:forgotten:'..redis.sha1hex(KEYS[1]),'at')\n"
                                              "out[5]=f and 1 or 0\n"
                                              "out[6]=digest\n"
                                              "return out\n";

/* An answer under way. */
struct taking {
    struct tkr_redis_snapshot *snapshot;
    const char *mark;
    tkr_message *message;
};

void tkr_redis_snapshot_keys(struct tkr_redis_wire *wire, const struct tkr_usage_row *account)
{
    char key[TKR_REDIS_KEY_BYTES];

    tkr_redis_wire_bytes(wire, key, tkr_redis_usage_key(account->kind, account->id, account->id_len, account->cycle, key));
    tkr_redis_wire_bytes(wire, key, tkr_redis_record_key(account->kind, account->id, account->id_len, account->cycle, key));
    tkr_redis_wire_bytes(wire, key, tkr_redis_models_key(account->kind, account->id, account->id_len, account->cycle, key));
    tkr_redis_wire_bytes(wire, key,
                         tkr_redis_model_records_key(account->kind, account->id, account->id_len, account->cycle, key));
}

bool tkr_redis_snapshot_call(struct tkr_redis_wire *wire, const char *sha, const struct tkr_usage_row *account,
                             enum tkr_redis_snapshot_depth depth, const char **ret_command, size_t *ret_len)
{
    static const char *const word[] = {
        [TKR_REDIS_SNAPSHOT_BRIEF] = "brief", [TKR_REDIS_SNAPSHOT_WHOLE] = "whole", [TKR_REDIS_SNAPSHOT_DIGEST] = "digest"};

    tkr_redis_wire_begin(wire);
    tkr_redis_wire_text(wire, "EVALSHA");
    tkr_redis_wire_text(wire, sha);
    tkr_redis_wire_number(wire, TKR_REDIS_HASHES);
    tkr_redis_snapshot_keys(wire, account);
    tkr_redis_wire_text(wire, word[depth]);
    return tkr_redis_wire_end(wire, ret_command, ret_len);
}

/* --- the answer --- */

static int unreadable(struct taking *t, const char *what, const char *error)
{
    (void)snprintf(t->snapshot->why, sizeof(t->snapshot->why), "%s: %.*s", what, ERROR_BYTES_MAX, error);
    return 1;
}

static int no_memory(struct taking *t)
{
    return tkr_message_set(t->message, "out of memory");
}

static bool begins(const redisReply *text, const char *with)
{
    return text->len >= strlen(with) && memcmp(text->str, with, strlen(with)) == 0;
}

static bool is(const char *text, size_t len, const char *name)
{
    return len == strlen(name) && memcmp(text, name, len) == 0;
}

static bool take_integer(const redisReply *value, int64_t *ret_value)
{
    return strlen(value->str) == value->len && tkr_parse_integer(value->str, INT64_MIN, INT64_MAX, ret_value);
}

static int counter_named(const char *name, size_t len)
{
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (is(name, len, tkr_counter_name[i]))
            return i;
    }
    return -1;
}

static int take_counter(struct taking *t, struct tkr_holding *holding, int counter, const redisReply *value)
{
    if (take_integer(value, &holding->total.value[counter]))
        return 0;
    return unreadable(t, tkr_counter_name[counter], "not an integer from -2^63 to 2^63-1");
}

static int take_total(struct taking *t, const redisReply *field, const redisReply *value)
{
    struct tkr_holdings *holdings = &t->snapshot->holdings;
    char shown[TKR_LIMIT_TEXT_BYTES] = "";
    int counter = counter_named(field->str, field->len);

    if (counter >= 0)
        return take_counter(t, &holdings->holding[0], counter, value);
    if (!tkr_redis_limit_field(field, value, &holdings->limit, shown))
        holdings->foreign++;
    else if (holdings->limit == TKR_LIMIT_NONE && !is(field->str, field->len, TKR_REDIS_BLOCKED_FIELD))
        holdings->limit = TKR_LIMIT_UNREADABLE; /* somebody's 0: no restore takes its place */
    return 0;
}

static int add_record(struct taking *t, struct tkr_holding *holding, const char *source, size_t source_len,
                      const redisReply *value)
{
    struct tkr_record record;

    if (holding == NULL)
        return unreadable(t, "its models", "there are too many, or there is no memory");
    if (!tkr_source_valid(source, source_len) || !tkr_record_decode(value->str, value->len, &record) || record.life == 0)
        return unreadable(t, "a record", "not understood: damaged, or written by a newer version");
    return tkr_holding_add(holding, source, source_len, &record) ? 0 : no_memory(t);
}

/* "time number"; an earlier version wrote the time alone. */
static void note_restored(struct tkr_holdings *holdings, const redisReply *value)
{
    const char *blank = memchr(value->str, ' ', value->len);
    int64_t number;

    if (blank != NULL && strlen(value->str) == value->len && tkr_parse_integer(blank + 1, 1, INT64_MAX, &number) &&
        (uint64_t)number > holdings->restored)
        holdings->restored = (uint64_t)number;
}

static int take_record(struct taking *t, const redisReply *field, const redisReply *value)
{
    struct tkr_holdings *holdings = &t->snapshot->holdings;

    if (!begins(field, TKR_MARK_PREFIX))
        return add_record(t, &holdings->holding[0], field->str, field->len, value);
    note_restored(holdings, value);
    holdings->marked = holdings->marked || (t->mark != NULL && is(field->str, field->len, t->mark));
    return 0;
}

static bool is_model(const char *model, size_t len)
{
    return len >= 1 && len <= TKR_LABEL_BYTES_MAX && tkr_text_clean(model, len);
}

/* "MODEL:counter" */
static int take_model_total(struct taking *t, const redisReply *field, const redisReply *value)
{
    const char *colon = memrchr(field->str, ':', field->len);
    size_t model_len = colon != NULL ? (size_t)(colon - field->str) : 0;
    int counter = colon != NULL ? counter_named(colon + 1, field->len - model_len - 1) : -1;
    struct tkr_holding *holding;

    if (counter < 0 || !is_model(field->str, model_len)) {
        t->snapshot->holdings.foreign++;
        return 0;
    }
    holding = tkr_holdings_of(&t->snapshot->holdings, field->str, model_len);
    if (holding == NULL)
        return unreadable(t, "its models", "there are too many, or there is no memory");
    return take_counter(t, holding, counter, value);
}

/* "SOURCE:MODEL" */
static int take_model_record(struct taking *t, const redisReply *field, const redisReply *value)
{
    const char *colon = memchr(field->str, ':', field->len);
    const char *model = colon != NULL ? colon + 1 : field->str;
    size_t model_len = (size_t)(field->str + field->len - model);

    if (colon == NULL || !is_model(model, model_len))
        return unreadable(t, "a model's record", "not understood");
    return add_record(t, tkr_holdings_of(&t->snapshot->holdings, model, model_len), field->str, (size_t)(colon - field->str),
                      value);
}

static int take_hash(struct taking *t, int which, const redisReply *hash)
{
    static int (*const take[TKR_REDIS_HASHES])(struct taking * t, const redisReply *field, const redisReply *value) = {
        take_total, take_record, take_model_total, take_model_record};
    static const char *const name[TKR_REDIS_HASHES] = {"its totals", "its records", "its models' totals", "its models' records"};
    int rc = 0;

    if (hash->type == REDIS_REPLY_STRING && hash->len > 0 && hash->str[0] == '!') {
        if (!tkr_redis_error_is_poison(hash->str + 1))
            return tkr_redis_refused_text(hash->str + 1, t->message);
        return unreadable(t, name[which], hash->str + 1);
    }
    if (hash->type != REDIS_REPLY_ARRAY)
        return tkr_redis_misunderstood(t->message);
    t->snapshot->there[which] = hash->elements > 0;
    for (size_t i = 0; rc == 0 && i + 1 < hash->elements; i += 2) {
        const redisReply *field = hash->element[i];
        const redisReply *value = hash->element[i + 1];

        if (field->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING)
            return tkr_message_set(t->message, "Redis answered something else than texts to HGETALL");
        rc = take[which](t, field, value);
    }
    return rc;
}

/* All four, whatever is wrong with one of them: which are there is to be known. */
static int take_hashes(struct taking *t, const redisReply *reply)
{
    int result = 0;

    for (int i = 0; i < TKR_REDIS_HASHES; i++) {
        int rc = take_hash(t, i, reply->element[i]);

        if (rc < 0)
            return -1;
        t->snapshot->there[i] = t->snapshot->there[i] || rc > 0;
        result = result != 0 ? result : rc;
    }
    return result;
}

int tkr_redis_snapshot_take(const redisReply *reply, const struct tkr_usage_row *account, const char *mark,
                            struct tkr_redis_snapshot *snapshot, tkr_message *ret_message)
{
    struct taking t = {.snapshot = snapshot, .mark = mark, .message = ret_message};
    tkr_message why;
    int rc;

    if (reply->type == REDIS_REPLY_ERROR)
        return tkr_redis_refused(reply, ret_message);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != DIGEST + 1 ||
        reply->element[FORGOTTEN]->type != REDIS_REPLY_INTEGER || reply->element[DIGEST]->type != REDIS_REPLY_STRING ||
        reply->element[DIGEST]->len >= sizeof(snapshot->digest))
        return tkr_redis_misunderstood(ret_message);
    if (!tkr_holdings_begin(&snapshot->holdings, account->kind, account->id, account->id_len, account->cycle))
        return no_memory(&t);
    memset(snapshot->there, 0, sizeof(snapshot->there));
    snapshot->holdings.forgotten = reply->element[FORGOTTEN]->integer != 0;
    memcpy(snapshot->digest, reply->element[DIGEST]->str, reply->element[DIGEST]->len + 1);
    rc = take_hashes(&t, reply);
    if (rc == 0 && !tkr_holdings_finish_totals(&snapshot->holdings, &why))
        rc = unreadable(&t, "its records", why.text);
    return rc;
}

void tkr_redis_snapshot_free(struct tkr_redis_snapshot *snapshot)
{
    tkr_holdings_free(&snapshot->holdings);
}
