/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger's file under a collector at work: full, locked, deleted, put back older, damaged. The collector says what is wrong,
 * keeps what it cannot write, and ends exact.
 */
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>

#include <sqlite3.h>

#include "integration/http_stage.h"
#include "integration/stage_calls.h"

#define CALLS 1000
#define SETTLE_MS PROCESS_PATIENCE_MS

static int record_calls(struct stage *stage, int number)
{
    return stage_record_and_sync(stage, CALLS, number, SETTLE_MS);
}

static void record(struct stage *stage, int number)
{
    assert_int_equal(stage_exit_code(stage_fork(stage, record_calls, number)), 0);
}

static int inexact(const struct stage *stage)
{
    struct stage_rows *rows;
    int count = 0;

    stage_wait_ledger(stage);
    rows = stage_read(stage);
    for (int user = 0; user < STAGE_USERS; user++) {
        char id[16];
        int len = snprintf(id, sizeof(id), "user-%02d", user);
        tkr_counts counts = stage_counts(rows, TKR_KIND_USER, id, (uint32_t)len);
        count += counts.value[TKR_COUNTER_PROMPT] != atomic_load(&stage->truth->prompt[user]) ||
                 counts.value[TKR_COUNTER_CALLS] != atomic_load(&stage->truth->calls[user]);
    }
    free(rows);
    return count;
}

static void wait_exact(const struct stage *stage)
{
    long end = process_now_ms() + SETTLE_MS;

    while (inexact(stage) > 0) {
        if (process_now_ms() > end)
            fail_msg("%d users are not exact", inexact(stage));
        process_sleep_ms(20);
    }
}

static void wait_said(struct stage *stage, const char *text)
{
    if (process_wait_text(&stage->collector, PROCESS_STDERR, text, SETTLE_MS) != 0)
        fail_msg("the collector does not say \"%s\": %s", text, process_text(&stage->collector, PROCESS_STDERR));
}

/* The same, of what it says after the first `from` bytes. */
static void wait_said_after(struct stage *stage, size_t from, const char *text)
{
    long end = process_now_ms() + SETTLE_MS;

    while (strstr(process_text(&stage->collector, PROCESS_STDERR) + from, text) == NULL) {
        if (process_now_ms() > end)
            fail_msg("the collector does not say \"%s\": %s", text, process_text(&stage->collector, PROCESS_STDERR));
        process_sleep_ms(10);
    }
}

static sqlite3 *open_ledger(const struct stage *stage)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(stage->ledger, &db), SQLITE_OK);
    assert_int_equal(sqlite3_busy_timeout(db, 5000), SQLITE_OK);
    return db;
}

static void execute(sqlite3 *db, const char *sql)
{
    char *error = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", sql, error);
}

/* Ends the collector and lets another one, of another count of workers, go on: nothing may come twice. */
static void end_exact(struct stage *stage)
{
    stage_collector_end(stage, 0);
    stage_collector_start(stage, "2");
    record(stage, 9);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
}

static void test_ledger_locked_for_long_by_a_writer_is_waited_for(void **state)
{
    struct stage *stage = *state;
    size_t said;
    sqlite3 *db;

    stage_collector_start(stage, "1");
    record(stage, 1);
    wait_exact(stage);
    db = open_ledger(stage);
    execute(db, "BEGIN IMMEDIATE");
    said = strlen(process_text(&stage->collector, PROCESS_STDERR));
    record(stage, 2);
    wait_said_after(stage, said, "locked");
    assert_int_equal(inexact(stage), STAGE_USERS);
    execute(db, "ROLLBACK");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    wait_exact(stage);
    end_exact(stage);
}

/* A reader does not keep a writer of a WAL from its work; what it sees stays. */
static void test_ledger_read_in_one_long_transaction_is_written_all_the_same(void **state)
{
    struct stage *stage = *state;
    sqlite3 *db;

    stage_collector_start(stage, "1");
    record(stage, 1);
    wait_exact(stage);
    db = open_ledger(stage);
    execute(db, "BEGIN; SELECT * FROM usage");
    for (int i = 0; i < 3; i++) {
        record(stage, i);
        wait_exact(stage);
    }
    execute(db, "COMMIT");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    end_exact(stage);
}

