/* SPDX-License-Identifier: Apache-2.0 */
#include "callback/charged.h"

#include <string.h>

#include "base/cycle.h"
#include "callback/settings.h"
#include "producer/arguments.h"

int tkr_charged_check(const tkr_callback_options *options)
{
    if (options == NULL)
        return TKR_EINVAL;
    if (options->size != sizeof(*options))
        return TKR_ESIZE;
    return options->producer != NULL ? TKR_OK : TKR_EINVAL;
}

int tkr_charged_take(struct tkr_charged *charged, const tkr_callback_options *options)
{
    tkr_callback_settings settings = TKR_CALLBACK_SETTINGS_INIT;
    int result;

    charged->characters_per_token = options->characters_per_token;
    if (charged->characters_per_token > TKR_CHARACTERS_PER_TOKEN_MAX)
        return TKR_ERANGE;
    if (charged->characters_per_token == 0) {
        result = tkr_callback_settings_read(&settings, NULL, 0);
        if (result != TKR_OK)
            return result;
        charged->characters_per_token = settings.characters_per_token;
    }
    if (options->cycle != NULL && !tkr_cycle_parse(options->cycle, &charged->cycle))
        return TKR_ECYCLE;
    if (options->account.id == NULL)
        return options->account.len == 0 ? TKR_OK : TKR_EACCOUNT;
    result = tkr_arguments_account(&options->account);
    if (result != TKR_OK)
        return result;
    charged->account = options->account;
    memcpy(charged->id, options->account.id, options->account.len);
    charged->account.id = charged->id;
    return TKR_OK;
}
