/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/sqlite/dataset.h"

#include <string.h>

#include "sink/sqlite/ledger.h"

static const char sql_get[] = "SELECT value FROM dataset WHERE name='identity'";
static const char sql_set[] = "INSERT INTO dataset (name, value) VALUES ('identity', ?1)"
                              " ON CONFLICT (name) DO UPDATE SET value=excluded.value";

static int take(const struct tkr_ledger *ledger, sqlite3_stmt *statement, struct tkr_dataset *ret_dataset,
                tkr_message *ret_message)
{
    int step = sqlite3_step(statement);
    const char *text;

    *ret_dataset = (struct tkr_dataset){.id = ""};
    if (step == SQLITE_DONE)
        return 0;
    if (step != SQLITE_ROW)
        return tkr_ledger_failed(ledger, ret_message);
    text = (const char *)sqlite3_column_text(statement, 0);
    if (text == NULL || !tkr_dataset_parse(text, (size_t)sqlite3_column_bytes(statement, 0), ret_dataset))
        return tkr_message_set(ret_message, "ledger %.120s: its table dataset holds something that is not understood",
                               ledger->path);
    return 0;
}

static int get(const struct tkr_ledger *ledger, struct tkr_dataset *ret_dataset, tkr_message *ret_message)
{
    sqlite3_stmt *statement;
    int rc;

    if (tkr_ledger_prepare(ledger, sql_get, &statement, ret_message) != 0)
        return -1;
    rc = take(ledger, statement, ret_dataset, ret_message);
    (void)sqlite3_finalize(statement); /* tells the step's failure once more */
    return rc;
}

static int set(const struct tkr_ledger *ledger, const char *text, tkr_message *ret_message)
{
    sqlite3_stmt *statement;
    int rc = 0;

    if (tkr_ledger_prepare(ledger, sql_set, &statement, ret_message) != 0)
        return -1;
    if (sqlite3_bind_text(statement, 1, text, -1, SQLITE_TRANSIENT) != SQLITE_OK || sqlite3_step(statement) != SQLITE_DONE)
        rc = tkr_ledger_failed(ledger, ret_message);
    (void)sqlite3_finalize(statement); /* tells the step's failure once more */
    return rc;
}

int tkr_ledger_dataset(const char *path, int timeout_ms, struct tkr_dataset *ret_dataset, tkr_message *ret_message)
{
    struct tkr_ledger ledger;
    int counters;
    int rc = tkr_ledger_open_to_read(path, timeout_ms, &ledger, &counters, ret_message);

    *ret_dataset = (struct tkr_dataset){.id = ""};
    if (rc != 0)
        return rc;
    if (tkr_ledger_has_dataset(&ledger))
        rc = get(&ledger, ret_dataset, ret_message);
    tkr_ledger_close(&ledger);
    return rc;
}

/* 0, 1 or -1, as promised. */
static int replace(const struct tkr_ledger *ledger, const struct tkr_dataset *read, const struct tkr_dataset *next,
                   tkr_message *ret_message)
{
    char was[TKR_DATASET_TEXT_BYTES];
    char is[TKR_DATASET_TEXT_BYTES];
    char will[TKR_DATASET_TEXT_BYTES];
    struct tkr_dataset now;

    if (tkr_ledger_run(ledger, "BEGIN IMMEDIATE", ret_message) != 0 || get(ledger, &now, ret_message) != 0)
        return -1;
    tkr_dataset_format(read, was);
    tkr_dataset_format(&now, is);
    tkr_dataset_format(next, will);
    if (strcmp(was, is) != 0)
        return 1;
    return set(ledger, will, ret_message) == 0 && tkr_ledger_run(ledger, "COMMIT", ret_message) == 0 ? 0 : -1;
}

int tkr_ledger_dataset_set(const char *path, int timeout_ms, const struct tkr_dataset *read, const struct tkr_dataset *next,
                           tkr_message *ret_message)
{
    struct tkr_ledger ledger;
    int rc;

    if (tkr_ledger_open(path, timeout_ms, &ledger, ret_message) != 0)
        return -1;
    rc = replace(&ledger, read, next, ret_message);
    tkr_ledger_close(&ledger); /* a transaction that is open is rolled back */
    return rc;
}
