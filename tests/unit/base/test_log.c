/* SPDX-License-Identifier: Apache-2.0 */
/* The log as a whole: its settings, its file and how that is opened again, what is full or broken, repeats, the journal. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "support/light.h"
#include "support/process.h"
#include "support/tempdir.h"
#include "support/test.h"

#define DEADLINE_MS PROCESS_PATIENCE_MS
#define PATH_BYTES (TEMPDIR_BYTES + 16)
#define THREADS 4
#define TEXT_MAX (32u << 20)

struct scene {
    char dir[TEMPDIR_BYTES];
    char path[PATH_BYTES];
    char rotated[PATH_BYTES];
    struct tkr_log_settings settings;
};

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));

    if (scene == NULL || tempdir_make(scene->dir) != 0)
        return -1;
    (void)snprintf(scene->path, sizeof(scene->path), "%s/log", scene->dir);
    (void)snprintf(scene->rotated, sizeof(scene->rotated), "%s/log.1", scene->dir);
    scene->settings = (struct tkr_log_settings){.level = TKR_LOG_INFO, .repeats_ms = 60000};
    (void)snprintf(scene->settings.file, sizeof(scene->settings.file), "%s", scene->path);
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

static void log_open(const struct scene *scene)
{
    tkr_message message = {""};

    if (tkr_log_open(&scene->settings, &message) != 0)
        fail_msg("%s", message.text);
}

/* All of a file, NUL-terminated; freed by the caller. */
static char *text_of(int fd)
{
    struct stat status;
    char *text;

    assert_int_equal(fstat(fd, &status), 0);
    text = calloc(1, (size_t)status.st_size + 1);
    assert_non_null(text);
    assert_int_equal(pread(fd, text, (size_t)status.st_size, 0), status.st_size);
    return text;
}

static char *text_at(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text;

    if (fd < 0)
        return calloc(1, 1);
    text = text_of(fd);
    (void)close(fd);
    return text;
}

static int times(const char *text, const char *words)
{
    int n = 0;

    for (; (text = strstr(text, words)) != NULL; text++)
        n++;
    return n;
}

static void assert_times(const char *path, const char *words, int expected)
{
    char *text = text_at(path);

    if (times(text, words) != expected)
        fail_msg("'%s' is there %d times, not %d: %.2000s", words, times(text, words), expected, text);
    free(text);
}

static void wait_times(const char *path, const char *words, int expected)
{
    long end = process_now_ms() + DEADLINE_MS;
    int found = 0;

    while (found < expected && process_now_ms() < end) {
        char *text = text_at(path);
        found = times(text, words);
        free(text);
        process_sleep_ms(1);
    }
    assert_times(path, words, expected);
}

/* --- settings --- */

static void set(const char *name, const char *value)
{
    assert_int_equal(value != NULL ? setenv(name, value, 1) : unsetenv(name), 0);
}

static void set_none(void)
{
    set("LOG_LEVEL", NULL);
    set("LOG_FORMAT", NULL);
    set("TOKENRING_LOG_FILE", NULL);
    set("TOKENRING_LOG_REDACT", NULL);
}

static void test_settings_have_defaults_and_are_taken(void **state)
{
    static const char *const levels[] = {"error", "WARN", "Info", "debug"};
    struct tkr_log_settings settings;
    tkr_message message;

    (void)state;
    set_none();
    assert_int_equal(tkr_log_settings_read(&settings, &message), 0);
    assert_int_equal(settings.level, TKR_LOG_INFO);
    assert_int_equal(settings.format, TKR_LOG_TEXT);
    assert_false(settings.redact);
    assert_string_equal(settings.file, "");
    set("LOG_FORMAT", "JSON");
    set("TOKENRING_LOG_FILE", "/var/log/tokenring.log");
    set("TOKENRING_LOG_REDACT", "1");
    for (int i = 0; i < 4; i++) {
        set("LOG_LEVEL", levels[i]);
        assert_int_equal(tkr_log_settings_read(&settings, &message), 0);
        assert_int_equal(settings.level, i);
    }
    assert_int_equal(settings.format, TKR_LOG_JSON);
    assert_true(settings.redact);
    assert_string_equal(settings.file, "/var/log/tokenring.log");
    set_none();
}

