/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/sqlite/limits.h"

#include <stdio.h>
#include <string.h>

#include "base/account.h"
#include "base/cycle.h"
#include "sink/sqlite/ledger.h"
#include "tokenring/tokenring.h"

static const char sql_put[] = "INSERT INTO usage_limit (kind, account, cycle, tokens) VALUES (?1, ?2, ?3, ?4)"
                              " ON CONFLICT (kind, account, cycle) DO UPDATE SET tokens=excluded.tokens";
static const char sql_drop[] = "DELETE FROM usage_limit WHERE kind=?1 AND account=?2 AND cycle=?3";
static const char sql_claim[] = "INSERT OR IGNORE INTO alert (kind, account, cycle, percent) VALUES (?1, ?2, ?3, ?4)";
static const char sql_limits[] = "SELECT tokens, cycle FROM usage_limit WHERE kind=?1 AND account=?2 AND cycle IN (?3, '')";

/* Sums: one row, of NULLs when the account has no usage in the cycle. */
static const char sql_counts[] = "SELECT count(*)"
#define TKR_COUNTER(symbol, name, letter, help) ", sum(" #name ")"
#include "base/counters.def"
#undef TKR_COUNTER
                                 " FROM contribution WHERE kind=?1 AND account=?2 AND cycle=?3";

static const char sql_all[] = "SELECT l.kind, l.account, l.cycle, l.tokens"
#define TKR_COUNTER(symbol, name, letter, help) ", u." #name
#include "base/counters.def"
#undef TKR_COUNTER
                              " FROM usage_limit l LEFT JOIN usage u ON u.kind=l.kind AND u.account=l.account AND u.cycle=l.cycle"
                              " ORDER BY l.kind, l.account, l.cycle";

enum { KIND, ACCOUNT, CYCLE, TOKENS, COUNTERS };

int64_t tkr_ledger_limit(sqlite3_stmt *row, int column, char ret_text[TKR_LIMIT_TEXT_BYTES])
{
    const char *text;
    int64_t limit;

    if (sqlite3_column_type(row, column) == SQLITE_INTEGER) {
        limit = sqlite3_column_int64(row, column);
        return limit >= 0 ? limit : TKR_LIMIT_NONE;
    }
    text = (const char *)sqlite3_column_text(row, column);
    if (text == NULL)
        return TKR_LIMIT_NONE;
    if (tkr_limit_parse(text, (size_t)sqlite3_column_bytes(row, column), &limit))
        return limit >= 0 ? limit : TKR_LIMIT_NONE;
    tkr_limit_show(text, (size_t)sqlite3_column_bytes(row, column), ret_text);
    return TKR_LIMIT_UNREADABLE;
}

/* '' for a standing limit. */
static bool bind_account(sqlite3_stmt *statement, const struct tkr_usage_row *account)
{
    char kind[TKR_KIND_NAME_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES] = "";

    tkr_kind_name(account->kind, kind);
    if (account->cycle != 0)
        tkr_cycle_format(account->cycle, cycle);
    return sqlite3_bind_text(statement, 1, kind, -1, SQLITE_TRANSIENT) == SQLITE_OK &&
           sqlite3_bind_text(statement, 2, account->id, (int)account->id_len, SQLITE_TRANSIENT) == SQLITE_OK &&
           sqlite3_bind_text(statement, 3, cycle, -1, SQLITE_TRANSIENT) == SQLITE_OK;
}

/* --- setting --- */

static int set(const struct tkr_ledger *ledger, const struct tkr_usage_row *account, int64_t tokens, tkr_message *ret_message)
{
    sqlite3_stmt *statement;
    bool bound;
    int rc = 0;

    if (tkr_ledger_prepare(ledger, tokens >= 0 ? sql_put : sql_drop, &statement, ret_message) != 0)
        return -1;
    bound = bind_account(statement, account) && (tokens < 0 || sqlite3_bind_int64(statement, 4, tokens) == SQLITE_OK);
    if (!bound || sqlite3_step(statement) != SQLITE_DONE)
        rc = tkr_ledger_failed(ledger, ret_message);
    else if (tokens < 0 && sqlite3_changes(ledger->db) == 0)
        rc = 1;
    (void)sqlite3_finalize(statement); /* tells the step's failure once more */
    return rc;
}

