/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's log: its file is rotated under load, what it says was recorded is what the sink has, and where ids are redacted none is
 * in it, whatever goes wrong.
 */
#include <jansson.h>

#include "integration/collector_stage.h"
#include "tokenring/callback.h"

#define LOG_PATH_BYTES (STAGE_PATH_BYTES + 16)
#define PRODUCERS 3
#define WAIT_MS PROCESS_PATIENCE_MS
#define MARK "SECRET" /* in each id of the accounts that are redacted */

static void log_path(const struct stage *stage, int rotation, char ret_path[LOG_PATH_BYTES])
{
    if (rotation < 0)
        (void)snprintf(ret_path, LOG_PATH_BYTES, "%s/log", stage->dir);
    else
        (void)snprintf(ret_path, LOG_PATH_BYTES, "%s/log.%d", stage->dir, rotation);
}

/* All that is in it; freed by the caller. */
static char *log_text(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    char *text;

    if (fd < 0)
        return calloc(1, 1);
    assert_int_equal(fstat(fd, &status), 0);
    text = calloc(1, (size_t)status.st_size + 1);
    assert_non_null(text);
    assert_true(read(fd, text, (size_t)status.st_size) >= 0); /* it may grow meanwhile */
    (void)close(fd);
    return text;
}

static void wait_logged(const struct stage *stage, const char *words)
{
    char path[LOG_PATH_BYTES];
    long end = process_now_ms() + WAIT_MS;
    bool there = false;

    log_path(stage, -1, path);
    while (!there) {
        char *text = log_text(path);
        there = strstr(text, words) != NULL;
        if (!there && process_now_ms() > end)
            fail_msg("no \"%s\" in: %s", words, text);
        free(text);
        process_sleep_ms(5);
    }
}

static void start(struct stage *stage, const char *workers)
{
    const char *argv[] = {COLLECTOR, NULL};
    char path[LOG_PATH_BYTES];

    log_path(stage, -1, path);
    stage_env(stage, "TOKENRING_LOG_FILE", path);
    stage_env(stage, "TOKENRING_WORKERS", workers);
    assert_int_equal(process_start(&stage->collector, argv, stage->env_list), 0);
    wait_logged(stage, "collecting in");
}

/* --- what was recorded --- */

static int record_until_told(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);

    if (producer == NULL)
        return 1;
    for (int i = number; !atomic_load(&stage->truth->stop); i++) {
        if (stage_record(stage, producer, i * 7 % STAGE_USERS, 1 + i % 700, number + i % 300) != TKR_OK)
            return 2;
        if (i % 50 == 0)
            process_sleep_ms(1);
    }
    if (tkr_sync(producer, STAGE_DEADLINE_MS) != TKR_OK)
        return 3;
    tkr_close(producer);
    return 0;
}

/* What all lines together say. */
struct told {
    int64_t tokens[STAGE_USERS];
    int64_t more_tokens;
    int lines;
    int named_in_a_row; /* of one flush and of those before it without a sum */
    int named_most;
    int sums;
};

static void take_recorded(struct told *told, const char *message, const char *line)
{
    long long tokens;
    long long accounts;
    int user;
    int end = 0;

    if (sscanf(message, "Recorded %lld tokens for user user-%d%n", &tokens, &user, &end) == 2 && end > 0) {
        assert_in_range(user, 0, STAGE_USERS - 1);
        told->tokens[user] += tokens;
        told->named_in_a_row++;
    } else if (sscanf(message, "Recorded %lld tokens for %lld more accounts%n", &tokens, &accounts, &end) == 2 && end > 0) {
        told->more_tokens += tokens;
        told->sums++;
        if (told->named_in_a_row > told->named_most)
            told->named_most = told->named_in_a_row;
        told->named_in_a_row = 0;
    } else {
        fail_msg("%s", line);
    }
}

static void take_text(struct told *told, const char *line)
{
    static const char *const others[] = {"collecting in ", "all counted and flushed; leaving", "shard-0: put back a batch "};
    bool other = false;
    const char *message = line + strlen("2026-11-23T12:50:31.123Z info    ");

    if (strlen(line) < 40 || line[10] != 'T' || line[23] != 'Z')
        fail_msg("no line: %s", line);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        other = other || strncmp(message, others[i], strlen(others[i])) == 0;
    if (!other)
        take_recorded(told, message, line);
    if (strstr(message, " user ") != NULL && strcmp(line + strlen(line) - 17, " cycle=2026-11-01") != 0)
        fail_msg("no whole line: %s", line);
}

