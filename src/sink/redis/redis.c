/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Redis sink: a chunk is one EVALSHA, pipelined up to the window. Redis answers in order, so the queue of chunks in
 * flight and the stream of replies run in step. Any reply that is not what the script returns ends the connection: what
 * was in flight is then unknown, and sending it again is safe by the protocol.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "sink/contribution.h"
#include "sink/queue.h"
#include "sink/record.h"
#include "sink/redis/claim.h"
#include "sink/redis/connection.h"
#include "sink/redis/dataset.h"
#include "sink/redis/eviction.h"
#include "sink/redis/forget.h"
#include "sink/redis/holdings.h"
#include "sink/redis/keys.h"
#include "sink/redis/limits.h"
#include "sink/redis/lookup.h"
#include "sink/redis/read.h"
#include "sink/redis/records.h"
#include "sink/redis/repair.h"
#include "sink/redis/reset.h"
#include "sink/redis/restore.h"
#include "sink/redis/script.h"
#include "sink/redis/wire.h"

#define CHUNK_ITEMS_MAX 100
#define WINDOW 8
#define ERROR_BYTES_MAX 224 /* of what is said of one account */

struct redis_sink {
    tkr_sink base;
    struct tkr_sink_config config;
    redisContext *context; /* NULL: not connected */
    redisContext *side;    /* for questions that are no chunks; NULL: not connected */
    struct tkr_chunk_queue queue;
    struct tkr_redis_wire wire;
    char sha[TKR_REDIS_SHA_BYTES]; /* of the script, as this server told it */
};

static struct redis_sink *of(tkr_sink *sink)
{
    return (struct redis_sink *)sink;
}

static void redis_disconnect(tkr_sink *sink)
{
    redisFree(of(sink)->context);
    of(sink)->context = NULL;
    of(sink)->queue = (struct tkr_chunk_queue){0};
}

#ifdef TOKENRING_CRASH_POINTS
/* The script without its comparison: what is sent again after a lost reply is added again. */
static const char *script(void)
{
    static char blind[8192];
    char *comparison;

    if (!TKR_BROKEN(BLIND))
        return tkr_redis_script;
    (void)snprintf(blind, sizeof(blind), "%s", tkr_redis_script);
    comparison = strstr(blind, "r~=old");
    if (comparison != NULL)
        memcpy(comparison, "false ", strlen("false "));
    return blind;
}
#else
static const char *script(void)
{
    return tkr_redis_script;
}
#endif

static int redis_connect(tkr_sink *sink, tkr_message *ret_message)
{
    if (of(sink)->context != NULL)
        return 0;
    if (tkr_redis_open(&of(sink)->config, NULL, &of(sink)->context, ret_message) != 0)
        return -1;
    if (tkr_redis_script_load(of(sink)->context, script(), of(sink)->sha, ret_message) == 0)
        return 0;
    redis_disconnect(sink);
    return -1;
}

/* What can be sent at all: never a subtraction. */
static void screen(struct tkr_chunk *chunk)
{
    tkr_counts delta;

    tkr_chunk_reset(chunk);
    for (uint32_t i = 0; i < chunk->count; i++) {
        if (tkr_contribution_delta(&chunk->item[i], &delta))
            continue;
        chunk->item[i].outcome = TKR_OUTCOME_POISON;
        memcpy(chunk->item[i].reason, TKR_REASON_SHRINKS, sizeof(TKR_REASON_SHRINKS));
    }
}

static size_t totals_key(const struct tkr_contribution *item, char ret_key[TKR_REDIS_KEY_BYTES])
{
    return item->model_len > 0 ? tkr_redis_models_key(item->kind, item->id, item->id_len, item->cycle, ret_key)
                               : tkr_redis_usage_key(item->kind, item->id, item->id_len, item->cycle, ret_key);
}

static size_t records_key(const struct tkr_contribution *item, char ret_key[TKR_REDIS_KEY_BYTES])
{
    return item->model_len > 0 ? tkr_redis_model_records_key(item->kind, item->id, item->id_len, item->cycle, ret_key)
                               : tkr_redis_record_key(item->kind, item->id, item->id_len, item->cycle, ret_key);
}

