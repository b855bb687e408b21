/* SPDX-License-Identifier: Apache-2.0 */
/* The public traces of two production services read to the exact sums that are known of them. */
#include "support/test.h"

#include <stdio.h>
#include <unistd.h>

#include "traffic/trace.h"

#define DATA TEST_SOURCE_DIR "/../shared/data/azure/AzureLLMInferenceTrace_"

static void assert_sums(const char *path, uint64_t calls, int64_t prompt, int64_t completion, int64_t total)
{
    struct tkr_traffic_trace trace = {.call = NULL};
    tkr_message why = {.text = ""};
    int64_t prompt_sum = 0;
    int64_t completion_sum = 0;

    if (tkr_traffic_trace_read(&trace, path, &why) != 0)
        fail_msg("%s", why.text);
    for (size_t i = 0; i < trace.count; i++) {
        prompt_sum += trace.call[i].prompt_tokens;
        completion_sum += trace.call[i].completion_tokens;
    }
    assert_int_equal(trace.count, calls);
    assert_int_equal(prompt_sum, prompt);
    assert_int_equal(completion_sum, completion);
    assert_int_equal(prompt_sum + completion_sum, total);
    tkr_traffic_trace_free(&trace);
}

static void test_azure_code_trace_sums_to_its_truth(void **state)
{
    (void)state;
    assert_sums(DATA "code.csv", 8819, 18059974, 245896, 18305870);
}

static void test_azure_conversation_trace_sums_to_its_truth(void **state)
{
    (void)state;
    assert_sums(DATA "conv.csv", 19366, 22361870, 4088665, 26450535);
}

static void test_azure_traces_paced_keep_their_gaps(void **state)
{
    struct tkr_traffic_trace trace = {.call = NULL};
    tkr_message why;
    int64_t last_ns = 0;

    (void)state;
    assert_int_equal(tkr_traffic_trace_read(&trace, DATA "conv.csv", &why), 0);
    assert_int_equal(tkr_traffic_trace_read(&trace, DATA "code.csv", &why), 0);
    tkr_traffic_trace_pace(&trace, 60);
    for (size_t i = 0; i < trace.count; i++) {
        int64_t exact_ns = (trace.call[i].start_ns - trace.call[0].start_ns) / 60;

        assert_true(trace.call[i].start_ns >= last_ns);
        assert_in_range(trace.call[i].due_ns, exact_ns, exact_ns + 1);
        last_ns = trace.call[i].start_ns;
    }
    tkr_traffic_trace_free(&trace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_azure_code_trace_sums_to_its_truth),
        cmocka_unit_test(test_azure_conversation_trace_sums_to_its_truth),
        cmocka_unit_test(test_azure_traces_paced_keep_their_gaps),
    };

    if (access(DATA "code.csv", R_OK) != 0 || access(DATA "conv.csv", R_OK) != 0) {
        (void)puts("skipped: ../shared/data is not here");
        return TEST_SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
