/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gateways and collectors of other versions (tests/upgrade) with those of this one: what can be read is counted exactly, what
 * cannot waits for a version that reads it, and shards pass from version to version. The sink is Redis, whose totals any version
 * reads.
 */
#include <jansson.h>

#include "integration/collector_stage.h"
#include "upgrade/calls.h"

#define PROGRAMS TEST_BIN_DIR "/../tests/"
#define NEWER_COLLECTOR PROGRAMS "tokenringd_major"
#define NEWER_COMMAND PROGRAMS "tokenring_major"
#define COMMAND TEST_BIN_DIR "/tokenring"

/* --- gateways --- */

static void gateway_start(struct stage *stage, struct process *ret_gateway, const char *version, const char *prefix,
                          const char *unknown)
{
    char program[256];
    const char *argv[] = {program, prefix, unknown, NULL};

    (void)snprintf(program, sizeof(program), PROGRAMS "upgrade_gateway_%s", version);
    assert_int_equal(process_start(ret_gateway, argv, stage->env_list), 0);
    if (process_wait_text(ret_gateway, PROCESS_STDOUT, "round 1\n", STAGE_DEADLINE_MS) != 0)
        fail_msg("%s", process_text(ret_gateway, PROCESS_STDERR));
}

static void gateway_again(struct process *gateway, int round)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "round %d\n", round);
    process_signal(gateway, SIGUSR1);
    if (process_wait_text(gateway, PROCESS_STDOUT, text, STAGE_DEADLINE_MS) != 0)
        fail_msg("%s", process_text(gateway, PROCESS_STDERR));
}

static void gateway_end(struct process *gateway)
{
    process_signal(gateway, SIGTERM);
    assert_int_equal(process_wait(gateway, STAGE_DEADLINE_MS), 0);
    assert_int_equal(process_exit_code(gateway), 0);
    process_end(gateway);
}

/* --- collectors --- */

static void collector_start(struct stage *stage, const char *program, const char *workers)
{
    const char *argv[] = {program, NULL};

    process_end(&stage->collector);
    stage_env(stage, "TOKENRING_WORKERS", workers);
    assert_int_equal(process_start(&stage->collector, argv, stage->env_list), 0);
    if (process_wait_text(&stage->collector, PROCESS_STDERR, "collecting in", STAGE_DEADLINE_MS) != 0)
        fail_msg("%s", process_text(&stage->collector, PROCESS_STDERR));
}

static void assert_logged(struct stage *stage, const char *text)
{
    if (process_wait_text(&stage->collector, PROCESS_STDERR, text, STAGE_DEADLINE_MS) != 0)
        fail_msg("no '%s' in: %s", text, process_text(&stage->collector, PROCESS_STDERR));
}

/* --- what tokenring stat says --- */

static json_t *stat_read(const struct stage *stage, const char *command)
{
    const char *argv[] = {command, "stat", "--json", NULL};
    struct process process;
    json_t *answer;

    assert_int_equal(process_run(&process, argv, stage->env_list, STAGE_DEADLINE_MS), 0);
    answer = json_loads(process_text(&process, PROCESS_STDOUT), 0, NULL);
    if (answer == NULL)
        fail_msg("stat: %s", process_text(&process, PROCESS_STDERR));
    assert_int_equal(process_exit_code(&process), 0);
    assert_true(json_is_true(json_object_get(answer, "law_holds")));
    process_end(&process);
    return answer;
}

static json_int_t host_number(const struct stage *stage, const char *command, const char *key)
{
    json_t *stat = stat_read(stage, command);
    json_int_t value = json_integer_value(json_object_get(json_object_get(stat, "host"), key));

    json_decref(stat);
    return value;
}

static void wait_counted(const struct stage *stage, const char *command, json_int_t calls)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;
    json_int_t counted;

    while ((counted = host_number(stage, command, "counted")) < calls && process_now_ms() < end)
        process_sleep_ms(10);
    assert_int_equal(counted, calls);
    assert_int_equal(host_number(stage, command, "offered"), calls);
}

static int regions_of_standing(const struct stage *stage, const char *standing)
{
    json_t *stat = stat_read(stage, COMMAND);
    const json_t *region;
    size_t i;
    int count = 0;

    json_array_foreach (json_object_get(stat, "regions"), i, region)
        count += strcmp(json_string_value(json_object_get(region, "standing")), standing) == 0;
    json_decref(stat);
    return count;
}

static void assert_stat_says(const struct stage *stage, const char *text)
{
    const char *argv[] = {COMMAND, "stat", NULL};
    struct process process;

    assert_int_equal(process_run(&process, argv, stage->env_list, STAGE_DEADLINE_MS), 0);
    if (strstr(process_text(&process, PROCESS_STDOUT), text) == NULL)
        fail_msg("no '%s' in: %s", text, process_text(&process, PROCESS_STDOUT));
    process_end(&process);
}

/* --- what the sink has --- */