static void put_keys(struct tkr_redis_wire *wire, const struct tkr_contribution *item)
{
    char key[TKR_REDIS_KEY_BYTES];

    tkr_redis_wire_bytes(wire, key, totals_key(item, key));
    tkr_redis_wire_bytes(wire, key, records_key(item, key));
}

/* The counters that change, total_tokens last. Returns how many. */
static int changed_counters(const tkr_counts *delta, int ret_counter[TKR_COUNTER_COUNT])
{
    int n = 0;

    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (i != TKR_COUNTER_TOTAL && delta->value[i] != 0)
            ret_counter[n++] = i;
    }
    if (delta->value[TKR_COUNTER_TOTAL] != 0)
        ret_counter[n++] = TKR_COUNTER_TOTAL;
    return n;
}

static void put_record(struct tkr_redis_wire *wire, const struct tkr_record *record)
{
    unsigned char bytes[TKR_RECORD_BYTES_MAX];

    tkr_redis_wire_bytes(wire, bytes, tkr_record_encode(record, bytes));
}

static void put_arguments(struct tkr_redis_wire *wire, const struct tkr_contribution *item)
{
    int counter[TKR_COUNTER_COUNT];
    char mask[TKR_COUNTER_COUNT + 1 + TKR_LABEL_BYTES_MAX];
    tkr_counts delta = {{0}};
    size_t len;
    int n;

    (void)tkr_contribution_delta(item, &delta); /* screen() asked already; of one that is bare, all of it */
    n = changed_counters(&delta, counter);
    for (int i = 0; i < n; i++)
        mask[i] = tkr_counter_letter[counter[i]];
    len = (size_t)n;
    if (item->model_len > 0) {
        mask[len++] = '/';
        memcpy(mask + len, item->model, item->model_len);
        len += item->model_len;
    }
    if (item->bare)
        tkr_redis_wire_bytes(wire, "", 1); /* no record begins with a NUL */
    else
        put_record(wire, &item->known);
    put_record(wire, &item->now);
    tkr_redis_wire_bytes(wire, mask, len);
    for (int i = 0; i < n; i++)
        tkr_redis_wire_number(wire, (uint64_t)delta.value[counter[i]]);
}

/* A chunk's number as the script compares it; 0 is that of a source that the sink has never seen. */
static void put_seen(struct tkr_redis_wire *wire, uint64_t seen)
{
    if (seen != 0)
        tkr_redis_wire_number(wire, seen);
    else
        tkr_redis_wire_text(wire, "");
}

static void put_chunk(struct redis_sink *sink, const struct tkr_chunk *chunk)
{
    struct tkr_redis_wire *wire = &sink->wire;
    uint32_t sent = 0;

    for (uint32_t i = 0; i < chunk->count; i++)
        sent += chunk->item[i].outcome == TKR_OUTCOME_PENDING;
    tkr_redis_wire_begin(wire);
    tkr_redis_wire_text(wire, "EVALSHA");
    tkr_redis_wire_text(wire, sink->sha);
    tkr_redis_wire_number(wire, 1 + 2 * (uint64_t)sent);
    tkr_redis_wire_text(wire, TKR_REDIS_SEEN_KEY);
    for (uint32_t i = 0; i < chunk->count; i++) {
        if (chunk->item[i].outcome == TKR_OUTCOME_PENDING)
            put_keys(wire, &chunk->item[i]);
    }
    tkr_redis_wire_text(wire, chunk->source);
    put_seen(wire, chunk->seen_expected);
    put_seen(wire, chunk->seen_next);
    for (uint32_t i = 0; i < chunk->count; i++) {
        if (chunk->item[i].outcome == TKR_OUTCOME_PENDING)
            put_arguments(wire, &chunk->item[i]);
    }
}

