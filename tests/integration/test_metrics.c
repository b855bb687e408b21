/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics of a real collector: exact, accepted by those who read such pages, and asked for by a real Prometheus. */
#include <jansson.h>
#include <pthread.h>
#include <sys/un.h>

#include "integration/http_stage.h"
#include "support/light.h"
#include "tokenring/callback.h"

#define SCRIPT TEST_SOURCE_DIR "/tests/integration/metrics.py"

/* --- who can read pages --- */

/* A Python that has the parsers; NULL: none. */
static const char *python(void)
{
    static const char *const programs[] = {"/usr/bin/python3", "python3"};

    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        if (runs(programs[i], "-c", "import prometheus_client.openmetrics.parser"))
            return programs[i];
    }
    return NULL;
}

static void assert_answers(const char *where, const char *path, const char *begins, const char *contains)
{
    char *answer = get(where, path);

    if (strncmp(answer, begins, strlen(begins)) != 0 || strstr(answer, contains) == NULL)
        fail_msg("%s: %s", path, answer);
    free(answer);
}

/* --- gateways --- */

struct sort {
    const char *id;
    const char *provider;
    const char *model;
};

/* Strangers' words. */
static const struct sort sorts[] = {
    {"alice", "openai", "gpt-4o"},
    {"quote\"quote", "open\"ai", "back\\slash"},
    {"back\\slash\\n", "a,b", "model{le=\"1\"}"},
    {"J\xc3\xbcrgen \xf0\x9f\x98\x80", "\xe4\xb8\xad\xe6\x96\x87", "\xd0\xbc\xd0\xbe\xd0\xb4\xd0\xb5\xd0\xbb\xd1\x8c"},
    {"not utf8 \xff\xfe", "broken \xc3", "\x80"},
    {"other", "other", "other"},
    {"} 7 # EOF", "# HELP", "# EOF"},
    {"trailing\\", "", "no provider"},
    {"no model", "", ""},
};
#define SORTS (sizeof(sorts) / sizeof(sorts[0]))

static int record(tkr_producer *producer, const struct sort *sort, int64_t prompt, int64_t completion, int64_t total, int error)
{
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;

    start.cycle = STAGE_CYCLE;
    start.account_count = 1;
    start.account[0].id = sort->id;
    start.account[0].len = (uint32_t)strlen(sort->id);
    start.provider = sort->provider;
    start.provider_len = (uint32_t)strlen(sort->provider);
    start.model = sort->model;
    start.model_len = (uint32_t)strlen(sort->model);
    start.start_ns = INT64_C(1795000000000000000);
    usage.prompt = prompt;
    usage.completion = completion;
    usage.total = total;
    usage.error = error;
    usage.first_token_ns = start.start_ns + INT64_C(30000000);
    usage.end_ns = start.start_ns + INT64_C(3000000000);
    return tkr_record(producer, &start, &usage);
}

static void close_all(tkr_producer *producer)
{
    assert_int_equal(tkr_sync(producer, WAIT_MS), TKR_OK);
    tkr_close(producer);
}

/* --- tests --- */

