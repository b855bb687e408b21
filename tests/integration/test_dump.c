/* SPDX-License-Identifier: Apache-2.0 */
/* `tokenring dump`: what is in real files, whole, cut and while they are written, against what was recorded. */
#include <sys/stat.h>

#include "integration/view_files.h"

/* A host with a collector that has been killed, a living gateway (this process) and a dead one. */
static tkr_producer *fill(struct stage *stage)
{
    tkr_producer *producer;

    stage_env(stage, "TOKENRING_MAX_ACCOUNTS", "1000");
    stage_env(stage, "TOKENRING_BOARD_ACCOUNTS", "1024");
    stage_collector_start(stage, "1");
    producer = view_producer(stage);
    view_do_everything(producer, VIEW_CALLS);
    assert_int_equal(tkr_sync(producer, VIEW_DEADLINE_MS), TKR_OK);
    process_sleep_ms(300); /* a flush, and a lookup for the board */
    process_signal(&stage->collector, SIGKILL);
    assert_int_equal(process_wait(&stage->collector, STAGE_DEADLINE_MS), 0);
    for (int i = 0; i < 7; i++)
        view_record(producer, "late", TKR_KIND_USER, "gpt-4o", 100 + i, i == 3 ? TKR_ERROR_NETWORK : 0);
    return producer;
}

static json_t *dump(struct stage *stage, int exit_code, const char *name, const char *limit)
{
    char path[VIEW_PATH_BYTES];

    (void)snprintf(path, sizeof(path), "%s%s%s", name[0] == '/' ? "" : stage->runtime, name[0] == '/' ? "" : "/", name);
    return VIEW_JSON(stage, exit_code, "dump", path, "--json", "--limit", limit);
}

static void test_region_tells_what_waits_and_what_is_counted(void **state)
{
    struct stage *stage = *state;
    tkr_producer *producer = fill(stage);
    char path[VIEW_PATH_BYTES];
    const json_t *frame;
    const json_t *call;
    json_t *region;

    assert_true(view_find(stage, "region-", path));
    region = dump(stage, 0, path, "1000000");
    assert_string_equal(view_text(region, "kind"), "region");
    assert_int_equal(view_integer(json_object_get(region, "header"), "pid"), getpid());
    assert_true(json_is_true(json_object_get(json_object_get(region, "header"), "owner_alive")));
    assert_true(json_is_true(json_object_get(json_object_get(region, "header"), "collector_was_here")));
    assert_int_equal(view_integer(json_object_get(region, "law"), "published"), VIEW_CALLS + 1 + 7);
    assert_int_equal(view_integer(region, "frames_waiting_in_all"), 7);
    frame = json_array_get(json_object_get(region, "frames_waiting"), 3);
    assert_string_equal(view_text(frame, "error"), "network");
    assert_string_equal(view_text(frame, "model"), "gpt-4o");
    assert_int_equal(view_integer(frame, "prompt_tokens"), 103);
    assert_true(view_integer(region, "frames_counted_and_still_there_in_all") > 100); /* what the lanes still have */
    assert_int_equal(view_integer(region, "open_calls_in_all"), VIEW_OPEN);
    call = json_array_get(json_object_get(region, "open_calls"), 1);
    assert_int_equal(view_integer(call, "streamed"), 8);
    assert_int_equal(view_integer(call, "prompt_estimate"), 50);
    assert_int_equal(view_integer(call, "reserve"), 1);
    assert_string_equal(view_text(json_array_get(json_object_get(json_object_get(call, "call"), "accounts"), 0), "id"), "alice");
    assert_int_equal(view_integer(region, "doubts_in_all"), 0);
    json_decref(region);
    tkr_close(producer);
}

/* A lane that has been round several times: what is still there of the round before is found without a gap. */
static void test_frames_of_the_round_before_are_found(void **state)
{
    struct stage *stage = *state;
    tkr_producer *producer;
    char path[VIEW_PATH_BYTES];
    const json_t *frames;
    json_t *region;
    json_int_t first;
    json_int_t last;

    stage_collector_start(stage, "1");
    producer = view_producer(stage);
    for (int i = 0; i < 1000; i++) {
        view_record(producer, i % 3 == 0 ? "a-longer-name-of-an-account" : "a", TKR_KIND_USER, NULL, 1, 0);
        if (i % 50 == 0)
            assert_int_equal(tkr_sync(producer, VIEW_DEADLINE_MS), TKR_OK);
    }
    assert_int_equal(tkr_sync(producer, VIEW_DEADLINE_MS), TKR_OK);
    assert_true(view_find(stage, "region-", path));
    region = dump(stage, 0, path, "1000000");
    frames = json_object_get(region, "frames_counted_and_still_there");
    first = view_integer(json_array_get(frames, 0), "sequence");
    last = view_integer(json_array_get(frames, json_array_size(frames) - 1), "sequence");
    assert_int_equal(last, 1000);
    assert_int_equal(last - first + 1, json_array_size(frames)); /* each of them, once */
    assert_true(json_array_size(frames) > 150);                  /* of 16 KiB, less what could just be written */
    json_decref(region);
    tkr_close(producer);
}

