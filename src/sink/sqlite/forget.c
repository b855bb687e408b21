/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/sqlite/forget.h"

#include <string.h>

#include "base/account.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/cycle.h"
#include "sink/sqlite/ledger.h"

static const char sql_cycles[] = "SELECT cycle FROM contribution WHERE kind=?1 AND account=?2"
                                 " UNION SELECT cycle FROM model_contribution WHERE kind=?1 AND account=?2";
static const char sql_remember[] = "INSERT OR REPLACE INTO forgotten (digest, at) VALUES (?1, ?2)";
static const char sql_too_old[] = "DELETE FROM forgotten WHERE at < ?1";
static const char sql_totals[] = "DELETE FROM contribution WHERE kind=?1 AND account=?2";
static const char sql_models[] = "DELETE FROM model_contribution WHERE kind=?1 AND account=?2";
static const char sql_alerts[] = "DELETE FROM alert WHERE kind=?1 AND account=?2";
static const char sql_limits[] = "DELETE FROM usage_limit WHERE kind=?1 AND account=?2";

static uint64_t add_bytes(uint64_t hash, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(1099511628211);
    return hash;
}

int64_t tkr_ledger_digest(uint64_t kind, const char *id, uint32_t id_len, uint32_t cycle)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    char name[TKR_KIND_NAME_BYTES];
    char date[TKR_CYCLE_TEXT_BYTES];

    tkr_kind_name(kind, name);
    tkr_cycle_format(cycle, date);
    hash = add_bytes(hash, name, strlen(name) + 1);
    hash = add_bytes(add_bytes(hash, id, id_len), "", 1);
    return (int64_t)add_bytes(hash, date, strlen(date));
}

static bool bind_account(sqlite3_stmt *statement, const struct tkr_usage_row *account)
{
    char kind[TKR_KIND_NAME_BYTES];

    tkr_kind_name(account->kind, kind);
    return sqlite3_bind_text(statement, 1, kind, -1, SQLITE_TRANSIENT) == SQLITE_OK &&
           sqlite3_bind_text(statement, 2, account->id, (int)account->id_len, SQLITE_TRANSIENT) == SQLITE_OK;
}

/* Runs a statement about numbers or, with account, about an account; numbers are parameters 1 and 2. */
static int run(const struct tkr_ledger *ledger, const char *sql, const struct tkr_usage_row *account, const int64_t *number,
               int numbers, tkr_message *ret_message)
{
    sqlite3_stmt *statement;
    bool bound;
    int rc = 0;

    if (tkr_ledger_prepare(ledger, sql, &statement, ret_message) != 0)
        return -1;
    bound = account == NULL || bind_account(statement, account);
    for (int i = 0; i < numbers; i++)
        bound = bound && sqlite3_bind_int64(statement, i + 1, number[i]) == SQLITE_OK;
    if (!bound || sqlite3_step(statement) != SQLITE_DONE)
        rc = tkr_ledger_failed(ledger, ret_message);
    (void)sqlite3_finalize(statement); /* tells the step's failure once more */
    return rc;
}

static int remember(const struct tkr_ledger *ledger, const struct tkr_usage_row *account, int64_t now_s, uint32_t *ret_cycles,
                    tkr_message *ret_message)
{
    sqlite3_stmt *statement;
    int step = SQLITE_ERROR;
    int rc = 0;

    if (tkr_ledger_prepare(ledger, sql_cycles, &statement, ret_message) != 0)
        return -1;
    if (bind_account(statement, account))
        step = sqlite3_step(statement);
    for (; rc == 0 && step == SQLITE_ROW; step = sqlite3_step(statement)) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        int64_t row[2] = {0, now_s};
        uint32_t cycle;

        ++*ret_cycles;
        if (text == NULL || !tkr_cycle_parse(text, &cycle))
            continue; /* none of ours, and goes with the rest */
        row[0] = tkr_ledger_digest(account->kind, account->id, account->id_len, cycle);
        rc = run(ledger, sql_remember, NULL, row, 2, ret_message);
    }
    if (rc == 0 && step != SQLITE_DONE)
        rc = tkr_ledger_failed(ledger, ret_message);
    (void)sqlite3_finalize(statement); /* tells the step's failure once more */
    return rc;
}

static int forget(const struct tkr_ledger *ledger, const struct tkr_usage_row *account, uint32_t *ret_cycles,
                  tkr_message *ret_message)
{
    const int64_t now_s = tkr_clock_unix_ns() / TKR_NS_PER_S;
    const int64_t oldest_s = now_s - TKR_FORGOTTEN_KEPT_S;
    int before;
    int erased;

    if (tkr_ledger_run(ledger, "PRAGMA secure_delete=ON; BEGIN IMMEDIATE", ret_message) != 0 ||
        run(ledger, sql_too_old, NULL, &oldest_s, 1, ret_message) != 0 ||
        remember(ledger, account, now_s, ret_cycles, ret_message) != 0)
        return -1;
    before = sqlite3_total_changes(ledger->db);
    if (run(ledger, sql_totals, account, NULL, 0, ret_message) != 0 ||
        run(ledger, sql_models, account, NULL, 0, ret_message) != 0 ||
        run(ledger, sql_alerts, account, NULL, 0, ret_message) != 0 ||
        run(ledger, sql_limits, account, NULL, 0, ret_message) != 0)
        return -1;
    erased = sqlite3_total_changes(ledger->db) - before;
    TKR_CRASH(ERASE_APPLIED);
    if (tkr_ledger_run(ledger, "COMMIT", ret_message) != 0)
        return -1;
    TKR_CRASH(ERASE_COMMITTED);
    return erased > 0 ? 0 : 1;
}

int tkr_ledger_forget(const char *path, int timeout_ms, const struct tkr_usage_row *account, uint32_t *ret_cycles,
                      tkr_message *ret_message)
{
    struct tkr_ledger ledger;
    uint32_t cycles = 0;
    int rc;

    if (tkr_ledger_open(path, timeout_ms, &ledger, ret_message) != 0)
        return -1;
    rc = forget(&ledger, account, &cycles, ret_message);
    if (rc == 0) {
        *ret_cycles = cycles;
        /* Out of the WAL too, as far as readers let it now. */
        (void)sqlite3_wal_checkpoint_v2(ledger.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    }
    tkr_ledger_close(&ledger); /* a transaction that is open is rolled back */
    return rc;
}
