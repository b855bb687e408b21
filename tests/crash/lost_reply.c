/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies of a real Redis that are lost: it is stopped until the collector gives up, or the collector dies between sending and
 * hearing. Each time the collector sends again what Redis has applied already. Exact; and above the truth with
 * TOKENRING_BROKEN=BLIND, a collector whose script adds without comparing the record: so the comparison is what does it, and
 * commands do land late here.
 */
#include "integration/sink_health.h"

#define ROUNDS 4

static int record_on(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);

    if (producer == NULL)
        return 1;
    for (int i = 0; !atomic_load(&stage->truth->stop); i++) {
        if (stage_record(stage, producer, i % STAGE_USERS, 1 + i % 1000, number) != TKR_OK)
            return 2;
        if (i % 20 == 0)
            process_sleep_ms(1);
    }
    tkr_close(producer);
    return 0;
}

static int64_t recorded(const struct stage *stage)
{
    int64_t sum = 0;

    for (int user = 0; user < STAGE_USERS; user++)
        sum += atomic_load(&stage->truth->calls[user]);
    return sum;
}

static int64_t counted(const struct stage *stage)
{
    struct stage_rows *rows = stage_read(stage);
    int64_t sum = 0;

    for (int i = 0; i < rows->count; i++)
        sum += rows->row[i].counts.value[TKR_COUNTER_CALLS];
    free(rows);
    return sum;
}

/* The last collector leaves, and Redis has all; or more, when it is broken. */
static void end(struct stage *stage, bool broken)
{
    stage_collector_end(stage, 0);
    if (!broken)
        stage_assert_exact(stage);
    else if (counted(stage) <= recorded(stage))
        fail_msg("without comparing, Redis has %lld calls of %lld", (long long)counted(stage), (long long)recorded(stage));
}

/* --- Redis stops --- */

static void stop_redis(struct stage *stage, bool broken)
{
    stage_env(stage, "TOKENRING_REDIS_TIMEOUT_MS", "100");
    stage_env(stage, "TOKENRING_BROKEN", broken ? "BLIND" : "");
    stage_collector_start(stage, "1");
    for (int i = 1; i <= ROUNDS; i++) {
        record(stage, i);
        health_wait(stage, "good", 0, "");
        process_signal(&stage->server.process, SIGSTOP);
        record(stage, i);
        health_wait(stage, "failing", 2, "no answer in time");
        process_signal(&stage->server.process, SIGCONT);
        health_wait(stage, "good", 0, "");
    }
    end(stage, broken);
}

static void test_command_that_lands_late_counts_once(void **state)
{
    stop_redis(*state, false);
}

static void test_command_that_lands_late_is_doubled_without_comparing(void **state)
{
    stop_redis(*state, true);
}

/* --- the collector dies --- */

static void kill_collector(struct stage *stage, bool broken)
{
    pid_t child = stage_fork(stage, record_on, 1);

    stage_env(stage, "TOKENRING_FLUSH_INTERVAL_MS", "10");
    stage_env(stage, "TOKENRING_BROKEN", broken ? "BLIND" : "");
    for (int i = 0; i < ROUNDS; i++) {
        char point[32];
        (void)snprintf(point, sizeof(point), "FLUSH_SENT:%d", 10 + i); /* the first ones are empty: nothing is taken yet */
        stage_env(stage, "TOKENRING_CRASH", point);
        stage_collector_start(stage, "1");
        assert_int_equal(process_wait(&stage->collector, STAGE_DEADLINE_MS), 0);
        assert_int_equal(process_exit_code(&stage->collector), 128 + SIGKILL);
    }
    atomic_store(&stage->truth->stop, true);
    assert_int_equal(stage_exit_code(child), 0);
    stage_env(stage, "TOKENRING_CRASH", "");
    stage_collector_start(stage, "1");
    stage_wait_regions(stage, 0);
    end(stage, broken);
}

static void test_collector_that_dies_between_sending_and_hearing_counts_once(void **state)
{
    kill_collector(*state, false);
}

static void test_collector_that_dies_between_sending_and_hearing_doubles_without_comparing(void **state)
{
    kill_collector(*state, true);
}

int main(void)
{
#define R(name) cmocka_unit_test_setup_teardown(name, stage_set_up_redis, stage_tear_down)
    const struct CMUnitTest tests[] = {
        R(test_command_that_lands_late_counts_once),
        R(test_command_that_lands_late_is_doubled_without_comparing),
        R(test_collector_that_dies_between_sending_and_hearing_counts_once),
        R(test_collector_that_dies_between_sending_and_hearing_doubles_without_comparing),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
