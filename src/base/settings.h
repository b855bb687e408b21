/* SPDX-License-Identifier: Apache-2.0 */
/* Settings from the environment: a value that does not parse is refused with its name, itself and what is allowed. */
#ifndef TKR_BASE_SETTINGS_H
#define TKR_BASE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TKR_MESSAGE_BYTES 256

/* A sentence for people about what went wrong; empty when nothing did. */
typedef struct tkr_message {
    char text[TKR_MESSAGE_BYTES];
} tkr_message;

/* Writes the sentence, cut to fit. Returns -1, so that `return tkr_message_set(...)` fails a function. */
int tkr_message_set(tkr_message *message, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * A setting's value as it may be shown, cut to size: of what looks like a URL or like user:password, what could be a password,
 * and a query other than ?db=, as "***". A path, which begins with '/' or "unix:/", is shown as it is.
 */
void tkr_setting_redact(const char *value, char *ret_text, size_t size);

/* Says that the variable's value, which is redacted, is refused: "NAME=VALUE: " and the rest. Always -1. */
int tkr_setting_refuse(tkr_message *ret_message, const char *name, const char *value, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Does it end in a line break, as what was read from a file does? */
bool tkr_setting_ends_in_break(const char *value);

/* The variable's value, or NULL when it is unset or empty. */
const char *tkr_setting_text(const char *name);

/*
 * Reads a path from the variable. 0 with it, or with NULL when the variable is unset or empty; -1 for a URL, which may hold a
 * password and is no path, though a file of that name could be made.
 */
int tkr_setting_path(const char *name, const char **ret_path, tkr_message *ret_message);

/*
 * Reads a decimal integer min..max from the variable, or takes the default when it is unset or empty.
 * 0, or -1 with "NAME=VALUE: allowed is an integer from MIN to MAX" in ret_message and *ret_value untouched.
 */
int tkr_setting_integer(const char *name, int64_t min, int64_t max, int64_t value_default, int64_t *ret_value,
                        tkr_message *ret_message);

/* The whole of text as a decimal integer min..max; false and nothing written otherwise. */
bool tkr_parse_integer(const char *text, int64_t min, int64_t max, int64_t *ret_value);

#endif
