/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger as a file: what lies in it, who else uses it, and what happens when it is full, locked, moved or foreign. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "sink/contribution.h"
#include "sink/sqlite/ledger.h"
#include "support/process.h"
#include "support/sink.h"
#include "support/tempdir.h"
#include "support/test.h"

#define NONE test_record_none()
#define PATH_BYTES 128

struct fixture {
    char dir[TEMPDIR_BYTES];
    char path[PATH_BYTES];
    tkr_sink *sink;
};

static tkr_sink *sink_at(const char *path, int timeout_ms)
{
    struct tkr_sink_config config = {.kind = TKR_SINK_SQLITE, .command_timeout_ms = timeout_ms};
    tkr_sink *sink;
    tkr_message message;

    memcpy(config.ledger, path, strlen(path) + 1);
    assert_int_equal(tkr_sink_open(&config, &sink, &message), 0);
    return sink;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (fixture == NULL || tempdir_make(fixture->dir) != 0)
        return -1;
    (void)snprintf(fixture->path, sizeof(fixture->path), "%s/ledger.db", fixture->dir);
    fixture->sink = sink_at(fixture->path, 5000);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    fixture->sink->ops->close(fixture->sink);
    tempdir_remove(fixture->dir);
    free(fixture);
    return 0;
}

static void execute(const char *path, const char *sql)
{
    char *error = NULL;
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    (void)sqlite3_busy_timeout(db, 5000);
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s", error);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int append_row(void *arg, int columns, char **value, char **name)
{
    char *text = arg;

    (void)name;
    for (int i = 0; i < columns; i++)
        (void)snprintf(text + strlen(text), 512 - strlen(text), "%s%s", value[i] != NULL ? value[i] : "NULL",
                       i + 1 < columns ? "|" : ";");
    return 0;
}

/* "a|b;c|d;" in a static buffer. */
static const char *query(const char *path, const char *sql)
{
    static char text[512];
    sqlite3 *db;

    text[0] = '\0';
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, append_row, text, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return text;
}

/* The same, of a ledger that somebody may be making just now. */
static bool answers(const char *path, const char *sql, const char *expected)
{
    char text[512] = "";
    sqlite3 *db;
    bool read = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
                sqlite3_exec(db, sql, append_row, text, NULL) == SQLITE_OK;

    (void)sqlite3_close(db); /* also when it did not open */
    return read && strcmp(text, expected) == 0;
}

static void assert_connect_refused(tkr_sink *sink, const char *part)
{
    tkr_message message = {""};

    assert_int_equal(sink->ops->connect(sink, &message), -1);
    if (strstr(message.text, part) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", message.text, part);
}

static void test_ledger_rows_are_one_a_source_and_a_base(void **state)
{
    static const char rows[] = "SELECT kind, account, cycle, source, life, prompt_tokens, total_tokens"
                               " FROM contribution ORDER BY source";
    struct fixture *f = *state;

    (void)test_contribute(f->sink, "u", NONE, test_record(5, 10, 1), NULL);
    (void)test_contribute(f->sink, "u", test_record(5, 10, 1), test_record(5, 20, 1), NULL);
    assert_string_equal(query(f->path, rows), "user|u|2026-11-01|test.0|5|20|21;");
    (void)test_contribute(f->sink, "u", test_record(5, 20, 1), test_record(6, 3, 0), NULL);
    assert_string_equal(query(f->path, rows), "user|u|2026-11-01||0|20|21;user|u|2026-11-01|test.0|6|3|3;");
    (void)test_contribute(f->sink, "u", test_record(6, 3, 0), test_record(7, 1, 0), NULL);
    assert_string_equal(query(f->path, rows), "user|u|2026-11-01||0|23|24;user|u|2026-11-01|test.0|7|1|1;");
    assert_string_equal(query(f->path, "SELECT prompt_tokens, completion_tokens, total_tokens FROM usage"), "24|1|25;");
}

static void test_ledger_says_what_it_is(void **state)
{
    struct fixture *f = *state;
    char version[16];

    (void)test_contribute(f->sink, "u", NONE, test_record(5, 10, 1), NULL);
    (void)snprintf(version, sizeof(version), "%d;", TKR_LEDGER_LAYOUT * 100 + TKR_COUNTER_COUNT);
    assert_string_equal(query(f->path, "PRAGMA application_id"), "1953198641;");
    assert_string_equal(query(f->path, "PRAGMA user_version"), version);
    assert_string_equal(query(f->path, "PRAGMA journal_mode"), "wal;");
}

static void test_ledger_folding_that_overflows_is_poison(void **state)
{
    struct fixture *f = *state;

    (void)test_contribute(f->sink, "u", NONE, test_record(5, INT64_MAX - 5, 0), NULL);
    assert_int_equal(test_contribute(f->sink, "u", test_record(5, INT64_MAX - 5, 0), test_record(6, 6, 0), NULL),
                     TKR_OUTCOME_POISON);
    assert_string_equal(query(f->path, "SELECT source, life FROM contribution"), "test.0|5;");
    assert_int_equal(test_contribute(f->sink, "u", test_record(5, INT64_MAX - 5, 0), test_record(6, 5, 0), NULL),
                     TKR_OUTCOME_APPLIED);
    assert_int_equal(test_usage_total(f->sink, "u"), INT64_MAX);
}

static void test_ledger_row_that_is_no_integer_is_poison(void **state)
{
    struct fixture *f = *state;
    struct tkr_contribution item;

    (void)test_contribute(f->sink, "u", NONE, test_record(5, 10, 0), NULL);
    (void)test_contribute(f->sink, "v", NONE, test_record(5, 10, 0), NULL);
    execute(f->path, "UPDATE contribution SET calls='many' WHERE account='u'");
    assert_int_equal(test_contribute(f->sink, "u", test_record(5, 10, 0), test_record(5, 11, 0), &item), TKR_OUTCOME_POISON);
    assert_non_null(strstr(item.reason, "not an integer"));
    assert_int_equal(test_contribute(f->sink, "v", test_record(5, 10, 0), test_record(5, 11, 0), NULL), TKR_OUTCOME_APPLIED);
    assert_string_equal(query(f->path, "SELECT calls, prompt_tokens FROM contribution WHERE account='u'"), "many|10;");
}

static void test_ledger_negative_reset_row_lowers_the_total(void **state)
{
    struct fixture *f = *state;

    (void)test_contribute(f->sink, "u", NONE, test_record(5, 10, 0), NULL);
    execute(f->path, "INSERT INTO contribution (kind, account, cycle, source, life, prompt_tokens, total_tokens)"
                     " VALUES ('user', 'u', '2026-11-01', 'reset', 1, -10, -10)");
    assert_int_equal(test_usage_total(f->sink, "u"), 0);
    (void)test_contribute(f->sink, "u", test_record(5, 10, 0), test_record(5, 13, 0), NULL);
    assert_int_equal(test_usage_total(f->sink, "u"), 3);
}

static void test_ledger_shell_reads_while_it_is_written(void **state)
{
    struct fixture *f = *state;
    const char *const argv[] = {"sqlite3", "-readonly", f->path, "SELECT account, total_tokens FROM usage", NULL};
    struct process process;

    (void)test_contribute(f->sink, "ann", NONE, test_record(1, 10, 5), NULL); /* and stays open */
    assert_int_equal(process_run(&process, argv, NULL, 10000), 0);
    if (process_exit_code(&process) == 127)
        print_message("the sqlite3 shell is not installed\n");
    else
        assert_string_equal(process_text(&process, PROCESS_STDOUT), "ann|15\n");
    process_end(&process);
}

static void test_ledger_two_collectors_share_it(void **state)
{
    struct fixture *f = *state;
    tkr_sink *other = sink_at(f->path, 5000);
    struct tkr_record known[2] = {NONE, NONE};
    struct test_chunk chunk;
    tkr_message message;

    for (int i = 0; i < 50; i++) {
        struct tkr_record now = test_record(1, i + 1, 0);

        test_chunk_begin(&chunk, i % 2 == 0 ? "a.0" : "b.0", 0, 1);
        (void)test_chunk_add(&chunk, "u", known[i % 2], now);
        assert_int_equal(test_chunk_send(i % 2 == 0 ? f->sink : other, &chunk, &message), 0);
        assert_int_equal(chunk.item[0].outcome, TKR_OUTCOME_APPLIED);
        known[i % 2] = now;
    }
    assert_int_equal(test_usage_total(f->sink, "u"), 49 + 50);
    other->ops->close(other);
}

static void test_ledger_locked_by_another_fails_and_heals(void **state)
{
    struct fixture *f = *state;
    tkr_sink *hasty = sink_at(f->path, 50);
    struct test_chunk chunk;
    tkr_message message;
    sqlite3 *db;

    assert_int_equal(hasty->ops->connect(hasty, &message), 0);
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    test_chunk_begin(&chunk, "test.0", 0, 1);
    (void)test_chunk_add(&chunk, "u", NONE, test_record(1, 2, 3));
    assert_int_equal(test_chunk_send(hasty, &chunk, &message), -1);
    assert_non_null(strstr(message.text, "locked"));
    assert_int_equal(chunk.item[0].outcome, TKR_OUTCOME_PENDING);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(test_chunk_send(hasty, &chunk, &message), 0);
    assert_int_equal(chunk.item[0].outcome, TKR_OUTCOME_APPLIED);
    hasty->ops->close(hasty);
}

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* 100 accounts with the longest ids there are. */
static void fill_chunk(struct test_chunk *chunk, char ids[100][256], int round)
{
    test_chunk_begin(chunk, "test.0", 0, 1);
    for (int i = 0; i < 100; i++) {
        memset(ids[i], 'x', 255);
        int len = snprintf(ids[i], 256, "%03d.%03d.", round, i);
        ids[i][len] = 'x'; /* where the NUL is */
        ids[i][255] = '\0';
        (void)test_chunk_add(chunk, ids[i], NONE, test_record(1, 1, 0));
    }
}

static void test_ledger_on_a_full_disk_fails_and_heals(void **state)
{
    static char ids[100][256];
    struct fixture *f = *state;
    struct tkr_usage_query all = {.any_kind = 1};
    struct test_chunk chunk;
    tkr_message message;
    int written = 0;

    (void)signal(SIGXFSZ, SIG_IGN); /* then a write beyond the limit fails, as on a full disk */
    assert_int_equal(f->sink->ops->connect(f->sink, &message), 0);
    limit_file_size(200000);
    for (; written < 1000; written++) {
        fill_chunk(&chunk, ids, written);
        if (test_chunk_send(f->sink, &chunk, &message) != 0)
            break;
    }
    assert_in_range(written, 1, 100);
    assert_non_null(strstr(message.text, "ledger "));
    for (int i = 0; i < 100; i++)
        assert_int_equal(chunk.item[i].outcome, TKR_OUTCOME_PENDING);
    limit_file_size(RLIM_INFINITY);
    assert_int_equal(test_usage_count(f->sink, &all), written * 100);
    assert_int_equal(test_chunk_send(f->sink, &chunk, &message), 0);
    assert_int_equal(chunk.item[99].outcome, TKR_OUTCOME_APPLIED);
    assert_int_equal(test_usage_count(f->sink, &all), (written + 1) * 100);
    assert_string_equal(query(f->path, "PRAGMA integrity_check"), "ok;");
}

static void test_ledger_removed_or_replaced_is_noticed(void **state)
{
    struct fixture *f = *state;
    char aside[PATH_BYTES + 8];
    struct test_chunk chunk;
    tkr_message message;

    (void)snprintf(aside, sizeof(aside), "%s.old", f->path);
    for (int i = 0; i < 3; i++) {
        (void)test_contribute(f->sink, "u", NONE, test_record(1, 1, 0), NULL);
        if (i == 0)
            assert_int_equal(unlink(f->path), 0);
        else
            assert_int_equal(rename(f->path, aside), 0);
        if (i == 2)
            execute(f->path, "VACUUM"); /* another file, made anew */
        test_chunk_begin(&chunk, "test.0", 0, 1);
        (void)test_chunk_add(&chunk, "u", NONE, test_record(1, 9, 0));
        assert_int_equal(f->sink->ops->submit(f->sink, &chunk.chunk, &message), -1);
        assert_non_null(strstr(message.text, "moved, removed or replaced"));
        (void)unlink(f->path);
        assert_int_equal(test_chunk_send(f->sink, &chunk, &message), 0);
        assert_int_equal(test_usage_total(f->sink, "u"), 9);
        f->sink->ops->disconnect(f->sink);
        (void)unlink(f->path);
    }
}

static void copy_file(const char *from, const char *to)
{
    char command[3 * PATH_BYTES];

    (void)snprintf(command, sizeof(command), "cp '%s' '%s'", from, to);
    assert_int_equal(system(command), 0);
}

/* The WAL at the path is that of the file that was there: it must neither get lost nor be taken for that of the copy. */
static void test_ledger_older_copy_put_in_its_place_is_whole_and_so_is_the_one_moved_away(void **state)
{
    static char ids[100][256];
    struct fixture *f = *state;
    char copy[PATH_BYTES + 8];
    char aside[PATH_BYTES + 8];
    struct test_chunk chunk;
    tkr_message message;

    (void)snprintf(copy, sizeof(copy), "%s.copy", f->path);
    (void)snprintf(aside, sizeof(aside), "%s.old", f->path);
    for (int round = 0; round < 24; round++) {
        fill_chunk(&chunk, ids, (round * 7) % 24);
        assert_int_equal(test_chunk_send(f->sink, &chunk, &message), 0);
        if (round == 7 || round == 21)
            execute(f->path, "PRAGMA wal_checkpoint(TRUNCATE)");
        if (round == 7)
            copy_file(f->path, copy);
    }
    assert_int_equal(rename(f->path, aside), 0);
    assert_int_equal(rename(copy, f->path), 0);
    fill_chunk(&chunk, ids, 24);
    assert_int_equal(f->sink->ops->submit(f->sink, &chunk.chunk, &message), -1);
    assert_non_null(strstr(message.text, "moved, removed or replaced"));
    assert_int_equal(test_chunk_send(f->sink, &chunk, &message), 0);
    assert_string_equal(query(f->path, "SELECT count(*) FROM usage; PRAGMA integrity_check"), "900;ok;");
    assert_string_equal(query(aside, "SELECT count(*) FROM usage; PRAGMA integrity_check"), "2400;ok;");
}

static void test_ledger_foreign_files_are_left_alone(void **state)
{
    struct fixture *f = *state;
    FILE *file;

    execute(f->path, "CREATE TABLE contribution (x)");
    assert_connect_refused(f->sink, "not a ledger of tokenring");
    assert_string_equal(query(f->path, "PRAGMA journal_mode"), "delete;");
    assert_int_equal(unlink(f->path), 0);
    execute(f->path, "PRAGMA application_id=77");
    assert_connect_refused(f->sink, "not a ledger of tokenring");
    file = fopen(f->path, "w");
    assert_non_null(file);
    for (int i = 0; i < 200; i++)
        (void)fprintf(file, "this is a text and no database\n");
    assert_int_equal(fclose(file), 0);
    assert_connect_refused(f->sink, "not a database");
}

static void test_ledger_of_a_newer_version_is_left_alone(void **state)
{
    struct fixture *f = *state;
    struct tkr_usage_query all = {.any_kind = 1};
    char sql[64];
    tkr_message message;

    (void)test_contribute(f->sink, "u", NONE, test_record(1, 1, 0), NULL);
    f->sink->ops->disconnect(f->sink);
    (void)snprintf(sql, sizeof(sql), "PRAGMA user_version=%d", TKR_LEDGER_LAYOUT * 100 + TKR_COUNTER_COUNT + 1);
    execute(f->path, sql);
    assert_connect_refused(f->sink, "newer tokenring");
    assert_int_equal(f->sink->ops->read(f->sink, &all, NULL, NULL, &message), -1);
    assert_non_null(strstr(message.text, "newer tokenring"));
    execute(f->path, "PRAGMA user_version=3");
    assert_connect_refused(f->sink, "which no tokenring wrote");
}

/* Makes the ledger one of a version that had a counter less; models: what it had of them. */
static void take_last_counter_away(const struct fixture *f, const char *models)
{
    char sql[512];

    (void)snprintf(sql, sizeof(sql),
                   "DROP VIEW usage; DROP VIEW usage_by_model; ALTER TABLE contribution DROP COLUMN %s; PRAGMA user_version=%d;"
                   "CREATE VIEW usage AS SELECT * FROM contribution; %s",
                   tkr_counter_name[TKR_COUNTER_COUNT - 1], TKR_LEDGER_LAYOUT * 100 + TKR_COUNTER_COUNT - 1, models);
    execute(f->path, sql);
}

static void assert_read_and_brought_up(struct fixture *f, const char *models)
{
    struct tkr_usage_query by_model = {.any_kind = 1, .by_model = true};
    struct tkr_usage_row row;
    struct tkr_record now = test_record(1, 4, 2);

    (void)test_contribute(f->sink, "u", NONE, test_record(1, 3, 2), NULL);
    f->sink->ops->disconnect(f->sink);
    take_last_counter_away(f, models);
    assert_true(test_usage(f->sink, "u", &row));
    assert_int_equal(row.counts.value[TKR_COUNTER_TOTAL], 5);
    assert_int_equal(test_usage_count(f->sink, &by_model), 0);
    now.counts.value[TKR_COUNTER_COUNT - 1] = 8;
    assert_int_equal(test_contribute(f->sink, "u", test_record(1, 3, 2), now, NULL), TKR_OUTCOME_APPLIED);
    assert_true(test_usage(f->sink, "u", &row));
    assert_int_equal(row.counts.value[TKR_COUNTER_TOTAL], 6);
    assert_int_equal(row.counts.value[TKR_COUNTER_COUNT - 1], 8);
    assert_int_equal(test_contribute_model(f->sink, "u", "m", NONE, now, NULL), TKR_OUTCOME_APPLIED);
    assert_int_equal(test_usage_count(f->sink, &by_model), 1);
}

static void test_ledger_of_fewer_counters_is_read_and_brought_up(void **state)
{
    char models[256];

    (void)snprintf(
        models, sizeof(models),
        "ALTER TABLE model_contribution DROP COLUMN %s; CREATE VIEW usage_by_model AS SELECT * FROM model_contribution",
        tkr_counter_name[TKR_COUNTER_COUNT - 1]);
    assert_read_and_brought_up(*state, models);
}

static void test_ledger_of_fewer_counters_and_no_models_is_read_and_brought_up(void **state)
{
    assert_read_and_brought_up(*state, "DROP TABLE model_contribution");
}

static int count_record(const struct tkr_usage_row *row, void *arg)
{
    (void)row;
    ++*(int *)arg;
    return 0;
}

/* One of the version before models: read as it is, and given their table by whoever writes to it. */
static void test_ledger_without_models_is_read_and_given_their_table(void **state)
{
    struct fixture *f = *state;
    struct tkr_usage_query by_model = {.any_kind = 1, .by_model = true};
    tkr_message message;
    int records = 0;

    (void)test_contribute(f->sink, "u", NONE, test_record(1, 3, 2), NULL);
    f->sink->ops->disconnect(f->sink);
    execute(f->path, "DROP VIEW usage_by_model; DROP TABLE model_contribution");
    assert_int_equal(test_usage_count(f->sink, &by_model), 0);
    assert_int_equal(f->sink->ops->records(f->sink, "test", count_record, &records, &message), 0);
    assert_int_equal(records, 1);
    assert_int_equal(test_contribute_model(f->sink, "u", "m", NONE, test_record(1, 4, 0), NULL), TKR_OUTCOME_APPLIED);
    assert_int_equal(test_usage_count(f->sink, &by_model), 1);
    assert_int_equal(test_usage_total(f->sink, "u"), 5);
}

/* As one was that an earlier version made, or that is only read since. */
static void test_ledger_without_the_later_tables_is_read_and_brought_up(void **state)
{
    struct fixture *f = *state;
    const struct tkr_usage_row account = {.id = "u", .id_len = 1, .cycle = SINK_TEST_CYCLE};
    struct tkr_usage_found found;
    struct tkr_usage_row row;
    tkr_message message = {""};

    (void)test_contribute(f->sink, "u", NONE, test_record(1, 3, 2), NULL);
    f->sink->ops->disconnect(f->sink);
    execute(f->path, "DROP TABLE usage_limit; DROP TABLE forgotten");
    assert_true(test_usage(f->sink, "u", &row));
    assert_int_equal(row.limit, -1);
    assert_int_equal(f->sink->ops->lookup(f->sink, &account, 1, &found, &message), 0);
    assert_int_equal(found.counts.value[TKR_COUNTER_TOTAL], 5);
    assert_int_equal(found.standing, -1);
    assert_int_equal(f->sink->ops->limits(f->sink, &(struct tkr_give_up){NULL, NULL}, NULL, NULL, &message), 0);
    assert_int_equal(f->sink->ops->limit_set(f->sink, &account, 9, &message), 0);
    assert_true(test_usage(f->sink, "u", &row));
    assert_int_equal(row.limit, 9);
}

/* What was forgotten lies nowhere in the file any more. */
static void test_ledger_forgotten_account_is_overwritten_in_the_file(void **state)
{
    struct fixture *f = *state;
    const struct tkr_usage_row account = {.id = "sensitive-name", .id_len = 14};
    tkr_message message = {""};
    char command[PATH_BYTES + 64];
    uint32_t cycles;

    (void)test_contribute(f->sink, "sensitive-name", NONE, test_record(1, 3, 2), NULL);
    f->sink->ops->disconnect(f->sink);
    (void)snprintf(command, sizeof(command), "grep -q sensitive-name '%s'", f->path);
    assert_int_equal(system(command), 0);
    assert_int_equal(f->sink->ops->forget(f->sink, &account, &cycles, &message), 0);
    (void)snprintf(command, sizeof(command), "cat '%s'* | grep -q sensitive-name", f->path);
    assert_int_not_equal(system(command), 0);
    assert_string_equal(query(f->path, "SELECT count(*) FROM forgotten"), "1;");
}

static void test_ledger_missing_directory_is_not_made_except_the_default(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES];
    tkr_sink *sink;
    struct stat st;
    tkr_message message;

    (void)snprintf(path, sizeof(path), "%s/disk/ledger.db", f->dir);
    sink = sink_at(path, 1000);
    assert_connect_refused(sink, "unable to open database file");
    sink->ops->close(sink);
    assert_int_equal(setenv("HOME", f->dir, 1), 0);
    (void)snprintf(path, sizeof(path), "%s/.local/state/tokenring/ledger.db", f->dir);
    sink = sink_at(path, 1000);
    assert_int_equal(sink->ops->connect(sink, &message), 0);
    sink->ops->close(sink);
    *strrchr(path, '/') = '\0';
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void test_ledger_not_there_yet_cannot_be_read(void **state)
{
    struct fixture *f = *state;
    struct tkr_usage_query all = {.any_kind = 1};
    tkr_message message = {""};
    struct stat st;

    assert_int_equal(f->sink->ops->read(f->sink, &all, NULL, NULL, &message), -1);
    assert_non_null(strstr(message.text, "no ledger at "));
    assert_int_equal(stat(f->path, &st), -1); /* and reading made none */
    assert_int_equal(close(open(f->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    assert_int_equal(f->sink->ops->read(f->sink, &all, NULL, NULL, &message), -1);
    assert_non_null(strstr(message.text, "no ledger at "));
}

/* In a child, as nobody, who may only read. */
static int read_as_nobody(tkr_sink *sink)
{
    pid_t pid = fork();
    int status = -1;

    if (pid == 0) {
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(101);
        _exit(test_usage_total(sink, "u") == 5 ? 0 : 102);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_ledger_is_read_by_those_who_may_only_read(void **state)
{
    struct fixture *f = *state;

    (void)test_contribute(f->sink, "u", NONE, test_record(1, 3, 2), NULL);
    assert_int_equal(chmod(f->path, 0444), 0);
    assert_int_equal(chmod(f->dir, 0555), 0);
    assert_int_equal(read_as_nobody(f->sink), 0); /* while it is open */
    f->sink->ops->disconnect(f->sink);
    assert_int_equal(read_as_nobody(f->sink), 0); /* and when nobody has it open */
    assert_int_equal(chmod(f->dir, 0700), 0);
}

/* 0: a contribution is taken; 1: it is refused with a reason that says why; 2: with another one. */
static int write_as_nobody(const char *path)
{
    pid_t pid = fork();
    int status = -1;

    if (pid == 0) {
        tkr_sink *sink = sink_at(path, 5000);
        struct test_chunk chunk;
        tkr_message message = {""};
        int sent;

        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(101);
        test_chunk_begin(&chunk, "test.0", 0, 1);
        (void)test_chunk_add(&chunk, "v", NONE, test_record(1, 3, 2));
        sent = test_chunk_send(sink, &chunk, &message);
        sink->ops->close(sink);
        if (sent == 0)
            _exit(chunk.item[0].outcome == TKR_OUTCOME_APPLIED ? 0 : 102);
        _exit(strstr(message.text, "readonly database") != NULL || strstr(message.text, "unable to open") != NULL ? 1 : 2);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_ledger_that_may_only_be_read_is_refused_until_it_may_be_written(void **state)
{
    struct fixture *f = *state;

    (void)test_contribute(f->sink, "u", NONE, test_record(1, 3, 2), NULL);
    f->sink->ops->disconnect(f->sink);
    assert_int_equal(chmod(f->path, 0444), 0);
    assert_int_equal(chmod(f->dir, 0755), 0);
    assert_int_equal(write_as_nobody(f->path), 1);
    assert_int_equal(chmod(f->path, 0666), 0);
    assert_int_equal(chmod(f->dir, 0777), 0);
    assert_int_equal(write_as_nobody(f->path), 0);
    assert_int_equal(test_usage_total(f->sink, "v"), 5);
    assert_int_equal(test_usage_total(f->sink, "u"), 5);
}

static void test_ledger_survives_a_kill_in_the_middle(void **state)
{
    static const char balance[] = "SELECT prompt_tokens = completion_tokens, total_tokens > 0 FROM usage";
    struct fixture *f = *state;
    int status;
    pid_t pid = fork();

    if (pid == 0) { /* contributes until it is killed */
        tkr_sink *sink = sink_at(f->path, 5000);
        struct tkr_record known = NONE;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (int64_t i = 1;; i++) {
            struct tkr_record now = test_record(1, i, i);

            if (test_contribute(sink, "u", known, now, NULL) != TKR_OUTCOME_APPLIED)
                _exit(1);
            known = now;
        }
    }
    assert_true(pid > 0);
    for (long end = process_now_ms() + 30000; !answers(f->path, balance, "1|1;");) { /* it is at work */
        assert_true(process_now_ms() < end);
        process_sleep_ms(5);
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_string_equal(query(f->path, "PRAGMA integrity_check"), "ok;");
    assert_string_equal(query(f->path, balance), "1|1;");
    assert_int_equal(test_contribute(f->sink, "v", NONE, test_record(1, 1, 1), NULL), TKR_OUTCOME_APPLIED);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_ledger_rows_are_one_a_source_and_a_base),
        CASE(test_ledger_says_what_it_is),
        CASE(test_ledger_folding_that_overflows_is_poison),
        CASE(test_ledger_row_that_is_no_integer_is_poison),
        CASE(test_ledger_negative_reset_row_lowers_the_total),
        CASE(test_ledger_shell_reads_while_it_is_written),
        CASE(test_ledger_two_collectors_share_it),
        CASE(test_ledger_locked_by_another_fails_and_heals),
        CASE(test_ledger_on_a_full_disk_fails_and_heals),
        CASE(test_ledger_removed_or_replaced_is_noticed),
        CASE(test_ledger_older_copy_put_in_its_place_is_whole_and_so_is_the_one_moved_away),
        CASE(test_ledger_foreign_files_are_left_alone),
        CASE(test_ledger_of_a_newer_version_is_left_alone),
        CASE(test_ledger_of_fewer_counters_is_read_and_brought_up),
        CASE(test_ledger_without_the_later_tables_is_read_and_brought_up),
        CASE(test_ledger_forgotten_account_is_overwritten_in_the_file),
        CASE(test_ledger_of_fewer_counters_and_no_models_is_read_and_brought_up),
        CASE(test_ledger_without_models_is_read_and_given_their_table),
        CASE(test_ledger_missing_directory_is_not_made_except_the_default),
        CASE(test_ledger_not_there_yet_cannot_be_read),
        CASE(test_ledger_is_read_by_those_who_may_only_read),
        CASE(test_ledger_that_may_only_be_read_is_refused_until_it_may_be_written),
        CASE(test_ledger_survives_a_kill_in_the_middle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
