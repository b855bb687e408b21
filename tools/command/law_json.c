/* SPDX-License-Identifier: Apache-2.0 */
#include "command/law_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/drops.h"
#include "base/errors.h"
#include "command/text.h"

const char *const tkr_command_standing[] = {"new", "active", "quarantined", "newer layout", "older layout", "unreadable"};

json_t *tkr_command_dropped_json(const struct tkr_balance *balance)
{
    json_t *object = json_object();

    for (int i = 0; i < TKR_DROP_COUNT; i++)
        (void)json_object_set_new(object, tkr_drop_key[i], json_integer((json_int_t)balance->dropped[i]));
    return object;
}

static json_t *refused_json(const struct tkr_balance *balance)
{
    json_t *object = json_object();

    for (unsigned i = 1; i < TKR_RESULT_COUNT; i++) {
        if (balance->refused[i] > 0)
            (void)json_object_set_new(object, tkr_result_key(i), json_integer((json_int_t)balance->refused[i]));
    }
    return object;
}

json_t *tkr_command_balance_json(const struct tkr_balance *balance)
{
    return json_pack("{s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:o, s:b}", "offered", (json_int_t)balance->offered, "counted",
                     (json_int_t)balance->counted, "in_lanes", (json_int_t)balance->in_lanes, "dropped",
                     tkr_command_dropped_json(balance), "skipped_frames", (json_int_t)balance->unknown, "bad_times",
                     (json_int_t)balance->bad_times, "settled", (json_int_t)balance->settled, "open_calls",
                     (json_int_t)balance->open_calls, "refused", refused_json(balance), "law_holds",
                     (int)tkr_balance_holds(balance));
}

json_t *tkr_command_region_json(const struct tkr_balance_region *region)
{
    json_t *object = tkr_command_balance_json(&region->balance);

    (void)json_object_set_new(object, "region", json_string(region->name));
    (void)json_object_set_new(object, "pid", json_integer(region->pid));
    tkr_command_json_set_id(object, "command", region->command, strlen(region->command));
    (void)json_object_set_new(object, "alive", json_boolean(region->alive));
    (void)json_object_set_new(object, "standing", json_string(tkr_command_standing[region->standing]));
    (void)json_object_set_new(object, "lanes", json_integer((json_int_t)region->balance.lanes));
    (void)json_object_set_new(object, "lane_bytes", json_integer((json_int_t)region->balance.lane_bytes));
    (void)json_object_set_new(object, "lane_used_bytes", json_integer((json_int_t)region->balance.lane_used));
    (void)json_object_set_new(object, "shard", region->shard >= 0 ? json_integer(region->shard) : json_null());
    return object;
}

json_t *tkr_command_collector_json(const struct tkr_host_balance *balance)
{
    char name[24];

    if (balance->shard_count == 0)
        return json_null();
    (void)snprintf(name, sizeof(name), "%016" PRIx64, balance->shard[0].name);
    return json_string(name);
}