static void assert_rounds(const struct stage *stage, const char *prefix, int rounds)
{
    struct stage_rows *rows = stage_read(stage);

    for (int user = 0; user < UPGRADE_USERS; user++) {
        char id[32];
        int len = snprintf(id, sizeof(id), "%s-%d", prefix, user);
        tkr_counts counts = stage_counts(rows, TKR_KIND_USER, id, (uint32_t)len);
        int64_t prompt = 0;
        int64_t completion = 0;
        int64_t calls = 0;
        for (int call = user; call < UPGRADE_CALLS; call += UPGRADE_USERS) {
            prompt += rounds * upgrade_prompt(call);
            completion += rounds * upgrade_completion(call);
            calls += rounds;
        }
        if (counts.value[TKR_COUNTER_PROMPT] != prompt || counts.value[TKR_COUNTER_COMPLETION] != completion ||
            counts.value[TKR_COUNTER_TOTAL] != prompt + completion || counts.value[TKR_COUNTER_CALLS] != calls)
            fail_msg("%s: prompt %lld of %lld, completion %lld of %lld, calls %lld of %lld", id,
                     (long long)counts.value[TKR_COUNTER_PROMPT], (long long)prompt,
                     (long long)counts.value[TKR_COUNTER_COMPLETION], (long long)completion,
                     (long long)counts.value[TKR_COUNTER_CALLS], (long long)calls);
    }
    free(rows);
}

static int files_aside(const struct stage *stage)
{
    char path[2 * STAGE_PATH_BYTES];
    DIR *directory;
    const struct dirent *item;
    int count = 0;

    (void)snprintf(path, sizeof(path), "%s/collector", stage->runtime);
    directory = opendir(path);
    assert_non_null(directory);
    while ((item = readdir(directory)) != NULL)
        count += strncmp(item->d_name, "aside-", 6) == 0 || strncmp(item->d_name, ".shard", 6) == 0;
    (void)closedir(directory);
    return count;
}

/* --- other gateways, this collector --- */

static void test_gateway_of_a_newer_minor_is_counted_and_its_new_frames_skipped(void **state)
{
    struct stage *stage = *state;
    struct process gateway;

    collector_start(stage, COLLECTOR, "1");
    gateway_start(stage, &gateway, "minor", "minor", "unknown");
    wait_counted(stage, COMMAND, UPGRADE_CALLS);
    gateway_again(&gateway, 2);
    wait_counted(stage, COMMAND, 2 * UPGRADE_CALLS);
    assert_int_equal(host_number(stage, COMMAND, "skipped_frames"), 2 * UPGRADE_UNKNOWN);
    assert_stat_says(stage, "skipped, frames that only newer versions know: 10\n");
    gateway_end(&gateway);
    stage_wait_regions(stage, 0);
    assert_int_equal(host_number(stage, COMMAND, "skipped_frames"), 2 * UPGRADE_UNKNOWN); /* nor forgotten with the region */
    stage_collector_end(stage, 0);
    assert_rounds(stage, "minor", 2);
}

static void test_gateway_of_a_newer_major_waits_for_a_collector_that_reads_it(void **state)
{
    struct stage *stage = *state;
    struct process newer;
    struct process current;

    collector_start(stage, COLLECTOR, "1");
    gateway_start(stage, &newer, "major", "newer", NULL);
    gateway_start(stage, &current, "current", "current", NULL);
    assert_logged(stage, "; left alone");
    wait_counted(stage, COMMAND, UPGRADE_CALLS); /* of the other gateway; what is left alone is in no figure */
    assert_int_equal(regions_of_standing(stage, "newer layout"), 1);
    assert_stat_says(stage, "left alone: 1 region of a newer layout, which only a newer collector reads");
    gateway_again(&newer, 2);
    gateway_end(&newer);
    gateway_end(&current);
    stage_wait_regions(stage, 1);
    stage_collector_end(stage, 1); /* not all is counted */
    assert_logged(stage, "not counted, since the collector of another version reads them: regions of gateways: 1");
    assert_rounds(stage, "newer", 0);
    assert_int_equal(stage_regions(stage), 1);

    collector_start(stage, NEWER_COLLECTOR, "1");
    stage_wait_regions(stage, 0);
    wait_counted(stage, NEWER_COMMAND, 3 * UPGRADE_CALLS);
    stage_collector_end(stage, 0);
    assert_rounds(stage, "newer", 2);
    assert_rounds(stage, "current", 1);
}

static void test_gateway_of_the_previous_major_is_counted(void **state)
{
    struct stage *stage = *state;
    struct process gateway;

    collector_start(stage, COLLECTOR, "1");
    gateway_start(stage, &gateway, "previous", "previous", NULL);
    gateway_end(&gateway);
    stage_wait_regions(stage, 0);
    stage_collector_end(stage, 0);
    assert_rounds(stage, "previous", 1);
}

