/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's and the tools' log. The producer library never calls it: it prints nothing in its host. */
#ifndef TKR_BASE_LOG_H
#define TKR_BASE_LOG_H

enum tkr_log_level { TKR_LOG_ERROR, TKR_LOG_WARNING, TKR_LOG_INFO, TKR_LOG_DEBUG };

/* Lines above this level are not written. Set once, before threads start. */
void tkr_log_level_set(enum tkr_log_level level);

/* Writes one line, "2026-11-23T12:50:31.123Z info  message", to standard error in one write(2). Any thread. */
void tkr_log(enum tkr_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
