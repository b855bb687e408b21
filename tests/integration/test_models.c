/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage by model, from the call to the sink and to `tokenring usage --by-model`: where every call tells a model, the models of an
 * account add up to the account, whatever is killed or lost on the way.
 */
#include <jansson.h>

#include "integration/stage_calls.h"

#define CALLS 1500
#define USERS 8
#define SETTLE_MS PROCESS_PATIENCE_MS
#define ROWS_MAX 512
#define MODELS_NOTE 0 /* in stage_truth.note: how many models calls are of */

/* Records a call of a user and of a model; a third of the models tell a provider. */
static int record_model(struct stage *stage, tkr_producer *producer, int user, int model, int64_t tokens)
{
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;
    char name[32];
    char id[16];

    (void)stage;
    start.cycle = STAGE_CYCLE;
    start.account_count = 2;
    start.account[0].id = id;
    start.account[0].len = (uint32_t)snprintf(id, sizeof(id), "user-%02d", user);
    start.account[1] = (tkr_account){.kind = TKR_KIND_TEAM, .id = "a:team", .len = 6};
    start.model = name;
    start.model_len = (uint32_t)snprintf(name, sizeof(name), "model:%02d", model);
    if (model % 3 == 0) {
        start.provider = "openai";
        start.provider_len = 6;
    }
    usage.prompt = tokens;
    usage.completion = 1;
    return tkr_record(producer, &start, &usage);
}

static int record_calls(struct stage *stage, int number)
{
    int models = (int)atomic_load(&stage->truth->note[MODELS_NOTE]);
    tkr_producer *producer = stage_producer(stage);

    if (producer == NULL)
        return 1;
    for (int i = 0; i < CALLS; i++) {
        if (record_model(stage, producer, i % USERS, i / USERS % models, 1 + i % 100 + number) != TKR_OK)
            return 2;
        atomic_fetch_add(&stage->truth->recorded, 1);
    }
    if (tkr_sync(producer, STAGE_DEADLINE_MS) != TKR_OK)
        return 3;
    tkr_close(producer);
    return 0;
}

static void record(struct stage *stage, int models, int number)
{
    atomic_store(&stage->truth->note[MODELS_NOTE], (uint64_t)models);
    assert_int_equal(stage_exit_code(stage_fork(stage, record_calls, number)), 0);
}

/* --- what the sink has --- */

struct row {
    char id[16];
    char model[40];
    int64_t total;
    int64_t calls;
};

struct rows {
    struct row row[ROWS_MAX];
    int count;
};

static int keep(const struct tkr_usage_row *row, void *arg)
{
    struct rows *rows = arg;
    struct row *kept = &rows->row[rows->count++];

    assert_true(rows->count < ROWS_MAX);
    (void)snprintf(kept->id, sizeof(kept->id), "%.*s", (int)row->id_len, row->id);
    (void)snprintf(kept->model, sizeof(kept->model), "%.*s", (int)row->model_len, row->model_len > 0 ? row->model : "");
    kept->total = row->counts.value[TKR_COUNTER_TOTAL];
    kept->calls = row->counts.value[TKR_COUNTER_CALLS];
    return 0;
}

/* In a static structure, one for each. */
static const struct rows *read_rows(const struct stage *stage, bool by_model)
{
    static struct rows kept[2];
    struct rows *rows = &kept[by_model];
    struct tkr_usage_query query = {.any_kind = 1, .by_model = by_model};
    tkr_sink *sink = stage_sink(stage);
    tkr_message message = {""};

    rows->count = 0;
    if (sink->ops->read(sink, &query, keep, rows, &message) != 0)
        fail_msg("%s", message.text);
    sink->ops->close(sink);
    return rows;
}

/* The sums over an account's models, and how many of these it has. */
static struct row sum_of(const struct rows *models, const char *id, int *ret_models)
{
    struct row sum = {.total = 0};

    *ret_models = 0;
    for (int i = 0; i < models->count; i++) {
        if (strcmp(models->row[i].id, id) != 0)
            continue;
        sum.total += models->row[i].total;
        sum.calls += models->row[i].calls;
        ++*ret_models;
    }
    return sum;
}

