/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commonest calls: one user, prompt and completion, all of it small, and nothing else told. What makes a call plain is asked
 * of all its fields at once, and its frame has one shape (event/encode.h), so it costs a third of what any call costs.
 *
 * What is not told is as TKR_START_INIT and TKR_USAGE_INIT left it, so two halves of a word are looked at together; what callers
 * write themselves is not: the processor would wait for the two stores.
 */
#ifndef TKR_PRODUCER_PLAIN_H
#define TKR_PRODUCER_PLAIN_H

#include <string.h>

#include "producer/arguments.h"

#define TKR_PLAIN_TOKENS_MAX (UINT64_C(1) << 31) /* of each figure, less one: two of them fit 32 bits */

static inline uint64_t tkr_plain_word(const void *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof(word));
    return word;
}

/* 0 when the start tells of one user with an id that fits, and its time and estimates at most; looks not at the id's bytes. */
static inline uint64_t tkr_plain_start_zeros(const tkr_start *start)
{
    uint64_t zeros = start->account[0].kind | tkr_plain_word(&start->model_len) | tkr_plain_word(start->call_id) |
                     tkr_plain_word(start->call_id + sizeof(uint64_t)) | tkr_plain_word(&start->attempt);

    return start->account_count == 1 && tkr_arguments_id_fits(&start->account[0]) ? zeros : 1;
}
_Static_assert(TKR_KIND_USER == 0 && TKR_ABSENT == -1, "all bits can be looked at together");
_Static_assert(offsetof(tkr_start, provider_len) == offsetof(tkr_start, model_len) + 4 &&
                   offsetof(tkr_start, cycle) == offsetof(tkr_start, attempt) + 4,
               "two halves of a word");

/* Does it tell of prompt and completion, and its end at most, which may be any number? */
static inline bool tkr_plain_usage(const tkr_usage *usage)
{
    int64_t absent =
        usage->total & usage->cached & usage->cache_write & usage->reasoning & usage->cost_nano_usd & usage->first_token_ns;

    return absent == TKR_ABSENT && (usage->estimated | (uint32_t)usage->error) == 0 &&
           (((uint64_t)usage->prompt - 1) | ((uint64_t)usage->completion - 1)) < TKR_PLAIN_TOKENS_MAX - 1;
}

#endif