int tkr_ledger_limit_set(const char *path, int timeout_ms, const struct tkr_usage_row *account, int64_t tokens,
                         tkr_message *ret_message)
{
    struct tkr_ledger ledger;
    int rc;

    if (tkr_ledger_open(path, timeout_ms, &ledger, ret_message) != 0)
        return -1;
    rc = set(&ledger, account, tokens, ret_message);
    tkr_ledger_close(&ledger);
    return rc;
}

/* --- claims --- */

static int claim(const struct tkr_ledger *ledger, const struct tkr_usage_row *account, uint32_t percent, tkr_message *ret_message)
{
    sqlite3_stmt *statement;
    int rc;

    if (tkr_ledger_prepare(ledger, sql_claim, &statement, ret_message) != 0)
        return -1;
    if (bind_account(statement, account) && sqlite3_bind_int64(statement, 4, percent) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_DONE)
        rc = sqlite3_changes(ledger->db) > 0;
    else
        rc = tkr_ledger_failed(ledger, ret_message);
    (void)sqlite3_finalize(statement); /* tells the step's failure once more */
    return rc;
}

int tkr_ledger_claim(const char *path, int timeout_ms, const struct tkr_usage_row *account, uint32_t percent,
                     tkr_message *ret_message)
{
    struct tkr_ledger ledger;
    int rc;

    if (tkr_ledger_open(path, timeout_ms, &ledger, ret_message) != 0)
        return -1;
    rc = claim(&ledger, account, percent, ret_message);
    tkr_ledger_close(&ledger);
    return rc;
}

/* --- all of them --- */

/* False when the row is none of ours. */
static bool take_row(sqlite3_stmt *statement, struct tkr_usage_row *ret_row, char text[TKR_LIMIT_TEXT_BYTES])
{
    const char *kind = (const char *)sqlite3_column_text(statement, KIND);
    const char *cycle = (const char *)sqlite3_column_text(statement, CYCLE);

    *ret_row = (struct tkr_usage_row){.limit = tkr_ledger_limit(statement, TOKENS, text)};
    ret_row->limit_text = ret_row->limit == TKR_LIMIT_UNREADABLE ? text : NULL;
    ret_row->id = (const char *)sqlite3_column_text(statement, ACCOUNT);
    ret_row->id_len = (uint32_t)sqlite3_column_bytes(statement, ACCOUNT);
    if (kind == NULL || cycle == NULL || ret_row->id == NULL || tkr_kind(kind, &ret_row->kind) != TKR_OK)
        return false;
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        int64_t value = sqlite3_column_int64(statement, COUNTERS + i);

        ret_row->counts.value[i] = value > 0 ? value : 0;
    }
    return cycle[0] == '\0' || tkr_cycle_parse(cycle, &ret_row->cycle);
}

static int visit_rows(const struct tkr_ledger *ledger, sqlite3_stmt *statement, const struct tkr_give_up *give_up,
                      tkr_usage_visit *visit, void *arg, tkr_message *ret_message)
{
    struct tkr_usage_row row;
    char text[TKR_LIMIT_TEXT_BYTES];
    int step;
    int rc = 0;

    while (rc == 0 && (step = sqlite3_step(statement)) != SQLITE_DONE) {
        if (step != SQLITE_ROW)
            return tkr_ledger_failed(ledger, ret_message);
        if (tkr_given_up(give_up))
            return tkr_message_set(ret_message, "reading was given up");
        if (take_row(statement, &row, text) && row.limit != TKR_LIMIT_NONE)
            rc = visit(&row, arg);
    }
    return rc;
}

int tkr_ledger_limits(const char *path, int timeout_ms, const struct tkr_give_up *give_up, tkr_usage_visit *visit, void *arg,
                      tkr_message *ret_message)
{
    struct tkr_ledger ledger;
    sqlite3_stmt *statement;
    int counters;
    int rc = 0;

    if (tkr_ledger_open_to_read(path, timeout_ms, &ledger, &counters, ret_message) != 0)
        return -1;
    if (tkr_ledger_has_limits(&ledger)) {
        rc = tkr_ledger_prepare(&ledger, sql_all, &statement, ret_message);
        if (rc == 0) {
            rc = visit_rows(&ledger, statement, give_up, visit, arg, ret_message);
            (void)sqlite3_finalize(statement); /* tells the step's failure once more */
        }
    }
    tkr_ledger_close(&ledger);
    return rc;
}

