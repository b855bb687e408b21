/* SPDX-License-Identifier: Apache-2.0 */
/* Backups in memory, for tests of sinks: what is visited goes through the lines of a backup's file. */
#ifndef TESTS_UNIT_SINK_COPIES_H
#define TESTS_UNIT_SINK_COPIES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backup/parse.h"
#include "backup/print.h"
#include "support/sink.h"
#include "support/test.h"

#define MARK "backup.0123456789abcdef"
#define COPIES_MAX 64

/* A backup in memory. */
struct copies {
    struct tkr_backup_line line[COPIES_MAX];
    uint32_t count;
    char refused[TKR_REASON_BYTES]; /* of the account that could not be read last */
};

static inline int keep_copy(const struct tkr_holdings *holdings, const char *why, void *arg)
{
    struct tkr_backup_counters counters = {.count = TKR_COUNTER_COUNT};
    struct copies *copies = arg;
    tkr_message message = {""};
    char *text;

    if (why != NULL) {
        (void)snprintf(copies->refused, sizeof(copies->refused), "%s", why);
        return 0;
    }
    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        counters.counter[i] = i;
    text = tkr_backup_print_account(holdings);
    assert_non_null(text);
    assert_true(copies->count < COPIES_MAX);
    if (tkr_backup_parse(text, strlen(text) - 1, &counters, &copies->line[copies->count++], &message) != 0)
        fail_msg("%s: %s", text, message.text);
    free(text);
    return 0;
}

/* All that the sink has; freed by copies_free. */
static inline struct copies *copies_make(tkr_sink *sink)
{
    struct copies *copies = calloc(1, sizeof(*copies));
    tkr_message message = {""};

    assert_non_null(copies);
    if (sink->ops->holdings(sink, keep_copy, copies, &message) != 0)
        fail_msg("%s", message.text);
    return copies;
}

static inline void copies_free(struct copies *copies)
{
    for (uint32_t i = 0; i < copies->count; i++)
        tkr_holdings_free(&copies->line[i].holdings);
    free(copies);
}

/* The account, which is there. */
static inline const struct tkr_holdings *copy_of(const struct copies *copies, const char *id)
{
    uint32_t i = 0;

    while (i < copies->count && (copies->line[i].holdings.id_len != strlen(id) ||
                                 memcmp(copies->line[i].holdings.id, id, strlen(id)) != 0 || copies->line[i].holdings.cycle == 0))
        i++;
    assert_true(i < copies->count);
    return &copies->line[i].holdings;
}

/* A source's record of it, or of a model ("" for none); of life 0 where there is none. */
static inline struct tkr_record copy_record(const struct tkr_holdings *holdings, const char *model, const char *source)
{
    const struct tkr_holding *holding = tkr_holdings_find(holdings, model, strlen(model));
    const struct tkr_record *record = holding != NULL ? tkr_holding_record(holding, source) : NULL;

    return record != NULL ? *record : (struct tkr_record){.life = 0};
}

/* Restores one account; what came of it. */
static inline struct tkr_restored restore_one(tkr_sink *sink, const struct tkr_holdings *account, bool dry_run, bool anyway)
{
    struct tkr_restore_terms terms = {.mark = MARK, .dry_run = dry_run, .anyway = anyway};
    struct tkr_restored restored;
    tkr_message message = {""};

    if (sink->ops->restore(sink, &terms, account, 1, &restored, &message) != 0)
        fail_msg("%s", message.text);
    return restored;
}

static inline void restore_all(tkr_sink *sink, const struct copies *copies, enum tkr_restore_verdict verdict)
{
    for (uint32_t i = 0; i < copies->count; i++)
        assert_int_equal(restore_one(sink, &copies->line[i].holdings, false, false).verdict, verdict);
}

/* A contribution of a source, perhaps to a model. */
static inline void contribute_as(tkr_sink *sink, const char *source, const char *id, const char *model, struct tkr_record known,
                                 struct tkr_record now)
{
    struct tkr_contribution *item;
    struct test_chunk chunk;
    tkr_message message = {""};

    test_chunk_begin(&chunk, source, 0, 0);
    item = test_chunk_add(&chunk, id, known, now);
    item->model = model;
    item->model_len = (uint32_t)strlen(model);
    assert_int_equal(test_chunk_send(sink, &chunk, &message), 0);
    assert_int_equal(item->outcome, TKR_OUTCOME_APPLIED);
}

static inline void reset_user(tkr_sink *sink, const char *id)
{
    const struct tkr_usage_row row = {.id = id, .id_len = (uint32_t)strlen(id), .cycle = SINK_TEST_CYCLE};
    tkr_message message = {""};
    tkr_counts before;

    assert_int_equal(sink->ops->reset(sink, &row, &before, &message), 0);
}

static inline int64_t prompt_of(const tkr_counts *counts)
{
    return counts->value[TKR_COUNTER_PROMPT];
}

#endif
