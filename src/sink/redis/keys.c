/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/keys.h"

#include <string.h>

#include "base/account.h"
#include "base/cycle.h"
#include "tokenring/tokenring.h"

#define USAGE "token_usage"
#define RECORD "tr1:{0}"
#define LIMIT "token_limit"
#define MODELS ".models"
#define ALERTS ".alerts"
#define DATE_LEN (TKR_CYCLE_TEXT_BYTES - 1)

static char *put(char *at, const char *bytes, size_t len)
{
    memcpy(at, bytes, len);
    return at + len;
}

/* "" for users, "_KIND" for the others. */
static char *put_kind(char *at, uint64_t kind)
{
    char name[TKR_KIND_NAME_BYTES];

    if (kind == TKR_KIND_USER)
        return at;
    tkr_kind_name(kind, name);
    *at++ = '_';
    return put(at, name, strlen(name));
}

static char *put_date(char *at, uint32_t cycle)
{
    char date[TKR_CYCLE_TEXT_BYTES];

    tkr_cycle_format(cycle, date);
    return put(at, date, DATE_LEN);
}

/* suffix: what follows the kind. */
static size_t put_key(char *key, uint64_t kind, const char *suffix, const char *id, size_t id_len, uint32_t cycle)
{
    char *at = put_kind(key, kind);

    at = put(at, suffix, strlen(suffix));
    *at++ = ':';
    at = put(at, id, id_len);
    *at++ = ':';
    return (size_t)(put_date(at, cycle) - key);
}

size_t tkr_redis_usage_key(uint64_t kind, const char *id, size_t id_len, uint32_t cycle, char ret_key[TKR_REDIS_KEY_BYTES])
{
    char *at = put(ret_key, USAGE, sizeof(USAGE) - 1);

    return sizeof(USAGE) - 1 + put_key(at, kind, "", id, id_len, cycle);
}

size_t tkr_redis_record_key(uint64_t kind, const char *id, size_t id_len, uint32_t cycle, char ret_key[TKR_REDIS_KEY_BYTES])
{
    char *at = put(ret_key, RECORD, sizeof(RECORD) - 1);

    return sizeof(RECORD) - 1 + put_key(at, kind, "", id, id_len, cycle);
}

size_t tkr_redis_models_key(uint64_t kind, const char *id, size_t id_len, uint32_t cycle, char ret_key[TKR_REDIS_KEY_BYTES])
{
    char *at = put(ret_key, USAGE, sizeof(USAGE) - 1);

    return sizeof(USAGE) - 1 + put_key(at, kind, MODELS, id, id_len, cycle);
}

size_t tkr_redis_model_records_key(uint64_t kind, const char *id, size_t id_len, uint32_t cycle,
                                   char ret_key[TKR_REDIS_KEY_BYTES])
{
    char *at = put(ret_key, RECORD, sizeof(RECORD) - 1);

    return sizeof(RECORD) - 1 + put_key(at, kind, MODELS, id, id_len, cycle);
}

size_t tkr_redis_alerts_key(uint64_t kind, const char *id, size_t id_len, uint32_t cycle, char ret_key[TKR_REDIS_KEY_BYTES])
{
    char *at = put(ret_key, RECORD, sizeof(RECORD) - 1);

    return sizeof(RECORD) - 1 + put_key(at, kind, ALERTS, id, id_len, cycle);
}

size_t tkr_redis_limit_key(uint64_t kind, const char *id, size_t id_len, char ret_key[TKR_REDIS_KEY_BYTES])
{
    char *at = put_kind(put(ret_key, LIMIT, sizeof(LIMIT) - 1), kind);

    *at++ = ':';
    return (size_t)(put(at, id, id_len) - ret_key);
}

/* What stands between "token_usage" and the first ':'; "_user" is not how users are written. */
static bool parse_kind(const char *text, size_t len, uint64_t *ret_kind)
{
    char name[TKR_KIND_NAME_BYTES];

    if (len == 0) {
        *ret_kind = TKR_KIND_USER;
        return true;
    }
    if (text[0] != '_' || len > TKR_KIND_NAME_MAX + 1)
        return false;
    memcpy(name, text + 1, len - 1);
    name[len - 1] = '\0';
    return tkr_kind(name, ret_kind) == TKR_OK && *ret_kind != TKR_KIND_USER;
}

