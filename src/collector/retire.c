/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/retire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "collector/folder.h"
#include "collector/home.h"
#include "sink/sink.h"
#include "table/reader.h"
#include "tokenring/tokenring.h"

#define LOOK_NS (200 * TKR_NS_PER_MS) /* between looks for a sign of life */
#define PACE 9                        /* the sink is left alone so many times as long as a chunk took */
#define STOPPED 1                     /* a visitor's answer: the reason is in message */

/* A shard of the collector, and the number that is in the sink unless it lives. */
struct source {
    char name[TKR_SOURCE_BYTES];
    uint64_t seen;
};

/* The bytes that a contribution borrows. */
struct key {
    char id[TKR_ID_BYTES_MAX];
    char model[TKR_ENTRY_LABEL_MAX];
};

struct retirement {
    const struct tkr_retire_options *options;
    struct tkr_retire_report *report;
    tkr_message *message;
    tkr_sink *sink;
    struct source source[TKR_SHARDS_MAX];
    struct tkr_chunk chunk;
    struct tkr_contribution *account; /* whose records are to go, with no more than the account in it */
    struct key *key;                  /* what they point to */
    uint32_t account_count;
};

bool tkr_collector_name_valid(const char *text)
{
    return strlen(text) == TKR_COLLECTOR_NAME_BYTES - 1 && strspn(text, "0123456789abcdef") == TKR_COLLECTOR_NAME_BYTES - 1;
}

bool tkr_retire_number(uint64_t seen)
{
    return tkr_seen_retired(seen);
}

/* --- on this host --- */

/* The name may be kept here and serve another runtime directory. */
static int look_at_state(struct retirement *r)
{
    const char *path = r->options->state_dir;

    if (path == NULL || !tkr_home_serves(path, strtoull(r->options->name, NULL, 16)))
        return 0;
    return tkr_message_set(r->message, "%s is alive: it runs under the name that is kept in %.150s", r->options->name, path);
}

/* A directory that may not be looked into may be the collector's: then nobody can say that it is dead. */
static int look_at_memory(struct retirement *r)
{
    uint64_t name = strtoull(r->options->name, NULL, 16);
    struct tkr_folder at;
    struct tkr_reader *reader;
    bool here = false;
    int opened = tkr_folder_open(r->options->runtime_dir, &at, r->message);

    for (uint32_t number = 0; !here && opened == 1; number++) {
        opened = tkr_reader_open(at.folder, number, &reader, r->message);
        if (opened == 1) {
            here = tkr_reader_header(reader)->name == name;
            tkr_reader_close(reader);
        }
    }
    if (here && tkr_home_locked(at.folder))
        (void)tkr_message_set(r->message, "%s is alive: it runs on this host", r->options->name);
    else if (here)
        (void)tkr_message_set(r->message,
                              "%s is not dead: what it counted is in " TKR_COLLECTOR_FOLDER
                              "/ of the runtime directory; start tokenringd to flush it, or remove that folder, and with it what "
                              "was not flushed",
                              r->options->name);
    tkr_folder_close(&at);
    return here || opened < 0 ? -1 : 0;
}

/* --- in the sink --- */

static int send(struct retirement *r, const struct source *source, uint64_t seen_next, uint32_t count)
{
    struct tkr_chunk *chunk = &r->chunk;
    int64_t begun_ns = tkr_clock_monotonic_ns();

    memcpy(chunk->source, source->name, sizeof(chunk->source));
    chunk->seen_expected = source->seen;
    chunk->seen_next = seen_next;
    chunk->count = count;
    if (r->sink->ops->connect(r->sink, r->message) != 0 || r->sink->ops->submit(r->sink, chunk, r->message) != 0 ||
        r->sink->ops->collect(r->sink, &chunk, r->message) != 0)
        return -1;
    tkr_clock_sleep_ns(PACE * (tkr_clock_monotonic_ns() - begun_ns));
    return 0;
}

/* The number that we know, or that the collector is alive. */
static int check_number(struct retirement *r, const struct source *source)
{
    if (r->options->dry_run || r->chunk.seen_found == source->seen)
        return 0;
    if (r->report->records > 0)
        return tkr_message_set(r->message, "%s came back while its records were removed; %" PRIu64 " are gone, the rest stays",
                               r->options->name, r->report->records);
    return tkr_message_set(r->message, "%s is alive: it wrote to the sink just now", r->options->name);
}

static int take_source(const char *name, uint64_t seen, void *arg)
{
    struct retirement *r = arg;
    size_t len = sizeof(r->options->name) - 1;

    if (strncmp(name, r->options->name, len) != 0 || name[len] != '.')
        return 0;
    if (r->report->sources == TKR_SHARDS_MAX) {
        (void)tkr_message_set(r->message, "the sink has more shards of %s than a collector can have", r->options->name);
        return STOPPED;
    }
    (void)snprintf(r->source[r->report->sources].name, TKR_SOURCE_BYTES, "%s", name);
    r->source[r->report->sources++].seen = seen;
    return 0;
}

static int find_sources(struct retirement *r)
{
    if (r->sink->ops->sources(r->sink, take_source, r, r->message) != 0)
        return -1;
    if (r->report->sources == 0)
        return tkr_message_set(r->message, "the sink knows no collector %s; 'tokenring gc' lists those that it knows",
                               r->options->name);
    return 0;
}