/* Does each account have so many models, which come to what it has itself, and all calls that were recorded? */
static bool adds_up(const struct stage *stage, int models)
{
    const struct rows *accounts = read_rows(stage, false);
    const struct rows *parts = read_rows(stage, true);
    int64_t calls = 0;
    int found;

    for (int i = 0; i < accounts->count; i++) {
        const struct row *account = &accounts->row[i];
        struct row sum = sum_of(parts, account->id, &found);
        if (sum.total != account->total || sum.calls != account->calls || found != models)
            return false;
        calls += strcmp(account->id, "a:team") == 0 ? account->calls : 0;
    }
    return calls == (int64_t)atomic_load(&stage->truth->recorded) && accounts->count == USERS + 1;
}

static void wait_adds_up(const struct stage *stage, int models)
{
    long end = process_now_ms() + SETTLE_MS;

    stage_wait_ledger(stage);
    while (!adds_up(stage, models)) {
        if (process_now_ms() > end)
            fail_msg("%d accounts and %d models do not add up", read_rows(stage, false)->count, read_rows(stage, true)->count);
        process_sleep_ms(20);
    }
}

static int64_t total_of(const struct stage *stage, const char *id, const char *model)
{
    const struct rows *rows = read_rows(stage, true);

    for (int i = 0; i < rows->count; i++) {
        if (strcmp(rows->row[i].id, id) == 0 && strcmp(rows->row[i].model, model) == 0)
            return rows->row[i].total;
    }
    return -1;
}

/* --- the command --- */

/* Runs `tokenring` with what follows. Its output, in a static buffer. */
static const char *run(struct stage *stage, int exit_code, const char *const args[])
{
    static char output[65536];
    const char *argv[10] = {TEST_BIN_DIR "/tokenring"};
    struct process process;
    int argc = 1;

    for (; *args != NULL; args++)
        argv[argc++] = *args;
    assert_int_equal(process_run(&process, argv, stage->env_list, SETTLE_MS), 0);
    if (process_exit_code(&process) != exit_code)
        fail_msg("exit status %d: %s", process_exit_code(&process), process_text(&process, PROCESS_STDERR));
    (void)snprintf(output, sizeof(output), "%s", process_text(&process, PROCESS_STDOUT));
    process_end(&process);
    return output;
}

#define RUN(...) run(stage, 0, (const char *const[]){__VA_ARGS__, NULL})

/* The command's JSON answer; freed by the caller. */
static json_t *parse(const char *text)
{
    json_t *answer = json_loads(text, 0, NULL);

    if (answer == NULL)
        fail_msg("no JSON: %s", text);
    return answer;
}

static json_int_t number_in(const char *text, const char *key)
{
    json_t *answer = parse(text);
    json_int_t number = json_integer_value(json_object_get(answer, key));

    json_decref(answer);
    return number;
}

static void kill_collector(struct stage *stage)
{
    process_signal(&stage->collector, SIGKILL);
    assert_int_equal(process_wait(&stage->collector, SETTLE_MS), 0);
}

/* --- the tests --- */

static void test_models_add_up_to_their_accounts(void **state)
{
    struct stage *stage = *state;

    stage_collector_start(stage, "1");
    record(stage, 5, 1);
    wait_adds_up(stage, 5);
    record(stage, 5, 2);
    stage_wait_regions(stage, 0);
    stage_collector_end(stage, 0);
    assert_true(adds_up(stage, 5));
    assert_true(total_of(stage, "user-00", "openai/model:03") > 0);
    assert_true(total_of(stage, "user-00", "model:04") > 0);
    assert_int_equal(total_of(stage, "user-00", "model:03"), -1);
    stage_assert_law(stage, atomic_load(&stage->truth->recorded));
    assert_int_equal(number_in(RUN("verify", "--json"), "agree"), 6 * (USERS + 1));
}

static void test_twenty_models_are_sixteen_and_other(void **state)
{
    struct stage *stage = *state;

    stage_collector_start(stage, "1");
    record(stage, 20, 1);
    stage_collector_end(stage, 0);
    stage_collector_start(stage, "1"); /* which counts them again */
    record(stage, 30, 2);
    stage_collector_end(stage, 0);
    assert_true(adds_up(stage, 17));
    assert_true(total_of(stage, "user-01", "other") > 0);
}

