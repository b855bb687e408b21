/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redis: is it there, is it one that totals are safe in, and does this user have the rights that are needed?
 *
 * Rights are tried with commands that cannot change anything, since who may not run one is told so before its arguments are looked at,
 * and who may is told what is wrong with them: a number that is none, fields without values, a script that does not compile, one that
 * nobody has loaded; and deletions in keys that nobody has. Answers are judged by their words; what they stand for is in
 * sink/redis/advice.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "command/doctor/findings.h"
#include "sink/redis/advice.h"
#include "sink/redis/connection.h"
#include "sink/redis/eviction.h"
#include "sink/redis/info.h"

#define SUBJECT "redis"
#define PINGS 7
#define SLOW_US 5000
#define CLOCK_OFF_MS 2000
#define VERSION_MAJOR_MIN 6

/* Keys of the kinds that are used; nobody's, of a day long gone. */
#define USAGE_KEY "token_usage_doctor:tokenring:1970-01-01"
#define LIMIT_KEY "token_limit_doctor:tokenring"
#define RECORD_KEY "tr1:{0}_doctor:tokenring:1970-01-01"

struct examination {
    struct tkr_findings *findings;
    redisContext *context;
    bool lost; /* the connection */
};

/* --- asking --- */

/* A command's reply, errors too; NULL: the connection is lost, which has been told. The caller frees it. */
static redisReply *ask(struct examination *examination, const char *const words[])
{
    const char *argv[8];
    size_t len[8];
    redisReply *reply = NULL;
    tkr_message message = {"there is no memory"};
    int n = 0;

    if (examination->lost)
        return NULL;
    for (; n < 8 && words[n] != NULL; n++) {
        argv[n] = words[n];
        len[n] = strlen(words[n]);
    }
    if (redisAppendCommandArgv(examination->context, n, argv, len) == REDIS_OK &&
        tkr_redis_reply(examination->context, &reply, &message) == 0)
        return reply;
    examination->lost = true;
    tkr_finding_add(examination->findings, TKR_FINDING_ERROR, SUBJECT, "see whether Redis is well, and the way to it", "%s",
                    message.text);
    return NULL;
}

static bool denied(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR && tkr_redis_is_denied(reply->str);
}

/* A section of INFO; empty where it may not be read. Freed by the caller. */
static char *read_info(struct examination *examination, const char *section)
{
    const char *const words[] = {"INFO", section, NULL};
    redisReply *reply = ask(examination, words);
    char *text = strdup(reply != NULL && reply->type == REDIS_REPLY_STRING ? reply->str : "");

    if (reply != NULL)
        freeReplyObject(reply);
    return text;
}

/* --- what it is --- */

static void tell_version(struct examination *examination, const struct tkr_redis_server *server)
{
    if (atoi(server->redis) < VERSION_MAJOR_MIN)
        tkr_finding_add(examination->findings, TKR_FINDING_WARNING, SUBJECT, "use Redis 7",
                        "version %s is older than those that are tested", server->redis);
    else if (server->name[0] != '\0')
        tkr_finding_add(examination->findings, TKR_FINDING_OK, SUBJECT, NULL, "it is %s %s, compatible with Redis %s",
                        server->name, server->own, server->redis);
    else
        tkr_finding_add(examination->findings, TKR_FINDING_OK, SUBJECT, NULL, "version %s", server->redis);
}

static void look_at_server(struct examination *examination)
{
    char *info = read_info(examination, "server");
    struct tkr_redis_server server;

    if (info != NULL && tkr_redis_server_read(info, &server)) {
        tell_version(examination, &server);
        if (server.cluster)
            tkr_finding_add(examination->findings, TKR_FINDING_ERROR, SUBJECT, "give the address of a server that is no cluster",
                            "it is part of a cluster, which is not supported yet");
    } else if (!examination->lost) {
        tkr_finding_add(examination->findings, TKR_FINDING_WARNING, SUBJECT, "for this look give the user +info",
                        "this user may not run INFO: version, role, eviction and persistence are not seen");
    }
    free(info);
}

static void look_at_role(struct examination *examination)
{
    char *info = read_info(examination, "replication");
    char role[TKR_REDIS_INFO_BYTES];

    if (info != NULL && tkr_redis_info_find(info, "role", role)) {
        if (strcmp(role, "master") == 0)
            tkr_finding_add(examination->findings, TKR_FINDING_OK, SUBJECT, NULL, "it is a master, and can be written");
        else
            tkr_finding_add(examination->findings, TKR_FINDING_ERROR, SUBJECT, "give the address of its master",
                            "it is a replica (%s): nothing can be written", role);
    }
    free(info);
}

