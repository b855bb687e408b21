/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/sqlite/apply.h"

#include <string.h>

#include "base/account.h"
#include "base/crash.h"
#include "base/cycle.h"
#include "sink/contribution.h"
#include "sink/holdings.h"
#include "sink/sqlite/forget.h"

/* Parameters of the statements by number. */
enum { KIND = 1, ACCOUNT, CYCLE, SOURCE, LIFE, COUNTERS };

/* Columns of the rows that are read. */
enum { ROW_SOURCE, ROW_LIFE, ROW_COUNTERS };

static const char sql_rows[] = "SELECT source, life"
#define TKR_COUNTER(symbol, name, letter, help) ", " #name
#include "base/counters.def"
#undef TKR_COUNTER
                               " FROM contribution WHERE kind=?1 AND account=?2 AND cycle=?3 ORDER BY source";

static const char sql_put[] = "INSERT INTO contribution (kind, account, cycle, source, life"
#define TKR_COUNTER(symbol, name, letter, help) ", " #name
#include "base/counters.def"
#undef TKR_COUNTER
                              ") VALUES (?, ?, ?, ?, ?"
#define TKR_COUNTER(symbol, name, letter, help) ", ?"
#include "base/counters.def"
#undef TKR_COUNTER
                              ") ON CONFLICT (kind, account, cycle, source) DO UPDATE SET life=excluded.life"
#define TKR_COUNTER(symbol, name, letter, help) ", " #name "=excluded." #name
#include "base/counters.def"
#undef TKR_COUNTER
    ;

static const char sql_drop[] = "DELETE FROM contribution WHERE kind=?1 AND account=?2 AND cycle=?3 AND source=?4";

static const char sql_forgotten[] = "SELECT 1 FROM forgotten WHERE digest=?1";
/* For models: the same parameters, and the model as the last. */
static const char sql_model_rows[] = "SELECT source, life"
#define TKR_COUNTER(symbol, name, letter, help) ", " #name
#include "base/counters.def"
#undef TKR_COUNTER
                                     " FROM model_contribution WHERE kind=?1 AND account=?2 AND cycle=?3 AND model=:model"
                                     " ORDER BY source";

static const char sql_model_put[] = "INSERT INTO model_contribution (kind, account, cycle, source, life"
#define TKR_COUNTER(symbol, name, letter, help) ", " #name
#include "base/counters.def"
#undef TKR_COUNTER
                                    ", model) VALUES (?, ?, ?, ?, ?"
#define TKR_COUNTER(symbol, name, letter, help) ", ?"
#include "base/counters.def"
#undef TKR_COUNTER
                                    ", :model) ON CONFLICT (kind, account, cycle, model, source) DO UPDATE SET life=excluded.life"
#define TKR_COUNTER(symbol, name, letter, help) ", " #name "=excluded." #name
#include "base/counters.def"
#undef TKR_COUNTER
    ;

static const char sql_model_drop[] = "DELETE FROM model_contribution WHERE kind=?1 AND account=?2 AND cycle=?3 AND source=?4"
                                     " AND model=:model";

static const char sql_seen_get[] = "SELECT number FROM seen WHERE source=?1";
static const char sql_seen_put[] = "INSERT INTO seen (source, number) VALUES (?1, ?2)"
                                   " ON CONFLICT (source) DO UPDATE SET number=excluded.number";

/* What the ledger has of an account in a cycle, or of a model of it. */
struct standing {
    struct tkr_record own;  /* of this source */
    struct tkr_record base; /* of older lives */
    bool more;              /* something that was added is in no record: older lives, removed records, what was restored */
    tkr_counts total;       /* of all sources */
    const char *fault;      /* NULL, or why it cannot be added to */
};

int tkr_ledger_statements_prepare(const struct tkr_ledger *ledger, struct tkr_ledger_statements *ret_statements,
                                  tkr_message *ret_message)
{
    struct tkr_ledger_statements made = {0};

    if (tkr_ledger_prepare(ledger, sql_rows, &made.rows, ret_message) != 0 ||
        tkr_ledger_prepare(ledger, sql_put, &made.put, ret_message) != 0 ||
        tkr_ledger_prepare(ledger, sql_drop, &made.drop, ret_message) != 0 ||
        tkr_ledger_prepare(ledger, sql_forgotten, &made.forgotten, ret_message) != 0 ||
        tkr_ledger_prepare(ledger, sql_model_rows, &made.model_rows, ret_message) != 0 ||
        tkr_ledger_prepare(ledger, sql_model_put, &made.model_put, ret_message) != 0 ||
        tkr_ledger_prepare(ledger, sql_model_drop, &made.model_drop, ret_message) != 0 ||
        tkr_ledger_prepare(ledger, sql_seen_get, &made.seen_get, ret_message) != 0 ||
        tkr_ledger_prepare(ledger, sql_seen_put, &made.seen_put, ret_message) != 0) {
        tkr_ledger_statements_finalize(&made);
        return -1;
    }
    *ret_statements = made;
    return 0;
}

