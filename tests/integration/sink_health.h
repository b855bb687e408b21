/* SPDX-License-Identifier: Apache-2.0 */
/* What another process is told of the collector's sink: `tokenring stat`, as JSON and as text, and the log. */
#ifndef TESTS_INTEGRATION_SINK_HEALTH_H
#define TESTS_INTEGRATION_SINK_HEALTH_H

#include <jansson.h>

#include "integration/collector_stage.h"

/* The object "sink" of `tokenring stat --json`; freed by the caller. */
static inline json_t *health_read(struct stage *stage)
{
    const char *argv[] = {TEST_BIN_DIR "/tokenring", "stat", "--json", NULL};
    struct process process;
    json_t *answer;
    json_t *sink;

    assert_int_equal(process_run(&process, argv, stage->env_list, STAGE_DEADLINE_MS), 0);
    answer = json_loads(process_text(&process, PROCESS_STDOUT), 0, NULL);
    if (answer == NULL)
        fail_msg("stat: %s%s", process_text(&process, PROCESS_STDOUT), process_text(&process, PROCESS_STDERR));
    sink = json_incref(json_object_get(answer, "sink"));
    json_decref(answer);
    process_end(&process);
    if (!json_is_object(sink))
        fail_msg("stat says nothing of the sink");
    return sink;
}

static inline json_int_t health_number(const json_t *sink, const char *key)
{
    const json_t *number = json_object_get(sink, key);

    assert_true(json_is_integer(number));
    return json_integer_value(number);
}

static inline const char *health_text(const json_t *sink, const char *key)
{
    const char *text = json_string_value(json_object_get(sink, key));

    assert_non_null(text);
    return text;
}

/* Waits until the sink is in the state, has failed so often since, and its error has the words. */
static inline void health_wait(struct stage *stage, const char *state, int failures, const char *words)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;

    for (;;) {
        json_t *sink = health_read(stage);
        bool there = strcmp(health_text(sink, "state"), state) == 0 && health_number(sink, "failures") >= failures &&
                     strstr(health_text(sink, "error"), words) != NULL;
        if (!there && process_now_ms() > end)
            fail_msg("the sink is %s: %s", health_text(sink, "state"), health_text(sink, "error"));
        json_decref(sink);
        if (there)
            return;
        process_sleep_ms(20);
    }
}

static inline void health_wait_parked(struct stage *stage, json_int_t parked)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;

    for (;;) {
        json_t *sink = health_read(stage);
        json_int_t found = health_number(sink, "parked_accounts");
        json_decref(sink);
        if (found == parked)
            return;
        if (process_now_ms() > end)
            fail_msg("%lld accounts are parked, not %lld: %s", (long long)found, (long long)parked,
                     process_text(&stage->collector, PROCESS_STDERR));
        process_sleep_ms(20);
    }
}

/* `tokenring stat` for people says all of it. */
static inline void health_assert_told(struct stage *stage, const char *const words[])
{
    const char *argv[] = {TEST_BIN_DIR "/tokenring", "stat", NULL};
    struct process process;

    assert_int_equal(process_run(&process, argv, stage->env_list, STAGE_DEADLINE_MS), 0);
    assert_int_equal(process_exit_code(&process), 0);
    for (; *words != NULL; words++) {
        if (strstr(process_text(&process, PROCESS_STDOUT), *words) == NULL)
            fail_msg("stat lacks \"%s\": %s", *words, process_text(&process, PROCESS_STDOUT));
    }
    process_end(&process);
}

static inline int times_said(struct stage *stage, const char *sentence)
{
    int times = 0;

    for (const char *at = process_text(&stage->collector, PROCESS_STDERR); (at = strstr(at, sentence)) != NULL; at++)
        times++;
    return times;
}

/* The log is written by a thread of its own: what others are told already may take a moment to be there. */
static inline void assert_said(struct stage *stage, const char *sentence, int times)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;

    while (times_said(stage, sentence) < times && process_running(&stage->collector) && process_now_ms() < end)
        process_sleep_ms(2);
    if (times_said(stage, sentence) != times)
        fail_msg("\"%s\" is said %d times: %s", sentence, times_said(stage, sentence),
                 process_text(&stage->collector, PROCESS_STDERR));
}

/* --- Redis, of which the sink is a client --- */

/* A command on this connection that must succeed. */
static inline void admin_command(redisContext *admin, const char *command)
{
    redisReply *reply = redisCommand(admin, command);

    if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", command, reply == NULL ? admin->errstr : reply->str);
    freeReplyObject(reply);
}

/* --- usage --- */

static inline int record_some(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);

    if (producer == NULL)
        return 1;
    for (int i = 0; i < 10 * STAGE_USERS; i++) {
        if (stage_record(stage, producer, i % STAGE_USERS, 1 + i % 700, number + i % 300) != TKR_OK)
            return 2;
    }
    if (tkr_sync(producer, STAGE_DEADLINE_MS) != TKR_OK)
        return 3;
    tkr_close(producer);
    return 0;
}

static inline void record(struct stage *stage, int number)
{
    assert_int_equal(stage_exit_code(stage_fork(stage, record_some, number)), 0);
}

static inline bool all_in_redis(const struct stage *stage)
{
    struct stage_rows *rows = stage_read(stage);
    bool exact = true;

    for (int user = 0; exact && user < STAGE_USERS; user++) {
        char id[16];
        int len = snprintf(id, sizeof(id), "user-%02d", user);
        tkr_counts counts = stage_counts(rows, TKR_KIND_USER, id, (uint32_t)len);
        exact = counts.value[TKR_COUNTER_CALLS] == atomic_load(&stage->truth->calls[user]);
    }
    free(rows);
    return exact;
}

/* Waits until Redis has all calls; then every counter is exact, too. */
static inline void wait_exact(const struct stage *stage)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;

    while (!all_in_redis(stage) && process_now_ms() < end)
        process_sleep_ms(10);
    stage_assert_exact(stage);
}

#endif
