/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/verify.h"

#include <stdlib.h>
#include <string.h>

#include "base/crash.h"
#include "collector/folder.h"
#include "collector/home.h"
#include "collector/siblings.h"
#include "sink/contribution.h"
#include "sink/holdings.h"
#include "table/reader.h"
#include "tokenring/tokenring.h"

#define REPAIRS_MAX 8 /* tries to get ahead of a collector that flushes the same account */

struct origin {
    const struct tkr_entry *entry;
};

/* A verification under way: a chunk of copies and what is asked about them. */
struct verification {
    const struct tkr_verify_options *options;
    tkr_sink *sink;
    bool alone;  /* no collector runs here */
    bool repair; /* this chunk: see may_repair */
    struct tkr_reader *reader[TKR_SHARDS_MAX];
    uint32_t number; /* of the shard that is verified */
    struct tkr_chunk chunk;
    uint64_t acknowledged; /* the shard's last chunk that was: below it, the sink has gone back */
    struct tkr_entry_copy *copy;
    struct origin *origin;      /* of each */
    struct tkr_repair *missing; /* records of which it is to be asked what the total has */
    uint32_t *missing_copy;     /* whose */
    uint32_t missing_count;
    struct tkr_chunk sending; /* of the one contribution `sent` */
    struct tkr_contribution sent;
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

/*
 * Sends a contribution, of which the sink is believed to have `known`, until it has all of it. *ret_sent: it has. No record of a
 * life that was acknowledged is ever expected to be none here, but where that is known.
 */
static int send(struct verification *v, const struct tkr_entry_copy *copy, struct tkr_record known, bool *ret_sent,
                tkr_message *ret_message)
{
    struct tkr_contribution *item = &v->sent;
    enum tkr_decision decision = TKR_DECIDE_RESEND;
    const bool none = known.life == 0;
    struct tkr_chunk *chunk;

    v->sending.item = item;
    v->sending.count = v->sending.count_max = 1;
    memcpy(v->sending.source, v->chunk.source, sizeof(v->sending.source));
    for (int tries = 0; tries < REPAIRS_MAX && decision == TKR_DECIDE_RESEND; tries++) {
        ask(item, copy, &known);
        if (v->sink->ops->submit(v->sink, &v->sending, ret_message) != 0 ||
            v->sink->ops->collect(v->sink, &chunk, ret_message) != 0)
            return -1;
        if (item->outcome == TKR_OUTCOME_FOUND && item->found.life == 0 && !none)
            break; /* deleted again just now */
        decision = tkr_contribution_decide(item, false);
        known = item->known;
    }
    *ret_sent = decision == TKR_DECIDE_ACKNOWLEDGED;
    v->report->repaired += *ret_sent;
    return 0;
}

/* Has the sink more than was counted when the copy was made? */
static bool is_ahead(const struct tkr_contribution *item, const struct tkr_entry_copy *copy)
{
    return item->found.life > copy->life ||
           (item->found.life == copy->life && !tkr_counts_nowhere_above(&item->found.counts, &copy->counts));
}

/* What was counted and flushed since the copy was made is in it, too: the collector counts before it flushes. What it knew of the
 * sink stays what it was: no later than the answer. */
static void catch_up(const struct verification *v, uint32_t i)
{
    struct tkr_entry_copy *copy = &v->copy[i];
    struct tkr_entry_copy now;

    if (!tkr_entry_copy_read(tkr_reader_header(v->reader[v->number]), v->origin[i].entry, &now) || now.life < copy->life ||
        now.kind != copy->kind || now.cycle != copy->cycle || now.id_len != copy->id_len || now.model_len != copy->model_len ||
        memcmp(now.id, copy->id, now.id_len) != 0 || memcmp(now.model, copy->model, now.model_len) != 0)
        return; /* forgotten meanwhile, and perhaps another's by now */
    copy->life = now.life;
    copy->counts = now.counts;
}

enum finding { FINE, UNFLUSHED, MISSING };

/* Sorts one answer into the report. */
static enum finding sort(const struct tkr_contribution *item, const struct tkr_entry_copy *copy, bool in_order,
                         struct tkr_verify_report *report)
{
    bool same_life = item->found.life == copy->life;
    bool known_lost =
        copy->known_life == copy->life && (!same_life || !tkr_counts_nowhere_above(&copy->known, &item->found.counts));

