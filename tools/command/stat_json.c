/* SPDX-License-Identifier: Apache-2.0 */
#include "command/stat_json.h"

#include <string.h>

#include "command/handlers.h"
#include "command/law_json.h"
#include "command/limit_board.h"
#include "command/sink_health.h"
#include "command/text.h"
#include "sink/holdings.h"

static json_t *shard_json(const struct tkr_balance_shard *shard)
{
    json_t *object = tkr_command_balance_json(&shard->balance);
    char source[32];

    tkr_source_name(shard->name, shard->number, source);
    (void)json_object_set_new(object, "source", json_string(source));
    (void)json_object_set_new(object, "accounts", json_integer((json_int_t)shard->accounts));
    (void)json_object_set_new(object, "unflushed_accounts", json_integer((json_int_t)shard->unflushed));
    (void)json_object_set_new(object, "overflow_charges", json_integer((json_int_t)shard->overflow_charges));
    (void)json_object_set_new(object, "regions_gone", json_integer((json_int_t)shard->gone_regions));
    return object;
}

/* The tmpfs, as the running collector sees it; null: no collector says. */
static json_t *memory_json(const struct tkr_host_balance *balance)
{
    const struct tkr_health *health = balance->health;

    if (health == NULL || !balance->collector_running)
        return json_null();
    return json_pack("{s:I, s:I, s:I}", "lanes_waiting", (json_int_t)health->waiting_lanes, "tmpfs_bytes",
                     (json_int_t)health->tmpfs_bytes, "tmpfs_available", (json_int_t)health->tmpfs_available);
}

/* What the collector cannot read, as far as it names it. */
static json_t *unreadable_json(const struct tkr_health *health)
{
    json_t *object = json_object();
    json_t *named = json_array();

    for (uint64_t i = 0; health != NULL && i < health->unreadable_named; i++) {
        json_t *region = json_object();
        tkr_command_json_set_id(region, "region", health->unreadable_region[i].name, strlen(health->unreadable_region[i].name));
        tkr_command_json_set_id(region, "reason", health->unreadable_region[i].reason,
                                strlen(health->unreadable_region[i].reason));
        (void)json_array_append_new(named, region);
    }
    (void)json_object_set_new(object, "regions", json_integer(health != NULL ? (json_int_t)health->unreadable : 0));
    (void)json_object_set_new(object, "named", named);
    return object;
}

json_t *tkr_command_stat_json(const char *runtime_dir, const struct tkr_host_balance *balance)
{
    json_t *shards = json_array();
    json_t *regions = json_array();

    for (uint32_t i = 0; i < balance->shard_count; i++)
        (void)json_array_append_new(shards, shard_json(&balance->shard[i]));
    for (uint32_t i = 0; i < balance->region_count; i++)
        (void)json_array_append_new(regions, tkr_command_region_json(&balance->region[i]));
    return json_pack("{s:o, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "collector",
                     tkr_command_collector_json(balance), "collector_running", (int)balance->collector_running, "law_holds",
                     (int)tkr_balance_holds(&balance->host), "host", tkr_command_balance_json(&balance->host), "shards", shards,
                     "regions", regions, "sink", tkr_command_sink_json(balance), "problems", tkr_command_problems_json(balance),
                     "handlers", tkr_command_handlers_json(balance), "unreadable", unreadable_json(balance->health), "limits",
                     tkr_command_limits_near_json(runtime_dir), "memory", memory_json(balance));
}
