/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A limit as administrators write it into a sink, in Redis as text.
 *
 *     ""  blanks  sign  digits [ "." zeros ] [ e exponent ]  blanks
 *
 * Read is what Python's int() reads, and what its float() reads of a figure without a fraction, as programs in Python write
 * either: 1000, " 7", "+7", "007", "1000.0", "1e3", "1.5e3". The figure is taken as it stands, in decimal, without the rounding
 * of a float. Not read: underscores, other digits than 0 to 9, hexadecimal, "inf", "nan", a fraction, and what is beyond 63
 * bits.
 */
#ifndef TKR_SINK_LIMIT_H
#define TKR_SINK_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A limit: tokens, above 0; 0: the account is blocked; or one of these. */
#define TKR_LIMIT_NONE INT64_C(-1)
#define TKR_LIMIT_UNREADABLE INT64_C(-2) /* one is set, and cannot be read */

#define TKR_LIMIT_TEXT_BYTES 80u /* of what cannot be read, for people; with its NUL */

/* Reads a figure. false: it is none of 64 bits. */
bool tkr_limit_parse(const char *text, size_t len, int64_t *ret_value);

/* What stands in the place of a limit: a figure above 0 is one, and what is not above it is none. */
int64_t tkr_limit_read(const char *text, size_t len);

/* What stands in the place of a block: a figure other than 0 blocks; 0 is TKR_LIMIT_NONE. */
int64_t tkr_limit_read_blocked(const char *text, size_t len);

/* Shows bytes to people: in quotes, cut to fit, with '?' for what is not printable ASCII. */
void tkr_limit_show(const char *text, size_t len, char ret_shown[TKR_LIMIT_TEXT_BYTES]);

#endif
