/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/repair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sink/record.h"
#include "sink/redis/connection.h"
#include "sink/redis/script.h"
#include "sink/redis/snapshot.h"

#define TRIES_MAX 200 /* of an account that others keep writing to */
#define FIELD_BYTES (TKR_SOURCE_BYTES + TKR_LABEL_BYTES_MAX + 1)

/*
 * KEYS: as for the snapshot. ARGV: its digest; which of them has the record, 2 or 4; its field and value. Answer: 1; 0: it is
 * another one by now. A forget of an account of which nothing is there does not show in the digest.
 */
static const char write_script[] = "local _,digest=hashes(KEYS,true)\n"
                                   "if digest~=ARGV[1] then return 0 end\n"
                                   "if redis.call('HGET','tr1:{0}:forgotten:'..redis.sha1hex(KEYS[1]),'at') then return 0 end\n"
                                   "redis.call('HSET',KEYS[tonumber(ARGV[2])],ARGV[3],ARGV[4])\n"
                                   "return 1\n";

struct repairing {
    redisContext *context;
    const char *source;
    const struct tkr_repair_terms *terms;
    struct tkr_repair *repair;
    tkr_message *message;
    char read[TKR_REDIS_SHA_BYTES]; /* scripts */
    char write[TKR_REDIS_SHA_BYTES];
    struct tkr_redis_wire wire;
    struct tkr_redis_snapshot now;
    uint32_t *pending; /* repairs that are not done; of those that were sent, writing */
    uint32_t pending_count;
    uint32_t *writing;
    uint32_t writing_count;
};

static struct tkr_usage_row row_of(const struct tkr_contribution *item)
{
    return (struct tkr_usage_row){.kind = item->kind, .id = item->id, .id_len = item->id_len, .cycle = item->cycle, .limit = -1};
}

static int append(struct repairing *r)
{
    const char *command;
    size_t len;

    if (!tkr_redis_wire_end(&r->wire, &command, &len))
        return tkr_message_set(r->message, "out of memory");
    return tkr_redis_append(r->context, command, len, r->message);
}

static int append_reads(struct repairing *r)
{
    for (uint32_t i = 0; i < r->pending_count; i++) {
        struct tkr_usage_row row = row_of(r->repair[r->pending[i]].item);
        const char *command;
        size_t len;

        if (!tkr_redis_snapshot_call(&r->wire, r->read, &row, TKR_REDIS_SNAPSHOT_DIGEST, &command, &len))
            return tkr_message_set(r->message, "out of memory");
        if (tkr_redis_append(r->context, command, len, r->message) != 0)
            return -1;
    }
    return 0;
}

static int append_write(struct repairing *r, const struct tkr_repair *repair)
{
    const struct tkr_contribution *item = repair->item;
    struct tkr_usage_row row = row_of(item);
    unsigned char record[TKR_RECORD_BYTES_MAX];
    char field[FIELD_BYTES];
    size_t len = strlen(r->source);

    memcpy(field, r->source, len);
    if (item->model_len > 0) {
        field[len++] = ':';
        memcpy(field + len, item->model, item->model_len);
        len += item->model_len;
    }
    tkr_redis_wire_begin(&r->wire);
    tkr_redis_wire_text(&r->wire, "EVALSHA");
    tkr_redis_wire_text(&r->wire, r->write);
    tkr_redis_wire_number(&r->wire, TKR_REDIS_HASHES);
    tkr_redis_snapshot_keys(&r->wire, &row);
    tkr_redis_wire_text(&r->wire, r->now.digest);
    tkr_redis_wire_number(&r->wire, 1 + (uint64_t)(item->model_len > 0 ? TKR_REDIS_MODEL_RECORDS : TKR_REDIS_RECORDS));
    tkr_redis_wire_bytes(&r->wire, field, len);
    tkr_redis_wire_bytes(&r->wire, record, tkr_record_encode(&repair->record, record));
    return append(r);
}

