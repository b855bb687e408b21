/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON API of a real collector: exact, for this host alone, and never in the way of metrics and health. */
#include <jansson.h>
#include <sys/un.h>

#include "integration/http_stage.h"

#define CALLS 200
#define HOSTILE "a/b%\xff\"?&="
#define HOSTILE_PATH "/api/usage/a%2Fb%25%FF%22%3f&="
#define WAITING 16

/* --- asking --- */

/* Sends GET, and leaves the answer to be read. */
static int ask(const char *where, const char *host, const char *path)
{
    char request[512];
    int len = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host);
    int fd = connect_to(where);

    assert_int_equal(send(fd, request, (size_t)len, MSG_NOSIGNAL), len);
    return fd;
}

/* The answer's status, and its JSON, freed by the caller. */
static json_t *read_answer(int fd, int *ret_status)
{
    char *answer = talk(fd, "", 0);
    const char *body = strstr(answer, "\r\n\r\n");
    json_error_t error;
    json_t *object;

    if (body == NULL || sscanf(answer, "HTTP/1.%*d %d", ret_status) != 1)
        fail_msg("no answer: %s", answer);
    assert_non_null(strstr(answer, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(answer, "Cache-Control: no-store\r\n"));
    object = json_loads(body, 0, &error);
    if (!json_is_object(object))
        fail_msg("%s: %s", error.text, answer);
    free(answer);
    return object;
}

static json_t *ask_ok(const char *where, const char *path)
{
    int status = 0;
    json_t *object = read_answer(ask(where, "localhost", path), &status);

    if (status != 200)
        fail_msg("%s: %d %s", path, status, json_string_value(json_object_get(object, "error")));
    return object;
}

static void expect_refused(const char *where, const char *host, const char *path, int expected, const char *says)
{
    int status = 0;
    json_t *object = read_answer(ask(where, host, path), &status);
    const char *error = json_string_value(json_object_get(object, "error"));

    if (status != expected || error == NULL || strstr(error, says) == NULL)
        fail_msg("%s: %d %s", path, status, error != NULL ? error : "no error");
    json_decref(object);
}

static json_int_t integer(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    if (!json_is_integer(value))
        fail_msg("%s is no integer", key);
    return json_integer_value(value);
}

static const json_t *row(const json_t *object, size_t i)
{
    const json_t *row = json_array_get(json_object_get(object, "rows"), i);

    assert_true(json_is_object(row));
    return row;
}

/* --- gateways --- */

static void record(tkr_producer *producer, const char *id, int64_t prompt, int64_t completion)
{
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;

    start.cycle = STAGE_CYCLE;
    start.account_count = 1;
    start.account[0].id = id;
    start.account[0].len = (uint32_t)strlen(id);
    start.model = "gpt-4o";
    start.model_len = 6;
    usage.prompt = prompt;
    usage.completion = completion;
    assert_int_equal(tkr_record(producer, &start, &usage), TKR_OK);
}

static tkr_producer *record_some(struct stage *stage)
{
    tkr_producer *producer = stage_producer(stage);

    for (int i = 0; i < CALLS; i++) {
        record(producer, "alice", 10, 5);
        record(producer, HOSTILE, 3, 4);
        record(producer, "bob", 1, 0);
    }
    assert_int_equal(tkr_sync(producer, WAIT_MS), TKR_OK);
    return producer;
}

/* Until what is counted is in the sink. */
static void wait_flushed(const char *where)
{
    wait_value(where, "token_usage_total{user_id=\"alice\",type=\"prompt\"}", CALLS * 10);
    wait_value(where, "token_usage_total{user_id=\"bob\",type=\"prompt\"}", CALLS);
    wait_value(where, "token_usage_total{user_id=\"other\",type=\"completion\"}", CALLS * 4);
}

/* --- tests --- */

static void test_usage_is_exact_for_ids_of_any_bytes(void **state)
{
    struct stage *stage = *state;
    char where[WHERE_BYTES];
    tkr_producer *producer;
    json_t *object;

    start_collector(stage, where);
    producer = record_some(stage);
    wait_flushed(where);
    object = ask_ok(where, "/api/usage");
    assert_int_equal(json_array_size(json_object_get(object, "rows")), 3);
    assert_string_equal(json_string_value(json_object_get(row(object, 0), "id")), "alice");
    assert_int_equal(integer(row(object, 0), "total_tokens"), CALLS * 15);
    assert_int_equal(integer(row(object, 1), "total_tokens"), CALLS * 7);
    assert_int_equal(integer(row(object, 2), "calls"), CALLS);
    json_decref(object);
    object = ask_ok(where, HOSTILE_PATH);
    assert_int_equal(json_array_size(json_object_get(object, "rows")), 1);
    assert_int_equal(integer(row(object, 0), "prompt_tokens"), CALLS * 3);
    assert_string_equal(json_string_value(json_object_get(row(object, 0), "id_hex")), "612f6225ff223f263d");
    json_decref(object);
    object = ask_ok(where, "/api/usage?top=1&sort=calls&kind=user&cycle=2026-11-01");
    assert_int_equal(json_array_size(json_object_get(object, "rows")), 1);
    json_decref(object);
    object = ask_ok(where, "/api/usage/bob?by_model=1");
    assert_string_equal(json_string_value(json_object_get(row(object, 0), "model")), "gpt-4o");
    assert_int_equal(integer(row(object, 0), "prompt_tokens"), CALLS);
    json_decref(object);
    tkr_close(producer);
}

static void test_limits_lanes_stat_and_top_tell_what_the_command_tells(void **state)
{
    struct stage *stage = *state;
    const char *argv[] = {TEST_BIN_DIR "/tokenring", "limit", "set", "alice", "3000", NULL};
    char where[WHERE_BYTES];
    tkr_producer *producer;
    struct process process;
    json_t *object;

    start_collector(stage, where);
    producer = record_some(stage);
    wait_flushed(where);
    assert_int_equal(process_run(&process, argv, stage->env_list, WAIT_MS), 0);
    process_end(&process);
    object = ask_ok(where, "/api/limits");
    assert_true(json_is_null(json_object_get(row(object, 0), "cycle")));
    json_decref(object);
    object = ask_ok(where, "/api/limits?near=0.9");
    assert_int_equal(integer(row(object, 0), "limit"), 3000);
    assert_int_equal(integer(row(object, 0), "used"), CALLS * 15);
    json_decref(object);
    object = ask_ok(where, "/api/lanes");
    assert_int_equal(integer(object, "in_lanes"), 0);
    assert_true(integer(object, "lanes") >= 1);
    assert_int_equal(integer(json_array_get(json_object_get(object, "regions"), 0), "pid"), getpid());
    assert_true(integer(json_array_get(json_object_get(object, "regions"), 0), "lane_bytes") > 0);
    json_decref(object);
    object = ask_ok(where, "/api/stat");
    assert_true(json_is_true(json_object_get(object, "law_holds")));
    assert_int_equal(integer(json_object_get(object, "host"), "counted"), 3 * CALLS);
    json_decref(object);
    object = ask_ok(where, "/api/top?top=2&sort=total&interval_ms=100");
    assert_int_equal(json_array_size(json_object_get(object, "accounts")), 2);
    assert_int_equal(integer(json_array_get(json_object_get(object, "accounts"), 0), "tokens"), CALLS * 15);
    json_decref(object);
    tkr_close(producer);
}

static void test_what_is_asked_wrongly_is_told_what_is_allowed(void **state)
{
    static const struct {
        const char *path;
        int status;
        const char *says;
    } wrong[] = {
        {"/api/", 404, "there are /api/usage, /api/usage/ACCOUNT, /api/top, /api/limits, /api/lanes, /api/stat"},
        {"/api/usages", 404, "there are /api/usage"},
        {"/api/stat/x", 404, "there are /api/usage"},
        {"/api/usage/nobody", 404, "there is nothing about this account"},
        {"/api/usage/", 400, "allowed are 1 to 255 bytes"},
        {"/api/usage/%4", 400, "allowed are 1 to 255 bytes"},
        {"/api/usage?x=1", 400, "parameter x is not known; allowed are: kind, cycle, top, sort, by_model"},
        {"/api/stat?x=1", 400, "parameter x is not known; allowed are: none"},
        {"/api/usage?top=1&top=2", 400, "parameter top is there twice"},
        {"/api/usage?top", 400, "parameter top has no value"},
        {"/api/usage?kind=%00", 400, "parameter kind has no value, or one that cannot be understood"},
        {"/api/usage?top=10001", 400, "top=10001: allowed is an integer from 1 to 10000"},
        {"/api/usage?kind=A", 400, "kind=A: allowed is a name"},
        {"/api/usage?cycle=2026-02-30", 400, "allowed is a date"},
        {"/api/usage?sort=x", 400, "sort=x: allowed are prompt_tokens"},
        {"/api/usage?by_model=2", 400, "by_model=2: allowed is an integer from 0 to 1"},
        {"/api/limits?near=1.5", 400, "near=1.5: allowed is a number above 0, at most 1"},
        {"/api/top?sort=x", 400, "sort=x: allowed are rate"},
        {"/api/top?interval_ms=1", 400, "interval_ms=1: allowed is an integer from 100 to 10000"},
        {"/api/usage?kind=%ff", 400, "not UTF-8"},
    };
    struct stage *stage = *state;
    char where[WHERE_BYTES];
    tkr_producer *producer;

    start_collector(stage, where);
    producer = record_some(stage);
    wait_flushed(where);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        expect_refused(where, "localhost", wrong[i].path, wrong[i].status, wrong[i].says);
    tkr_close(producer);
}

static void test_page_from_elsewhere_is_refused(void **state)
{
    static const char *const hosts[] = {"localhost", "LOCALHOST:9464", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:9464"};
    static const char *const others[] = {
        "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[::1", "[", "1"};
    struct stage *stage = *state;
    char where[WHERE_BYTES];

    start_collector(stage, where);
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        int status = 0;
        json_decref(read_answer(ask(where, hosts[i], "/api/lanes"), &status));
        assert_int_equal(status, 200);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        expect_refused(where, others[i], "/api/lanes", 403, "the request is for another host");
}

/* The port of "0.0.0.0:PORT", on this host. */
static void as_seen_here(char where[WHERE_BYTES])
{
    char port[16];

    (void)snprintf(port, sizeof(port), "%s", strrchr(where, ':'));
    (void)snprintf(where, WHERE_BYTES, "127.0.0.1%s", port);
}

static void test_address_that_others_reach_tells_nobody_unless_all_may_ask(void **state)
{
    struct stage *stage = *state;
    char where[WHERE_BYTES];

    start_collector_at(stage, "0.0.0.0:0", where);
    as_seen_here(where);
    expect_refused(where, "localhost", "/api/usage", 403, "TOKENRING_HTTP_API=all opens it");
    assert_true(value_of(where, "tokenring_law_holds") == 1);
    stage_collector_end(stage, 0);
    stage_env(stage, "TOKENRING_HTTP_API", "all");
    start_collector_at(stage, "0.0.0.0:0", where);
    as_seen_here(where);
    json_decref(ask_ok(where, "/api/lanes"));
    stage_collector_end(stage, 0);
}

static void test_unix_socket_is_of_this_host(void **state)
{
    static const char request[] = "GET /api/lanes HTTP/1.1\r\nHost: collector\r\nConnection: close\r\n\r\n";
    struct stage *stage = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char setting[sizeof(address.sun_path) + 8];
    char where[WHERE_BYTES];
    int status = 0;
    int fd;

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/http", stage->dir);
    (void)snprintf(setting, sizeof(setting), "unix:%s", address.sun_path);
    start_collector_at(stage, setting, where);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL), sizeof(request) - 1);
    json_decref(read_answer(fd, &status));
    assert_int_equal(status, 200);
}

