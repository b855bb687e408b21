/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/holdings.h"

#include <string.h>

#include "base/clock.h"
#include "sink/redis/connection.h"
#include "sink/redis/keys.h"
#include "sink/redis/limit_fields.h"
#include "sink/redis/scan.h"
#include "sink/redis/snapshot.h"

#define SLICE 64 /* accounts in a round trip */
#define PACE 9   /* a pause is so many times as long as what Redis was asked before it */

/* A key that was found, and what it says. */
struct candidate {
    struct tkr_usage_row row;
    int which; /* TKR_REDIS_...; TKR_REDIS_HASHES: a standing limit */
};

struct walk {
    redisContext *context;
    tkr_holdings_visit *visit;
    void *arg;
    tkr_message *message;
    char sha[TKR_REDIS_SHA_BYTES];
    struct tkr_redis_wire wire;
    struct tkr_redis_snapshot snapshot;
    struct candidate candidate[SLICE];
    redisReply *answer[SLICE];
    uint32_t count;
};

/* --- what is asked --- */

static bool put_limit_call(struct tkr_redis_wire *wire, const struct tkr_usage_row *row, const char **ret_command,
                           size_t *ret_len)
{
    char key[TKR_REDIS_KEY_BYTES];

    tkr_redis_wire_begin(wire);
    tkr_redis_wire_text(wire, "HGETALL");
    tkr_redis_wire_bytes(wire, key, tkr_redis_limit_key(row->kind, row->id, row->id_len, key));
    return tkr_redis_wire_end(wire, ret_command, ret_len);
}

/* By a key of records the account is visited only if it has no totals. */
static bool put_call(struct walk *walk, const struct candidate *candidate, const char **ret_command, size_t *ret_len)
{
    bool by_records = candidate->which == TKR_REDIS_RECORDS || candidate->which == TKR_REDIS_MODEL_RECORDS;

    if (candidate->which == TKR_REDIS_HASHES)
        return put_limit_call(&walk->wire, &candidate->row, ret_command, ret_len);
    return tkr_redis_snapshot_call(&walk->wire, walk->sha, &candidate->row,
                                   by_records ? TKR_REDIS_SNAPSHOT_BRIEF : TKR_REDIS_SNAPSHOT_WHOLE, ret_command, ret_len);
}

static int ask(struct walk *walk)
{
    for (uint32_t i = 0; i < walk->count; i++) {
        const char *command;
        size_t len;

        if (!put_call(walk, &walk->candidate[i], &command, &len))
            return tkr_message_set(walk->message, "out of memory");
        if (tkr_redis_append(walk->context, command, len, walk->message) != 0)
            return -1;
    }
    return tkr_redis_flush(walk->context, walk->message);
}

static int await(struct walk *walk)
{
    for (uint32_t i = 0; i < walk->count; i++) {
        if (tkr_redis_reply(walk->context, &walk->answer[i], walk->message) != 0)
            return -1;
    }
    return 0;
}

/* --- what is answered --- */

static bool is_empty(const struct tkr_holdings *holdings)
{
    bool empty = holdings->limit < 0 && holdings->foreign == 0;

    for (uint32_t i = 0; empty && i < holdings->count; i++)
        empty = holdings->holding[i].share_count == 0 && tkr_counts_zero(&holdings->holding[i].rest);
    return empty;
}

/* Is this the key by which the account is visited? See the header. */
static bool is_its_key(const bool there[TKR_REDIS_HASHES], int which)
{
    switch (which) {
    case TKR_REDIS_RECORDS:
        return !there[TKR_REDIS_TOTALS];
    case TKR_REDIS_MODEL_RECORDS:
        return !there[TKR_REDIS_TOTALS] && !there[TKR_REDIS_RECORDS] && !there[TKR_REDIS_MODELS];
    case TKR_REDIS_MODELS:
        return !there[TKR_REDIS_TOTALS] && !there[TKR_REDIS_RECORDS];
    default:
        return true;
    }
}

static int visit_account(struct walk *walk, const struct candidate *candidate, const redisReply *answer)
{
    struct tkr_redis_snapshot *snapshot = &walk->snapshot;
    int rc = tkr_redis_snapshot_take(answer, &candidate->row, NULL, snapshot, walk->message);

    if (rc < 0)
        return -1;
    if (!is_its_key(snapshot->there, candidate->which))
        return 0;
    if (rc > 0)
        return walk->visit(&snapshot->holdings, snapshot->why, walk->arg);
    return is_empty(&snapshot->holdings) ? 0 : walk->visit(&snapshot->holdings, NULL, walk->arg);
}

/* Why a standing limit is left out. */
static const char *unreadable(const char *text, tkr_message *why)
{
    (void)tkr_message_set(why, "its limit cannot be read: %s", text);
    return why->text;
}

