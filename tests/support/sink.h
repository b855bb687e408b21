/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks for tests of sinks, and the totals that a sink then has. */
#ifndef TESTS_SUPPORT_SINK_H
#define TESTS_SUPPORT_SINK_H

#include <stdbool.h>

#include "sink/sink.h"

#define SINK_TEST_ITEMS 128
#define SINK_TEST_CYCLE 20261101u

/* A chunk with room for its contributions. */
struct test_chunk {
    struct tkr_chunk chunk;
    struct tkr_contribution item[SINK_TEST_ITEMS];
};

/* Makes it empty. seen_expected 0: the source's first. */
void test_chunk_begin(struct test_chunk *chunk, const char *source, uint64_t seen_expected, uint64_t seen_next);

/* Adds a contribution of user `id` (borrowed, ended by NUL) to SINK_TEST_CYCLE; the caller may change it. */
struct tkr_contribution *test_chunk_add(struct test_chunk *chunk, const char *id, struct tkr_record known, struct tkr_record now);

/* A record with total = prompt + completion; and none. */
struct tkr_record test_record(uint64_t life, int64_t prompt, int64_t completion);
struct tkr_record test_record_none(void);

/* Connects, submits, collects. 0, or -1 with the reason. */
int test_chunk_send(tkr_sink *sink, struct test_chunk *chunk, tkr_message *ret_message);

/* One contribution of source "test.0" sent on its own, with a `seen` that is not looked at; its outcome, or -1. */
int test_contribute(tkr_sink *sink, const char *id, struct tkr_record known, struct tkr_record now,
                    struct tkr_contribution *ret_item);

/* The same of a model of the user (borrowed, ended by NUL). */
int test_contribute_model(tkr_sink *sink, const char *id, const char *model, struct tkr_record known, struct tkr_record now,
                          struct tkr_contribution *ret_item);

/* The totals of user `id` in SINK_TEST_CYCLE: false when the sink has none or fails. */
bool test_usage(tkr_sink *sink, const char *id, struct tkr_usage_row *ret_row);

/* total_tokens of the same; -1 when there is none. */
int64_t test_usage_total(tkr_sink *sink, const char *id);

/* total_tokens of the model of the user in SINK_TEST_CYCLE; -1 when there is no such row. */
int64_t test_model_total(tkr_sink *sink, const char *id, const char *model);

/* How many rows a query gives; -1 when it fails. */
int test_usage_count(tkr_sink *sink, const struct tkr_usage_query *query);

#endif
