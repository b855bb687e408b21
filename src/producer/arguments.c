/* SPDX-License-Identifier: Apache-2.0 */
#include "producer/arguments.h"

#include <string.h>

#define SIZE_MAX_OF_LATER 4096 /* bytes */

/*
 * Copies a structure that begins with its size over defaults of this version's size `known`: fields that an older caller
 * does not have keep their default; what a newer one has beyond must be zero. The first `needed` bytes are required. All
 * structures have 64-bit fields, so no version's size is odd to 8; an array of them stays aligned. The size becomes known.
 */
static int adopt(const void *given, size_t known, size_t needed, void *ret_struct)
{
    const unsigned char *bytes = given;
    uint32_t size;

    memcpy(&size, given, sizeof(size));
    if (size < needed || size > SIZE_MAX_OF_LATER || size % sizeof(uint64_t) != 0)
        return TKR_ESIZE;
    for (size_t i = known; i < size; i++) {
        if (bytes[i] != 0)
            return TKR_ESIZE;
    }
    memcpy(ret_struct, given, size < known ? size : known);
    size = (uint32_t)known;
    memcpy(ret_struct, &size, sizeof(size));
    return TKR_OK;
}

int tkr_arguments_options(const tkr_options *given, tkr_options *ret_options)
{
    memset(ret_options, 0, sizeof(*ret_options));
    return given == NULL ? TKR_OK : adopt(given, sizeof(*ret_options), sizeof(uint32_t), ret_options);
}

int tkr_arguments_adopt_start(const tkr_start *given, tkr_start *ret_start)
{
    *ret_start = (tkr_start)TKR_START_INIT;
    return given == NULL ? TKR_EINVAL : adopt(given, sizeof(*ret_start), offsetof(tkr_start, model), ret_start);
}

int tkr_arguments_adopt_usage(const tkr_usage *given, tkr_usage *ret_usage)
{
    *ret_usage = (tkr_usage)TKR_USAGE_INIT;
    return given == NULL ? TKR_EINVAL : adopt(given, sizeof(*ret_usage), offsetof(tkr_usage, total), ret_usage);
}

bool tkr_arguments_accounts_differ(const tkr_start *start)
{
    for (uint32_t i = 1; i < start->account_count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            const tkr_account *a = &start->account[i];
            const tkr_account *b = &start->account[j];
            if (a->kind == b->kind && a->len == b->len && memcmp(a->id, b->id, a->len) == 0)
                return false;
        }
    }
    return true;
}
