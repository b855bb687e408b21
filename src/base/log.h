/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's and the tools' log. The producer library never calls it: it prints nothing in its host. */
#ifndef TKR_BASE_LOG_H
#define TKR_BASE_LOG_H

#include "base/settings.h"

enum tkr_log_level { TKR_LOG_ERROR, TKR_LOG_WARNING, TKR_LOG_INFO, TKR_LOG_DEBUG };
enum tkr_log_format { TKR_LOG_TEXT, TKR_LOG_JSON };

/* Lines above this level are not written; how they look. Set once, before threads start. */
void tkr_log_level_set(enum tkr_log_level level);
void tkr_log_format_set(enum tkr_log_format format);

/*
 * LOG_LEVEL (error, warning, info, debug; default info) and LOG_FORMAT (text or json; default text), in any case.
 * 0, or -1 with a sentence that names the variable, its value and what is allowed.
 */
int tkr_log_settings_read(tkr_message *ret_message);

/*
 * Writes one line to standard error in one write(2): "2026-11-23T12:50:31.123Z info    message", or as JSON an object with
 * timestamp, level, logger and message. Control characters become '?'; a message beyond 1023 bytes is cut. Any thread.
 */
void tkr_log(enum tkr_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