static void test_settings_refuse_by_name_value_and_what_is_allowed(void **state)
{
    static const struct {
        const char *name;
        const char *value;
        const char *sentence;
    } cases[] = {{"LOG_LEVEL", "loud", "LOG_LEVEL=loud: allowed are error, warning, info, debug"},
                 {"LOG_FORMAT", "xml", "LOG_FORMAT=xml: allowed are text and json"},
                 {"TOKENRING_LOG_REDACT", "yes", "TOKENRING_LOG_REDACT=yes: allowed is an integer from 0 to 1"},
                 {"TOKENRING_LOG_REDACT", "2", "TOKENRING_LOG_REDACT=2: allowed is an integer from 0 to 1"}};
    struct tkr_log_settings settings;
    char path[5000];
    tkr_message message;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set_none();
        set(cases[i].name, cases[i].value);
        assert_int_equal(tkr_log_settings_read(&settings, &message), -1);
        assert_string_equal(message.text, cases[i].sentence);
    }
    set_none();
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    set("TOKENRING_LOG_FILE", path);
    assert_int_equal(tkr_log_settings_read(&settings, &message), -1);
    assert_string_equal(message.text, "TOKENRING_LOG_FILE is longer than a path may be");
    set_none();
}

/* --- the file --- */

static void test_file_is_made_readable_by_its_group_and_appended_to(void **state)
{
    struct scene *scene = *state;
    mode_t mask = umask(022);
    struct stat status;

    for (int i = 0; i < 2; i++) {
        log_open(scene);
        TKR_LOG(TKR_LOG_INFO, "run of shard-{shard}", tkr_field_shard((uint64_t)i));
        tkr_log(TKR_LOG_DEBUG, "nobody wants this");
        tkr_log_close();
    }
    (void)umask(mask);
    assert_int_equal(stat(scene->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640);
    assert_times(scene->path, "\n", 2);
    assert_times(scene->path, " info    run of shard-0\n", 1);
    assert_times(scene->path, " info    run of shard-1\n", 1);
}

static void assert_refused(struct scene *scene, const char *why)
{
    char sentence[TKR_LOG_PATH_BYTES + 100];
    tkr_message message = {""};

    (void)snprintf(sentence, sizeof(sentence), "TOKENRING_LOG_FILE=%s: cannot be opened: %s; allowed is a file to append to",
                   scene->settings.file, why);
    assert_int_equal(tkr_log_open(&scene->settings, &message), -1);
    assert_string_equal(message.text, sentence);
}

static void test_what_is_no_file_to_append_to_is_refused_in_words(void **state)
{
    struct scene *scene = *state;
    int reader;

    assert_int_equal(mkfifo(scene->path, 0600), 0);
    assert_refused(scene, "No such device or address"); /* and is not waited for */
    reader = open(scene->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_refused(scene, "Invalid argument");
    (void)close(reader);
    (void)snprintf(scene->settings.file, sizeof(scene->settings.file), "%s", scene->dir);
    assert_refused(scene, "Is a directory");
    (void)snprintf(scene->settings.file, sizeof(scene->settings.file), "%s/none/log", scene->dir);
    assert_refused(scene, "No such file or directory");
}

/* --- opened again --- */

struct crowd {
    int lines; /* of each thread */
    atomic_int said;
};

static void *say_many(void *argument)
{
    struct crowd *crowd = argument;

    for (int i = 0; i < crowd->lines; i++) {
        int number = atomic_fetch_add(&crowd->said, 1);
        TKR_LOG(TKR_LOG_INFO, "line {records} of {region}: all of it is here", tkr_field_records((uint64_t)number),
                tkr_field_region("a region", 8));
        if (i % 64 == 0)
            process_sleep_ms(1); /* they are not said faster than they are written */
    }
    return NULL;
}

/* Marks the lines of a file in seen; each must be whole. */
static int take_lines(const char *path, bool *seen, int max)
{
    char *text = text_at(path);
    char *rest = text;
    int lines = 0;

    for (char *line; (line = strsep(&rest, "\n")) != NULL && *line != '\0'; lines++) {
        int number = -1;
        int end = 0;
        if (sscanf(line + 24, " info line %d of \"a region\": all of it is here%n", &number, &end) != 1 ||
            line[24 + end] != '\0' || number < 0 || number >= max || seen[number])
            fail_msg("%s: %s", path, line);
        seen[number] = true;
    }
    assert_null(rest); /* the last one ends, too */
    free(text);
    return lines;
}

static void test_file_that_is_renamed_and_opened_again_loses_no_line_and_mixes_none(void **state)
{
    struct scene *scene = *state;
    struct crowd crowd = {.lines = test_light(20000)};
    pthread_t thread[THREADS];
    bool *seen = calloc((size_t)(THREADS * crowd.lines), sizeof(*seen));
    char name[PATH_BYTES + 16];
    int rotations = 0;
    int lines = 0;

    assert_non_null(seen);
    log_open(scene);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, say_many, &crowd), 0);
    while (atomic_load(&crowd.said) < THREADS * crowd.lines) {
        (void)snprintf(name, sizeof(name), "%s.%d", scene->path, rotations++);
        assert_int_equal(rename(scene->path, name), 0);
        tkr_log_reopen();
        while (access(scene->path, F_OK) != 0)
            process_sleep_ms(1);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    tkr_log_close();
    lines = take_lines(scene->path, seen, THREADS * crowd.lines);
    for (int i = 0; i < rotations; i++) {
        (void)snprintf(name, sizeof(name), "%s.%d", scene->path, i);
        lines += take_lines(name, seen, THREADS * crowd.lines);
    }
    assert_int_equal(lines, THREADS * crowd.lines);
    free(seen);
}

/* From now on standard error is a file; returns what it was. */
static int redirect_stderr(const char *path)
{
    int before = dup(STDERR_FILENO);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

    assert_true(before >= 0 && fd >= 0 && dup2(fd, STDERR_FILENO) == STDERR_FILENO);
    (void)close(fd);
    return before;
}

static void restore_stderr(int before)
{
    assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
    (void)close(before);
}

static void test_file_that_cannot_be_opened_again_gives_way_to_standard_error_until_it_can(void **state)
{
    struct scene *scene = *state;
    char errors[PATH_BYTES];
    tkr_message problem = {""};
    int before;

    (void)snprintf(errors, sizeof(errors), "%s/stderr", scene->dir);
    before = redirect_stderr(errors);
    log_open(scene);
    assert_false(tkr_log_problem(&problem));
    assert_int_equal(rename(scene->path, scene->rotated), 0);
    assert_int_equal(mkdir(scene->path, 0700), 0);
    tkr_log_reopen();
    wait_times(errors, ": Is a directory; the log goes to standard error, trying again\n", 1);
    assert_true(tkr_log_problem(&problem));
    assert_non_null(strstr(problem.text, "/log: cannot be opened: Is a directory; the log goes to standard error"));
    tkr_log(TKR_LOG_INFO, "said meanwhile");
    wait_times(errors, "said meanwhile", 1);
    tkr_log_reopen(); /* no better, and told once */
    assert_int_equal(rmdir(scene->path), 0);
    wait_times(scene->path, "/log again; lines since it could not be opened are on standard error\n", 1);
    assert_false(tkr_log_problem(&problem));
    tkr_log(TKR_LOG_INFO, "said after that");
    tkr_log_close();
    restore_stderr(before);
    assert_times(scene->path, "said after that", 1);
    assert_times(scene->rotated, "said", 0);
    assert_times(errors, "the log goes to standard error", 1);
    assert_times(errors, "said after that", 0);
}

static void test_file_that_was_removed_is_made_anew(void **state)
{
    struct scene *scene = *state;

    log_open(scene);
    tkr_log(TKR_LOG_INFO, "before");
    wait_times(scene->path, "before", 1);
    assert_int_equal(unlink(scene->path), 0);
    tkr_log(TKR_LOG_INFO, "behind");
    wait_times(scene->path, "behind", 1);
    tkr_log_close();
}

static void test_without_a_file_or_a_log_there_is_nothing_to_open_again(void **state)
{
    struct scene *scene = *state;

    tkr_log_reopen();
    scene->settings.file[0] = '\0';
    log_open(scene);
    tkr_log_reopen();
    process_sleep_ms(10);
    tkr_log_close();
    tkr_log_reopen();
}

/* --- repeats --- */

static void test_line_that_is_said_again_and_again_is_counted_and_told_at_the_end(void **state)
{
    struct scene *scene = *state;

    scene->settings.level = TKR_LOG_DEBUG;
    log_open(scene);
    for (int i = 0; i < 1000; i++) {
        tkr_log(TKR_LOG_WARNING, "the same");
        tkr_log(TKR_LOG_DEBUG, "all of these");
        TKR_LOG(TKR_LOG_WARNING, "another", tkr_field_shard((uint64_t)i)); /* by its field */
    }
    tkr_log_close();
    assert_times(scene->path, " warning the same\n", 3);
    assert_times(scene->path, " warning the same (said 997 times more in the last ", 1);
    assert_times(scene->path, " debug   all of these\n", 1000);
    assert_times(scene->path, " warning another shard=", 1000);
}

static void test_what_was_left_out_is_told_also_when_nothing_follows(void **state)
{
    struct scene *scene = *state;

    scene->settings.repeats_ms = 300;
    scene->settings.format = TKR_LOG_JSON;
    log_open(scene);
    for (int i = 0; i < 10; i++)
        tkr_log(TKR_LOG_ERROR, "the same");
    wait_times(scene->path, "\"the same\"}\n", 3);
    assert_times(scene->path, "more", 0);
    wait_times(scene->path, "\"the same (said 7 times more in the last 1 s)\",\"repeats\":7,\"seconds\":1}\n", 1);
    tkr_log_close();
    assert_times(scene->path, "\n", 4);
}

static void test_lines_with_a_limit_of_their_own_are_no_repeats(void **state)
{
    struct scene *scene = *state;
    const struct tkr_field tokens = tkr_field_tokens(100);

    log_open(scene);
    for (int i = 0; i < 100; i++)
        assert_true(tkr_log_fields(TKR_LOG_INFO, "Recorded {tokens} tokens", &tokens, 1, true));
    tkr_log_close();
    assert_times(scene->path, "Recorded 100 tokens\n", 100);
    assert_times(scene->path, "more", 0);
}

/* --- full and broken --- */

/* A child whose standard error is fd; its result is the exit status. */
static pid_t child_start(int fd, int (*body)(struct scene *scene, int argument), struct scene *scene, int argument)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(dup2(fd, STDERR_FILENO) < 0 ? 99 : body(scene, argument));
    }
    return child;
}

