/* SPDX-License-Identifier: Apache-2.0 */
#include "backup/parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "backup/text.h"
#include "base/cycle.h"

/* A line being read. */
struct reading {
    struct tkr_backup_counters *counters;
    struct tkr_backup_line *line;
    tkr_message *why;
};

static int wrong(struct reading *r, const char *what)
{
    return tkr_message_set(r->why, "%s", what);
}

/* Are these the object's keys, and no other? Those that end in '?' need not be there; a text may be under its key_hex. */
static int check_keys(struct reading *r, const json_t *object, const char *const keys[])
{
    size_t known = 0;

    for (; *keys != NULL; keys++) {
        char key[40];
        size_t len = strlen(*keys);
        bool optional = (*keys)[len - 1] == '?';

        (void)snprintf(key, sizeof(key), "%.*s", (int)(len - optional), *keys);
        if (json_object_get(object, key) != NULL)
            known++;
        else if (!optional)
            return tkr_message_set(r->why, "it lacks \"%s\"", key);
    }
    return known == json_object_size(object) ? 0 : wrong(r, "it has a key that this version does not know");
}

static bool take_integer(const json_t *object, const char *key, int64_t min, int64_t *ret_value)
{
    const json_t *value = json_object_get(object, key);

    if (!json_is_integer(value) || json_integer_value(value) < min)
        return false;
    *ret_value = json_integer_value(value);
    return true;
}

/* Digits in a string: 0..2^64-1, written as it would be. */
static bool take_number(const json_t *value, uint64_t *ret_number)
{
    const char *text = json_string_value(value);
    uint64_t number = 0;
    char again[24];

    if (text == NULL)
        return false;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number))
            return false;
    }
    (void)snprintf(again, sizeof(again), "%" PRIu64, number);
    if (strcmp(again, text) != 0)
        return false;
    *ret_number = number;
    return true;
}

static bool take_id(const json_t *object, const char *key, char ret_id[TKR_DATASET_ID_BYTES])
{
    const char *text = json_string_value(json_object_get(object, key));

    if (text == NULL || !tkr_dataset_id_valid(text))
        return false;
    memcpy(ret_id, text, TKR_DATASET_ID_BYTES);
    return true;
}

/* --- the first line --- */

static int counter_named(const char *name)
{
    for (int i = 0; name != NULL && i < TKR_COUNTER_COUNT; i++) {
        if (strcmp(tkr_counter_name[i], name) == 0)
            return i;
    }
    return -1;
}

static int take_counters(struct reading *r, const json_t *array)
{
    size_t count = json_array_size(array); /* 0 for what is none */

    if (count == 0 || count > TKR_COUNTER_MAX)
        return wrong(r, "its \"counters\" are no list of counters");
    for (size_t i = 0; i < count; i++) {
        int counter = counter_named(json_string_value(json_array_get(array, i)));

        if (counter < 0)
            return wrong(r, "it has a counter that this version does not know: restore it with a newer one");
        r->counters->counter[i] = counter;
        for (size_t j = 0; j < i; j++) {
            if (r->counters->counter[j] == counter)
                return wrong(r, "it names a counter twice");
        }
    }
    r->counters->count = (uint32_t)count;
    return 0;
}

static int take_head(struct reading *r, const json_t *object)
{
    static const char *const keys[] = {"tokenring_backup", "backup", "dataset", "made_s", "counters", NULL};
    struct tkr_backup_head *head = &r->line->head;
    int64_t format;

    r->line->kind = TKR_BACKUP_HEAD;
    if (!take_integer(object, "tokenring_backup", 1, &format))
        return wrong(r, "its format is no number");
    if (format > TKR_BACKUP_FORMAT)
        return tkr_message_set(r->why, "its format is %" PRId64 ", known is %d: it was made by a newer tokenring", format,
                               TKR_BACKUP_FORMAT);
    if (check_keys(r, object, keys) != 0)
        return -1;
    if (!take_id(object, "backup", head->backup) || !take_id(object, "dataset", head->dataset))
        return wrong(r, "its \"backup\" or \"dataset\" is not 16 digits 0-9 and a-f");
    if (!take_integer(object, "made_s", 0, &head->made_s))
        return wrong(r, "its \"made_s\" is no time");
    return take_counters(r, json_object_get(object, "counters"));
}

