/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A collector whose wall clock steps by a month, in both directions, while it works: it forgets nobody early, and sweeps away
 * nothing that is being made. It runs in a child of the test, with the test's clock (support/clock_step.h).
 */
#include <stdlib.h>

#include "base/log.h"
#include "collector/collector.h"
#include "integration/collector_stage.h"
#include "support/clock_step.h"

#define MONTH_NS (30 * CLOCK_STEP_DAY_NS)
#define IDLE_USERS 25
#define HALF_MADE ".region-00112233445566778899aabbccddeeff"

static atomic_uint *stops;
static pid_t collector;

static int set_up(void **state)
{
    struct stage *stage;

    if (stage_set_up(state) != 0 || clock_step_share() != 0)
        return -1;
    stage = *state;
    stage_env(stage, "TOKENRING_FORGET_AFTER_S", "86400");
    stops = mmap(NULL, sizeof(*stops), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return stops != MAP_FAILED ? 0 : -1;
}

static int tear_down(void **state)
{
    if (collector > 0) {
        (void)kill(collector, SIGKILL);
        (void)waitpid(collector, NULL, 0);
    }
    collector = 0;
    (void)munmap((void *)stops, sizeof(*stops));
    return stage_tear_down(state);
}

static int collect(struct stage *stage, int number)
{
    struct tkr_collector_config config;
    struct tkr_collector *made;
    tkr_message message = {""};

    (void)number;
    for (int i = 0; stage->env_list[i] != NULL; i++)
        (void)putenv(stage->env[i]);
    if (tkr_collector_config_read(&config, &message) != 0 || tkr_collector_open(&config, &made, &message) != 0 ||
        tkr_collector_run(made, stops, NULL, NULL, &message) != 0) {
        tkr_log(TKR_LOG_ERROR, "%s", message.text);
        return 1;
    }
    tkr_collector_close(made);
    return 0;
}

static int record_idle(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);

    (void)number;
    for (int user = 1; user <= IDLE_USERS; user++) {
        if (producer == NULL || stage_record(stage, producer, user, 10, 1) != 0)
            return 1;
    }
    tkr_close(producer);
    return 0;
}

static int record_busy(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);

    if (producer == NULL || stage_record(stage, producer, 0, 1 + number, 1) != 0)
        return 1;
    tkr_close(producer);
    return 0;
}

static bool flushed(const struct stage *stage)
{
    struct stage_rows *rows = stage_read(stage);
    int64_t calls = 0;

    for (int i = 0; i < rows->count; i++)
        calls += rows->row[i].counts.value[TKR_COUNTER_CALLS];
    free(rows);
    return calls == (int64_t)atomic_load(&stage->truth->recorded);
}

/* Until the sink has all that was recorded: the flusher, which also forgets, has been through. */
static void wait_flushed(const struct stage *stage)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;

    stage_wait_ledger(stage);
    while (!flushed(stage)) {
        if (process_now_ms() > end)
            fail_msg("waited in vain until the sink has all that was recorded");
        process_sleep_ms(10);
    }
}

/* Several passes of the flusher, and looks of discovery: calls one after the other, each waited for. */
static void pass_by(struct stage *stage)
{
    for (int i = 0; i < 5; i++) {
        assert_int_equal(stage_exit_code(stage_fork(stage, record_busy, i)), 0);
        wait_flushed(stage);
    }
}

static void leave(void)
{
    atomic_store(stops, 1);
    assert_int_equal(stage_exit_code(collector), 0);
    collector = 0;
}

static void test_step_of_the_collectors_clock_forgets_nobody(void **state)
{
    static const int64_t steps_ns[] = {MONTH_NS, -2 * MONTH_NS, MONTH_NS};
    struct stage *stage = *state;

    collector = stage_fork(stage, collect, 0);
    assert_int_equal(stage_exit_code(stage_fork(stage, record_idle, 0)), 0);
    wait_flushed(stage);
    for (size_t i = 0; i < sizeof(steps_ns) / sizeof(steps_ns[0]); i++) {
        pass_by(stage);
        clock_step->ahead_ns += steps_ns[i];
        pass_by(stage);
        assert_int_equal(stage_first_accounts(stage), IDLE_USERS + 1);
    }
    leave();
    stage_assert_exact(stage);
}

/* What a collector of layout 2.0 left: marks in Unix time, by which all that it held has been idle for fifty years. */
static void leave_marks_of_minor_0(const struct stage *stage)
{
    int folder = stage_folder(stage);
    int fd = openat(folder, "shard-0", O_RDWR | O_CLOEXEC);
    struct tkr_shard_header *header = mmap(NULL, TKR_SHARD_HEADER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    assert_true(fd >= 0 && header != MAP_FAILED);
    header->minor = 0;
    atomic_store(&header->wall_mark_time_s[0], 1);
    atomic_store(&header->wall_mark_batch[0], atomic_load(&header->committed));
    atomic_store(&header->wall_marks, 1);
    atomic_store(&header->marks, 0);
    memset((void *)header->mark_boot_s, 0, sizeof(header->mark_boot_s));
    memset((void *)header->mark_batch, 0, sizeof(header->mark_batch));
    (void)munmap(header, TKR_SHARD_HEADER_BYTES);
    (void)close(fd);
    (void)close(folder);
}

static void test_marks_of_an_older_collector_forget_nobody(void **state)
{
    struct stage *stage = *state;

    collector = stage_fork(stage, collect, 0);
    assert_int_equal(stage_exit_code(stage_fork(stage, record_idle, 0)), 0);
    wait_flushed(stage);
    leave();
    leave_marks_of_minor_0(stage);
    atomic_store(stops, 0);
    collector = stage_fork(stage, collect, 0);
    pass_by(stage);
    assert_int_equal(stage_first_accounts(stage), IDLE_USERS + 1);
    leave();
    stage_assert_exact(stage);
}

/* A region that is being made has a lock only after it has a file. */
static void test_step_sweeps_away_no_region_that_is_being_made(void **state)
{
    struct stage *stage = *state;
    char path[2 * STAGE_PATH_BYTES];

    collector = stage_fork(stage, collect, 0);
    pass_by(stage);
    (void)snprintf(path, sizeof(path), "%s/" HALF_MADE, stage->runtime);
    clock_step->ahead_ns += MONTH_NS;
    assert_int_equal(close(open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660)), 0);
    pass_by(stage);
    assert_int_equal(access(path, F_OK), 0);
    clock_step->ahead_ns -= 2 * MONTH_NS;
    pass_by(stage);
    assert_int_equal(access(path, F_OK), 0);
    leave();
}

#define STEP_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STEP_TEST(test_step_of_the_collectors_clock_forgets_nobody),
        STEP_TEST(test_marks_of_an_older_collector_forget_nobody),
        STEP_TEST(test_step_sweeps_away_no_region_that_is_being_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
