/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/limit.h"

#include <string.h>

#define EXPONENT_MAX 1000000 /* far beyond what any figure of 64 bits has */

/* What is left of a text. */
struct rest {
    const char *at;
    const char *end;
};

/* Digits so far: value is that of those before zeros, of which there may be many that an exponent takes back. */
struct figure {
    uint64_t value;
    int64_t zeros; /* behind value */
    int64_t shift; /* places that the point, and the exponent, move it to the left */
    bool any;      /* there was a digit */
    bool overflow;
};

/* What Python's str.strip() takes for blanks, of ASCII. */
static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
}

static bool take(struct rest *rest, char c)
{
    if (rest->at == rest->end || *rest->at != c)
        return false;
    rest->at++;
    return true;
}

static void strip(struct rest *rest)
{
    while (rest->at < rest->end && is_blank(*rest->at))
        rest->at++;
    while (rest->at < rest->end && is_blank(rest->end[-1]))
        rest->end--;
}

static void append(struct figure *figure, unsigned digit)
{
    figure->overflow = figure->overflow || __builtin_mul_overflow(figure->value, 10, &figure->value) ||
                       __builtin_add_overflow(figure->value, digit, &figure->value);
}

static void take_digits(struct rest *rest, struct figure *figure, bool fraction)
{
    for (; rest->at < rest->end && *rest->at >= '0' && *rest->at <= '9'; rest->at++) {
        figure->any = true;
        figure->shift -= fraction;
        if (*rest->at == '0') {
            figure->zeros += figure->value != 0;
            continue;
        }
        for (; figure->zeros > 0 && !figure->overflow; figure->zeros--)
            append(figure, 0);
        append(figure, (unsigned)(*rest->at - '0'));
    }
}

/* Of a fraction "0.001" the digits before the 1 are no zeros behind a value: they are in shift alone. */
static bool take_exponent(struct rest *rest, struct figure *figure)
{
    int64_t exponent = 0;
    const char *from;
    bool negative;

    if (!take(rest, 'e') && !take(rest, 'E'))
        return true;
    negative = take(rest, '-');
    if (!negative)
        (void)take(rest, '+');
    for (from = rest->at; rest->at < rest->end && *rest->at >= '0' && *rest->at <= '9'; rest->at++)
        exponent = exponent < EXPONENT_MAX ? exponent * 10 + (*rest->at - '0') : exponent;
    figure->shift += negative ? -exponent : exponent;
    return rest->at > from;
}

/* The whole number that it comes to. false: it has a fraction, or is beyond 64 bits. */
static bool settle(struct figure *figure)
{
    if (figure->value == 0 && !figure->overflow)
        return true;
    figure->shift += figure->zeros;
    for (; figure->shift > 0 && !figure->overflow; figure->shift--)
        append(figure, 0);
    return figure->shift == 0 && !figure->overflow;
}

bool tkr_limit_parse(const char *text, size_t len, int64_t *ret_value)
{
    struct rest rest = {text, text + len};
    struct figure figure = {.value = 0};
    bool negative;

    strip(&rest);
    negative = take(&rest, '-');
    if (!negative)
        (void)take(&rest, '+');
    take_digits(&rest, &figure, false);
    if (figure.any && take(&rest, '.'))
        take_digits(&rest, &figure, true);
    if (!figure.any || !take_exponent(&rest, &figure) || rest.at != rest.end || !settle(&figure) || figure.value > INT64_MAX)
        return false;
    *ret_value = negative ? -(int64_t)figure.value : (int64_t)figure.value;
    return true;
}

int64_t tkr_limit_read(const char *text, size_t len)
{
    int64_t value;

    if (!tkr_limit_parse(text, len, &value))
        return TKR_LIMIT_UNREADABLE;
    return value > 0 ? value : TKR_LIMIT_NONE;
}

int64_t tkr_limit_read_blocked(const char *text, size_t len)
{
    int64_t value;

    if (!tkr_limit_parse(text, len, &value))
        return TKR_LIMIT_UNREADABLE;
    return value != 0 ? 0 : TKR_LIMIT_NONE;
}

void tkr_limit_show(const char *text, size_t len, char ret_shown[TKR_LIMIT_TEXT_BYTES])
{
    static const char cut[] = "...";
    size_t room = TKR_LIMIT_TEXT_BYTES - 3;
    size_t shown = len <= room ? len : room - strlen(cut);
    char *at = ret_shown;

    *at++ = '\'';
    for (size_t i = 0; i < shown; i++)
        *at++ = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    if (shown < len) {
        memcpy(at, cut, strlen(cut));
        at += strlen(cut);
    }
    *at++ = '\'';
    *at = '\0';
}