/* --- sources --- */

static int take_source(struct reading *r, const json_t *object)
{
    static const char *const keys[] = {"source", "seen", NULL};
    const json_t *source = json_object_get(object, "source");

    r->line->kind = TKR_BACKUP_SOURCE;
    if (check_keys(r, object, keys) != 0)
        return -1;
    if (!json_is_string(source) || !tkr_source_valid(json_string_value(source), json_string_length(source)))
        return wrong(r, "its \"source\" is none");
    memcpy(r->line->source.source, json_string_value(source), json_string_length(source) + 1);
    return take_number(json_object_get(object, "seen"), &r->line->source.seen) ? 0 : wrong(r, "its \"seen\" is no number");
}

/* --- accounts --- */

/* Values from number `first` of the array on. */
static bool take_values(const struct reading *r, const json_t *array, size_t first, int64_t min, tkr_counts *ret_counts)
{
    size_t count = json_array_size(array);

    memset(ret_counts, 0, sizeof(*ret_counts));
    if (!json_is_array(array) || count < first || count - first > r->counters->count)
        return false;
    for (size_t i = first; i < count; i++) {
        const json_t *value = json_array_get(array, i);

        if (!json_is_integer(value) || json_integer_value(value) < min)
            return false;
        ret_counts->value[r->counters->counter[i - first]] = json_integer_value(value);
    }
    return true;
}

static int take_records(struct reading *r, json_t *object, struct tkr_holding *holding)
{
    json_t *records = json_object_get(object, "records");
    const char *source;
    json_t *value;

    if (records == NULL)
        return 0;
    if (!json_is_object(records))
        return wrong(r, "its \"records\" are no object");
    json_object_foreach (records, source, value) {
        struct tkr_record record;

        if (!tkr_source_valid(source, strlen(source)) || !take_number(json_array_get(value, 0), &record.life) ||
            record.life == 0 || !take_values(r, value, 1, 0, &record.counts))
            return wrong(r, "one of its records is none");
        if (!tkr_holding_add(holding, source, strlen(source), &record))
            return wrong(r, "there is no memory for it");
    }
    return 0;
}

static int take_holding(struct reading *r, json_t *object, struct tkr_holding *holding)
{
    const json_t *rest = json_object_get(object, "rest");

    if (holding == NULL)
        return wrong(r, "it has too many models, or there is no memory");
    if (rest != NULL && !take_values(r, rest, 0, INT64_MIN, &holding->rest))
        return wrong(r, "its \"rest\" is no list of figures");
    return take_records(r, object, holding);
}

static int take_model(struct reading *r, json_t *object)
{
    static const char *const keys[] = {"model?", "model_hex?", "records?", "rest?", NULL};
    struct tkr_holdings *holdings = &r->line->holdings;
    char model[TKR_LABEL_BYTES_MAX];
    size_t len;

    if (!json_is_object(object) || check_keys(r, object, keys) != 0 ||
        !tkr_backup_get_bytes(object, "model", sizeof(model), model, &len) || !tkr_text_clean(model, len))
        return wrong(r, "one of its models is none");
    for (uint32_t i = 1; i < holdings->count; i++) {
        if (holdings->holding[i].model_len == len && memcmp(holdings->holding[i].model, model, len) == 0)
            return wrong(r, "it has a model twice");
    }
    return take_holding(r, object, tkr_holdings_of(holdings, model, len));
}

static int take_models(struct reading *r, const json_t *models)
{
    int rc = 0;

    if (models == NULL)
        return 0;
    if (!json_is_array(models))
        return wrong(r, "its \"models\" are no list");
    for (size_t i = 0; i < json_array_size(models) && rc == 0; i++)
        rc = take_model(r, json_array_get(models, i));
    return rc;
}

static int take_name(struct reading *r, const json_t *object, uint32_t cycle)
{
    const char *kind = json_string_value(json_object_get(object, "kind"));
    char id[TKR_ID_BYTES_MAX];
    uint64_t number;
    size_t len;

    if (kind == NULL || tkr_kind(kind, &number) != TKR_OK)
        return wrong(r, "its \"kind\" is no kind of account");
    if (!tkr_backup_get_bytes(object, "account", sizeof(id), id, &len) || !tkr_text_clean(id, len))
        return wrong(r, "its \"account\" is not 1 to 255 bytes without control characters");
    if (!tkr_holdings_begin(&r->line->holdings, number, id, (uint32_t)len, cycle))
        return wrong(r, "there is no memory for it");
    return 0;
}

