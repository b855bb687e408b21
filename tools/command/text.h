/* SPDX-License-Identifier: Apache-2.0 */
/* Identifiers are bytes; what people and JSON get is clean UTF-8. */
#ifndef TOOLS_COMMAND_TEXT_H
#define TOOLS_COMMAND_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for `bytes` bytes made clean, with the NUL: each bad byte becomes three. */
#define TKR_COMMAND_CLEAN_BYTES(bytes) (3 * (bytes) + 1)

/*
 * Copies text[0..len) with its NUL; each byte that is not part of valid UTF-8 (Unicode 15, table 3-7), and each control
 * character, becomes U+FFFD. ret_clean has TKR_COMMAND_CLEAN_BYTES(len). Was it clean already?
 */
bool tkr_command_text_clean(const char *text, size_t len, char *ret_clean);

/* Columns of a terminal that clean text takes: its code points (wide and combining characters are not looked at). */
size_t tkr_command_text_columns(const char *clean);

/*
 * Clean text in exactly so many columns: cut, with '~' as its last column, or filled up with blanks. Characters that take no
 * column, or that turn the direction of what follows, become U+FFFD; what the locale cannot show, '?'. ret_fitted has
 * TKR_COMMAND_FITTED_BYTES(columns).
 */
#define TKR_COMMAND_FITTED_BYTES(columns) (4 * (columns) + 1)
void tkr_command_text_fit(const char *clean, size_t columns, char *ret_fitted);

/* Columns that clean text takes when it is fitted. */
size_t tkr_command_text_width(const char *clean);

/*
 * Lets the above know wide and combining characters: takes the environment's locale, or UTF-8 where that names no character set. Call
 * it once, before other threads.
 */
void tkr_command_text_locale(void);

/* The name of a kind; where it is none, its number. Returns ret_text. */
#define TKR_COMMAND_KIND_BYTES 20
const char *tkr_command_kind_text(uint64_t kind, char ret_text[TKR_COMMAND_KIND_BYTES]);

/* Bytes as lower-case hexadecimal digits; a new JSON string, NULL without memory. len is at most 255. */
json_t *tkr_command_json_hex(const char *bytes, size_t len);

/* Sets object[key] to the id made clean, and object[key_hex] to its bytes where it was not. len is at most 255. */
void tkr_command_json_set_id(json_t *object, const char *key, const char *id, size_t len);

#endif