static void take_json(struct told *told, const char *line)
{
    json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    const char *message = json_string_value(json_object_get(object, "message"));

    if (object == NULL || message == NULL)
        fail_msg("no JSON: %s", line);
    if (strncmp(message, "Recorded ", 9) == 0)
        take_recorded(told, message, line);
    if (json_object_get(object, "account") != NULL) {
        assert_string_equal(json_string_value(json_object_get(object, "kind")), "user");
        assert_string_equal(json_string_value(json_object_get(object, "cycle")), "2026-11-01");
        assert_true(json_integer_value(json_object_get(object, "tokens")) > 0);
    }
    json_decref(object);
}

static void take_file(struct told *told, const char *path, bool json)
{
    char *text = log_text(path);
    char *rest = text;
    char *line;

    while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
        (json ? take_json : take_text)(told, line);
        told->lines++;
    }
    assert_null(rest); /* the last one is whole */
    free(text);
}

static int64_t recorded_truth(const struct stage *stage, int user)
{
    return atomic_load(&stage->truth->prompt[user]) + atomic_load(&stage->truth->completion[user]);
}

static void assert_told_exactly(const struct stage *stage, const struct told *told, bool each)
{
    int64_t sum = told->more_tokens;
    int64_t truth = 0;

    for (int user = 0; user < STAGE_USERS; user++) {
        if (each)
            assert_int_equal(told->tokens[user], recorded_truth(stage, user));
        sum += told->tokens[user];
        truth += recorded_truth(stage, user);
    }
    assert_int_equal(sum, truth);
}

/* Rotates as logrotate does, while producers record; returns how often. */
static int rotate_under_load(struct stage *stage, int rounds, int pause_ms)
{
    pid_t producer[PRODUCERS];
    char path[LOG_PATH_BYTES];
    char rotated[LOG_PATH_BYTES];

    for (int i = 0; i < PRODUCERS; i++)
        producer[i] = stage_fork(stage, record_until_told, i);
    log_path(stage, -1, path);
    for (int i = 0; i < rounds; i++) {
        long begun = process_now_ms();
        log_path(stage, i, rotated);
        assert_int_equal(rename(path, rotated), 0);
        process_signal(&stage->collector, SIGHUP);
        while (access(path, F_OK) != 0) {
            if (process_now_ms() - begun > WAIT_MS)
                fail_msg("the log is not opened again");
            process_sleep_ms(1);
        }
        process_sleep_ms(pause_ms);
    }
    atomic_store(&stage->truth->stop, true);
    for (int i = 0; i < PRODUCERS; i++)
        assert_int_equal(stage_exit_code(producer[i]), 0);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
    return rounds;
}

static void run_rotated(struct stage *stage, const char *workers, bool json)
{
    struct told told = {.lines = 0};
    char path[LOG_PATH_BYTES];
    int rotations;

    stage_env(stage, "TOKENRING_FLUSH_INTERVAL_MS", "10");
    stage_env(stage, "TOKENRING_LOG_RECORDED", "1000000");
    stage_env(stage, "LOG_FORMAT", json ? "json" : "text");
    start(stage, workers);
    rotations = rotate_under_load(stage, 40, 20);
    for (int i = -1; i < rotations; i++) {
        log_path(stage, i, path);
        take_file(&told, path, json);
    }
    assert_told_exactly(stage, &told, true);
    assert_int_equal(told.sums, 0);
    assert_true(told.lines > STAGE_USERS + 2);
}

static void test_rotated_log_has_every_line_whole_and_sums_up_to_what_was_flushed(void **state)
{
    run_rotated(*state, "1", false);
}

static void test_rotated_json_log_of_several_workers_sums_up_to_what_was_flushed(void **state)
{
    run_rotated(*state, "3", true);
}

