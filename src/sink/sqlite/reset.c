/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/sqlite/reset.h"

#include <string.h>

#include "base/account.h"
#include "base/crash.h"
#include "base/cycle.h"
#include "sink/sqlite/ledger.h"

static const char sql_total[] = "SELECT kind"
#define TKR_COUNTER(symbol, name, letter, help) ", " #name
#include "base/counters.def"
#undef TKR_COUNTER
                                " FROM usage WHERE kind=?1 AND account=?2 AND cycle=?3";

static const char sql_reset[] = "INSERT INTO contribution (kind, account, cycle, source, life"
#define TKR_COUNTER(symbol, name, letter, help) ", " #name
#include "base/counters.def"
#undef TKR_COUNTER
                                ") SELECT kind, account, cycle, 'reset', 1"
#define TKR_COUNTER(symbol, name, letter, help) ", -" #name
#include "base/counters.def"
#undef TKR_COUNTER
                                " FROM usage WHERE kind=?1 AND account=?2 AND cycle=?3"
                                " ON CONFLICT (kind, account, cycle, source) DO UPDATE SET life=life+1"
#define TKR_COUNTER(symbol, name, letter, help) ", " #name "=" #name "+excluded." #name
#include "base/counters.def"
#undef TKR_COUNTER
    ;

static const char sql_reset_models[] = "INSERT INTO model_contribution (kind, account, cycle, model, source, life"
#define TKR_COUNTER(symbol, name, letter, help) ", " #name
#include "base/counters.def"
#undef TKR_COUNTER
                                       ") SELECT kind, account, cycle, model, 'reset', 1"
#define TKR_COUNTER(symbol, name, letter, help) ", -" #name
#include "base/counters.def"
#undef TKR_COUNTER
                                       " FROM usage_by_model WHERE kind=?1 AND account=?2 AND cycle=?3"
                                       " ON CONFLICT (kind, account, cycle, model, source) DO UPDATE SET life=life+1"
#define TKR_COUNTER(symbol, name, letter, help) ", " #name "=" #name "+excluded." #name
#include "base/counters.def"
#undef TKR_COUNTER
    ;

static const char sql_reset_alerts[] = "DELETE FROM alert WHERE kind=?1 AND account=?2 AND cycle=?3";

static bool bind(sqlite3_stmt *statement, const struct tkr_usage_row *account)
{
    char kind[TKR_KIND_NAME_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];

    tkr_kind_name(account->kind, kind);
    tkr_cycle_format(account->cycle, cycle);
    return sqlite3_bind_text(statement, 1, kind, -1, SQLITE_TRANSIENT) == SQLITE_OK &&
           sqlite3_bind_text(statement, 2, account->id, (int)account->id_len, SQLITE_TRANSIENT) == SQLITE_OK &&
           sqlite3_bind_text(statement, 3, cycle, -1, SQLITE_TRANSIENT) == SQLITE_OK;
}

/* A row in which something is no integer is somebody else's writing, and is left alone. */
static int take_total(const struct tkr_ledger *ledger, sqlite3_stmt *statement, tkr_counts *ret_total, tkr_message *ret_message)
{
    int step = sqlite3_step(statement);

    if (step == SQLITE_DONE)
        return 1;
    if (step != SQLITE_ROW)
        return tkr_ledger_failed(ledger, ret_message);
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (sqlite3_column_type(statement, i + 1) != SQLITE_INTEGER)
            return tkr_message_set(ret_message, "the ledger holds something that is not an integer for this account");
        ret_total->value[i] = sqlite3_column_int64(statement, i + 1);
    }
    return 0;
}

/* Runs one of the statements; ret_total NULL: it gives no rows. */
static int run(const struct tkr_ledger *ledger, const char *sql, const struct tkr_usage_row *account, tkr_counts *ret_total,
               tkr_message *ret_message)
{
    sqlite3_stmt *statement;
    int rc;

    if (tkr_ledger_prepare(ledger, sql, &statement, ret_message) != 0)
        return -1;
    if (!bind(statement, account))
        rc = tkr_ledger_failed(ledger, ret_message);
    else if (ret_total != NULL)
        rc = take_total(ledger, statement, ret_total, ret_message);
    else
        rc = sqlite3_step(statement) == SQLITE_DONE ? 0 : tkr_ledger_failed(ledger, ret_message);
    (void)sqlite3_finalize(statement); /* tells the step's failure once more */
    return rc;
}

static int reset(const struct tkr_ledger *ledger, const struct tkr_usage_row *account, tkr_counts *ret_before,
                 tkr_message *ret_message)
{
    int rc;

    if (tkr_ledger_run(ledger, "BEGIN IMMEDIATE", ret_message) != 0)
        return -1;
    rc = run(ledger, sql_total, account, ret_before, ret_message);
    if (rc != 0)
        return rc;
    if (run(ledger, sql_reset, account, NULL, ret_message) != 0 ||
        run(ledger, sql_reset_models, account, NULL, ret_message) != 0 ||
        run(ledger, sql_reset_alerts, account, NULL, ret_message) != 0)
        return -1;
    TKR_CRASH(RESET_APPLIED);
    if (tkr_ledger_run(ledger, "COMMIT", ret_message) != 0)
        return -1;
    TKR_CRASH(RESET_COMMITTED);
    return 0;
}

int tkr_ledger_reset(const char *path, int timeout_ms, const struct tkr_usage_row *account, tkr_counts *ret_before,
                     tkr_message *ret_message)
{
    struct tkr_ledger ledger;
    int rc;

    if (tkr_ledger_open(path, timeout_ms, &ledger, ret_message) != 0)
        return -1;
    rc = reset(&ledger, account, ret_before, ret_message);
    tkr_ledger_close(&ledger); /* a transaction that is open is rolled back */
    return rc;
}
