/* SPDX-License-Identifier: Apache-2.0 */
/* Identifiers are bytes; what people and JSON get is clean UTF-8. */
#ifndef TOOLS_COMMAND_TEXT_H
#define TOOLS_COMMAND_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Room for `bytes` bytes made clean, with the NUL: each bad byte becomes three. */
#define TKR_COMMAND_CLEAN_BYTES(bytes) (3 * (bytes) + 1)

/*
 * Copies text[0..len) with its NUL; each byte that is not part of valid UTF-8 (Unicode 15, table 3-7), and each control
 * character, becomes U+FFFD. ret_clean has TKR_COMMAND_CLEAN_BYTES(len). Was it clean already?
 */
bool tkr_command_text_clean(const char *text, size_t len, char *ret_clean);

/* Columns of a terminal that clean text takes: its code points (wide and combining characters are not looked at). */
size_t tkr_command_text_columns(const char *clean);

/* Bytes as lower-case hexadecimal digits; a new JSON string, NULL without memory. len is at most 255. */
json_t *tkr_command_json_hex(const char *bytes, size_t len);

/* Sets object[key] to the id made clean, and object[key_hex] to its bytes where it was not. len is at most 255. */
void tkr_command_json_set_id(json_t *object, const char *key, const char *id, size_t len);

#endif