/* Sixteen wait behind the one that is being answered. */
static void test_slow_questions_keep_nobody_waiting_and_the_end_gives_them_up(void **state)
{
    struct stage *stage = *state;
    char where[WHERE_BYTES];
    int slow[WAITING + 1];
    long begun;

    start_collector(stage, where);
    for (int i = 0; i <= WAITING; i++) {
        slow[i] = ask(where, "localhost", "/api/top?interval_ms=10000");
        process_sleep_ms(i == 0 ? 500 : 20); /* the first one is being answered, and does not wait */
    }
    process_sleep_ms(200);
    begun = process_now_ms();
    expect_refused(where, "localhost", "/api/lanes", 503, "16 questions wait already");
    assert_true(value_of(where, "tokenring_law_holds") == 1);
    stage_collector_end(stage, 0);
    assert_true(process_now_ms() - begun < 9000); /* less than what the first one waits for */
    for (int i = 0; i <= WAITING; i++)
        (void)close(slow[i]);
}

static void test_sink_that_fails_is_told(void **state)
{
    struct stage *stage = *state;
    char where[WHERE_BYTES];

    start_collector(stage, where);
    redis_server_kill(&stage->server);
    expect_refused(where, "localhost", "/api/usage", 502, "cannot connect to Redis");
    expect_refused(where, "localhost", "/api/limits", 502, "cannot connect to Redis");
    json_decref(ask_ok(where, "/api/stat"));
    assert_int_equal(redis_server_restart(&stage->server), 0);
    json_decref(ask_ok(where, "/api/usage"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(test_usage_is_exact_for_ids_of_any_bytes),
        IN_BOTH(test_limits_lanes_stat_and_top_tell_what_the_command_tells),
        IN_BOTH(test_what_is_asked_wrongly_is_told_what_is_allowed),
        IN_LEDGER(test_page_from_elsewhere_is_refused),
        IN_LEDGER(test_address_that_others_reach_tells_nobody_unless_all_may_ask),
        IN_LEDGER(test_unix_socket_is_of_this_host),
        IN_LEDGER(test_slow_questions_keep_nobody_waiting_and_the_end_gives_them_up),
        IN_REDIS(test_sink_that_fails_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
