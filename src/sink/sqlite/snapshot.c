/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/sqlite/snapshot.h"

#include <stdio.h>
#include <string.h>

#include "base/account.h"
#include "base/cycle.h"
#include "sink/sqlite/forget.h"
#include "sink/sqlite/limits.h"

enum { SOURCE, LIFE, MODEL, COUNTERS };

static const char sql_rows[] = "SELECT source, life, ''"
#define TKR_COUNTER(symbol, name, letter, help) ", " #name
#include "base/counters.def"
#undef TKR_COUNTER
                               " FROM contribution WHERE kind=?1 AND account=?2 AND cycle=?3";

static const char sql_models[] = "SELECT source, life, model"
#define TKR_COUNTER(symbol, name, letter, help) ", " #name
#include "base/counters.def"
#undef TKR_COUNTER
                                 " FROM model_contribution WHERE kind=?1 AND account=?2 AND cycle=?3 ORDER BY model";

static const char sql_limit[] = "SELECT tokens FROM usage_limit WHERE kind=?1 AND account=?2 AND cycle=?3";
static const char sql_forgotten[] = "SELECT 1 FROM forgotten WHERE digest=?1";

int tkr_ledger_snapshot_open(const struct tkr_ledger *ledger, struct tkr_ledger_snapshot *ret_snapshot, tkr_message *ret_message)
{
    *ret_snapshot = (struct tkr_ledger_snapshot){.ledger = ledger};
    if (tkr_ledger_prepare(ledger, sql_rows, &ret_snapshot->rows, ret_message) != 0 ||
        tkr_ledger_prepare(ledger, sql_models, &ret_snapshot->models, ret_message) != 0 ||
        tkr_ledger_prepare(ledger, sql_limit, &ret_snapshot->limit, ret_message) != 0 ||
        tkr_ledger_prepare(ledger, sql_forgotten, &ret_snapshot->forgotten, ret_message) != 0)
        return -1;
    return 0;
}

void tkr_ledger_snapshot_close(struct tkr_ledger_snapshot *snapshot)
{
    (void)sqlite3_finalize(snapshot->rows); /* tell the last step's failure once more */
    (void)sqlite3_finalize(snapshot->models);
    (void)sqlite3_finalize(snapshot->limit);
    (void)sqlite3_finalize(snapshot->forgotten);
    tkr_holdings_free(&snapshot->holdings);
    *snapshot = (struct tkr_ledger_snapshot){.ledger = NULL};
}

bool tkr_ledger_bind_account(sqlite3_stmt *statement, uint64_t kind, const char *id, uint32_t id_len, uint32_t cycle)
{
    char name[TKR_KIND_NAME_BYTES];
    char date[TKR_CYCLE_TEXT_BYTES] = "";

    tkr_kind_name(kind, name);
    if (cycle != 0)
        tkr_cycle_format(cycle, date);
    return sqlite3_bind_text(statement, 1, name, -1, SQLITE_TRANSIENT) == SQLITE_OK &&
           sqlite3_bind_text(statement, 2, id, (int)id_len, SQLITE_TRANSIENT) == SQLITE_OK &&
           sqlite3_bind_text(statement, 3, date, -1, SQLITE_TRANSIENT) == SQLITE_OK;
}

/* --- rows --- */

static int unreadable(struct tkr_ledger_snapshot *snapshot, const char *why)
{
    (void)snprintf(snapshot->why, sizeof(snapshot->why), "%s", why);
    return 1;
}

/* A record is of a source and of a life; false: the row is of the rest. */
static bool is_record(const char *source, const struct tkr_record *record)
{
    if (record->life == 0 || !tkr_source_valid(source, strlen(source)) || strcmp(source, "reset") == 0)
        return false;
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (record->counts.value[i] < 0)
            return false;
    }
    return true;
}

static bool take_integers(sqlite3_stmt *row, struct tkr_record *ret_record)
{
    if (sqlite3_column_type(row, LIFE) != SQLITE_INTEGER)
        return false;
    ret_record->life = (uint64_t)sqlite3_column_int64(row, LIFE);
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (sqlite3_column_type(row, COUNTERS + i) != SQLITE_INTEGER)
            return false;
        ret_record->counts.value[i] = sqlite3_column_int64(row, COUNTERS + i);
    }
    return true;
}