static int redis_submit(tkr_sink *sink, struct tkr_chunk *chunk, tkr_message *ret_message)
{
    struct redis_sink *redis = of(sink);
    const char *command;
    size_t len;

    if (redis->context == NULL)
        return tkr_message_set(ret_message, "not connected to Redis");
    screen(chunk);
    put_chunk(redis, chunk);
    if (!tkr_redis_wire_end(&redis->wire, &command, &len))
        (void)tkr_message_set(ret_message, "out of memory");
    else if (tkr_redis_append(redis->context, command, len, ret_message) == 0 &&
             tkr_redis_flush(redis->context, ret_message) == 0) {
        tkr_chunk_push(&redis->queue, chunk);
        return 0;
    }
    redis_disconnect(sink);
    return -1;
}

static int unexpected(tkr_message *ret_message)
{
    return tkr_redis_misunderstood(ret_message);
}

static int take_seen(const redisReply *reply, uint64_t *ret_seen, tkr_message *ret_message)
{
    uint64_t seen = 0;

    if (reply->type != REDIS_REPLY_STRING || reply->len > 20)
        return unexpected(ret_message);
    for (size_t i = 0; i < reply->len; i++) {
        uint64_t digit = (uint64_t)(unsigned char)reply->str[i] - '0';

        if (digit > 9 || __builtin_mul_overflow(seen, 10, &seen) || __builtin_add_overflow(seen, digit, &seen))
            return tkr_message_set(ret_message, "Redis: %s holds something that is not a chunk's number", TKR_REDIS_SEEN_KEY);
    }
    *ret_seen = seen;
    return 0;
}

static void set_reason(struct tkr_contribution *item, const char *reason)
{
    size_t len = strnlen(reason, sizeof(item->reason) - 1);

    memcpy(item->reason, reason, len);
    item->reason[len] = '\0';
    item->outcome = TKR_OUTCOME_POISON;
}

/* With the name of the key, as redis-cli wants it: without blanks in an id it needs no quotes. */
static void set_fault(struct tkr_contribution *item, const char *error, bool in_record)
{
    char key[TKR_REDIS_KEY_BYTES];
    char reason[TKR_REASON_BYTES];
    size_t len = in_record ? records_key(item, key) : totals_key(item, key);

    (void)snprintf(reason, sizeof(reason), "%.*s" TKR_REASON_KEY "%.*s", ERROR_BYTES_MAX, error, (int)len, key);
    set_reason(item, reason);
    item->key_at = (uint32_t)(strnlen(error, ERROR_BYTES_MAX) + strlen(TKR_REASON_KEY));
}

static int take_text(const redisReply *reply, struct tkr_contribution *item, tkr_message *ret_message)
{
    if (reply->len == 0)
        return unexpected(ret_message);
    if (reply->str[0] == '=') {
        if (tkr_record_decode(reply->str + 1, reply->len - 1, &item->found))
            item->outcome = TKR_OUTCOME_FOUND;
        else
            set_fault(item, "the record in Redis is not understood: damaged, or written by a newer version", true);
        return 0;
    }
    if (reply->str[0] == '~' && reply->len == 1) {
        item->outcome = TKR_OUTCOME_FOUND;
        item->erased = true;
        return 0;
    }
    if (reply->str[0] != '!' && reply->str[0] != '?')
        return unexpected(ret_message);
    if (!tkr_redis_error_is_poison(reply->str + 1))
        return tkr_redis_refused_text(reply->str + 1, ret_message);
    set_fault(item, reply->str + 1, reply->str[0] == '?');
    return 0;
}

static int take_outcome(const redisReply *reply, struct tkr_contribution *item, tkr_message *ret_message)
{
    if (reply->type == REDIS_REPLY_STRING)
        return take_text(reply, item, ret_message);
    if (reply->type != REDIS_REPLY_INTEGER || reply->integer != 1)
        return unexpected(ret_message);
    item->outcome = TKR_OUTCOME_APPLIED;
    return 0;
}

