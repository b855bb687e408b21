/* SPDX-License-Identifier: Apache-2.0 */
/* Frames as people and JSON get them. */
#ifndef TOOLS_COMMAND_FRAME_TEXT_H
#define TOOLS_COMMAND_FRAME_TEXT_H

#include <jansson.h>

#include "command/text.h"
#include "event/frame.h"

/* "usage", "increment", "notice", "watch", "open", "padding"; "type 9" of one that this version does not know. Returns ret_text. */
#define TKR_COMMAND_FRAME_TYPE_BYTES 24
const char *tkr_command_frame_type(unsigned type, char ret_text[TKR_COMMAND_FRAME_TYPE_BYTES]);

/* What the error of an event says: "timeout", of a notice "slow_calls"; "" of none. A new one: its number. Returns ret_text. */
const char *tkr_command_frame_error(const struct tkr_event *event, char ret_text[TKR_COMMAND_FRAME_TYPE_BYTES]);

/* A value of an event, by its bit; 0: it has none. */
int64_t tkr_command_frame_value(const struct tkr_event *event, unsigned bit);

/* "alice,team:red", clean. ret_text has TKR_COMMAND_ACCOUNTS_BYTES. */
#define TKR_COMMAND_ACCOUNTS_BYTES (TKR_ACCOUNTS_MAX * (TKR_COMMAND_KIND_BYTES + 2 + TKR_COMMAND_CLEAN_BYTES(TKR_ID_BYTES_MAX)))
void tkr_command_frame_accounts(const struct tkr_event *event, char *ret_text);

/* "openai/gpt-4o", or the model alone, clean; "" of none. ret_text has TKR_COMMAND_MODEL_BYTES. */
#define TKR_COMMAND_MODEL_BYTES (TKR_COMMAND_CLEAN_BYTES(TKR_PROVIDER_BYTES_MAX + 1 + TKR_MODEL_BYTES_MAX))
void tkr_command_frame_model(const struct tkr_event *event, char *ret_text);

/* A new object with all that the event says; of a type that this version does not know, the type alone. */
json_t *tkr_command_frame_json(const struct tkr_event *event);

#endif
