/* SPDX-License-Identifier: Apache-2.0 */
#include "command/holdings.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/account.h"
#include "base/cycle.h"
#include "command/command.h"
#include "command/text.h"

void tkr_command_account_text(const struct tkr_holdings *account, char ret_text[TKR_COMMAND_ACCOUNT_BYTES])
{
    char clean[TKR_COMMAND_CLEAN_BYTES(TKR_ID_BYTES_MAX)];
    char cycle[TKR_CYCLE_TEXT_BYTES];
    char kind[TKR_KIND_NAME_BYTES];

    tkr_kind_name(account->kind, kind);
    (void)tkr_command_text_clean(account->id, account->id_len, clean);
    if (account->cycle == 0) {
        (void)snprintf(ret_text, TKR_COMMAND_ACCOUNT_BYTES, "%s %s, standing limit", kind, clean);
        return;
    }
    tkr_cycle_format(account->cycle, cycle);
    (void)snprintf(ret_text, TKR_COMMAND_ACCOUNT_BYTES, "%s %s, cycle %s", kind, clean, cycle);
}

static json_t *account_json(const struct tkr_holdings *account, const char *why)
{
    char cycle[TKR_CYCLE_TEXT_BYTES];
    char kind[TKR_KIND_NAME_BYTES];
    json_t *object = json_object();

    tkr_kind_name(account->kind, kind);
    tkr_cycle_format(account->cycle != 0 ? account->cycle : 19700101, cycle);
    tkr_command_json_set_id(object, "account", account->id, account->id_len);
    (void)json_object_set_new(object, "kind", json_string(kind)); /* without memory the dump fails as a whole */
    (void)json_object_set_new(object, "cycle", account->cycle != 0 ? json_string(cycle) : json_null());
    (void)json_object_set_new(object, "why", json_string(why));
    return object;
}

void tkr_command_name_account(struct tkr_command_named *named, const struct tkr_holdings *account, const char *what,
                              const char *why)
{
    char text[TKR_COMMAND_ACCOUNT_BYTES];

    if (named->count++ >= TKR_COMMAND_NAMED_MAX)
        return;
    if (named->list != NULL) {
        (void)json_array_append_new(named->list, account_json(account, why));
        return;
    }
    tkr_command_account_text(account, text);
    (void)tkr_command_failed(named->command, "%s: %s: %s", text, what, why);
}

void tkr_command_name_rest(const struct tkr_command_named *named)
{
    if (named->count > TKR_COMMAND_NAMED_MAX && named->list == NULL)
        (void)tkr_command_failed(named->command, "and %" PRIu64 " more", named->count - TKR_COMMAND_NAMED_MAX);
}
