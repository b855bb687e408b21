/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/sqlite/restore.h"

#include <string.h>

#include "base/crash.h"
#include "sink/sqlite/snapshot.h"

/* Parameters: the account's three, then these. */
enum { MODEL = 4, SOURCE, LIFE, COUNTERS };
enum { TOKENS = 4 };

/* A row is replaced by one that is ahead of it within a life: sink/restore.h. */
#define PUT_VALUES ") VALUES (?1, ?2, ?3, ?5, ?6"
static const char sql_put[] = "INSERT OR REPLACE INTO contribution (kind, account, cycle, source, life"
#define TKR_COUNTER(symbol, name, letter, help) ", " #name
#include "base/counters.def"
#undef TKR_COUNTER
    PUT_VALUES
#define TKR_COUNTER(symbol, name, letter, help) ", ?"
#include "base/counters.def"
#undef TKR_COUNTER
                              ")";

static const char sql_put_model[] = "INSERT OR REPLACE INTO model_contribution (kind, account, cycle, source, life, model"
#define TKR_COUNTER(symbol, name, letter, help) ", " #name
#include "base/counters.def"
#undef TKR_COUNTER
    PUT_VALUES ", ?4"
#define TKR_COUNTER(symbol, name, letter, help) ", ?"
#include "base/counters.def"
#undef TKR_COUNTER
                                    ")";

static const char sql_limit[] = "INSERT OR IGNORE INTO usage_limit (kind, account, cycle, tokens) VALUES (?1, ?2, ?3, ?4)";
static const char sql_source[] = "INSERT OR IGNORE INTO seen (source, number) VALUES (?1, ?2)";

struct restoring {
    struct tkr_ledger ledger;
    const struct tkr_restore_terms *terms;
    sqlite3_stmt *put;
    sqlite3_stmt *put_model;
    sqlite3_stmt *limit;
    struct tkr_ledger_snapshot now;
    struct tkr_holdings plan;
    tkr_message *message;
};

static int step_done(struct restoring *r, sqlite3_stmt *statement, bool bound)
{
    int rc = 0;

    if (!bound || sqlite3_step(statement) != SQLITE_DONE)
        rc = tkr_ledger_failed(&r->ledger, r->message);
    (void)sqlite3_reset(statement); /* tells the step's failure once more */
    return rc;
}

static bool bind_plan(const struct restoring *r, sqlite3_stmt *statement)
{
    const struct tkr_holdings *plan = &r->plan;

    return tkr_ledger_bind_account(statement, plan->kind, plan->id, plan->id_len, plan->cycle);
}

static int put(struct restoring *r, const struct tkr_holding *of, const char *source, uint64_t life, const tkr_counts *counts)
{
    sqlite3_stmt *statement = of->model_len > 0 ? r->put_model : r->put;
    bool bound = bind_plan(r, statement) && sqlite3_bind_text(statement, SOURCE, source, -1, SQLITE_TRANSIENT) == SQLITE_OK &&
                 sqlite3_bind_int64(statement, LIFE, (sqlite3_int64)life) == SQLITE_OK;

    if (of->model_len > 0)
        bound = bound && sqlite3_bind_text(statement, MODEL, of->model, (int)of->model_len, SQLITE_TRANSIENT) == SQLITE_OK;
    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        bound = bound && sqlite3_bind_int64(statement, COUNTERS + i, counts->value[i]) == SQLITE_OK;
    return step_done(r, statement, bound);
}

/*
 * The life of a mark is how new the backup is. It is the account's own, whatever there is to add; a model needs a row of it only
 * to add to.
 */
static int write_holding(struct restoring *r, const struct tkr_holding *plan)
{
    int rc = 0;

    for (uint32_t i = 0; i < plan->share_count && rc == 0; i++)
        rc = put(r, plan, plan->share[i].source, plan->share[i].record.life, &plan->share[i].record.counts);
    if (rc == 0 && (plan->model_len == 0 || !tkr_counts_zero(&plan->rest)))
        rc = put(r, plan, r->terms->mark, tkr_restore_newest(r->terms), &plan->rest);
    return rc;
}

static int write_limit(struct restoring *r)
{
    return step_done(r, r->limit, bind_plan(r, r->limit) && sqlite3_bind_int64(r->limit, TOKENS, r->plan.limit) == SQLITE_OK);
}

static int write_plan(struct restoring *r)
{
    int rc = 0;

    for (uint32_t i = 0; i < r->plan.count && rc == 0; i++)
        rc = write_holding(r, &r->plan.holding[i]);
    return rc == 0 && r->plan.limit != TKR_LIMIT_NONE ? write_limit(r) : rc;
}

/* --- accounts --- */

static int restore_limit(struct restoring *r, const struct tkr_holdings *account, struct tkr_restored *restored)
{
    restored->limit = r->now.holdings.limit == TKR_LIMIT_NONE;
    if (!restored->limit || r->terms->dry_run)
        return 0;
    if (!tkr_holdings_begin(&r->plan, account->kind, account->id, account->id_len, 0))
        return tkr_message_set(r->message, "out of memory");
    r->plan.limit = account->limit;
    return write_limit(r);
}

static int restore_account(struct restoring *r, const struct tkr_holdings *account, struct tkr_restored *restored)
{
    int rc = tkr_ledger_snapshot_read(&r->now, account->kind, account->id, account->id_len, account->cycle, r->terms->mark,
                                      r->message);

    *restored = (struct tkr_restored){.verdict = TKR_RESTORE_DONE};
    if (rc < 0)
        return -1;
    if (rc > 0)
        tkr_restore_leave(restored, r->now.why);
    else if (account->cycle == 0)
        return restore_limit(r, account, restored);
    else if (tkr_restore_plan(r->terms, account, &r->now.holdings, &r->plan, restored) == TKR_RESTORE_DONE && !r->terms->dry_run)
        return write_plan(r);
    return 0;
}

