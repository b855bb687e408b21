/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <string.h>

#define BLOCK 16u
#define BLOCKS_MAX 255u        /* whose counts fit a byte each */
#define CONTINUATION_MAX (-65) /* of a signed byte: 10xxxxxx is -128..-65 */

typedef int8_t bytes16 __attribute__((vector_size(16))); /* where a machine has no such registers, words will do */
typedef uint8_t counts16 __attribute__((vector_size(16)));

/* The sum of the bytes. */
static uint64_t sum_bytes(counts16 counts)
{
    unsigned char byte[BLOCK];
    uint64_t sum = 0;

    memcpy(byte, &counts, sizeof(byte));
    for (unsigned i = 0; i < BLOCK; i++)
        sum += byte[i];
    return sum;
}

/* Characters in so many blocks, at most BLOCKS_MAX. A comparison that holds is -1 in its byte. */
static uint64_t count_blocks(const char *text, size_t blocks)
{
    const bytes16 last = {CONTINUATION_MAX, CONTINUATION_MAX, CONTINUATION_MAX, CONTINUATION_MAX,
                          CONTINUATION_MAX, CONTINUATION_MAX, CONTINUATION_MAX, CONTINUATION_MAX,
                          CONTINUATION_MAX, CONTINUATION_MAX, CONTINUATION_MAX, CONTINUATION_MAX,
                          CONTINUATION_MAX, CONTINUATION_MAX, CONTINUATION_MAX, CONTINUATION_MAX};
    counts16 counts = {0};

    for (; blocks > 0; blocks--, text += BLOCK) {
        bytes16 bytes;
        memcpy(&bytes, text, sizeof(bytes));
        counts -= (counts16)(bytes > last);
    }
    return sum_bytes(counts);
}

uint64_t tkr_text_characters(const char *utf8, size_t bytes)
{
    uint64_t characters = 0;

    if (utf8 == NULL)
        return 0;
    while (bytes >= BLOCK) {
        size_t blocks = bytes / BLOCK < BLOCKS_MAX ? bytes / BLOCK : BLOCKS_MAX;
        characters += count_blocks(utf8, blocks);
        utf8 += blocks * BLOCK;
        bytes -= blocks * BLOCK;
    }
    for (; bytes > 0; bytes--, utf8++)
        characters += (signed char)*utf8 > CONTINUATION_MAX;
    return characters;
}

/* Bytes that follow the lead byte, and what the first of them may be; 0 for a byte that leads nothing. */
static unsigned followers(unsigned char lead, unsigned char *ret_low, unsigned char *ret_high)
{
    *ret_low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    *ret_high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 1;
    if (lead >= 0xe0 && lead <= 0xef)
        return 2;
    return lead >= 0xf0 && lead <= 0xf4 ? 3 : 0;
}

size_t tkr_text_character_bytes(const char *text, size_t len)
{
    unsigned char low;
    unsigned char high;
    unsigned char lead = (unsigned char)text[0];
    unsigned count = followers(lead, &low, &high);

    if (lead < 0x80)
        return lead >= 0x20 && lead != 0x7f;
    if (count == 0 || count >= len)
        return 0;
    for (unsigned i = 1; i <= count; i++) {
        unsigned char byte = (unsigned char)text[i];

        if (byte < (i == 1 ? low : 0x80) || byte > (i == 1 ? high : 0xbf))
            return 0;
    }
    if (lead == 0xc2 && (unsigned char)text[1] < 0xa0)
        return 0; /* the control characters U+0080..U+009F */
    return count + 1;
}

bool tkr_text_valid(const char *text, size_t len)
{
    size_t at = 0;

    while (at < len) {
        size_t bytes = tkr_text_character_bytes(text + at, len - at);
        if (bytes == 0)
            return false;
        at += bytes;
    }
    return true;
}
