/* SPDX-License-Identifier: Apache-2.0 */
/* A backup's file: it has its name when it is whole, and what is not whole, wherever it was cut or damaged, is no backup. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/print.h"
#include "backup/reader.h"
#include "backup/writer.h"
#include "support/tempdir.h"
#include "support/test.h"

#define PATH_BYTES (TEMPDIR_BYTES + 32)

struct fixture {
    char dir[TEMPDIR_BYTES];
    char path[PATH_BYTES];
    char part[PATH_BYTES];
    tkr_message message;
};

static const struct tkr_backup_head head = {.backup = "0123456789abcdef", .dataset = "fedcba9876543210", .made_s = 1795000000};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (f == NULL || tempdir_make(f->dir) != 0)
        return -1;
    (void)snprintf(f->path, sizeof(f->path), "%s/b.jsonl", f->dir);
    (void)snprintf(f->part, sizeof(f->part), "%s/b.jsonl.part", f->dir);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    tempdir_remove(f->dir);
    free(f);
    return 0;
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* An account named so, with a record. */
static char *account_text(const char *id)
{
    struct tkr_record record = {.life = 1795000000000000001, .counts = {{812, 94, 906}}};
    struct tkr_holdings holdings = {0};
    tkr_message why;
    char *text;

    assert_true(tkr_holdings_begin(&holdings, 0, id, (uint32_t)strlen(id), 20261101));
    assert_true(tkr_holding_add(&holdings.holding[0], "aa.0", 4, &record));
    assert_true(tkr_holdings_finish_rest(&holdings, &why));
    text = tkr_backup_print_account(&holdings);
    tkr_holdings_free(&holdings);
    return text;
}

static void put(struct fixture *f, struct tkr_backup_writer *writer, char *line)
{
    assert_non_null(line);
    if (tkr_backup_writer_put(writer, line, &f->message) != 0)
        fail_msg("%s", f->message.text);
}

/* All but the end. */
static void write_lines(struct fixture *f, struct tkr_backup_writer *writer)
{
    if (tkr_backup_writer_open(f->path, writer, &f->message) != 0)
        fail_msg("%s", f->message.text);
    put(f, writer, tkr_backup_print_head(&head));
    put(f, writer, tkr_backup_print_source("bb.0", 7));
    put(f, writer, tkr_backup_print_source("aa.0", 9));
    put(f, writer, account_text("alice"));
    put(f, writer, account_text("bob"));
}

static void write_backup(struct fixture *f)
{
    struct tkr_backup_end end = {.sources = 2, .accounts = 2};
    struct tkr_backup_writer writer;

    write_lines(f, &writer);
    if (tkr_backup_writer_end(&writer, &end, &f->message) != 0)
        fail_msg("%s", f->message.text);
    tkr_backup_writer_close(&writer);
}

static int check(struct fixture *f)
{
    struct tkr_backup_reader reader;
    int rc = tkr_backup_reader_open(f->path, &reader, &f->message);

    if (rc == 0)
        rc = tkr_backup_reader_check(&reader, &f->message);
    tkr_backup_reader_close(&reader);
    return rc;
}