/* Does Redis not let whole hashes be read, by this user or at all? Then all that it gives of one is an error. */
static const redisReply *denial(const redisReply *reply)
{
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements && i < TKR_REDIS_HASHES; i++) {
        const redisReply *hash = reply->element[i];

        if (hash->type == REDIS_REPLY_STRING && hash->len > 0 && hash->str[0] == '!' && !tkr_redis_error_is_poison(hash->str + 1))
            return hash;
    }
    return NULL;
}

/* Takes what an account is now, decides, and adds the write to what is to be sent. */
static int decide(struct repairing *r, uint32_t number, const redisReply *reply)
{
    struct tkr_repair *repair = &r->repair[number];
    struct tkr_usage_row row = row_of(repair->item);
    const redisReply *denied = denial(reply);
    tkr_message why = {""};
    int rc = 1;

    if (denied != NULL)
        (void)tkr_redis_refused_text(denied->str + 1, &why);
    else if ((rc = tkr_redis_snapshot_take(reply, &row, NULL, &r->now, r->message)) < 0)
        return -1;
    tkr_repair_decide(repair, r->source, r->terms, rc == 0 ? &r->now.holdings : NULL, NULL,
                      denied != NULL ? why.text : r->now.why);
    if (!tkr_repair_writes(repair) || r->terms->dry_run)
        return 0;
    r->writing[r->writing_count++] = number;
    return append_write(r, repair);
}

static int take_reads(struct repairing *r)
{
    redisReply *reply;
    int rc = 0;

    r->writing_count = 0;
    for (uint32_t i = 0; i < r->pending_count && rc == 0; i++) {
        if (tkr_redis_reply(r->context, &reply, r->message) != 0)
            return -1;
        rc = decide(r, r->pending[i], reply);
        freeReplyObject(reply);
    }
    return rc;
}

/* Those that were another one by now are pending again. */
static int take_writes(struct repairing *r)
{
    r->pending_count = 0;
    for (uint32_t i = 0; i < r->writing_count; i++) {
        bool done = false;
        if (tkr_redis_flag(r->context, &done, r->message) != 0)
            return -1;
        if (!done)
            r->pending[r->pending_count++] = r->writing[i];
    }
    return 0;
}

static int repair_all(struct repairing *r)
{
    int rc = 0;

    for (int tries = 0; rc == 0 && r->pending_count > 0 && tries < TRIES_MAX; tries++) {
        rc = append_reads(r);
        if (rc == 0)
            rc = take_reads(r);
        if (rc == 0)
            rc = take_writes(r);
    }
    for (uint32_t i = 0; rc == 0 && i < r->pending_count; i++)
        tkr_repair_decide(&r->repair[r->pending[i]], r->source, r->terms, NULL, NULL, "it was changed by others at each try");
    return rc;
}

static int load(struct repairing *r)
{
    char script[4096];

    (void)snprintf(script, sizeof(script), "%s%s", tkr_redis_snapshot_read, write_script);
    if (tkr_redis_script_load(r->context, tkr_redis_snapshot_script, r->read, r->message) != 0)
        return -1;
    return tkr_redis_script_load(r->context, script, r->write, r->message);
}

int tkr_redis_repair(redisContext *context, const char *source, const struct tkr_repair_terms *terms, struct tkr_repair *repairs,
                     uint32_t count, tkr_message *ret_message)
{
    struct repairing r = {.context = context, .source = source, .terms = terms, .repair = repairs, .message = ret_message};
    int rc = 0;

    r.pending = calloc(count + 1, sizeof(*r.pending));
    r.writing = calloc(count + 1, sizeof(*r.writing));
    if (r.pending == NULL || r.writing == NULL)
        rc = tkr_message_set(ret_message, "out of memory");
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        r.pending[r.pending_count++] = i;
    if (rc == 0)
        rc = load(&r);
    if (rc == 0)
        rc = repair_all(&r);
    tkr_redis_wire_free(&r.wire);
    tkr_redis_snapshot_free(&r.now);
    free(r.pending);
    free(r.writing);
    return rc;
}