static void test_limited_lines_of_a_flush_and_their_sum_are_all_that_was_flushed(void **state)
{
    struct stage *stage = *state;
    struct told told = {.lines = 0};
    char path[LOG_PATH_BYTES];

    stage_env(stage, "TOKENRING_LOG_RECORDED", "3");
    start(stage, "2");
    (void)rotate_under_load(stage, 1, 500);
    for (int i = -1; i < 1; i++) {
        log_path(stage, i, path);
        take_file(&told, path, false);
    }
    assert_told_exactly(stage, &told, false);
    assert_true(told.sums > 0);
    assert_int_equal(told.named_most, 3);
}

static void test_nothing_is_recorded_unless_it_is_asked_for(void **state)
{
    struct stage *stage = *state;
    struct told told = {.lines = 0};
    char path[LOG_PATH_BYTES];

    start(stage, "1");
    (void)rotate_under_load(stage, 1, 100);
    for (int i = -1; i < 1; i++) {
        log_path(stage, i, path);
        take_file(&told, path, false);
    }
    assert_int_equal(told.lines, 2);
}

/* What was acknowledged before a kill and after it adds up, but for the flush that was under way. */
static void test_killed_collector_records_nothing_twice(void **state)
{
    struct stage *stage = *state;
    struct told told = {.lines = 0};
    char path[LOG_PATH_BYTES];
    int64_t sum = 0;
    int64_t truth = 0;
    pid_t producer;

    stage_env(stage, "TOKENRING_FLUSH_INTERVAL_MS", "10");
    stage_env(stage, "TOKENRING_LOG_RECORDED", "1000");
    start(stage, "1");
    producer = stage_fork(stage, record_until_told, 1);
    for (int i = 0; i < 10; i++) {
        process_sleep_ms(30);
        process_end(&stage->collector);
        start(stage, "1");
    }
    atomic_store(&stage->truth->stop, true);
    assert_int_equal(stage_exit_code(producer), 0);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
    log_path(stage, -1, path);
    take_file(&told, path, false);
    for (int user = 0; user < STAGE_USERS; user++) {
        assert_true(told.tokens[user] <= recorded_truth(stage, user));
        sum += told.tokens[user];
        truth += recorded_truth(stage, user);
    }
    assert_in_range(sum, truth / 4, truth);
}

/* --- a log that nobody reads --- */

#define PIPE_BYTES 4096

/* Its standard error is a pipe that is full, at whose other end somebody sits and does nothing. */
static int start_into_a_full_pipe(struct stage *stage)
{
    static const char full[PIPE_BYTES];
    const char *argv[] = {"/bin/sh", "-c", "exec " COLLECTOR " 2> \"$TEST_PIPE\"", NULL};
    char path[LOG_PATH_BYTES];
    int pipe_fd;

    (void)snprintf(path, sizeof(path), "%s/pipe", stage->dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    pipe_fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(pipe_fd >= 0);
    assert_int_equal(fcntl(pipe_fd, F_SETPIPE_SZ, PIPE_BYTES), PIPE_BYTES);
    assert_int_equal(write(pipe_fd, full, PIPE_BYTES), PIPE_BYTES);
    stage_env(stage, "TEST_PIPE", path);
    assert_int_equal(process_start(&stage->collector, argv, stage->env_list), 0);
    return pipe_fd;
}

static void test_log_that_nobody_reads_holds_up_neither_counting_nor_flushing_nor_the_end(void **state)
{
    struct stage *stage = *state;
    pid_t producer[PRODUCERS];
    char bytes[2 * PIPE_BYTES];
    int pipe_fd;
    long begun;

    stage_env(stage, "LOG_LEVEL", "debug");
    stage_env(stage, "TOKENRING_FLUSH_INTERVAL_MS", "10");
    stage_env(stage, "TOKENRING_LOG_RECORDED", "1000000");
    pipe_fd = start_into_a_full_pipe(stage);
    for (int i = 0; i < PRODUCERS; i++)
        producer[i] = stage_fork(stage, record_until_told, i);
    process_sleep_ms(1500);
    atomic_store(&stage->truth->stop, true);
    for (int i = 0; i < PRODUCERS; i++)
        assert_int_equal(stage_exit_code(producer[i]), 0); /* all of theirs is counted */
    begun = process_now_ms();
    stage_collector_end(stage, 0);
    assert_true(process_now_ms() - begun < 10000);
    stage_assert_exact(stage);
    assert_int_equal(read(pipe_fd, bytes, sizeof(bytes)), PIPE_BYTES); /* it was full all the time */
    (void)close(pipe_fd);
}

/* --- signals and refusals --- */

static void test_hangup_without_a_file_changes_nothing(void **state)
{
    struct stage *stage = *state;

    stage_collector_start(stage, "1");
    for (int i = 0; i < 20; i++) {
        process_signal(&stage->collector, SIGHUP);
        process_sleep_ms(1);
    }
    assert_true(process_running(&stage->collector));
    stage_collector_end(stage, 0);
    assert_null(strstr(process_text(&stage->collector, PROCESS_STDERR), "warning"));
}

/* `tokenring health` begins with such a line and has such words. */
static bool health_says(struct stage *stage, const char *grade, const char *words)
{
    const char *argv[] = {TEST_BIN_DIR "/tokenring", "health", NULL};
    struct process process;
    bool says;

    assert_int_equal(process_run(&process, argv, stage->env_list, WAIT_MS), 0);
    says = strncmp(process_text(&process, PROCESS_STDOUT), grade, strlen(grade)) == 0 &&
           strstr(process_text(&process, PROCESS_STDOUT), words) != NULL;
    process_end(&process);
    return says;
}

static void wait_health(struct stage *stage, const char *grade, const char *words)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;

    while (!health_says(stage, grade, words)) {
        if (process_now_ms() > end)
            fail_msg("health does not become %s%s: %s", grade, words, process_text(&stage->collector, PROCESS_STDERR));
        process_sleep_ms(20);
    }
}

