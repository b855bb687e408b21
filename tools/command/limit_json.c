/* SPDX-License-Identifier: Apache-2.0 */
#include "command/limit_json.h"

#include <stdio.h>

#include "base/account.h"
#include "command/text.h"

void tkr_command_limit_cycle(uint32_t cycle, char ret_text[TKR_CYCLE_TEXT_BYTES])
{
    if (cycle != 0)
        tkr_cycle_format(cycle, ret_text);
    else
        (void)snprintf(ret_text, TKR_CYCLE_TEXT_BYTES, "standing");
}

json_t *tkr_command_limit_json(const struct tkr_usage_query *query)
{
    char kind[TKR_KIND_NAME_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];
    json_t *object = json_object();

    tkr_kind_name(query->kind, kind);
    tkr_command_limit_cycle(query->cycle, cycle);
    tkr_command_json_set_id(object, "account", query->id, query->id_len);
    (void)json_object_set_new(object, "kind", json_string(kind));
    (void)json_object_set_new(object, "cycle", query->cycle != 0 ? json_string(cycle) : json_null());
    return object;
}

json_t *tkr_command_limit_tokens_json(int64_t tokens)
{
    return tokens >= 0 ? json_integer(tokens) : json_null();
}

static json_t *row_json(const struct tkr_command_limit_row *row)
{
    json_t *object = tkr_command_limit_json(
        &(struct tkr_usage_query){.kind = row->kind, .id = row->id, .id_len = row->id_len, .cycle = row->cycle});

    (void)json_object_set_new(object, "limit", tkr_command_limit_tokens_json(row->limit));
    (void)json_object_set_new(object, "standing", json_boolean(row->standing));
    (void)json_object_set_new(object, "used", row->cycle != 0 ? json_integer(row->used) : json_null());
    if (row->limit == TKR_LIMIT_UNREADABLE)
        (void)json_object_set_new(object, "unreadable", json_string(row->unreadable));
    return object;
}

json_t *tkr_command_limits_json(const struct tkr_command_limit_rows *rows)
{
    json_t *array = json_array();

    for (size_t i = 0; i < rows->count; i++)
        (void)json_array_append_new(array, row_json(&rows->row[i]));
    return json_pack("{s:o}", "rows", array);
}
