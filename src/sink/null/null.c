/* SPDX-License-Identifier: Apache-2.0 */
/* The sink that takes everything and keeps nothing: what the collector costs without one. */
#include <stdlib.h>

#include "sink/queue.h"
#include "sink/repair.h"
#include "sink/sink.h"

#define CHUNK_ITEMS_MAX 100
#define WINDOW 8

struct null_sink {
    tkr_sink base;
    struct tkr_chunk_queue queue;
};

static struct null_sink *of(tkr_sink *sink)
{
    return (struct null_sink *)sink;
}

static int null_connect(tkr_sink *sink, tkr_message *ret_message)
{
    (void)sink;
    (void)ret_message;
    return 0;
}

static int null_submit(tkr_sink *sink, struct tkr_chunk *chunk, tkr_message *ret_message)
{
    (void)ret_message;
    tkr_chunk_push(&of(sink)->queue, chunk);
    return 0;
}

static int null_collect(tkr_sink *sink, struct tkr_chunk **ret_chunk, tkr_message *ret_message)
{
    struct tkr_chunk *chunk = tkr_chunk_pop(&of(sink)->queue);

    if (chunk == NULL)
        return tkr_message_set(ret_message, "nothing is in flight");
    tkr_chunk_reset(chunk);
    chunk->seen_found = chunk->seen_expected;
    for (uint32_t i = 0; i < chunk->count; i++)
        chunk->item[i].outcome = TKR_OUTCOME_APPLIED;
    *ret_chunk = chunk;
    return 0;
}

static int null_advise(tkr_sink *sink, tkr_message *ret_advice, tkr_message *ret_message)
{
    (void)sink;
    (void)ret_message;
    ret_advice->text[0] = '\0';
    return 0;
}

static void null_disconnect(tkr_sink *sink)
{
    of(sink)->queue = (struct tkr_chunk_queue){0};
}

static int null_read(tkr_sink *sink, const struct tkr_usage_query *query, tkr_usage_visit *visit, void *arg,
                     tkr_message *ret_message)
{
    (void)sink;
    (void)query;
    (void)visit;
    (void)arg;
    (void)ret_message;
    return 0;
}

static int null_sources(tkr_sink *sink, tkr_source_visit *visit, void *arg, tkr_message *ret_message)
{
    (void)sink;
    (void)visit;
    (void)arg;
    (void)ret_message;
    return 0;
}

static int null_records(tkr_sink *sink, const char *collector, tkr_usage_visit *visit, void *arg, tkr_message *ret_message)
{
    (void)sink;
    (void)collector;
    (void)visit;
    (void)arg;
    (void)ret_message;
    return 0;
}

static int null_reset(tkr_sink *sink, const struct tkr_usage_row *account, tkr_counts *ret_before, tkr_message *ret_message)
{
    (void)sink;
    (void)account;
    (void)ret_before;
    (void)ret_message;
    return 1;
}

static int null_lookup(tkr_sink *sink, const struct tkr_usage_row *accounts, uint32_t count, struct tkr_usage_found *ret_found,
                       tkr_message *ret_message)
{
    (void)sink;
    (void)accounts;
    (void)ret_message;
    for (uint32_t i = 0; i < count; i++)
        ret_found[i] = (struct tkr_usage_found){.limit = TKR_LIMIT_NONE, .standing = TKR_LIMIT_NONE};
    return 0;
}

static int null_limit_set(tkr_sink *sink, const struct tkr_usage_row *account, int64_t tokens, tkr_message *ret_message)
{
    (void)sink;
    (void)account;
    return tokens < 0 ? 1 : tkr_message_set(ret_message, "this sink keeps no limits");
}

static int null_limits(tkr_sink *sink, const struct tkr_give_up *give_up, tkr_usage_visit *visit, void *arg,
                       tkr_message *ret_message)
{
    (void)give_up;
    (void)sink;
    (void)visit;
    (void)arg;
    (void)ret_message;
    return 0;
}

