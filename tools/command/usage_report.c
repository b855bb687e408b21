/* SPDX-License-Identifier: Apache-2.0 */
#include "command/usage_report.h"

#include <stdio.h>
#include <string.h>

#include "base/account.h"
#include "base/cycle.h"
#include "command/text.h"
#include "command/unflushed.h"

#define ROWS_MIN 65536 /* that are held before all but the first are let go */

#define VISIT_NO_MEMORY 1

/* --- reading --- */

static int visit(const struct tkr_usage_row *row, void *arg)
{
    struct tkr_command_usage_report *report = arg;
    struct tkr_command_usage_rows *rows = &report->rows;

    if (tkr_command_usage_set(rows, row) != 0)
        return VISIT_NO_MEMORY;
    if (report->top > 0 && rows->count >= ROWS_MIN && rows->count >= 4 * report->top &&
        tkr_command_usage_keep(rows, report->by, report->top) != 0)
        return VISIT_NO_MEMORY;
    return 0;
}

static int read_sink(struct tkr_command_usage_report *report, const struct tkr_sink_config *config, tkr_message *ret_message)
{
    tkr_sink *sink;
    int result;

    tkr_sink_describe(config, &report->sink);
    if (tkr_sink_open(config, &sink, ret_message) != 0)
        return -1;
    result = sink->ops->read(sink, &report->query, visit, report, ret_message);
    sink->ops->close(sink);
    if (result == VISIT_NO_MEMORY)
        return tkr_message_set(ret_message, "there is no memory for so many accounts");
    return result;
}

/* The totals stand without what is not flushed: not being allowed to look is told, and no failure. */
int tkr_command_usage_read(struct tkr_command_usage_report *report, const struct tkr_sink_config *sink, const char *runtime_dir,
                           tkr_message *ret_message)
{
    if (read_sink(report, sink, ret_message) != 0)
        return -1;
    report->unflushed_why.text[0] = '\0';
    if (tkr_command_unflushed_read(runtime_dir, &report->query, &report->rows, &report->unflushed_known,
                                   &report->unflushed_why) != 0)
        report->unflushed_known = false;
    tkr_command_usage_sort(&report->rows, report->by);
    if (report->top > 0 && report->rows.count > report->top)
        report->rows.count = report->top;
    return 0;
}

/* --- JSON --- */

static json_t *counts_json(const tkr_counts *counts)
{
    json_t *object = json_object();

    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        (void)json_object_set_new(object, tkr_counter_name[i], json_integer(counts->value[i]));
    return object;
}

static json_t *row_json(const struct tkr_command_usage_report *report, const struct tkr_command_usage_row *row)
{
    char kind[TKR_KIND_NAME_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];
    json_t *counts = counts_json(&row->counts);
    json_t *object = json_object();

    tkr_kind_name(row->kind, kind);
    tkr_cycle_format(row->cycle, cycle);
    (void)json_object_set_new(object, "kind", json_string(kind));
    tkr_command_json_set_id(object, "id", row->id, row->id_len);
    (void)json_object_set_new(object, "cycle", json_string(cycle));
    if (report->query.by_model)
        tkr_command_json_set_id(object, "model", row->model, row->model_len);
    (void)json_object_update(object, counts);
    json_decref(counts);
    (void)json_object_set_new(object, "limit", row->limit < 0 ? json_null() : json_integer(row->limit));
    if (report->unflushed_known)
        (void)json_object_set_new(object, "unflushed", counts_json(&row->unflushed));
    return object;
}

json_t *tkr_command_usage_json(const struct tkr_command_usage_report *report)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < report->rows.count; i++)
        (void)json_array_append_new(rows, row_json(report, &report->rows.row[i]));
    return json_pack("{s:s, s:o}", "sink", report->sink.text, "rows", rows);
}

bool tkr_command_usage_counter(const char *name, enum tkr_counter *ret_counter, char ret_list[TKR_COMMAND_COUNTERS_BYTES])
{
    size_t at = 0;

    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (strcmp(name, tkr_counter_name[i]) == 0) {
            *ret_counter = (enum tkr_counter)i;
            return true;
        }
        if (at < TKR_COMMAND_COUNTERS_BYTES)
            at +=
                (size_t)snprintf(ret_list + at, TKR_COMMAND_COUNTERS_BYTES - at, "%s%s", i == 0 ? "" : ", ", tkr_counter_name[i]);
    }
    return false;
}
