/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/restore.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sink/record.h"
#include "sink/redis/connection.h"
#include "sink/redis/keys.h"
#include "sink/redis/limit_fields.h"
#include "sink/redis/snapshot.h"

#define TRIES_MAX 200 /* of an account that collectors keep writing to */
#define PACE 1        /* a pause is so many times as long as what Redis was asked before it */
#define SOURCES_MAX 500
#define FIELD_BYTES (TKR_SOURCE_BYTES + TKR_LABEL_BYTES_MAX + 32)

static const char write_script[] =
    "local was,digest=hashes(KEYS,true)\n"
    "if digest~=ARGV[1] then return 0 end\n"
    "local at,j={},2\n"
    "for i=1,4 do at[i]=j j=j+1+2*tonumber(ARGV[j]) end\n"
    "local function undo(done)\n"
    " local old={{},{},{},{}}\n"
    " for i=1,4 do for x=1,#was[i],2 do old[i][was[i][x]]=was[i][x+1] end end\n"
    " for y=#done,1,-1 do\n"
    "  local i,f=done[y][1],done[y][2]\n"
    "  if old[i][f] then redis.call('HSET',KEYS[i],f,old[i][f]) else redis.call('HDEL',KEYS[i],f) end\n"
    " end\n"
    "end\n"
    "local done={}\n"
    "for _,i in ipairs({2,4,1,3}) do\n"
    " for x=at[i]+1,at[i]+2*tonumber(ARGV[at[i]]),2 do\n"
    "  local r=redis.pcall('HSET',KEYS[i],ARGV[x],ARGV[x+1])\n"
    "  if type(r)=='table' then undo(done) return r end\n"
    "  done[#done+1]={i,ARGV[x]}\n"
    " end\n"
    "end\n"
    "return 1\n";

/* KEYS: the key. ARGV: field and value, any number of them. Sets the fields that are not there. */
static const char absent_script[] =
    "for x=1,#ARGV,2 do\n"
    " if not redis.call('HGET',KEYS[1],ARGV[x]) then redis.call('HSET',KEYS[1],ARGV[x],ARGV[x+1]) end\n"
    "end\n"
    "return 1\n";

struct restoring {
    redisContext *context;
    const struct tkr_restore_terms *terms;
    const struct tkr_holdings *account;
    struct tkr_restored *restored;
    tkr_message *message;
    char read[TKR_REDIS_SHA_BYTES]; /* scripts */
    char write[TKR_REDIS_SHA_BYTES];
    struct tkr_redis_wire wire;
    struct tkr_redis_snapshot now;
    struct tkr_holdings plan;
    uint32_t *pending; /* accounts that are not done; of those that were sent, writing */
    uint32_t pending_count;
    uint32_t *writing;
    uint32_t writing_count;
};

static int no_memory(tkr_message *ret_message)
{
    return tkr_message_set(ret_message, "out of memory");
}

static struct tkr_usage_row row_of(const struct tkr_holdings *account)
{
    return (struct tkr_usage_row){
        .kind = account->kind, .id = account->id, .id_len = account->id_len, .cycle = account->cycle, .limit = -1};
}

static int append(struct restoring *r)
{
    const char *command;
    size_t len;

    if (!tkr_redis_wire_end(&r->wire, &command, &len))
        return no_memory(r->message);
    return tkr_redis_append(r->context, command, len, r->message);
}

/* --- what is written --- */

static void put_integer(struct tkr_redis_wire *wire, int64_t value)
{
    char digits[24];

    (void)snprintf(digits, sizeof(digits), "%" PRId64, value);
    tkr_redis_wire_text(wire, digits);
}

/* Counters that grow, with what they grow to. */
static uint32_t count_totals(const struct tkr_holding *plan)
{
    uint32_t count = 0;

    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        count += plan->total.value[i] != 0;
    return count;
}

