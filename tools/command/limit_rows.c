/* SPDX-License-Identifier: Apache-2.0 */
#include "command/limit_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_MEMORY 1 /* a visitor's answer */

/* What is being read, and into what. */
struct reading {
    const struct tkr_usage_query *query;
    struct tkr_command_limit_rows *rows;
    const struct tkr_command_limit_rows *standing; /* sorted; for accounts near their limit */
    double fraction;
};

static int append(struct tkr_command_limit_rows *rows, const struct tkr_usage_row *from, int64_t limit, bool standing)
{
    struct tkr_command_limit_row *row;

    if (from->id_len > sizeof(row->id))
        return 0; /* no account has such an id */
    if (rows->count == rows->room) {
        size_t room = 2 * rows->room + 64;
        row = reallocarray(rows->row, room, sizeof(*row));
        if (row == NULL)
            return NO_MEMORY;
        rows->row = row;
        rows->room = room;
    }
    row = &rows->row[rows->count++];
    *row = (struct tkr_command_limit_row){.kind = from->kind,
                                          .id_len = from->id_len,
                                          .cycle = from->cycle,
                                          .limit = limit,
                                          .used = from->counts.value[TKR_COUNTER_TOTAL],
                                          .standing = standing};
    memcpy(row->id, from->id, from->id_len);
    if (limit == TKR_LIMIT_UNREADABLE && from->limit_text != NULL)
        (void)snprintf(row->unreadable, sizeof(row->unreadable), "%s", from->limit_text);
    return 0;
}

static int compare_accounts(const struct tkr_command_limit_row *a, const struct tkr_command_limit_row *b)
{
    int order = memcmp(a->id, b->id, a->id_len < b->id_len ? a->id_len : b->id_len);

    if (order == 0)
        order = (a->id_len > b->id_len) - (a->id_len < b->id_len);
    return order != 0 ? order : (a->kind > b->kind) - (a->kind < b->kind);
}

static int by_account(const void *one, const void *other)
{
    const struct tkr_command_limit_row *a = one;
    const struct tkr_command_limit_row *b = other;
    int order = compare_accounts(a, b);

    return order != 0 ? order : (a->cycle > b->cycle) - (a->cycle < b->cycle);
}

static double used_part(const struct tkr_command_limit_row *row)
{
    return (double)row->used / (double)row->limit;
}

static int by_part(const void *one, const void *other)
{
    double a = used_part(one);
    double b = used_part(other);

    return a != b ? (a < b) - (a > b) : by_account(one, other);
}

static void sort(struct tkr_command_limit_rows *rows, int (*compare)(const void *one, const void *other))
{
    if (rows->count > 0)
        qsort(rows->row, rows->count, sizeof(rows->row[0]), compare);
}

static bool asked_for(const struct tkr_usage_query *query, const struct tkr_usage_row *row)
{
    return (query->any_kind || row->kind == query->kind) && (query->cycle == 0 || row->cycle == query->cycle);
}

static int take_limit(const struct tkr_usage_row *row, void *arg)
{
    const struct reading *reading = arg;

    return asked_for(reading->query, row) ? append(reading->rows, row, row->limit, row->cycle == 0) : 0;
}

static int take_standing(const struct tkr_usage_row *row, void *arg)
{
    return row->cycle == 0 ? append(arg, row, row->limit, true) : 0;
}

/* The standing limit of the row's account; NULL: none. */
static const struct tkr_command_limit_row *find_standing(const struct tkr_command_limit_rows *standing,
                                                         const struct tkr_usage_row *row)
{
    struct tkr_command_limit_row key = {.kind = row->kind, .id_len = row->id_len};

    if (standing->count == 0 || row->id_len > sizeof(key.id))
        return NULL;
    memcpy(key.id, row->id, row->id_len);
    return bsearch(&key, standing->row, standing->count, sizeof(key), by_account);
}

static int take_near(const struct tkr_usage_row *row, void *arg)
{
    const struct reading *reading = arg;
    const struct tkr_command_limit_row *standing = row->limit != TKR_LIMIT_NONE ? NULL : find_standing(reading->standing, row);
    int64_t limit = standing != NULL ? standing->limit : row->limit;

    if (limit <= 0 || (double)row->counts.value[TKR_COUNTER_TOTAL] < reading->fraction * (double)limit)
        return 0;
    return append(reading->rows, row, limit, standing != NULL);
}

static int finish(int read, tkr_message *ret_message)
{
    return read == NO_MEMORY ? tkr_message_set(ret_message, "there is no memory for so many limits") : read;
}

int tkr_command_limits_read(struct tkr_command_limit_rows *rows, tkr_sink *sink, const struct tkr_usage_query *query,
                            tkr_message *ret_message)
{
    struct reading reading = {.query = query, .rows = rows};
    int read = sink->ops->limits(sink, &query->give_up, take_limit, &reading, ret_message);

    sort(rows, by_account);
    return finish(read, ret_message);
}

int tkr_command_limits_near(struct tkr_command_limit_rows *rows, tkr_sink *sink, const struct tkr_usage_query *query,
                            double fraction, tkr_message *ret_message)
{
    struct tkr_command_limit_rows standing = {.row = NULL};
    struct reading reading = {.query = query, .rows = rows, .standing = &standing, .fraction = fraction};
    int read = sink->ops->limits(sink, &query->give_up, take_standing, &standing, ret_message);

    sort(&standing, by_account);
    if (read == 0)
        read = sink->ops->read(sink, query, take_near, &reading, ret_message);
    sort(rows, by_part);
    tkr_command_limits_free(&standing);
    return finish(read, ret_message);
}

bool tkr_command_limits_fraction(const char *text, double *ret_fraction)
{
    char *end;

    *ret_fraction = strtod(text, &end);
    return end != text && *end == '\0' && *ret_fraction > 0 && *ret_fraction <= 1;
}

void tkr_command_limits_free(struct tkr_command_limit_rows *rows)
{
    free(rows->row);
    *rows = (struct tkr_command_limit_rows){.row = NULL};
}
