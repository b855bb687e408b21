/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite sink: a chunk is one transaction, done when it is submitted; collecting only hands it back. */
#include <stdlib.h>

#include "base/crash.h"
#include "sink/queue.h"
#include "sink/sqlite/apply.h"
#include "sink/sqlite/dataset.h"
#include "sink/sqlite/forget.h"
#include "sink/sqlite/holdings.h"
#include "sink/sqlite/ledger.h"
#include "sink/sqlite/limits.h"
#include "sink/sqlite/read.h"
#include "sink/sqlite/records.h"
#include "sink/sqlite/repair.h"
#include "sink/sqlite/reset.h"
#include "sink/sqlite/restore.h"

#define CHUNK_ITEMS_MAX 500 /* a transaction costs an fsync or two */
#define WINDOW 1

struct sqlite_sink {
    tkr_sink base;
    struct tkr_sink_config config;
    struct tkr_ledger ledger; /* db NULL: not connected */
    struct tkr_ledger_statements statements;
    struct tkr_chunk_queue done;
};

static struct sqlite_sink *of(tkr_sink *sink)
{
    return (struct sqlite_sink *)sink;
}

static int sqlite_advise(tkr_sink *sink, tkr_message *ret_advice, tkr_message *ret_message)
{
    (void)sink;
    (void)ret_message;
    ret_advice->text[0] = '\0';
    return 0;
}

static uint64_t sqlite_wal_bytes(const tkr_sink *sink)
{
    return tkr_ledger_wal_bytes(((const struct sqlite_sink *)sink)->config.ledger);
}

static void sqlite_disconnect(tkr_sink *sink)
{
    tkr_ledger_statements_finalize(&of(sink)->statements);
    tkr_ledger_close(&of(sink)->ledger); /* a transaction that is open is rolled back */
    of(sink)->done = (struct tkr_chunk_queue){0};
}

static int sqlite_connect(tkr_sink *sink, tkr_message *ret_message)
{
    struct sqlite_sink *sqlite = of(sink);

    if (sqlite->ledger.db != NULL)
        return 0;
    if (tkr_ledger_open(sqlite->config.ledger, sqlite->config.command_timeout_ms, &sqlite->ledger, ret_message) != 0)
        return -1;
    if (tkr_ledger_statements_prepare(&sqlite->ledger, &sqlite->statements, ret_message) == 0)
        return 0;
    sqlite_disconnect(sink);
    return -1;
}

static int write_chunk(struct sqlite_sink *sink, struct tkr_chunk *chunk, tkr_message *ret_message)
{
    if (tkr_ledger_gone(&sink->ledger)) {
        tkr_ledger_statements_finalize(&sink->statements);
        tkr_ledger_leave(&sink->ledger);
        return tkr_message_set(ret_message, "ledger %.*s: the file was moved, removed or replaced", 120, sink->config.ledger);
    }
    if (tkr_ledger_run(&sink->ledger, "BEGIN IMMEDIATE", ret_message) != 0)
        return -1;
    if (tkr_ledger_advance_seen(&sink->ledger, &sink->statements, chunk, ret_message) != 0)
        return -1;
    for (uint32_t i = 0; i < chunk->count; i++) {
        if (tkr_ledger_apply(&sink->ledger, &sink->statements, chunk->source, &chunk->item[i], ret_message) != 0)
            return -1;
    }
    TKR_CRASH(LEDGER_APPLIED);
    if (tkr_ledger_run(&sink->ledger, "COMMIT", ret_message) != 0)
        return -1;
    TKR_CRASH(LEDGER_COMMITTED);
    return 0;
}

static int sqlite_submit(tkr_sink *sink, struct tkr_chunk *chunk, tkr_message *ret_message)
{
    if (of(sink)->ledger.db == NULL)
        return tkr_message_set(ret_message, "the ledger is not open");
    tkr_chunk_reset(chunk);
    if (write_chunk(of(sink), chunk, ret_message) != 0) {
        tkr_chunk_reset(chunk);
        sqlite_disconnect(sink);
        return -1;
    }
    tkr_chunk_push(&of(sink)->done, chunk);
    return 0;
}

static int sqlite_collect(tkr_sink *sink, struct tkr_chunk **ret_chunk, tkr_message *ret_message)
{
    struct tkr_chunk *chunk = tkr_chunk_pop(&of(sink)->done);

    if (chunk == NULL)
        return tkr_message_set(ret_message, "nothing is in flight to the ledger");
    *ret_chunk = chunk;
    return 0;
}

static int sqlite_read(tkr_sink *sink, const struct tkr_usage_query *query, tkr_usage_visit *visit, void *arg,
                       tkr_message *ret_message)
{
    return tkr_ledger_read(of(sink)->config.ledger, of(sink)->config.command_timeout_ms, query, visit, arg, ret_message);
}

static int sqlite_sources(tkr_sink *sink, tkr_source_visit *visit, void *arg, tkr_message *ret_message)
{
    return tkr_ledger_sources(of(sink)->config.ledger, of(sink)->config.command_timeout_ms, visit, arg, ret_message);
}

static int sqlite_records(tkr_sink *sink, const char *collector, tkr_usage_visit *visit, void *arg, tkr_message *ret_message)
{
    return tkr_ledger_records(of(sink)->config.ledger, of(sink)->config.command_timeout_ms, collector, visit, arg, ret_message);
}

