/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/folder.h"
#include "sink/contribution.h"
#include "table/reader.h"
#include "tokenring/tokenring.h"

#define REPAIRS_MAX 8 /* tries to get ahead of a collector that flushes the same account */

/* A verification under way: a chunk of copies and what is asked about them. */
struct verification {
    tkr_sink *sink;
    bool repair;
    struct tkr_chunk chunk;
    uint64_t acknowledged; /* the shard's last chunk that was: below it, the sink has gone back */
    struct tkr_entry_copy *copy;
    struct tkr_chunk mending; /* of the one contribution `mend` */
    struct tkr_contribution mend;
    struct tkr_verify_report *report;
};

static void ask(struct tkr_contribution *item, const struct tkr_entry_copy *copy, const struct tkr_record *known)
{
    memset(item, 0, sizeof(*item));
    item->kind = copy->kind;
    item->id = copy->id;
    item->id_len = copy->id_len;
    item->cycle = copy->cycle;
    item->model = copy->model;
    item->model_len = copy->model_len;
    item->now.life = copy->life;
    item->now.counts = copy->counts;
    item->known = *known;
}

/* Sends the contribution of item until the sink has it; the chunk then holds nothing else. */
static int repair(struct verification *v, const struct tkr_entry_copy *copy, struct tkr_record known, tkr_message *ret_message)
{
    struct tkr_contribution *item = &v->mend;
    enum tkr_decision decision = TKR_DECIDE_RESEND;
    struct tkr_chunk *chunk;

    v->mending.item = item;
    v->mending.count = v->mending.count_max = 1;
    memcpy(v->mending.source, v->chunk.source, sizeof(v->mending.source));
    for (int tries = 0; tries < REPAIRS_MAX && decision == TKR_DECIDE_RESEND; tries++) {
        ask(item, copy, &known);
        if (v->sink->ops->submit(v->sink, &v->mending, ret_message) != 0 ||
            v->sink->ops->collect(v->sink, &chunk, ret_message) != 0)
            return -1;
        decision = tkr_contribution_decide(item, false); /* somebody has decided that the record is lost */
        known = item->known;
    }
    v->report->repaired += decision == TKR_DECIDE_ACKNOWLEDGED;
    return 0;
}

/* Sorts one answer into the report. Returns whether it is one to repair. */
static bool sort(const struct tkr_contribution *item, const struct tkr_entry_copy *copy, bool in_order,
                 struct tkr_verify_report *report)
{
    bool same_life = item->found.life == copy->life;
    bool known_lost =
        copy->known_life == copy->life && (!same_life || !tkr_counts_nowhere_above(&copy->known, &item->found.counts));

    report->accounts++;
    if (item->outcome == TKR_OUTCOME_POISON) {
        report->poison++;
        return false;
    }
    if (item->outcome == TKR_OUTCOME_APPLIED) {
        report->agree++;
        return false;
    }
    if (item->found.life > copy->life || (same_life && !tkr_counts_nowhere_above(&item->found.counts, &copy->counts))) {
        report->ahead++;
        return false;
    }
    if (known_lost && item->erased && in_order) {
        report->forgotten++;
        return false;
    }
    if (known_lost)
        report->missing++;
    else
        report->unflushed++;
    return true;
}

/* Asks about the copies collected, sorts the answers, and repairs. */
static int verify_chunk(struct verification *v, tkr_message *ret_message)
{
    struct tkr_chunk *chunk;
    bool in_order;

    if (v->chunk.count == 0)
        return 0;
    if (v->sink->ops->submit(v->sink, &v->chunk, ret_message) != 0 || v->sink->ops->collect(v->sink, &chunk, ret_message) != 0)
        return -1;
    in_order = v->chunk.seen_found >= v->acknowledged;
    for (uint32_t i = 0; i < v->chunk.count; i++) {
        if (sort(&v->chunk.item[i], &v->copy[i], in_order, v->report) && v->repair &&
            repair(v, &v->copy[i], v->chunk.item[i].found, ret_message) != 0)
            return -1;
    }
    v->chunk.count = 0;
    return 0;
}

static int verify_shard(struct verification *v, struct tkr_reader *reader, tkr_message *ret_message)
{
    const struct tkr_shard_header *header = tkr_reader_header(reader);
    struct tkr_entry_copy copy;

    (void)snprintf(v->chunk.source, sizeof(v->chunk.source), "%016" PRIx64 ".%u", header->name, header->number);
    v->acknowledged = atomic_load_explicit(&header->seen, memory_order_relaxed); /* a hint, as everywhere */
    while (tkr_reader_next(reader, &copy)) {
        struct tkr_record counted = {copy.life, copy.counts};
        v->copy[v->chunk.count] = copy;
        ask(&v->chunk.item[v->chunk.count], &v->copy[v->chunk.count], &counted);
        if (++v->chunk.count == v->chunk.count_max && verify_chunk(v, ret_message) != 0)
            return -1;
    }
    return verify_chunk(v, ret_message);
}

static int verify_shards(struct verification *v, int folder, tkr_message *ret_message)
{
    struct tkr_reader *reader;
    int opened;

    while ((opened = tkr_reader_open(folder, v->report->shards, &reader, ret_message)) == 1) {
        int result = verify_shard(v, reader, ret_message);
        tkr_reader_close(reader);
        if (result != 0)
            return -1;
        v->report->shards++;
    }
    if (opened == 0 && v->report->shards == 0)
        return tkr_message_set(ret_message, "no collector has ever worked here: there is nothing to verify");
    return opened;
}

static int open_verification(struct verification *v, const struct tkr_sink_config *config, tkr_message *ret_message)
{
    if (tkr_sink_open(config, &v->sink, ret_message) != 0)
        return -1;
    v->chunk.count_max = v->sink->chunk_items_max;
    v->chunk.item = calloc(v->chunk.count_max, sizeof(*v->chunk.item));
    v->copy = calloc(v->chunk.count_max, sizeof(*v->copy));
    if (v->chunk.item == NULL || v->copy == NULL)
        return tkr_message_set(ret_message, "no memory to verify");
    return v->sink->ops->connect(v->sink, ret_message);
}

int tkr_verify(const char *runtime_dir, const struct tkr_sink_config *config, bool repair_too,
               struct tkr_verify_report *ret_report, tkr_message *ret_message)
{
    struct verification v = {.repair = repair_too, .report = ret_report};
    struct tkr_folder at;
    int result = tkr_folder_open(runtime_dir, &at, ret_message) == 1 ? open_verification(&v, config, ret_message) : -1;

    memset(ret_report, 0, sizeof(*ret_report));
    if (result == 0)
        result = verify_shards(&v, at.folder, ret_message);
    if (v.sink != NULL)
        v.sink->ops->close(v.sink);
    free(v.chunk.item);
    free(v.copy);
    tkr_folder_close(&at);
    return result;
}