static void test_gateway_of_a_layout_too_old_is_left_alone_and_named(void **state)
{
    struct stage *stage = *state;
    struct process older;

    collector_start(stage, COLLECTOR, "1");
    gateway_start(stage, &older, "older", "older", NULL);
    assert_logged(stage, "; left alone");
    assert_int_equal(regions_of_standing(stage, "older layout"), 1);
    assert_stat_says(stage, "left alone: 1 region of an older layout, which only an older collector reads");
    gateway_end(&older);
    stage_collector_end(stage, 1);
    assert_int_equal(stage_regions(stage), 1); /* dead or not, it is not for us to remove */
}

/* --- other collectors, these gateways and shards --- */

static void test_collectors_of_another_minor_go_on_with_shards_in_place(void **state)
{
    static const char *const collector[] = {COLLECTOR, PROGRAMS "tokenringd_minor", COLLECTOR};
    struct stage *stage = *state;
    struct process gateway;
    int round = 1;

    gateway_start(stage, &gateway, "current", "user", NULL);
    for (size_t i = 0; i < sizeof(collector) / sizeof(collector[0]); i++) {
        collector_start(stage, collector[i], "2");
        wait_counted(stage, COMMAND, round * UPGRADE_CALLS);
        gateway_again(&gateway, ++round);
        wait_counted(stage, COMMAND, round * UPGRADE_CALLS);
        if (i == 1)
            process_signal(&stage->collector, SIGKILL);
        else
            stage_collector_end(stage, 0);
        assert_null(strstr(process_text(&stage->collector, PROCESS_STDERR), "carried over"));
        assert_int_equal(files_aside(stage), 0);
    }
    gateway_end(&gateway);
    assert_rounds(stage, "user", round);
}

/* Killed while Redis is away, with everything unacknowledged; taken over by one worker instead of three. */
static void test_newer_collector_takes_over_gateways_and_shards_of_this_one(void **state)
{
    struct stage *stage = *state;
    struct process gateway[3];
    static const char *const prefix[] = {"a", "b", "c"};

    collector_start(stage, COLLECTOR, "3");
    for (int i = 0; i < 3; i++)
        gateway_start(stage, &gateway[i], "current", prefix[i], NULL);
    wait_counted(stage, COMMAND, 3 * UPGRADE_CALLS);
    process_signal(&stage->server.process, SIGSTOP);
    for (int i = 0; i < 3; i++)
        gateway_again(&gateway[i], 2);
    wait_counted(stage, COMMAND, 6 * UPGRADE_CALLS);
    process_signal(&stage->collector, SIGKILL);
    gateway_again(&gateway[0], 3);
    gateway_end(&gateway[2]);

    collector_start(stage, NEWER_COLLECTOR, "1");
    assert_logged(stage, "shard-2 of layout");
    assert_int_equal(files_aside(stage), 0);
    process_signal(&stage->server.process, SIGCONT);
    gateway_again(&gateway[1], 3);
    wait_counted(stage, NEWER_COMMAND, 8 * UPGRADE_CALLS);
    gateway_end(&gateway[0]);
    gateway_end(&gateway[1]);
    stage_wait_regions(stage, 0);
    wait_counted(stage, NEWER_COMMAND, 8 * UPGRADE_CALLS); /* law of the shards before included */
    stage_collector_end(stage, 0);
    assert_rounds(stage, "a", 3);
    assert_rounds(stage, "b", 3);
    assert_rounds(stage, "c", 2);
}

static void test_shards_of_a_newer_collector_are_refused_and_lose_nothing(void **state)
{
    const char *argv[] = {COLLECTOR, NULL};
    struct stage *stage = *state;
    struct process gateway;

    collector_start(stage, NEWER_COLLECTOR, "1");
    gateway_start(stage, &gateway, "current", "user", NULL);
    wait_counted(stage, NEWER_COMMAND, UPGRADE_CALLS);
    process_signal(&stage->collector, SIGKILL);
    process_end(&stage->collector);
    assert_int_equal(process_run(&stage->collector, argv, stage->env_list, STAGE_DEADLINE_MS), 0);
    assert_int_equal(process_exit_code(&stage->collector), 1);
    assert_non_null(strstr(process_text(&stage->collector, PROCESS_STDERR), "start the newer version"));
    assert_int_equal(files_aside(stage), 0);
    gateway_again(&gateway, 2); /* it does not notice */
    collector_start(stage, NEWER_COLLECTOR, "1");
    wait_counted(stage, NEWER_COMMAND, 2 * UPGRADE_CALLS);
    gateway_end(&gateway);
    stage_wait_regions(stage, 0);
    stage_collector_end(stage, 0);
    assert_rounds(stage, "user", 2);
}

#define T(test) cmocka_unit_test_setup_teardown(test, stage_set_up_redis, stage_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_gateway_of_a_newer_minor_is_counted_and_its_new_frames_skipped),
        T(test_gateway_of_a_newer_major_waits_for_a_collector_that_reads_it),
        T(test_gateway_of_the_previous_major_is_counted),
        T(test_gateway_of_a_layout_too_old_is_left_alone_and_named),
        T(test_collectors_of_another_minor_go_on_with_shards_in_place),
        T(test_newer_collector_takes_over_gateways_and_shards_of_this_one),
        T(test_shards_of_a_newer_collector_are_refused_and_lose_nothing),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