static void test_directory_of_the_log_that_vanished_is_told_and_waited_for(void **state)
{
    const char *argv[] = {COLLECTOR, NULL};
    struct stage *stage = *state;
    char folder[STAGE_PATH_BYTES];
    char path[LOG_PATH_BYTES + 8];
    char *text;

    (void)snprintf(folder, sizeof(folder), "%s/logs", stage->dir);
    (void)snprintf(path, sizeof(path), "%s/log", folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    stage_env(stage, "TOKENRING_LOG_FILE", path);
    assert_int_equal(process_start(&stage->collector, argv, stage->env_list), 0);
    wait_health(stage, "healthy\n", "");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    process_signal(&stage->collector, SIGHUP);
    wait_health(stage, "degraded\n",
                "/logs/log: cannot be opened: No such file or directory; the log goes to standard error until it can be");
    if (process_wait_text(&stage->collector, PROCESS_STDERR, "the log goes to standard error, trying again", WAIT_MS) != 0)
        fail_msg("standard error has: %s", process_text(&stage->collector, PROCESS_STDERR));
    assert_int_equal(mkdir(folder, 0700), 0);
    wait_health(stage, "healthy\n", "");
    stage_collector_end(stage, 0);
    text = log_text(path);
    assert_non_null(strstr(text, "/logs/log again; lines since it could not be opened are on standard error\n"));
    assert_non_null(strstr(text, "all counted and flushed; leaving\n"));
    free(text);
}

static void refuse(struct stage *stage, const char *name, const char *value, const char *sentence)
{
    const char *argv[] = {COLLECTOR, NULL};
    struct process process;

    stage_env(stage, name, value);
    assert_int_equal(process_run(&process, argv, stage->env_list, STAGE_DEADLINE_MS), 0);
    assert_int_equal(process_exit_code(&process), 1);
    if (strstr(process_text(&process, PROCESS_STDERR), sentence) == NULL)
        fail_msg("no \"%s\" in: %s", sentence, process_text(&process, PROCESS_STDERR));
    process_end(&process);
    stage_env(stage, name, "");
}

static void test_what_it_cannot_log_to_or_understand_keeps_it_from_starting(void **state)
{
    struct stage *stage = *state;
    char path[LOG_PATH_BYTES];
    char *text;

    refuse(stage, "TOKENRING_LOG_FILE", "/no/such/folder/log",
           " error   TOKENRING_LOG_FILE=/no/such/folder/log: cannot be opened: No such file or directory; allowed is a file to "
           "append to\n");
    refuse(stage, "TOKENRING_LOG_REDACT", "maybe", "TOKENRING_LOG_REDACT=maybe: allowed is an integer from 0 to 1\n");
    refuse(stage, "TOKENRING_LOG_RECORDED", "1000001",
           "TOKENRING_LOG_RECORDED=1000001: allowed is an integer from 0 to 1000000\n");
    log_path(stage, -1, path);
    stage_env(stage, "TOKENRING_LOG_FILE", path);
    refuse(stage, "TOKENRING_LOG_RECORDED", "-1",
           "tokenringd: TOKENRING_LOG_RECORDED=-1: allowed is an integer from 0 to 1000000\n");
    text = log_text(path); /* and there, too */
    assert_non_null(strstr(text, " error   TOKENRING_LOG_RECORDED=-1: allowed is an integer from 0 to 1000000\n"));
    free(text);
}

/* --- redacted --- */

struct odd {
    const char *id;
    uint32_t len;
};
#define ODD(text)              \
    {                          \
        text, sizeof(text) - 1 \
    }

enum { PLAIN, POISONED, POISONED_TOO, POISONED_OF_MANY, LIMITED, LOST, FORGOTTEN, CALLED, LAST };
static const struct odd odds[] = {
    [PLAIN] = ODD(MARK " plain cycle=2020-01-01"),
    [POISONED] = ODD("token_usage:" MARK ":2026-11-01"),
    [POISONED_TOO] = ODD("\"},{\"account\":\"" MARK "\\"),
    [POISONED_OF_MANY] = ODD(MARK "\xff\xfe{tokens}%s%n"),
    [LIMITED] = ODD("J\xc3\xb6rg's " MARK),
    [LOST] = ODD("#" MARK "#"),
    [FORGOTTEN] = ODD("a" MARK),
    [CALLED] = ODD(MARK "@example.org"),
    [LAST] = ODD("tr1:{0}:" MARK),
};

static tkr_account odd_account(int i)
{
    return (tkr_account){.id = odds[i].id, .len = odds[i].len};
}

static int record_odds(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);
    tkr_usage usage = TKR_USAGE_INIT;

    usage.prompt = 7;
    for (int i = 0; producer != NULL && i <= LAST; i++) {
        tkr_start begun = TKR_START_INIT;
        tkr_limit limit = TKR_LIMIT_INIT;
        begun.cycle = STAGE_CYCLE;
        begun.account_count = 1;
        begun.account[0] = odd_account(i);
        begun.model = "gpt-4o";
        begun.model_len = 6;
        if (tkr_record(producer, &begun, &usage) != TKR_OK ||
            tkr_limit_check(producer, &begun.account[0], STAGE_CYCLE, number, &limit) != TKR_OK)
            return 1;
    }
    if (producer == NULL || tkr_sync(producer, STAGE_DEADLINE_MS) != TKR_OK)
        return 2;
    tkr_close(producer);
    return 0;
}

