/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

#define TEXT_BYTES 1024
#define LINE_BYTES (2 * TEXT_BYTES + 128) /* of JSON: a byte takes two at most */

static const char *const level_names[] = {"error", "warning", "info", "debug"};
static enum tkr_log_level level_max = TKR_LOG_INFO;
static enum tkr_log_format log_format = TKR_LOG_TEXT;

void tkr_log_level_set(enum tkr_log_level level)
{
    level_max = level;
}

void tkr_log_format_set(enum tkr_log_format format)
{
    log_format = format;
}

/* --- settings --- */

static int read_level(tkr_message *ret_message)
{
    static const char *const others[] = {"critical", "warn", NULL, NULL}; /* names that the replaced system takes, too */
    const char *text = tkr_setting_text("LOG_LEVEL");

    for (int i = TKR_LOG_ERROR; text != NULL && i <= TKR_LOG_DEBUG; i++) {
        if (strcasecmp(text, level_names[i]) == 0 || (others[i] != NULL && strcasecmp(text, others[i]) == 0)) {
            tkr_log_level_set((enum tkr_log_level)i);
            return 0;
        }
    }
    return text == NULL ? 0 : tkr_message_set(ret_message, "LOG_LEVEL=%s: allowed are error, warning, info, debug", text);
}

static int read_format(tkr_message *ret_message)
{
    const char *text = tkr_setting_text("LOG_FORMAT");

    if (text == NULL || strcasecmp(text, "text") == 0)
        tkr_log_format_set(TKR_LOG_TEXT);
    else if (strcasecmp(text, "json") == 0)
        tkr_log_format_set(TKR_LOG_JSON);
    else
        return tkr_message_set(ret_message, "LOG_FORMAT=%s: allowed are text and json", text);
    return 0;
}

int tkr_log_settings_read(tkr_message *ret_message)
{
    return read_level(ret_message) == 0 ? read_format(ret_message) : -1;
}

/* --- lines --- */

/* Ids are bytes of strangers' choice: a line feed among them must not begin a line of its own. */
static void blot_out_controls(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
    }
}

/* The text within a JSON string: quotes and backslashes escaped, what is no UTF-8 a '?'. Controls are blotted out already. */
static size_t escape(const char *text, char *to)
{
    size_t left = strlen(text);
    char *begin = to;

    while (left > 0) {
        size_t bytes = tkr_text_character_bytes(text, left);
        if (*text == '"' || *text == '\\')
            *to++ = '\\';
        if (bytes == 0)
            *to++ = '?';
        memcpy(to, text, bytes);
        to += bytes;
        bytes = bytes > 0 ? bytes : 1;
        text += bytes;
        left -= bytes;
    }
    return (size_t)(to - begin);
}

static size_t put_time(char line[LINE_BYTES], const char *before, const char *after)
{
    struct timespec now;
    struct tm utc;
    size_t at = strlen(before);

    memcpy(line, before, at);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    at += strftime(line + at, LINE_BYTES - at, "%Y-%m-%dT%H:%M:%S", &utc);
    return at + (size_t)snprintf(line + at, LINE_BYTES - at, ".%03dZ%s", (int)(now.tv_nsec / 1000000), after);
}

static size_t put_text(char line[LINE_BYTES], enum tkr_log_level level, const char *text)
{
    size_t at = put_time(line, "", "");

    return at + (size_t)snprintf(line + at, LINE_BYTES - at, " %-7s %s\n", level_names[level], text);
}

static size_t put_json(char line[LINE_BYTES], enum tkr_log_level level, const char *text)
{
    size_t at = put_time(line, "{\"timestamp\":\"", "\"");

    at += (size_t)snprintf(line + at, LINE_BYTES - at, ",\"level\":\"%s\",\"logger\":\"tokenring\",\"message\":\"",
                           level_names[level]);
    at += escape(text, line + at);
    return at + (size_t)snprintf(line + at, LINE_BYTES - at, "\"}\n");
}

void tkr_log(enum tkr_log_level level, const char *format, ...)
{
    char text[TEXT_BYTES];
    char line[LINE_BYTES];
    va_list args;
    size_t len;
    int n;

    if (level > level_max)
        return;
    va_start(args, format);
    n = vsnprintf(text, sizeof(text), format, args); /* cut, not lost */
    va_end(args);
    if (n < 0)
        return;
    blot_out_controls(text, strlen(text));
    len = log_format == TKR_LOG_JSON ? put_json(line, level, text) : put_text(line, level, text);
    (void)!write(STDERR_FILENO, line, len); /* nobody to tell when the log itself fails */
}
