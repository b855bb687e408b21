/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stage with several hosts on one sink, calls that charge a user and a team and tell a model, the commands, and the loss of
 * the sink.
 */
#ifndef TESTS_INTEGRATION_BACKUP_STAGE_H
#define TESTS_INTEGRATION_BACKUP_STAGE_H

#include <jansson.h>

#include "integration/stage_calls.h"

#define SETTLE_MS PROCESS_PATIENCE_MS
#define MODELS 4
#define NOTE_TEAM 0   /* in stage_truth.note: prompt tokens of the team */
#define NOTE_MODELS 1 /* and of its models */
#define TEAM "t\xff{0}:team*"
#define FILE_BYTES (STAGE_PATH_BYTES + 16)
#define SAID_BYTES 4096

/* Another host on the same sink, with the same truth; to be freed by host_free. */
static inline struct stage *host_make(const struct stage *stage, int number)
{
    struct stage *host = calloc(1, sizeof(*host));
    char state_dir[STAGE_PATH_BYTES + 8];

    assert_non_null(host);
    memcpy(host->dir, stage->dir, sizeof(host->dir));
    (void)snprintf(host->runtime, sizeof(host->runtime), "%s/run-%d", stage->dir, number);
    memcpy(host->ledger, stage->ledger, sizeof(host->ledger));
    host->truth = stage->truth;
    host->server = stage->server;
    host->redis = stage->redis;
    assert_int_equal(mkdir(host->runtime, 0700), 0);
    for (int i = 0; stage->env_list[i] != NULL; i++) {
        memcpy(host->env[i], stage->env[i], sizeof(host->env[i]));
        host->env_list[i] = host->env[i];
    }
    (void)snprintf(state_dir, sizeof(state_dir), "%s/state-%d", stage->dir, number);
    stage_env(host, "TOKENRING_RUNTIME_DIR", host->runtime);
    stage_env(host, "TOKENRING_STATE_DIR", state_dir);
    return host;
}

/* It is gone for good, with its memory. */
static inline void host_free(struct stage *host)
{
    char command[STAGE_PATH_BYTES + 16];

    process_end(&host->collector);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", host->runtime);
    assert_int_equal(system(command), 0);
    free(host);
}

/* --- calls --- */

static inline int record_call(struct stage *stage, tkr_producer *producer, int user, int64_t prompt, int64_t completion)
{
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;
    char model[16];
    char id[16];

    start.cycle = STAGE_CYCLE;
    start.account_count = 2;
    start.account[0].id = id;
    start.account[0].len = (uint32_t)snprintf(id, sizeof(id), "user-%02d", user);
    start.account[1] = (tkr_account){.kind = TKR_KIND_TEAM, .id = TEAM, .len = sizeof(TEAM) - 1};
    start.model = model;
    start.model_len = (uint32_t)snprintf(model, sizeof(model), "m:\xfe%d", user % MODELS);
    usage.prompt = prompt;
    usage.completion = completion;
    if (tkr_record(producer, &start, &usage) != TKR_OK)
        return -1;
    atomic_fetch_add(&stage->truth->prompt[user], prompt);
    atomic_fetch_add(&stage->truth->completion[user], completion);
    atomic_fetch_add(&stage->truth->calls[user], 1);
    atomic_fetch_add(&stage->truth->recorded, 1);
    atomic_fetch_add(&stage->truth->note[NOTE_TEAM], (uint64_t)prompt);
    atomic_fetch_add(&stage->truth->note[NOTE_MODELS + user % MODELS], (uint64_t)prompt);
    return 0;
}

/* Some calls of each user, counted when it ends. */
static inline int record_round(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);

    if (producer == NULL)
        return 1;
    for (int i = 0; i < 10 * STAGE_USERS; i++) {
        if (record_call(stage, producer, i % STAGE_USERS, 1 + i % 700, number) != 0)
            return 2;
    }
    if (tkr_sync(producer, SETTLE_MS) != TKR_OK)
        return 3;
    tkr_close(producer);
    return 0;
}

/* Until it is told to stop. */
static inline int record_on(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);

    if (producer == NULL)
        return 1;
    for (int i = 0; !atomic_load(&stage->truth->stop); i++) {
        if (record_call(stage, producer, (number + i) % STAGE_USERS, 1 + i % 1000, number) != 0)
            return 2;
        if (i % 20 == 0)
            process_sleep_ms(1);
    }
    tkr_close(producer);
    return 0;
}

static inline void record(struct stage *stage, int number)
{
    assert_int_equal(stage_exit_code(stage_fork(stage, record_round, number)), 0);
}

/* --- what the sink has, against the truth --- */

struct exactness {
    const struct stage *stage;
    int wrong;
    int rows; /* of those that have calls: after a reset there may be none */
};

/* STAGE_USERS: it is none of them. */
static inline unsigned user_number(const struct tkr_usage_row *row)
{
    unsigned user;

    if (row->kind != TKR_KIND_USER || row->id_len != 7 || memcmp(row->id, "user-", 5) != 0)
        return STAGE_USERS;
    user = 10 * (unsigned)(row->id[5] - '0') + (unsigned)(row->id[6] - '0');
    return user < STAGE_USERS ? user : STAGE_USERS;
}

static inline bool is_team(const struct tkr_usage_row *row)
{
    return row->kind == TKR_KIND_TEAM && row->id_len == sizeof(TEAM) - 1 && memcmp(row->id, TEAM, sizeof(TEAM) - 1) == 0;
}

