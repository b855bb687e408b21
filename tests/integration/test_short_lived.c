/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Producer processes that live for a few calls, ten thousand of them: the collector keeps nothing of them but their usage.
 */
#include "integration/collector_stage.h"
#include "support/procfs.h"

#define DRIVERS 4 /* that fork processes in a row */
#define WARM 50   /* of each driver: until the collector has what it will ever need */
#define CALLS 3
#define GROWTH_BYTES (1 << 20) /* of the collector's own memory: allocators keep some */
#define VIEW_BYTES (6 << 10)   /* that it takes for a region while it has it, and malloc keeps */
#define DEAD_ALONE 10

static int processes_of_each(void)
{
    return (procfs_instrumented() ? 1000 : 10000) / DRIVERS;
}

/* A process that records, and closes, just ends, or is killed. */
static int record_and_go(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);

    if (producer == NULL)
        return 1;
    for (int i = 0; i < CALLS; i++) {
        if (stage_record(stage, producer, (number + i) % STAGE_USERS, 7, 3) != TKR_OK)
            return 2;
    }
    if (number % 3 == 0)
        tkr_close(producer);
    else if (number % 3 == 1)
        (void)raise(SIGKILL);
    return 0;
}

static int drive(struct stage *stage, int count)
{
    for (int i = 0; i < count; i++) {
        int code = stage_exit_code(stage_fork(stage, record_and_go, i));
        if (code != 0 && code != 128 + SIGKILL)
            return 1;
    }
    return 0;
}

/* Returns the milliseconds that it took. */
static long run_drivers(struct stage *stage, int count_each)
{
    long begun = process_now_ms();
    pid_t driver[DRIVERS];

    for (int i = 0; i < DRIVERS; i++)
        driver[i] = stage_fork(stage, drive, count_each);
    for (int i = 0; i < DRIVERS; i++)
        assert_int_equal(stage_exit_code(driver[i]), 0);
    stage_wait_regions(stage, 0);
    return process_now_ms() - begun;
}

/* What the shard has: cursors in use, cursors that ever had memory, and the memory of its file. */
struct shard_usage {
    uint32_t cursors;
    uint32_t cursors_ever;
    long file_bytes;
};

static struct shard_usage shard_usage(const struct stage *stage)
{
    struct shard_usage usage = {0, 0, 0};
    const struct tkr_cursor *cursor;
    struct tkr_reader *reader;
    tkr_message message = {""};
    struct stat status;
    int folder = stage_folder(stage);

    assert_int_equal(tkr_reader_open(folder, 0, &reader, &message), 1);
    while ((cursor = tkr_reader_cursor(reader, usage.cursors_ever)) != NULL) {
        struct tkr_cursor head;
        assert_true(tkr_stamped_copy(tkr_reader_header(reader), cursor, TKR_CURSOR_HEAD_BYTES, &head));
        usage.cursors += atomic_load(&head.state) != TKR_CURSOR_FREE;
        usage.cursors_ever++;
    }
    tkr_reader_close(reader);
    assert_int_equal(fstatat(folder, "shard-0", &status, 0), 0);
    usage.file_bytes = (long)status.st_blocks * 512;
    (void)close(folder);
    return usage;
}

static void wait_cursors_free(const struct stage *stage)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;

    while (shard_usage(stage).cursors > 0) { /* the file goes first, the cursor a moment later */
        assert_true(process_now_ms() < end);
        process_sleep_ms(1);
    }
}

/* Descriptors and mappings are given back by another thread than the one that unlinks. */
static struct procfs_usage settled_usage(const struct stage *stage, long files)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;
    struct procfs_usage usage;

    do {
        process_sleep_ms(5);
        assert_int_equal(procfs_read(stage->collector.pid, &usage), 0);
    } while (usage.files > files && process_now_ms() < end);
    return usage;
}

static void test_10000_short_lived_processes_leave_nothing_behind(void **state)
{
    struct stage *stage = *state;
    int each = processes_of_each();
    struct procfs_usage empty;
    struct procfs_usage before;
    struct procfs_usage after;
    struct shard_usage shard_before;
    struct shard_usage shard_after;
    long more_at_once;
    long took_ms;

    stage_collector_start(stage, "1");
    process_sleep_ms(5);
    assert_int_equal(procfs_read(stage->collector.pid, &empty), 0);
    (void)run_drivers(stage, WARM);
    wait_cursors_free(stage);
    before = settled_usage(stage, empty.files + 4); /* the ledger's */
    shard_before = shard_usage(stage);
    took_ms = run_drivers(stage, each - WARM);
    wait_cursors_free(stage);
    after = settled_usage(stage, before.files);
    shard_after = shard_usage(stage);
    more_at_once = (long)shard_after.cursors_ever - (long)shard_before.cursors_ever;
    print_message("%d processes in %ld ms, %ld a second; collector: memory %+ld KiB, files %+ld, mappings %+ld; "
                  "regions at once %u; shard's file %+ld KiB\n",
                  DRIVERS * (each - WARM), took_ms, DRIVERS * (each - WARM) * 1000L / (took_ms + 1),
                  (after.anonymous_bytes - before.anonymous_bytes) / 1024, after.files - before.files,
                  after.mappings - before.mappings, shard_after.cursors_ever,
                  (shard_after.file_bytes - shard_before.file_bytes) / 1024);
    assert_true(after.files <= before.files);
    /* What grows does so with the regions that were there at one time, not with those that ever were. */
    assert_true(shard_after.file_bytes - shard_before.file_bytes <= (more_at_once + 2) * (long)sizeof(struct tkr_cursor));
    if (!procfs_instrumented()) {
        assert_true(after.anonymous_bytes - before.anonymous_bytes <= GROWTH_BYTES + more_at_once * VIEW_BYTES);
        assert_true(after.mappings <= before.mappings + 8); /* heaps of threads; a region each would be thousands */
    }
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
    stage_assert_law(stage, (uint64_t)DRIVERS * (uint64_t)each * CALLS);
    assert_int_equal(stage_law(stage).regions, DRIVERS * each);
}

/* Owners' locks are looked at five times a second: a second is promised, and measured here with an idle collector. */
static void test_region_of_a_dead_process_is_gone_soon(void **state)
{
    struct stage *stage = *state;
    long longest = 0;
    long sum = 0;

    stage_collector_start(stage, "1");
    for (int i = 0; i < DEAD_ALONE; i++) {
        long died;
        (void)stage_exit_code(stage_fork(stage, record_and_go, i));
        died = process_now_ms();
        stage_wait_regions(stage, 0);
        died = process_now_ms() - died;
        longest = died > longest ? died : longest;
        sum += died;
    }
    print_message("from death to reclaim: %ld ms on the average, %ld ms at most\n", sum / DEAD_ALONE, longest);
    assert_true(sum / DEAD_ALONE < 5000); /* a second, on a machine that has nothing else to do */
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, stage_set_up, stage_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_10000_short_lived_processes_leave_nothing_behind),
        T(test_region_of_a_dead_process_is_gone_soon),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
