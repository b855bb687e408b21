/* SPDX-License-Identifier: Apache-2.0 */
#include "command/handlers.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "command/text.h"

static const char *const keys[TKR_NOTICE_CONTRADICTORY] = {
    [TKR_NOTICE_FAILED] = "failed",       [TKR_NOTICE_SLOW] = "slow_calls",
    [TKR_NOTICE_CORRECTED] = "corrected", [TKR_NOTICE_USAGE_MISSING] = "usage_missing",
    [TKR_NOTICE_DROPPED] = "dropped",     [TKR_NOTICE_UNMATCHED] = "unmatched",
};

static const char *const texts[TKR_NOTICE_CONTRADICTORY] = {
    [TKR_NOTICE_FAILED] = "failed",
    [TKR_NOTICE_SLOW] = "slow calls",
    [TKR_NOTICE_CORRECTED] = "figures corrected",
    [TKR_NOTICE_USAGE_MISSING] = "usage missing",
    [TKR_NOTICE_DROPPED] = "events dropped",
    [TKR_NOTICE_UNMATCHED] = "ends or starts unmatched",
};

const char *tkr_command_notice_key(unsigned notice)
{
    if (notice >= TKR_NOTICE_COUNT)
        return NULL;
    return notice < TKR_NOTICE_CONTRADICTORY ? keys[notice] : tkr_contradiction_key[notice - TKR_NOTICE_CONTRADICTORY];
}

static const char *text_of(unsigned notice)
{
    return notice < TKR_NOTICE_CONTRADICTORY ? texts[notice] : tkr_command_notice_key(notice);
}

static json_t *json_handler(const struct tkr_health_handler *handler)
{
    json_t *object = json_object();

    tkr_command_json_set_id(object, "type", handler->type, strlen(handler->type));
    for (unsigned i = TKR_NOTICE_FAILED; i < TKR_NOTICE_COUNT; i++)
        (void)json_object_set_new(object, tkr_command_notice_key(i), json_integer((json_int_t)handler->told[i]));
    return object;
}

json_t *tkr_command_handlers_json(const struct tkr_host_balance *balance)
{
    json_t *handlers = json_array();

    for (uint64_t i = 0; balance->health != NULL && i < balance->health->handlers; i++)
        (void)json_array_append_new(handlers, json_handler(&balance->health->handler[i]));
    return handlers;
}

static void print_handler(const struct tkr_health_handler *handler)
{
    char clean[TKR_COMMAND_CLEAN_BYTES(TKR_HEALTH_TYPE_BYTES)];
    const char *before = ": ";

    (void)tkr_command_text_clean(handler->type, strlen(handler->type), clean);
    (void)printf("handler %s", clean);
    for (unsigned i = TKR_NOTICE_FAILED; i < TKR_NOTICE_COUNT; i++) {
        if (handler->told[i] == 0)
            continue;
        (void)printf("%s%s %" PRIu64, before, text_of(i), handler->told[i]);
        before = ", ";
    }
    (void)putchar('\n');
}

void tkr_command_handlers_print(const struct tkr_host_balance *balance)
{
    for (uint64_t i = 0; balance->health != NULL && i < balance->health->handlers; i++)
        print_handler(&balance->health->handler[i]);
}