static void assert_refused(struct fixture *f, const char *why)
{
    assert_int_equal(check(f), -1);
    if (strstr(f->message.text, why) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", f->message.text, why);
}

/* The file's bytes; freed by the caller. */
static char *slurp(const char *path, size_t *ret_len)
{
    FILE *file = fopen(path, "rb");
    char *bytes = malloc(65536);

    assert_non_null(file);
    assert_non_null(bytes);
    *ret_len = fread(bytes, 1, 65536, file);
    (void)fclose(file);
    return bytes;
}

static void spit(const char *path, const char *bytes, size_t len)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

/* --- writing --- */

static void test_file_has_its_name_when_it_is_whole(void **state)
{
    struct tkr_backup_end end = {.sources = 2, .accounts = 2};
    struct fixture *f = *state;
    struct tkr_backup_writer writer;
    struct stat st;

    write_lines(f, &writer);
    assert_true(exists(f->part));
    assert_false(exists(f->path));
    assert_int_equal(tkr_backup_writer_end(&writer, &end, &f->message), 0);
    assert_false(exists(f->part));
    tkr_backup_writer_close(&writer);
    assert_int_equal(check(f), 0);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_what_was_not_ended_leaves_nothing_and_what_was_there_stays(void **state)
{
    struct fixture *f = *state;
    struct tkr_backup_writer writer;

    for (int there = 0; there < 2; there++) {
        write_lines(f, &writer);
        tkr_backup_writer_close(&writer);
        assert_false(exists(f->part));
        assert_int_equal(exists(f->path), there == 1);
        if (there == 0)
            write_backup(f);
        assert_int_equal(check(f), 0);
    }
}

static void test_part_that_a_kill_left_is_taken_over(void **state)
{
    struct fixture *f = *state;

    spit(f->part, "left by a kill\n", 15);
    assert_int_equal(chmod(f->part, 0644), 0);
    write_backup(f);
    assert_int_equal(check(f), 0);
}

static void test_second_writer_at_once_is_refused(void **state)
{
    struct fixture *f = *state;
    struct tkr_backup_writer first;
    struct tkr_backup_writer second;

    write_lines(f, &first);
    assert_int_equal(tkr_backup_writer_open(f->path, &second, &f->message), -1);
    assert_non_null(strstr(f->message.text, "another backup is being written to it"));
    tkr_backup_writer_close(&second);
    assert_true(exists(f->part)); /* the first one's */
    tkr_backup_writer_close(&first);
}

static void test_link_in_the_way_is_not_followed(void **state)
{
    struct fixture *f = *state;
    struct tkr_backup_writer writer;
    char victim[PATH_BYTES];

    (void)snprintf(victim, sizeof(victim), "%s/victim", f->dir);
    spit(victim, "precious", 8);
    assert_int_equal(symlink(victim, f->part), 0);
    assert_int_equal(tkr_backup_writer_open(f->path, &writer, &f->message), -1);
    tkr_backup_writer_close(&writer);
    free(slurp(victim, &(size_t){0}));
    assert_true(exists(f->part));
}

static void test_directory_that_is_not_there_is_told(void **state)
{
    struct fixture *f = *state;
    struct tkr_backup_writer writer;

    assert_int_equal(tkr_backup_writer_open("/nonexistent/b", &writer, &f->message), -1);
    assert_string_equal(f->message.text, "/nonexistent/b: No such file or directory");
    tkr_backup_writer_close(&writer);
}

static void test_full_disk_is_told(void **state)
{
    struct tkr_backup_end end = {.accounts = 0};
    struct fixture *f = *state;
    struct tkr_backup_writer writer;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    if (full < 0)
        skip();
    write_lines(f, &writer);
    assert_true(dup2(full, fileno(writer.file)) >= 0);
    (void)close(full);
    assert_int_equal(tkr_backup_writer_end(&writer, &end, &f->message), -1);
    assert_non_null(strstr(f->message.text, "No space left on device"));
    tkr_backup_writer_close(&writer);
    assert_false(exists(f->path));
}

/* --- reading --- */

static void test_whole_file_is_read_twice_over(void **state)
{
    struct tkr_backup_line line = {.kind = TKR_BACKUP_HEAD};
    struct fixture *f = *state;
    struct tkr_backup_reader reader;
    int lines = 0;

    write_backup(f);
    assert_int_equal(tkr_backup_reader_open(f->path, &reader, &f->message), 0);
    assert_int_equal(tkr_backup_reader_check(&reader, &f->message), 0);
    assert_string_equal(reader.head.backup, head.backup);
    assert_string_equal(reader.head.dataset, head.dataset);
    assert_int_equal(reader.head.made_s, head.made_s);
    assert_int_equal(reader.end.accounts, 2);
    assert_int_equal(reader.source_count, 2);
    assert_string_equal(reader.source[0].source, "aa.0"); /* by name */
    assert_int_equal(reader.source[0].seen, 9);
    while (tkr_backup_reader_next(&reader, &line, &f->message) == 1)
        lines++;
    assert_int_equal(lines, 6);
    assert_int_equal(tkr_backup_reader_next(&reader, &line, &f->message), 0);
    tkr_holdings_free(&line.holdings);
    tkr_backup_reader_close(&reader);
}

/* At every byte. */
static void test_file_that_is_cut_off_anywhere_is_refused(void **state)
{
    struct fixture *f = *state;
    size_t len;
    char *bytes;

    write_backup(f);
    bytes = slurp(f->path, &len);
    for (size_t cut = 0; cut < len; cut++) {
        spit(f->path, bytes, cut);
        assert_refused(f, cut == 0 ? "the file is empty" : "cut off");
    }
    free(bytes);
}

static void test_file_with_any_bit_changed_is_refused(void **state)
{
    struct fixture *f = *state;
    size_t len;
    char *bytes;

    write_backup(f);
    bytes = slurp(f->path, &len);
    for (size_t at = 0; at < len; at++) {
        for (int bit = 0; bit < 8; bit++) {
            bytes[at] = (char)(bytes[at] ^ (1 << bit));
            spit(f->path, bytes, len);
            if (check(f) == 0)
                fail_msg("bit %d of byte %zu is not missed", bit, at);
            bytes[at] = (char)(bytes[at] ^ (1 << bit));
        }
    }
    free(bytes);
}

/* Whole lines lost, doubled, exchanged or foreign: each by itself would do. */
static void test_lines_that_are_not_the_backups_are_refused(void **state)
{
    static const struct {
        const char *program; /* of sed */
        const char *why;
    } changes[] = {
        {"1d", "line 1: this is not how a backup begins"},
        {"4d", "line 5: the checksum"},
        {"4p", "line 7: the checksum"},
        {"1p", "line 2: a backup begins within the file"},
        {"4{h;d};5{p;x}", "line 6: the checksum"},
        {"$d", "is cut off: it has no last line"},
        {"$p", "line 6: it is how a backup ends, and more follows"},
        {"1s/\"tokenring_backup\":1/\"tokenring_backup\":2/", "line 1: its format is 2, known is 1"},
        {"$s/\"accounts\":2/\"accounts\":3/", "line 6: the checksum"},
        {"4s/.*/{}/", "line 4: it is none of a backup's lines"},
        {"3s/aa/bb/", "line 6: the checksum"},
    };
    struct fixture *f = *state;
    char command[3 * PATH_BYTES];

    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        write_backup(f);
        (void)snprintf(command, sizeof(command), "sed -i '%s' '%s'", changes[i].program, f->path);
        assert_int_equal(system(command), 0);
        assert_refused(f, changes[i].why);
    }
}

static void test_source_twice_is_refused(void **state)
{
    struct tkr_backup_end end = {.sources = 4, .accounts = 2};
    struct fixture *f = *state;
    struct tkr_backup_writer writer;

    write_lines(f, &writer);
    put(f, &writer, tkr_backup_print_source("cc.0", 1));
    put(f, &writer, tkr_backup_print_source("aa.0", 1));
    assert_int_equal(tkr_backup_writer_end(&writer, &end, &f->message), 0);
    tkr_backup_writer_close(&writer);
    assert_refused(f, "it has source aa.0 twice");
}

static void test_counts_of_other_lines_are_refused(void **state)
{
    struct tkr_backup_end end = {.sources = 2, .accounts = 3};
    struct fixture *f = *state;
    struct tkr_backup_writer writer;

    write_lines(f, &writer);
    assert_int_equal(tkr_backup_writer_end(&writer, &end, &f->message), 0);
    tkr_backup_writer_close(&writer);
    assert_refused(f, "line 6: it counts other lines");
}

static void test_line_longer_than_any_is_refused(void **state)
{
    struct fixture *f = *state;
    FILE *file = fopen(f->path, "wb");

    assert_non_null(file);
    for (int i = 0; i < 17 << 10; i++)
        (void)fprintf(file, "%1024s", "");
    assert_int_equal(fclose(file), 0);
    assert_refused(f, "line 1: it is longer than 16 MiB");
}

static void test_what_is_no_file_of_ours_is_told(void **state)
{
    struct fixture *f = *state;
    struct tkr_backup_head found;

    assert_refused(f, "No such file or directory");
    assert_int_equal(tkr_backup_head_of(f->path, &found, &f->message), 1);
    spit(f->path, "", 0);
    assert_refused(f, "the file is empty");
    assert_int_equal(tkr_backup_head_of(f->path, &found, &f->message), 1);
    spit(f->path, "\0\0\0\n", 4);
    assert_refused(f, "line 1: it is no JSON object");
    assert_int_equal(tkr_backup_head_of(f->path, &found, &f->message), -1);
    assert_int_equal(tkr_backup_head_of(f->dir, &found, &f->message), -1);
    assert_int_equal(tkr_backup_head_of("/dev/null", &found, &f->message), -1);
    (void)snprintf(f->path, sizeof(f->path), "%s", f->dir);
    assert_refused(f, "Is a directory");
}

static void test_pipe_is_read_as_a_file(void **state)
{
    struct fixture *f = *state;
    char command[3 * PATH_BYTES];

    write_backup(f);
    (void)snprintf(command, sizeof(command), "mkfifo '%s/pipe' && (cat '%s' > '%s/pipe' &)", f->dir, f->path, f->dir);
    assert_int_equal(system(command), 0);
    (void)snprintf(f->path, sizeof(f->path), "%s/pipe", f->dir);
    if (check(f) != 0)
        fail_msg("%s", f->message.text);
}

#define FILE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_TEST(test_file_has_its_name_when_it_is_whole),
        FILE_TEST(test_what_was_not_ended_leaves_nothing_and_what_was_there_stays),
        FILE_TEST(test_part_that_a_kill_left_is_taken_over),
        FILE_TEST(test_second_writer_at_once_is_refused),
        FILE_TEST(test_link_in_the_way_is_not_followed),
        FILE_TEST(test_directory_that_is_not_there_is_told),
        FILE_TEST(test_full_disk_is_told),
        FILE_TEST(test_whole_file_is_read_twice_over),
        FILE_TEST(test_file_that_is_cut_off_anywhere_is_refused),
        FILE_TEST(test_file_with_any_bit_changed_is_refused),
        FILE_TEST(test_lines_that_are_not_the_backups_are_refused),
        FILE_TEST(test_source_twice_is_refused),
        FILE_TEST(test_counts_of_other_lines_are_refused),
        FILE_TEST(test_line_longer_than_any_is_refused),
        FILE_TEST(test_what_is_no_file_of_ours_is_told),
        FILE_TEST(test_pipe_is_read_as_a_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
