/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/host.h"
#include "base/log_file.h"
#include "base/log_writer.h"

#define TEXT_BYTES 1024
#define REPEATS_MS 60000

/* Set before threads start. */
static struct {
    enum tkr_log_level level;
    struct tkr_log_style style;
    bool open; /* the writer has it */
} state = {.level = TKR_LOG_INFO};

/* --- settings --- */

static int read_level(enum tkr_log_level *ret_level, tkr_message *ret_message)
{
    static const char *const others[] = {"critical", "warn", NULL, NULL}; /* names that the replaced system takes, too */
    const char *text = tkr_setting_text("LOG_LEVEL");

    *ret_level = TKR_LOG_INFO;
    for (int i = TKR_LOG_ERROR; text != NULL && i <= TKR_LOG_DEBUG; i++) {
        if (strcasecmp(text, tkr_log_level_name[i]) == 0 || (others[i] != NULL && strcasecmp(text, others[i]) == 0)) {
            *ret_level = (enum tkr_log_level)i;
            return 0;
        }
    }
    return text == NULL ? 0 : tkr_setting_refuse(ret_message, "LOG_LEVEL", text, "allowed are error, warning, info, debug");
}

static int read_format(enum tkr_log_format *ret_format, tkr_message *ret_message)
{
    const char *text = tkr_setting_text("LOG_FORMAT");

    *ret_format = TKR_LOG_TEXT;
    if (text == NULL || strcasecmp(text, "text") == 0)
        return 0;
    *ret_format = TKR_LOG_JSON;
    return strcasecmp(text, "json") == 0 ? 0 : tkr_setting_refuse(ret_message, "LOG_FORMAT", text, "allowed are text and json");
}

int tkr_log_settings_read(struct tkr_log_settings *ret_settings, tkr_message *ret_message)
{
    const char *file;
    int64_t redact;

    if (tkr_setting_path("TOKENRING_LOG_FILE", &file, ret_message) != 0 || read_format(&ret_settings->format, ret_message) != 0 ||
        read_level(&ret_settings->level, ret_message) != 0 ||
        tkr_setting_integer("TOKENRING_LOG_REDACT", 0, 1, 0, &redact, ret_message) != 0)
        return -1;
    if ((size_t)snprintf(ret_settings->file, sizeof(ret_settings->file), "%s", file != NULL ? file : "") >=
        sizeof(ret_settings->file))
        return tkr_message_set(ret_message, "TOKENRING_LOG_FILE is longer than a path may be");
    ret_settings->redact = redact != 0;
    ret_settings->repeats_ms = REPEATS_MS;
    return 0;
}

bool tkr_log_set(const struct tkr_log_settings *settings)
{
    state.level = settings->level;
    state.style = (struct tkr_log_style){
        .format = settings->format, .journal = tkr_log_file_is_journal(STDERR_FILENO), .redact = settings->redact};
    return tkr_random(&state.style.key, sizeof(state.style.key));
}

/* --- life --- */

int tkr_log_open(const struct tkr_log_settings *settings, tkr_message *ret_message)
{
    const char *path = settings->file[0] != '\0' ? settings->file : NULL;
    struct tkr_log_style style;

    if (!tkr_log_set(settings))
        return tkr_message_set(ret_message, "the kernel gives no random bytes");
    style = state.style;
    style.journal = style.journal && path == NULL;
    if (tkr_log_writer_open(path, &style, settings->repeats_ms * TKR_NS_PER_MS, ret_message) != 0)
        return -1;
    state.open = true;
    return 0;
}

void tkr_log_close(void)
{
    if (!state.open)
        return;
    state.open = false;
    tkr_log_writer_close();
}

void tkr_log_reopen(void)
{
    tkr_log_writer_reopen();
}

bool tkr_log_problem(tkr_message *ret_message)
{
    return tkr_log_writer_problem(ret_message);
}

/* --- lines --- */

bool tkr_log_wants(enum tkr_log_level level)
{
    return level <= state.level;
}

static bool at_once(void *argument)
{
    (void)argument;
    return true;
}

static void write_now(const struct tkr_log_body *body)
{
    static const struct tkr_log_more no_more;
    struct tkr_log_second second = {0};
    char line[TKR_LOG_LINE_BYTES];
    size_t len = tkr_log_line_make(&state.style, body, &no_more, &second, line);

    (void)tkr_log_file_write(STDERR_FILENO, line, len, at_once, NULL); /* nobody to tell when the log itself fails */
}

bool tkr_log_fields(enum tkr_log_level level, const char *message, const struct tkr_field *fields, size_t count, bool each)
{
    struct tkr_log_body body;

    if (!tkr_log_wants(level))
        return true;
    tkr_log_body_make(&state.style, level, message, fields, count, &body);
    if (state.open)
        return tkr_log_writer_put(&body, each);
    write_now(&body);
    return true;
}

void tkr_log(enum tkr_log_level level, const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list args;
    int n;

    if (!tkr_log_wants(level))
        return;
    va_start(args, format);
    n = vsnprintf(text, sizeof(text), format, args); /* cut, not lost */
    va_end(args);
    if (n >= 0)
        (void)tkr_log_fields(level, text, NULL, 0, false);
}
