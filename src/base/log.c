/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 1024

/* Ids are bytes of strangers' choice: a line feed among them must not begin a line of its own. */
static void blot_out_controls(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
    }
}

static enum tkr_log_level level_max = TKR_LOG_INFO;

void tkr_log_level_set(enum tkr_log_level level)
{
    level_max = level;
}

void tkr_log(enum tkr_log_level level, const char *format, ...)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    char line[LINE_BYTES];
    struct timespec now;
    struct tm utc;
    va_list args;
    size_t at;
    int n;

    if (level > level_max)
        return;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    at = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &utc);
    at += (size_t)snprintf(line + at, sizeof(line) - at, ".%03dZ %-7s ", (int)(now.tv_nsec / 1000000), names[level]);
    va_start(args, format);
    n = vsnprintf(line + at, sizeof(line) - at, format, args);
    va_end(args);
    if (n < 0)
        return;
    at += (size_t)n;
    if (at > sizeof(line) - 1)
        at = sizeof(line) - 1; /* cut, not lost */
    blot_out_controls(line, at);
    line[at++] = '\n';
    (void)!write(STDERR_FILENO, line, at); /* nobody to tell when the log itself fails */
}
