/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tmpfs that is small, or full: what gateways were told is recorded is counted, whoever starts first and whatever fills it; what is
 * lost or waits is said at once. Needs root, for a mount of its own.
 */
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>

#include "base/tmpfs.h"
#include "integration/stage_calls.h"

#define COMMAND TEST_BIN_DIR "/tokenring"
#define GATEWAYS 3
#define KNOWN 10 /* users whose accounts are there before the tmpfs is full; the rest are new */

enum { NOTE_READY, NOTE_GO, NOTE_DONE, NOTE_END, NOTE_DROPPED, NOTE_FILLED, NOTE_OPEN };

static int set_up(void **state)
{
    struct stage *stage;

    if (stage_set_up(state) != 0)
        return -1;
    stage = *state;
    stage_env(stage, "TOKENRING_HTTP", "off");
    return 0;
}

static int tear_down(void **state)
{
    struct stage *stage = *state;

    atomic_store(&stage->truth->stop, true);
    process_end(&stage->collector);
    (void)umount2(stage->runtime, MNT_DETACH);
    return stage_tear_down(state);
}

static void mount_tmpfs(const struct stage *stage, const char *options)
{
    assert_int_equal(mount("tmpfs", stage->runtime, "tmpfs", 0, options), 0);
    assert_int_equal(chmod(stage->runtime, 0700), 0);
}

static struct tkr_tmpfs tmpfs_of(const struct stage *stage)
{
    struct tkr_tmpfs tmpfs = {0};
    int fd = open(stage->runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_true(tkr_tmpfs_read(fd, &tmpfs));
    assert_int_equal(close(fd), 0);
    return tmpfs;
}

static void filler_path(const struct stage *stage, char path[STAGE_PATH_BYTES + 16])
{
    (void)snprintf(path, STAGE_PATH_BYTES + 16, "%s/filler", stage->runtime);
}

/* Somebody else takes all that is left. */
static void fill_up(const struct stage *stage)
{
    static const char zeros[65536];
    char path[STAGE_PATH_BYTES + 16];
    ssize_t n = sizeof(zeros);
    int fd;

    filler_path(stage, path);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC | O_APPEND, 0600);
    assert_true(fd >= 0);
    while (n > 0)
        n = write(fd, zeros, sizeof(zeros));
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(close(fd), 0);
}

static void free_up(const struct stage *stage)
{
    char path[STAGE_PATH_BYTES + 16];

    filler_path(stage, path);
    assert_int_equal(unlink(path), 0);
}

static void wait_note(const struct stage *stage, int note, uint64_t least)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;

    while (atomic_load(&stage->truth->note[note]) < least) {
        if (process_now_ms() > end)
            fail_msg("note %d is still below %llu", note, (unsigned long long)least);
        process_sleep_ms(1);
    }
}

static void set_note(struct stage *stage, int note)
{
    (void)atomic_fetch_add(&stage->truth->note[note], 1);
}

/* What a command prints; its exit code is looked at where it is given. */
static void ask(const struct stage *stage, const char *subcommand, int exit_code, char *ret_text, size_t room)
{
    const char *argv[] = {COMMAND, subcommand, NULL};
    struct process process;

    assert_int_equal(process_run(&process, argv, stage->env_list, STAGE_DEADLINE_MS), 0);
    if (exit_code >= 0 && process_exit_code(&process) != exit_code)
        fail_msg("%s: exit status %d: %s%s", subcommand, process_exit_code(&process), process_text(&process, PROCESS_STDOUT),
                 process_text(&process, PROCESS_STDERR));
    (void)snprintf(ret_text, room, "%s", process_text(&process, PROCESS_STDOUT));
    process_end(&process);
}

static void wait_command(const struct stage *stage, const char *subcommand, const char *words, bool there)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;
    char text[16384];

    for (;;) {
        ask(stage, subcommand, -1, text, sizeof(text));
        if ((strstr(text, words) != NULL) == there)
            return;
        if (process_now_ms() > end)
            fail_msg("waited until %s %s \"%s\": %s", subcommand, there ? "says" : "no longer says", words, text);
        process_sleep_ms(20);
    }
}

/* Calls that the library did not take are the gateway's loss, and it knows of them: they are not in the truth. */
static void forgive_drops(struct stage *stage)
{
    atomic_store(&stage->truth->note[NOTE_DROPPED], atomic_exchange(&stage->truth->failed, 0));
}

/* --- gateways first --- */