static void test_shard_tells_accounts_cursors_and_the_log(void **state)
{
    struct stage *stage = *state;
    tkr_producer *producer = fill(stage);
    const json_t *entry;
    const json_t *cursor;
    json_t *shard = dump(stage, 0, "collector/shard-0", "1000000");

    assert_string_equal(view_text(shard, "kind"), "shard");
    assert_int_equal(view_integer(json_object_get(shard, "header"), "accounts_max"), 1000);
    entry = view_row(json_object_get(shard, "entries"), "account", "user-01");
    assert_non_null(entry);
    assert_string_equal(view_text(entry, "cycle"), "2026-11-01");
    assert_true(json_is_true(json_object_get(entry, "is_committed")));
    assert_true(view_integer(json_object_get(entry, "counts"), "calls") > 0);
    assert_true(view_integer(shard, "entries_of_models") > 0);
    cursor = json_array_get(json_object_get(shard, "cursors"), 0);
    assert_string_equal(view_text(cursor, "state"), "active");
    assert_int_equal(strlen(view_text(cursor, "region")), 32);
    assert_true(json_array_size(json_object_get(cursor, "lanes")) > 0);
    assert_int_equal(view_integer(shard, "doubts_in_all"), 0);
    json_decref(shard);
    tkr_close(producer);
}

static void test_board_reservations_and_health_tell_what_they_hold(void **state)
{
    struct stage *stage = *state;
    tkr_producer *producer = fill(stage);
    const json_t *account;
    json_t *board = dump(stage, 0, "board", "10");
    json_t *reservations = dump(stage, 0, "reservations", "10");
    json_t *health = dump(stage, 0, "collector/health", "10");

    account = view_row(json_object_get(board, "accounts"), "account", "alice");
    assert_non_null(account);
    assert_string_equal(view_text(account, "kind"), "user");
    assert_string_equal(view_text(reservations, "kind"), "reservations");
    assert_int_equal(view_integer(json_object_get(reservations, "header"), "accounts_max"), 1024);
    assert_string_equal(view_text(json_object_get(health, "sink"), "state"), "good");
    json_decref(board);
    json_decref(reservations);
    json_decref(health);
    tkr_close(producer);
}

static void test_limit_bounds_lists_and_tells_how_many_there_are(void **state)
{
    struct stage *stage = *state;
    tkr_producer *producer = fill(stage);
    json_t *shard = dump(stage, 0, "collector/shard-0", "2");

    assert_int_equal(json_array_size(json_object_get(shard, "entries")), 2);
    assert_true(view_integer(shard, "entries_in_all") > 20);
    json_decref(shard);
    tkr_close(producer);
}

static void test_text_says_the_same(void **state)
{
    struct stage *stage = *state;
    tkr_producer *producer = fill(stage);
    struct process process;
    char path[VIEW_PATH_BYTES];
    const char *text;

    assert_true(view_find(stage, "region-", path));
    VIEW_RUN(stage, &process, "dump", path, "--limit", "300");
    text = process_text(&process, PROCESS_STDOUT);
    assert_int_equal(process_exit_code(&process), 0);
    assert_non_null(strstr(text, "\nkind: region\n"));
    assert_non_null(strstr(text, "\nframes_waiting_in_all: 7\n"));
    assert_non_null(strstr(text, "error network"));
    assert_null(strchr(text, '\xff')); /* of an id that is no text */
    process_end(&process);
    tkr_close(producer);
}

static void write_file(const char *path, const void *bytes, size_t count)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, count), (ssize_t)count);
    (void)close(fd);
}

static void expect(struct stage *stage, const char *path, int exit_code, const char *says)
{
    struct process process;

    VIEW_RUN(stage, &process, "dump", path);
    if (process_exit_code(&process) != exit_code || (strstr(process_text(&process, PROCESS_STDERR), says) == NULL &&
                                                     strstr(process_text(&process, PROCESS_STDOUT), says) == NULL))
        fail_msg("%s: exit code %d, \"%s\" expected: %s%s", path, process_exit_code(&process), says,
                 process_text(&process, PROCESS_STDOUT), process_text(&process, PROCESS_STDERR));
    process_end(&process);
}

static void test_what_is_no_file_of_ours_is_told_apart(void **state)
{
    static const char zeros[10000];
    struct stage *stage = *state;
    char path[VIEW_PATH_BYTES];

    (void)snprintf(path, sizeof(path), "%s/thing", stage->dir);
    expect(stage, path, 1, "No such file or directory");
    expect(stage, stage->dir, 1, "it is no regular file");
    expect(stage, "/dev/null", 1, "it is no regular file");
    write_file(path, "", 0);
    expect(stage, path, 1, "the file is empty");
    write_file(path, zeros, sizeof(zeros));
    expect(stage, path, 1, "nothing but zeros, 10000 bytes of them");
    write_file(path, "hello\x1b[2J\n", 10);
    expect(stage, path, 1, "no file of tokenring: its 10 bytes begin with \"hello");
    write_file(path, "SQLite format 3\0whatever", 24);
    expect(stage, path, 1, "a SQLite database");
    write_file(path, "TREGION1", 8);
    expect(stage, path, 1, "the file ends within its header");
    write_file(path, "TRSHARD1", 8);
    expect(stage, path, 1, "the file ends within its header");
    write_file(path, "{\"tokenring_backup\":1,\"backup\":\"b\"}\n", 37);
    expect(stage, path, 1, "line 1: ");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect(stage, path, 1, "it is no regular file");
}

