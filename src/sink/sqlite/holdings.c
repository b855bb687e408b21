/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/sqlite/holdings.h"

#include <string.h>

#include "base/account.h"
#include "base/cycle.h"
#include "sink/sqlite/snapshot.h"

#define PAGE_ROWS 500
#define PAGE_LIMIT "500"
#define OLD "the ledger is of an older version: start tokenringd, which brings it up"

enum { KIND, ACCOUNT, CYCLE, COLUMNS };

/* The names behind the last one, of whatever table has them. A standing limit is of cycle ''. */
#define NAMES_OF(table)                                                                                              \
    "SELECT * FROM (SELECT DISTINCT kind, account, cycle FROM " table " WHERE (kind, account, cycle) > (?1, ?2, ?3)" \
    " ORDER BY kind, account, cycle LIMIT " PAGE_LIMIT ")"

static const char sql_names[] = NAMES_OF("contribution") " UNION " NAMES_OF("model_contribution") " UNION " NAMES_OF(
    "usage_limit") " ORDER BY kind, account, cycle LIMIT " PAGE_LIMIT;

/* An account and cycle as it lies in the ledger. */
struct name {
    char text[COLUMNS][TKR_ID_BYTES_MAX + 1];
    int len[COLUMNS];
    bool cut; /* longer than any of ours */
};

struct walk {
    const struct tkr_ledger *ledger;
    sqlite3_stmt *names;
    struct tkr_ledger_snapshot snapshot;
    struct name *page;
    int count;
    tkr_holdings_visit *visit;
    void *arg;
    tkr_message *message;
};

static void take_name(sqlite3_stmt *row, struct name *ret_name)
{
    ret_name->cut = false;
    for (int i = 0; i < COLUMNS; i++) {
        const char *text = (const char *)sqlite3_column_text(row, i);
        int len = text == NULL ? 0 : sqlite3_column_bytes(row, i);

        ret_name->cut = ret_name->cut || len > TKR_ID_BYTES_MAX;
        ret_name->len[i] = len < TKR_ID_BYTES_MAX ? len : TKR_ID_BYTES_MAX;
        memcpy(ret_name->text[i], text == NULL ? "" : text, (size_t)ret_name->len[i]);
        ret_name->text[i][ret_name->len[i]] = '\0';
    }
}

/* The page behind `after`. Two names that are cut to the same are passed over together, which are none of ours. */
static int read_page(struct walk *walk, const struct name *after)
{
    int step = SQLITE_DONE;
    int rc = 0;

    walk->count = 0;
    for (int i = 0; i < COLUMNS; i++) {
        if (sqlite3_bind_text(walk->names, i + 1, after->text[i], after->len[i], SQLITE_TRANSIENT) != SQLITE_OK)
            return tkr_ledger_failed(walk->ledger, walk->message);
    }
    while (walk->count < PAGE_ROWS && (step = sqlite3_step(walk->names)) == SQLITE_ROW)
        take_name(walk->names, &walk->page[walk->count++]);
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        rc = tkr_ledger_failed(walk->ledger, walk->message);
    (void)sqlite3_reset(walk->names); /* tells the step's failure once more; ends the reading */
    return rc;
}

static bool is_ours(const struct name *name, uint64_t *ret_kind, uint32_t *ret_cycle)
{
    *ret_cycle = 0;
    return !name->cut && name->len[ACCOUNT] > 0 && tkr_kind(name->text[KIND], ret_kind) == TKR_OK &&
           (name->len[CYCLE] == 0 ||
            (name->len[CYCLE] == TKR_CYCLE_TEXT_BYTES - 1 && tkr_cycle_parse(name->text[CYCLE], ret_cycle)));
}

static bool is_empty(const struct tkr_holdings *holdings)
{
    bool empty = holdings->limit < 0;

    for (uint32_t i = 0; empty && i < holdings->count; i++)
        empty = holdings->holding[i].share_count == 0 && tkr_counts_zero(&holdings->holding[i].rest);
    return empty;
}

/* One moment of one account. */
static int read_account(struct walk *walk, const struct name *name, uint64_t kind, uint32_t cycle)
{
    tkr_message ignored; /* a transaction that only reads ends in any case */
    int rc = tkr_ledger_run(walk->ledger, "BEGIN", walk->message);

    if (rc != 0)
        return rc;
    rc = tkr_ledger_snapshot_read(&walk->snapshot, kind, name->text[ACCOUNT], (uint32_t)name->len[ACCOUNT], cycle, NULL,
                                  walk->message);
    (void)tkr_ledger_run(walk->ledger, "ROLLBACK", &ignored);
    return rc;
}

static int visit_name(struct walk *walk, const struct name *name)
{
    const struct tkr_ledger_snapshot *snapshot = &walk->snapshot;
    uint32_t cycle;
    uint64_t kind;
    int rc;

    if (!is_ours(name, &kind, &cycle))
        return 0;
    rc = read_account(walk, name, kind, cycle);
    if (rc < 0)
        return rc;
    if (rc > 0)
        return walk->visit(&snapshot->holdings, snapshot->why, walk->arg);
    return is_empty(&snapshot->holdings) ? 0 : walk->visit(&snapshot->holdings, NULL, walk->arg);
}

static int visit_pages(struct walk *walk)
{
    struct name after = {.len = {0}};
    int rc = 0;

    do {
        rc = read_page(walk, &after);
        for (int i = 0; i < walk->count && rc == 0; i++)
            rc = visit_name(walk, &walk->page[i]);
        if (walk->count > 0)
            after = walk->page[walk->count - 1];
    } while (rc == 0 && walk->count == PAGE_ROWS);
    return rc;
}

static int walk_ledger(struct walk *walk)
{
    int rc = tkr_ledger_prepare(walk->ledger, sql_names, &walk->names, walk->message);

    if (rc == 0)
        rc = tkr_ledger_snapshot_open(walk->ledger, &walk->snapshot, walk->message);
    walk->page = sqlite3_malloc(PAGE_ROWS * (int)sizeof(*walk->page));
    if (rc == 0 && walk->page == NULL)
        rc = tkr_message_set(walk->message, "out of memory");
    if (rc == 0)
        rc = visit_pages(walk);
    tkr_ledger_snapshot_close(&walk->snapshot);
    (void)sqlite3_finalize(walk->names); /* tells the step's failure once more */
    sqlite3_free(walk->page);
    return rc;
}

int tkr_ledger_holdings(const char *path, int timeout_ms, tkr_holdings_visit *visit, void *arg, tkr_message *ret_message)
{
    struct tkr_ledger ledger;
    struct walk walk = {.ledger = &ledger, .visit = visit, .arg = arg, .message = ret_message};
    int counters;
    int rc;

    if (tkr_ledger_open_to_read(path, timeout_ms, &ledger, &counters, ret_message) != 0)
        return -1;
    if (counters != TKR_COUNTER_COUNT || !ledger.by_model || !tkr_ledger_has_dataset(&ledger))
        rc = tkr_message_set(ret_message, OLD);
    else
        rc = walk_ledger(&walk);
    tkr_ledger_close(&ledger);
    return rc;
}