static void look_at_eviction(struct examination *examination)
{
    static const enum tkr_finding_level levels[] = {
        [TKR_REDIS_EVICTS_EXPIRING] = TKR_FINDING_WARNING, [TKR_REDIS_EVICTS_ANY] = TKR_FINDING_ERROR};
    char *info = read_info(examination, "memory");
    struct tkr_redis_eviction eviction;

    if (info != NULL && tkr_redis_eviction_read(info, &eviction)) {
        if (eviction.evicts != TKR_REDIS_EVICTS_NOTHING)
            tkr_finding_add(examination->findings, levels[eviction.evicts], SUBJECT, TKR_REDIS_EVICTION_REMEDY,
                            "maxmemory-policy is %s (maxmemory %s): %s", eviction.policy, eviction.max,
                            tkr_redis_evicts_means[eviction.evicts]);
        else if (strcmp(eviction.policy, "noeviction") != 0)
            tkr_finding_add(examination->findings, TKR_FINDING_WARNING, SUBJECT, TKR_REDIS_EVICTION_REMEDY,
                            "maxmemory-policy is %s: with a maxmemory, which is not set, it would evict", eviction.policy);
        else
            tkr_finding_add(examination->findings, TKR_FINDING_OK, SUBJECT, NULL, "maxmemory-policy is noeviction (maxmemory %s)",
                            eviction.max);
    }
    free(info);
}

static void look_at_persistence(struct examination *examination)
{
    char *info = read_info(examination, "persistence");
    const char *const words[] = {"CONFIG", "GET", "save", NULL};
    redisReply *save = ask(examination, words);
    char aof[TKR_REDIS_INFO_BYTES];
    char status[TKR_REDIS_INFO_BYTES] = "";
    bool saves = save == NULL || save->type != REDIS_REPLY_ARRAY || save->elements < 2 || save->element[1]->len > 0;

    if (info != NULL && tkr_redis_info_find(info, "aof_enabled", aof)) {
        if (strcmp(aof, "1") == 0)
            tkr_finding_add(examination->findings, TKR_FINDING_OK, SUBJECT, NULL, "it keeps an append-only file");
        else if (saves)
            tkr_finding_add(
                examination->findings, TKR_FINDING_WARNING, SUBJECT, "appendonly yes loses a second at most",
                "it keeps snapshots (RDB) and no append-only file: after a crash collectors send again what they still hold, the "
                "rest since the last snapshot is lost");
        else
            tkr_finding_add(examination->findings, TKR_FINDING_WARNING, SUBJECT, "appendonly yes, or save points",
                            "it keeps nothing on disk: a restart loses all totals but those that collectors still hold");
        if ((tkr_redis_info_find(info, "aof_last_write_status", status) && strcmp(status, "ok") != 0) ||
            (tkr_redis_info_find(info, "rdb_last_bgsave_status", status) && strcmp(status, "ok") != 0))
            tkr_finding_add(examination->findings, TKR_FINDING_ERROR, SUBJECT, "see its log, and make room on its disk",
                            "its last write to disk failed");
    }
    if (save != NULL)
        freeReplyObject(save);
    free(info);
}

/* --- clock and latency --- */

static int compare_times(const void *one, const void *other)
{
    int64_t a = *(const int64_t *)one;
    int64_t b = *(const int64_t *)other;

    return (a > b) - (a < b);
}

static void look_at_latency(struct examination *examination)
{
    const char *const words[] = {"PING", NULL};
    int64_t times_us[PINGS];

    for (int i = 0; i < PINGS; i++) {
        int64_t begun_ns = tkr_clock_monotonic_ns();
        redisReply *reply = ask(examination, words);
        if (reply == NULL)
            return;
        times_us[i] = (tkr_clock_monotonic_ns() - begun_ns) / TKR_NS_PER_US;
        freeReplyObject(reply);
    }
    qsort(times_us, PINGS, sizeof(times_us[0]), compare_times);
    if (times_us[PINGS / 2] > SLOW_US)
        tkr_finding_add(examination->findings, TKR_FINDING_WARNING, SUBJECT, "bring it nearer, or see what keeps it busy",
                        "a round trip takes %" PRId64 " us (median of %d)", times_us[PINGS / 2], PINGS);
    else
        tkr_finding_add(examination->findings, TKR_FINDING_OK, SUBJECT, NULL, "a round trip takes %" PRId64 " us (median of %d)",
                        times_us[PINGS / 2], PINGS);
}

static void look_at_clock(struct examination *examination)
{
    const char *const words[] = {"TIME", NULL};
    int64_t begun_ns = tkr_clock_unix_ns();
    redisReply *reply = ask(examination, words);
    int64_t here_ns = begun_ns + (tkr_clock_unix_ns() - begun_ns) / 2;
    int64_t off_ms;

    if (reply == NULL)
        return;
    if (denied(reply))
        tkr_finding_add(examination->findings, TKR_FINDING_WARNING, SUBJECT, "for this look give the user +time",
                        "this user may not run TIME: its clock is not compared with this host's");
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 && reply->element[0]->str != NULL &&
        reply->element[1]->str != NULL) {
        int64_t there_ns = strtoll(reply->element[0]->str, NULL, 10) % INT32_MAX * TKR_NS_PER_S +
                           strtoll(reply->element[1]->str, NULL, 10) % 1000000 * TKR_NS_PER_US;
        off_ms = (there_ns - here_ns) / TKR_NS_PER_MS;
        if (off_ms > CLOCK_OFF_MS || off_ms < -CLOCK_OFF_MS)
            tkr_finding_add(examination->findings, TKR_FINDING_WARNING, SUBJECT,
                            "keep the clocks of all hosts by NTP: calls belong to the cycle of their host's clock",
                            "its clock differs from this host's by %" PRId64 " ms", off_ms);
        else
            tkr_finding_add(examination->findings, TKR_FINDING_OK, SUBJECT, NULL,
                            "its clock differs from this host's by %" PRId64 " ms", off_ms);
    }
    freeReplyObject(reply);
}

