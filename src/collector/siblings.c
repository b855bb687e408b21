/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/siblings.h"

#include <stdlib.h>
#include <string.h>

#include "sink/holdings.h"

/* A repair with room for as many siblings as there are other shards. */
struct place {
    struct tkr_repair *repair;
    struct tkr_repair_sibling *room;
};

static int compare_bytes(const char *a, uint32_t a_len, const char *b, uint32_t b_len)
{
    return a_len != b_len ? (a_len < b_len ? -1 : 1) : memcmp(a, b, a_len);
}

static int compare_items(const struct tkr_contribution *a, const struct tkr_contribution *b)
{
    int result = a->kind != b->kind ? (a->kind < b->kind ? -1 : 1) : a->cycle != b->cycle ? (a->cycle < b->cycle ? -1 : 1) : 0;

    if (result == 0)
        result = compare_bytes(a->id, a->id_len, b->id, b->id_len);
    return result != 0 ? result : compare_bytes(a->model, a->model_len, b->model, b->model_len);
}

static int compare_places(const void *a, const void *b)
{
    return compare_items(((const struct place *)a)->repair->item, ((const struct place *)b)->repair->item);
}

static int compare_key(const void *key, const void *place)
{
    return compare_items(key, ((const struct place *)place)->repair->item);
}

static const struct place *find(const struct place *place, uint32_t count, const struct tkr_entry_copy *copy)
{
    const struct tkr_contribution key = {.kind = copy->kind,
                                         .id = copy->id,
                                         .id_len = copy->id_len,
                                         .cycle = copy->cycle,
                                         .model = copy->model,
                                         .model_len = copy->model_len};

    return bsearch(&key, place, count, sizeof(*place), compare_key);
}

static void read_shard(struct tkr_reader *reader, const struct place *place, uint32_t count)
{
    const struct tkr_shard_header *header = tkr_reader_header(reader);
    struct tkr_entry_copy copy;

    tkr_reader_rewind(reader);
    while (tkr_reader_next(reader, &copy)) {
        const struct place *at = copy.known_life == copy.life ? find(place, count, &copy) : NULL;
        struct tkr_repair_sibling *sibling;
        if (at == NULL)
            continue;
        sibling = &at->room[at->repair->sibling_count++];
        tkr_source_name(header->name, header->number, sibling->source);
        sibling->known = copy.known;
        sibling->now = copy.counts;
    }
}

int tkr_siblings_find(struct tkr_reader *const reader[], uint32_t shards, uint32_t own, struct tkr_repair *repairs,
                      uint32_t count, struct tkr_repair_sibling **ret_siblings, tkr_message *ret_message)
{
    struct tkr_repair_sibling *sibling = calloc((size_t)count * shards + 1, sizeof(*sibling));
    struct place *place = calloc((size_t)count + 1, sizeof(*place));

    if (sibling == NULL || place == NULL) {
        free(sibling);
        free(place);
        return tkr_message_set(ret_message, "no memory to verify");
    }
    for (uint32_t i = 0; i < count; i++) {
        place[i] = (struct place){&repairs[i], &sibling[(size_t)i * shards]};
        repairs[i].sibling = place[i].room;
        repairs[i].sibling_count = 0;
    }
    qsort(place, count, sizeof(*place), compare_places);
    for (uint32_t i = 0; i < shards; i++) {
        if (i != own)
            read_shard(reader[i], place, count);
    }
    free(place);
    *ret_siblings = sibling;
    return 0;
}