    report->accounts++;
    if (item->outcome == TKR_OUTCOME_POISON) {
        report->poison++;
        return FINE;
    }
    if (item->outcome == TKR_OUTCOME_APPLIED ||
        (same_life && memcmp(&item->found.counts, &copy->counts, sizeof(copy->counts)) == 0)) {
        report->agree++;
        return FINE;
    }
    if (is_ahead(item, copy)) {
        report->ahead++;
        return FINE;
    }
    if (known_lost && item->erased && in_order) {
        report->forgotten++;
        return FINE;
    }
    if (!known_lost) {
        report->unflushed++;
        return UNFLUSHED;
    }
    report->missing++;
    return MISSING;
}

/*
 * While the sink is found to have gone back, a collector that runs compares all with it, and repairs in the same way. It would
 * take what we add for lost, should the record of it be deleted before it looks.
 */
static bool may_repair(const struct verification *v, bool in_order)
{
    return v->options->repair && (v->alone || in_order);
}

/*
 * What the sink has, or lost for certain, is sent from there; of records that are missing it is to be asked what the totals
 * have.
 */
static int take_answer(struct verification *v, uint32_t i, bool in_order, tkr_message *ret_message)
{
    struct tkr_contribution *item = &v->chunk.item[i];
    const struct tkr_entry_copy *copy = &v->copy[i];
    enum finding finding;
    bool sent = false;

    if (item->outcome == TKR_OUTCOME_FOUND && is_ahead(item, copy))
        catch_up(v, i);
    finding = sort(item, copy, in_order, v->report);
    if (finding == FINE || (finding == UNFLUSHED && !(v->repair && v->alone)))
        return 0;
    if (finding == MISSING && item->found.life == 0 && (in_order || !tkr_seen_before(v->chunk.seen_found, copy->life))) {
        item->known = (struct tkr_record){copy->known_life, copy->known};
        v->missing_copy[v->missing_count] = i;
        v->missing[v->missing_count++].item = item;
        return 0;
    }
    if (v->repair && send(v, copy, item->found, &sent, ret_message) != 0)
        return -1;
    v->report->left += finding == MISSING && !sent;
    return 0;
}

/* Acts on what came of one that was asked about. */
static int take_repair(struct verification *v, const struct tkr_repair *missing, const struct tkr_entry_copy *copy,
                       tkr_message *ret_message)
{
    const struct tkr_record lost = {copy->known_life, copy->known};
    bool sent = false;
    int rc = 0;

    if (missing->verdict == TKR_REPAIR_FORGOTTEN) {
        v->report->missing--;
        v->report->forgotten++;
        return 0;
    }
    if (v->repair && tkr_repair_writes(missing))
        rc = send(v, copy, missing->record, &sent, ret_message);
    else if (v->repair && missing->verdict == TKR_REPAIR_NEEDLESS)
        rc = send(v, copy, lost, &sent, ret_message);
    if (rc != 0)
        return -1;
    TKR_CRASH(REPAIR_ADDED);
    v->report->undecided += missing->verdict == TKR_REPAIR_UNKNOWN || missing->verdict == TKR_REPAIR_UNREADABLE;
    v->report->left += !sent;
    if (v->options->tell != NULL)
        v->options->tell(missing, sent, v->options->arg);
    return 0;
}

static int repair_missing(struct verification *v, bool in_order, tkr_message *ret_message)
{
    const struct tkr_repair_terms terms = {.choice = v->options->choice, .lost = !in_order, .dry_run = !v->repair};
    struct tkr_repair_sibling *siblings;
    int rc;

    if (v->missing_count == 0)
        return 0;
    if (tkr_siblings_find(v->reader, v->report->shards, v->number, v->missing, v->missing_count, &siblings, ret_message) != 0)
        return -1;
    rc = v->sink->ops->repair(v->sink, v->chunk.source, &terms, v->missing, v->missing_count, ret_message);
    free(siblings);
    if (rc != 0)
        return -1;
    for (uint32_t i = 0; i < v->missing_count; i++) {
        if (take_repair(v, &v->missing[i], &v->copy[v->missing_copy[i]], ret_message) != 0)
            return -1;
    }
    v->missing_count = 0;
    return 0;
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
    v->repair = may_repair(v, in_order);
    for (uint32_t i = 0; i < v->chunk.count; i++) {
        if (take_answer(v, i, in_order, ret_message) != 0)
            return -1;
    }
    v->chunk.count = 0;
    return repair_missing(v, in_order, ret_message);
}

static bool is_asked(const struct tkr_usage_query *query, const struct tkr_entry_copy *copy)
{
    return (query->any_kind || query->kind == copy->kind) && (query->cycle == 0 || query->cycle == copy->cycle) &&
           (query->id == NULL || (query->id_len == copy->id_len && memcmp(query->id, copy->id, copy->id_len) == 0));
}

static int verify_shard(struct verification *v, tkr_message *ret_message)
{
    struct tkr_reader *reader = v->reader[v->number];
    const struct tkr_shard_header *header = tkr_reader_header(reader);
    const struct tkr_entry *entry;
    struct tkr_entry_copy copy;

    tkr_source_name(header->name, header->number, v->chunk.source);
    v->acknowledged = atomic_load_explicit(&header->seen, memory_order_relaxed); /* a hint, as everywhere */
    tkr_reader_rewind(reader);
    while ((entry = tkr_reader_step(reader)) != NULL) {
        struct tkr_record counted;
        if (!tkr_entry_copy_read(header, entry, &copy) || copy.life == 0 || !is_asked(&v->options->query, &copy))
            continue;
        counted = (struct tkr_record){copy.life, copy.counts};
        v->origin[v->chunk.count].entry = entry;
        v->copy[v->chunk.count] = copy;
        ask(&v->chunk.item[v->chunk.count], &v->copy[v->chunk.count], &counted);
        if (++v->chunk.count == v->chunk.count_max && verify_chunk(v, ret_message) != 0)
            return -1;
    }
    return verify_chunk(v, ret_message);
}

static int open_shards(struct verification *v, int folder, tkr_message *ret_message)
{
    int opened = 1;

    while (v->report->shards < TKR_SHARDS_MAX &&
           (opened = tkr_reader_open(folder, v->report->shards, &v->reader[v->report->shards], ret_message)) == 1)
        v->report->shards++;
    if (opened == 0 && v->report->shards == 0)
        return tkr_message_set(ret_message, "no collector has ever worked here: there is nothing to verify");
    return opened < 0 ? -1 : 0;
}

static int verify_shards(struct verification *v, int folder, tkr_message *ret_message)
{
    int result = open_shards(v, folder, ret_message);

    for (v->number = 0; result == 0 && v->number < v->report->shards; v->number++)
        result = verify_shard(v, ret_message);
    return result;
}

static int open_verification(struct verification *v, const struct tkr_sink_config *config, tkr_message *ret_message)
{
    if (tkr_sink_open(config, &v->sink, ret_message) != 0)
        return -1;
    v->chunk.count_max = v->sink->chunk_items_max;
    v->chunk.item = calloc(v->chunk.count_max, sizeof(*v->chunk.item));
    v->copy = calloc(v->chunk.count_max, sizeof(*v->copy));
    v->origin = calloc(v->chunk.count_max, sizeof(*v->origin));
    v->missing = calloc(v->chunk.count_max, sizeof(*v->missing));
    v->missing_copy = calloc(v->chunk.count_max, sizeof(*v->missing_copy));
    if (v->chunk.item == NULL || v->copy == NULL || v->origin == NULL || v->missing == NULL || v->missing_copy == NULL)
        return tkr_message_set(ret_message, "no memory to verify");
    return v->sink->ops->connect(v->sink, ret_message);
}

int tkr_verify(const struct tkr_verify_options *options, const struct tkr_sink_config *config,
               struct tkr_verify_report *ret_report, tkr_message *ret_message)
{
    struct verification v = {.options = options, .report = ret_report};
    struct tkr_folder at;
    int result = tkr_folder_open(options->runtime_dir, &at, ret_message) == 1 ? open_verification(&v, config, ret_message) : -1;

    memset(ret_report, 0, sizeof(*ret_report));
    if (result == 0) {
        v.alone = !tkr_home_locked(at.folder);
        result = verify_shards(&v, at.folder, ret_message);
    }
    if (v.sink != NULL)
        v.sink->ops->close(v.sink);
    for (uint32_t i = 0; i < ret_report->shards; i++)
        tkr_reader_close(v.reader[i]);
    free(v.chunk.item);
    free(v.copy);
    free(v.origin);
    free(v.missing);
    free(v.missing_copy);
    tkr_folder_close(&at);
    return result;
}
