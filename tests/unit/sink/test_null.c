/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "sink/contribution.h"
#include "sink/dataset.h"
#include "support/sink.h"
#include "support/test.h"

static void test_null_takes_all_and_keeps_nothing(void **state)
{
    struct tkr_sink_config config = {.kind = TKR_SINK_NULL};
    struct tkr_usage_query all = {.any_kind = 1};
    struct test_chunk chunk;
    tkr_message advice = {"before"};
    tkr_message message;
    tkr_sink *sink;

    (void)state;
    assert_int_equal(tkr_sink_open(&config, &sink, &message), 0);
    for (uint64_t i = 0; i < 3; i++) {
        test_chunk_begin(&chunk, "test.0", i, i + 1);
        (void)test_chunk_add(&chunk, "a", test_record_none(), test_record(1, 1, 1));
        (void)test_chunk_add(&chunk, "b", test_record_none(), test_record(1, 1, 1));
        assert_int_equal(test_chunk_send(sink, &chunk, &message), 0);
        assert_int_equal(chunk.chunk.seen_found, i);
        assert_int_equal(tkr_contribution_decide(&chunk.item[1], true), TKR_DECIDE_ACKNOWLEDGED);
    }
    assert_int_equal(test_usage_count(sink, &all), 0);
    assert_int_equal(sink->ops->advise(sink, &advice, &message), 0);
    assert_string_equal(advice.text, "");
    sink->ops->close(sink);
}

static void test_null_hands_back_in_order_and_forgets_on_disconnect(void **state)
{
    struct tkr_sink_config config = {.kind = TKR_SINK_NULL};
    struct test_chunk chunk[3];
    struct tkr_chunk *collected;
    tkr_message message;
    tkr_sink *sink;

    (void)state;
    assert_int_equal(tkr_sink_open(&config, &sink, &message), 0);
    for (int i = 0; i < 3; i++) {
        test_chunk_begin(&chunk[i], "test.0", 0, 1);
        assert_int_equal(sink->ops->submit(sink, &chunk[i].chunk, &message), 0);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sink->ops->collect(sink, &collected, &message), 0);
        assert_ptr_equal(collected, &chunk[i].chunk);
    }
    sink->ops->disconnect(sink);
    assert_int_equal(sink->ops->collect(sink, &collected, &message), -1);
    sink->ops->close(sink);
}

static int no_holdings(const struct tkr_holdings *holdings, const char *why, void *arg)
{
    (void)holdings;
    (void)why;
    (void)arg;
    return 1;
}

static void test_null_has_nothing_to_back_up_or_restore_and_says_so(void **state)
{
    struct tkr_sink_config config = {.kind = TKR_SINK_NULL};
    struct tkr_dataset dataset = {.id = ""};
    tkr_message message = {""};
    tkr_sink *sink;

    (void)state;
    assert_int_equal(tkr_sink_open(&config, &sink, &message), 0);
    assert_int_equal(sink->ops->dataset(sink, &dataset, &message), -1);
    assert_non_null(strstr(message.text, "this sink keeps nothing"));
    assert_int_equal(sink->ops->dataset_set(sink, &dataset, &dataset, &message), -1);
    assert_int_equal(sink->ops->holdings(sink, no_holdings, NULL, &message), -1);
    assert_int_equal(sink->ops->sources_set(sink, NULL, 0, &message), -1);
    assert_int_equal(sink->ops->restore(sink, NULL, NULL, 0, NULL, &message), -1);
    sink->ops->close(sink);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_null_takes_all_and_keeps_nothing),
        cmocka_unit_test(test_null_hands_back_in_order_and_forgets_on_disconnect),
        cmocka_unit_test(test_null_has_nothing_to_back_up_or_restore_and_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
