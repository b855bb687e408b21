/* SPDX-License-Identifier: Apache-2.0 */
/* Settings from the environment: a value that does not parse is refused with its name, itself and what is allowed. */
#ifndef TKR_BASE_SETTINGS_H
#define TKR_BASE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#define TKR_MESSAGE_BYTES 256

/* A sentence for people about what went wrong; empty when nothing did. */
typedef struct tkr_message {
    char text[TKR_MESSAGE_BYTES];
} tkr_message;

/* Writes the sentence, cut to fit. Returns -1, so that `return tkr_message_set(...)` fails a function. */
int tkr_message_set(tkr_message *message, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The variable's value, or NULL when it is unset or empty. */
const char *tkr_setting_text(const char *name);

/*
 * Reads a decimal integer min..max from the variable, or takes the default when it is unset or empty.
 * 0, or -1 with "NAME=VALUE: allowed is an integer from MIN to MAX" in ret_message and *ret_value untouched.
 */
int tkr_setting_integer(const char *name, int64_t min, int64_t max, int64_t value_default, int64_t *ret_value,
                        tkr_message *ret_message);

/* The whole of text as a decimal integer min..max; false and nothing written otherwise. */
bool tkr_parse_integer(const char *text, int64_t min, int64_t max, int64_t *ret_value);

#endif