static void put_totals(struct restoring *r, const struct tkr_holding *plan)
{
    const struct tkr_holding *now = tkr_holdings_find(&r->now.holdings, plan->model, plan->model_len);
    char field[FIELD_BYTES];

    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        size_t len = plan->model_len;

        if (plan->total.value[i] == 0)
            continue;
        if (len > 0) {
            memcpy(field, plan->model, len);
            field[len++] = ':';
        }
        memcpy(field + len, tkr_counter_name[i], strlen(tkr_counter_name[i]));
        tkr_redis_wire_bytes(&r->wire, field, len + strlen(tkr_counter_name[i]));
        put_integer(&r->wire, plan->total.value[i] + (now != NULL ? now->total.value[i] : 0)); /* the plan knows that it fits */
    }
}

static void put_records(struct restoring *r, const struct tkr_holding *plan)
{
    unsigned char value[TKR_RECORD_BYTES_MAX];
    char field[FIELD_BYTES];

    for (uint32_t i = 0; i < plan->share_count; i++) {
        size_t len = strlen(plan->share[i].source);

        memcpy(field, plan->share[i].source, len);
        if (plan->model_len > 0) {
            field[len++] = ':';
            memcpy(field + len, plan->model, plan->model_len);
            len += plan->model_len;
        }
        tkr_redis_wire_bytes(&r->wire, field, len);
        tkr_redis_wire_bytes(&r->wire, value, tkr_record_encode(&plan->share[i].record, value));
    }
}

/* The field of a limit, or of a block. */
static void put_limit(struct restoring *r, int64_t limit)
{
    tkr_redis_wire_text(&r->wire, limit > 0 ? TKR_REDIS_LIMIT_FIELD : TKR_REDIS_BLOCKED_FIELD);
    put_integer(&r->wire, limit > 0 ? limit : 1);
}

/* With the limit. */
static void put_own_totals(struct restoring *r)
{
    const struct tkr_holding *own = &r->plan.holding[0];
    bool limit = r->plan.limit != TKR_LIMIT_NONE;

    tkr_redis_wire_number(&r->wire, count_totals(own) + limit);
    put_totals(r, own);
    if (limit)
        put_limit(r, r->plan.limit);
}

/* With the mark, whose value is the time, for people, and how new the backup is, for a repair. */
static void put_own_records(struct restoring *r)
{
    char value[48];

    (void)snprintf(value, sizeof(value), "%" PRId64 " %" PRIu64, tkr_clock_unix_ns() / TKR_NS_PER_S,
                   tkr_restore_newest(r->terms));
    tkr_redis_wire_number(&r->wire, r->plan.holding[0].share_count + 1);
    put_records(r, &r->plan.holding[0]);
    tkr_redis_wire_text(&r->wire, r->terms->mark);
    tkr_redis_wire_text(&r->wire, value);
}

static void put_models(struct restoring *r)
{
    uint32_t totals = 0;
    uint32_t records = 0;

    for (uint32_t i = 1; i < r->plan.count; i++) {
        totals += count_totals(&r->plan.holding[i]);
        records += r->plan.holding[i].share_count;
    }
    tkr_redis_wire_number(&r->wire, totals);
    for (uint32_t i = 1; i < r->plan.count; i++)
        put_totals(r, &r->plan.holding[i]);
    tkr_redis_wire_number(&r->wire, records);
    for (uint32_t i = 1; i < r->plan.count; i++)
        put_records(r, &r->plan.holding[i]);
}

static int append_write(struct restoring *r, const struct tkr_usage_row *row)
{
    tkr_redis_wire_begin(&r->wire);
    tkr_redis_wire_text(&r->wire, "EVALSHA");
    tkr_redis_wire_text(&r->wire, r->write);
    tkr_redis_wire_number(&r->wire, TKR_REDIS_HASHES);
    tkr_redis_snapshot_keys(&r->wire, row);
    tkr_redis_wire_text(&r->wire, r->now.digest);
    put_own_totals(r);
    put_own_records(r);
    put_models(r);
    return append(r);
}

/* --- a try of all that are pending --- */

static int append_reads(struct restoring *r)
{
    for (uint32_t i = 0; i < r->pending_count; i++) {
        struct tkr_usage_row row = row_of(&r->account[r->pending[i]]);
        const char *command;
        size_t len;

        if (!tkr_redis_snapshot_call(&r->wire, r->read, &row, TKR_REDIS_SNAPSHOT_DIGEST, &command, &len))
            return no_memory(r->message);
        if (tkr_redis_append(r->context, command, len, r->message) != 0)
            return -1;
    }
    return tkr_redis_flush(r->context, r->message);
}

