/* SPDX-License-Identifier: Apache-2.0 */
/* A shard in a directory of its own, and short ways to charge it and to look at it. */
#ifndef TESTS_UNIT_TABLE_FIXTURE_H
#define TESTS_UNIT_TABLE_FIXTURE_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/tempdir.h"
#include "support/test.h"
#include "table/shard.h"
#include "tokenring/tokenring.h"

#define CYCLE UINT32_C(20261101)

struct table {
    char dir[TEMPDIR_BYTES];
    int directory;
    struct tkr_shard_options options;
    struct tkr_shard *shard;
};

static inline void table_open(struct table *table)
{
    tkr_message message = {""};

    if (tkr_shard_open(table->directory, &table->options, &table->shard, &message) != 0)
        fail_msg("%s", message.text);
}

static inline void table_make(struct table *table, uint32_t accounts_max)
{
    assert_int_equal(tempdir_make(table->dir), 0);
    table->directory = open(table->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(table->directory >= 0);
    table->options = (struct tkr_shard_options){.name = 0xabcdef, .number = 0, .accounts_max = accounts_max};
    table_open(table);
}

static inline void table_close(struct table *table)
{
    tkr_shard_close(table->shard);
    table->shard = NULL;
}

static inline void table_reopen(struct table *table)
{
    table_close(table);
    table_open(table);
}

/* Writes into the file of a closed shard. */
static inline void table_patch(const struct table *table, size_t offset, const void *bytes, size_t count)
{
    int fd = openat(table->directory, "shard-0", O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, count, (off_t)offset), (ssize_t)count);
    (void)close(fd);
}

/* How many files of its directory begin so. */
static inline int table_files(const struct table *table, const char *prefix)
{
    DIR *directory = opendir(table->dir);
    const struct dirent *item;
    int count = 0;

    assert_non_null(directory);
    while ((item = readdir(directory)) != NULL)
        count += strncmp(item->d_name, prefix, strlen(prefix)) == 0;
    (void)closedir(directory);
    return count;
}

static inline void table_remove(struct table *table)
{
    tkr_shard_close(table->shard);
    (void)close(table->directory);
    tempdir_remove(table->dir);
}

/* Figures of which every word tells of the same number n. */
static inline tkr_counts counts_of(int64_t n)
{
    tkr_counts counts;

    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        counts.value[i] = n;
    return counts;
}

static inline struct tkr_charge charge_of(const char *id, const tkr_counts *counts, uint32_t event)
{
    return (struct tkr_charge){
        .kind = TKR_KIND_USER, .id = id, .id_len = (uint32_t)strlen(id), .cycle = CYCLE, .counts = counts, .event = event};
}

/* One event of one user, within a batch. true: counted. */
static inline bool table_add(struct table *table, const char *id, int64_t n)
{
    tkr_counts counts = counts_of(n);
    struct tkr_charge charge = charge_of(id, &counts, 0);

    tkr_batch_apply(table->shard, &charge, 1);
    return !charge.refused && !charge.waits;
}

/* The same in a batch of its own. */
static inline bool table_charge(struct table *table, const char *id, int64_t n)
{
    bool counted;

    assert_true(tkr_batch_begin(table->shard));
    counted = table_add(table, id, n);
    tkr_batch_commit(table->shard);
    return counted;
}

/* Looks through the arena, whatever the index says. NULL: none. */
static inline struct tkr_entry *table_find_key(const struct table *table, uint64_t kind, const char *id, uint32_t id_len,
                                               uint32_t cycle)
{
    const struct tkr_shard *shard = table->shard;
    uint64_t used = atomic_load(&shard->header->law.arena_used);
    struct tkr_entry *found = NULL;

    for (uint64_t at = 0; at < used;) {
        struct tkr_entry *entry = (struct tkr_entry *)(shard->arena + at);
        if (entry->kind == kind && entry->cycle == cycle && entry->id_len == id_len && memcmp(entry->id, id, id_len) == 0) {
            assert_null(found); /* never twice */
            found = entry;
        }
        at += tkr_entry_size(entry);
    }
    return found;
}

static inline struct tkr_entry *table_find(const struct table *table, const char *id)
{
    return table_find_key(table, TKR_KIND_USER, id, (uint32_t)strlen(id), CYCLE);
}

/* The entry of a model of a user, found likewise. NULL: none that lives. */
static inline struct tkr_entry *table_find_model(const struct table *table, const char *id, const char *model)
{
    char text[TKR_ENTRY_ID_MAX + TKR_ENTRY_LABEL_MAX + 1];
    uint32_t word = tkr_entry_cycle_word(CYCLE, (uint32_t)strlen(model));
    const struct tkr_shard *shard = table->shard;
    struct tkr_entry *found = NULL;

    (void)snprintf(text, sizeof(text), "%s%s", id, model);
    for (uint64_t at = 0; at < atomic_load(&shard->header->law.arena_used);) {
        struct tkr_entry *entry = (struct tkr_entry *)(shard->arena + at);
        if (entry->life != 0 && entry->kind == TKR_KIND_USER && entry->cycle == word && entry->id_len == strlen(id) &&
            memcmp(entry->id, text, strlen(text)) == 0) {
            assert_null(found); /* never twice */
            found = entry;
        }
        at += tkr_entry_size(entry);
    }
    return found;
}

/* The entry of a user that must be there. */
static inline const struct tkr_entry *table_entry(const struct table *table, const char *id)
{
    const struct tkr_entry *entry = table_find(table, id);

    if (entry == NULL) {
        fail_msg("no entry of %s", id);
        abort(); /* for compilers that do not know that the test ends above */
    }
    return entry;
}

/* The figure of a user whose counters are all alike; -1: no entry. */
static inline int64_t table_value(const struct table *table, const char *id)
{
    const struct tkr_entry *entry = table_find(table, id);

    if (entry == NULL)
        return -1;
    for (int i = 1; i < TKR_COUNTER_COUNT; i++)
        assert_int_equal(atomic_load(&entry->counts[i]), atomic_load(&entry->counts[0]));
    return atomic_load(&entry->counts[0]);
}

static inline uint64_t table_accounts(const struct table *table)
{
    return atomic_load(&table->shard->header->law.accounts);
}

/* Hands the changed entries over, as worker and flusher would. NULL: none. */
static inline struct tkr_changed *table_handover(struct table *table)
{
    tkr_shard_changed_ask(table->shard);
    tkr_shard_changed_answer(table->shard);
    assert_true(tkr_shard_changed_answered(table->shard));
    return tkr_shard_changed_take(table->shard);
}

/* A table of 1,000 accounts for each test. */
static inline int table_set_up(void **state)
{
    struct table *table = calloc(1, sizeof(*table));

    if (table == NULL)
        return -1;
    table_make(table, 1000);
    *state = table;
    return 0;
}

static inline int table_tear_down(void **state)
{
    table_remove(*state);
    free(*state);
    return 0;
}

#endif