static int record_until_it_is_full(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);
    uint64_t recorded = 0;

    set_note(stage, NOTE_OPEN);
    wait_note(stage, NOTE_OPEN, GATEWAYS); /* who comes later finds no room to open */
    for (int refused = 0; producer != NULL && refused < 100; recorded++)
        refused += stage_record(stage, producer, (number * 7 + (int)recorded) % STAGE_USERS, 3, 1) != TKR_OK;
    set_note(stage, NOTE_READY);
    while (!atomic_load(&stage->truth->stop))
        process_sleep_ms(5);
    tkr_close(producer);
    return producer != NULL ? 0 : 1;
}

static void test_collector_begins_on_a_tmpfs_that_gateways_have_filled(void **state)
{
    struct stage *stage = *state;
    pid_t gateway[GATEWAYS];

    mount_tmpfs(stage, "size=64m");
    for (int i = 0; i < GATEWAYS; i++)
        gateway[i] = stage_fork(stage, record_until_it_is_full, i);
    wait_note(stage, NOTE_READY, GATEWAYS);
    assert_true(tmpfs_of(stage).available < 20 << 20);
    stage_collector_start(stage, "1");
    atomic_store(&stage->truth->stop, true);
    for (int i = 0; i < GATEWAYS; i++)
        assert_int_equal(stage_exit_code(gateway[i]), 0);
    stage_wait_regions(stage, 0);
    wait_command(stage, "health", "records were dropped in the last ten minutes", true);
    assert_int_equal(
        process_wait_text(&stage->collector, PROCESS_STDERR, "records were dropped: the tmpfs had no room", STAGE_DEADLINE_MS),
        0);
    stage_collector_end(stage, 0);
    forgive_drops(stage);
    stage_assert_exact(stage);
    assert_true(atomic_load(&stage->truth->recorded) > 100000);
}

/* --- somebody else fills it --- */

static int record_known_users(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);

    (void)number;
    for (int user = 0; producer != NULL && user < KNOWN; user++)
        (void)stage_record(stage, producer, user, 1, 1);
    if (producer == NULL || tkr_sync(producer, STAGE_DEADLINE_MS) != TKR_OK)
        return 1;
    set_note(stage, NOTE_READY);
    wait_note(stage, NOTE_GO, 1);
    for (int user = 0; user < KNOWN; user++)
        (void)stage_record(stage, producer, user, 10, 10);
    if (tkr_sync(producer, STAGE_DEADLINE_MS) != TKR_OK) /* they are counted although others wait */
        return 2;
    set_note(stage, NOTE_DONE);
    wait_note(stage, NOTE_END, 1);
    tkr_close(producer);
    return 0;
}

static int record_new_users(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);
    tkr_stat stat = TKR_STAT_INIT;

    (void)number;
    set_note(stage, NOTE_READY);
    wait_note(stage, NOTE_GO, 1);
    for (int i = 0; producer != NULL && i < 60; i++)
        (void)stage_record(stage, producer, KNOWN + i % (STAGE_USERS - KNOWN), 100, 100);
    if (producer == NULL || tkr_stat_read(producer, &stat) != TKR_OK || stat.in_lanes == 0 || stat.dropped != 0)
        return 1;
    set_note(stage, NOTE_DONE);
    wait_note(stage, NOTE_END, 1);
    tkr_close(producer);
    return 0;
}

/* In a child: no assertions. */
static bool is_said(const struct stage *stage, const char *words)
{
    const char *argv[] = {COMMAND, "health", NULL};
    struct process process;
    bool said = process_run(&process, argv, stage->env_list, STAGE_DEADLINE_MS) == 0 &&
                strstr(process_text(&process, PROCESS_STDOUT), words) != NULL;

    process_end(&process);
    return said;
}

/* The memory of the table that is allocated already takes strangers until none is left, which the collector says. */
static int use_up_the_table(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;
    int recorded = 0;
    bool said = false;
    char id[64];

    (void)number;
    start.cycle = STAGE_CYCLE;
    start.account_count = 1;
    usage.prompt = 1;
    set_note(stage, NOTE_READY);
    wait_note(stage, NOTE_FILLED, 1);
    while (producer != NULL && recorded < 200000 && !said) {
        start.account[0].id = id;
        start.account[0].len = (uint32_t)snprintf(id, sizeof(id), "filler-%d", recorded);
        if (tkr_record(producer, &start, &usage) != TKR_OK)
            break;
        recorded++;
        while (recorded % 200 == 0 && !said && tkr_sync(producer, 1000) != TKR_OK) /* perhaps since one of them waits */
            said = is_said(stage, "has no memory for more accounts");
    }
    tkr_close(producer);
    return said ? 0 : 1;
}

