/* SPDX-License-Identifier: Apache-2.0 */
#include "command/frame_text.h"

#include <stdio.h>
#include <string.h>

#include "base/cycle.h"
#include "command/handlers.h"
#include "command/moment.h"
#include "tokenring/tokenring.h"

const char *tkr_command_frame_type(unsigned type, char ret_text[TKR_COMMAND_FRAME_TYPE_BYTES])
{
    static const char *const names[] = {
        [TKR_FRAME_PADDING] = "padding",     [TKR_FRAME_USAGE] = "usage",   [TKR_FRAME_OPEN] = "open",
        [TKR_FRAME_INCREMENT] = "increment", [TKR_FRAME_NOTICE] = "notice", [TKR_FRAME_WATCH] = "watch",
        [TKR_FRAME_RELEASE] = "release",
    };

    if (type < sizeof(names) / sizeof(names[0]) && names[type] != NULL)
        (void)snprintf(ret_text, TKR_COMMAND_FRAME_TYPE_BYTES, "%s", names[type]);
    else
        (void)snprintf(ret_text, TKR_COMMAND_FRAME_TYPE_BYTES, "type %u", type);
    return ret_text;
}

const char *tkr_command_frame_error(const struct tkr_event *event, char ret_text[TKR_COMMAND_FRAME_TYPE_BYTES])
{
    static const char *const names[] = {
        [TKR_ERROR_NONE] = "",
        [TKR_ERROR_OTHER] = "other",
        [TKR_ERROR_TIMEOUT] = "timeout",
        [TKR_ERROR_RATE_LIMIT] = "rate_limit",
        [TKR_ERROR_CANCELLED] = "cancelled",
        [TKR_ERROR_NETWORK] = "network",
        [TKR_ERROR_PROVIDER] = "provider",
        [TKR_ERROR_REQUEST] = "request",
        [TKR_ERROR_CONTENT_FILTER] = "content_filter",
        [TKR_ERROR_ORPHANED] = "orphaned",
    };
    unsigned error = event->values.error;
    const char *name = NULL;

    if (event->type == TKR_FRAME_NOTICE)
        name = tkr_command_notice_key(error);
    else if (error < sizeof(names) / sizeof(names[0]))
        name = names[error];
    if (name != NULL)
        (void)snprintf(ret_text, TKR_COMMAND_FRAME_TYPE_BYTES, "%s", name);
    else
        (void)snprintf(ret_text, TKR_COMMAND_FRAME_TYPE_BYTES, "%u", error);
    return ret_text;
}

int64_t tkr_command_frame_value(const struct tkr_event *event, unsigned bit)
{
    unsigned before = event->values.present & ((1u << bit) - 1);

    return (event->values.present >> bit & 1u) != 0 ? event->values.value[__builtin_popcount(before)] : 0;
}

void tkr_command_frame_accounts(const struct tkr_event *event, char *ret_text)
{
    char kind[TKR_COMMAND_KIND_BYTES];

    ret_text[0] = '\0';
    for (uint32_t i = 0; i < event->account_count; i++) {
        const tkr_account *account = &event->account[i];
        if (i > 0)
            ret_text = stpcpy(ret_text, ",");
        if (account->kind != TKR_KIND_USER)
            ret_text = stpcpy(stpcpy(ret_text, tkr_command_kind_text(account->kind, kind)), ":");
        (void)tkr_command_text_clean(account->id, account->len, ret_text);
        ret_text += strlen(ret_text);
    }
}

void tkr_command_frame_model(const struct tkr_event *event, char *ret_text)
{
    if (event->provider_len > 0) {
        (void)tkr_command_text_clean(event->provider, event->provider_len, ret_text);
        ret_text = stpcpy(ret_text + strlen(ret_text), "/");
    }
    (void)tkr_command_text_clean(event->model, event->model_len, ret_text);
}

static json_t *accounts_json(const struct tkr_event *event)
{
    json_t *array = json_array();

    for (uint32_t i = 0; i < event->account_count; i++) {
        char kind[TKR_COMMAND_KIND_BYTES];
        json_t *account = json_object();
        (void)json_object_set_new(account, "kind", json_string(tkr_command_kind_text(event->account[i].kind, kind)));
        tkr_command_json_set_id(account, "id", event->account[i].id, event->account[i].len);
        (void)json_array_append_new(array, account);
    }
    return array;
}

static void set_values(json_t *object, const struct tkr_event *event)
{
    for (unsigned bit = 0; bit < TKR_VALUE_COUNT; bit++) {
        const char *key = bit == TKR_VALUE_FIRST_TOKEN_US ? "first_token_us"
                          : bit == TKR_COUNTER_DURATION   ? "duration_us"
                          : bit < TKR_COUNTER_COUNT       ? tkr_counter_name[bit]
                                                          : NULL;
        if (key != NULL && (event->values.present >> bit & 1u) != 0)
            (void)json_object_set_new(object, key, json_integer(tkr_command_frame_value(event, bit)));
    }
}

json_t *tkr_command_frame_json(const struct tkr_event *event)
{
    char text[TKR_COMMAND_FRAME_TYPE_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];
    char start[TKR_COMMAND_MOMENT_BYTES];
    json_t *object = json_object();

    (void)json_object_set_new(object, "type", json_string(tkr_command_frame_type((unsigned)event->type, text)));
    if (event->type == TKR_FRAME_RELEASE)
        (void)json_object_set_new(object, "tokens", json_integer(event->release.tokens));
    if (event->type < TKR_FRAME_USAGE || event->type > TKR_FRAME_WATCH)
        return object;
    tkr_cycle_format(event->cycle, cycle);
    (void)json_object_set_new(object, "sequence", json_integer((json_int_t)event->sequence));
    (void)json_object_set_new(object, "start", json_string(tkr_command_moment_ms(event->start_ns, start)));
    (void)json_object_set_new(object, "cycle", json_string(cycle));
    (void)json_object_set_new(object, "accounts", accounts_json(event));
    tkr_command_json_set_id(object, "model", event->model, event->model_len);
    tkr_command_json_set_id(object, "provider", event->provider, event->provider_len);
    (void)json_object_set_new(object, "error", json_string(tkr_command_frame_error(event, text)));
    if (event->call_id != NULL) {
        (void)json_object_set_new(object, "call_id", tkr_command_json_hex((const char *)event->call_id, TKR_CALL_ID_BYTES));
        (void)json_object_set_new(object, "attempt", json_integer(event->attempt));
    }
    set_values(object, event);
    return object;
}
