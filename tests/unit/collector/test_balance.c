/* SPDX-License-Identifier: Apache-2.0 */
/* The balance of a host, read while a worker counts and drops: what is read is of one moment, and so it balances. */
#include <pthread.h>

#include "collector/balance.h"
#include "unit/collector/bench.h"

#define READS 4000
#define LANES 4

struct motion {
    struct bench *bench;
    struct hand hand;
    atomic_bool stop;
    _Atomic uint64_t events;
};

/* A bench whose shard lies where a collector's does. */
static struct bench *host_make(void)
{
    struct bench *bench = calloc(1, sizeof(*bench));

    assert_non_null(bench);
    assert_true(tkr_guard_install());
    assert_int_equal(tempdir_make(bench->runtime), 0);
    assert_int_equal(chmod(bench->runtime, 0700), 0);
    bench->directory = open(bench->runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(bench->directory, "collector", 0700), 0);
    bench->table.directory = openat(bench->directory, "collector", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(bench->table.directory >= 0);
    bench->table.options = (struct tkr_shard_options){.name = 1, .number = 0, .accounts_max = 1000};
    table_open(&bench->table);
    bench->drain = aligned_alloc(64, sizeof(*bench->drain));
    assert_non_null(bench->drain);
    return bench;
}

static void host_free(struct bench *bench)
{
    for (uint32_t i = 0; i < bench->feeds; i++)
        tkr_view_close(bench->feed[i].view);
    tkr_shard_close(bench->table.shard);
    (void)close(bench->table.directory);
    (void)close(bench->directory);
    tempdir_remove(bench->runtime);
    free(bench->drain);
    free(bench);
}

/* Gateway and worker in one: calls of an account that is counted, and of one whose counters are at their end. */
static void *move(void *argument)
{
    struct motion *motion = argument;
    bool more;

    while (!atomic_load(&motion->stop)) {
        (void)hand_put(&motion->hand, 0, "counted", 1);
        for (int i = 1; i < LANES; i++)
            (void)hand_put(&motion->hand, i, "full", 1);
        (void)tkr_drain_batch(motion->bench->drain, motion->bench->table.shard, motion->bench->feed, &more);
        (void)atomic_fetch_add(&motion->events, motion->bench->drain->events);
    }
    return NULL;
}

static void test_balance_in_motion_holds(void **state)
{
    struct motion motion = {.bench = host_make()};
    struct tkr_host_balance balance;
    tkr_message message = {""};
    pthread_t thread;
    int read = 0;

    (void)state;
    assert_true(table_charge(&motion.bench->table, "full", INT64_MAX));
    hand_open(&motion.hand, motion.bench);
    for (int i = 1; i < LANES; i++)
        hand_add_lane(&motion.hand);
    (void)bench_adopt(motion.bench, motion.hand.name);
    assert_int_equal(pthread_create(&thread, NULL, move, &motion), 0);
    while (atomic_load(&motion.events) == 0)
        continue;
    for (int i = 0; i < READS; i++) {
        if (tkr_balance_read_law(motion.bench->runtime, &balance, &message) != 0)
            continue; /* it moved at each try; nothing is said then */
        read++;
        if (!tkr_balance_holds(&balance.host))
            fail_msg("offered %llu is not counted %llu + in lanes %llu + dropped %llu", (unsigned long long)balance.host.offered,
                     (unsigned long long)balance.host.counted, (unsigned long long)balance.host.in_lanes,
                     (unsigned long long)tkr_balance_dropped(&balance.host));
        tkr_balance_free(&balance);
    }
    atomic_store(&motion.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(tkr_balance_read_law(motion.bench->runtime, &balance, &message), 0); /* at rest it can be read */
    assert_true(tkr_balance_holds(&balance.host));
    assert_true(balance.host.dropped[TKR_DROP_OVERFLOW] > 0);
    tkr_balance_free(&balance);
    (void)printf("read in motion: %d of %d\n", read, READS);
    hand_close(&motion.hand);
    host_free(motion.bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_balance_in_motion_holds)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
