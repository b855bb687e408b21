/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Callback handlers with a real collector: what they count is in the ledger, and what they have to say is in its log and in
 * `tokenring stat`.
 */
#include <jansson.h>
#include <time.h>

#include "integration/collector_stage.h"
#include "tokenring/callback.h"

#define COMMAND TEST_BIN_DIR "/tokenring"
#define CALLS 40

static int fail_always(void *user, const tkr_response *response, tkr_callback_context *context)
{
    (void)user;
    (void)response;
    (void)context;
    return -7; /* a code of the library's: the log has its text */
}

static tkr_callback *failing(tkr_producer *producer)
{
    tkr_callback_functions functions = TKR_CALLBACK_FUNCTIONS_INIT;
    tkr_callback *callback = NULL;

    functions.type = "billing_export";
    functions.on_llm_end = fail_always;
    return tkr_custom_callback(&functions, NULL, producer, &callback) == TKR_OK ? callback : NULL;
}

/* A token handler of alice, a detailed one of the context's account, a failing one, one that finds every call slow. */
static tkr_callback *handlers(tkr_producer *producer)
{
    tkr_callback_options alice = TKR_CALLBACK_OPTIONS_INIT;
    tkr_callback_options any = TKR_CALLBACK_OPTIONS_INIT;
    tkr_performance_options performance = TKR_PERFORMANCE_OPTIONS_INIT;
    tkr_callback *all = NULL;
    tkr_callback *one[4] = {NULL};

    alice.producer = any.producer = performance.producer = producer;
    alice.account = (tkr_account){.id = "alice", .len = 5};
    performance.slow_ms = 1;
    one[2] = failing(producer);
    assert_int_equal(tkr_composite_callback(&all), TKR_OK);
    assert_int_equal(tkr_token_callback(&alice, &one[0]), TKR_OK);
    assert_int_equal(tkr_detailed_token_callback(&any, &one[1]), TKR_OK);
    assert_int_equal(tkr_performance_callback(&performance, &one[3]), TKR_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(tkr_composite_add(all, one[i], TKR_CALLBACK_OWN), TKR_OK);
    return all;
}

/* Every tenth call is slow, every fifth reports a figure below zero, every fourth none at all. */
static int make_call(tkr_callback *all, int i)
{
    const struct timespec pause = {.tv_nsec = 3000000};
    const tkr_chat_message message = {.content = "sixteen letters.", .content_len = 16};
    tkr_callback_context context = TKR_CALLBACK_CONTEXT_INIT;
    tkr_response response = TKR_RESPONSE_INIT;
    int failed;

    context.start.account_count = 1;
    context.start.account[0] = (tkr_account){.id = "bob", .len = 3};
    context.start.cycle = STAGE_CYCLE;
    if (i % 4 != 0) {
        response.prompt_tokens = i % 5 == 0 ? -3 : 10;
        response.completion_tokens = 20;
        response.tokens_used = 30;
    }
    failed = tkr_on_llm_start(all, &message, 1, &context);
    if (i % 10 == 0)
        (void)nanosleep(&pause, NULL); /* the provider takes its time */
    return failed + tkr_on_llm_end(all, &response, &context);
}

static json_t *handlers_read(const struct stage *stage)
{
    const char *argv[] = {COMMAND, "stat", "--json", NULL};
    struct process process;
    json_t *answer;
    json_t *found;

    assert_int_equal(process_run(&process, argv, stage->env_list, STAGE_DEADLINE_MS), 0);
    answer = json_loads(process_text(&process, PROCESS_STDOUT), 0, NULL);
    assert_non_null(answer);
    found = json_incref(json_object_get(answer, "handlers"));
    json_decref(answer);
    process_end(&process);
    return found;
}

static json_int_t told(const json_t *all, const char *type, const char *key)
{
    const json_t *handler;
    size_t i;

    json_array_foreach (all, i, handler) {
        if (strcmp(json_string_value(json_object_get(handler, "type")), type) == 0)
            return json_integer_value(json_object_get(handler, key));
    }
    return 0;
}

static void assert_said(struct stage *stage, const char *text)
{
    if (strstr(process_text(&stage->collector, PROCESS_STDERR), text) == NULL)
        fail_msg("no '%s' in: %s", text, process_text(&stage->collector, PROCESS_STDERR));
}

static void assert_counted(const struct stage *stage)
{
    struct stage_rows *rows = stage_read(stage);
    tkr_counts alice = stage_counts(rows, TKR_KIND_USER, "alice", 5);
    tkr_counts bob = stage_counts(rows, TKR_KIND_USER, "bob", 3);

    assert_int_equal(alice.value[TKR_COUNTER_CALLS], CALLS);
    assert_int_equal(alice.value[TKR_COUNTER_TOTAL], 30 * 30); /* of 40 calls 10 report nothing */
    assert_int_equal(bob.value[TKR_COUNTER_CALLS], CALLS);
    assert_int_equal(bob.value[TKR_COUNTER_PROMPT], 24 * 10 + 10 * 4); /* 6 told less than nothing; 10 are estimated */
    assert_int_equal(bob.value[TKR_COUNTER_COMPLETION], 30 * 20);
    assert_int_equal(bob.value[TKR_COUNTER_ESTIMATED], 10 * 4);
    free(rows);
}

static void test_what_handlers_say_is_logged_and_summed(void **state)
{
    struct stage *stage = *state;
    long end = process_now_ms() + STAGE_DEADLINE_MS;
    tkr_producer *producer;
    tkr_callback *all;
    json_t *said;
    int failed = 0;

    stage_collector_start(stage, "1");
    producer = stage_producer(stage);
    assert_non_null(producer);
    all = handlers(producer);
    for (int i = 0; i < CALLS; i++)
        failed += make_call(all, i);
    assert_int_equal(failed, CALLS); /* one member, at each end */
    assert_int_equal(tkr_sync(producer, STAGE_DEADLINE_MS), TKR_OK);
    tkr_callback_release(all);
    tkr_close(producer);
    while (told(said = handlers_read(stage), "billing_export", "failed") < CALLS && process_now_ms() < end) {
        json_decref(said);
        process_sleep_ms(10);
    }
    assert_int_equal(told(said, "billing_export", "failed"), CALLS);
    assert_true(told(said, "performance", "slow_calls") >= 4);
    assert_int_equal(told(said, "token", "usage_missing"), 10);
    assert_true(told(said, "detailed", "corrected") >= 1); /* of an account once a minute */
    json_decref(said);
    stage_collector_end(stage, 0);
    assert_said(stage, "billing_export: handler failed: it answered -7; user ");
    assert_said(stage, "token: a call ended without usage; user bob");
    assert_counted(stage);
}

/* Times that a text stands in the log. */
static int times_said(struct stage *stage, const char *text)
{
    int times = 0;

    for (const char *at = process_text(&stage->collector, PROCESS_STDERR); (at = strstr(at, text)) != NULL; at++)
        times++;
    return times;
}

/* A call of carol as Gemini reports it, thoughts outside of the completion, that is ended twice. Returns how many failed. */
static int make_contradictory_call(tkr_callback *composite)
{
    tkr_callback_context context = TKR_CALLBACK_CONTEXT_INIT;
    tkr_response response = TKR_RESPONSE_INIT;
    int failed;

    context.start.account_count = 1;
    context.start.account[0] = (tkr_account){.id = "carol", .len = 5};
    context.start.cycle = STAGE_CYCLE;
    response.prompt_tokens = 20;
    response.completion_tokens = 198;
    response.reasoning_tokens = 405;
    response.tokens_used = 623;
    failed = tkr_on_llm_start(composite, NULL, 0, &context);
    failed += tkr_on_llm_end(composite, &response, &context);
    return failed + tkr_on_llm_end(composite, &response, &context);
}

/* Contradictions are told once per account, a second end each time, also of a composite, which has no producer of its own. */
static void test_contradictions_are_told_once_and_second_ends_are_told(void **state)
{
    struct stage *stage = *state;
    tkr_callback_options options = TKR_CALLBACK_OPTIONS_INIT;
    long end = process_now_ms() + STAGE_DEADLINE_MS;
    tkr_callback *composite = NULL;
    tkr_callback *detailed = NULL;
    struct stage_rows *rows;
    tkr_counts carol;
    json_t *said;
    int failed = 0;

    stage_collector_start(stage, "1");
    options.producer = stage_producer(stage);
    assert_non_null(options.producer);
    assert_int_equal(tkr_composite_callback(&composite), TKR_OK);
    assert_int_equal(tkr_detailed_token_callback(&options, &detailed), TKR_OK);
    assert_int_equal(tkr_composite_add(composite, detailed, TKR_CALLBACK_OWN), TKR_OK);
    for (int i = 0; i < CALLS; i++)
        failed += make_contradictory_call(composite);
    assert_int_equal(failed, CALLS); /* the second ends */
    assert_int_equal(tkr_sync(options.producer, STAGE_DEADLINE_MS), TKR_OK);
    tkr_callback_release(composite);
    tkr_close(options.producer);
    while (told(said = handlers_read(stage), "composite", "unmatched") < CALLS && process_now_ms() < end) {
        json_decref(said);
        process_sleep_ms(10);
    }
    assert_int_equal(told(said, "composite", "unmatched"), CALLS);
    assert_int_equal(told(said, "detailed", "total_above_parts"), 1); /* until a minute is over */
    assert_int_equal(told(said, "detailed", "reasoning_above_completion"), 1);
    assert_int_equal(told(said, "detailed", "total_below_parts"), 0);
    json_decref(said);
    stage_collector_end(stage, 0);
    assert_int_equal(times_said(stage, "contradictory usage, the total is above prompt and completion: 1; user carol"), 1);
    assert_true(times_said(stage, "composite: an end without a start, or a second end or start, not counted; user carol") >= 1);
    rows = stage_read(stage);
    carol = stage_counts(rows, TKR_KIND_USER, "carol", 5);
    assert_int_equal(carol.value[TKR_COUNTER_CALLS], CALLS);
    assert_int_equal(carol.value[TKR_COUNTER_TOTAL], CALLS * 623);
    assert_int_equal(carol.value[TKR_COUNTER_PROMPT], CALLS * 20);
    assert_int_equal(carol.value[TKR_COUNTER_COMPLETION], CALLS * 198);
    free(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_handlers_say_is_logged_and_summed, stage_set_up, stage_tear_down),
        cmocka_unit_test_setup_teardown(test_contradictions_are_told_once_and_second_ends_are_told, stage_set_up,
                                        stage_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