/* Puts our number in the place of the one that is there. */
static int challenge(struct retirement *r, struct source *source)
{
    uint64_t now = (uint64_t)tkr_clock_unix_ns();
    uint64_t above = now > source->seen ? now : source->seen;
    uint64_t number = (above / TKR_NS_PER_S + 1) * TKR_NS_PER_S;

    if (send(r, source, number, 0) != 0 || check_number(r, source) != 0)
        return -1;
    source->seen = number;
    return 0;
}

static int check_numbers(struct retirement *r)
{
    for (uint32_t i = 0; i < r->report->sources; i++) {
        if (send(r, &r->source[i], r->source[i].seen, 0) != 0 || check_number(r, &r->source[i]) != 0)
            return -1;
    }
    return 0;
}

static int wait_for_life(struct retirement *r)
{
    int64_t end_ns = tkr_clock_monotonic_ns() + (int64_t)r->options->wait_s * TKR_NS_PER_S;

    for (uint32_t i = 0; i < r->report->sources; i++) {
        if (challenge(r, &r->source[i]) != 0)
            return -1;
    }
    TKR_CRASH(RETIRE_MARKED);
    do {
        tkr_clock_sleep_ns(LOOK_NS);
        if (check_numbers(r) != 0)
            return -1;
    } while (tkr_clock_monotonic_ns() < end_ns);
    return 0;
}

/* Asks what the records of the accounts are: no record is of life 1 and nothing counted, so none is that. */
static int look(struct retirement *r, const struct source *source)
{
    for (uint32_t i = 0; i < r->account_count; i++) {
        r->chunk.item[i] = r->account[i];
        r->chunk.item[i].now.life = r->chunk.item[i].known.life = 1;
    }
    return send(r, source, source->seen, r->account_count) == 0 ? check_number(r, source) : -1;
}

/* Keeps in the chunk what is to be removed. Returns how many. */
static uint32_t keep_found(struct retirement *r)
{
    struct tkr_contribution *item = r->chunk.item;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < r->account_count; i++) {
        if (item[i].outcome == TKR_OUTCOME_POISON)
            r->report->left++;
        if (item[i].outcome == TKR_OUTCOME_POISON || (item[i].outcome == TKR_OUTCOME_FOUND && item[i].found.life == 0))
            continue;
        struct tkr_record known = item[i].outcome == TKR_OUTCOME_FOUND ? item[i].found : item[i].now;
        item[kept] = r->account[i];
        item[kept++].known = known;
    }
    return kept;
}

static int remove_found(struct retirement *r, const struct source *source, uint32_t count)
{
    if (count > 0 && send(r, source, source->seen, count) != 0)
        return -1;
    TKR_CRASH(RETIRE_REMOVED);
    for (uint32_t i = 0; i < count; i++) {
        bool removed = r->chunk.item[i].outcome == TKR_OUTCOME_APPLIED;
        r->report->records += removed;
        r->report->left += !removed;
    }
    return count > 0 ? check_number(r, source) : 0;
}

/* Removes what each source has of the accounts that were collected. */
static int remove_accounts(struct retirement *r)
{
    for (uint32_t i = 0; i < r->report->sources && r->account_count > 0; i++) {
        uint32_t found;

        if (look(r, &r->source[i]) != 0)
            return -1;
        found = keep_found(r);
        if (r->options->dry_run)
            r->report->records += found;
        else if (remove_found(r, &r->source[i], found) != 0)
            return -1;
    }
    r->account_count = 0;
    return 0;
}

static int take_account(const struct tkr_usage_row *row, void *arg)
{
    struct retirement *r = arg;
    uint32_t i = r->account_count++;
    struct key *key = &r->key[i];

    memcpy(key->id, row->id, row->id_len);
    if (row->model_len > 0)
        memcpy(key->model, row->model, row->model_len);
    r->account[i] = (struct tkr_contribution){.kind = row->kind,
                                              .id = key->id,
                                              .id_len = row->id_len,
                                              .cycle = row->cycle,
                                              .model = key->model,
                                              .model_len = row->model_len};
    if (r->account_count < r->chunk.count_max)
        return 0;
    return remove_accounts(r) == 0 ? 0 : STOPPED;
}

static int retire(struct retirement *r)
{
    if (look_at_state(r) != 0 || look_at_memory(r) != 0 || find_sources(r) != 0 ||
        (!r->options->dry_run && wait_for_life(r) != 0))
        return -1;
    if (r->sink->ops->records(r->sink, r->options->name, take_account, r, r->message) != 0)
        return -1;
    return remove_accounts(r);
}

static int allocate(struct retirement *r)
{
    uint32_t count = r->sink->chunk_items_max;

    r->chunk.count_max = count;
    r->chunk.item = calloc(count, sizeof(*r->chunk.item));
    r->account = calloc(count, sizeof(*r->account));
    r->key = calloc(count, sizeof(*r->key));
    if (r->chunk.item == NULL || r->account == NULL || r->key == NULL)
        return tkr_message_set(r->message, "no memory to remove records");
    return 0;
}

int tkr_retire(const struct tkr_retire_options *options, const struct tkr_sink_config *config,
               struct tkr_retire_report *ret_report, tkr_message *ret_message)
{
    struct retirement r = {.options = options, .report = ret_report, .message = ret_message};
    int result;

    ret_message->text[0] = '\0';
    memset(ret_report, 0, sizeof(*ret_report));
    if (tkr_sink_open(config, &r.sink, ret_message) != 0)
        return -1;
    result = allocate(&r) == 0 ? retire(&r) : -1;
    r.sink->ops->close(r.sink);
    free(r.chunk.item);
    free(r.account);
    free(r.key);
    return result;
}