/* --- of accounts that are named --- */

static int take_counts(const struct tkr_ledger *ledger, sqlite3_stmt *statement, struct tkr_usage_found *found,
                       tkr_message *ret_message)
{
    if (sqlite3_step(statement) != SQLITE_ROW)
        return tkr_ledger_failed(ledger, ret_message);
    found->present = sqlite3_column_int64(statement, 0) > 0;
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        int64_t value = sqlite3_column_int64(statement, 1 + i);

        if (found->present && sqlite3_column_type(statement, 1 + i) != SQLITE_INTEGER) {
            found->fault = true;
            (void)snprintf(found->text, sizeof(found->text), "the ledger holds a %s that is not an integer", tkr_counter_name[i]);
            return 0;
        }
        found->counts.value[i] = value > 0 ? value : 0;
    }
    return 0;
}

/* The standing limit, the cycle's, or both. */
static int take_limits(const struct tkr_ledger *ledger, sqlite3_stmt *statement, struct tkr_usage_found *found,
                       tkr_message *ret_message)
{
    int step;

    while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
        bool standing = sqlite3_column_bytes(statement, 1) == 0;
        char text[TKR_LIMIT_TEXT_BYTES];
        int64_t limit = tkr_ledger_limit(statement, 0, text);

        found->present = found->present || !standing;
        *(standing ? &found->standing : &found->limit) = limit;
        if (limit == TKR_LIMIT_UNREADABLE && !found->fault && (found->text[0] == '\0' || !standing))
            memcpy(found->text, text, sizeof(text));
    }
    return step == SQLITE_DONE ? 0 : tkr_ledger_failed(ledger, ret_message);
}

/* Runs one of the two for an account; limits NULL when the ledger has none. */
static int look_up(const struct tkr_ledger *ledger, sqlite3_stmt *counts, sqlite3_stmt *limits,
                   const struct tkr_usage_row *account, struct tkr_usage_found *found, tkr_message *ret_message)
{
    int rc;

    *found = (struct tkr_usage_found){.limit = TKR_LIMIT_NONE, .standing = TKR_LIMIT_NONE};
    rc = bind_account(counts, account) ? take_counts(ledger, counts, found, ret_message) : tkr_ledger_failed(ledger, ret_message);
    (void)sqlite3_reset(counts); /* tells the step's failure once more; so below */
    if (rc != 0 || limits == NULL)
        return rc;
    rc = bind_account(limits, account) ? take_limits(ledger, limits, found, ret_message) : tkr_ledger_failed(ledger, ret_message);
    (void)sqlite3_reset(limits);
    return rc;
}

static int look_up_all(const struct tkr_ledger *ledger, const struct tkr_usage_row *accounts, uint32_t count,
                       struct tkr_usage_found *found, tkr_message *ret_message)
{
    sqlite3_stmt *counts = NULL;
    sqlite3_stmt *limits = NULL;
    int rc = tkr_ledger_run(ledger, "BEGIN", ret_message);

    if (rc == 0)
        rc = tkr_ledger_prepare(ledger, sql_counts, &counts, ret_message);
    if (rc == 0 && tkr_ledger_has_limits(ledger))
        rc = tkr_ledger_prepare(ledger, sql_limits, &limits, ret_message);
    for (uint32_t i = 0; i < count && rc == 0; i++)
        rc = look_up(ledger, counts, limits, &accounts[i], &found[i], ret_message);
    (void)sqlite3_finalize(counts); /* tell the step's failure once more */
    (void)sqlite3_finalize(limits);
    return rc;
}

int tkr_ledger_lookup(const char *path, int timeout_ms, const struct tkr_usage_row *accounts, uint32_t count,
                      struct tkr_usage_found *ret_found, tkr_message *ret_message)
{
    struct tkr_ledger ledger;
    int counters;
    int rc = -1;

    if (tkr_ledger_open_to_read(path, timeout_ms, &ledger, &counters, ret_message) != 0)
        return -1;
    if (counters == TKR_COUNTER_COUNT)
        rc = look_up_all(&ledger, accounts, count, ret_found, ret_message);
    else
        (void)tkr_message_set(ret_message, "the ledger is of an older version: start tokenringd, which brings it up");
    tkr_ledger_close(&ledger); /* ends the transaction */
    return rc;
}
