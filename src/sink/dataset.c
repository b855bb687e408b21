/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/dataset.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/host.h"

#define ID_LEN (TKR_DATASET_ID_BYTES - 1)
#define NONE "-"

bool tkr_dataset_id_valid(const char *text)
{
    return strlen(text) == ID_LEN && strspn(text, "0123456789abcdef") == ID_LEN;
}

bool tkr_dataset_id_draw(char ret_id[TKR_DATASET_ID_BYTES])
{
    uint64_t number;

    if (!tkr_random(&number, sizeof(number)))
        return false;
    (void)snprintf(ret_id, TKR_DATASET_ID_BYTES, "%016" PRIx64, number);
    return true;
}

void tkr_dataset_format(const struct tkr_dataset *dataset, char ret_text[TKR_DATASET_TEXT_BYTES])
{
    bool restored = dataset->backup[0] != '\0';

    ret_text[0] = '\0';
    if (dataset->id[0] == '\0')
        return;
    (void)snprintf(ret_text, TKR_DATASET_TEXT_BYTES, "%s %" PRId64 " %s %s %s", dataset->id, dataset->begun_s,
                   restored ? dataset->backup : NONE, restored ? dataset->of : NONE,
                   !restored        ? NONE
                   : dataset->whole ? "whole"
                                    : "begun");
}

static bool take_id(const char *word, char ret_id[TKR_DATASET_ID_BYTES])
{
    if (!tkr_dataset_id_valid(word))
        return false;
    memcpy(ret_id, word, TKR_DATASET_ID_BYTES);
    return true;
}

static bool take_words(char *const word[5], struct tkr_dataset *ret_dataset)
{
    if (!take_id(word[0], ret_dataset->id) || !tkr_parse_integer(word[1], 0, INT64_MAX, &ret_dataset->begun_s))
        return false;
    if (strcmp(word[2], NONE) == 0)
        return true;
    ret_dataset->whole = strcmp(word[4], "whole") == 0;
    return take_id(word[2], ret_dataset->backup) && take_id(word[3], ret_dataset->of);
}

/* Only what would be written of it is understood. */
bool tkr_dataset_parse(const char *text, size_t len, struct tkr_dataset *ret_dataset)
{
    struct tkr_dataset dataset = {.id = ""};
    char copy[TKR_DATASET_TEXT_BYTES];
    char again[TKR_DATASET_TEXT_BYTES];
    char *word[5];
    char *rest = copy;

    if (len >= sizeof(copy) || memchr(text, '\0', len) != NULL)
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    for (int i = 0; i < 5; i++) {
        word[i] = strsep(&rest, " ");
        if (word[i] == NULL)
            return false;
    }
    if (rest != NULL || !take_words(word, &dataset))
        return false;
    tkr_dataset_format(&dataset, again);
    if (strlen(again) != len || memcmp(again, text, len) != 0)
        return false;
    *ret_dataset = dataset;
    return true;
}