static int take_answer(const redisReply *reply, struct tkr_chunk *chunk, tkr_message *ret_message)
{
    size_t next = 1;

    if (reply->type == REDIS_REPLY_ERROR)
        return tkr_redis_refused(reply, ret_message);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0)
        return unexpected(ret_message);
    if (take_seen(reply->element[0], &chunk->seen_found, ret_message) != 0)
        return -1;
    for (uint32_t i = 0; i < chunk->count; i++) {
        if (chunk->item[i].outcome != TKR_OUTCOME_PENDING)
            continue;
        if (next >= reply->elements)
            return unexpected(ret_message);
        if (take_outcome(reply->element[next++], &chunk->item[i], ret_message) != 0)
            return -1;
    }
    return next == reply->elements ? 0 : unexpected(ret_message);
}

static int redis_collect(tkr_sink *sink, struct tkr_chunk **ret_chunk, tkr_message *ret_message)
{
    struct redis_sink *redis = of(sink);
    struct tkr_chunk *chunk = redis->queue.head;
    redisReply *reply;
    int rc;

    if (redis->context == NULL || chunk == NULL)
        return tkr_message_set(ret_message, "nothing is in flight to Redis");
    rc = tkr_redis_reply(redis->context, &reply, ret_message);
    if (rc == 0) {
        rc = take_answer(reply, chunk, ret_message);
        freeReplyObject(reply);
    }
    if (rc != 0) {
        tkr_chunk_reset(chunk);
        redis_disconnect(sink);
        return -1;
    }
    *ret_chunk = tkr_chunk_pop(&redis->queue);
    return 0;
}

static int redis_advise(tkr_sink *sink, tkr_message *ret_advice, tkr_message *ret_message)
{
    int rc;

    if (of(sink)->context == NULL)
        return tkr_message_set(ret_message, "not connected to Redis");
    rc = tkr_redis_eviction_advise(of(sink)->context, ret_advice, ret_message);
    if (rc < 0)
        redis_disconnect(sink);
    return rc;
}

/* On a connection of its own, which needs no script and leaves what is in flight alone. */
static int redis_read(tkr_sink *sink, const struct tkr_usage_query *query, tkr_usage_visit *visit, void *arg,
                      tkr_message *ret_message)
{
    redisContext *context;
    int rc;

    if (tkr_redis_open(&of(sink)->config, &query->give_up, &context, ret_message) != 0)
        return -1;
    rc = tkr_redis_read(context, query, visit, arg, ret_message);
    redisFree(context);
    return rc;
}

static int redis_sources(tkr_sink *sink, tkr_source_visit *visit, void *arg, tkr_message *ret_message)
{
    redisContext *context;
    int rc;

    if (tkr_redis_open(&of(sink)->config, NULL, &context, ret_message) != 0)
        return -1;
    rc = tkr_redis_sources(context, visit, arg, ret_message);
    redisFree(context);
    return rc;
}

static int redis_records(tkr_sink *sink, const char *collector, tkr_usage_visit *visit, void *arg, tkr_message *ret_message)
{
    redisContext *context;
    int rc;

    if (tkr_redis_open(&of(sink)->config, NULL, &context, ret_message) != 0)
        return -1;
    rc = tkr_redis_records(context, collector, visit, arg, ret_message);
    redisFree(context);
    return rc;
}

static int redis_reset(tkr_sink *sink, const struct tkr_usage_row *account, tkr_counts *ret_before, tkr_message *ret_message)
{
    redisContext *context;
    int rc;

    if (tkr_redis_open(&of(sink)->config, NULL, &context, ret_message) != 0)
        return -1;
    rc = tkr_redis_reset(context, account, ret_before, ret_message);
    redisFree(context);
    return rc;
}

static void side_close(struct redis_sink *sink)
{
    redisFree(sink->side);
    sink->side = NULL;
}

/* A question that may be asked twice. */
struct question {
    const struct tkr_usage_row *accounts;
    uint32_t count;
    struct tkr_usage_found *found;
    int64_t tokens;
    const struct tkr_source_seen *sources;
    const struct tkr_restore_terms *terms;
    const struct tkr_holdings *holdings;
    struct tkr_restored *restored;
    const char *source;
    const struct tkr_repair_terms *repair_terms;
    struct tkr_repair *repairs;
};

