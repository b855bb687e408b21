/* SPDX-License-Identifier: Apache-2.0 */
#include "support/sink.h"

#include <stdio.h>
#include <string.h>

void test_chunk_begin(struct test_chunk *chunk, const char *source, uint64_t seen_expected, uint64_t seen_next)
{
    memset(chunk, 0, sizeof(*chunk));
    (void)snprintf(chunk->chunk.source, sizeof(chunk->chunk.source), "%s", source);
    chunk->chunk.seen_expected = seen_expected;
    chunk->chunk.seen_next = seen_next;
    chunk->chunk.count_max = SINK_TEST_ITEMS;
    chunk->chunk.item = chunk->item;
}

struct tkr_contribution *test_chunk_add(struct test_chunk *chunk, const char *id, struct tkr_record known, struct tkr_record now)
{
    struct tkr_contribution *item = &chunk->item[chunk->chunk.count++];

    item->id = id;
    item->id_len = (uint32_t)strlen(id);
    item->cycle = SINK_TEST_CYCLE;
    item->known = known;
    item->now = now;
    return item;
}

struct tkr_record test_record(uint64_t life, int64_t prompt, int64_t completion)
{
    struct tkr_record record = {.life = life};

    record.counts.value[TKR_COUNTER_PROMPT] = prompt;
    record.counts.value[TKR_COUNTER_COMPLETION] = completion;
    record.counts.value[TKR_COUNTER_TOTAL] = prompt + completion;
    return record;
}

struct tkr_record test_record_none(void)
{
    return (struct tkr_record){0};
}

int test_chunk_send(tkr_sink *sink, struct test_chunk *chunk, tkr_message *ret_message)
{
    struct tkr_chunk *collected = NULL;

    if (sink->ops->connect(sink, ret_message) != 0 || sink->ops->submit(sink, &chunk->chunk, ret_message) != 0 ||
        sink->ops->collect(sink, &collected, ret_message) != 0)
        return -1;
    return collected == &chunk->chunk ? 0 : tkr_message_set(ret_message, "another chunk came back");
}

int test_contribute(tkr_sink *sink, const char *id, struct tkr_record known, struct tkr_record now,
                    struct tkr_contribution *ret_item)
{
    struct test_chunk chunk;
    tkr_message message = {""};

    test_chunk_begin(&chunk, "test.0", UINT64_MAX, UINT64_MAX);
    (void)test_chunk_add(&chunk, id, known, now);
    if (test_chunk_send(sink, &chunk, &message) != 0) {
        (void)fprintf(stderr, "%s\n", message.text);
        return -1;
    }
    if (ret_item != NULL)
        *ret_item = chunk.item[0];
    return (int)chunk.item[0].outcome;
}

int test_contribute_model(tkr_sink *sink, const char *id, const char *model, struct tkr_record known, struct tkr_record now,
                          struct tkr_contribution *ret_item)
{
    struct test_chunk chunk;
    struct tkr_contribution *item;
    tkr_message message = {""};

    test_chunk_begin(&chunk, "test.0", UINT64_MAX, UINT64_MAX);
    item = test_chunk_add(&chunk, id, known, now);
    item->model = model;
    item->model_len = (uint32_t)strlen(model);
    if (test_chunk_send(sink, &chunk, &message) != 0) {
        (void)fprintf(stderr, "%s\n", message.text);
        return -1;
    }
    if (ret_item != NULL)
        *ret_item = *item;
    return (int)item->outcome;
}

static int keep_row(const struct tkr_usage_row *row, void *arg)
{
    *(struct tkr_usage_row *)arg = *row;
    return 0;
}

bool test_usage(tkr_sink *sink, const char *id, struct tkr_usage_row *ret_row)
{
    struct tkr_usage_query query = {.id = id, .id_len = (uint32_t)strlen(id), .cycle = SINK_TEST_CYCLE};
    tkr_message message = {""};

    memset(ret_row, 0, sizeof(*ret_row));
    if (sink->ops->read(sink, &query, keep_row, ret_row, &message) == 0)
        return ret_row->cycle == SINK_TEST_CYCLE;
    (void)fprintf(stderr, "%s\n", message.text);
    return false;
}

int64_t test_usage_total(tkr_sink *sink, const char *id)
{
    struct tkr_usage_row row;

    return test_usage(sink, id, &row) ? row.counts.value[TKR_COUNTER_TOTAL] : -1;
}

/* The row of one model, out of all of an account. */
struct model_wanted {
    const char *model;
    int64_t total;
};

static int keep_model(const struct tkr_usage_row *row, void *arg)
{
    struct model_wanted *wanted = arg;

    if (row->model_len == strlen(wanted->model) && memcmp(row->model, wanted->model, row->model_len) == 0)
        wanted->total = row->counts.value[TKR_COUNTER_TOTAL];
    return 0;
}

int64_t test_model_total(tkr_sink *sink, const char *id, const char *model)
{
    struct tkr_usage_query query = {.id = id, .id_len = (uint32_t)strlen(id), .cycle = SINK_TEST_CYCLE, .by_model = true};
    struct model_wanted wanted = {model, -1};
    tkr_message message = {""};

    if (sink->ops->read(sink, &query, keep_model, &wanted, &message) != 0)
        (void)fprintf(stderr, "%s\n", message.text);
    return wanted.total;
}

static int count_row(const struct tkr_usage_row *row, void *arg)
{
    (void)row;
    ++*(int *)arg;
    return 0;
}

int test_usage_count(tkr_sink *sink, const struct tkr_usage_query *query)
{
    tkr_message message = {""};
    int count = 0;

    if (sink->ops->read(sink, query, count_row, &count, &message) == 0)
        return count;
    (void)fprintf(stderr, "%s\n", message.text);
    return -1;
}