static int sqlite_reset(tkr_sink *sink, const struct tkr_usage_row *account, tkr_counts *ret_before, tkr_message *ret_message)
{
    return tkr_ledger_reset(of(sink)->config.ledger, of(sink)->config.command_timeout_ms, account, ret_before, ret_message);
}

static int sqlite_lookup(tkr_sink *sink, const struct tkr_usage_row *accounts, uint32_t count, struct tkr_usage_found *ret_found,
                         tkr_message *ret_message)
{
    return tkr_ledger_lookup(of(sink)->config.ledger, of(sink)->config.command_timeout_ms, accounts, count, ret_found,
                             ret_message);
}

static int sqlite_limit_set(tkr_sink *sink, const struct tkr_usage_row *account, int64_t tokens, tkr_message *ret_message)
{
    return tkr_ledger_limit_set(of(sink)->config.ledger, of(sink)->config.command_timeout_ms, account, tokens, ret_message);
}

static int sqlite_claim(tkr_sink *sink, const struct tkr_usage_row *account, uint32_t percent, tkr_message *ret_message)
{
    return tkr_ledger_claim(of(sink)->config.ledger, of(sink)->config.command_timeout_ms, account, percent, ret_message);
}

static int sqlite_limits(tkr_sink *sink, const struct tkr_give_up *give_up, tkr_usage_visit *visit, void *arg,
                         tkr_message *ret_message)
{
    return tkr_ledger_limits(of(sink)->config.ledger, of(sink)->config.command_timeout_ms, give_up, visit, arg, ret_message);
}

static int sqlite_forget(tkr_sink *sink, const struct tkr_usage_row *account, uint32_t *ret_cycles, tkr_message *ret_message)
{
    return tkr_ledger_forget(of(sink)->config.ledger, of(sink)->config.command_timeout_ms, account, ret_cycles, ret_message);
}

static int sqlite_dataset(tkr_sink *sink, struct tkr_dataset *ret_dataset, tkr_message *ret_message)
{
    return tkr_ledger_dataset(of(sink)->config.ledger, of(sink)->config.command_timeout_ms, ret_dataset, ret_message);
}

static int sqlite_dataset_set(tkr_sink *sink, const struct tkr_dataset *read, const struct tkr_dataset *next,
                              tkr_message *ret_message)
{
    return tkr_ledger_dataset_set(of(sink)->config.ledger, of(sink)->config.command_timeout_ms, read, next, ret_message);
}

static int sqlite_holdings(tkr_sink *sink, tkr_holdings_visit *visit, void *arg, tkr_message *ret_message)
{
    return tkr_ledger_holdings(of(sink)->config.ledger, of(sink)->config.command_timeout_ms, visit, arg, ret_message);
}

static int sqlite_sources_set(tkr_sink *sink, const struct tkr_source_seen *sources, uint32_t count, tkr_message *ret_message)
{
    return tkr_ledger_sources_set(of(sink)->config.ledger, of(sink)->config.command_timeout_ms, sources, count, ret_message);
}

static int sqlite_restore(tkr_sink *sink, const struct tkr_restore_terms *terms, const struct tkr_holdings *accounts,
                          uint32_t count, struct tkr_restored *ret_restored, tkr_message *ret_message)
{
    return tkr_ledger_restore(of(sink)->config.ledger, of(sink)->config.command_timeout_ms, terms, accounts, count, ret_restored,
                              ret_message);
}

static int sqlite_repair(tkr_sink *sink, const char *source, const struct tkr_repair_terms *terms, struct tkr_repair *repairs,
                         uint32_t count, tkr_message *ret_message)
{
    return tkr_ledger_repair(of(sink)->config.ledger, of(sink)->config.command_timeout_ms, source, terms, repairs, count,
                             ret_message);
}

static void sqlite_close(tkr_sink *sink)
{
    sqlite_disconnect(sink);
    free(sink);
}

static const struct tkr_sink_ops sqlite_ops = {
    .name = "sqlite",
    .connect = sqlite_connect,
    .submit = sqlite_submit,
    .collect = sqlite_collect,
    .advise = sqlite_advise,
    .wal_bytes = sqlite_wal_bytes,
    .disconnect = sqlite_disconnect,
    .read = sqlite_read,
    .sources = sqlite_sources,
    .records = sqlite_records,
    .reset = sqlite_reset,
    .lookup = sqlite_lookup,
    .limit_set = sqlite_limit_set,
    .limits = sqlite_limits,
    .claim = sqlite_claim,
    .forget = sqlite_forget,
    .dataset = sqlite_dataset,
    .dataset_set = sqlite_dataset_set,
    .holdings = sqlite_holdings,
    .sources_set = sqlite_sources_set,
    .restore = sqlite_restore,
    .repair = sqlite_repair,
    .close = sqlite_close,
};

int tkr_sink_sqlite_open(const struct tkr_sink_config *config, tkr_sink **ret_sink, tkr_message *ret_message)
{
    struct sqlite_sink *sink = calloc(1, sizeof(*sink));

    if (sink == NULL)
        return tkr_message_set(ret_message, "out of memory");
    sink->base = (tkr_sink){.ops = &sqlite_ops, .chunk_items_max = CHUNK_ITEMS_MAX, .window = WINDOW};
    sink->config = *config;
    *ret_sink = &sink->base;
    return 0;
}