/* `tokenring health` begins with such a line and has such words in another one. */
static bool health_says(struct stage *stage, const char *grade, const char *words)
{
    const char *argv[] = {TEST_BIN_DIR "/tokenring", "health", NULL};
    struct process process;
    bool says;

    assert_int_equal(process_run(&process, argv, stage->env_list, SETTLE_MS), 0);
    says = strncmp(process_text(&process, PROCESS_STDOUT), grade, strlen(grade)) == 0 &&
           strstr(process_text(&process, PROCESS_STDOUT), words) != NULL;
    process_end(&process);
    return says;
}

static void wait_health(struct stage *stage, const char *grade, const char *words)
{
    long end = process_now_ms() + SETTLE_MS;

    while (!health_says(stage, grade, words)) {
        if (process_now_ms() > end)
            fail_msg("health is not %s: %s", grade, process_text(&stage->collector, PROCESS_STDERR));
        process_sleep_ms(50);
    }
}

static char on_disk[] = "/var/tmp/tokenring-test-XXXXXX"; /* what is larger than the room of a small /dev/shm */

static int set_up_on_disk(void **state)
{
    struct stage *stage;

    if (stage_set_up(state) != 0 || mkdtemp(on_disk) == NULL)
        return -1;
    stage = *state;
    (void)snprintf(stage->ledger, sizeof(stage->ledger), "%s/l.db", on_disk);
    stage_env(stage, "TOKENRING_LEDGER", stage->ledger);
    return 0;
}

static int tear_down_on_disk(void **state)
{
    static const char *const suffix[] = {"", "-wal", "-shm"};
    struct stage *stage = *state;
    char path[STAGE_PATH_BYTES + 8];

    process_end(&stage->collector);
    for (int i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof(path), "%s%s", stage->ledger, suffix[i]);
        (void)unlink(path); /* the last two may be gone */
    }
    (void)rmdir(on_disk);
    return stage_tear_down(state);
}

/* A table of ours is written over and over, which is quick. */
static void test_ledger_whose_log_a_reader_lets_grow_is_degraded_until_it_ends(void **state)
{
    struct stage *stage = *state;
    char where[WHERE_BYTES];
    sqlite3 *reader;
    sqlite3 *writer;

    start_collector(stage, where);
    record(stage, 1);
    wait_exact(stage);
    wait_health(stage, "healthy\n", "");
    reader = open_ledger(stage);
    writer = open_ledger(stage);
    execute(writer, "PRAGMA synchronous=OFF; CREATE TABLE test (a); INSERT INTO test VALUES (NULL)");
    execute(reader, "BEGIN; SELECT * FROM usage");
    for (int i = 0; i < 33; i++)
        execute(writer, "UPDATE test SET a = randomblob(8388608)");
    wait_health(stage, "degraded\n", "MiB and grows while a reader keeps a transaction open; end that reader");
    assert_true(value_of(where, "tokenring_ledger_wal_bytes") > 256 << 20);
    wait_said(stage, "its write-ahead log has 2");
    execute(reader, "COMMIT");
    execute(writer, "DROP TABLE test; PRAGMA wal_checkpoint(TRUNCATE)");
    assert_int_equal(sqlite3_close(reader), SQLITE_OK);
    assert_int_equal(sqlite3_close(writer), SQLITE_OK);
    wait_health(stage, "healthy\n", "");
    wait_said(stage, "the ledger's write-ahead log is small again");
    end_exact(stage);
}

/* However many tries may fail before the sink is called failing. */
static void test_ledger_that_cannot_be_written_is_told_at_the_start(void **state)
{
    struct stage *stage = *state;
    char path[STAGE_PATH_BYTES + 16];

    (void)snprintf(path, sizeof(path), "%s/missing/l.db", stage->dir);
    stage_env(stage, "TOKENRING_LEDGER", path);
    stage_env(stage, "CALLBACK_RETRY_ATTEMPTS", "1000");
    stage_env(stage, "CALLBACK_RETRY_DELAY", "60000");
    stage_collector_start(stage, "1");
    wait_said(stage, "/missing/l.db: unable to open database file: No such file or directory");
    wait_health(stage, "degraded\n", "the sink has not taken usage for ");
}

static void test_ledger_deleted_under_the_collector_is_made_anew_and_whole(void **state)
{
    struct stage *stage = *state;

    stage_env(stage, "LOG_LEVEL", "debug"); /* one try that fails is not told otherwise */
    stage_collector_start(stage, "2");
    record(stage, 1);
    wait_exact(stage);
    assert_int_equal(unlink(stage->ledger), 0);
    wait_said(stage, "moved, removed or replaced");
    wait_said(stage, "the sink has gone back");
    wait_exact(stage);
    end_exact(stage);
}