static void test_backup_is_whole_or_tells_where_it_is_not(void **state)
{
    struct stage *stage = *state;
    tkr_producer *producer = fill(stage);
    char path[VIEW_PATH_BYTES];
    struct process process;
    struct stat status;
    json_t *backup;

    (void)snprintf(path, sizeof(path), "%s/b.jsonl", stage->dir);
    VIEW_RUN(stage, &process, "backup", path);
    assert_int_equal(process_exit_code(&process), 0);
    process_end(&process);
    backup = dump(stage, 0, path, "1");
    assert_string_equal(view_text(backup, "kind"), "backup");
    assert_int_equal(strlen(view_text(backup, "data_set")), 16);
    assert_true(view_integer(backup, "accounts_and_cycles") > 20);
    assert_int_equal(view_integer(backup, "left_out"), 0);
    assert_true(view_integer(backup, "sources_in_all") >= 1);
    assert_int_equal(view_integer(backup, "doubts_in_all"), 0);
    json_decref(backup);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(truncate(path, status.st_size / 2), 0);
    expect(stage, path, 1, "the file is cut off");
    tkr_close(producer);
}

static void test_wrong_usage_is_told(void **state)
{
    struct stage *stage = *state;
    struct process process;

    VIEW_RUN(stage, &process, "dump");
    assert_int_equal(process_exit_code(&process), 2);
    assert_non_null(strstr(process_text(&process, PROCESS_STDERR), "a FILE is missing"));
    process_end(&process);
    VIEW_RUN(stage, &process, "dump", "a", "b");
    assert_int_equal(process_exit_code(&process), 2);
    process_end(&process);
    VIEW_RUN(stage, &process, "dump", "a", "--limit=0");
    assert_int_equal(process_exit_code(&process), 2);
    process_end(&process);
}

/* A file that is cut to any length: what is left is told, and that there are doubts. */
static void test_cut_files_are_told_as_far_as_they_go(void **state)
{
    static const long lengths[] = {8, 100, 511, 4095, 4096, 20000, 69632, 100000, 170000};
    struct stage *stage = *state;
    char path[VIEW_PATH_BYTES];

    (void)stage_exit_code(stage_fork(stage, view_die, 0));
    assert_true(view_find(stage, "region-", path));
    for (int i = (int)(sizeof(lengths) / sizeof(lengths[0])) - 1; i >= 0; i--) {
        json_t *region;
        assert_int_equal(truncate(path, lengths[i]), 0);
        region = dump(stage, 1, path, "10");
        assert_true(view_integer(region, "doubts_in_all") > 0);
        json_decref(region);
    }
}

static int record_fast(struct stage *stage, int number)
{
    tkr_producer *producer = view_producer(stage);

    (void)number;
    for (int i = 0; !atomic_load(&stage->truth->stop); i++) {
        (void)stage_record(stage, producer, i % STAGE_USERS, 1, 1); /* where lanes are full, it is dropped */
        if (i % 1000 == 0)
            process_sleep_ms(1);
    }
    tkr_close(producer);
    return 0;
}

/* Files that are written at full speed meanwhile, by a gateway and a collector: no crash, and no doubt that is not one. */
static void test_files_are_read_while_they_are_written(void **state)
{
    struct stage *stage = *state;
    char path[VIEW_PATH_BYTES];
    pid_t gateway;

    stage_collector_start(stage, "1");
    gateway = stage_fork(stage, record_fast, 0);
    while (!view_find(stage, "region-", path))
        process_sleep_ms(5);
    for (int i = 0; i < 20; i++) {
        struct process process;
        VIEW_RUN(stage, &process, "dump", path, "--limit", "1000");
        if (process_exit_code(&process) != 0)
            fail_msg("%.3000s%s", strstr(process_text(&process, PROCESS_STDOUT), "doubts"),
                     process_text(&process, PROCESS_STDERR));
        process_end(&process);
        json_decref(dump(stage, 0, "collector/shard-0", "1000"));
        json_decref(dump(stage, 0, "board", "1000"));
    }
    atomic_store(&stage->truth->stop, true);
    assert_int_equal(stage_exit_code(gateway), 0);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, stage_set_up, stage_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_region_tells_what_waits_and_what_is_counted),
        T(test_frames_of_the_round_before_are_found),
        T(test_shard_tells_accounts_cursors_and_the_log),
        T(test_board_reservations_and_health_tell_what_they_hold),
        T(test_limit_bounds_lists_and_tells_how_many_there_are),
        T(test_text_says_the_same),
        T(test_what_is_no_file_of_ours_is_told_apart),
        T(test_backup_is_whole_or_tells_where_it_is_not),
        T(test_wrong_usage_is_told),
        T(test_cut_files_are_told_as_far_as_they_go),
        T(test_files_are_read_while_they_are_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
