/* SPDX-License-Identifier: Apache-2.0 */
/* What the environment says of handlers, under the names that the replaced system uses. */
#include <stdio.h>
#include <strings.h>

#include "base/failure.h"
#include "callback/settings.h"

static int say(const tkr_message *message, char *text, size_t text_bytes)
{
    tkr_failure_set(message);
    if (text != NULL && text_bytes > 0)
        (void)snprintf(text, text_bytes, "%s", message->text);
    return TKR_ERANGE;
}

static int read_flag(const char *name, uint32_t *ret_flag, tkr_message *ret_message)
{
    const char *text = tkr_setting_text(name);

    *ret_flag = text == NULL || strcasecmp(text, "true") == 0;
    if (*ret_flag || strcasecmp(text, "false") == 0)
        return 0;
    return tkr_setting_refuse(ret_message, name, text, "allowed are true and false");
}

static int read_number(const char *name, int64_t max, int64_t value_default, uint32_t *ret_value, tkr_message *ret_message)
{
    int64_t value;

    if (tkr_setting_integer(name, 1, max, value_default, &value, ret_message) != 0)
        return -1;
    *ret_value = (uint32_t)value;
    return 0;
}

int tkr_callback_settings_read(tkr_callback_settings *ret_settings, char *text, size_t text_bytes)
{
    tkr_callback_settings settings = TKR_CALLBACK_SETTINGS_INIT;
    tkr_message message;

    tkr_failure_clear();
    if (ret_settings == NULL)
        return TKR_EINVAL;
    if (ret_settings->size != sizeof(*ret_settings))
        return TKR_ESIZE;
    if (read_number("TOKEN_ESTIMATION_RATIO", TKR_CHARACTERS_PER_TOKEN_MAX, TKR_CHARACTERS_PER_TOKEN_DEFAULT,
                    &settings.characters_per_token, &message) != 0 ||
        read_flag("ENABLE_PERFORMANCE_MONITORING", &settings.performance, &message) != 0 ||
        read_number("PERFORMANCE_LOG_THRESHOLD", TKR_SLOW_MS_MAX, TKR_SLOW_MS_DEFAULT, &settings.slow_ms, &message) != 0)
        return say(&message, text, text_bytes);
    *ret_settings = settings;
    return TKR_OK;
}