void tkr_ledger_statements_finalize(struct tkr_ledger_statements *statements)
{
    (void)sqlite3_finalize(statements->rows); /* tells the last step's failure once more */
    (void)sqlite3_finalize(statements->put);
    (void)sqlite3_finalize(statements->drop);
    (void)sqlite3_finalize(statements->forgotten);
    (void)sqlite3_finalize(statements->model_rows);
    (void)sqlite3_finalize(statements->model_put);
    (void)sqlite3_finalize(statements->model_drop);
    (void)sqlite3_finalize(statements->seen_get);
    (void)sqlite3_finalize(statements->seen_put);
    *statements = (struct tkr_ledger_statements){0};
}

static bool bind_text(sqlite3_stmt *statement, int parameter, const char *text, size_t len)
{
    return sqlite3_bind_text(statement, parameter, text, (int)len, SQLITE_TRANSIENT) == SQLITE_OK;
}

static bool bind_account(sqlite3_stmt *statement, const struct tkr_contribution *item)
{
    char kind[TKR_KIND_NAME_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];

    tkr_kind_name(item->kind, kind);
    tkr_cycle_format(item->cycle, cycle);
    return bind_text(statement, KIND, kind, strlen(kind)) && bind_text(statement, ACCOUNT, item->id, item->id_len) &&
           bind_text(statement, CYCLE, cycle, strlen(cycle)) &&
           (item->model_len == 0 || bind_text(statement, sqlite3_bind_parameter_count(statement), item->model, item->model_len));
}

/* Runs a statement that gives no rows, and makes it ready for the next time. */
static int step_done(const struct tkr_ledger *ledger, sqlite3_stmt *statement, bool bound, tkr_message *ret_message)
{
    int rc = 0;

    if (!bound || sqlite3_step(statement) != SQLITE_DONE)
        rc = tkr_ledger_failed(ledger, ret_message);
    (void)sqlite3_reset(statement); /* tells the step's failure once more */
    return rc;
}

/* False when a column is not an integer: somebody else's writing. */
static bool take_record(sqlite3_stmt *row, struct tkr_record *ret_record)
{
    if (sqlite3_column_type(row, ROW_LIFE) != SQLITE_INTEGER)
        return false;
    ret_record->life = (uint64_t)sqlite3_column_int64(row, ROW_LIFE);
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (sqlite3_column_type(row, ROW_COUNTERS + i) != SQLITE_INTEGER)
            return false;
        ret_record->counts.value[i] = sqlite3_column_int64(row, ROW_COUNTERS + i);
    }
    return true;
}

/* False, with to in any state, when a sum does not fit. */
static bool add_counts(tkr_counts *to, const tkr_counts *more)
{
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (__builtin_add_overflow(to->value[i], more->value[i], &to->value[i]))
            return false;
    }
    return true;
}

static void take_row(sqlite3_stmt *row, const char *source, struct standing *standing)
{
    const char *name = (const char *)sqlite3_column_text(row, ROW_SOURCE);
    struct tkr_record record;

    if (name == NULL || !take_record(row, &record)) {
        standing->fault = "the ledger holds something that is not an integer for this account";
        return;
    }
    standing->more = standing->more || name[0] == '\0' || strncmp(name, TKR_MARK_PREFIX, strlen(TKR_MARK_PREFIX)) == 0;
    if (name[0] == '\0')
        standing->base = record;
    else if (strcmp(name, source) == 0)
        standing->own = record;
    if (!add_counts(&standing->total, &record.counts))
        standing->fault = "the ledger's total for this account is above 2^63-1";
}

static int read_standing(const struct tkr_ledger *ledger, sqlite3_stmt *rows, const char *source,
                         const struct tkr_contribution *item, struct standing *ret_standing, tkr_message *ret_message)
{
    int step = SQLITE_ERROR;
    int rc = 0;

    memset(ret_standing, 0, sizeof(*ret_standing));
    if (bind_account(rows, item)) {
        while ((step = sqlite3_step(rows)) == SQLITE_ROW)
            take_row(rows, source, ret_standing);
    }
    if (step != SQLITE_DONE)
        rc = tkr_ledger_failed(ledger, ret_message);
    (void)sqlite3_reset(rows); /* tells the step's failure once more */
    return rc;
}

static int put(const struct tkr_ledger *ledger, sqlite3_stmt *statement, const struct tkr_contribution *item, const char *source,
               const struct tkr_record *record, tkr_message *ret_message)
{
    bool bound = bind_account(statement, item) && bind_text(statement, SOURCE, source, strlen(source)) &&
                 sqlite3_bind_int64(statement, LIFE, (sqlite3_int64)record->life) == SQLITE_OK;

    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        bound = bound && sqlite3_bind_int64(statement, COUNTERS + i, record->counts.value[i]) == SQLITE_OK;
    return step_done(ledger, statement, bound, ret_message);
}