/* Takes what the account is now, decides, and adds the write to what is to be sent. */
static int decide(struct restoring *r, uint32_t number, const redisReply *reply)
{
    const struct tkr_holdings *account = &r->account[number];
    struct tkr_restored *restored = &r->restored[number];
    struct tkr_usage_row row = row_of(account);
    int rc = tkr_redis_snapshot_take(reply, &row, r->terms->mark, &r->now, r->message);

    if (rc < 0)
        return -1;
    if (rc > 0)
        tkr_restore_leave(restored, r->now.why);
    else if (tkr_restore_plan(r->terms, account, &r->now.holdings, &r->plan, restored) == TKR_RESTORE_DONE &&
             !r->terms->dry_run) {
        r->writing[r->writing_count++] = number;
        return append_write(r, &row);
    }
    return 0;
}

static int take_reads(struct restoring *r)
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
static int take_writes(struct restoring *r)
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

/*
 * hiredis sends what is appended with the next wait for a reply, so the writes go out while reads are still taken: what they were
 * decided on is then the youngest.
 */
static int try_pending(struct restoring *r)
{
    int64_t begun_ns = tkr_clock_monotonic_ns();
    int rc = append_reads(r);

    if (rc == 0)
        rc = take_reads(r);
    if (rc == 0)
        rc = take_writes(r);
    if (rc == 0)
        tkr_clock_sleep_ns(PACE * (tkr_clock_monotonic_ns() - begun_ns));
    return rc;
}

static int restore_accounts(struct restoring *r)
{
    int rc = 0;

    for (int tries = 0; rc == 0 && r->pending_count > 0 && tries < TRIES_MAX; tries++)
        rc = try_pending(r);
    for (uint32_t i = 0; rc == 0 && i < r->pending_count; i++)
        tkr_restore_leave(&r->restored[r->pending[i]], "it was changed by others at each try");
    return rc;
}

/* --- standing limits --- */

/* Each in a command of its own; "HGETALL", or the script. */
static int append_limit(struct restoring *r, const char *script, const struct tkr_holdings *account)
{
    char key[TKR_REDIS_KEY_BYTES];
    size_t len = tkr_redis_limit_key(account->kind, account->id, account->id_len, key);

    tkr_redis_wire_begin(&r->wire);
    tkr_redis_wire_text(&r->wire, script != NULL ? "EVALSHA" : "HGETALL");
    if (script != NULL) {
        tkr_redis_wire_text(&r->wire, script);
        tkr_redis_wire_number(&r->wire, 1);
    }
    tkr_redis_wire_bytes(&r->wire, key, len);
    if (script != NULL)
        put_limit(r, account->limit);
    return append(r);
}

/* Does a hash have a limit of any kind, also one that cannot be read or somebody's 0? */
static bool has_limit(const redisReply *hash)
{
    char text[TKR_LIMIT_TEXT_BYTES] = "";
    int64_t limit = TKR_LIMIT_NONE;
    bool has = false;

    for (size_t i = 0; hash->type == REDIS_REPLY_ARRAY && i + 1 < hash->elements; i += 2)
        has = tkr_redis_limit_field(hash->element[i], hash->element[i + 1], &limit, text) || has;
    return has;
}

static int take_limit(struct restoring *r, struct tkr_restored *restored)
{
    redisReply *reply;
    int rc = 0;

    if (tkr_redis_reply(r->context, &reply, r->message) != 0)
        return -1;
    if (reply->type == REDIS_REPLY_ERROR && strstr(reply->str, "WRONGTYPE") != NULL)
        tkr_restore_leave(restored, "its standing limit: a value of another type is there");
    else if (reply->type == REDIS_REPLY_ERROR)
        rc = tkr_redis_refused(reply, r->message);
    else
        restored->limit = !has_limit(reply);
    freeReplyObject(reply);
    return rc;
}