static int visit_limit(struct walk *walk, const struct candidate *candidate, const redisReply *answer)
{
    const struct tkr_usage_row *row = &candidate->row;
    struct tkr_holdings *holdings = &walk->snapshot.holdings;
    char text[TKR_LIMIT_TEXT_BYTES] = "";
    tkr_message why;

    if (!tkr_holdings_begin(holdings, row->kind, row->id, row->id_len, 0))
        return tkr_message_set(walk->message, "out of memory");
    if (tkr_redis_limit_take(answer, &holdings->limit, text, walk->message) != 0)
        return -1;
    if (holdings->limit == TKR_LIMIT_NONE)
        return 0;
    return walk->visit(holdings, holdings->limit == TKR_LIMIT_UNREADABLE ? unreadable(text, &why) : NULL, walk->arg);
}

/* Asks for what was collected, leaves Redis to others, and visits. */
static int serve(struct walk *walk)
{
    int64_t begun_ns = tkr_clock_monotonic_ns();
    int rc = ask(walk) == 0 ? await(walk) : -1;

    if (rc == 0)
        tkr_clock_sleep_ns(PACE * (tkr_clock_monotonic_ns() - begun_ns));
    for (uint32_t i = 0; i < walk->count; i++) {
        const struct candidate *candidate = &walk->candidate[i];
        if (rc == 0)
            rc = candidate->which == TKR_REDIS_HASHES ? visit_limit(walk, candidate, walk->answer[i])
                                                      : visit_account(walk, candidate, walk->answer[i]);
        freeReplyObject(walk->answer[i]);
        walk->answer[i] = NULL;
    }
    walk->count = 0;
    return rc;
}

/* --- the walks --- */

/* Which keys a walk is about. False: the key is none of them. */
typedef bool key_parse(const char *key, size_t len, struct candidate *ret_candidate);

static bool parse_records(const char *key, size_t len, struct candidate *ret_candidate)
{
    ret_candidate->which = TKR_REDIS_RECORDS;
    if (tkr_redis_record_key_parse(key, len, &ret_candidate->row))
        return true;
    ret_candidate->which = TKR_REDIS_MODEL_RECORDS;
    return tkr_redis_model_records_key_parse(key, len, &ret_candidate->row);
}

static bool parse_totals(const char *key, size_t len, struct candidate *ret_candidate)
{
    ret_candidate->which = TKR_REDIS_TOTALS;
    if (tkr_redis_usage_key_parse(key, len, &ret_candidate->row))
        return true;
    ret_candidate->which = TKR_REDIS_MODELS;
    return tkr_redis_models_key_parse(key, len, &ret_candidate->row);
}

static bool parse_limit(const char *key, size_t len, struct candidate *ret_candidate)
{
    ret_candidate->which = TKR_REDIS_HASHES;
    return tkr_redis_limit_key_parse(key, len, &ret_candidate->row);
}

/* Ids point into the page. */
static int walk_page(struct walk *walk, const redisReply *page, key_parse *parse)
{
    int rc = 0;

    for (size_t i = 0; i < page->elements && rc == 0; i++) {
        const redisReply *key = page->element[i];

        if (key->type == REDIS_REPLY_STRING && parse(key->str, key->len, &walk->candidate[walk->count]) && ++walk->count == SLICE)
            rc = serve(walk);
    }
    return rc == 0 && walk->count > 0 ? serve(walk) : rc;
}

static int walk_keys(struct walk *walk, const char *pattern, key_parse *parse)
{
    char cursor[TKR_REDIS_CURSOR_BYTES] = "0";
    int rc;

    do {
        int64_t begun_ns = tkr_clock_monotonic_ns();
        redisReply *page;

        if (tkr_redis_scan_page(walk->context, pattern, cursor, &page, walk->message) != 0)
            return -1;
        tkr_clock_sleep_ns(PACE * (tkr_clock_monotonic_ns() - begun_ns));
        rc = walk_page(walk, page, parse);
        freeReplyObject(page);
    } while (rc == 0 && strcmp(cursor, "0") != 0);
    return rc;
}

int tkr_redis_holdings(redisContext *context, tkr_holdings_visit *visit, void *arg, tkr_message *ret_message)
{
    const struct tkr_usage_query all = {.any_kind = 1};
    struct walk walk = {.context = context, .visit = visit, .arg = arg, .message = ret_message};
    char totals[TKR_REDIS_PATTERN_BYTES];
    int rc = tkr_redis_script_load(context, tkr_redis_snapshot_script, walk.sha, ret_message);

    tkr_redis_usage_pattern(&all, totals);
    if (rc == 0)
        rc = walk_keys(&walk, TKR_REDIS_RECORD_PATTERN, parse_records);
    if (rc == 0)
        rc = walk_keys(&walk, totals, parse_totals);
    if (rc == 0)
        rc = walk_keys(&walk, TKR_REDIS_LIMIT_PATTERN, parse_limit);
    tkr_redis_wire_free(&walk.wire);
    tkr_redis_snapshot_free(&walk.snapshot);
    return rc;
}