static int null_claim(tkr_sink *sink, const struct tkr_usage_row *account, uint32_t percent, tkr_message *ret_message)
{
    (void)sink;
    (void)account;
    (void)percent;
    return tkr_message_set(ret_message, "this sink keeps no claims");
}

static int null_forget(tkr_sink *sink, const struct tkr_usage_row *account, uint32_t *ret_cycles, tkr_message *ret_message)
{
    (void)sink;
    (void)account;
    (void)ret_message;
    *ret_cycles = 0;
    return 1;
}

/* --- nothing to back up, and nowhere to restore it to --- */

static const char keeps_nothing[] = "this sink keeps nothing: there is nothing to back up and nowhere to restore it to";

static int null_dataset(tkr_sink *sink, struct tkr_dataset *ret_dataset, tkr_message *ret_message)
{
    (void)sink;
    (void)ret_dataset;
    return tkr_message_set(ret_message, "%s", keeps_nothing);
}

static int null_dataset_set(tkr_sink *sink, const struct tkr_dataset *read, const struct tkr_dataset *next,
                            tkr_message *ret_message)
{
    (void)sink;
    (void)read;
    (void)next;
    return tkr_message_set(ret_message, "%s", keeps_nothing);
}

static int null_holdings(tkr_sink *sink, tkr_holdings_visit *visit, void *arg, tkr_message *ret_message)
{
    (void)sink;
    (void)visit;
    (void)arg;
    return tkr_message_set(ret_message, "%s", keeps_nothing);
}

static int null_sources_set(tkr_sink *sink, const struct tkr_source_seen *sources, uint32_t count, tkr_message *ret_message)
{
    (void)sink;
    (void)sources;
    (void)count;
    return tkr_message_set(ret_message, "%s", keeps_nothing);
}

static int null_restore(tkr_sink *sink, const struct tkr_restore_terms *terms, const struct tkr_holdings *accounts,
                        uint32_t count, struct tkr_restored *ret_restored, tkr_message *ret_message)
{
    (void)sink;
    (void)terms;
    (void)accounts;
    (void)count;
    (void)ret_restored;
    return tkr_message_set(ret_message, "%s", keeps_nothing);
}

/* No record is ever missing here. */
static int null_repair(tkr_sink *sink, const char *source, const struct tkr_repair_terms *terms, struct tkr_repair *repairs,
                       uint32_t count, tkr_message *ret_message)
{
    (void)sink;
    (void)source;
    (void)terms;
    (void)ret_message;
    for (uint32_t i = 0; i < count; i++)
        repairs[i] = (struct tkr_repair){.item = repairs[i].item, .verdict = TKR_REPAIR_NEEDLESS};
    return 0;
}

static void null_close(tkr_sink *sink)
{
    free(sink);
}

static const struct tkr_sink_ops null_ops = {
    .name = "null",
    .connect = null_connect,
    .submit = null_submit,
    .collect = null_collect,
    .advise = null_advise,
    .disconnect = null_disconnect,
    .read = null_read,
    .sources = null_sources,
    .records = null_records,
    .reset = null_reset,
    .lookup = null_lookup,
    .limit_set = null_limit_set,
    .limits = null_limits,
    .claim = null_claim,
    .forget = null_forget,
    .dataset = null_dataset,
    .dataset_set = null_dataset_set,
    .holdings = null_holdings,
    .sources_set = null_sources_set,
    .restore = null_restore,
    .repair = null_repair,
    .close = null_close,
};

int tkr_sink_null_open(const struct tkr_sink_config *config, tkr_sink **ret_sink, tkr_message *ret_message)
{
    struct null_sink *sink = calloc(1, sizeof(*sink));

    (void)config;
    if (sink == NULL)
        return tkr_message_set(ret_message, "out of memory");
    sink->base = (tkr_sink){.ops = &null_ops, .chunk_items_max = CHUNK_ITEMS_MAX, .window = WINDOW};
    *ret_sink = &sink->base;
    return 0;
}