/* Of a user all three figures, of the team one. */
static inline int check_row(const struct tkr_usage_row *row, void *arg)
{
    struct exactness *exactness = arg;
    const struct stage_truth *truth = exactness->stage->truth;
    int64_t prompt = row->counts.value[TKR_COUNTER_PROMPT];
    unsigned user = user_number(row);

    if (user < STAGE_USERS) {
        exactness->rows += atomic_load(&truth->calls[user]) > 0;
        exactness->wrong += prompt != atomic_load(&truth->prompt[user]) ||
                            row->counts.value[TKR_COUNTER_COMPLETION] != atomic_load(&truth->completion[user]) ||
                            row->counts.value[TKR_COUNTER_CALLS] != atomic_load(&truth->calls[user]);
    } else if (is_team(row)) {
        int model = row->model_len > 0 ? row->model[row->model_len - 1] - '0' : 0;
        exactness->rows++;
        exactness->wrong += prompt != (int64_t)atomic_load(&truth->note[row->model_len > 0 ? NOTE_MODELS + model : NOTE_TEAM]);
    }
    return 0;
}

/* How many of all rows are not what was recorded; of missing ones too. */
static inline int count_wrong(const struct stage *stage)
{
    struct exactness exactness = {.stage = stage};
    int needed = 1 + MODELS;
    tkr_sink *sink = stage_sink(stage);
    tkr_message message = {""};

    for (int by_model = 0; by_model < 2; by_model++) {
        struct tkr_usage_query query = {.any_kind = 1, .cycle = STAGE_CYCLE, .by_model = by_model == 1};
        if (sink->ops->read(sink, &query, check_row, &exactness, &message) != 0)
            fail_msg("%s", message.text);
    }
    sink->ops->close(sink);
    for (int user = 0; user < STAGE_USERS; user++)
        needed += atomic_load(&stage->truth->calls[user]) > 0 ? 2 : 0;
    return exactness.wrong + (needed - exactness.rows);
}

static inline void wait_exact(const struct stage *stage)
{
    long end = process_now_ms() + SETTLE_MS;

    stage_wait_ledger(stage);
    while (count_wrong(stage) > 0) {
        if (process_now_ms() > end)
            fail_msg("%d rows are not exact", count_wrong(stage));
        process_sleep_ms(20);
    }
}

/* --- commands --- */

/* Runs tokenring; the exit code, with what it said on both streams in `said`. */
static inline int run_command(struct stage *stage, const char *const arguments[], char said[SAID_BYTES])
{
    const char *argv[16] = {TEST_BIN_DIR "/tokenring"};
    struct process process;
    int exit_code;

    for (int i = 0; i < 14 && arguments[i] != NULL; i++)
        argv[i + 1] = arguments[i];
    assert_int_equal(process_run(&process, argv, stage->env_list, SETTLE_MS), 0);
    exit_code = process_exit_code(&process);
    (void)snprintf(said, SAID_BYTES, "%s%s", process_text(&process, PROCESS_STDOUT), process_text(&process, PROCESS_STDERR));
    process_end(&process);
    return exit_code;
}

/* The same; it must end with that code and say that text. */
static inline void expect(struct stage *stage, const char *const arguments[], int exit_code, const char *text)
{
    char said[SAID_BYTES];
    int found = run_command(stage, arguments, said);

    if (found != exit_code || strstr(said, text) == NULL)
        fail_msg("%s: exit code %d, not %d; said \"%s\", not \"%s\"", arguments[0], found, exit_code, said, text);
}

#define EXPECT(stage, exit_code, text, ...) expect(stage, (const char *const[]){__VA_ARGS__, NULL}, exit_code, text)

/* The JSON that a command prints, which must succeed; freed by the caller. */
static inline json_t *json_of(struct stage *stage, const char *const arguments[])
{
    char said[SAID_BYTES];
    int exit_code = run_command(stage, arguments, said);
    json_t *answer = json_loads(said, 0, NULL);

    if (exit_code != 0 || answer == NULL)
        fail_msg("%s: exit code %d, %s", arguments[0], exit_code, said);
    return answer;
}

static inline json_int_t number_in(const json_t *answer, const char *key)
{
    assert_true(json_is_integer(json_object_get(answer, key)));
    return json_integer_value(json_object_get(answer, key));
}

static inline json_int_t number_of(struct stage *stage, const char *const arguments[], const char *key)
{
    json_t *answer = json_of(stage, arguments);
    json_int_t number = number_in(answer, key);

    json_decref(answer);
    return number;
}

#define NUMBER(stage, key, ...) number_of(stage, (const char *const[]){__VA_ARGS__, "--json", NULL}, key)

static inline void redis_do(const struct stage *stage, const char *command)
{
    redisReply *reply = redis_server_command(&stage->server, command);

    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", command, reply->str);
    freeReplyObject(reply);
}

/* The sink loses all that it has. */
static inline void lose_sink(const struct stage *stage)
{
    char command[4 * STAGE_PATH_BYTES];

    if (stage->redis) {
        redis_do(stage, "FLUSHALL");
        return;
    }
    (void)snprintf(command, sizeof(command), "rm -f '%s' '%s-wal' '%s-shm'", stage->ledger, stage->ledger, stage->ledger);
    assert_int_equal(system(command), 0);
}

static inline void backup_path(const struct stage *stage, const char *name, char ret_path[FILE_BYTES])
{
    (void)snprintf(ret_path, FILE_BYTES, "%s/%s", stage->dir, name);
}

#endif