static void test_figures_are_exact(void **state)
{
    struct stage *stage = *state;
    tkr_producer *producer;
    char where[WHERE_BYTES];

    start_collector(stage, where);
    producer = stage_producer(stage);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(record(producer, &sorts[0], 10, 5, -1, 0), TKR_OK);
        assert_int_equal(record(producer, &sorts[5], 3, 2, 9, 0), TKR_OK);  /* calls itself other */
        assert_int_equal(record(producer, &sorts[4], 1, 0, -1, 0), TKR_OK); /* no UTF-8 */
    }
    assert_int_equal(record(producer, &sorts[0], 1, 1, -1, TKR_ERROR_TIMEOUT), TKR_OK);
    close_all(producer);
    wait_value(where, "token_usage_total{user_id=\"alice\",type=\"prompt\"}", 1001);
    wait_value(where, "token_usage_total{user_id=\"alice\",type=\"completion\"}", 501);
    wait_value(where, "token_usage_total{user_id=\"alice\",type=\"rest\"}", 0);
    wait_value(where, "token_usage_total{user_id=\"other\",type=\"prompt\"}", 400);
    wait_value(where, "token_usage_total{user_id=\"other\",type=\"rest\"}", 400);
    wait_value(where, "tokenring_model_calls_total{provider=\"openai\",model=\"gpt-4o\"}", 101);
    wait_value(where, "tokenring_model_calls_total{provider=\"other\",model=\"other\"}", 200);
    wait_value(where, "tokenring_model_errors_total{provider=\"openai\",model=\"gpt-4o\",error=\"timeout\"}", 1);
    wait_value(where, "tokenring_model_tokens_total{provider=\"openai\",model=\"gpt-4o\",type=\"total_tokens\"}", 1502);
    wait_value(where, "tokenring_model_call_duration_seconds_count{provider=\"openai\",model=\"gpt-4o\"}", 101);
    wait_value(where, "tokenring_model_call_duration_seconds_bucket{provider=\"openai\",model=\"gpt-4o\",le=\"2.5\"}", 0);
    wait_value(where, "tokenring_model_call_duration_seconds_bucket{provider=\"openai\",model=\"gpt-4o\",le=\"5.0\"}", 101);
    wait_value(where, "tokenring_model_call_duration_seconds_sum{provider=\"openai\",model=\"gpt-4o\"}", 303);
    wait_value(where, "tokenring_model_first_token_seconds_bucket{provider=\"openai\",model=\"gpt-4o\",le=\"0.05\"}", 101);
    wait_value(where, "tokenring_records_offered_total", 301);
    wait_value(where, "tokenring_records_counted_total", 301);
    wait_value(where, "tokenring_records_in_lanes", 0);
    wait_value(where, "tokenring_law_holds", 1);
    wait_value(where, "tokenring_sink_state{state=\"good\"}", 1);
    wait_value(where, "tokenring_sink_endangered", 0);
    wait_value(where, "tokenring_flush_waiting_accounts", 0);
    stage_collector_end(stage, 0);
}

static tkr_callback *token_handler(tkr_producer *producer)
{
    tkr_callback_options options = TKR_CALLBACK_OPTIONS_INIT;
    tkr_callback *handler = NULL;

    options.producer = producer;
    assert_int_equal(tkr_token_callback(&options, &handler), TKR_OK);
    return handler;
}

/* Calls of a handler, each of them a start and an end. */
static void call_handler(tkr_callback *handler, int calls)
{
    tkr_response response = TKR_RESPONSE_INIT;

    response.tokens_used = 7;
    for (int i = 0; i < calls; i++) {
        tkr_callback_context context = TKR_CALLBACK_CONTEXT_INIT;
        context.start.account_count = 1;
        context.start.account[0].id = "alice";
        context.start.account[0].len = 5;
        assert_int_equal(tkr_on_llm_start(handler, NULL, 0, &context), 0);
        assert_int_equal(tkr_on_llm_end(handler, &response, &context), 0);
    }
}

static void test_time_in_handlers_is_told_and_stays_when_gateways_go(void **state)
{
    struct stage *stage = *state;
    tkr_callback *handler;
    tkr_producer *producer;
    char where[WHERE_BYTES];

    start_collector(stage, where);
    producer = stage_producer(stage);
    handler = token_handler(producer);
    call_handler(handler, 8); /* as many events as are timed singly */
    wait_value(where, "callback_duration_seconds_count", 16);
    wait_value(where, "callback_duration_seconds_bucket{le=\"+Inf\"}", 16);
    call_handler(handler, 800); /* one in sixteen from now on */
    wait_value(where, "callback_duration_seconds_count", 1616);
    assert_true(value_of(where, "callback_duration_seconds_sum") > 0);
    tkr_callback_release(handler);
    close_all(producer);
    stage_wait_regions(stage, 0);
    wait_value(where, "callback_duration_seconds_count", 1616);
    producer = stage_producer(stage); /* the next gateway */
    handler = token_handler(producer);
    call_handler(handler, 8);
    wait_value(where, "callback_duration_seconds_count", 1632);
    tkr_callback_release(handler);
    close_all(producer);
    stage_collector_end(stage, 0);
}

