/* SPDX-License-Identifier: Apache-2.0 */
/* Moments as people and JSON get them: UTC, ISO 8601. */
#ifndef TOOLS_COMMAND_MOMENT_H
#define TOOLS_COMMAND_MOMENT_H

#include <jansson.h>
#include <stdint.h>

#define TKR_COMMAND_MOMENT_BYTES 32

/* "2026-11-23T12:50:31Z" of Unix time; "unknown" where no calendar has it. Returns ret_text. */
const char *tkr_command_moment(int64_t unix_ns, char ret_text[TKR_COMMAND_MOMENT_BYTES]);

/* The same with milliseconds, "2026-11-23T12:50:31.123Z". */
const char *tkr_command_moment_ms(int64_t unix_ns, char ret_text[TKR_COMMAND_MOMENT_BYTES]);

/* A new JSON string; null for 0, which says never. */
json_t *tkr_command_moment_json(int64_t unix_ns);

#endif