static void record_all(struct stage *stage)
{
    assert_int_equal(stage_exit_code(stage_fork(stage, record_odds, 1)), 0);
}

static int fail_always(void *user, const tkr_response *response, tkr_callback_context *context)
{
    (void)user;
    (void)response;
    (void)context;
    return -7;
}

/* Handlers that find a call slow, that fail, that miss its usage. */
static int call_odds(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);
    tkr_callback_functions functions = TKR_CALLBACK_FUNCTIONS_INIT;
    tkr_performance_options performance = TKR_PERFORMANCE_OPTIONS_INIT;
    tkr_callback_options counting = TKR_CALLBACK_OPTIONS_INIT;
    tkr_callback_context context = TKR_CALLBACK_CONTEXT_INIT;
    tkr_response response = TKR_RESPONSE_INIT;
    tkr_callback *one[3] = {NULL};

    (void)number;
    if (producer == NULL)
        return 1;
    functions.type = "billing_export";
    functions.on_llm_end = fail_always;
    performance.slow_ms = 1;
    performance.producer = counting.producer = producer;
    if (tkr_custom_callback(&functions, NULL, producer, &one[0]) != TKR_OK ||
        tkr_performance_callback(&performance, &one[1]) != TKR_OK || tkr_token_callback(&counting, &one[2]) != TKR_OK)
        return 2;
    for (int i = 0; i < 3; i++) {
        context = (tkr_callback_context)TKR_CALLBACK_CONTEXT_INIT;
        context.start.account_count = 1;
        context.start.account[0] = odd_account(CALLED);
        (void)tkr_on_llm_start(one[i], NULL, 0, &context);
        process_sleep_ms(3);
        (void)tkr_on_llm_end(one[i], &response, &context);
        tkr_callback_release(one[i]);
    }
    if (tkr_sync(producer, STAGE_DEADLINE_MS) != TKR_OK)
        return 3;
    tkr_close(producer);
    return 0;
}