static int restore_accounts(struct restoring *r, const struct tkr_holdings *accounts, uint32_t count,
                            struct tkr_restored *restored)
{
    int rc = tkr_ledger_run(&r->ledger, r->terms->dry_run ? "BEGIN" : "BEGIN IMMEDIATE", r->message);

    for (uint32_t i = 0; i < count && rc == 0; i++)
        rc = restore_account(r, &accounts[i], &restored[i]);
    if (rc != 0 || r->terms->dry_run)
        return rc; /* rolled back when it is closed */
    TKR_CRASH(RESTORE_APPLIED);
    rc = tkr_ledger_run(&r->ledger, "COMMIT", r->message);
    TKR_CRASH(RESTORE_COMMITTED);
    return rc;
}

static int prepare(struct restoring *r)
{
    if (tkr_ledger_snapshot_open(&r->ledger, &r->now, r->message) != 0)
        return -1;
    if (r->terms->dry_run)
        return 0;
    if (tkr_ledger_prepare(&r->ledger, sql_put, &r->put, r->message) != 0 ||
        tkr_ledger_prepare(&r->ledger, sql_put_model, &r->put_model, r->message) != 0)
        return -1;
    return tkr_ledger_prepare(&r->ledger, sql_limit, &r->limit, r->message);
}

/* A ledger that is not there yet: everything would be done. */
static int restore_nowhere(struct restoring *r, const struct tkr_holdings *accounts, uint32_t count,
                           struct tkr_restored *restored)
{
    struct tkr_holdings nothing = {0};
    int rc = 0;

    for (uint32_t i = 0; i < count && rc == 0; i++) {
        const struct tkr_holdings *account = &accounts[i];
        restored[i] = (struct tkr_restored){.verdict = TKR_RESTORE_DONE, .limit = account->cycle == 0};
        if (!tkr_holdings_begin(&nothing, account->kind, account->id, account->id_len, account->cycle))
            rc = tkr_message_set(r->message, "out of memory");
        else if (account->cycle != 0)
            (void)tkr_restore_plan(r->terms, account, &nothing, &r->plan, &restored[i]); /* told in restored */
    }
    tkr_holdings_free(&nothing);
    return rc;
}

/* 1: in a dry run, there is none yet. */
static int open_ledger(struct restoring *r, const char *path, int timeout_ms)
{
    int counters = TKR_COUNTER_COUNT;
    int rc;

    if (!r->terms->dry_run)
        return tkr_ledger_open(path, timeout_ms, &r->ledger, r->message);
    rc = tkr_ledger_open_to_read(path, timeout_ms, &r->ledger, &counters, r->message);
    if (rc != 0)
        return rc;
    if (counters == TKR_COUNTER_COUNT && r->ledger.by_model && tkr_ledger_has_limits(&r->ledger))
        return 0;
    return tkr_message_set(r->message, "the ledger is of an older version: start tokenringd, which brings it up");
}

int tkr_ledger_restore(const char *path, int timeout_ms, const struct tkr_restore_terms *terms,
                       const struct tkr_holdings *accounts, uint32_t count, struct tkr_restored *ret_restored,
                       tkr_message *ret_message)
{
    struct restoring r = {.terms = terms, .message = ret_message};
    int rc = open_ledger(&r, path, timeout_ms);

    if (rc == 1)
        rc = restore_nowhere(&r, accounts, count, ret_restored);
    else if (rc == 0)
        rc = prepare(&r) == 0 ? restore_accounts(&r, accounts, count, ret_restored) : -1;
    tkr_ledger_snapshot_close(&r.now);
    (void)sqlite3_finalize(r.put); /* tell the last step's failure once more */
    (void)sqlite3_finalize(r.put_model);
    (void)sqlite3_finalize(r.limit);
    tkr_holdings_free(&r.plan);
    tkr_ledger_close(&r.ledger); /* a transaction that is open is rolled back */
    return rc;
}

/* --- numbers of sources --- */

static int set_sources(const struct tkr_ledger *ledger, sqlite3_stmt *statement, const struct tkr_source_seen *sources,
                       uint32_t count, tkr_message *ret_message)
{
    if (tkr_ledger_run(ledger, "BEGIN IMMEDIATE", ret_message) != 0)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        if (sqlite3_bind_text(statement, 1, sources[i].source, -1, SQLITE_TRANSIENT) != SQLITE_OK ||
            sqlite3_bind_int64(statement, 2, (sqlite3_int64)sources[i].seen) != SQLITE_OK ||
            sqlite3_step(statement) != SQLITE_DONE)
            return tkr_ledger_failed(ledger, ret_message);
        (void)sqlite3_reset(statement); /* succeeds, as the step did */
    }
    return tkr_ledger_run(ledger, "COMMIT", ret_message);
}

int tkr_ledger_sources_set(const char *path, int timeout_ms, const struct tkr_source_seen *sources, uint32_t count,
                           tkr_message *ret_message)
{
    struct tkr_ledger ledger;
    sqlite3_stmt *statement = NULL;
    int rc = -1;

    if (tkr_ledger_open(path, timeout_ms, &ledger, ret_message) != 0)
        return -1;
    if (tkr_ledger_prepare(&ledger, sql_source, &statement, ret_message) == 0)
        rc = set_sources(&ledger, statement, sources, count, ret_message);
    (void)sqlite3_finalize(statement); /* tells the step's failure once more */
    tkr_ledger_close(&ledger);         /* a transaction that is open is rolled back */
    return rc;
}