static int drop(const struct tkr_ledger *ledger, sqlite3_stmt *statement, const struct tkr_contribution *item, const char *source,
                tkr_message *ret_message)
{
    bool bound = bind_account(statement, item) && bind_text(statement, SOURCE, source, strlen(source));

    return step_done(ledger, statement, bound, ret_message);
}

static void refuse(struct tkr_contribution *item, const char *reason)
{
    size_t len = strnlen(reason, sizeof(item->reason) - 1);

    memcpy(item->reason, reason, len);
    item->reason[len] = '\0';
    item->outcome = TKR_OUTCOME_POISON;
}

/* The decision; on true the rows are to be written, standing->base with the old life in it. */
static bool decide(struct tkr_contribution *item, struct standing *standing)
{
    tkr_counts delta;
    bool folds;

    if (standing->fault != NULL) {
        refuse(item, standing->fault);
        return false;
    }
    if (TKR_BROKEN(RECORD)) { /* as a plain increment: what was applied before, unknown to us, is added once more */
        item->outcome = TKR_OUTCOME_APPLIED;
        return tkr_contribution_delta(item, &delta) && add_counts(&standing->base.counts, &delta);
    }
    if (!tkr_record_same(&standing->own, &item->known) || (item->bare && standing->more)) {
        item->outcome = TKR_OUTCOME_FOUND;
        item->found = standing->own;
        return false;
    }
    if (!tkr_contribution_delta(item, &delta)) {
        refuse(item, TKR_REASON_SHRINKS);
        return false;
    }
    folds = standing->own.life != 0 && standing->own.life != item->now.life;
    if (!add_counts(&standing->total, &delta) || (folds && !add_counts(&standing->base.counts, &standing->own.counts))) {
        refuse(item, "the total would be above 2^63-1");
        return false;
    }
    item->outcome = TKR_OUTCOME_APPLIED;
    return !tkr_record_same(&item->now, &item->known);
}

/* A record that is missing although one was known: is that because the account was forgotten? */
static int note_erased(const struct tkr_ledger *ledger, sqlite3_stmt *forgotten, struct tkr_contribution *item,
                       tkr_message *ret_message)
{
    int step = SQLITE_ERROR;
    int rc = 0;

    if (item->outcome != TKR_OUTCOME_FOUND || item->found.life != 0 || item->known.life == 0)
        return 0;
    if (sqlite3_bind_int64(forgotten, 1, tkr_ledger_digest(item->kind, item->id, item->id_len, item->cycle)) == SQLITE_OK)
        step = sqlite3_step(forgotten);
    item->erased = step == SQLITE_ROW;
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        rc = tkr_ledger_failed(ledger, ret_message);
    (void)sqlite3_reset(forgotten); /* tells the step's failure once more */
    return rc;
}

int tkr_ledger_apply(const struct tkr_ledger *ledger, const struct tkr_ledger_statements *statements, const char *source,
                     struct tkr_contribution *item, tkr_message *ret_message)
{
    sqlite3_stmt *rows = item->model_len > 0 ? statements->model_rows : statements->rows;
    sqlite3_stmt *write = item->model_len > 0 ? statements->model_put : statements->put;
    struct standing standing;

    if (read_standing(ledger, rows, source, item, &standing, ret_message) != 0)
        return -1;
    if (!decide(item, &standing))
        return note_erased(ledger, statements->forgotten, item, ret_message);
    if (TKR_BROKEN(RECORD))
        return put(ledger, write, item, "", &standing.base, ret_message);
    if (standing.own.life != 0 && standing.own.life != item->now.life &&
        put(ledger, write, item, "", &standing.base, ret_message) != 0)
        return -1;
    if (standing.own.life != 0 && standing.own.life != item->now.life)
        TKR_CRASH(LEDGER_FOLDED);
    if (item->now.life == 0)
        return drop(ledger, item->model_len > 0 ? statements->model_drop : statements->drop, item, source, ret_message);
    return put(ledger, write, item, source, &item->now, ret_message);
}

int tkr_ledger_advance_seen(const struct tkr_ledger *ledger, const struct tkr_ledger_statements *statements,
                            struct tkr_chunk *chunk, tkr_message *ret_message)
{
    sqlite3_stmt *get = statements->seen_get;
    sqlite3_stmt *set = statements->seen_put;
    size_t len = strlen(chunk->source);
    int step = SQLITE_ERROR;
    bool bound;

    if (bind_text(get, 1, chunk->source, len))
        step = sqlite3_step(get);
    chunk->seen_found = step == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(get, 0) : 0;
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        (void)tkr_ledger_failed(ledger, ret_message); /* before the reset; -1 follows */
    (void)sqlite3_reset(get);
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        return -1;
    if (chunk->seen_found != chunk->seen_expected || chunk->seen_next == chunk->seen_expected)
        return 0;
    bound = bind_text(set, 1, chunk->source, len) && sqlite3_bind_int64(set, 2, (sqlite3_int64)chunk->seen_next) == SQLITE_OK;
    return step_done(ledger, set, bound, ret_message);
}