static int take_limit(struct reading *r, const json_t *object, const char *key)
{
    if (json_object_get(object, key) == NULL || take_integer(object, key, 0, &r->line->holdings.limit))
        return 0;
    return wrong(r, "its limit is no number from 0 on");
}

static int take_account(struct reading *r, json_t *object)
{
    static const char *const cycle_keys[] = {"account?", "account_hex?", "kind",    "cycle", "limit?",
                                             "records?", "rest?",        "models?", NULL};
    static const char *const standing_keys[] = {"account?", "account_hex?", "kind", "standing", NULL};
    const char *date = json_string_value(json_object_get(object, "cycle"));
    bool standing = json_object_get(object, "standing") != NULL;
    uint32_t cycle = 0;

    r->line->kind = TKR_BACKUP_ACCOUNT;
    if (check_keys(r, object, standing ? standing_keys : cycle_keys) != 0)
        return -1;
    if (!standing && (date == NULL || !tkr_cycle_parse(date, &cycle)))
        return wrong(r, "its \"cycle\" is no date YYYY-MM-DD");
    if (take_name(r, object, cycle) != 0 || take_limit(r, object, standing ? "standing" : "limit") != 0 ||
        take_holding(r, object, &r->line->holdings.holding[0]) != 0 || take_models(r, json_object_get(object, "models")) != 0)
        return -1;
    return tkr_holdings_finish_rest(&r->line->holdings, r->why) ? 0 : -1;
}

/* --- the last line --- */

static bool take_count(const json_t *object, const char *key, uint64_t *ret_count)
{
    int64_t count;

    if (!take_integer(object, key, 0, &count))
        return false;
    *ret_count = (uint64_t)count;
    return true;
}

static bool take_sum(const json_t *object, uint64_t *ret_sum)
{
    const char *text = json_string_value(json_object_get(object, "xxh64"));

    if (text == NULL || !tkr_dataset_id_valid(text)) /* which is 16 digits too */
        return false;
    *ret_sum = strtoull(text, NULL, 16);
    return true;
}

static int take_end(struct reading *r, const json_t *object)
{
    static const char *const outer[] = {"end", NULL};
    static const char *const inner[] = {"sources", "accounts", "limits", "left_out", "xxh64", NULL};
    const json_t *of = json_object_get(object, "end");
    struct tkr_backup_end *end = &r->line->end;

    r->line->kind = TKR_BACKUP_END;
    if (check_keys(r, object, outer) != 0 || check_keys(r, of, inner) != 0)
        return -1;
    if (!take_count(of, "sources", &end->sources) || !take_count(of, "accounts", &end->accounts) ||
        !take_count(of, "limits", &end->limits) || !take_count(of, "left_out", &end->left_out) || !take_sum(of, &end->xxh64))
        return wrong(r, "its counts or its checksum are none");
    return 0;
}

/* --- */

static int take_line(struct reading *r, json_t *object)
{
    if (json_object_get(object, "tokenring_backup") != NULL)
        return take_head(r, object);
    if (json_object_get(object, "source") != NULL)
        return take_source(r, object);
    if (json_object_get(object, "kind") != NULL)
        return take_account(r, object);
    if (json_object_get(object, "end") != NULL)
        return take_end(r, object);
    return wrong(r, "it is none of a backup's lines");
}

int tkr_backup_parse(const char *text, size_t len, struct tkr_backup_counters *counters, struct tkr_backup_line *line,
                     tkr_message *ret_why)
{
    struct reading r = {.counters = counters, .line = line, .why = ret_why};
    json_error_t error;
    json_t *object = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    int rc;

    if (object == NULL)
        return tkr_message_set(ret_why, "it is no JSON object, from byte %d on", error.position);
    rc = json_is_object(object) ? take_line(&r, object) : wrong(&r, "it is no JSON object");
    json_decref(object);
    return rc;
}