static int child_end(pid_t child)
{
    int status = -1;

    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#define SAID 100000

/*
 * Says more than pipe and buffers hold, while nobody reads; then waits for the byte that says that somebody does, and at the end until
 * all is read: closing the log waits for a second only.
 */
static int say_into_a_full_pipe(struct scene *scene, int go)
{
    tkr_message message;
    char byte;
    long begun;

    scene->settings.file[0] = '\0';
    if (tkr_log_open(&scene->settings, &message) != 0)
        return 1;
    begun = process_now_ms();
    for (int i = 0; i < SAID; i++)
        TKR_LOG(TKR_LOG_INFO, "line {records}", tkr_field_records((uint64_t)i));
    if (process_now_ms() - begun > DEADLINE_MS)
        return 2;
    if (write(go, "x", 1) != 1 || read(go, &byte, 1) != 1)
        return 3;
    while (!tkr_log_fields(TKR_LOG_INFO, "there is room again", NULL, 0, true))
        process_sleep_ms(1);
    for (int i = 0; i < 100; i++)
        TKR_LOG(TKR_LOG_INFO, "afterwards {records}", tkr_field_records((uint64_t)i));
    if (read(go, &byte, 1) != 0) /* until the other end is shut for writing */
        return 4;
    tkr_log_close();
    return 0;
}

static void read_rest(int fd, char *text, size_t len)
{
    ssize_t n;

    while ((n = read(fd, text + len, TEXT_MAX - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
}

/* Reads until the words are there, or there is no more. Returns the length of the text. */
static size_t read_until(int fd, char *text, const char *words)
{
    size_t words_len = strlen(words);
    size_t len = 0;
    bool found = false;
    ssize_t n;

    while (!found && (n = read(fd, text + len, TEXT_MAX - 1 - len)) > 0) {
        size_t from = len > words_len ? len - words_len : 0; /* they may have come in two parts */
        len += (size_t)n;
        found = memmem(text + from, len - from, words, words_len) != NULL;
    }
    return len;
}

/* Sums up what the log says that it lost, of this cause. */
static unsigned long long lost_lines(const char *text, const char *why)
{
    unsigned long long sum = 0;

    while ((text = strstr(text, " warning ")) != NULL) {
        unsigned long long lost = 0;
        int end = 0;
        text += strlen(" warning ");
        if (sscanf(text, "%llu lines of the log were lost: %n", &lost, &end) == 1 && end > 0 &&
            strncmp(text + end, why, strlen(why)) == 0)
            sum += lost;
    }
    return sum;
}

static void fill_pipe_and_read_it(struct scene *scene, int flags)
{
    char *text = malloc(TEXT_MAX);
    unsigned long long lost;
    size_t len;
    int lines;
    int afterwards;
    int go[2];
    int ends[2];
    pid_t child;
    char byte;

    assert_non_null(text);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, flags), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, go), 0);
    child = child_start(ends[1], say_into_a_full_pipe, scene, go[1]);
    (void)close(ends[1]);
    (void)close(go[1]);
    assert_int_equal(read(go[0], &byte, 1), 1); /* it has said all, and nobody has read */
    assert_int_equal(write(go[0], "r", 1), 1);
    len = read_until(ends[0], text, "Z info    afterwards 99\n");
    assert_int_equal(shutdown(go[0], SHUT_WR), 0);
    read_rest(ends[0], text, len);
    assert_int_equal(child_end(child), 0);
    lost = lost_lines(text, "they were said faster than they could be written\n");
    assert_true(lost > 0);
    lines = times(text, "Z info    line ");
    afterwards = times(text, "Z info    afterwards ");
    assert_int_equal((unsigned long long)lines + lost, SAID);
    assert_int_equal(afterwards, 100);
    assert_int_equal(times(text, "\n"), lines + 1 + afterwards + times(text, "were lost")); /* each begins a line */
    (void)close(ends[0]);
    (void)close(go[0]);
    free(text);
}

static void test_full_pipe_holds_nobody_up_and_what_is_lost_is_told(void **state)
{
    fill_pipe_and_read_it(*state, 0);
}

static void test_full_pipe_that_does_not_block_is_the_same(void **state)
{
    fill_pipe_and_read_it(*state, O_NONBLOCK);
}

static int close_on_a_full_pipe(struct scene *scene, int argument)
{
    long begun;
    tkr_message message;

    (void)argument;
    scene->settings.file[0] = '\0';
    if (tkr_log_open(&scene->settings, &message) != 0)
        return 1;
    for (int i = 0; i < SAID; i++)
        TKR_LOG(TKR_LOG_INFO, "line {records}", tkr_field_records((uint64_t)i));
    begun = process_now_ms();
    tkr_log_close();
    return process_now_ms() - begun < 5000 ? 0 : 2;
}

static void test_end_does_not_wait_for_a_pipe_that_nobody_reads(void **state)
{
    int ends[2];

    for (int i = 0; i < 2; i++) {
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        assert_int_equal(fcntl(ends[1], F_SETFL, i == 0 ? 0 : O_NONBLOCK), 0);
        assert_int_equal(child_end(child_start(ends[1], close_on_a_full_pipe, *state, 0)), 0);
        (void)close(ends[0]);
        (void)close(ends[1]);
    }
}

static bool limit_file(rlim_t bytes)
{
    const struct rlimit limit = {.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};

    return setrlimit(RLIMIT_FSIZE, &limit) == 0;
}

/* A file that takes no more after some bytes, in the middle of a line, until somebody makes room. */
static int say_into_a_full_file(struct scene *scene, int argument)
{
    tkr_message message;

    (void)argument;
    (void)signal(SIGXFSZ, SIG_IGN);
    if (!limit_file(1000) || tkr_log_open(&scene->settings, &message) != 0)
        return 1;
    for (int i = 0; i < 100; i++) {
        TKR_LOG(TKR_LOG_INFO, "line {records}", tkr_field_records((uint64_t)i));
        if (i % 10 == 0)
            process_sleep_ms(2);
    }
    process_sleep_ms(200); /* all of it has been tried */
    if (!limit_file(RLIM_INFINITY))
        return 2;
    tkr_log(TKR_LOG_INFO, "there is room again");
    tkr_log_close();
    return 0;
}

static void test_full_disk_costs_lines_that_are_told_of_and_tears_none_that_follows(void **state)
{
    struct scene *scene = *state;
    const char *first;
    int lost;
    char *text;

    assert_int_equal(child_end(child_start(STDERR_FILENO, say_into_a_full_file, scene, 0)), 0);
    text = text_at(scene->path);
    lost = (int)lost_lines(text, "File too large\n");
    assert_in_range(lost, 1, 99);
    assert_int_equal(times(text, "\n"), 100 - lost + 1 /* that is torn */ + 2);
    first = strstr(text, "Z info    there is room again\n");
    assert_non_null(first);
    assert_int_equal(first[-24], '\n'); /* it begins a line */
    free(text);
}

/* --- the journal and standard error --- */

static int say_to_the_journal(struct scene *scene, int argument)
{
    char stream[64];
    struct stat status;
    tkr_message message;

    (void)fstat(STDERR_FILENO, &status);
    (void)snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)status.st_dev,
                   (unsigned long long)status.st_ino + (unsigned)(argument == 1)); /* another one */
    (void)setenv("JOURNAL_STREAM", argument == 2 ? "x" : stream, 1);
    if (argument != 3) /* else to a file */
        scene->settings.file[0] = '\0';
    if (argument == 4) /* without a thread */
        return tkr_log_set(&scene->settings) ? (tkr_log(TKR_LOG_WARNING, "said"), 0) : 1;
    if (tkr_log_open(&scene->settings, &message) != 0)
        return 1;
    tkr_log(TKR_LOG_WARNING, "said");
    tkr_log_close();
    return 0;
}