/* --- rights --- */

/* Who needs a command, and how it is tried. */
static const struct trial {
    const char *right;
    const char *for_whom; /* NULL: the collector, which does not work without */
    const char *words[7];
} trials[] = {
    {"+evalsha", NULL, {"EVALSHA", "0000000000000000000000000000000000000000", "1", RECORD_KEY, NULL}},
    {"+script|load", NULL, {"SCRIPT", "LOAD", "this does not compile", NULL}},
    {"+hget on ~token_usage*", NULL, {"HGET", USAGE_KEY, "none", NULL}},
    {"+hget on ~token_limit*", NULL, {"HGET", LIMIT_KEY, "none", NULL}},
    {"+hget on ~tr1:*", NULL, {"HGET", RECORD_KEY, "none", NULL}},
    {"+hset on ~tr1:*", NULL, {"HSET", RECORD_KEY, "1", "2", "3", NULL}},
    {"+hdel on ~tr1:*", NULL, {"HDEL", RECORD_KEY, "none", NULL}},
    {"+hdel on ~token_usage*", NULL, {"HDEL", USAGE_KEY, "none", NULL}},
    {"+hincrby on ~token_usage*", NULL, {"HINCRBY", USAGE_KEY, "none", "x", NULL}},
    {"+hgetall", "limits, which gateways ask for, and tokenring usage, report, limit, reset, gc", {"HGETALL", USAGE_KEY, NULL}},
    {"+scan", "tokenring usage, report, limit, reset, gc", {"SCAN", "0", "COUNT", "1", NULL}},
    {"+expire", "alert handlers and tokenring forget", {"EXPIRE", RECORD_KEY, "1", NULL}},
    {"+del", "tokenring forget", {"DEL", RECORD_KEY, NULL}},
};

/* What a right that is missing means, in the list of its kind. */
static void note(char *list, size_t room, const char *right)
{
    size_t len = strlen(list);

    (void)snprintf(list + len, room - len, "%s%s", len > 0 ? ", " : "", right);
}

/* Refused for a reason that is not the user's. */
static bool refused(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR && tkr_redis_is_unwritable(reply->str);
}

static void look_at_rights(struct examination *examination)
{
    char missing[512] = "";
    char unwritable[TKR_REDIS_INFO_BYTES] = "";

    for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
        redisReply *reply = ask(examination, trials[i].words);
        if (reply == NULL)
            return;
        if (denied(reply) && trials[i].for_whom == NULL)
            note(missing, sizeof(missing), trials[i].right);
        else if (denied(reply))
            tkr_finding_add(examination->findings, TKR_FINDING_WARNING, SUBJECT, "give it, where that is used (ACL SETUSER)",
                            "this user lacks %s, for %s", trials[i].right, trials[i].for_whom);
        else if (refused(reply) && unwritable[0] == '\0')
            (void)snprintf(unwritable, sizeof(unwritable), "%s", reply->str);
        freeReplyObject(reply);
    }
    if (missing[0] != '\0')
        tkr_finding_add(
            examination->findings, TKR_FINDING_ERROR, SUBJECT,
            "ACL SETUSER: ~token_usage* ~token_limit* ~tr1:* +evalsha +script|load +hget +hset +hdel +hincrby +hgetall",
            "this user lacks what the collector needs: %s", missing);
    else
        tkr_finding_add(examination->findings, TKR_FINDING_OK, SUBJECT, NULL, "this user may run all that the collector needs");
    if (unwritable[0] != '\0') {
        tkr_message means;
        (void)tkr_redis_refused_text(unwritable, &means);
        tkr_finding_add(examination->findings, TKR_FINDING_ERROR, SUBJECT,
                        "nothing is lost meanwhile; totals wait in the collector", "it cannot be written at present: %s",
                        means.text);
    }
}

void tkr_doctor_redis(struct tkr_findings *findings, const struct tkr_sink_config *config)
{
    struct examination examination = {.findings = findings};
    tkr_message message;

    if (tkr_redis_open(config, NULL, &examination.context, &message) != 0) {
        tkr_finding_add(findings, TKR_FINDING_ERROR, SUBJECT,
                        "start it, or correct its address and password (REDIS_URL, REDIS_...)", "%s", message.text);
        return;
    }
    tkr_sink_describe(config, &message);
    tkr_finding_add(findings, TKR_FINDING_OK, SUBJECT, NULL, "%s answers", message.text);
    look_at_server(&examination);
    look_at_role(&examination);
    look_at_eviction(&examination);
    look_at_persistence(&examination);
    look_at_rights(&examination);
    look_at_latency(&examination);
    look_at_clock(&examination);
    redisFree(examination.context);
}
