/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/sqlite/repair.h"

#include <string.h>

#include "base/crash.h"
#include "sink/sqlite/snapshot.h"

/* Parameters: the account's three, then these. */
enum { MODEL = 4, SOURCE, LIFE, COUNTERS };

static const char sql_put[] = "INSERT INTO contribution (kind, account, cycle, source, life"
#define TKR_COUNTER(symbol, name, letter, help) ", " #name
#include "base/counters.def"
#undef TKR_COUNTER
                              ") VALUES (?1, ?2, ?3, ?5, ?6"
#define TKR_COUNTER(symbol, name, letter, help) ", ?"
#include "base/counters.def"
#undef TKR_COUNTER
                              ") ON CONFLICT (kind, account, cycle, source) DO UPDATE SET life=excluded.life"
#define TKR_COUNTER(symbol, name, letter, help) ", " #name "=" #name "+excluded." #name
#include "base/counters.def"
#undef TKR_COUNTER
    ;

static const char sql_put_model[] = "INSERT INTO model_contribution (kind, account, cycle, model, source, life"
#define TKR_COUNTER(symbol, name, letter, help) ", " #name
#include "base/counters.def"
#undef TKR_COUNTER
                                    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6"
#define TKR_COUNTER(symbol, name, letter, help) ", ?"
#include "base/counters.def"
#undef TKR_COUNTER
                                    ") ON CONFLICT (kind, account, cycle, model, source) DO UPDATE SET life=excluded.life"
#define TKR_COUNTER(symbol, name, letter, help) ", " #name "=" #name "+excluded." #name
#include "base/counters.def"
#undef TKR_COUNTER
    ;

#define TKR_COUNTER(symbol, name, letter, help) ", " #name
static const char sql_reset[] = "SELECT kind"
#include "base/counters.def"
                                " FROM contribution WHERE kind=?1 AND account=?2 AND cycle=?3 AND source='reset'";
#undef TKR_COUNTER

#define TKR_COUNTER(symbol, name, letter, help) ", " #name
static const char sql_reset_model[] =
    "SELECT kind"
#include "base/counters.def"
    " FROM model_contribution WHERE kind=?1 AND account=?2 AND cycle=?3 AND model=?4 AND source='reset'";
#undef TKR_COUNTER

struct repairing {
    struct tkr_ledger ledger;
    const char *source;
    const struct tkr_repair_terms *terms;
    sqlite3_stmt *put;
    sqlite3_stmt *put_model;
    sqlite3_stmt *reset;
    sqlite3_stmt *reset_model;
    struct tkr_ledger_snapshot now;
    tkr_message *message;
};

/* The account, and the model where the statement is of models. */
static bool bind_item(sqlite3_stmt *statement, const struct tkr_contribution *item)
{
    return tkr_ledger_bind_account(statement, item->kind, item->id, item->id_len, item->cycle) &&
           (item->model_len == 0 ||
            sqlite3_bind_text(statement, MODEL, item->model, (int)item->model_len, SQLITE_TRANSIENT) == SQLITE_OK);
}

/* What resets took off the total. */
static int read_reset(struct repairing *r, const struct tkr_contribution *item, tkr_counts *ret_taken_off)
{
    sqlite3_stmt *statement = item->model_len > 0 ? r->reset_model : r->reset;
    int step = bind_item(statement, item) ? sqlite3_step(statement) : SQLITE_ERROR;
    int rc = 0;

    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        ret_taken_off->value[i] = step == SQLITE_ROW ? sqlite3_column_int64(statement, i + 1) : 0;
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        rc = tkr_ledger_failed(&r->ledger, r->message);
    (void)sqlite3_reset(statement); /* tells the step's failure once more */
    return rc;
}

