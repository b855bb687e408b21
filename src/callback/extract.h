/* SPDX-License-Identifier: Apache-2.0 */
/* What a response says of the tokens that a call used. Pure; the tables are those of tokenring/callback.h. */
#ifndef TKR_CALLBACK_EXTRACT_H
#define TKR_CALLBACK_EXTRACT_H

#include <stdbool.h>

#include "event/contradictions.h"
#include "tokenring/callback.h"

struct tkr_extracted {
    tkr_usage usage;
    uint32_t corrected;      /* figures that could not be taken as they were told */
    uint32_t contradictions; /* a bit for each of enum tkr_contradiction that the reported figures show */
    bool missing;            /* no usage was reported */
};

/* Tokens of all contents of a prompt: code points, divided and rounded down. */
int64_t tkr_extract_prompt_estimate(const tkr_chat_message *messages, uint32_t count, uint32_t characters_per_token);

/* Of a call that ended: total_tokens only. */
void tkr_extract_total(const tkr_response *response, struct tkr_extracted *ret_extracted);

/* Of a call that ended: prompt, completion, and the total where it is not their sum; prompt_estimate is what its start gave. */
void tkr_extract_detailed(const tkr_response *response, int64_t prompt_estimate, uint32_t characters_per_token,
                          struct tkr_extracted *ret_extracted);

/* Of a call that failed: what is reported, and nothing estimated. response may be NULL. */
void tkr_extract_reported(const tkr_response *response, struct tkr_extracted *ret_extracted);

#endif
