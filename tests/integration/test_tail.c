/* SPDX-License-Identifier: Apache-2.0 */
/* `tokenring tail`: what it shows and what it says that it missed is what was recorded, of gateways that come and go; and it disturbs nobody. */
#include "integration/view_files.h"

#define FAST_CALLS 400000

/* Starts it; the caller ends the process. */
static void start(struct stage *stage, struct process *ret_process, const char *const words[])
{
    const char *argv[12] = {VIEW_COMMAND, "tail"};

    for (int i = 0; i < 8 && words[i] != NULL; i++)
        argv[i + 2] = words[i];
    assert_int_equal(process_start(ret_process, argv, stage->env_list), 0);
}

#define START(stage, process, ...) start(stage, process, (const char *const[]){__VA_ARGS__, NULL})

/* From then on it ends well on SIGINT, unless it has ended by itself. */
static void wait_until_it_catches(struct process *process)
{
    long end = process_now_ms() + VIEW_DEADLINE_MS;
    unsigned long long caught = 0;
    char path[64];
    char line[256];

    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)process->pid);
    while ((caught & (1ull << (SIGINT - 1))) == 0 && process_running(process)) {
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        while (fgets(line, sizeof(line), file) != NULL)
            (void)sscanf(line, "SigCgt: %llx", &caught);
        (void)fclose(file);
        assert_true(process_now_ms() < end);
        process_sleep_ms(1);
    }
}

static void stop(struct process *process)
{
    process_signal(process, SIGINT);
    assert_int_equal(process_wait(process, VIEW_DEADLINE_MS), 0);
    if (process_exit_code(process) != 0)
        fail_msg("exit code %d: %s", process_exit_code(process), process_text(process, PROCESS_STDERR));
}

/* The objects that it printed, each a line; freed by the caller. */
static json_t *objects(struct process *process)
{
    json_t *array = json_array();
    const char *line = process_text(process, PROCESS_STDOUT);

    for (; *line != '\0'; line = strchr(line, '\n') + 1) {
        json_t *object = json_loadb(line, strcspn(line, "\n"), 0, NULL);
        if (!json_is_object(object))
            fail_msg("no JSON: %.200s", line);
        (void)json_array_append_new(array, object);
    }
    return array;
}

/* Calls that it shows, and that it says it missed. */
static void count(const json_t *array, json_int_t *ret_shown, json_int_t *ret_missed)
{
    const json_t *object;
    size_t i;

    *ret_shown = *ret_missed = 0;
    json_array_foreach ((json_t *)array, i, object) {
        const char *type = json_string_value(json_object_get(object, "type"));
        if (type == NULL)
            *ret_missed += view_integer(object, "missed");
        else
            *ret_shown += strcmp(type, "usage") == 0;
    }
}

/* Tail has looked at what is there once it shows a call that is recorded just for that. */
static void wait_until_it_looks(struct process *process, tkr_producer *producer)
{
    long end = process_now_ms() + VIEW_DEADLINE_MS;

    while (strstr(process_text(process, PROCESS_STDOUT), "are-you-there") == NULL) {
        assert_true(process_now_ms() < end);
        view_record(producer, "are-you-there", TKR_KIND_USER, NULL, 1, 0);
        process_sleep_ms(20);
    }
}

/* Until nothing more comes for half a second. */
static void wait_until_all_is_shown(struct process *process)
{
    size_t before = 0;
    size_t now;

    while ((now = strlen(process_text(process, PROCESS_STDOUT))) != before || now == 0) {
        before = now;
        process_sleep_ms(500);
    }
}