typedef int asking(redisContext *context, const struct question *question, tkr_message *ret_message);

static int ask_lookup(redisContext *context, const struct question *question, tkr_message *ret_message)
{
    return tkr_redis_lookup(context, question->accounts, question->count, question->found, ret_message);
}

static int ask_limit_set(redisContext *context, const struct question *question, tkr_message *ret_message)
{
    return tkr_redis_limit_set(context, question->accounts, question->tokens, ret_message);
}

static int ask_claim(redisContext *context, const struct question *question, tkr_message *ret_message)
{
    return tkr_redis_claim(context, question->accounts, (uint32_t)question->tokens, ret_message);
}

static int ask_sources_set(redisContext *context, const struct question *question, tkr_message *ret_message)
{
    return tkr_redis_sources_set(context, question->sources, question->count, ret_message);
}

static int ask_restore(redisContext *context, const struct question *question, tkr_message *ret_message)
{
    return tkr_redis_restore(context, question->terms, question->holdings, question->count, question->restored, ret_message);
}

static int ask_repair(redisContext *context, const struct question *question, tkr_message *ret_message)
{
    return tkr_redis_repair(context, question->source, question->repair_terms, question->repairs, question->count, ret_message);
}

/* Asks on the connection that is kept; one that has died since it was used last is replaced, once. One that gives no answer in time
 * is not: that would take the time twice. */
static int ask_aside(tkr_sink *sink, asking *ask, const struct question *question, tkr_message *ret_message)
{
    struct redis_sink *redis = of(sink);
    int64_t begun_ns = tkr_clock_monotonic_ns();
    bool kept = redis->side != NULL;
    int rc;

    if (!kept && tkr_redis_open(&redis->config, NULL, &redis->side, ret_message) != 0)
        return -1;
    rc = ask(redis->side, question, ret_message);
    if (rc >= 0)
        return rc;
    kept =
        kept && redis->side->err != 0 && tkr_clock_monotonic_ns() - begun_ns < redis->config.command_timeout_ms * TKR_NS_PER_MS;
    side_close(redis);
    return kept ? ask_aside(sink, ask, question, ret_message) : -1;
}

static int redis_lookup(tkr_sink *sink, const struct tkr_usage_row *accounts, uint32_t count, struct tkr_usage_found *ret_found,
                        tkr_message *ret_message)
{
    const struct question question = {.accounts = accounts, .count = count, .found = ret_found};

    return ask_aside(sink, ask_lookup, &question, ret_message);
}

static int redis_limit_set(tkr_sink *sink, const struct tkr_usage_row *account, int64_t tokens, tkr_message *ret_message)
{
    const struct question question = {.accounts = account, .count = 1, .tokens = tokens};

    return ask_aside(sink, ask_limit_set, &question, ret_message);
}

/* Asked once more, on another connection, it might find its own claim: then somebody was before, and nobody is told twice. */
static int redis_claim(tkr_sink *sink, const struct tkr_usage_row *account, uint32_t percent, tkr_message *ret_message)
{
    const struct question question = {.accounts = account, .count = 1, .tokens = percent};

    return ask_aside(sink, ask_claim, &question, ret_message);
}

static int redis_limits(tkr_sink *sink, const struct tkr_give_up *give_up, tkr_usage_visit *visit, void *arg,
                        tkr_message *ret_message)
{
    redisContext *context;
    int rc;

    if (tkr_redis_open(&of(sink)->config, give_up, &context, ret_message) != 0)
        return -1;
    rc = tkr_redis_limits(context, give_up, visit, arg, ret_message);
    redisFree(context);
    return rc;
}

static int redis_forget(tkr_sink *sink, const struct tkr_usage_row *account, uint32_t *ret_cycles, tkr_message *ret_message)
{
    redisContext *context;
    int rc;

    if (tkr_redis_open(&of(sink)->config, NULL, &context, ret_message) != 0)
        return -1;
    rc = tkr_redis_forget(context, account, ret_cycles, ret_message);
    redisFree(context);
    return rc;
}