/* Asks which of them there are, and sets those that are not. */
static int restore_limits(struct restoring *r, uint32_t count)
{
    char absent[TKR_REDIS_SHA_BYTES];
    struct tkr_restored ignored;
    int rc = tkr_redis_script_load(r->context, absent_script, absent, r->message);

    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        if (r->account[i].cycle != 0)
            continue;
        rc = append_limit(r, NULL, &r->account[i]) == 0 ? take_limit(r, &r->restored[i]) : -1;
        if (rc == 0 && r->restored[i].limit && !r->terms->dry_run)
            rc = append_limit(r, absent, &r->account[i]) == 0 ? take_limit(r, &ignored) : -1;
    }
    return rc;
}

/* --- */

static int load(struct restoring *r)
{
    char script[4096];

    (void)snprintf(script, sizeof(script), "%s%s", tkr_redis_snapshot_read, write_script);
    if (tkr_redis_script_load(r->context, tkr_redis_snapshot_script, r->read, r->message) != 0)
        return -1;
    return tkr_redis_script_load(r->context, script, r->write, r->message);
}

/* Accounts and cycles are pending; standing limits are not among them. */
static bool prepare(struct restoring *r, uint32_t count, bool *ret_limits)
{
    r->pending = calloc(count + 1, sizeof(*r->pending));
    r->writing = calloc(count + 1, sizeof(*r->writing));
    if (r->pending == NULL || r->writing == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        r->restored[i] = (struct tkr_restored){.verdict = TKR_RESTORE_DONE};
        *ret_limits = *ret_limits || r->account[i].cycle == 0;
        if (r->account[i].cycle != 0)
            r->pending[r->pending_count++] = i;
    }
    return true;
}

int tkr_redis_restore(redisContext *context, const struct tkr_restore_terms *terms, const struct tkr_holdings *accounts,
                      uint32_t count, struct tkr_restored *ret_restored, tkr_message *ret_message)
{
    struct restoring r = {
        .context = context, .terms = terms, .account = accounts, .restored = ret_restored, .message = ret_message};
    bool limits = false;
    int rc = prepare(&r, count, &limits) ? load(&r) : no_memory(ret_message);

    if (rc == 0)
        rc = restore_accounts(&r);
    if (rc == 0 && limits)
        rc = restore_limits(&r, count);
    tkr_redis_wire_free(&r.wire);
    tkr_redis_snapshot_free(&r.now);
    tkr_holdings_free(&r.plan);
    free(r.pending);
    free(r.writing);
    return rc;
}

/* --- numbers of sources --- */

static int set_sources(redisContext *context, struct tkr_redis_wire *wire, const char *sha, const struct tkr_source_seen *sources,
                       uint32_t count, tkr_message *ret_message)
{
    redisReply *reply;
    const char *command;
    size_t len;
    int rc;

    tkr_redis_wire_begin(wire);
    tkr_redis_wire_text(wire, "EVALSHA");
    tkr_redis_wire_text(wire, sha);
    tkr_redis_wire_number(wire, 1);
    tkr_redis_wire_text(wire, TKR_REDIS_SEEN_KEY);
    for (uint32_t i = 0; i < count; i++) {
        tkr_redis_wire_text(wire, sources[i].source);
        tkr_redis_wire_number(wire, sources[i].seen);
    }
    if (!tkr_redis_wire_end(wire, &command, &len))
        return no_memory(ret_message);
    if (tkr_redis_append(context, command, len, ret_message) != 0 || tkr_redis_reply(context, &reply, ret_message) != 0)
        return -1;
    rc = reply->type == REDIS_REPLY_ERROR ? tkr_redis_refused(reply, ret_message) : 0;
    freeReplyObject(reply);
    return rc;
}

int tkr_redis_sources_set(redisContext *context, const struct tkr_source_seen *sources, uint32_t count, tkr_message *ret_message)
{
    struct tkr_redis_wire wire = {0};
    char sha[TKR_REDIS_SHA_BYTES];
    int rc = tkr_redis_script_load(context, absent_script, sha, ret_message);

    for (uint32_t at = 0; at < count && rc == 0; at += SOURCES_MAX)
        rc = set_sources(context, &wire, sha, sources + at, count - at < SOURCES_MAX ? count - at : SOURCES_MAX, ret_message);
    tkr_redis_wire_free(&wire);
    return rc;
}
