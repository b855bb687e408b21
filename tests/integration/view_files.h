/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a host in small that views look at: regions of gateways that are alive and dead, and all that a collector keeps. */
#ifndef TESTS_INTEGRATION_VIEW_FILES_H
#define TESTS_INTEGRATION_VIEW_FILES_H

#include <jansson.h>

#include "integration/collector_stage.h"

#define VIEW_COMMAND TEST_BIN_DIR "/tokenring"
#define VIEW_DEADLINE_MS PROCESS_PATIENCE_MS
#define VIEW_CALLS 300
#define VIEW_OPEN 3
#define VIEW_PATH_BYTES (STAGE_PATH_BYTES + 256)

/* A gateway whose region is small. */
static inline tkr_producer *view_producer(const struct stage *stage)
{
    tkr_options options = TKR_OPTIONS_INIT;
    tkr_producer *producer = NULL;

    options.runtime_dir = stage->runtime;
    options.lane_bytes = 16384;
    options.region_bytes_max = 128 << 10;
    options.max_open_calls = 64;
    assert_int_equal(tkr_open(&options, &producer), TKR_OK);
    return producer;
}

static inline tkr_start view_start(const char *id, uint64_t kind, const char *model)
{
    tkr_start start = TKR_START_INIT;

    start.cycle = STAGE_CYCLE;
    start.account_count = 1;
    start.account[0].kind = kind;
    start.account[0].id = id;
    start.account[0].len = (uint32_t)strlen(id);
    start.model = model;
    start.model_len = model == NULL ? 0 : (uint32_t)strlen(model);
    start.provider = "openai";
    start.provider_len = model == NULL ? 0 : 6;
    return start;
}

/* Records a call of an account, with a model, and perhaps an error. */
static inline void view_record(tkr_producer *producer, const char *id, uint64_t kind, const char *model, int64_t prompt,
                               int error)
{
    tkr_start start = view_start(id, kind, model);
    tkr_usage usage = TKR_USAGE_INIT;

    usage.prompt = prompt;
    usage.completion = 10;
    usage.error = error;
    assert_int_equal(tkr_record(producer, &start, &usage), TKR_OK);
}

/* What a gateway does whose region has a bit of everything: calls of many accounts and models, open calls, a question for a limit. */
static inline void view_do_everything(tkr_producer *producer, int calls)
{
    tkr_limit limit = TKR_LIMIT_INIT;
    tkr_start start;
    tkr_call call;

    for (int i = 0; i < calls; i++) {
        char id[32];
        (void)snprintf(id, sizeof(id), "user-%02d", i % 20);
        view_record(producer, id, i % 7 == 0 ? TKR_KIND_TEAM : TKR_KIND_USER,
                    i % 3 == 0   ? NULL
                    : i % 2 == 0 ? "gpt-4o"
                                 : "o1",
                    i, i % 11 == 0 ? TKR_ERROR_TIMEOUT : TKR_ERROR_NONE);
    }
    view_record(producer,
                "\xff\xe2\x80\xae"
                "abc",
                TKR_KIND_USER,
                "m\xc3\xb6"
                "del",
                5, 0); /* no UTF-8, and what turns lines round */
    for (int i = 0; i < VIEW_OPEN; i++) {
        start = view_start("alice", TKR_KIND_USER, "gpt-4o");
        start.prompt_estimate = 50;
        start.reserve = i;
        assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
        assert_int_equal(tkr_call_progress(producer, call, 7 + i), TKR_OK);
    }
    assert_int_equal(tkr_limit_check(producer, &start.account[0], STAGE_CYCLE, 1, &limit),
                     TKR_OK); /* who is asked for comes on the board */
}

/* A process that does everything and then dies with its calls open. */
static inline int view_die(struct stage *stage, int number)
{
    tkr_producer *producer = view_producer(stage);

    (void)number;
    view_do_everything(producer, VIEW_CALLS);
    (void)kill(getpid(), SIGKILL);
    return 1;
}

/* Runs `tokenring` with the words, ended by NULL, of at most ten. The caller ends the process. */
static inline void view_run(struct stage *stage, struct process *ret_process, const char *const words[])
{
    const char *argv[12] = {VIEW_COMMAND};

    for (int i = 0; i < 10 && words[i] != NULL; i++)
        argv[i + 1] = words[i];
    assert_int_equal(process_run(ret_process, argv, stage->env_list, VIEW_DEADLINE_MS), 0);
}

#define VIEW_RUN(stage, process, ...) view_run(stage, process, (const char *const[]){__VA_ARGS__, NULL})

/* Runs it, which ends with the code, and parses what it prints as JSON; freed by the caller. */
static inline json_t *view_json(struct stage *stage, int exit_code, const char *const words[])
{
    struct process process;
    json_t *answer;

    view_run(stage, &process, words);
    answer = json_loads(process_text(&process, PROCESS_STDOUT), 0, NULL);
    if (process_exit_code(&process) != exit_code || answer == NULL)
        fail_msg("%s: exit code %d: %s%s", words[0], process_exit_code(&process), process_text(&process, PROCESS_STDOUT),
                 process_text(&process, PROCESS_STDERR));
    process_end(&process);
    return answer;
}

#define VIEW_JSON(stage, exit_code, ...) view_json(stage, exit_code, (const char *const[]){__VA_ARGS__, NULL})

/* The row of a list whose text under a key is this one; NULL: none. */
static inline const json_t *view_row(const json_t *list, const char *key, const char *text)
{
    const json_t *row;
    size_t i;

    json_array_foreach ((json_t *)list, i, row) {
        const char *found = json_string_value(json_object_get(row, key));
        if (found != NULL && strcmp(found, text) == 0)
            return row;
    }
    return NULL;
}

static inline json_int_t view_integer(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    if (!json_is_integer(value))
        fail_msg("%s is no integer", key);
    return json_integer_value(value);
}

static inline const char *view_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    if (text == NULL)
        fail_msg("%s is no text", key);
    return text;
}

/* Path of the first file in the runtime directory whose name begins so; false: there is none. */
static inline bool view_find(const struct stage *stage, const char *prefix, char ret_path[VIEW_PATH_BYTES])
{
    DIR *directory = opendir(stage->runtime);
    const struct dirent *item;
    bool found = false;

    assert_non_null(directory);
    while (!found && (item = readdir(directory)) != NULL) {
        found = strncmp(item->d_name, prefix, strlen(prefix)) == 0;
        if (found)
            (void)snprintf(ret_path, VIEW_PATH_BYTES, "%s/%s", stage->runtime, item->d_name);
    }
    (void)closedir(directory);
    return found;
}

#endif