static char *journal_of(struct scene *scene, int argument)
{
    int fd = memfd_create("journal", MFD_CLOEXEC);
    char *text;

    assert_int_equal(child_end(child_start(fd, say_to_the_journal, scene, argument)), 0);
    text = text_of(fd);
    (void)close(fd);
    return text;
}

static void test_priorities_go_to_the_journal_and_nowhere_else(void **state)
{
    struct scene *scene = *state;

    for (int argument = 0; argument <= 4; argument++) {
        char *text = journal_of(scene, argument);
        if (argument == 0 || argument == 4)
            assert_string_equal(text, "<4>warning said\n");
        else if (argument == 3)
            assert_string_equal(text, "");
        else
            assert_string_equal(text + 24, " warning said\n");
        free(text);
    }
    assert_times(scene->path, "Z warning said\n", 1);
    assert_times(scene->path, "<4>", 0);
}

static int say_at_once(struct scene *scene, int argument)
{
    (void)scene;
    (void)argument;
    for (int i = 0; i < 10; i++)
        tkr_log(TKR_LOG_WARNING, "%s", "100 % \n{tokens}");
    return 0; /* without a close */
}

static void test_log_that_was_not_opened_writes_at_once_to_standard_error(void **state)
{
    int fd = memfd_create("stderr", MFD_CLOEXEC);
    char *text;

    assert_int_equal(child_end(child_start(fd, say_at_once, *state, 0)), 0);
    text = text_of(fd);
    assert_int_equal(times(text, "Z warning 100 % ?{tokens}\n"), 10);
    (void)close(fd);
    free(text);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_settings_have_defaults_and_are_taken),
        TEST(test_settings_refuse_by_name_value_and_what_is_allowed),
        TEST(test_file_is_made_readable_by_its_group_and_appended_to),
        TEST(test_what_is_no_file_to_append_to_is_refused_in_words),
        TEST(test_file_that_is_renamed_and_opened_again_loses_no_line_and_mixes_none),
        TEST(test_file_that_cannot_be_opened_again_gives_way_to_standard_error_until_it_can),
        TEST(test_file_that_was_removed_is_made_anew),
        TEST(test_without_a_file_or_a_log_there_is_nothing_to_open_again),
        TEST(test_line_that_is_said_again_and_again_is_counted_and_told_at_the_end),
        TEST(test_what_was_left_out_is_told_also_when_nothing_follows),
        TEST(test_lines_with_a_limit_of_their_own_are_no_repeats),
        TEST(test_full_pipe_holds_nobody_up_and_what_is_lost_is_told),
        TEST(test_full_pipe_that_does_not_block_is_the_same),
        TEST(test_end_does_not_wait_for_a_pipe_that_nobody_reads),
        TEST(test_full_disk_costs_lines_that_are_told_of_and_tears_none_that_follows),
        TEST(test_priorities_go_to_the_journal_and_nowhere_else),
        TEST(test_log_that_was_not_opened_writes_at_once_to_standard_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