static int redis_dataset(tkr_sink *sink, struct tkr_dataset *ret_dataset, tkr_message *ret_message)
{
    redisContext *context;
    int rc;

    if (tkr_redis_open(&of(sink)->config, NULL, &context, ret_message) != 0)
        return -1;
    rc = tkr_redis_dataset(context, ret_dataset, ret_message);
    redisFree(context);
    return rc;
}

static int redis_dataset_set(tkr_sink *sink, const struct tkr_dataset *read, const struct tkr_dataset *next,
                             tkr_message *ret_message)
{
    redisContext *context;
    int rc;

    if (tkr_redis_open(&of(sink)->config, NULL, &context, ret_message) != 0)
        return -1;
    rc = tkr_redis_dataset_set(context, read, next, ret_message);
    redisFree(context);
    return rc;
}

static int redis_holdings(tkr_sink *sink, tkr_holdings_visit *visit, void *arg, tkr_message *ret_message)
{
    redisContext *context;
    int rc;

    if (tkr_redis_open(&of(sink)->config, NULL, &context, ret_message) != 0)
        return -1;
    rc = tkr_redis_holdings(context, visit, arg, ret_message);
    redisFree(context);
    return rc;
}

static int redis_sources_set(tkr_sink *sink, const struct tkr_source_seen *sources, uint32_t count, tkr_message *ret_message)
{
    const struct question question = {.sources = sources, .count = count};

    return ask_aside(sink, ask_sources_set, &question, ret_message);
}

static int redis_restore(tkr_sink *sink, const struct tkr_restore_terms *terms, const struct tkr_holdings *accounts,
                         uint32_t count, struct tkr_restored *ret_restored, tkr_message *ret_message)
{
    const struct question question = {.terms = terms, .holdings = accounts, .count = count, .restored = ret_restored};

    return ask_aside(sink, ask_restore, &question, ret_message);
}

static int redis_repair(tkr_sink *sink, const char *source, const struct tkr_repair_terms *terms, struct tkr_repair *repairs,
                        uint32_t count, tkr_message *ret_message)
{
    const struct question question = {.source = source, .repair_terms = terms, .repairs = repairs, .count = count};

    return ask_aside(sink, ask_repair, &question, ret_message);
}

static void redis_close(tkr_sink *sink)
{
    redis_disconnect(sink);
    side_close(of(sink));
    tkr_redis_wire_free(&of(sink)->wire);
    explicit_bzero(&of(sink)->config, sizeof(of(sink)->config));
    free(sink);
}

static const struct tkr_sink_ops redis_ops = {
    .name = "redis",
    .connect = redis_connect,
    .submit = redis_submit,
    .collect = redis_collect,
    .advise = redis_advise,
    .disconnect = redis_disconnect,
    .read = redis_read,
    .sources = redis_sources,
    .records = redis_records,
    .reset = redis_reset,
    .lookup = redis_lookup,
    .limit_set = redis_limit_set,
    .limits = redis_limits,
    .claim = redis_claim,
    .forget = redis_forget,
    .dataset = redis_dataset,
    .dataset_set = redis_dataset_set,
    .holdings = redis_holdings,
    .sources_set = redis_sources_set,
    .restore = redis_restore,
    .repair = redis_repair,
    .close = redis_close,
};

int tkr_sink_redis_open(const struct tkr_sink_config *config, tkr_sink **ret_sink, tkr_message *ret_message)
{
    struct redis_sink *sink = calloc(1, sizeof(*sink));

    if (sink == NULL)
        return tkr_message_set(ret_message, "out of memory");
    sink->base = (tkr_sink){.ops = &redis_ops, .chunk_items_max = CHUNK_ITEMS_MAX, .window = WINDOW};
    sink->config = *config;
    *ret_sink = &sink->base;
    return 0;
}
