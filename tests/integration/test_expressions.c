/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operators ask of metrics, deploy/prometheus and deploy/grafana: each expression, asked of a real Prometheus that scrapes a
 * collector whose gateway does all that is measured.
 */
#include <pthread.h>

#include "integration/http_stage.h"
#include "tokenring/callback.h"

#define SCRIPT TEST_SOURCE_DIR "/tests/integration/expressions.py"
#define PYTHON TEST_SOURCE_DIR "/tests/support/python.sh"
#define RULES TEST_SOURCE_DIR "/deploy/prometheus/tokenring.rules.yml"
#define SKIPPED 77
#define LIMIT 1000

/* Accounts, by what they have used of their limit in the end. */
static const struct {
    const char *id;
    int64_t tokens;
} limited[] = {{"allowed", 10}, {"near", 900}, {"over", 1000}};
#define LIMITED (sizeof(limited) / sizeof(limited[0]))

static const char *const models[] = {"large", "small", "tiny"};
#define MODELS (sizeof(models) / sizeof(models[0]))

static void name_account(tkr_start *start, const char *id)
{
    start->cycle = STAGE_CYCLE;
    start->account_count = 1;
    start->account[0].id = id;
    start->account[0].len = (uint32_t)strlen(id);
}

/* Calls that end well, that fail in each way, and that last. */
static int record_calls(tkr_producer *producer, uint64_t round)
{
    int result = TKR_OK;

    for (int error = TKR_ERROR_NONE; error <= TKR_ERROR_CONTENT_FILTER && result == TKR_OK; error++) {
        const char *model = models[(round + (uint64_t)error) % MODELS];
        tkr_start start = TKR_START_INIT;
        tkr_usage usage = TKR_USAGE_INIT;
        char id[16];

        (void)snprintf(id, sizeof(id), "user-%02d", (int)(round % STAGE_USERS));
        name_account(&start, id);
        start.provider = "maker";
        start.provider_len = 5;
        start.model = model;
        start.model_len = (uint32_t)strlen(model);
        start.start_ns = INT64_C(1795000000000000000);
        usage.prompt = 100;
        usage.completion = 20;
        usage.cached = 40;
        usage.error = error;
        usage.first_token_ns = start.start_ns + INT64_C(40000000);
        usage.end_ns = start.start_ns + INT64_C(1500000000);
        result = tkr_record(producer, &start, &usage);
    }
    return result;
}

/* Asks for limits, which keeps the accounts on the board. */
static int look_at_limits(tkr_producer *producer)
{
    int result = TKR_OK;

    for (size_t i = 0; i < LIMITED && result == TKR_OK; i++) {
        tkr_limit limit = TKR_LIMIT_INIT;
        tkr_start start = TKR_START_INIT;
        name_account(&start, limited[i].id);
        result = tkr_limit_check(producer, &start.account[0], STAGE_CYCLE, 1, &limit);
    }
    return result;
}

static int fail_always(void *user, const tkr_response *response, tkr_callback_context *context)
{
    (void)user;
    (void)response;
    (void)context;
    return -1;
}

/* Handlers that count, that miss usage, and that fail. */
static tkr_callback *make_handlers(tkr_producer *producer)
{
    tkr_callback_options options = TKR_CALLBACK_OPTIONS_INIT;
    tkr_callback_functions functions = TKR_CALLBACK_FUNCTIONS_INIT;
    tkr_callback *all = NULL;
    tkr_callback *token = NULL;
    tkr_callback *own = NULL;

    options.producer = producer;
    functions.type = "failing";
    functions.on_llm_end = fail_always;
    if (tkr_composite_callback(&all) != TKR_OK || tkr_token_callback(&options, &token) != TKR_OK ||
        tkr_custom_callback(&functions, NULL, producer, &own) != TKR_OK ||
        tkr_composite_add(all, token, TKR_CALLBACK_OWN) != TKR_OK || tkr_composite_add(all, own, TKR_CALLBACK_OWN) != TKR_OK)
        return NULL;
    return all;
}

static void tell_handlers(tkr_callback *handlers, uint64_t round)
{
    tkr_response response = TKR_RESPONSE_INIT;
    tkr_callback_context context = TKR_CALLBACK_CONTEXT_INIT;

    name_account(&context.start, "alice");
    response.tokens_used = round % 8 == 0 ? 0 : 7;
    (void)tkr_on_llm_start(handlers, NULL, 0, &context); /* one of them fails: it is to */
    (void)tkr_on_llm_end(handlers, &response, &context);
}

static void *work(void *argument)
{
    struct stage *stage = argument;
    tkr_producer *producer = stage_producer(stage);
    tkr_callback *handlers = producer != NULL ? make_handlers(producer) : NULL;
    tkr_start start = TKR_START_INIT;
    tkr_call call;

    name_account(&start, "alice");
    if (handlers == NULL || tkr_call_begin(producer, &start, &call) != TKR_OK)
        atomic_fetch_add(&stage->truth->failed, 1);
    for (uint64_t round = 0; handlers != NULL && !atomic_load(&stage->truth->stop); round++) {
        if (record_calls(producer, round) != TKR_OK || look_at_limits(producer) != TKR_OK)
            atomic_fetch_add(&stage->truth->failed, 1);
        tell_handlers(handlers, round);
        process_sleep_ms(5);
    }
    tkr_callback_release(handlers);
    tkr_close(producer); /* with a call open: an orphan */
    return NULL;
}

static void set_limits(const struct stage *stage)
{
    for (size_t i = 0; i < LIMITED; i++) {
        redisReply *reply = redis_server_command(&stage->server, "HSET token_limit:%s usage_limit %d", limited[i].id, LIMIT);
        assert_non_null(reply);
        freeReplyObject(reply);
        reply = redis_server_command(&stage->server, "HSET token_usage:%s:2026-11-01 total_tokens %lld", limited[i].id,
                                     (long long)limited[i].tokens);
        assert_non_null(reply);
        freeReplyObject(reply);
    }
}

static void test_all_that_is_deployed_asks_for_what_is_there(void **state)
{
    struct stage *stage = *state;
    char where[WHERE_BYTES];
    char asked[WHERE_BYTES];
    const char *argv[] = {PYTHON, "yaml", SCRIPT, asked, TEST_SOURCE_DIR, NULL};
    struct process prometheus;
    struct process script;
    pthread_t thread;

    if (!runs("prometheus", "--version", NULL)) {
        (void)printf("skipped: prometheus is not installed\n");
        skip();
    }
    set_limits(stage);
    start_collector(stage, where);
    assert_int_equal(pthread_create(&thread, NULL, work, stage), 0);
    start_prometheus(stage, where, RULES, &prometheus, asked);
    assert_int_equal(process_run(&script, argv, NULL, 2 * WAIT_MS), 0);
    atomic_store(&stage->truth->stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)printf("%s", process_text(&script, PROCESS_STDOUT));
    if (process_exit_code(&script) == SKIPPED)
        skip();
    if (process_exit_code(&script) != 0)
        fail_msg("%d: %s", process_exit_code(&script), process_text(&script, PROCESS_STDERR));
    assert_int_equal(atomic_load(&stage->truth->failed), 0);
    process_end(&script);
    process_end(&prometheus);
    stage_collector_end(stage, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {IN_REDIS(test_all_that_is_deployed_asks_for_what_is_there)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
