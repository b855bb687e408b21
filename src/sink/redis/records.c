/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/records.h"

#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "sink/redis/connection.h"
#include "sink/redis/keys.h"
#include "sink/redis/models.h"
#include "sink/redis/scan.h"

#define NUMBER_BYTES 24
#define PACE 9 /* a pause is so many times as long as what went before it */

static bool is_text(const redisReply *reply, size_t bytes_max)
{
    return reply->type == REDIS_REPLY_STRING && reply->len < bytes_max && strlen(reply->str) == reply->len;
}

/* A number of a chunk, or 0 for what is none. */
static uint64_t number_of(const redisReply *reply)
{
    uint64_t number = 0;

    for (const char *at = reply->str; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number))
            return 0;
    }
    return number;
}

int tkr_redis_sources(redisContext *context, tkr_source_visit *visit, void *arg, tkr_message *ret_message)
{
    const char *const args[] = {"HGETALL", TKR_REDIS_SEEN_KEY, NULL};
    redisReply *reply;
    int rc = 0;

    if (tkr_redis_command(context, args, &reply, ret_message) != 0)
        return -1;
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && rc == 0 && i + 1 < reply->elements; i += 2) {
        if (is_text(reply->element[i], TKR_SOURCE_BYTES) && is_text(reply->element[i + 1], NUMBER_BYTES))
            rc = visit(reply->element[i]->str, number_of(reply->element[i + 1]), arg);
    }
    freeReplyObject(reply);
    return rc;
}

static int visit_page(redisContext *context, const redisReply *page, const char *collector, tkr_usage_visit *visit, void *arg,
                      tkr_message *ret_message)
{
    int rc = 0;

    for (size_t i = 0; i < page->elements && rc == 0; i++) {
        const redisReply *key = page->element[i];
        struct tkr_usage_row row = {.limit = -1};

        if (key->type != REDIS_REPLY_STRING)
            continue;
        if (tkr_redis_record_key_parse(key->str, key->len, &row))
            rc = visit(&row, arg);
        else if (tkr_redis_model_records_key_parse(key->str, key->len, &row))
            rc = tkr_redis_model_records_visit(context, key, &row, collector, visit, arg, ret_message);
    }
    return rc;
}

int tkr_redis_records(redisContext *context, const char *collector, tkr_usage_visit *visit, void *arg, tkr_message *ret_message)
{
    char cursor[TKR_REDIS_CURSOR_BYTES] = "0";
    redisReply *page = NULL;
    int rc;

    do {
        int64_t begun_ns = tkr_clock_monotonic_ns();

        if (tkr_redis_scan_page(context, TKR_REDIS_RECORD_PATTERN, cursor, &page, ret_message) != 0)
            return -1;
        tkr_clock_sleep_ns(PACE * (tkr_clock_monotonic_ns() - begun_ns));
        rc = visit_page(context, page, collector, visit, arg, ret_message);
        freeReplyObject(page);
    } while (rc == 0 && strcmp(cursor, "0") != 0);
    return rc;
}
