/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a collector leaves: what it cannot read, what it left and whom it left behind is said, in its log, its health and its exit
 * status; and with TOKENRING_LINGER_S it goes on for the gateways that are attached.
 */
#include <sys/resource.h>
#include <sys/time.h>

#include "integration/collector_stage.h"

#define TOKENRING TEST_BIN_DIR "/tokenring"
#define CALLS 100
#define HEADROOM_BYTES (UINT64_C(16) << 20) /* of address space, beside what a collector has: less than any region */

/* Notes by which a gateway and the test take turns. */
enum { GO, MADE };

/* --- the collector --- */

static const char *log_of(struct stage *stage)
{
    return process_text(&stage->collector, PROCESS_STDERR);
}

static void wait_log(struct stage *stage, const char *text)
{
    if (process_wait_text(&stage->collector, PROCESS_STDERR, text, STAGE_DEADLINE_MS) != 0)
        fail_msg("waited in vain for '%s' in: %s", text, log_of(stage));
}

/* Waits until it has ended. */
static void wait_end(struct stage *stage, int exit_code)
{
    if (process_wait(&stage->collector, STAGE_DEADLINE_MS) != 0)
        fail_msg("the collector has not ended: %s", log_of(stage));
    if (process_exit_code(&stage->collector) != exit_code)
        fail_msg("exit status %d: %s", process_exit_code(&stage->collector), log_of(stage));
}

static void assert_said(struct stage *stage, const char *text)
{
    if (strstr(log_of(stage), text) == NULL)
        fail_msg("'%s' is not in: %s", text, log_of(stage));
}

/* What a command of this stage prints. */
static const char *ask(const struct stage *stage, const char *command)
{
    static char text[1 << 14];
    const char *argv[] = {TOKENRING, command, NULL};
    struct process process;

    assert_int_equal(process_run(&process, argv, stage->env_list, STAGE_DEADLINE_MS), 0);
    (void)snprintf(text, sizeof(text), "%s", process_text(&process, PROCESS_STDOUT));
    process_end(&process);
    return text;
}

static void wait_answer(const struct stage *stage, const char *command, const char *text)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;

    while (strstr(ask(stage, command), text) == NULL) {
        if (process_now_ms() > end)
            fail_msg("waited in vain for '%s' of tokenring %s, which says: %s", text, command, ask(stage, command));
        process_sleep_ms(50);
    }
}

/* --- a gateway --- */

static void wait_note(struct stage *stage, int note, uint64_t value)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;

    while (atomic_load(&stage->truth->note[note]) < value && process_now_ms() < end)
        process_sleep_ms(1);
}

/* Records some calls, stays until it may go on, records as many again, and leaves. */
static int gateway(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);

    (void)number;
    for (uint64_t turn = 0; producer != NULL && turn < 2; turn++) {
        wait_note(stage, GO, turn);
        for (int i = 0; i < CALLS; i++) {
            if (stage_record(stage, producer, i % STAGE_USERS, 1, 2) != 0)
                return 1;
        }
        atomic_fetch_add(&stage->truth->note[MADE], 1);
    }
    wait_note(stage, GO, 2);
    tkr_close(producer);
    return producer == NULL;
}

static pid_t gateway_start(struct stage *stage)
{
    pid_t child = stage_fork(stage, gateway, 0);
    long end = process_now_ms() + STAGE_DEADLINE_MS;

    while (atomic_load(&stage->truth->note[MADE]) < 1) {
        if (process_now_ms() > end)
            fail_msg("waited in vain for the gateway's calls");
        process_sleep_ms(1);
    }
    return child;
}

static void gateway_end(struct stage *stage, pid_t child)
{
    atomic_store(&stage->truth->note[GO], 2);
    assert_int_equal(stage_exit_code(child), 0);
}

/* Ends with a collector that lacks nothing: it counts what is left, and says that that is all. */
static void count_the_rest(struct stage *stage)
{
    stage_collector_start(stage, "1");
    stage_wait_regions(stage, 0);
    stage_collector_end(stage, 0);
    assert_said(stage, "all counted and flushed; leaving");
    stage_assert_exact(stage);
    stage_assert_law(stage, atomic_load(&stage->truth->recorded));
}

/* --- what cannot be read --- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BOUNDED false /* the sanitizers' own memory does not fit */
#else
#define BOUNDED true
#endif

/* Bytes of a line of /proc/PID/status in KiB. */
static uint64_t address_space(pid_t pid)
{
    unsigned long long kib = 0;
    char path[64];
    char line[256];
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    file = fopen(path, "re");
    assert_non_null(file);
    while (kib == 0 && fgets(line, sizeof(line), file) != NULL)
        (void)sscanf(line, "VmSize: %llu", &kib); /* NOLINT: of the kernel */
    (void)fclose(file);
    return kib * 1024;
}

static void limit(pid_t pid, enum __rlimit_resource resource, uint64_t value)
{
    struct rlimit limits;

    assert_int_equal(prlimit(pid, resource, NULL, &limits), 0);
    limits.rlim_cur = value < limits.rlim_max ? value : limits.rlim_max;
    assert_int_equal(prlimit(pid, resource, &limits, NULL), 0);
}

