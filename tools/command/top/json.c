/* SPDX-License-Identifier: Apache-2.0 */
#include "command/top/json.h"

#include <stdio.h>

#include "base/clock.h"
#include "command/law_json.h"
#include "command/moment.h"
#include "command/sink_health.h"
#include "command/text.h"

static json_t *rate_json(const struct tkr_top_look *look, int64_t added)
{
    return look->span_ns <= 0 ? json_null() : json_real(tkr_top_per_second(look, added));
}

static json_t *usage_json(const struct tkr_top_look *look, const struct tkr_top_usage *usage)
{
    struct tkr_top_figures since = tkr_top_since(&look->rates, usage);
    char kind[TKR_COMMAND_KIND_BYTES];
    json_t *object = json_object();

    tkr_command_json_set_id(object, usage->model ? "model" : "account", usage->name, usage->name_len);
    (void)json_object_set_new(object, "kind", json_string(tkr_command_kind_text(usage->kind, kind)));
    (void)json_object_set_new(object, "tokens_per_s", rate_json(look, since.tokens));
    (void)json_object_set_new(object, "calls_per_s", rate_json(look, since.calls));
    (void)json_object_set_new(object, "errors_per_s", rate_json(look, since.errors));
    (void)json_object_set_new(object, "cost_nano_usd_per_s", rate_json(look, since.cost_nano_usd));
    (void)json_object_set_new(object, "tokens", json_integer(usage->total.tokens));
    (void)json_object_set_new(object, "calls", json_integer(usage->total.calls));
    (void)json_object_set_new(object, "errors", json_integer(usage->total.errors));
    (void)json_object_set_new(object, "cost_nano_usd", json_integer(usage->total.cost_nano_usd));
    (void)json_object_set_new(object, "duration_ms", json_integer(usage->total.duration_ms));
    return object;
}

static json_t *usages_json(const struct tkr_top_look *look, const struct tkr_top_chosen *chosen)
{
    json_t *array = json_array();

    for (size_t i = 0; i < chosen->count; i++)
        (void)json_array_append_new(array, usage_json(look, chosen->row[i]));
    return array;
}

static json_t *regions_json(const struct tkr_top_sheet *sheet, size_t limit)
{
    const struct tkr_top_look *look = sheet->look;
    json_t *array = json_array();

    for (size_t i = 0; i < sheet->regions && i < limit; i++) {
        json_t *region = tkr_command_region_json(&look->balance.region[sheet->region[i]]);
        (void)json_object_set_new(region, "offered_per_s", rate_json(look, (int64_t)look->region[sheet->region[i]].offered));
        (void)json_object_set_new(region, "counted_per_s", rate_json(look, (int64_t)look->region[sheet->region[i]].counted));
        (void)json_array_append_new(array, region);
    }
    return array;
}

static json_t *limits_json(const struct tkr_top_sheet *sheet, size_t limit)
{
    json_t *all = tkr_command_board_json(&sheet->look->limits);
    json_t *array = json_array();

    for (size_t i = 0; i < sheet->limits && i < limit; i++)
        (void)json_array_append(array, json_array_get(all, sheet->limit[i]));
    json_decref(all);
    return array;
}

static json_t *drops_json(const struct tkr_top_sheet *sheet)
{
    json_t *array = json_array();

    for (size_t i = 0; i < sheet->drops; i++) {
        const struct tkr_top_drop *drop = &sheet->drop[i];
        (void)json_array_append_new(array, json_pack("{s:s, s:s, s:I, s:o}", "what", drop->what, "cause", drop->cause, "calls",
                                                     (json_int_t)drop->calls, "calls_per_s",
                                                     rate_json(sheet->look, (int64_t)drop->since)));
    }
    return array;
}

static json_t *sheet_json(const struct tkr_top_sheet *sheet, size_t limit)
{
    const struct tkr_top_look *look = sheet->look;
    const struct tkr_host_balance *balance = &look->balance;
    uint64_t offered = balance->host.offered > look->before.offered ? balance->host.offered - look->before.offered : 0;
    char time[TKR_COMMAND_MOMENT_BYTES];

    return json_pack("{s:s, s:f, s:o, s:b, s:b, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "time",
                     tkr_command_moment_ms(look->time_ns, time), "seconds", (double)look->span_ns / (double)TKR_NS_PER_S,
                     "collector", tkr_command_collector_json(balance), "collector_running", (int)balance->collector_running,
                     "law_holds", (int)tkr_balance_holds(&balance->host), "host", tkr_command_balance_json(&balance->host),
                     "calls_per_s", rate_json(look, (int64_t)offered), "users_tokens_per_s",
                     rate_json(look, look->rates.users_since.tokens), "account_count", (json_int_t)look->rates.accounts,
                     "accounts", usages_json(look, &sheet->accounts), "models", usages_json(look, &sheet->models), "regions",
                     regions_json(sheet, limit), "drops", drops_json(sheet), "limits", limits_json(sheet, limit), "sink",
                     tkr_command_sink_json(balance));
}

json_t *tkr_top_json(const struct tkr_top_look *look, const struct tkr_top_wish *wish)
{
    struct tkr_top_sheet sheet;
    json_t *object = NULL;

    if (tkr_top_sheet_open(look, &wish->order, wish->limit, &sheet))
        object = sheet_json(&sheet, wish->limit);
    tkr_top_sheet_close(&sheet);
    return object;
}
