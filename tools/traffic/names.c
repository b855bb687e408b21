/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/names.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_FIRST 64

/* FNV-1a, 32 bits (Fowler, Noll, Vo; RFC 9923). */
static uint32_t hash_text(const char *text, size_t len)
{
    uint32_t hash = UINT32_C(0x811c9dc5);

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)text[i]) * UINT32_C(0x01000193);
    return hash;
}

/* The slot that holds the name, or the free one where it belongs. */
static uint32_t *find_slot(const struct tkr_traffic_names *names, const char *text, size_t len, uint32_t hash)
{
    for (uint32_t i = hash;; i++) {
        uint32_t *slot = &names->slot[i & (names->slot_count - 1)];
        const struct tkr_traffic_name *name;

        if (*slot == 0)
            return slot;
        name = &names->name[*slot - 1];
        if (name->hash == hash && name->len == len && memcmp(name->text, text, len) == 0)
            return slot;
    }
}

/* Doubles the index; at most half of it is in use. The names' array has as many places as half of the index. */
static int grow(struct tkr_traffic_names *names)
{
    uint32_t slot_count = names->slot_count == 0 ? SLOTS_FIRST : names->slot_count * 2;
    struct tkr_traffic_name *name = reallocarray(names->name, slot_count / 2, sizeof(*name));
    uint32_t *slot = calloc(slot_count, sizeof(*slot));

    if (name != NULL)
        names->name = name;
    if (name == NULL || slot == NULL) {
        free(slot);
        return -1;
    }
    free(names->slot);
    names->slot = slot;
    names->slot_count = slot_count;
    for (uint32_t i = 0; i < names->count; i++)
        *find_slot(names, name[i].text, name[i].len, name[i].hash) = i + 1;
    return 0;
}

int tkr_traffic_names_add(struct tkr_traffic_names *names, const char *text, size_t len, uint32_t *ret_number)
{
    uint32_t hash = hash_text(text, len);
    uint32_t *slot;
    char *copy;

    if (names->count == names->slot_count / 2 && (names->count == TKR_TRAFFIC_NAMES_MAX || grow(names) != 0))
        return -1;
    slot = find_slot(names, text, len, hash);
    if (*slot == 0) {
        copy = malloc(len + 1); /* never of no bytes */
        if (copy == NULL)
            return -1;
        memcpy(copy, text, len);
        names->name[names->count++] = (struct tkr_traffic_name){.text = copy, .len = (uint32_t)len, .hash = hash};
        *slot = names->count;
    }
    *ret_number = *slot - 1;
    return 0;
}

bool tkr_traffic_names_find(const struct tkr_traffic_names *names, const char *text, size_t len, uint32_t *ret_number)
{
    uint32_t slot = names->slot_count == 0 ? 0 : *find_slot(names, text, len, hash_text(text, len));

    *ret_number = slot - 1;
    return slot != 0;
}

void tkr_traffic_names_free(struct tkr_traffic_names *names)
{
    for (uint32_t i = 0; i < names->count; i++)
        free(names->name[i].text);
    free(names->name);
    free(names->slot);
    *names = (struct tkr_traffic_names){0};
}