static void test_new_accounts_wait_while_others_are_counted_and_all_is_said(void **state)
{
    struct stage *stage = *state;
    pid_t gateway[3];
    char text[16384];

    mount_tmpfs(stage, "size=24m");
    stage_collector_start(stage, "1");
    gateway[0] = stage_fork(stage, record_known_users, 0);
    gateway[1] = stage_fork(stage, record_new_users, 0);
    gateway[2] = stage_fork(stage, use_up_the_table, 0);
    wait_note(stage, NOTE_READY, 3);
    fill_up(stage);
    set_note(stage, NOTE_FILLED);
    assert_int_equal(stage_exit_code(gateway[2]), 0);
    set_note(stage, NOTE_GO);
    wait_note(stage, NOTE_DONE, 2);
    wait_command(stage, "health", "has no memory for more accounts", true);
    ask(stage, "health", 0, text, sizeof(text));
    assert_int_equal(strncmp(text, "degraded\n", 9), 0);
    ask(stage, "stat", 0, text, sizeof(text)); /* the accounting holds, in motion and at rest */
    assert_non_null(strstr(text, "lanes wait"));
    assert_non_null(strstr(text, "holds"));
    ask(stage, "doctor", -1, text, sizeof(text));
    assert_non_null(strstr(text, "has no memory for more accounts"));
    assert_non_null(strstr(process_text(&stage->collector, PROCESS_STDERR), "has no memory for more accounts"));
    assert_null(strstr(process_text(&stage->collector, PROCESS_STDERR), "TOKENRING_MAX_ACCOUNTS"));
    free_up(stage);
    wait_command(stage, "health", "has no memory for more accounts", false);
    set_note(stage, NOTE_END);
    assert_int_equal(stage_exit_code(gateway[0]), 0);
    assert_int_equal(stage_exit_code(gateway[1]), 0);
    stage_wait_regions(stage, 0);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
    assert_non_null(strstr(process_text(&stage->collector, PROCESS_STDERR), "has memory again"));
    assert_int_equal(stage_law(stage).dropped, 0);
}

/* --- what containers get --- */

static int record_faster_than_it_is_counted(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);
    int refused = 0;

    for (int i = 0; producer != NULL && refused < 10; i++)
        refused += stage_record(stage, producer, (number + i) % STAGE_USERS, 1, 1) != TKR_OK;
    set_note(stage, NOTE_DONE);
    wait_note(stage, NOTE_END, 1);
    tkr_close(producer);
    return producer != NULL ? 0 : 1;
}

static void test_small_tmpfs_is_said_at_start_and_drops_at_once(void **state)
{
    struct stage *stage = *state;
    pid_t gateway;
    char text[16384];

    mount_tmpfs(stage, "size=64m");
    stage_collector_start(stage, "1");
    (void)snprintf(text, sizeof(text), "%s", process_text(&stage->collector, PROCESS_STDERR));
    assert_non_null(strstr(text, "is on a tmpfs of 64 MiB"));
    assert_non_null(strstr(text, "512 MiB are recommended"));
    assert_non_null(strstr(text, "the board of limits has room for 8192 accounts instead of 65536"));
    assert_true(tmpfs_of(stage).available > 48 << 20); /* the board leaves most of it */
    ask(stage, "health", 0, text, sizeof(text));
    assert_string_equal(text, "healthy\n");
    process_signal(&stage->collector, SIGSTOP);
    gateway = stage_fork(stage, record_faster_than_it_is_counted, 0);
    wait_note(stage, NOTE_DONE, 1);
    process_signal(&stage->collector, SIGCONT);
    wait_command(stage, "health", "records were dropped in the last ten minutes", true);
    if (process_wait_text(&stage->collector, PROCESS_STDERR, "records were dropped: the tmpfs had no room for another lane",
                          STAGE_DEADLINE_MS) != 0)
        fail_msg("%s", process_text(&stage->collector, PROCESS_STDERR));
    set_note(stage, NOTE_END);
    assert_int_equal(stage_exit_code(gateway), 0);
    stage_wait_regions(stage, 0);
    stage_collector_end(stage, 0);
    forgive_drops(stage);
    stage_assert_exact(stage);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_collector_begins_on_a_tmpfs_that_gateways_have_filled),
        T(test_new_accounts_wait_while_others_are_counted_and_all_is_said),
        T(test_small_tmpfs_is_said_at_start_and_drops_at_once),
    };

    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "", MS_REC | MS_PRIVATE, NULL) != 0) {
        (void)puts("skipped: mounting a tmpfs needs root");
        return TEST_SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