static void test_region_that_cannot_be_mapped_is_named_and_left(void **state)
{
    struct stage *stage = *state;
    pid_t child;

    if (!BOUNDED)
        skip();
    stage_collector_start(stage, "1");
    wait_answer(stage, "health", "healthy");
    limit(stage->collector.pid, RLIMIT_AS, address_space(stage->collector.pid) + HEADROOM_BYTES);
    child = gateway_start(stage);
    wait_log(stage, "cannot be mapped: Cannot allocate memory");
    wait_answer(stage, "health", "degraded\n1 region of gateways cannot be read");
    wait_answer(stage, "stat", "not readable by the collector, and not counted: region-");
    wait_answer(stage, "doctor", "the collector cannot read 1");
    process_signal(&stage->collector, SIGTERM);
    wait_end(stage, 1);
    assert_said(stage, "not counted, since they cannot be read: regions of gateways: 1; the first: region-");
    assert_said(stage, "not all is counted; what is left stays in ");
    assert_null(strstr(log_of(stage), "all counted and flushed"));
    gateway_end(stage, child);
    count_the_rest(stage);
}

static void test_region_that_can_be_mapped_again_is_counted(void **state)
{
    struct stage *stage = *state;
    pid_t child;

    if (!BOUNDED)
        skip();
    stage_collector_start(stage, "1");
    wait_answer(stage, "health", "healthy");
    limit(stage->collector.pid, RLIMIT_AS, address_space(stage->collector.pid) + HEADROOM_BYTES);
    child = gateway_start(stage);
    wait_log(stage, "cannot be mapped: Cannot allocate memory");
    limit(stage->collector.pid, RLIMIT_AS, RLIM_INFINITY);
    wait_log(stage, "can be read again");
    wait_answer(stage, "health", "healthy");
    gateway_end(stage, child);
    stage_wait_regions(stage, 0);
    stage_collector_end(stage, 0);
    assert_said(stage, "all counted and flushed; leaving");
    stage_assert_exact(stage);
}

/* Without a descriptor the directory itself cannot be looked at: nobody knows what is in it. */
static void test_collector_without_descriptors_says_so(void **state)
{
    struct stage *stage = *state;
    pid_t child;

    stage_collector_start(stage, "1");
    wait_answer(stage, "health", "healthy");
    limit(stage->collector.pid, RLIMIT_NOFILE, 4);
    child = gateway_start(stage);
    wait_log(stage, "the runtime directory cannot be read, and gateways that are new are not seen: Too many open files");
    wait_answer(stage, "health", "degraded\n");
    process_signal(&stage->collector, SIGTERM);
    wait_end(stage, 1);
    assert_said(stage, "the runtime directory cannot be read: Too many open files");
    gateway_end(stage, child);
    count_the_rest(stage);
}

/* --- gateways that still run --- */

static void test_collector_says_how_many_gateways_still_run(void **state)
{
    struct stage *stage = *state;
    pid_t child;

    stage_collector_start(stage, "1");
    child = gateway_start(stage);
    stage_collector_end(stage, 0);
    assert_said(stage, "1 gateway still runs: what it records from now on waits in its lanes for the next collector");
    assert_said(stage, "all counted and flushed; leaving");
    gateway_end(stage, child);
    count_the_rest(stage);
}

static void test_lingering_collector_counts_what_gateways_record_last(void **state)
{
    struct stage *stage = *state;
    pid_t child;

    stage_env(stage, "TOKENRING_LINGER_S", "600");
    stage_collector_start(stage, "1");
    child = gateway_start(stage);
    process_signal(&stage->collector, SIGTERM);
    wait_log(stage, "asked to leave while 1 gateway runs");
    wait_answer(stage, "health", "healthy");
    gateway_end(stage, child);
    wait_end(stage, 0);
    assert_said(stage, "all counted and flushed; leaving");
    assert_null(strstr(log_of(stage), "still run"));
    stage_assert_exact(stage);
    assert_int_equal(stage_regions(stage), 0);
}

static void test_second_signal_ends_the_lingering(void **state)
{
    struct stage *stage = *state;
    pid_t child;

    stage_env(stage, "TOKENRING_LINGER_S", "600");
    stage_collector_start(stage, "1");
    child = gateway_start(stage);
    process_signal(&stage->collector, SIGTERM);
    wait_log(stage, "asked to leave while 1 gateway runs");
    process_signal(&stage->collector, SIGTERM);
    wait_end(stage, 0);
    assert_said(stage, "1 gateway still runs");
    gateway_end(stage, child);
    count_the_rest(stage);
}

static void test_lingering_ends_with_its_time_or_is_not_begun(void **state)
{
    struct stage *stage = *state;
    pid_t child;

    stage_env(stage, "TOKENRING_LINGER_S", "1");
    stage_collector_start(stage, "1");
    stage_collector_end(stage, 0); /* nobody is attached */
    assert_null(strstr(log_of(stage), "asked to leave"));
    stage_collector_start(stage, "1");
    child = gateway_start(stage);
    stage_collector_end(stage, 0);
    assert_said(stage, "asked to leave while 1 gateway runs");
    assert_said(stage, "1 gateway still runs");
    gateway_end(stage, child);
    count_the_rest(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_LEDGER(test_region_that_cannot_be_mapped_is_named_and_left),
        IN_LEDGER(test_region_that_can_be_mapped_again_is_counted),
        IN_LEDGER(test_collector_without_descriptors_says_so),
        IN_LEDGER(test_collector_says_how_many_gateways_still_run),
        IN_LEDGER(test_lingering_collector_counts_what_gateways_record_last),
        IN_LEDGER(test_second_signal_ends_the_lingering),
        IN_LEDGER(test_lingering_ends_with_its_time_or_is_not_begun),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
