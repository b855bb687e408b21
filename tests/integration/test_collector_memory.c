/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the collector's memory grows with: accounts in use, never events. Shown with a sink that is away for a million events, and
 * over ten cycles of 20,000 users of whom each leaves when his cycle is over (100,000 with TOKENRING_TEST_FULL set).
 */
#include "integration/crowd.h"

/* --- the sink is away --- */

#define KNOWN_ACCOUNTS 1000
#define NEW_ACCOUNTS 1000      /* that come while the sink is away */
#define ENTRY_BYTES 384        /* of the shard's file, for an account with an id of 14 bytes */
#define OUTLET_BYTES 512       /* of the collector's own memory, for an account that waits to be sent */
#define NOISE_BYTES (1L << 20) /* what allocators keep; an event each would be a hundred times that */

static int events(void)
{
    return procfs_instrumented() ? 100000 : 1000000;
}

static void record(struct stage *stage, int producers)
{
    pid_t child[16];

    for (int i = 0; i < producers; i++)
        child[i] = stage_fork(stage, crowd_record, i);
    for (int i = 0; i < producers; i++)
        assert_int_equal(stage_exit_code(child[i]), 0);
    stage_wait_regions(stage, 0);
}

static struct procfs_usage usage_of_collector(const struct stage *stage)
{
    struct procfs_usage usage;

    assert_int_equal(procfs_read(stage->collector.pid, &usage), 0);
    return usage;
}

static void test_sink_away_costs_memory_by_account_not_by_event(void **state)
{
    struct stage *stage = *state;
    struct procfs_usage usage_before;
    struct procfs_usage usage_after;
    struct crowd_memory before;
    struct crowd_memory after;
    int rounds = events() / (KNOWN_ACCOUNTS + NEW_ACCOUNTS);

    stage_collector_start(stage, "1");
    crowd_plan = (struct crowd_plan){.count = KNOWN_ACCOUNTS, .rounds = 1, .cycle = STAGE_CYCLE};
    record(stage, 1);
    crowd_wait_flushed(stage);
    process_signal(&stage->server.process, SIGSTOP);
    before = crowd_memory(stage);
    usage_before = usage_of_collector(stage);
    crowd_plan.rounds = rounds - 1;
    record(stage, 2); /* the second one's are the new ones */
    crowd_plan.first = KNOWN_ACCOUNTS;
    crowd_plan.rounds = 1;
    record(stage, 1);
    after = crowd_memory(stage);
    usage_after = usage_of_collector(stage);
    print_message("%d events of %d accounts, %d of them new, without Redis: shard's file %+ld KiB (entries %+ld KiB), "
                  "memory %+ld KiB\n",
                  events(), KNOWN_ACCOUNTS + NEW_ACCOUNTS, NEW_ACCOUNTS, (after.file_bytes - before.file_bytes) / 1024,
                  (long)(after.arena_bytes - before.arena_bytes) / 1024,
                  (usage_after.anonymous_bytes - usage_before.anonymous_bytes) / 1024);
    assert_int_equal(after.accounts, KNOWN_ACCOUNTS + NEW_ACCOUNTS);
    assert_true(after.arena_bytes - before.arena_bytes <= NEW_ACCOUNTS * ENTRY_BYTES);
    assert_true(after.file_bytes - before.file_bytes <= NEW_ACCOUNTS * ENTRY_BYTES + NOISE_BYTES); /* allocated in steps */
    if (!procfs_instrumented())
        assert_true(usage_after.anonymous_bytes - usage_before.anonymous_bytes <=
                    (KNOWN_ACCOUNTS + NEW_ACCOUNTS) * OUTLET_BYTES + NOISE_BYTES);
    process_signal(&stage->server.process, SIGCONT);
    crowd_wait_flushed(stage);
    stage_collector_end(stage, 0);
    crowd_assert_exact(stage, KNOWN_ACCOUNTS + NEW_ACCOUNTS, rounds);
    stage_assert_law(stage, (uint64_t)events());
}

/* --- ten cycles --- */

#define CYCLES 10
#define SHARDS 16 /* each forgets 64 accounts a flush */
#define CALLS 2

static int users_of_each(void)
{
    if (procfs_instrumented())
        return 4800 / SHARDS;
    return (getenv("TOKENRING_TEST_FULL") != NULL ? 100000 : 20000) / SHARDS;
}

static void test_memory_over_ten_cycles_of_users_who_leave_is_flat(void **state)
{
    struct stage *stage = *state;
    struct crowd_memory second = {0};
    struct crowd_memory last = {0};
    struct procfs_usage usage_second = {0};
    struct procfs_usage usage_last = {0};
    int users = users_of_each();

    stage_env(stage, "TOKENRING_FORGET_AFTER_S", "1");
    stage_env(stage, "TOKENRING_FLUSH_INTERVAL_MS", "10");
    stage_collector_start(stage, "16");
    for (int cycle = 0; cycle < CYCLES; cycle++) {
        crowd_plan = (struct crowd_plan){.count = users, .rounds = CALLS, .cycle = 20260101 + 100 * (uint32_t)cycle};
        crowd_plan.together = SHARDS * (uint64_t)(cycle + 1); /* so that each shard gets one */
        record(stage, SHARDS);
        *(cycle == 1 ? &second : &last) = crowd_memory(stage);
        *(cycle == 1 ? &usage_second : &usage_last) = usage_of_collector(stage);
        crowd_wait_forgotten(stage, 0);
    }
    print_message("%d users a cycle; after cycle 2: shards' files %ld KiB (entries %llu KiB), memory %ld KiB; after "
                  "cycle %d: %ld KiB "
                  "(%llu KiB), %ld KiB\n",
                  users * SHARDS, second.file_bytes / 1024, (unsigned long long)second.arena_bytes / 1024,
                  usage_second.anonymous_bytes / 1024, CYCLES, last.file_bytes / 1024,
                  (unsigned long long)last.arena_bytes / 1024, usage_last.anonymous_bytes / 1024);
    assert_true(last.arena_bytes <= second.arena_bytes + second.arena_bytes / 10);
    assert_true(last.file_bytes <= second.file_bytes + second.file_bytes / 10);
    if (!procfs_instrumented())
        assert_true(usage_last.anonymous_bytes <= usage_second.anonymous_bytes + usage_second.anonymous_bytes / 4 + NOISE_BYTES);
    stage_collector_end(stage, 0);
    crowd_assert_exact(stage, (long)users * SHARDS * CYCLES, CALLS);
    stage_assert_law(stage, (uint64_t)users * SHARDS * CYCLES * CALLS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sink_away_costs_memory_by_account_not_by_event, stage_set_up_redis, stage_tear_down),
        cmocka_unit_test_setup_teardown(test_memory_over_ten_cycles_of_users_who_leave_is_flat, stage_set_up, stage_tear_down),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
