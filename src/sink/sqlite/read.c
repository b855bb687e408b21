/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/sqlite/read.h"

#include <string.h>

#include "base/account.h"
#include "base/cycle.h"
#include "sink/sqlite/ledger.h"
#include "sink/sqlite/limits.h"
#include "tokenring/tokenring.h"

#define STEPS 100000 /* of SQLite's machine, between questions whether the reading is given up */

enum { KIND, ACCOUNT, CYCLE, MODEL, COUNTERS }; /* and the limit */

#define LIMIT_OF_CYCLE \
    ", (SELECT tokens FROM usage_limit l WHERE l.kind=usage.kind AND l.account=usage.account AND l.cycle=usage.cycle)"

/* "?1" and so on stand for what bind() binds. NULL: out of memory. */
static char *compose(const struct tkr_usage_query *query, int counters, bool limits)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);

    sqlite3_str_appendf(sql, "SELECT kind, account, cycle, %s", query->by_model ? "model" : "''");
    for (int i = 0; i < counters; i++)
        sqlite3_str_appendf(sql, ", %s", tkr_counter_name[i]);
    sqlite3_str_appendall(sql, limits && !query->by_model ? LIMIT_OF_CYCLE : ", NULL");
    sqlite3_str_appendf(sql, " FROM %s WHERE 1", query->by_model ? "usage_by_model" : "usage");
    if (!query->any_kind)
        sqlite3_str_appendall(sql, " AND kind=?1");
    if (query->id != NULL)
        sqlite3_str_appendall(sql, " AND account=?2");
    if (query->cycle != 0)
        sqlite3_str_appendall(sql, " AND cycle=?3");
    sqlite3_str_appendall(sql, " ORDER BY kind, account, cycle");
    if (query->by_model)
        sqlite3_str_appendall(sql, ", model");
    return sqlite3_str_finish(sql);
}

static bool bind_text(sqlite3_stmt *statement, int parameter, const char *text, size_t len)
{
    return sqlite3_bind_text(statement, parameter, text, (int)len, SQLITE_TRANSIENT) == SQLITE_OK;
}

static bool bind(sqlite3_stmt *statement, const struct tkr_usage_query *query)
{
    char kind[TKR_KIND_NAME_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];

    tkr_kind_name(query->kind, kind);
    tkr_cycle_format(query->cycle, cycle);
    return (query->any_kind || bind_text(statement, 1, kind, strlen(kind))) &&
           (query->id == NULL || bind_text(statement, 2, query->id, query->id_len)) &&
           (query->cycle == 0 || bind_text(statement, 3, cycle, strlen(cycle)));
}

/* False when the row is none of ours. */
static bool take_row(sqlite3_stmt *statement, int counters, bool by_model, struct tkr_usage_row *ret_row,
                     char text[TKR_LIMIT_TEXT_BYTES])
{
    const char *kind = (const char *)sqlite3_column_text(statement, KIND);
    const char *cycle = (const char *)sqlite3_column_text(statement, CYCLE);

    *ret_row = (struct tkr_usage_row){.limit = TKR_LIMIT_NONE};
    ret_row->id = (const char *)sqlite3_column_text(statement, ACCOUNT);
    ret_row->id_len = (uint32_t)sqlite3_column_bytes(statement, ACCOUNT);
    ret_row->model = (const char *)sqlite3_column_text(statement, MODEL);
    ret_row->model_len = (uint32_t)sqlite3_column_bytes(statement, MODEL);
    if (ret_row->model == NULL || ret_row->model_len > TKR_LABEL_BYTES_MAX || (ret_row->model_len > 0) != by_model)
        return false;
    if (kind == NULL || cycle == NULL || ret_row->id == NULL || tkr_kind(kind, &ret_row->kind) != TKR_OK ||
        strlen(cycle) != TKR_CYCLE_TEXT_BYTES - 1 || !tkr_cycle_parse(cycle, &ret_row->cycle))
        return false;
    for (int i = 0; i < counters; i++) {
        int64_t value = sqlite3_column_int64(statement, COUNTERS + i);

        ret_row->counts.value[i] = value > 0 ? value : 0;
    }
    ret_row->limit = tkr_ledger_limit(statement, COUNTERS + counters, text);
    ret_row->limit_text = ret_row->limit == TKR_LIMIT_UNREADABLE ? text : NULL;
    return true;
}

static int visit_rows(const struct tkr_ledger *ledger, sqlite3_stmt *statement, int counters, const struct tkr_usage_query *query,
                      tkr_usage_visit *visit, void *arg, tkr_message *ret_message)
{
    struct tkr_usage_row row;
    char text[TKR_LIMIT_TEXT_BYTES];
    int step;
    int rc = 0;

    while (rc == 0 && (step = sqlite3_step(statement)) != SQLITE_DONE) {
        if (step != SQLITE_ROW)
            return tkr_ledger_failed(ledger, ret_message);
        if (tkr_given_up(&query->give_up))
            return tkr_message_set(ret_message, "reading was given up");
        if (take_row(statement, counters, query->by_model, &row, text))
            rc = visit(&row, arg);
    }
    return rc;
}

static int is_given_up(void *give_up)
{
    return tkr_given_up(give_up);
}

static int read_open(const struct tkr_ledger *ledger, int counters, const struct tkr_usage_query *query, tkr_usage_visit *visit,
                     void *arg, tkr_message *ret_message)
{
    sqlite3_stmt *statement;
    char *sql = compose(query, counters, tkr_ledger_has_limits(ledger));
    int rc;

    if (sql == NULL)
        return tkr_message_set(ret_message, "out of memory");
    sqlite3_progress_handler(ledger->db, STEPS, is_given_up,
                             (void *)(uintptr_t)&query->give_up); /* the connection is this reading's own */
    rc = tkr_ledger_prepare(ledger, sql, &statement, ret_message);
    sqlite3_free(sql);
    if (rc != 0)
        return -1;
    if (bind(statement, query))
        rc = visit_rows(ledger, statement, counters, query, visit, arg, ret_message);
    else
        rc = tkr_ledger_failed(ledger, ret_message);
    (void)sqlite3_finalize(statement); /* tells the step's failure once more */
    return rc;
}

int tkr_ledger_read(const char *path, int timeout_ms, const struct tkr_usage_query *query, tkr_usage_visit *visit, void *arg,
                    tkr_message *ret_message)
{
    struct tkr_ledger ledger;
    int counters;
    int rc;

    if (tkr_ledger_open_to_read(path, timeout_ms, &ledger, &counters, ret_message) != 0)
        return -1;
    rc = query->by_model && !ledger.by_model ? 0 : read_open(&ledger, counters, query, visit, arg, ret_message);
    tkr_ledger_close(&ledger);
    return rc;
}
