/* SPDX-License-Identifier: Apache-2.0 */
/* What a flush has added, in the log: a line an account, the rest in one, and always the whole sum. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "collector/recorded.h"
#include "support/light.h"
#include "support/process.h"
#include "support/tempdir.h"
#include "support/test.h"
#include "tokenring/tokenring.h"

#define CYCLE 20261101u

struct scene {
    char dir[TEMPDIR_BYTES];
    struct tkr_log_settings settings;
    struct tkr_recorded recorded;
};

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));

    if (scene == NULL || tempdir_make(scene->dir) != 0)
        return -1;
    scene->settings = (struct tkr_log_settings){.level = TKR_LOG_INFO, .repeats_ms = 60000};
    (void)snprintf(scene->settings.file, sizeof(scene->settings.file), "%s/log", scene->dir);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;

    tempdir_remove(scene->dir);
    free(scene);
    return 0;
}

static void begin(struct scene *scene, uint32_t lines_max)
{
    tkr_message message = {""};

    if (tkr_log_open(&scene->settings, &message) != 0)
        fail_msg("%s", message.text);
    assert_true(tkr_recorded_open(&scene->recorded, lines_max));
}

static void add_of(struct scene *scene, uint64_t kind, const char *id, uint32_t cycle, uint32_t model_len, int64_t tokens)
{
    const struct tkr_contribution item = {
        .kind = kind, .id = id, .id_len = (uint32_t)strlen(id), .cycle = cycle, .model = "m", .model_len = model_len};

    tkr_recorded_add(&scene->recorded, &item, tokens);
}

static void add(struct scene *scene, const char *id, int64_t tokens)
{
    add_of(scene, TKR_KIND_USER, id, CYCLE, 0, tokens);
}

/* Ends the log; all of it, without the times. */
static char *end(struct scene *scene)
{
    char line[256];
    char *text = NULL;
    size_t bytes = 0;
    FILE *file;
    FILE *out;

    tkr_recorded_close(&scene->recorded);
    tkr_log_close();
    file = fopen(scene->settings.file, "r");
    out = open_memstream(&text, &bytes);
    assert_non_null(file);
    assert_non_null(out);
    while (fgets(line, sizeof(line), file) != NULL)
        assert_true(fputs(line + sizeof("2026-11-23T12:50:31.123Z"), out) >= 0);
    (void)fclose(file);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void assert_log(struct scene *scene, const char *expected)
{
    char *text = end(scene);

    assert_string_equal(text, expected);
    free(text);
}

static void test_where_nothing_is_wanted_nothing_is_said(void **state)
{
    struct scene *scene = *state;

    begin(scene, 0);
    add(scene, "alice", 7);
    tkr_recorded_say(&scene->recorded);
    assert_null(scene->recorded.cell);
    assert_log(scene, "");
}

static void test_above_the_level_of_the_log_nothing_is_said(void **state)
{
    struct scene *scene = *state;

    scene->settings.level = TKR_LOG_WARNING;
    begin(scene, 10);
    add(scene, "alice", 7);
    tkr_recorded_say(&scene->recorded);
    assert_log(scene, "");
}

static void test_account_and_cycle_have_one_line_in_a_flush(void **state)
{
    struct scene *scene = *state;
    uint64_t team;

    assert_int_equal(tkr_kind("team", &team), TKR_OK);
    begin(scene, 10);
    add(scene, "alice", 900);
    add(scene, "bob", 1);
    add(scene, "alice", 6); /* of another shard, or sent twice */
    add_of(scene, TKR_KIND_USER, "alice", CYCLE, 1, 555);
    add_of(scene, TKR_KIND_USER, "alice", CYCLE + 100, 0, 2);
    add_of(scene, team, "alice", CYCLE, 0, 3);
    tkr_recorded_say(&scene->recorded);
    tkr_recorded_say(&scene->recorded); /* a flush that adds nothing */
    add(scene, "alice", 906);
    tkr_recorded_say(&scene->recorded);
    assert_log(scene, "info    Recorded 906 tokens for user alice cycle=2026-11-01\n"
                      "info    Recorded 1 tokens for user bob cycle=2026-11-01\n"
                      "info    Recorded 2 tokens for user alice cycle=2026-12-01\n"
                      "info    Recorded 3 tokens for team alice cycle=2026-11-01\n"
                      "info    Recorded 906 tokens for user alice cycle=2026-11-01\n");
}

static void test_those_beyond_the_limit_are_one_line_and_counted_once_each(void **state)
{
    struct scene *scene = *state;
    char id[16];

    begin(scene, 2);
    for (int i = 0; i < 3 * 100; i++) {
        (void)snprintf(id, sizeof(id), "user-%d", i % 100);
        add(scene, id, 10);
    }
    tkr_recorded_say(&scene->recorded);
    add(scene, "user-99", 5);
    tkr_recorded_say(&scene->recorded);
    assert_log(scene, "info    Recorded 30 tokens for user user-0 cycle=2026-11-01\n"
                      "info    Recorded 30 tokens for user user-1 cycle=2026-11-01\n"
                      "info    Recorded 2940 tokens for 98 more accounts\n"
                      "info    Recorded 5 tokens for user user-99 cycle=2026-11-01\n");
}

static void test_sums_end_at_63_bits(void **state)
{
    struct scene *scene = *state;

    begin(scene, 1);
    add(scene, "a", INT64_MAX);
    add(scene, "b", INT64_MAX);
    add(scene, "c", INT64_MAX);
    tkr_recorded_say(&scene->recorded);
    assert_log(scene, "info    Recorded 9223372036854775807 tokens for user a cycle=2026-11-01\n"
                      "info    Recorded 9223372036854775807 tokens for 2 more accounts\n");
}

/* All that the text says was recorded; how many lines name an account, and how many accounts are in sums. Takes the text apart. */
static long long sum_of(char *text, int *ret_lines, long long *ret_more)
{
    long long sum = 0;
    char *line;

    *ret_lines = 0;
    *ret_more = 0;
    while ((line = strsep(&text, "\n")) != NULL) {
        long long tokens;
        long long more;
        int fields;

        assert_null(strstr(line, "were lost"));
        line = strstr(line, "Recorded ");
        if (line == NULL)
            continue;
        fields = sscanf(line, "Recorded %lld tokens for %lld more accounts", &tokens, &more);
        assert_in_range(fields, 1, 2);
        sum += tokens;
        *ret_more += fields == 2 ? more : 0;
        *ret_lines += fields == 1;
    }
    return sum;
}

static void test_as_many_lines_as_are_wanted_are_written(void **state)
{
    struct scene *scene = *state;
    int accounts = test_light(30000); /* more than the log holds at once */
    char id[64];
    long long more;
    int lines;
    char *text;

    begin(scene, 1000000);
    for (int flush = 0; flush < 2; flush++) {
        for (int i = 0; i < accounts; i++) {
            (void)snprintf(id, sizeof(id), "a-user-whose-id-is-of-common-length-%d", i);
            add(scene, id, 1 + i);
        }
        tkr_recorded_say(&scene->recorded);
    }
    text = end(scene);
    assert_true(sum_of(text, &lines, &more) == (long long)accounts * (accounts + 1));
    assert_int_equal(lines, 2 * accounts);
    assert_int_equal(more, 0);
    free(text);
}

/* --- a log that nobody reads --- */

#define FLUSHES 20
#define ACCOUNTS 5000

static int record_into_a_full_pipe(struct scene *scene, int go)
{
    tkr_message message;
    char id[32];
    char byte;
    int slow = 0;

    scene->settings.file[0] = '\0';
    if (tkr_log_open(&scene->settings, &message) != 0 || !tkr_recorded_open(&scene->recorded, 1000000))
        return 1;
    for (int flush = 0; flush < FLUSHES; flush++) {
        long begun = process_now_ms();
        for (int i = 0; i < ACCOUNTS; i++) {
            (void)snprintf(id, sizeof(id), "user-%d", i);
            add(scene, id, 1);
        }
        tkr_recorded_say(&scene->recorded);
        slow += flush > 10 && process_now_ms() - begun > 900;
    }
    if (slow == FLUSHES - 11) /* it waits each time, though by then it knows better */
        return 2;
    tkr_log(TKR_LOG_ERROR, "there is room for this");
    if (write(go, "x", 1) != 1) /* now somebody reads */
        return 3;
    while (scene->recorded.more_accounts > 0) {
        process_sleep_ms(5);
        tkr_recorded_say(&scene->recorded);
    }
    tkr_recorded_close(&scene->recorded);
    if (write(go, "y", 1) != 1 || read(go, &byte, 1) != 0) /* closing the log waits for a second only: first all is read */
        return 4;
    tkr_log_close();
    return 0;
}

/* Reads what is there, up to len_max bytes in all, and waits for it if there is nothing. Returns the new length. */
static size_t read_more(int fd, char *text, size_t len, size_t len_max)
{
    ssize_t n = read(fd, text + len, len_max - len);

    assert_true(n >= 0);
    return len + (size_t)n;
}

/* Has all been read that the sums must tell? They are added up in a copy, which that changes. */
static bool is_all_there(const char *text)
{
    const char *end = strrchr(text, '\n'); /* what follows is no whole line yet */
    char *copy = end != NULL ? strndup(text, (size_t)(end - text)) : strdup("");
    long long more;
    long long sum;
    int lines;

    assert_non_null(copy);
    sum = strstr(copy, "there is room for this") != NULL ? sum_of(copy, &lines, &more) : 0;
    free(copy);
    return sum == (long long)FLUSHES * ACCOUNTS;
}

static void test_what_finds_no_room_is_in_the_sum_that_follows(void **state)
{
    char *text = calloc(1, 64 << 20);
    size_t len = 0;
    int ends[2];
    int go[2];
    int status = -1;
    long long more;
    int lines;
    struct pollfd ready[2] = {{.events = POLLIN}, {.events = POLLIN}};
    pid_t child;
    char byte;
    ssize_t n;

    assert_non_null(text);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, go), 0);
    child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(dup2(ends[1], STDERR_FILENO) < 0 ? 99 : record_into_a_full_pipe(*state, go[1]));
    }
    (void)close(ends[1]);
    (void)close(go[1]);
    assert_int_equal(read(go[0], &byte, 1), 1);
    ready[0].fd = ends[0];
    ready[1].fd = go[0];
    while (poll(ready, 2, -1) > 0 && (ready[1].revents & POLLIN) == 0) /* then its last lines are on their way */
        len = read_more(ends[0], text, len, (64 << 20) - 1);
    while (!is_all_there(text))
        len = read_more(ends[0], text, len, (64 << 20) - 1);
    assert_int_equal(shutdown(go[0], SHUT_WR), 0);
    while ((n = read(ends[0], text + len, (64 << 20) - 1 - len)) > 0)
        len += (size_t)n;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_non_null(strstr(text, "there is room for this"));
    assert_true(sum_of(text, &lines, &more) == (long long)FLUSHES * ACCOUNTS);
    assert_int_equal(lines + more, FLUSHES * ACCOUNTS);
    assert_true(more > 0);
    (void)close(ends[0]);
    (void)close(go[0]);
    free(text);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_where_nothing_is_wanted_nothing_is_said),
        TEST(test_above_the_level_of_the_log_nothing_is_said),
        TEST(test_account_and_cycle_have_one_line_in_a_flush),
        TEST(test_those_beyond_the_limit_are_one_line_and_counted_once_each),
        TEST(test_sums_end_at_63_bits),
        TEST(test_as_many_lines_as_are_wanted_are_written),
        TEST(test_what_finds_no_room_is_in_the_sum_that_follows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