static void test_usage_is_not_split_when_told_so(void **state)
{
    struct stage *stage = *state;

    stage_env(stage, "TOKENRING_MODELS", "0");
    stage_collector_start(stage, "1");
    record(stage, 5, 1);
    stage_collector_end(stage, 0);
    assert_int_equal(read_rows(stage, true)->count, 0);
    assert_int_equal(read_rows(stage, false)->count, USERS + 1);
}

static void test_killed_collector_adds_up_again(void **state)
{
    struct stage *stage = *state;
    pid_t child[2];

    atomic_store(&stage->truth->note[MODELS_NOTE], 20);
    stage_collector_start(stage, "1");
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 2; i++)
            child[i] = stage_fork(stage, record_calls, i);
        while (atomic_load(&stage->truth->recorded) < (uint64_t)(2 * CALLS * round + CALLS))
            process_sleep_ms(1);
        kill_collector(stage);
        stage_collector_start(stage, "1");
        for (int i = 0; i < 2; i++)
            assert_int_equal(stage_exit_code(child[i]), 0);
    }
    stage_collector_end(stage, 0);
    assert_true(adds_up(stage, 17));
}

static void test_sink_that_goes_back_gets_accounts_and_models_again(void **state)
{
    struct stage *stage = *state;
    redisReply *reply;

    stage_collector_start(stage, "1");
    record(stage, 4, 1);
    wait_adds_up(stage, 4);
    reply = redis_server_command(&stage->server, "FLUSHALL");
    assert_non_null(reply);
    freeReplyObject(reply);
    wait_adds_up(stage, 4);
    record(stage, 4, 2);
    wait_adds_up(stage, 4);
    stage_collector_end(stage, 0);
}

/* Idle ones leave the memory and their records the sink; totals stay, and who comes back counts on. */
static void test_models_that_idle_are_forgotten_with_their_accounts(void **state)
{
    struct stage *stage = *state;
    long end = process_now_ms() + SETTLE_MS;

    stage_env(stage, "TOKENRING_FORGET_AFTER_S", "1");
    stage_collector_start(stage, "1");
    record(stage, 4, 1);
    while (stage_first_accounts(stage) > 0) {
        assert_true(process_now_ms() < end);
        process_sleep_ms(20);
    }
    record(stage, 4, 2);
    stage_collector_end(stage, 0);
    assert_true(adds_up(stage, 4));
}

static void test_usage_by_model_shows_a_row_for_each(void **state)
{
    struct stage *stage = *state;
    json_t *answer;
    const json_t *row;
    const char *text;

    stage_collector_start(stage, "1");
    record(stage, 2, 1);
    stage_collector_end(stage, 0);
    text = RUN("usage", "user-00", "--by-model");
    assert_non_null(strstr(text, "  model            "));
    assert_non_null(strstr(text, "  openai/model:00  "));
    assert_non_null(strstr(text, "  model:01         "));
    assert_null(strstr(text, "user-01"));
    text = RUN("usage", "user-00");
    assert_null(strstr(text, "model:01"));
    assert_null(strstr(text, "  model  "));
    answer = parse(RUN("usage", "--json", "--by-model", "--top", "1"));
    assert_int_equal(json_array_size(json_object_get(answer, "rows")), 1);
    row = json_array_get(json_object_get(answer, "rows"), 0);
    assert_string_equal(json_string_value(json_object_get(row, "id")), "a:team");
    assert_non_null(strstr(json_string_value(json_object_get(row, "model")), "model:0"));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(row, "unflushed"), "total_tokens")), 0);
    json_decref(answer);
    answer = parse(RUN("usage", "--json"));
    assert_int_equal(json_array_size(json_object_get(answer, "rows")), USERS + 1);
    assert_null(json_object_get(json_array_get(json_object_get(answer, "rows"), 0), "model"));
    json_decref(answer);
}

