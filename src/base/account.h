/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts: kinds packed into 64 bits, checks of ids. */
#ifndef TKR_BASE_ACCOUNT_H
#define TKR_BASE_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TKR_KIND_NAME_MAX 12
#define TKR_KIND_NAME_BYTES (TKR_KIND_NAME_MAX + 1) /* with the NUL */
#define TKR_LABEL_BYTES_MAX 96u                     /* under which usage of a model is kept: "model" or "provider/model" */

/* Is this what tkr_kind() makes of some name? (TKR_KIND_USER is.) */
bool tkr_kind_valid(uint64_t kind);

/* Writes the kind's name with its NUL; "user" for TKR_KIND_USER. kind is valid. */
void tkr_kind_name(uint64_t kind, char ret_name[TKR_KIND_NAME_BYTES]);

/* As tkr_text_clean, for texts below 16 bytes. */
bool tkr_text_clean_short(const char *text, size_t len) __attribute__((pure));

/* Not 0 where a byte of the word is a control character: the classic "has a byte less than n" (Bit Twiddling Hacks, "Determine if
 * a word has a byte less than n"), and a zero byte after xor with 0x7f. */
static inline uint64_t tkr_control_bytes8(uint64_t w)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t highs = ones << 7;
    uint64_t del = w ^ ones * 0x7f;

    return ((w - ones * 0x20) & ~w & highs) | ((del - ones) & ~del & highs);
}

typedef uint8_t tkr_bytes16 __attribute__((vector_size(16))); /* where a machine has no such registers, words will do */

static inline tkr_bytes16 tkr_bytes16_load(const char *text)
{
    tkr_bytes16 bytes;

    memcpy(&bytes, text, sizeof(bytes));
    return bytes;
}

/* Not 0 where a byte is a control character. */
static inline tkr_bytes16 tkr_control_bytes(tkr_bytes16 bytes)
{
    const tkr_bytes16 space = {32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32};
    const tkr_bytes16 del = {127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127};

    return (tkr_bytes16)((bytes < space) | (bytes == del));
}

static inline bool tkr_bytes16_any(tkr_bytes16 bytes)
{
    uint64_t half[2];

    memcpy(half, &bytes, sizeof(half));
    return (half[0] | half[1]) != 0;
}

/* No byte below 0x20 and no 0x7f in text[0..len). UTF-8 is not required: ids are bytes. */
static inline bool tkr_text_clean(const char *text, size_t len)
{
    tkr_bytes16 bad;

    if (len < sizeof(bad))
        return tkr_text_clean_short(text, len);
    bad = tkr_control_bytes(tkr_bytes16_load(text + len - sizeof(bad))); /* the last, which may overlap the one before */
    for (; len > sizeof(bad); len -= sizeof(bad), text += sizeof(bad))
        bad |= tkr_control_bytes(tkr_bytes16_load(text));
    return !tkr_bytes16_any(bad);
}

#endif
