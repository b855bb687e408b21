/* SPDX-License-Identifier: Apache-2.0 */
/* Estimation of tokens, and what belongs nowhere else: the version. */
#include <string.h>

#include "base/text.h"
#include "tokenring/tokenring.h"

#define CHARACTERS_PER_TOKEN 4u

int64_t tkr_estimate_tokens(const char *utf8, size_t bytes, uint32_t characters_per_token)
{
    if (utf8 == NULL)
        return 0;
    return (int64_t)(tkr_text_characters(utf8, bytes) /
                     (characters_per_token != 0 ? characters_per_token : CHARACTERS_PER_TOKEN));
}

uint32_t tkr_version(void)
{
    return TKR_VERSION_MAJOR << 16 | TKR_VERSION_MINOR << 8 | TKR_VERSION_PATCH;
}