/* A report by models has as many lines as models, and they come to what the report of the account has. */
static void test_report_by_model_has_a_line_for_each(void **state)
{
    struct stage *stage = *state;
    json_t *answer;
    const char *text;
    size_t i;
    json_t *line;
    json_int_t sum = 0;

    stage_collector_start(stage, "1");
    record(stage, 2, 1);
    stage_collector_end(stage, 0);
    text = RUN("report", "user-00", "--from", "2000-01-01", "--to", "2099-12-01", "--by-model");
    assert_non_null(strstr(text, "user user-00, model openai/model:00\n"));
    assert_non_null(strstr(text, "user user-00, model model:01\n"));
    text = RUN("report", "user-00", "--from", "2000-01-01", "--to", "2099-12-01", "--by-model", "--csv");
    assert_int_equal(strncmp(text, "account,account_hex,kind,model,model_hex,cycle,prompt_tokens,", 61), 0);
    assert_non_null(strstr(text, "\r\n\"user-00\",,user,\"openai/model:00\",,2"));
    answer = parse(RUN("report", "user-00", "--from", "2000-01-01", "--to", "2099-12-01", "--by-model", "--json"));
    assert_int_equal(json_array_size(json_object_get(answer, "accounts")), 2);
    json_array_foreach (json_object_get(answer, "accounts"), i, line) {
        assert_non_null(json_object_get(line, "model"));
        sum += json_integer_value(json_object_get(json_object_get(line, "total"), "total_tokens"));
    }
    json_decref(answer);
    answer = parse(RUN("report", "user-00", "--from", "2000-01-01", "--to", "2099-12-01", "--json"));
    line = json_array_get(json_object_get(answer, "accounts"), 0);
    assert_null(json_object_get(line, "model"));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(line, "total"), "total_tokens")), sum);
    json_decref(answer);
}

/* What is counted and not flushed shows beside a model as beside an account. */
static void test_usage_by_model_shows_what_is_not_flushed(void **state)
{
    struct stage *stage = *state;
    json_t *answer;
    json_int_t flushed = 0;
    json_int_t unflushed = 0;

    stage_collector_start(stage, "1");
    record(stage, 2, 1);
    stage_collector_end(stage, 0);
    stage_env(stage, "TOKENRING_FLUSH_INTERVAL_MS", "3600000");
    stage_collector_start(stage, "1");
    record(stage, 2, 1);
    kill_collector(stage);
    answer = parse(RUN("usage", "a:team", "--kind", "team", "--json", "--by-model"));
    for (size_t i = 0; i < json_array_size(json_object_get(answer, "rows")); i++) {
        const json_t *row = json_array_get(json_object_get(answer, "rows"), i);
        flushed += json_integer_value(json_object_get(row, "calls"));
        unflushed += json_integer_value(json_object_get(json_object_get(row, "unflushed"), "calls"));
    }
    json_decref(answer);
    assert_true(unflushed > 0);
    assert_int_equal(flushed + unflushed, 2 * CALLS);
}

static int count_row(const struct tkr_usage_row *row, void *arg)
{
    (void)row;
    ++*(int *)arg;
    return 0;
}

static void test_gc_and_reset_take_the_models_along(void **state)
{
    struct stage *stage = *state;
    char elsewhere[STAGE_PATH_BYTES + 16];
    char name[32] = "";
    tkr_message message = {""};
    tkr_sink *sink = stage_sink(stage);
    json_t *answer;
    int records = 0;

    (void)snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", stage->dir);
    stage_collector_start(stage, "1");
    record(stage, 3, 1);
    stage_collector_end(stage, 0);
    answer = parse(RUN("stat", "--json"));
    (void)snprintf(name, sizeof(name), "%s", json_string_value(json_object_get(answer, "collector")));
    json_decref(answer);
    assert_int_equal(number_in(RUN("gc", name, "--wait", "1", "--runtime-dir", elsewhere, "--json"), "records"), 4 * (USERS + 1));
    assert_int_equal(sink->ops->records(sink, name, count_row, &records, &message), 0);
    assert_int_equal(records, 0);
    sink->ops->close(sink);
    assert_true(adds_up(stage, 3));
    (void)RUN("reset", "user-02", "--cycle", "all", "--yes");
    assert_in_range(total_of(stage, "user-02", "model:01") + 1, 0, 1); /* a row of 0, or none */
    assert_in_range(total_of(stage, "user-02", "openai/model:00") + 1, 0, 1);
    assert_true(total_of(stage, "user-03", "model:01") > 0);
}

