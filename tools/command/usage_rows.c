/* SPDX-License-Identifier: Apache-2.0 */
#include "command/usage_rows.h"

#include <stdlib.h>
#include <string.h>

#include "tokenring/tokenring.h"

#define ROWS_FIRST 64
#define KEY_HEAD_BYTES (sizeof(uint64_t) + 2 * sizeof(uint32_t))
#define KEY_BYTES_MAX (KEY_HEAD_BYTES + TKR_ID_BYTES_MAX + TKR_LABEL_BYTES_MAX)

bool tkr_command_usage_wanted(const struct tkr_usage_query *query, const struct tkr_command_usage_key *key)
{
    if (query->by_model != (key->model_len > 0))
        return false;
    if (query->id != NULL && (query->id_len != key->id_len || memcmp(query->id, key->id, key->id_len) != 0))
        return false;
    return (query->cycle == 0 || query->cycle == key->cycle) && (query->any_kind || query->kind == key->kind);
}

static int make_room(struct tkr_command_usage_rows *rows)
{
    size_t room = rows->room == 0 ? ROWS_FIRST : rows->room * 2;
    struct tkr_command_usage_row *row;

    if (rows->count < rows->room)
        return 0;
    row = reallocarray(rows->row, room, sizeof(*row));
    if (row == NULL)
        return -1;
    rows->row = row;
    rows->room = room;
    return 0;
}

/* A key as the bytes that name it. Returns how many. */
static size_t key_bytes(const struct tkr_command_usage_key *key, char ret_bytes[KEY_BYTES_MAX])
{
    memcpy(ret_bytes, &key->kind, sizeof(key->kind));
    memcpy(ret_bytes + sizeof(key->kind), &key->cycle, sizeof(key->cycle));
    memcpy(ret_bytes + sizeof(key->kind) + sizeof(key->cycle), &key->id_len, sizeof(key->id_len));
    memcpy(ret_bytes + KEY_HEAD_BYTES, key->id, key->id_len);
    if (key->model_len > 0)
        memcpy(ret_bytes + KEY_HEAD_BYTES + key->id_len, key->model, key->model_len);
    return KEY_HEAD_BYTES + key->id_len + key->model_len;
}

/* A row's texts are in the bytes that name it. */
static void borrow_texts(struct tkr_command_usage_row *row, const char *bytes)
{
    row->id = bytes + KEY_HEAD_BYTES;
    row->model = row->id + row->id_len;
}

/* The key's row, a new one when there is none; NULL without memory. */
static struct tkr_command_usage_row *find_row(struct tkr_command_usage_rows *rows, const struct tkr_command_usage_key *key)
{
    char bytes[KEY_BYTES_MAX];
    uint32_t number;

    if (key->id_len > TKR_ID_BYTES_MAX || key->model_len > TKR_LABEL_BYTES_MAX || make_room(rows) != 0)
        return NULL;
    if (tkr_traffic_names_add(&rows->keys, bytes, key_bytes(key, bytes), &number) != 0)
        return NULL;
    if (number == rows->count) {
        rows->row[number] = (struct tkr_command_usage_row){
            .kind = key->kind, .id_len = key->id_len, .cycle = key->cycle, .model_len = key->model_len, .limit = -1};
        borrow_texts(&rows->row[number], rows->keys.name[number].text);
        rows->count++;
    }
    return &rows->row[number];
}

/* Are there more rows than are kept, and none of these has the key? */
static bool not_kept(const struct tkr_command_usage_rows *rows, const struct tkr_command_usage_key *key)
{
    char bytes[KEY_BYTES_MAX];
    uint32_t number;

    return rows->cut && key->id_len <= TKR_ID_BYTES_MAX && key->model_len <= TKR_LABEL_BYTES_MAX &&
           !tkr_traffic_names_find(&rows->keys, bytes, key_bytes(key, bytes), &number);
}