static void test_calls_are_shown_with_all_that_they_say(void **state)
{
    struct stage *stage = *state;
    struct process process;
    tkr_producer *producer = view_producer(stage);
    tkr_start start_of = view_start("alice", TKR_KIND_USER, "gpt-4o");
    tkr_usage usage = TKR_USAGE_INIT;
    const json_t *call;
    const json_t *account;
    json_t *shown;

    START(stage, &process, "--json", "--user", "alice");
    wait_until_it_catches(&process);
    process_sleep_ms(300); /* and has looked: what it did not see come is no more than the backlog, which is not asked for */
    start_of.account_count = 2;
    start_of.account[1] = (tkr_account){.kind = TKR_KIND_TEAM, .id = "red", .len = 3};
    start_of.start_ns = INT64_C(1795757575123456789);
    start_of.call_id[0] = 0xab;
    start_of.attempt = 2;
    usage.prompt = 812;
    usage.completion = 94;
    usage.end_ns = start_of.start_ns + 1234567000;
    usage.error = TKR_ERROR_TIMEOUT;
    assert_int_equal(tkr_record(producer, &start_of, &usage), TKR_OK);
    view_record(producer, "bob", TKR_KIND_USER, NULL, 1, 0);
    assert_int_equal(process_wait_text(&process, PROCESS_STDOUT, "\n", VIEW_DEADLINE_MS), 0);
    stop(&process);
    shown = objects(&process);
    assert_int_equal(json_array_size(shown), 1);
    call = json_array_get(shown, 0);
    assert_string_equal(view_text(call, "type"), "usage");
    assert_string_equal(view_text(call, "start"), "2026-11-27T05:32:55.123Z");
    assert_string_equal(view_text(call, "cycle"), "2026-11-01");
    assert_string_equal(view_text(call, "model"), "gpt-4o");
    assert_string_equal(view_text(call, "provider"), "openai");
    assert_string_equal(view_text(call, "error"), "timeout");
    assert_string_equal(view_text(call, "call_id"), "ab000000000000000000000000000000");
    assert_int_equal(view_integer(call, "attempt"), 2);
    assert_int_equal(view_integer(call, "prompt_tokens"), 812);
    assert_int_equal(view_integer(call, "completion_tokens"), 94);
    assert_int_equal(view_integer(call, "total_tokens"), 906);
    assert_int_equal(view_integer(call, "duration_us"), 1234567);
    assert_int_equal(view_integer(call, "pid"), getpid());
    assert_int_equal(json_array_size(json_object_get(call, "accounts")), 2);
    account = json_array_get(json_object_get(call, "accounts"), 1);
    assert_string_equal(view_text(account, "kind"), "team");
    assert_string_equal(view_text(account, "id"), "red");
    json_decref(shown);
    process_end(&process);
    tkr_close(producer);
}

/* Ids are strangers' bytes. */
static void test_bytes_that_are_no_text_are_shown_harmlessly(void **state)
{
    struct stage *stage = *state;
    struct process process;
    tkr_producer *producer;
    const char *text;

    assert_int_equal(prctl(PR_SET_NAME, "\x1b[2Jx"), 0);
    producer = view_producer(stage);
    view_record(producer,
                "a\xff\xc2\x9b"
                "b",
                TKR_KIND_USER, "m\xfe", 5, 0);
    START(stage, &process, "--backlog", "--count", "1");
    assert_int_equal(process_wait(&process, VIEW_DEADLINE_MS), 0);
    text = process_text(&process, PROCESS_STDOUT);
    if (strchr(text, '\x1b') != NULL || strstr(text, "\xc2\x9b") != NULL || strchr(text, '\xff') != NULL ||
        strstr(text, "a\xef\xbf\xbd") == NULL)
        fail_msg("%s", text);
    assert_non_null(strstr(process_text(&process, PROCESS_STDERR), "1 shown; missed: 0"));
    process_end(&process);
    tkr_close(producer);
}

static int record_and_end(struct stage *stage, int number)
{
    tkr_producer *producer = view_producer(stage);

    for (int i = 0; i < 20; i++)
        view_record(producer, number % 2 == 0 ? "even" : "odd", TKR_KIND_USER, NULL, number, 0);
    process_sleep_ms(200); /* who comes and goes within a moment may not be seen on a busy machine */
    tkr_close(producer);
    return 0;
}