/* A command whose second argument is made of what stands before and behind the id in the key. */
static void with_key(const struct stage *stage, const char *command, const char *before, int odd, const char *rest)
{
    char format[128];

    (void)snprintf(format, sizeof(format), "%s %s%%b%s", command, before, rest);
    freeReplyObject(redis_server_command(&stage->server, format, odds[odd].id, (size_t)odds[odd].len));
}

static void forget_odd(struct stage *stage)
{
    const char *argv[] = {TEST_BIN_DIR "/tokenring", "forget", odds[FORGOTTEN].id, "--yes", NULL};
    struct process process;

    assert_int_equal(process_run(&process, argv, stage->env_list, STAGE_DEADLINE_MS), 0);
    if (process_exit_code(&process) != 0)
        fail_msg("forget: %s", process_text(&process, PROCESS_STDERR));
    process_end(&process);
}

/* Everything of which the log has something to say about accounts goes wrong, one after another. */
static void go_wrong(struct stage *stage, bool hgetall)
{
    with_key(stage, "SET", "token_usage:", POISONED, ":2026-11-01 text");
    with_key(stage, "SET", "token_usage:", POISONED_TOO, ":2026-11-01 text");
    with_key(stage, "SET", "token_usage.models:", POISONED_OF_MANY, ":2026-11-01 text");
    with_key(stage, "HSET", "token_usage:", LIMITED, ":2026-11-01 usage_limit many");
    start(stage, "2");
    record_all(stage);
    wait_logged(stage, "kept here and tried again every 50 ms");
    wait_logged(stage, hgetall ? "the limit of user " : "limits cannot be looked up: Redis answered: ERR unknown command");
    assert_int_equal(stage_exit_code(stage_fork(stage, call_odds, 0)), 0);
    wait_logged(stage, "Slow callback: performance took ");
    wait_logged(stage, "billing_export: handler failed: it answered -7");
    wait_logged(stage, "token: a call ended without usage");
    with_key(stage, "DEL", "token_usage:", POISONED, ":2026-11-01");
    wait_logged(stage, "the sink takes it again");
    with_key(stage, "DEL", "tr1:{0}:", LOST, ":2026-11-01");
    if (hgetall)
        forget_odd(stage);
    record_all(stage);
    wait_logged(stage, "the sink has lost this collector's record of it");
    if (hgetall)
        wait_logged(stage, "the account was forgotten in the sink");
    redis_server_kill(&stage->server);
    record_all(stage);
    wait_logged(stage, "the sink does not take usage");
    assert_int_equal(redis_server_restart(&stage->server), 0);
    wait_logged(stage, "the sink takes usage again");
    wait_logged(stage, "all accounts are compared with the sink"); /* it came back empty */
    process_signal(&stage->collector, SIGTERM);
    assert_int_equal(process_wait(&stage->collector, STAGE_DEADLINE_MS), 0);
}

static char *log_of_all(struct stage *stage, const char *redact, const char *format, bool hgetall)
{
    char path[LOG_PATH_BYTES];

    stage_env(stage, "LOG_LEVEL", "debug");
    stage_env(stage, "LOG_FORMAT", format);
    stage_env(stage, "TOKENRING_PARKED_RETRY_MS", "50");
    stage_env(stage, "TOKENRING_LOG_RECORDED", "1000");
    stage_env(stage, "TOKENRING_LOG_REDACT", redact);
    go_wrong(stage, hgetall);
    log_path(stage, -1, path);
    return log_text(path);
}

