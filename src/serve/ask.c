/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/ask.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define BAD_REQUEST 400
#define LIST_BYTES 160

int tkr_ask_refuse(struct tkr_ask *ask, unsigned status, const char *format, ...)
{
    va_list args;

    ask->status = status;
    va_start(args, format);
    (void)vsnprintf(ask->why.text, sizeof(ask->why.text), format, args); /* cut, not lost */
    va_end(args);
    return -1;
}

bool tkr_ask_given_up(void *ask)
{
    const struct tkr_ask *given = ask;

    return atomic_load_explicit(given->stop, memory_order_relaxed) || /* a flag */
           tkr_clock_monotonic_ns() > given->until_ns;
}

/* --- what is asked --- */

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One byte of a path or a query, which may be %HH. Returns what follows it; NULL: that is none. */
static const char *take_byte(const char *text, char *ret_byte)
{
    *ret_byte = text[0];
    if (text[0] != '%')
        return text + 1;
    if (digit(text[1]) < 0 || digit(text[2]) < 0)
        return NULL;
    *ret_byte = (char)(16 * digit(text[1]) + digit(text[2]));
    return text + 3;
}

/* Decodes text into at most max bytes and a NUL. false: it is longer, or has a % without two digits. */
static bool decode(const char *text, char *ret_bytes, size_t max, uint32_t *ret_len)
{
    size_t len = 0;

    while (*text != '\0') {
        char byte;
        text = take_byte(text, &byte);
        if (text == NULL || len == max)
            return false;
        ret_bytes[len++] = byte;
    }
    ret_bytes[len] = '\0';
    *ret_len = (uint32_t)len;
    return true;
}

int tkr_ask_operand(struct tkr_ask *ask, const char *rest)
{
    if (rest[0] == '\0')
        return 0;
    if (rest[0] == '/' && decode(rest + 1, ask->operand, TKR_ASK_OPERAND_MAX, &ask->operand_len) && ask->operand_len > 0)
        return 0;
    return tkr_ask_refuse(ask, BAD_REQUEST, "behind %s/ allowed are 1 to %u bytes, some of them as %%HH", ask->route->path,
                          TKR_ASK_OPERAND_MAX);
}

static size_t find(const struct tkr_ask *ask, const char *name)
{
    size_t i = 0;

    while (ask->route->parameters[i] != NULL && strcmp(ask->route->parameters[i], name) != 0)
        i++;
    return i;
}

int tkr_ask_parameter(struct tkr_ask *ask, const char *name, const char *value)
{
    const char *const *names = ask->route->parameters;
    size_t i = find(ask, name);
    char list[LIST_BYTES] = "";
    uint32_t len;

    for (size_t n = 0, at = 0; names[n] != NULL && at < sizeof(list); n++)
        at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", n == 0 ? "" : ", ", names[n]);
    if (names[i] == NULL)
        return tkr_ask_refuse(ask, BAD_REQUEST, "parameter %.40s is not known; allowed are: %s", name,
                              list[0] != '\0' ? list : "none");
    if (ask->given[i])
        return tkr_ask_refuse(ask, BAD_REQUEST, "parameter %s is there twice", name);
    if (value == NULL || !decode(value, ask->value[i], TKR_ASK_VALUE_BYTES - 1, &len) || strlen(ask->value[i]) != len)
        return tkr_ask_refuse(ask, BAD_REQUEST, "parameter %s has no value, or one that cannot be understood", name);
    ask->given[i] = true;
    return 0;
}

const char *tkr_ask_value(const struct tkr_ask *ask, const char *name)
{
    size_t i = find(ask, name);

    return ask->route->parameters[i] != NULL && ask->given[i] ? ask->value[i] : NULL;
}

int tkr_ask_integer(struct tkr_ask *ask, const char *name, int64_t min, int64_t max, int64_t *value)
{
    const char *text = tkr_ask_value(ask, name);

    if (text == NULL || tkr_parse_integer(text, min, max, value))
        return 0;
    return tkr_ask_refuse(ask, BAD_REQUEST, "%s=%s: allowed is an integer from %" PRId64 " to %" PRId64, name, text, min, max);
}

int tkr_ask_flag(struct tkr_ask *ask, const char *name, bool *value)
{
    int64_t number = *value;

    if (tkr_ask_integer(ask, name, 0, 1, &number) != 0)
        return -1;
    *value = number != 0;
    return 0;
}
