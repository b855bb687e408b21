/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/sqlite/records.h"

#include <string.h>

#include "base/account.h"
#include "base/clock.h"
#include "base/cycle.h"
#include "sink/sqlite/ledger.h"
#include "tokenring/tokenring.h"

#define PAGE_ROWS 500
#define PACE 9 /* a pause is so many times as long as what went before it */

/* Columns; their parameters, one higher, say where the page before ended. A model is '' in rows of accounts. */
enum { KIND, ACCOUNT, CYCLE, MODEL };
enum { PARAMETER_COLLECTOR = MODEL + 2, PARAMETER_ROWS };

/* Sources are "NAME.0" and so on; '/' follows '.' */
static const char sql_page[] = "SELECT kind, account, cycle, '' FROM contribution WHERE (kind, account, cycle) > (?1, ?2, ?3)"
                               " AND source > ?5 || '.' AND source < ?5 || '/'"
                               " GROUP BY kind, account, cycle ORDER BY kind, account, cycle LIMIT ?6";
static const char sql_model_page[] = "SELECT kind, account, cycle, model FROM model_contribution"
                                     " WHERE (kind, account, cycle, model) > (?1, ?2, ?3, ?4)"
                                     " AND source > ?5 || '.' AND source < ?5 || '/'"
                                     " GROUP BY kind, account, cycle, model ORDER BY kind, account, cycle, model LIMIT ?6";
static const char sql_sources[] = "SELECT source, number FROM seen ORDER BY source";

/* The key of a row, as it lies in the ledger. */
struct record_key {
    char text[MODEL + 1][TKR_ID_BYTES_MAX + 1];
    int len[MODEL + 1];
};

struct page {
    struct record_key key[PAGE_ROWS];
    int count;
};

/* False when it is none of ours. */
static bool to_row(const struct record_key *key, struct tkr_usage_row *ret_row)
{
    *ret_row = (struct tkr_usage_row){.limit = -1,
                                      .id = key->text[ACCOUNT],
                                      .id_len = (uint32_t)key->len[ACCOUNT],
                                      .model = key->text[MODEL],
                                      .model_len = (uint32_t)key->len[MODEL]};
    return key->len[ACCOUNT] > 0 && ret_row->model_len <= TKR_LABEL_BYTES_MAX &&
           tkr_kind(key->text[KIND], &ret_row->kind) == TKR_OK && key->len[CYCLE] == TKR_CYCLE_TEXT_BYTES - 1 &&
           tkr_cycle_parse(key->text[CYCLE], &ret_row->cycle);
}

/* Longer texts than ours are cut: to_row does not take them. */
static void take_key(sqlite3_stmt *row, struct record_key *ret_key)
{
    for (int i = KIND; i <= MODEL; i++) {
        const char *text = (const char *)sqlite3_column_text(row, i);
        int len = sqlite3_column_bytes(row, i);

        ret_key->len[i] = text == NULL ? 0 : len < TKR_ID_BYTES_MAX ? len : TKR_ID_BYTES_MAX;
        memcpy(ret_key->text[i], text == NULL ? "" : text, (size_t)ret_key->len[i]);
        ret_key->text[i][ret_key->len[i]] = '\0';
    }
}

/* The rows behind `after`. */
static int read_page(const struct tkr_ledger *ledger, sqlite3_stmt *statement, const struct record_key *after,
                     struct page *ret_page, tkr_message *ret_message)
{
    int step = SQLITE_DONE;
    int rc = 0;

    ret_page->count = 0;
    for (int i = KIND; i <= MODEL; i++) {
        if (sqlite3_bind_text(statement, i + 1, after->text[i], after->len[i], SQLITE_TRANSIENT) != SQLITE_OK)
            return tkr_ledger_failed(ledger, ret_message);
    }
    while (ret_page->count < PAGE_ROWS && (step = sqlite3_step(statement)) == SQLITE_ROW)
        take_key(statement, &ret_page->key[ret_page->count++]);
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        rc = tkr_ledger_failed(ledger, ret_message);
    (void)sqlite3_reset(statement); /* tells the step's failure once more; ends the reading */
    return rc;
}

