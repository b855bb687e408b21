/* SPDX-License-Identifier: Apache-2.0 */
#include "base/account.h"

#include <string.h>

#include "tokenring/tokenring.h"

#define LETTER_BITS 5
#define LETTER_MASK UINT64_C(31)
#define UNDERSCORE 27

int tkr_kind(const char *name, uint64_t *ret_kind)
{
    uint64_t kind = 0;
    size_t n;

    if (name == NULL || ret_kind == NULL)
        return TKR_EINVAL;
    for (n = 0; name[n] != '\0'; n++) {
        uint64_t letter;

        if (n == TKR_KIND_NAME_MAX)
            return TKR_EKIND;
        if (name[n] >= 'a' && name[n] <= 'z')
            letter = (uint64_t)(name[n] - 'a') + 1;
        else if (name[n] == '_' && n > 0 && name[n + 1] != '\0')
            letter = UNDERSCORE;
        else
            return TKR_EKIND;
        kind |= letter << (LETTER_BITS * n);
    }
    if (n == 0)
        return TKR_EKIND;
    *ret_kind = strcmp(name, "user") == 0 ? TKR_KIND_USER : kind;
    return TKR_OK;
}

void tkr_kind_name(uint64_t kind, char ret_name[TKR_KIND_NAME_BYTES])
{
    size_t n = 0;

    if (kind == TKR_KIND_USER) {
        memcpy(ret_name, "user", sizeof("user"));
        return;
    }
    for (; kind != 0 && n < TKR_KIND_NAME_MAX; kind >>= LETTER_BITS) {
        uint64_t letter = kind & LETTER_MASK;
        ret_name[n++] = letter == UNDERSCORE ? '_' : (char)('a' + (int)letter - 1);
    }
    ret_name[n] = '\0';
}

bool tkr_kind_valid(uint64_t kind)
{
    char name[TKR_KIND_NAME_BYTES];
    uint64_t again;
    uint64_t rest;

    if (kind == TKR_KIND_USER)
        return true;
    for (rest = kind; rest != 0; rest >>= LETTER_BITS) {
        if ((rest & LETTER_MASK) == 0 || (rest & LETTER_MASK) > UNDERSCORE)
            return false;
    }
    tkr_kind_name(kind, name);
    return tkr_kind(name, &again) == TKR_OK && again == kind;
}

bool tkr_text_clean_short(const char *text, size_t len)
{
    uint64_t bad = 0;
    uint64_t w;

    if (len >= sizeof(w)) {
        memcpy(&w, text, sizeof(w));
        bad = tkr_control_bytes8(w);
        memcpy(&w, text + len - sizeof(w), sizeof(w)); /* overlaps */
        return (bad | tkr_control_bytes8(w)) == 0;
    }
    for (; len > 0; len--, text++)
        bad |= (uint64_t)((unsigned char)*text < 0x20 || *text == 0x7f);
    return bad == 0;
}