static void test_older_copy_of_the_ledger_put_back_ends_exact(void **state)
{
    struct stage *stage = *state;
    char copy[STAGE_PATH_BYTES + 8];
    char sql[2 * STAGE_PATH_BYTES];
    sqlite3 *db;

    (void)snprintf(copy, sizeof(copy), "%s.copy", stage->ledger);
    (void)snprintf(sql, sizeof(sql), "VACUUM INTO '%s'", copy);
    stage_collector_start(stage, "2");
    record(stage, 1);
    wait_exact(stage);
    db = open_ledger(stage);
    execute(db, sql);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    record(stage, 2);
    wait_exact(stage);
    assert_int_equal(rename(copy, stage->ledger), 0);
    wait_said(stage, "the sink has gone back");
    wait_exact(stage);
    db = open_ledger(stage);
    execute(db, "PRAGMA integrity_check");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    end_exact(stage);
}

static void test_damaged_ledger_is_said_and_left_alone_until_it_is_moved_away(void **state)
{
    struct stage *stage = *state;
    char aside[STAGE_PATH_BYTES + 8];
    FILE *file = fopen(stage->ledger, "w");

    assert_non_null(file);
    for (int i = 0; i < 2000; i++)
        assert_true(fputs("not a database", file) >= 0);
    assert_int_equal(fclose(file), 0);
    (void)snprintf(aside, sizeof(aside), "%s.bad", stage->ledger);
    stage_collector_start(stage, "1");
    record(stage, 1);
    wait_said(stage, "file is not a database");
    assert_int_equal(rename(stage->ledger, aside), 0);
    wait_exact(stage);
    end_exact(stage);
}

/* Fills what is left of the disk. */
static void fill_disk(const char *path)
{
    static const char zeros[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    while (write(fd, zeros, sizeof(zeros)) > 0)
        continue;
    assert_int_equal(errno, ENOSPC);
    (void)close(fd);
}

static void test_ledger_on_a_full_disk_heals_when_there_is_room(void **state)
{
    struct stage *stage = *state;
    char disk[STAGE_PATH_BYTES];
    char filler[STAGE_PATH_BYTES + 8];

    (void)snprintf(disk, sizeof(disk), "%s/disk", stage->dir);
    assert_int_equal(mkdir(disk, 0700), 0);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "", MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", disk, "tmpfs", 0, "size=1m") != 0) {
        (void)puts("skipped: mounting a tmpfs needs root");
        skip();
    }
    (void)snprintf(filler, sizeof(filler), "%s/filler", disk);
    (void)snprintf(stage->ledger, sizeof(stage->ledger), "%s/disk/l.db", stage->dir);
    stage_env(stage, "TOKENRING_LEDGER", stage->ledger);
    stage_collector_start(stage, "1");
    record(stage, 1);
    wait_exact(stage);
    fill_disk(filler);
    for (int i = 2; strstr(process_text(&stage->collector, PROCESS_STDERR), "full") == NULL; i++) {
        record(stage, i); /* until the WAL has taken what it can without growing */
        assert_in_range(i, 2, 2000);
    }
    record(stage, 1);
    assert_int_equal(unlink(filler), 0);
    wait_exact(stage);
    end_exact(stage);
    assert_int_equal(umount2(disk, MNT_DETACH), 0);
}

#define LEDGER_TEST(test) cmocka_unit_test_setup_teardown(test, stage_set_up, stage_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LEDGER_TEST(test_ledger_locked_for_long_by_a_writer_is_waited_for),
        LEDGER_TEST(test_ledger_read_in_one_long_transaction_is_written_all_the_same),
        cmocka_unit_test_setup_teardown(test_ledger_whose_log_a_reader_lets_grow_is_degraded_until_it_ends, set_up_on_disk,
                                        tear_down_on_disk),
        LEDGER_TEST(test_ledger_that_cannot_be_written_is_told_at_the_start),
        LEDGER_TEST(test_ledger_deleted_under_the_collector_is_made_anew_and_whole),
        LEDGER_TEST(test_older_copy_of_the_ledger_put_back_ends_exact),
        LEDGER_TEST(test_damaged_ledger_is_said_and_left_alone_until_it_is_moved_away),
        LEDGER_TEST(test_ledger_on_a_full_disk_heals_when_there_is_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