static int visit_page(const struct page *page, tkr_usage_visit *visit, void *arg)
{
    struct tkr_usage_row row;
    int rc = 0;

    for (int i = 0; i < page->count && rc == 0; i++) {
        if (to_row(&page->key[i], &row))
            rc = visit(&row, arg);
    }
    return rc;
}

static int visit_pages(const struct tkr_ledger *ledger, sqlite3_stmt *statement, tkr_usage_visit *visit, void *arg,
                       tkr_message *ret_message)
{
    struct record_key after = {.len = {0}};
    struct page *page = sqlite3_malloc(sizeof(*page));
    int rc = page != NULL ? 0 : tkr_message_set(ret_message, "out of memory");

    while (rc == 0) {
        int64_t begun_ns = tkr_clock_monotonic_ns();

        rc = read_page(ledger, statement, &after, page, ret_message);
        if (rc != 0 || page->count == 0)
            break;
        after = page->key[page->count - 1];
        tkr_clock_sleep_ns(PACE * (tkr_clock_monotonic_ns() - begun_ns));
        rc = visit_page(page, visit, arg);
    }
    sqlite3_free(page);
    return rc;
}

/* All pages of one of the two tables. */
static int visit_table(const struct tkr_ledger *ledger, const char *sql, const char *collector, tkr_usage_visit *visit, void *arg,
                       tkr_message *ret_message)
{
    sqlite3_stmt *statement;
    int rc = tkr_ledger_prepare(ledger, sql, &statement, ret_message);

    if (rc != 0)
        return rc;
    if (sqlite3_bind_text(statement, PARAMETER_COLLECTOR, collector, -1, SQLITE_TRANSIENT) == SQLITE_OK &&
        sqlite3_bind_int(statement, PARAMETER_ROWS, PAGE_ROWS) == SQLITE_OK)
        rc = visit_pages(ledger, statement, visit, arg, ret_message);
    else
        rc = tkr_ledger_failed(ledger, ret_message);
    (void)sqlite3_finalize(statement); /* tells the step's failure once more */
    return rc;
}

int tkr_ledger_records(const char *path, int timeout_ms, const char *collector, tkr_usage_visit *visit, void *arg,
                       tkr_message *ret_message)
{
    struct tkr_ledger ledger;
    int counters;
    int rc;

    if (tkr_ledger_open_to_read(path, timeout_ms, &ledger, &counters, ret_message) != 0)
        return -1;
    rc = visit_table(&ledger, sql_page, collector, visit, arg, ret_message);
    if (rc == 0 && ledger.by_model)
        rc = visit_table(&ledger, sql_model_page, collector, visit, arg, ret_message);
    tkr_ledger_close(&ledger);
    return rc;
}

static int visit_sources(const struct tkr_ledger *ledger, sqlite3_stmt *statement, tkr_source_visit *visit, void *arg,
                         tkr_message *ret_message)
{
    int step;
    int rc = 0;

    while (rc == 0 && (step = sqlite3_step(statement)) != SQLITE_DONE) {
        const char *source;

        if (step != SQLITE_ROW)
            return tkr_ledger_failed(ledger, ret_message);
        source = (const char *)sqlite3_column_text(statement, 0);
        if (source != NULL && strlen(source) < TKR_SOURCE_BYTES)
            rc = visit(source, (uint64_t)sqlite3_column_int64(statement, 1), arg);
    }
    return rc;
}

int tkr_ledger_sources(const char *path, int timeout_ms, tkr_source_visit *visit, void *arg, tkr_message *ret_message)
{
    struct tkr_ledger ledger;
    sqlite3_stmt *statement;
    int counters;
    int rc;

    if (tkr_ledger_open_to_read(path, timeout_ms, &ledger, &counters, ret_message) != 0)
        return -1;
    rc = tkr_ledger_prepare(&ledger, sql_sources, &statement, ret_message);
    if (rc == 0) {
        rc = visit_sources(&ledger, statement, visit, arg, ret_message);
        (void)sqlite3_finalize(statement); /* tells the step's failure once more */
    }
    tkr_ledger_close(&ledger);
    return rc;
}
