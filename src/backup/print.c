/* SPDX-License-Identifier: Apache-2.0 */
#include "backup/print.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "backup/text.h"
#include "base/cycle.h"

#define LIFE_DIGITS_MAX 20

/* --- writing --- */

/* Without memory an object lacks something; that is seen here, by what it should have. */
static char *finish(json_t *object, bool whole)
{
    char *text = whole ? json_dumps(object, JSON_COMPACT) : NULL;
    char *line = NULL;

    json_decref(object); /* takes NULL */
    if (text != NULL && asprintf(&line, "%s\n", text) < 0)
        line = NULL;
    free(text);
    return line;
}

static bool set(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

static bool set_number(json_t *object, const char *key, uint64_t number)
{
    char digits[LIFE_DIGITS_MAX + 1];

    (void)snprintf(digits, sizeof(digits), "%" PRIu64, number);
    return set(object, key, json_string(digits));
}

char *tkr_backup_print_head(const struct tkr_backup_head *head)
{
    json_t *counters = json_array();
    json_t *object = json_pack("{s:i, s:s, s:s, s:I}", "tokenring_backup", TKR_BACKUP_FORMAT, "backup", head->backup, "dataset",
                               head->dataset, "made_s", (json_int_t)head->made_s);

    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        (void)json_array_append_new(counters, json_string(tkr_counter_name[i])); /* see below */
    return finish(object, json_array_size(counters) == TKR_COUNTER_COUNT && set(object, "counters", counters));
}

char *tkr_backup_print_source(const char *source, uint64_t seen)
{
    json_t *object = json_object();

    return finish(object, set(object, "source", json_string(source)) && set_number(object, "seen", seen));
}

static int last_value(const tkr_counts *counts)
{
    int count = TKR_COUNTER_COUNT;

    while (count > 0 && counts->value[count - 1] == 0)
        count--;
    return count;
}

static bool append_values(json_t *array, const tkr_counts *counts)
{
    int count = last_value(counts);

    for (int i = 0; i < count; i++) {
        if (json_array_append_new(array, json_integer(counts->value[i])) != 0)
            return false;
    }
    return true;
}

static json_t *record_json(const struct tkr_record *record)
{
    char life[LIFE_DIGITS_MAX + 1];
    json_t *array = json_array();

    (void)snprintf(life, sizeof(life), "%" PRIu64, record->life);
    if (json_array_append_new(array, json_string(life)) == 0 && append_values(array, &record->counts))
        return array;
    json_decref(array);
    return NULL;
}

static bool set_records(json_t *object, const struct tkr_holding *holding)
{
    json_t *records;

    if (holding->share_count == 0)
        return true;
    records = json_object();
    for (uint32_t i = 0; i < holding->share_count; i++) {
        if (!set(records, holding->share[i].source, record_json(&holding->share[i].record))) {
            json_decref(records);
            return false;
        }
    }
    return set(object, "records", records);
}

static bool set_rest(json_t *object, const struct tkr_holding *holding)
{
    json_t *rest;

    if (tkr_counts_zero(&holding->rest))
        return true;
    rest = json_array();
    if (append_values(rest, &holding->rest))
        return set(object, "rest", rest);
    json_decref(rest);
    return false;
}

static bool append_model(json_t *models, const struct tkr_holding *holding)
{
    json_t *object = json_object();

    if (tkr_backup_set_bytes(object, "model", holding->model, holding->model_len) && set_records(object, holding) &&
        set_rest(object, holding))
        return json_array_append_new(models, object) == 0;
    json_decref(object);
    return false;
}

static bool set_models(json_t *object, const struct tkr_holdings *holdings)
{
    json_t *models;

    if (holdings->count <= 1)
        return true;
    models = json_array();
    for (uint32_t i = 1; i < holdings->count; i++) {
        if (!append_model(models, &holdings->holding[i])) {
            json_decref(models);
            return false;
        }
    }
    return set(object, "models", models);
}

char *tkr_backup_print_account(const struct tkr_holdings *holdings)
{
    char kind[TKR_KIND_NAME_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];
    json_t *object = json_object();
    bool whole;

    tkr_kind_name(holdings->kind, kind);
    whole = tkr_backup_set_bytes(object, "account", holdings->id, holdings->id_len) && set(object, "kind", json_string(kind));
    if (holdings->cycle == 0)
        return finish(object, whole && set(object, "standing", json_integer(holdings->limit)));
    tkr_cycle_format(holdings->cycle, cycle);
    whole = whole && set(object, "cycle", json_string(cycle));
    if (holdings->limit >= 0)
        whole = whole && set(object, "limit", json_integer(holdings->limit));
    return finish(object, whole && set_records(object, &holdings->holding[0]) && set_rest(object, &holdings->holding[0]) &&
                              set_models(object, holdings));
}

char *tkr_backup_print_end(const struct tkr_backup_end *end)
{
    char sum[17];
    json_t *object;

    (void)snprintf(sum, sizeof(sum), "%016" PRIx64, end->xxh64);
    object = json_pack("{s:{s:I, s:I, s:I, s:I, s:s}}", "end", "sources", (json_int_t)end->sources, "accounts",
                       (json_int_t)end->accounts, "limits", (json_int_t)end->limits, "left_out", (json_int_t)end->left_out,
                       "xxh64", sum);
    return finish(object, object != NULL);
}
