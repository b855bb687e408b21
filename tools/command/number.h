/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers in few columns, for people: "999", "12.3k", "4.56M". */
#ifndef TOOLS_COMMAND_NUMBER_H
#define TOOLS_COMMAND_NUMBER_H

#include <stdint.h>

#define TKR_COMMAND_NUMBER_BYTES 12

/* At most six columns, three digits or more of them right: k, M, G, T, P and E are powers of 1000. Return ret_text. */
const char *tkr_command_number(int64_t value, char ret_text[TKR_COMMAND_NUMBER_BYTES]);
const char *tkr_command_unsigned(uint64_t value, char ret_text[TKR_COMMAND_NUMBER_BYTES]);

/* The same of a rate, 0 or more; below 100 with a digit behind the point. */
const char *tkr_command_rate(double value, char ret_text[TKR_COMMAND_NUMBER_BYTES]);

/* Bytes, by powers of 1024: "64 KiB". */
const char *tkr_command_bytes(uint64_t bytes, char ret_text[TKR_COMMAND_NUMBER_BYTES]);

#endif