int tkr_command_usage_set(struct tkr_command_usage_rows *rows, const struct tkr_usage_row *sink_row)
{
    struct tkr_command_usage_key key = {.kind = sink_row->kind,
                                        .id = sink_row->id,
                                        .id_len = sink_row->id_len,
                                        .cycle = sink_row->cycle,
                                        .model = sink_row->model,
                                        .model_len = sink_row->model_len};
    struct tkr_command_usage_row *row = find_row(rows, &key);

    if (row == NULL)
        return -1;
    row->counts = sink_row->counts;
    row->limit = sink_row->limit;
    return 0;
}

int tkr_command_usage_add_unflushed(struct tkr_command_usage_rows *rows, const struct tkr_command_usage_key *key,
                                    const tkr_counts *unflushed)
{
    struct tkr_command_usage_row *row;

    if (not_kept(rows, key))
        return 0;
    row = find_row(rows, key);
    if (row == NULL)
        return -1;
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (__builtin_add_overflow(row->unflushed.value[i], unflushed->value[i], &row->unflushed.value[i]))
            row->unflushed.value[i] = INT64_MAX;
    }
    return 0;
}

static int compare(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int compare_texts(const char *a, uint32_t a_len, const char *b, uint32_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

    return order != 0 ? order : compare(a_len, b_len);
}

/* Highest rank first, then the highest total, then the most that is not flushed yet; then by id, kind, cycle and model: the order is
 * fixed. */
static int compare_rows(const void *one, const void *other)
{
    const struct tkr_command_usage_row *a = one;
    const struct tkr_command_usage_row *b = other;
    int order = compare(b->rank, a->rank);

    if (order == 0)
        order = compare(b->counts.value[TKR_COUNTER_TOTAL], a->counts.value[TKR_COUNTER_TOTAL]);
    if (order == 0)
        order = compare(b->unflushed.value[TKR_COUNTER_TOTAL], a->unflushed.value[TKR_COUNTER_TOTAL]);
    if (order == 0)
        order = compare_texts(a->id, a->id_len, b->id, b->id_len);
    if (order == 0)
        order = (a->kind > b->kind) - (a->kind < b->kind);
    if (order == 0)
        order = compare(a->cycle, b->cycle);
    return order != 0 ? order : compare_texts(a->model, a->model_len, b->model, b->model_len);
}

void tkr_command_usage_sort(struct tkr_command_usage_rows *rows, enum tkr_counter by)
{
    for (size_t i = 0; i < rows->count; i++)
        rows->row[i].rank = rows->row[i].counts.value[by];
    if (rows->count > 0)
        qsort(rows->row, rows->count, sizeof(rows->row[0]), compare_rows);
}

int tkr_command_usage_keep(struct tkr_command_usage_rows *rows, enum tkr_counter by, size_t count)
{
    struct tkr_traffic_names keys = {0};
    uint32_t number;

    if (rows->count <= count)
        return 0;
    tkr_command_usage_sort(rows, by);
    for (size_t i = 0; i < count; i++) {
        struct tkr_command_usage_row *row = &rows->row[i];
        const char *bytes = row->id - KEY_HEAD_BYTES;
        if (tkr_traffic_names_add(&keys, bytes, KEY_HEAD_BYTES + row->id_len + row->model_len, &number) != 0) {
            tkr_traffic_names_free(&keys);
            rows->count = 0; /* they name nothing any more */
            return -1;
        }
    }
    for (size_t i = 0; i < count; i++)
        borrow_texts(&rows->row[i], keys.name[i].text);
    tkr_traffic_names_free(&rows->keys);
    rows->keys = keys;
    rows->count = count;
    rows->cut = true;
    return 0;
}

void tkr_command_usage_free(struct tkr_command_usage_rows *rows)
{
    free(rows->row);
    tkr_traffic_names_free(&rows->keys);
    *rows = (struct tkr_command_usage_rows){.row = NULL};
}
