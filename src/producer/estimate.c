/* SPDX-License-Identifier: Apache-2.0 */
/* Estimation of tokens, and what belongs nowhere else: the version. */
#include "tokenring/tokenring.h"

#define CHARACTERS_PER_TOKEN 4u
#define CONTINUATION_MASK 0xc0u
#define CONTINUATION 0x80u

int64_t tkr_estimate_tokens(const char *utf8, size_t bytes, uint32_t characters_per_token)
{
    uint64_t characters = 0;

    if (utf8 == NULL)
        return 0;
    for (size_t i = 0; i < bytes; i++) /* every byte but 10xxxxxx begins a code point */
        characters += ((unsigned char)utf8[i] & CONTINUATION_MASK) != CONTINUATION;
    return (int64_t)(characters / (characters_per_token != 0 ? characters_per_token : CHARACTERS_PER_TOKEN));
}

uint32_t tkr_version(void)
{
    return TKR_VERSION_MAJOR << 16 | TKR_VERSION_MINOR << 8 | TKR_VERSION_PATCH;
}