static bool ends_with(const char *text, size_t len, const char *suffix)
{
    size_t suffix_len = strlen(suffix);

    return len >= suffix_len && memcmp(text + len - suffix_len, suffix, suffix_len) == 0;
}

static bool parse_key(const char *prefix, const char *suffix, const char *key, size_t len, struct tkr_usage_row *ret_row)
{
    size_t prefix_len = strlen(prefix);
    const char *end = key + len;
    const char *at = key + prefix_len;
    const char *colon;
    char date[TKR_CYCLE_TEXT_BYTES];

    if (len < prefix_len || memcmp(key, prefix, prefix_len) != 0)
        return false;
    colon = memchr(at, ':', (size_t)(end - at));
    if (colon == NULL || !ends_with(at, (size_t)(colon - at), suffix) ||
        !parse_kind(at, (size_t)(colon - at) - strlen(suffix), &ret_row->kind))
        return false;
    at = colon + 1;
    if (end - at < DATE_LEN + 2 || end - at > TKR_ID_BYTES_MAX + 1 + DATE_LEN || end[-DATE_LEN - 1] != ':')
        return false;
    memcpy(date, end - DATE_LEN, DATE_LEN);
    date[DATE_LEN] = '\0';
    ret_row->id = at;
    ret_row->id_len = (uint32_t)(end - at - DATE_LEN - 1);
    return tkr_text_clean(at, ret_row->id_len) && tkr_cycle_parse(date, &ret_row->cycle);
}

bool tkr_redis_usage_key_parse(const char *key, size_t len, struct tkr_usage_row *ret_row)
{
    return parse_key(USAGE, "", key, len, ret_row);
}

bool tkr_redis_record_key_parse(const char *key, size_t len, struct tkr_usage_row *ret_row)
{
    return parse_key(RECORD, "", key, len, ret_row);
}

bool tkr_redis_models_key_parse(const char *key, size_t len, struct tkr_usage_row *ret_row)
{
    return parse_key(USAGE, MODELS, key, len, ret_row);
}

bool tkr_redis_model_records_key_parse(const char *key, size_t len, struct tkr_usage_row *ret_row)
{
    return parse_key(RECORD, MODELS, key, len, ret_row);
}

bool tkr_redis_limit_key_parse(const char *key, size_t len, struct tkr_usage_row *ret_row)
{
    const char *at = key + sizeof(LIMIT) - 1;
    const char *end = key + len;
    const char *colon;

    if (len < sizeof(LIMIT) || memcmp(key, LIMIT, sizeof(LIMIT) - 1) != 0)
        return false;
    colon = memchr(at, ':', (size_t)(end - at));
    if (colon == NULL || !parse_kind(at, (size_t)(colon - at), &ret_row->kind))
        return false;
    if (end - colon - 1 < 1 || end - colon - 1 > TKR_ID_BYTES_MAX)
        return false;
    ret_row->id = colon + 1;
    ret_row->id_len = (uint32_t)(end - colon - 1);
    ret_row->cycle = 0;
    return tkr_text_clean(ret_row->id, ret_row->id_len);
}

static char *put_escaped(char *at, const char *id, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (strchr("*?[]\\^-", id[i]) != NULL)
            *at++ = '\\';
        *at++ = id[i];
    }
    return at;
}

void tkr_redis_usage_pattern(const struct tkr_usage_query *query, char ret_pattern[TKR_REDIS_PATTERN_BYTES])
{
    char *at = put(ret_pattern, USAGE, sizeof(USAGE) - 1);

    if (query->any_kind)
        *at++ = '*';
    else
        at = put_kind(at, query->kind);
    if (query->by_model)
        at = put(at, MODELS, sizeof(MODELS) - 1);
    *at++ = ':';
    if (query->id != NULL)
        at = put_escaped(at, query->id, query->id_len);
    else
        *at++ = '*';
    *at++ = ':';
    at = query->cycle != 0 ? put_date(at, query->cycle) : put(at, "*", 1);
    *at = '\0';
}

void tkr_redis_account_records_pattern(const struct tkr_usage_query *query, char ret_pattern[TKR_REDIS_PATTERN_BYTES])
{
    char *at = put_kind(put(ret_pattern, RECORD, sizeof(RECORD) - 1), query->kind);

    if (query->by_model)
        at = put(at, MODELS, sizeof(MODELS) - 1);
    *at++ = ':';
    at = put_escaped(at, query->id, query->id_len);
    memcpy(at, ":*-*-*", sizeof(":*-*-*"));
}
