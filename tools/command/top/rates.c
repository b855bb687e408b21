/* SPDX-License-Identifier: Apache-2.0 */
#include "command/top/rates.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tokenring/tokenring.h"

#define ROOM_FIRST 256
#define KEY_HEAD_BYTES (1 + sizeof(uint64_t)) /* model or not, kind */

struct tkr_top_entry {
    uint64_t stamp;
    uint64_t life; /* 0: forgotten, or not read yet */
    struct tkr_top_figures figures;
    uint32_t usage; /* number of its account or model */
};

/* --- figures: what a damaged file says may not fit, and then wraps --- */

static int64_t sum(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static void add(struct tkr_top_figures *to, const struct tkr_top_figures *more)
{
    to->tokens = sum(to->tokens, more->tokens);
    to->calls = sum(to->calls, more->calls);
    to->errors = sum(to->errors, more->errors);
    to->cost_nano_usd = sum(to->cost_nano_usd, more->cost_nano_usd);
    to->duration_ms = sum(to->duration_ms, more->duration_ms);
}

static struct tkr_top_figures negative(const struct tkr_top_figures *of)
{
    return (struct tkr_top_figures){.tokens = (int64_t) - (uint64_t)of->tokens,
                                    .calls = (int64_t) - (uint64_t)of->calls,
                                    .errors = (int64_t) - (uint64_t)of->errors,
                                    .cost_nano_usd = (int64_t) - (uint64_t)of->cost_nano_usd,
                                    .duration_ms = (int64_t) - (uint64_t)of->duration_ms};
}

static struct tkr_top_figures figures_of(const tkr_counts *counts)
{
    return (struct tkr_top_figures){.tokens = counts->value[TKR_COUNTER_TOTAL],
                                    .calls = counts->value[TKR_COUNTER_CALLS],
                                    .errors = counts->value[TKR_COUNTER_ERRORS],
                                    .cost_nano_usd = counts->value[TKR_COUNTER_COST],
                                    .duration_ms = counts->value[TKR_COUNTER_DURATION]};
}

/* --- accounts and models --- */

/* An array that doubles, with room for one more. NULL: no memory, and it stays as it was. */
static void *make_room(void *array, size_t count, size_t *room, size_t bytes)
{
    size_t wanted = *room == 0 ? ROOM_FIRST : 2 * *room;
    void *more;

    if (count < *room)
        return array;
    more = reallocarray(array, wanted, bytes);
    if (more != NULL)
        *room = wanted;
    return more;
}

/* The number of the account or model that an entry is of. false: no memory. */
static bool find_usage(struct tkr_top_rates *rates, const struct tkr_entry_copy *copy, uint32_t *ret_number)
{
    char key[KEY_HEAD_BYTES + TKR_ENTRY_ID_MAX];
    bool model = copy->model_len > 0;
    uint32_t name_len = model ? copy->model_len : copy->id_len;
    struct tkr_top_usage *usage = make_room(rates->usage, rates->count, &rates->room, sizeof(*usage));

    if (usage == NULL)
        return false;
    rates->usage = usage;
    key[0] = (char)model;
    memcpy(key + 1, &copy->kind, sizeof(copy->kind));
    memcpy(key + KEY_HEAD_BYTES, model ? copy->model : copy->id, name_len);
    if (tkr_traffic_names_add(&rates->keys, key, KEY_HEAD_BYTES + name_len, ret_number) != 0)
        return false;
    if (*ret_number < rates->count)
        return true;
    rates->usage[rates->count++] = (struct tkr_top_usage){
        .model = model, .kind = copy->kind, .name = rates->keys.name[*ret_number].text + KEY_HEAD_BYTES, .name_len = name_len};
    rates->accounts += !model;
    return true;
}

static void add_since(struct tkr_top_rates *rates, struct tkr_top_usage *usage, const struct tkr_top_figures *more)
{
    if (usage->look != rates->look)
        usage->since = (struct tkr_top_figures){0};
    usage->look = rates->look;
    add(&usage->since, more);
    if (!usage->model && usage->kind == TKR_KIND_USER)
        add(&rates->users_since, more);
}

/* --- entries --- */

/* Its account is rid of what the entry held, which left memory. */
static void leave(struct tkr_top_rates *rates, struct tkr_top_entry *entry)
{
    struct tkr_top_figures less = negative(&entry->figures);

    if (entry->life != 0)
        add(&rates->usage[entry->usage].total, &less);
    entry->life = 0;
    entry->figures = (struct tkr_top_figures){0};
}

/* Takes over what an entry holds now. false: no memory. */
static bool take(struct tkr_top_rates *rates, const struct tkr_top_shard *shard, struct tkr_top_entry *entry,
                 const struct tkr_entry_copy *copy)
{
    struct tkr_top_figures now = figures_of(&copy->counts);
    struct tkr_top_figures more;

    if (entry->life != copy->life)
        leave(rates, entry);
    entry->stamp = copy->stamp;
    if (copy->life == 0)
        return true;
    if (entry->life == 0 && !find_usage(rates, copy, &entry->usage))
        return false;
    more = negative(&entry->figures);
    add(&more, &now);
    add(&rates->usage[entry->usage].total, &more);
    if (!shard->fresh)
        add_since(rates, &rates->usage[entry->usage], &more);
    entry->life = copy->life;
    entry->figures = now;
    return true;
}

static bool look_at_entries(struct tkr_top_rates *rates, struct tkr_top_shard *shard)
{
    const struct tkr_shard_header *header = tkr_reader_header(shard->reader);
    const struct tkr_entry *entry;
    struct tkr_entry_copy copy;

    tkr_reader_rewind(shard->reader);
    for (size_t i = 0; (entry = tkr_reader_step(shard->reader)) != NULL; i++) {
        struct tkr_top_entry *entries = make_room(shard->entry, i, &shard->room, sizeof(*entries));
        if (entries == NULL)
            return false;
        shard->entry = entries;
        if (i == shard->count)
            shard->entry[shard->count++] = (struct tkr_top_entry){.stamp = 0};
        /* Relaxed: a stamp that we know is of the state that we have; else the copy looks again, in its own order. */
        if (atomic_load_explicit(&entry->stamp, memory_order_relaxed) != shard->entry[i].stamp &&
            tkr_entry_copy_read(header, entry, &copy) && !take(rates, shard, &shard->entry[i], &copy))
            return false;
    }
    return true;
}

/* --- shards --- */

/* What it held has left memory, or is in another file by now. */
static void forget_shard(struct tkr_top_rates *rates, struct tkr_top_shard *shard)
{
    for (size_t i = 0; i < shard->count; i++)
        leave(rates, &shard->entry[i]);
    tkr_reader_close(shard->reader);
    free(shard->entry);
    *shard = (struct tkr_top_shard){.reader = NULL};
}

/* Opens a shard, unless the file that is open is still the one. 1; 0: there is none; -1 with the reason. */
static int open_shard(struct tkr_top_rates *rates, struct tkr_top_shard *shard, int folder, uint32_t number,
                      tkr_message *ret_message)
{
    struct stat status;
    char name[32];
    bool there;
    bool same;
    int opened;

    (void)snprintf(name, sizeof(name), "shard-%u", number);
    there = folder >= 0 && fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
    same = there && shard->reader != NULL && status.st_ino == shard->inode;
    shard->fresh = false;
    if (same && (uint64_t)status.st_size == shard->bytes)
        return 1;
    if (!same)
        forget_shard(rates, shard);
    if (!there)
        return 0;
    tkr_reader_close(shard->reader); /* the same file, made larger */
    shard->reader = NULL;
    opened = tkr_reader_open(folder, number, &shard->reader, ret_message);
    shard->inode = status.st_ino;
    shard->bytes = (uint64_t)status.st_size;
    shard->fresh = !same;
    return opened;
}

int tkr_top_rates_look(struct tkr_top_rates *rates, int folder, tkr_message *ret_message)
{
    rates->look++;
    rates->users_since = (struct tkr_top_figures){0};
    for (uint32_t number = 0; number < TKR_SHARDS_MAX; number++) {
        struct tkr_top_shard *shard = &rates->shard[number];
        int opened = open_shard(rates, shard, folder, number, ret_message);

        if (opened < 0)
            return -1;
        if (opened == 1 && !look_at_entries(rates, shard))
            return tkr_message_set(ret_message, "there is no memory for so many accounts");
    }
    return 0;
}

void tkr_top_rates_free(struct tkr_top_rates *rates)
{
    for (uint32_t i = 0; i < TKR_SHARDS_MAX; i++) {
        tkr_reader_close(rates->shard[i].reader);
        free(rates->shard[i].entry);
    }
    free(rates->usage);
    tkr_traffic_names_free(&rates->keys);
    *rates = (struct tkr_top_rates){.usage = NULL};
}
