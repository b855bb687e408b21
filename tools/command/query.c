/* SPDX-License-Identifier: Apache-2.0 */
#include "command/query.h"

#include <string.h>

#include "base/account.h"
#include "base/cycle.h"
#include "command/command.h"
#include "tokenring/tokenring.h"

int tkr_command_query_kind(const char *command, const char *text, struct tkr_usage_query *query)
{
    if (tkr_kind(text, &query->kind) != TKR_OK)
        return tkr_command_wrong(command,
                                 "--kind=%s: allowed is a name of 1 to 12 letters a-z or '_', which neither begins nor "
                                 "ends it",
                                 text);
    query->any_kind = 0;
    return 0;
}

int tkr_command_query_cycle(const char *command, const char *text, struct tkr_usage_query *query)
{
    if (strcmp(text, "all") == 0) {
        query->cycle = 0;
        return 0;
    }
    if (!tkr_cycle_parse(text, &query->cycle))
        return tkr_command_wrong(command, "--cycle=%s: allowed is a date YYYY-MM-DD or all", text);
    return 0;
}

int tkr_command_query_account(const char *command, const char *text, struct tkr_usage_query *query)
{
    size_t len = strlen(text);

    if (len < 1 || len > TKR_ID_BYTES_MAX)
        return tkr_command_wrong(command, "ACCOUNT=%.40s: allowed are 1 to 255 bytes", text);
    query->id = text;
    query->id_len = (uint32_t)len;
    return 0;
}