static int models_of(const struct stage *stage, const char *id)
{
    const struct rows *rows = read_rows(stage, true);
    int models = 0;

    for (int i = 0; i < rows->count; i++)
        models += strcmp(rows->row[i].id, id) == 0;
    return models;
}

/* While the collector still has them: what comes after is all that there is then, of the account and of its models. */
static void test_forget_takes_the_models_along(void **state)
{
    struct stage *stage = *state;
    int64_t before;

    stage_collector_start(stage, "1");
    record(stage, 3, 1);
    wait_adds_up(stage, 3);
    before = total_of(stage, "user-02", "model:01");
    assert_true(before > 0);
    (void)RUN("forget", "user-02", "--yes");
    assert_int_equal(models_of(stage, "user-02"), 0);
    assert_int_equal(models_of(stage, "user-03"), 3);
    record(stage, 3, 1); /* the same calls once more */
    stage_collector_end(stage, 0);
    assert_int_equal(total_of(stage, "user-02", "model:01"), before);
    assert_int_equal(models_of(stage, "user-02"), 3);
}

/* Somebody's text in a counter of one model: it is named with its model and left whole; all others are written. */
static void test_poison_in_a_model_is_named_and_keeps_nobody_else(void **state)
{
    struct stage *stage = *state;
    redisReply *reply =
        redis_server_command(&stage->server, "HSET token_usage.models:user-00:2026-11-01 model:01:total_tokens text");
    const char *text;

    assert_non_null(reply);
    freeReplyObject(reply);
    stage_env(stage, "TOKENRING_PARKED_RETRY_MS", "50");
    stage_collector_start(stage, "1");
    record(stage, 2, 1);
    if (process_wait_text(&stage->collector, PROCESS_STDERR, "user user-00, cycle 2026-11-01, model model:01: ERR", SETTLE_MS) !=
        0)
        fail_msg("%s", process_text(&stage->collector, PROCESS_STDERR));
    text = run(stage, 0, (const char *const[]){"stat", NULL});
    assert_non_null(strstr(text, "parked: user user-00, cycle 2026-11-01, model model:01, since "));
    assert_true(total_of(stage, "user-00", "openai/model:00") > 0);
    assert_true(total_of(stage, "user-01", "model:01") > 0);
    reply = redis_server_command(&stage->server, "HDEL token_usage.models:user-00:2026-11-01 model:01:total_tokens");
    assert_non_null(reply);
    freeReplyObject(reply);
    wait_adds_up(stage, 2);
    stage_collector_end(stage, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_REDIS(test_models_add_up_to_their_accounts),
        IN_LEDGER(test_models_add_up_to_their_accounts),
        IN_REDIS(test_twenty_models_are_sixteen_and_other),
        IN_LEDGER(test_twenty_models_are_sixteen_and_other),
        IN_LEDGER(test_usage_is_not_split_when_told_so),
        IN_REDIS(test_killed_collector_adds_up_again),
        IN_LEDGER(test_killed_collector_adds_up_again),
        IN_REDIS(test_sink_that_goes_back_gets_accounts_and_models_again),
        IN_REDIS(test_models_that_idle_are_forgotten_with_their_accounts),
        IN_LEDGER(test_models_that_idle_are_forgotten_with_their_accounts),
        IN_REDIS(test_usage_by_model_shows_a_row_for_each),
        IN_LEDGER(test_usage_by_model_shows_a_row_for_each),
        IN_REDIS(test_report_by_model_has_a_line_for_each),
        IN_LEDGER(test_report_by_model_has_a_line_for_each),
        IN_LEDGER(test_usage_by_model_shows_what_is_not_flushed),
        IN_REDIS(test_gc_and_reset_take_the_models_along),
        IN_LEDGER(test_gc_and_reset_take_the_models_along),
        IN_REDIS(test_forget_takes_the_models_along),
        IN_LEDGER(test_forget_takes_the_models_along),
        IN_REDIS(test_poison_in_a_model_is_named_and_keeps_nobody_else),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