/* Gateways that live for a moment, with a collector that removes what they leave. */
static void test_gateways_that_come_and_go_are_followed(void **state)
{
    struct stage *stage = *state;
    struct process process;
    tkr_producer *producer;
    json_int_t all;
    json_int_t missed;
    json_t *shown;

    stage_collector_start(stage, "1");
    producer = view_producer(stage);
    START(stage, &process, "--json");
    wait_until_it_looks(&process, producer);
    for (int i = 0; i < 12; i++)
        assert_int_equal(stage_exit_code(stage_fork(stage, record_and_end, i)), 0);
    stage_wait_regions(stage, 1);
    wait_until_all_is_shown(&process);
    stop(&process);
    shown = objects(&process);
    count(shown, &all, &missed);
    all = 0;
    for (size_t i = 0; i < json_array_size(shown); i++) {
        const json_t *account = json_array_get(json_object_get(json_array_get(shown, i), "accounts"), 0);
        const char *id = json_string_value(json_object_get(account, "id"));
        all += id != NULL && (strcmp(id, "even") == 0 || strcmp(id, "odd") == 0);
    }
    assert_int_equal(missed, 0);
    assert_int_equal(all, 12 * 20);
    json_decref(shown);
    process_end(&process);
    tkr_close(producer);
}

static int record_fast(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);

    (void)number;
    if (producer == NULL)
        return 1;
    for (int i = 0; i < FAST_CALLS; i++) {
        if (stage_record(stage, producer, i % STAGE_USERS, 1, 1) != TKR_OK)
            return 2;
    }
    tkr_close(producer);
    return 0;
}

/* Faster than anybody can print: what is shown and what is missed are all. */
static void test_what_is_too_fast_is_counted_as_missed(void **state)
{
    struct stage *stage = *state;
    struct process process;
    json_int_t shown_calls;
    json_int_t missed;
    json_t *shown;

    stage_collector_start(stage, "1");
    START(stage, &process, "--json");
    process_sleep_ms(500);
    assert_int_equal(stage_exit_code(stage_fork(stage, record_fast, 0)), 0);
    stage_wait_regions(stage, 0);
    wait_until_all_is_shown(&process);
    stop(&process);
    shown = objects(&process);
    count(shown, &shown_calls, &missed);
    print_message("shown %lld, missed %lld\n", (long long)shown_calls, (long long)missed);
    assert_true(shown_calls > 0);
    assert_int_equal(shown_calls + missed, atomic_load(&stage->truth->recorded));
    json_decref(shown);
    process_end(&process);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage); /* and nothing was disturbed */
}

static void wait_lines(struct process *process, int64_t count)
{
    long end = process_now_ms() + VIEW_DEADLINE_MS;
    int64_t lines = 0;

    while (lines < count && process_now_ms() < end) {
        lines = 0;
        for (const char *at = process_text(process, PROCESS_STDOUT); *at != '\0'; at++)
            lines += *at == '\n';
        process_sleep_ms(5);
    }
}

static void expect_shown(struct stage *stage, int64_t expected, const char *const words[])
{
    const char *argv[12] = {"tail", "--backlog", "--json"};
    struct process process;
    json_int_t shown_calls;
    json_int_t missed;
    json_t *shown;

    for (int i = 0; i < 6 && words[i] != NULL; i++)
        argv[i + 3] = words[i];
    start(stage, &process, argv + 1);
    wait_until_it_catches(&process);
    wait_lines(&process, expected);
    process_sleep_ms(200); /* what should not be shown would be, too */
    stop(&process);
    shown = objects(&process);
    count(shown, &shown_calls, &missed);
    if (shown_calls != expected)
        fail_msg("%s: %lld shown instead of %lld", words[0] != NULL ? words[0] : "all", (long long)shown_calls,
                 (long long)expected);
    json_decref(shown);
    process_end(&process);
}

#define EXPECT_SHOWN(stage, expected, ...) expect_shown(stage, expected, (const char *const[]){__VA_ARGS__, NULL})

