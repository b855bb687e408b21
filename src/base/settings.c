/* SPDX-License-Identifier: Apache-2.0 */
#include "base/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_BYTES 100

int tkr_message_set(tkr_message *message, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(message->text, sizeof(message->text), format, args);
    va_end(args);
    return -1;
}

/* --- what may be shown --- */

/* Bytes of a port: digits, and then the end or a path or a query. -1: it is none. */
static long port_length(const char *text)
{
    size_t len = strspn(text, "0123456789");

    return len > 0 && strchr("/?", text[len]) != NULL ? (long)len : -1; /* strchr finds the NUL too */
}

/* Bytes of a path behind a host: a database's number; anything else may be the rest of a password. */
static size_t path_length(const char *path)
{
    size_t len = path[0] == '/' ? 1 + strspn(path + 1, "0123456789") : 0;

    return path[len] == '\0' || path[len] == '?' ? len : 0;
}

/* Without an '@' what should be host:port may be user:password all the same: a port has only digits, and a host. */
static size_t harmless_length(const char *rest)
{
    size_t host = strcspn(rest, ":/?");
    long port;

    if (rest[0] == '[' || rest[host] != ':')
        return strcspn(rest, "?");
    port = port_length(rest + host + 1);
    if (host == 0 || port < 0)
        return host + 1;
    host += 1 + (size_t)port;
    return host + path_length(rest + host);
}

/* Behind the '@', that included: a host, its port and a database's number; or the path of a socket. */
static size_t address_length(const char *at)
{
    size_t host = 1 + strcspn(at + 1, "/?#");

    return host == 1 ? strcspn(at, "?") : host + path_length(at + host);
}

void tkr_setting_redact(const char *value, char *ret_text, size_t size)
{
    const char *scheme = strstr(value, "://");
    const char *rest = scheme != NULL ? scheme + 3 : value;
    const char *at = strrchr(rest, '@');
    const char *shown = at != NULL ? at : rest;
    size_t len = at != NULL ? address_length(at) : harmless_length(rest);
    bool path = scheme == NULL && (value[0] == '/' || strncmp(value, "unix:/", 6) == 0);

    if (path) {
        (void)snprintf(ret_text, size, "%s", value);
        return;
    }
    if (strncmp(shown + len, "?db=", 4) == 0 && strchr(shown + len, '&') == NULL)
        len = strlen(shown);
    (void)snprintf(ret_text, size, "%.*s%s%.*s%s", (int)(rest - value), value, at != NULL ? "***" : "", (int)len, shown,
                   shown[len] == '\0' ? "" : "***");
}

bool tkr_setting_ends_in_break(const char *value)
{
    size_t len = strlen(value);

    return len > 0 && (value[len - 1] == '\n' || value[len - 1] == '\r');
}

int tkr_setting_refuse(tkr_message *ret_message, const char *name, const char *value, const char *format, ...)
{
    char shown[SHOWN_BYTES];
    char why[TKR_MESSAGE_BYTES];
    va_list args;

    if (tkr_setting_ends_in_break(value))
        return tkr_message_set(ret_message, "%s: the value ends in a line break: set it without", name);
    va_start(args, format);
    (void)vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    tkr_setting_redact(value, shown, sizeof(shown));
    return tkr_message_set(ret_message, "%s=%s: %s", name, shown, why);
}

/* --- values --- */

const char *tkr_setting_text(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0' ? value : NULL;
}

int tkr_setting_path(const char *name, const char **ret_path, tkr_message *ret_message)
{
    const char *value = tkr_setting_text(name);

    if (value != NULL && (strstr(value, "://") != NULL || tkr_setting_ends_in_break(value)))
        return tkr_setting_refuse(ret_message, name, value, "allowed is a path; for the URL of a Redis there is REDIS_URL");
    *ret_path = value;
    return 0;
}

bool tkr_parse_integer(const char *text, int64_t min, int64_t max, int64_t *ret_value)
{
    char *end;
    long long value;

    if (text[0] != '-' && (text[0] < '0' || text[0] > '9'))
        return false; /* strtoll would skip blanks and take '+' */
    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
        return false;
    *ret_value = value;
    return true;
}

int tkr_setting_integer(const char *name, int64_t min, int64_t max, int64_t value_default, int64_t *ret_value,
                        tkr_message *ret_message)
{
    const char *text = tkr_setting_text(name);

    if (text == NULL)
        *ret_value = value_default;
    else if (!tkr_parse_integer(text, min, max, ret_value))
        return tkr_setting_refuse(ret_message, name, text, "allowed is an integer from %" PRId64 " to %" PRId64, min, max);
    return 0;
}
