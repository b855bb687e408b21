/* SPDX-License-Identifier: Apache-2.0 */
#include "command/report_rows.h"

#include <stdlib.h>
#include <string.h>

#define NO_MEMORY 1 /* the visitor's answer */

struct reading {
    struct tkr_command_report_rows *rows;
    uint32_t from;
    uint32_t to;
};

static int take_row(const struct tkr_usage_row *from, void *arg)
{
    const struct reading *reading = arg;
    struct tkr_command_report_rows *rows = reading->rows;
    struct tkr_command_report_row *row;

    if (from->cycle < reading->from || from->cycle > reading->to || from->id_len > sizeof(row->id) ||
        from->model_len > sizeof(row->model))
        return 0;
    if (rows->count == rows->room) {
        size_t room = 2 * rows->room + 64;
        row = reallocarray(rows->row, room, sizeof(*row));
        if (row == NULL)
            return NO_MEMORY;
        rows->row = row;
        rows->room = room;
    }
    row = &rows->row[rows->count++];
    *row = (struct tkr_command_report_row){
        .kind = from->kind, .id_len = from->id_len, .model_len = from->model_len, .cycle = from->cycle, .counts = from->counts};
    memcpy(row->id, from->id, from->id_len);
    if (from->model_len > 0)
        memcpy(row->model, from->model, from->model_len);
    return 0;
}

static int compare_texts(const char *a, uint32_t a_len, const char *b, uint32_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

    return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

static int compare_lines(const struct tkr_command_report_row *a, const struct tkr_command_report_row *b)
{
    int order = compare_texts(a->id, a->id_len, b->id, b->id_len);

    if (order == 0)
        order = (a->kind > b->kind) - (a->kind < b->kind);
    return order != 0 ? order : compare_texts(a->model, a->model_len, b->model, b->model_len);
}

static int compare_rows(const void *one, const void *other)
{
    const struct tkr_command_report_row *a = one;
    const struct tkr_command_report_row *b = other;
    int order = compare_lines(a, b);

    return order != 0 ? order : (a->cycle > b->cycle) - (a->cycle < b->cycle);
}

int tkr_command_report_read(struct tkr_command_report_rows *rows, tkr_sink *sink, const struct tkr_usage_query *query,
                            uint32_t from, uint32_t to, tkr_message *ret_message)
{
    struct reading reading = {.rows = rows, .from = from, .to = to};
    int read = sink->ops->read(sink, query, take_row, &reading, ret_message);

    if (rows->count > 0)
        qsort(rows->row, rows->count, sizeof(rows->row[0]), compare_rows);
    return read == NO_MEMORY ? tkr_message_set(ret_message, "there is no memory for so many accounts") : read;
}

size_t tkr_command_report_line(const struct tkr_command_report_row *row, size_t count)
{
    size_t n = 1;

    while (n < count && compare_lines(&row[0], &row[n]) == 0)
        n++;
    return n;
}

struct tkr_command_report_change tkr_command_report_change(const struct tkr_command_report_row *before,
                                                           const struct tkr_command_report_row *now, enum tkr_counter counter)
{
    int64_t was = before->counts.value[counter];
    struct tkr_command_report_change change = {.amount = now->counts.value[counter] - was, .has_percent = was > 0};

    if (change.has_percent)
        change.percent = 100.0 * (double)change.amount / (double)was;
    return change;
}

int64_t tkr_command_report_sum(const struct tkr_command_report_row *row, size_t count, enum tkr_counter counter)
{
    int64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        if (__builtin_add_overflow(sum, row[i].counts.value[counter], &sum))
            return INT64_MAX;
    }
    return sum;
}

void tkr_command_report_free(struct tkr_command_report_rows *rows)
{
    free(rows->row);
    *rows = (struct tkr_command_report_rows){.row = NULL};
}