static void test_filters_leave_out_what_is_not_wanted(void **state)
{
    struct stage *stage = *state;
    tkr_producer *producer = view_producer(stage);
    char pid[16];
    char region[VIEW_PATH_BYTES];

    view_record(producer, "alice", TKR_KIND_USER, "gpt-4o", 1, 0);
    view_record(producer, "alice", TKR_KIND_TEAM, "gpt-4o", 1, TKR_ERROR_NETWORK);
    view_record(producer, "bob", TKR_KIND_USER, "o1", 1, TKR_ERROR_TIMEOUT);
    view_record(producer, "bob", TKR_KIND_USER, NULL, 1, 0);
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    assert_true(view_find(stage, "region-", region));
    EXPECT_SHOWN(stage, 4, NULL);
    EXPECT_SHOWN(stage, 2, "--user", "alice");
    EXPECT_SHOWN(stage, 1, "--user", "alice", "--kind", "team");
    EXPECT_SHOWN(stage, 3, "--kind", "user");
    EXPECT_SHOWN(stage, 2, "--errors");
    EXPECT_SHOWN(stage, 2, "--model", "gpt-4o");
    EXPECT_SHOWN(stage, 1, "--model", "openai/o1");
    EXPECT_SHOWN(stage, 0, "--model", "other/o1");
    EXPECT_SHOWN(stage, 4, "--region", pid);
    strrchr(region, '-')[9] = '\0';
    EXPECT_SHOWN(stage, 4, "--region", strrchr(region, '-') + 1);
    EXPECT_SHOWN(stage, 0, "--region", "99999999");
    EXPECT_SHOWN(stage, 2, "--count", "2");
    tkr_close(producer);
}

static void test_wrong_options_are_told(void **state)
{
    static const char *const wrong[][2] = {{"--region=xyz", "--region=xyz: allowed are the first 4 to 32 digits"},
                                           {"--user=", "--user=: allowed are 1 to 255 bytes"},
                                           {"--kind=Team", "--kind=Team: allowed is a name"},
                                           {"--count=0", "--count=0: allowed is an integer"},
                                           {"x", "x: no operand is allowed"}};
    struct stage *stage = *state;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct process process;
        VIEW_RUN(stage, &process, "tail", wrong[i][0]);
        if (process_exit_code(&process) != 2 || strstr(process_text(&process, PROCESS_STDERR), wrong[i][1]) == NULL)
            fail_msg("%s: exit code %d: %s", wrong[i][0], process_exit_code(&process), process_text(&process, PROCESS_STDERR));
        process_end(&process);
    }
}

/* A region that is cut while it is read is let go, and the others go on. */
static void test_region_that_is_cut_is_let_go(void **state)
{
    struct stage *stage = *state;
    struct process process;
    tkr_producer *producer;
    char path[VIEW_PATH_BYTES];

    (void)stage_exit_code(stage_fork(stage, view_die, 0)); /* dead: its file is nobody's to miss */
    assert_true(view_find(stage, "region-", path));
    producer = view_producer(stage);
    START(stage, &process, "--json");
    wait_until_it_looks(&process, producer);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(process_wait_text(&process, PROCESS_STDERR, "is not read any more", VIEW_DEADLINE_MS), 0);
    view_record(producer, "after-all", TKR_KIND_USER, NULL, 1, 0);
    assert_int_equal(process_wait_text(&process, PROCESS_STDOUT, "after-all", VIEW_DEADLINE_MS), 0);
    stop(&process);
    process_end(&process);
    tkr_close(producer);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, stage_set_up, stage_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_calls_are_shown_with_all_that_they_say), T(test_bytes_that_are_no_text_are_shown_harmlessly),
        T(test_gateways_that_come_and_go_are_followed), T(test_what_is_too_fast_is_counted_as_missed),
        T(test_filters_leave_out_what_is_not_wanted),   T(test_wrong_options_are_told),
        T(test_region_that_is_cut_is_let_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