/* Adds to a row, which it makes where there is none. */
static int add(struct repairing *r, const struct tkr_contribution *item, const char *source, uint64_t life,
               const tkr_counts *counts)
{
    sqlite3_stmt *statement = item->model_len > 0 ? r->put_model : r->put;
    bool bound = bind_item(statement, item) && sqlite3_bind_text(statement, SOURCE, source, -1, SQLITE_TRANSIENT) == SQLITE_OK &&
                 sqlite3_bind_int64(statement, LIFE, (sqlite3_int64)life) == SQLITE_OK;
    int rc = 0;

    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        bound = bound && sqlite3_bind_int64(statement, COUNTERS + i, counts->value[i]) == SQLITE_OK;
    if (!bound || sqlite3_step(statement) != SQLITE_DONE)
        rc = tkr_ledger_failed(&r->ledger, r->message);
    (void)sqlite3_reset(statement); /* tells the step's failure once more */
    return rc;
}

/* The record, and as much off the base row. */
static int write_record(struct repairing *r, const struct tkr_repair *repair)
{
    tkr_counts less = {.value = {0}};

    if (!tkr_counts_subtract(&less, &repair->record.counts)) /* of counts, which are not below 0: it always fits */
        return tkr_message_set(r->message, "a record is below 0");
    if (add(r, repair->item, r->source, repair->record.life, &repair->record.counts) != 0)
        return -1;
    return tkr_counts_zero(&less) ? 0 : add(r, repair->item, "", 0, &less);
}

static int repair_one(struct repairing *r, struct tkr_repair *repair)
{
    const struct tkr_contribution *item = repair->item;
    tkr_counts taken_off;
    int rc = tkr_ledger_snapshot_read(&r->now, item->kind, item->id, item->id_len, item->cycle, NULL, r->message);

    if (rc < 0 || read_reset(r, item, &taken_off) != 0)
        return -1;
    tkr_repair_decide(repair, r->source, r->terms, rc == 0 ? &r->now.holdings : NULL, &taken_off, r->now.why);
    return tkr_repair_writes(repair) && !r->terms->dry_run ? write_record(r, repair) : 0;
}

static int repair_all(struct repairing *r, struct tkr_repair *repairs, uint32_t count)
{
    int rc = tkr_ledger_run(&r->ledger, r->terms->dry_run ? "BEGIN" : "BEGIN IMMEDIATE", r->message);

    for (uint32_t i = 0; i < count && rc == 0; i++)
        rc = repair_one(r, &repairs[i]);
    if (rc != 0 || r->terms->dry_run)
        return rc; /* rolled back when it is closed */
    TKR_CRASH(REPAIR_APPLIED);
    rc = tkr_ledger_run(&r->ledger, "COMMIT", r->message);
    TKR_CRASH(REPAIR_COMMITTED);
    return rc;
}

static int prepare(struct repairing *r)
{
    if (tkr_ledger_snapshot_open(&r->ledger, &r->now, r->message) != 0 ||
        tkr_ledger_prepare(&r->ledger, sql_put, &r->put, r->message) != 0 ||
        tkr_ledger_prepare(&r->ledger, sql_put_model, &r->put_model, r->message) != 0 ||
        tkr_ledger_prepare(&r->ledger, sql_reset, &r->reset, r->message) != 0)
        return -1;
    return tkr_ledger_prepare(&r->ledger, sql_reset_model, &r->reset_model, r->message);
}

int tkr_ledger_repair(const char *path, int timeout_ms, const char *source, const struct tkr_repair_terms *terms,
                      struct tkr_repair *repairs, uint32_t count, tkr_message *ret_message)
{
    struct repairing r = {.source = source, .terms = terms, .message = ret_message};
    int rc = tkr_ledger_open(path, timeout_ms, &r.ledger, ret_message);

    if (rc == 0)
        rc = prepare(&r) == 0 ? repair_all(&r, repairs, count) : -1;
    tkr_ledger_snapshot_close(&r.now);
    (void)sqlite3_finalize(r.put); /* tell the last step's failure once more */
    (void)sqlite3_finalize(r.put_model);
    (void)sqlite3_finalize(r.reset);
    (void)sqlite3_finalize(r.reset_model);
    tkr_ledger_close(&r.ledger); /* a transaction that is open is rolled back */
    return rc;
}