static int count(const char *text, const char *words)
{
    int n = 0;

    for (; (text = strstr(text, words)) != NULL; text++)
        n++;
    return n;
}

/* The line in which the words stand, or the next one that has them. */
static char *line_with(const char *text, const char *words)
{
    const char *at = strstr(text, words);
    const char *begin = at;

    assert_non_null(at);
    while (begin > text && begin[-1] != '\n')
        begin--;
    return strndup(begin, strcspn(begin, "\n"));
}

static void assert_no_id(struct stage *stage, const char *format, bool hgetall)
{
    char *text = log_of_all(stage, "1", format, hgetall);

    if (strstr(text, MARK) != NULL)
        fail_msg("an id: %s", line_with(text, MARK));
    if (strstr(text, "534543524554") != NULL) /* in hex */
        fail_msg("an id in hex: %s", line_with(text, "534543524554"));
    assert_null(strstr(process_text(&stage->collector, PROCESS_STDERR), MARK));
    assert_true(count(text, "user #") > 10);
    assert_true(count(text, ", key #") >= 3);
    free(text);
}

/* So that the tests that find no id in redacted logs mean something. */
static void test_log_names_accounts_where_it_is_not_redacted(void **state)
{
    static const char *const says[] = {"Recorded ",
                                       "kept here and tried again every 50 ms",
                                       "the limit of user ",
                                       "Slow callback: performance took ",
                                       "billing_export: handler failed",
                                       "token: a call ended without usage",
                                       "the sink takes it again",
                                       "the sink has lost this collector's record of it",
                                       "the account was forgotten in the sink"};
    char *text = log_of_all(*state, "0", "text", true);

    for (size_t i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
        char *line = line_with(text, says[i]);
        if (strstr(line, MARK) == NULL)
            fail_msg("no id: %s", line);
        free(line);
    }
    free(text);
}

static void test_redacted_log_holds_no_id_whatever_goes_wrong(void **state)
{
    assert_no_id(*state, "text", true);
}

static void test_redacted_json_log_holds_no_id_whatever_goes_wrong(void **state)
{
    assert_no_id(*state, "json", true);
}

static void test_redacted_log_holds_no_id_where_redis_repeats_what_it_is_asked(void **state)
{
    assert_no_id(*state, "text", false);
}

static int set_up_redis_without_hgetall(void **state)
{
    static const char *const extra[] = {"--rename-command", "HGETALL", "", NULL};
    struct stage *stage;

    if (stage_set_up(state) != 0)
        return -1;
    stage = *state;
    if (redis_server_start(&stage->server, extra) != 0)
        return -1;
    stage->redis = true;
    stage_env(stage, "TOKENRING_SINK", "redis");
    stage_env(stage, "REDIS_SOCKET", stage->server.socket);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(test_rotated_log_has_every_line_whole_and_sums_up_to_what_was_flushed),
        IN_BOTH(test_rotated_json_log_of_several_workers_sums_up_to_what_was_flushed),
        IN_BOTH(test_limited_lines_of_a_flush_and_their_sum_are_all_that_was_flushed),
        IN_LEDGER(test_nothing_is_recorded_unless_it_is_asked_for),
        IN_BOTH(test_killed_collector_records_nothing_twice),
        IN_BOTH(test_log_that_nobody_reads_holds_up_neither_counting_nor_flushing_nor_the_end),
        IN_LEDGER(test_hangup_without_a_file_changes_nothing),
        IN_LEDGER(test_directory_of_the_log_that_vanished_is_told_and_waited_for),
        IN_LEDGER(test_what_it_cannot_log_to_or_understand_keeps_it_from_starting),
        IN_REDIS(test_log_names_accounts_where_it_is_not_redacted),
        IN_REDIS(test_redacted_log_holds_no_id_whatever_goes_wrong),
        IN_REDIS(test_redacted_json_log_holds_no_id_whatever_goes_wrong),
        cmocka_unit_test_setup_teardown(test_redacted_log_holds_no_id_where_redis_repeats_what_it_is_asked,
                                        set_up_redis_without_hgetall, stage_tear_down),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