static int take_row(struct tkr_ledger_snapshot *snapshot, sqlite3_stmt *row, const char *mark, tkr_message *ret_message)
{
    const char *source = (const char *)sqlite3_column_text(row, SOURCE);
    const char *model = (const char *)sqlite3_column_text(row, MODEL);
    size_t model_len = (size_t)sqlite3_column_bytes(row, MODEL);
    struct tkr_holding *holding;
    struct tkr_record record;

    if (source == NULL || model == NULL || model_len > TKR_LABEL_BYTES_MAX || !take_integers(row, &record))
        return unreadable(snapshot, "the ledger holds something that is not an integer for it, or no name");
    holding = tkr_holdings_of(&snapshot->holdings, model, model_len);
    if (holding == NULL)
        return unreadable(snapshot, "it has too many models, or there is no memory");
    if (!tkr_counts_add(&holding->total, &record.counts))
        return unreadable(snapshot, "its totals are above 2^63-1");
    if (strncmp(source, TKR_MARK_PREFIX, strlen(TKR_MARK_PREFIX)) == 0 && record.life > snapshot->holdings.restored &&
        record.life > 1) /* an earlier version wrote 1 */
        snapshot->holdings.restored = record.life;
    snapshot->holdings.marked = snapshot->holdings.marked || (mark != NULL && strcmp(source, mark) == 0);
    if (is_record(source, &record) && !tkr_holding_add(holding, source, strlen(source), &record))
        return tkr_message_set(ret_message, "out of memory");
    return 0;
}

static int take_rows(struct tkr_ledger_snapshot *snapshot, sqlite3_stmt *rows, const char *mark, tkr_message *ret_message)
{
    const struct tkr_holdings *holdings = &snapshot->holdings;
    int step = SQLITE_ERROR;
    int rc = 0;

    if (tkr_ledger_bind_account(rows, holdings->kind, holdings->id, holdings->id_len, holdings->cycle)) {
        while (rc == 0 && (step = sqlite3_step(rows)) == SQLITE_ROW)
            rc = take_row(snapshot, rows, mark, ret_message);
    }
    if (rc == 0 && step != SQLITE_DONE)
        rc = tkr_ledger_failed(snapshot->ledger, ret_message);
    (void)sqlite3_reset(rows); /* tells the step's failure once more; so below */
    return rc;
}

/* What is there and is no limit stays there: no restore takes its place. */
static int64_t limit_there(sqlite3_stmt *row)
{
    char text[TKR_LIMIT_TEXT_BYTES];
    int64_t limit = tkr_ledger_limit(row, 0, text);

    return limit != TKR_LIMIT_NONE ? limit : TKR_LIMIT_UNREADABLE;
}

static int take_limit(struct tkr_ledger_snapshot *snapshot, tkr_message *ret_message)
{
    struct tkr_holdings *holdings = &snapshot->holdings;
    int step = SQLITE_ERROR;

    if (tkr_ledger_bind_account(snapshot->limit, holdings->kind, holdings->id, holdings->id_len, holdings->cycle))
        step = sqlite3_step(snapshot->limit);
    if (step == SQLITE_ROW)
        holdings->limit = limit_there(snapshot->limit);
    else if (step != SQLITE_DONE)
        (void)tkr_ledger_failed(snapshot->ledger, ret_message); /* before the reset; -1 follows */
    (void)sqlite3_reset(snapshot->limit);
    return step == SQLITE_ROW || step == SQLITE_DONE ? 0 : -1;
}

static int take_forgotten(struct tkr_ledger_snapshot *snapshot, tkr_message *ret_message)
{
    struct tkr_holdings *holdings = &snapshot->holdings;
    int64_t digest = tkr_ledger_digest(holdings->kind, holdings->id, holdings->id_len, holdings->cycle);
    int step = SQLITE_ERROR;

    if (sqlite3_bind_int64(snapshot->forgotten, 1, digest) == SQLITE_OK)
        step = sqlite3_step(snapshot->forgotten);
    holdings->forgotten = step == SQLITE_ROW;
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        (void)tkr_ledger_failed(snapshot->ledger, ret_message); /* before the reset; -1 follows */
    (void)sqlite3_reset(snapshot->forgotten);
    return step == SQLITE_ROW || step == SQLITE_DONE ? 0 : -1;
}

int tkr_ledger_snapshot_read(struct tkr_ledger_snapshot *snapshot, uint64_t kind, const char *id, uint32_t id_len, uint32_t cycle,
                             const char *mark, tkr_message *ret_message)
{
    tkr_message why;
    int rc;

    if (!tkr_holdings_begin(&snapshot->holdings, kind, id, id_len, cycle))
        return tkr_message_set(ret_message, "out of memory");
    rc = take_limit(snapshot, ret_message);
    if (rc != 0 || cycle == 0)
        return rc;
    rc = take_forgotten(snapshot, ret_message);
    if (rc == 0)
        rc = take_rows(snapshot, snapshot->rows, mark, ret_message);
    if (rc == 0)
        rc = take_rows(snapshot, snapshot->models, mark, ret_message);
    if (rc == 0 && !tkr_holdings_finish_totals(&snapshot->holdings, &why))
        rc = unreadable(snapshot, why.text);
    return rc;
}