static void *record_on(void *argument)
{
    struct stage *stage = argument;
    tkr_producer *producer = stage_producer(stage);

    for (uint64_t i = 0; producer != NULL && !atomic_load(&stage->truth->stop); i++) {
        struct sort crowd = sorts[i % SORTS];
        char id[64];
        (void)snprintf(id, sizeof(id), "%s %d", crowd.id, (int)(i % 997));
        if (i % 4 == 0)
            crowd.id = id;
        if (record(producer, &crowd, (int64_t)(i % 50), (int64_t)(i % 7), -1, i % 11 == 0 ? (int)(i % 9) : 0) != TKR_OK)
            atomic_fetch_add(&stage->truth->failed, 1);
        if (i % 64 == 0)
            process_sleep_ms(1);
    }
    tkr_close(producer);
    return NULL;
}

/* Runs the script over a busy collector; its answer is freed by the caller. */
static json_t *check_pages(struct stage *stage, const char *where, const char *fetches)
{
    const char *argv[] = {python(), SCRIPT, where, fetches, NULL};
    struct process process;
    pthread_t thread;
    json_t *answer;

    assert_int_equal(pthread_create(&thread, NULL, record_on, stage), 0);
    assert_int_equal(process_run(&process, argv, NULL, WAIT_MS), 0);
    atomic_store(&stage->truth->stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    answer = json_loads(process_text(&process, PROCESS_STDOUT), 0, NULL);
    if (process_exit_code(&process) != 0 || answer == NULL)
        fail_msg("%s", process_text(&process, PROCESS_STDERR));
    process_end(&process);
    return answer;
}

static void test_strict_parsers_accept_hostile_names_under_load(void **state)
{
    struct stage *stage = *state;
    char where[WHERE_BYTES];
    json_t *answer;
    const json_t *sample;
    size_t index;
    size_t users = 0;
    bool verbatim = false;

    if (python() == NULL) {
        (void)printf("skipped: no Python with prometheus_client\n");
        skip();
    }
    start_collector(stage, where);
    answer = check_pages(stage, where, TEST_COLLECTOR_IS_SLOW ? "12" : "60");
    json_array_foreach (json_object_get(answer, "samples"), index, sample) {
        const char *name = json_string_value(json_array_get(sample, 0));
        const char *id = json_string_value(json_object_get(json_array_get(sample, 1), "user_id"));
        users += strcmp(name, "token_usage_total") == 0;
        verbatim |= id != NULL && strcmp(id, sorts[2].id) == 0;
    }
    assert_true(verbatim);
    assert_true(users > 3 && users <= 3 * 101);
    if (!json_is_true(json_object_get(answer, "promtool")))
        (void)printf("skipped: promtool is not installed\n");
    else
        (void)printf("promtool: %s\n", json_string_value(json_object_get(answer, "advice")));
    json_decref(answer);
    assert_int_equal(atomic_load(&stage->truth->failed), 0);
    stage_collector_end(stage, 0);
}

/* GET /metrics with such headers answers with such a Content-Type. */
static void assert_form(const char *where, const char *headers, const char *type)
{
    char request[512];
    int len = snprintf(request, sizeof(request), "GET /metrics HTTP/1.0\r\nHost: localhost\r\n%s\r\n", headers);
    char *answer = talk(connect_to(where), request, (size_t)len);

    if (strstr(answer, type) == NULL)
        fail_msg("%s: %.*s", headers, (int)strcspn(answer, "#"), answer);
    free(answer);
}

static void test_form_of_metrics_follows_all_accept_headers(void **state)
{
    static const char text[] = "Content-Type: text/plain; version=0.0.4";
    static const char openmetrics[] = "Content-Type: application/openmetrics-text; version=1.0.0";
    struct stage *stage = *state;
    char where[WHERE_BYTES];

    start_collector(stage, where);
    assert_form(where, "", text);
    assert_form(where, "Accept: application/openmetrics-text;q=0\r\n", text);
    assert_form(where, "Accept: application/openmetrics-text-foo\r\n", text);
    assert_form(where, "Accept: application/openmetrics-text;q=0.2, text/plain;q=0.3\r\n", text);
    assert_form(where, "accept: Application/OpenMetrics-Text\r\n", openmetrics);
    assert_form(where, "Accept: text/plain;q=0.5\r\nX: y\r\nACCEPT: application/openmetrics-text\r\n", openmetrics);
    stage_collector_end(stage, 0);
}

/* --- Prometheus --- */

/* The rate of one user, as the query by users answers; 0: none yet. */
static double rate_of(const char *prometheus, const char *id)
{
    static const char path[] = "/api/v1/query?query=sum(rate(token_usage_total%5B1m%5D))%20by%20(user_id)";
    char *answer = get(prometheus, path);
    const char *body = strstr(answer, "\r\n\r\n");
    json_t *object = body != NULL ? json_loads(body, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
    const json_t *row;
    double rate = 0;
    size_t index;

    json_array_foreach (json_object_get(json_object_get(object, "data"), "result"), index, row) {
        const char *user = json_string_value(json_object_get(json_object_get(row, "metric"), "user_id"));
        if (user != NULL && strcmp(user, id) == 0)
            rate = strtod(json_string_value(json_array_get(json_object_get(row, "value"), 1)), NULL);
    }
    json_decref(object);
    free(answer);
    return rate;
}

static void test_prometheus_answers_the_rate_of_each_user(void **state)
{
    struct stage *stage = *state;
    struct process prometheus;
    char where[WHERE_BYTES];
    char asked[WHERE_BYTES];
    pthread_t thread;
    long end = process_now_ms() + WAIT_MS;

    if (!runs("prometheus", "--version", NULL)) {
        (void)printf("skipped: prometheus is not installed\n");
        skip();
    }
    start_collector(stage, where);
    assert_int_equal(pthread_create(&thread, NULL, record_on, stage), 0);
    start_prometheus(stage, where, NULL, &prometheus, asked);
    while (rate_of(asked, "alice") <= 0 || rate_of(asked, sorts[1].id) <= 0 || rate_of(asked, "other") <= 0) {
        if (process_now_ms() > end)
            fail_msg("no rate after a minute: %s", process_text(&prometheus, PROCESS_STDERR));
        process_sleep_ms(200);
    }
    (void)printf("alice: %.0f tokens a second\n", rate_of(asked, "alice"));
    atomic_store(&stage->truth->stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    process_end(&prometheus);
    stage_collector_end(stage, 0);
}

/* --- health --- */

/* As a container's health check asks. */
static void assert_command_says(const struct stage *stage, int exit_code, const char *text)
{
    const char *argv[] = {TEST_BIN_DIR "/tokenring", "health", "--runtime-dir", stage->runtime, NULL};
    struct process process;

    assert_int_equal(process_run(&process, argv, NULL, WAIT_MS), 0);
    if (process_exit_code(&process) != exit_code || strstr(process_text(&process, PROCESS_STDOUT), text) == NULL)
        fail_msg("%d: %s", process_exit_code(&process), process_text(&process, PROCESS_STDOUT));
    process_end(&process);
}

static void test_health_says_what_is_wrong_and_a_sink_that_fails_is_no_death(void **state)
{
    struct stage *stage = *state;
    char where[WHERE_BYTES];
    char *answer;
    long end = process_now_ms() + WAIT_MS;

    start_collector(stage, where);
    assert_answers(where, "/healthz", "HTTP/1.1 200", "ok\n");
    assert_answers(where, "/readyz", "HTTP/1.1 200", "ok\n");
    assert_answers(where, "/health", "HTTP/1.1 200", "\"status\":\"healthy\"");
    assert_answers(where, "/", "HTTP/1.1 200",
                   "\r\n\r\nthere are /metrics, /healthz, /readyz, /health, /api/usage, /api/usage/ACCOUNT, /api/top, "
                   "/api/limits, /api/lanes, /api/stat\n");
    assert_answers(where, "/nothing", "HTTP/1.1 404", "/metrics");
    assert_command_says(stage, 0, "healthy\n");
    redis_server_stop(&stage->server);
    do {
        answer = get(where, "/health");
        if (process_now_ms() > end)
            fail_msg("%s", answer);
        if (strstr(answer, "\"status\":\"degraded\"") != NULL)
            break;
        free(answer);
        process_sleep_ms(50);
    } while (true);
    assert_non_null(strstr(answer, "the sink has not taken usage for"));
    assert_int_equal(strncmp(answer, "HTTP/1.1 200", 12), 0);
    free(answer);
    assert_answers(where, "/healthz", "HTTP/1.1 200", "ok\n");
    assert_answers(where, "/readyz", "HTTP/1.1 200", "ok\n");
    wait_value(where, "tokenring_sink_state{state=\"failing\"}", 1);
    assert_command_says(stage, 0, "degraded\nthe sink has not taken usage for");
    process_signal(&stage->collector, SIGTERM);
    assert_int_equal(process_wait(&stage->collector, STAGE_DEADLINE_MS), 0);
    assert_command_says(stage, 1, "unhealthy\nno collector runs");
}

static void test_strange_requests_are_answered_or_hung_up_on(void **state)
{
    static const char *const requests[] = {
        "",
        "\r\n\r\n",
        "GET\r\n\r\n",
        "GET /metrics HTTP/9.9\r\n\r\n",
        "\x16\x03\x01\x02",
        "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        "GET /../../etc/passwd HTTP/1.0\r\n\r\n",
        "GET /metrics%00 HTTP/1.0\r\n\r\n"};
    struct stage *stage = *state;
    char where[WHERE_BYTES];
    char *big = malloc(100000);
    int idle[100];

    assert_non_null(big);
    start_collector(stage, where);
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        int fd = connect_to(where);
        (void)send(fd, requests[i], strlen(requests[i]), MSG_NOSIGNAL); /* it may hang up */
        (void)shutdown(fd, SHUT_WR);
        free(talk(fd, "", 0));
    }
    memset(big, 'a', 100000);
    memcpy(big, "GET /", 5);
    free(talk(connect_to(where), big, 100000));
    for (int i = 0; i < 100; i++) /* more than it takes, who say nothing */
        idle[i] = connect_to(where);
    for (int i = 0; i < 100; i++)
        (void)close(idle[i]);
    assert_answers(where, "/healthz", "HTTP/1.1 200", "ok\n");
    free(big);
    stage_collector_end(stage, 0);
}

static void test_address_that_cannot_be_had(void **state)
{
    const char *argv[] = {COLLECTOR, NULL};
    struct stage *stage = *state;
    struct process second;
    char where[WHERE_BYTES];
    char directory[STAGE_PATH_BYTES];

    start_collector(stage, where);
    (void)snprintf(directory, sizeof(directory), "%s/second", stage->dir);
    assert_int_equal(mkdir(directory, 0700), 0);
    stage_env(stage, "TOKENRING_RUNTIME_DIR", directory);
    stage_env(stage, "TOKENRING_HTTP", where);
    assert_int_equal(process_run(&second, argv, stage->env_list, WAIT_MS), 0);
    assert_int_equal(process_exit_code(&second), 1);
    assert_non_null(strstr(process_text(&second, PROCESS_STDERR), "cannot listen for HTTP on 127.0.0.1:"));
    assert_non_null(strstr(process_text(&second, PROCESS_STDERR),
                           " (TOKENRING_HTTP): Address already in use; choose another address, or off\n"));
    process_end(&second);
    stage_env(stage, "TOKENRING_HTTP", "localhost:9464");
    assert_int_equal(process_run(&second, argv, stage->env_list, WAIT_MS), 0);
    assert_int_equal(process_exit_code(&second), 1);
    assert_non_null(strstr(process_text(&second, PROCESS_STDERR), "TOKENRING_HTTP=localhost:9464: allowed are ADDRESS:PORT"));
    process_end(&second);
    stage_collector_end(stage, 0);
}

/* Holds the default port until it is closed; if somebody else has it already, that is as good. */
static int take_default_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(9464)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    (void)bind(fd, (const struct sockaddr *)&address, sizeof(address));
    return fd;
}

static void test_default_port_that_is_taken_is_gone_without_and_said(void **state)
{
    const char *argv[] = {TEST_BIN_DIR "/tokenring", "stat", NULL};
    struct stage *stage = *state;
    struct process process;
    int port = take_default_port();

    stage_env(stage, "TOKENRING_HTTP", ""); /* as if it were not set */
    stage_collector_start(stage, "1");
    if (strstr(process_text(&stage->collector, PROCESS_STDERR),
               " warning cannot listen for HTTP on 127.0.0.1:9464: Address already in use; metrics and health are not served; "
               "TOKENRING_HTTP can be another address, or off\n") == NULL)
        fail_msg("%s", process_text(&stage->collector, PROCESS_STDERR));
    assert_command_says(stage, 0, "degraded\ncannot listen for HTTP on 127.0.0.1:9464");
    assert_int_equal(process_run(&process, argv, stage->env_list, WAIT_MS), 0);
    assert_non_null(strstr(process_text(&process, PROCESS_STDOUT), "problem: cannot listen for HTTP on 127.0.0.1:9464"));
    process_end(&process);
    (void)close(port);
    stage_collector_end(stage, 0);
}

static void test_unix_socket_answers_and_one_that_a_death_left_is_replaced(void **state)
{
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    struct stage *stage = *state;
    char path[STAGE_PATH_BYTES];
    char setting[STAGE_PATH_BYTES + 8];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    char *answer;
    int fd;

    (void)snprintf(path, sizeof(path), "%s/http", stage->dir);
    (void)snprintf(setting, sizeof(setting), "unix:%s", path);
    stage_env(stage, "TOKENRING_HTTP", setting);
    stage_collector_start(stage, "1");
    process_signal(&stage->collector, SIGKILL);
    assert_int_equal(process_wait(&stage->collector, WAIT_MS), 0);
    assert_int_equal(stat(path, &status), 0);
    stage_collector_start(stage, "1");
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    answer = talk(fd, request, sizeof(request) - 1);
    assert_non_null(strstr(answer, "ok\n"));
    free(answer);
    stage_collector_end(stage, 0);
    assert_int_not_equal(stat(path, &status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(test_figures_are_exact),
        IN_LEDGER(test_time_in_handlers_is_told_and_stays_when_gateways_go),
        IN_LEDGER(test_strict_parsers_accept_hostile_names_under_load),
        IN_LEDGER(test_form_of_metrics_follows_all_accept_headers),
        IN_REDIS(test_prometheus_answers_the_rate_of_each_user),
        IN_REDIS(test_health_says_what_is_wrong_and_a_sink_that_fails_is_no_death),
        IN_LEDGER(test_strange_requests_are_answered_or_hung_up_on),
        IN_LEDGER(test_address_that_cannot_be_had),
        IN_LEDGER(test_default_port_that_is_taken_is_gone_without_and_said),
        IN_LEDGER(test_unix_socket_answers_and_one_that_a_death_left_is_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
