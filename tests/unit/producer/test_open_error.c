/* SPDX-License-Identifier: Apache-2.0 */
/* Why an opening failed, in words: the directory, the option or the variable, and what helps; told to the thread that failed. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tokenring/callback.h"
#include "unit/producer/fixture.h"

#define ROUNDS 2000
#define THREADS 4

static char why[TKR_OPEN_ERROR_BYTES];

static const char *error_text(void)
{
    memset(why, '?', sizeof(why));
    assert_int_equal(tkr_open_error(why, sizeof(why)), TKR_OK);
    return why;
}

static void expect_words(const char *words)
{
    if (strstr(error_text(), words) == NULL)
        fail_msg("no \"%s\" in: %s", words, why);
}

static void expect_directory(const char *path, int code, const char *words)
{
    tkr_options options = fixture_options();
    tkr_producer *producer = (tkr_producer *)&options;

    options.runtime_dir = path;
    assert_int_equal(tkr_open(&options, &producer), code);
    assert_ptr_equal(producer, &options); /* untouched */
    expect_words(path);
    expect_words(words);
    expect_words("TOKENRING_RUNTIME_DIR");
}

static void test_open_error_names_the_directory_the_cause_and_the_variable(void **state)
{
    char path[TEMPDIR_BYTES + 32];
    FILE *file;

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/missing", fixture_dir);
    expect_directory(path, TKR_ENODIR, "there is no runtime directory");
    expect_words("start tokenringd");
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    expect_directory(path, TKR_ENODIR, "it is no directory");
    expect_directory("/proc", TKR_ETMPFS, "is not on a tmpfs");
    (void)snprintf(path, sizeof(path), "%s/open", fixture_dir);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, 0777), 0);
    expect_directory(path, TKR_ENODIR, "mode 0777, everybody may write it and it has no sticky bit");
}

/* In a process of its own, which is another user where that can be. */
static int open_unwritable(const char *path)
{
    tkr_options options = fixture_options();
    tkr_producer *producer;
    char text[TKR_OPEN_ERROR_BYTES];

    if (geteuid() == 0 && setuid(65534) != 0)
        return 2;
    options.runtime_dir = path;
    if (tkr_open(&options, &producer) != TKR_ENODIR || tkr_open_error(text, sizeof(text)) != TKR_OK)
        return 3;
    return strstr(text, "cannot make a region in the runtime directory /dev/shm/tokenring-test-") != NULL &&
                   strstr(text, "(TOKENRING_RUNTIME_DIR): Permission denied") != NULL
               ? 0
               : 4;
}

static void test_open_error_says_that_a_directory_may_not_be_written(void **state)
{
    pid_t child;
    int status;

    (void)state;
    assert_int_equal(chmod(fixture_dir, 0555), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(open_unwritable(fixture_dir));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(chmod(fixture_dir, 0700), 0);
}

static void test_open_error_names_the_option(void **state)
{
    static const struct {
        tkr_options options;
        int code;
        const char *says;
    } cases[] = {
        {{.lane_bytes = 20000}, TKR_ERANGE, "tkr_options.lane_bytes is 20000: allowed is a power of two, 16384 to 67108864"},
        {{.region_bytes_max = 5}, TKR_ERANGE, "tkr_options.region_bytes_max is 5: allowed is lane_bytes (65536) to "},
        {{.max_open_calls = 2000000}, TKR_ERANGE, "tkr_options.max_open_calls is 2000000: allowed is 1 to 1000000"},
        {{.utc_offset_minutes = -1441}, TKR_ERANGE, "tkr_options.utc_offset_minutes is -1441: allowed is -1440 to 1440"},
        {{.limit_warn_percent = 101}, TKR_ERANGE, "tkr_options.limit_warn_percent is 101: allowed is 1 to 100"},
        {{.limit_max_age_ms = 86400001}, TKR_ERANGE, "tkr_options.limit_max_age_ms is 86400001: allowed is 1 to 86400000"},
        {{.anchor_day = 32}, TKR_ECYCLE, "tkr_options.anchor_day is 32: allowed is 1 to 31"},
        {{.flags = 64}, TKR_EINVAL, "tkr_options.flags is 64: allowed is TKR_CYCLE_DAY and TKR_LIMIT_CLOSED"},
    };
    tkr_producer *producer;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tkr_options options = cases[i].options;
        options.size = sizeof(options);
        options.runtime_dir = fixture_dir;
        assert_int_equal(tkr_open(&options, &producer), cases[i].code);
        expect_words(cases[i].says);
    }
}

static void test_open_error_of_what_was_opened_is_empty(void **state)
{
    tkr_options options = fixture_options();
    tkr_producer *producer;

    (void)state;
    options.anchor_day = 99;
    assert_int_equal(tkr_open(&options, &producer), TKR_ECYCLE);
    assert_int_not_equal(strlen(error_text()), 0);
    options.anchor_day = 1;
    assert_int_equal(tkr_open(&options, &producer), TKR_OK);
    assert_string_equal(error_text(), "");
    tkr_close(producer);
}

static void test_open_error_is_cut_to_the_room_that_there_is(void **state)
{
    char text[8] = "1234567";

    (void)state;
    assert_int_equal(tkr_open(NULL, NULL), TKR_EINVAL);
    assert_int_equal(tkr_open_error(text, 4), TKR_OK);
    assert_memory_equal(text,
                        "ret\0"
                        "567",
                        8);
    assert_int_equal(tkr_open_error(text, 0), TKR_EINVAL);
    assert_int_equal(tkr_open_error(NULL, 8), TKR_EINVAL);
}

static void test_open_error_names_the_variable_that_a_handler_reads(void **state)
{
    static const struct {
        const char *name;
        const char *value;
        const char *says;
    } cases[] = {
        {"TOKEN_ESTIMATION_RATIO", "4.5", "TOKEN_ESTIMATION_RATIO=4.5: allowed is an integer from 1 to 1000"},
        {"ENABLE_PERFORMANCE_MONITORING", "on", "ENABLE_PERFORMANCE_MONITORING=on: allowed are true and false"},
        {"PERFORMANCE_LOG_THRESHOLD", "1s", "PERFORMANCE_LOG_THRESHOLD=1s: allowed is an integer from 1 to 86400000"},
    };
    tkr_producer *producer = fixture_open(0, 0, 0);
    tkr_callback_options options = TKR_CALLBACK_OPTIONS_INIT;
    tkr_callback *callback;

    (void)state;
    options.producer = producer;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(setenv(cases[i].name, cases[i].value, 1), 0);
        assert_int_equal(i == 0 ? tkr_detailed_token_callback(&options, &callback) : tkr_performance_callback(NULL, &callback),
                         TKR_ERANGE);
        assert_string_equal(error_text(), cases[i].says);
        assert_int_equal(unsetenv(cases[i].name), 0);
    }
    tkr_close(producer);
}

/* Each fails with a text of its own and must see that, or none; it never sees another one's. */
static void *fail_often(void *argument)
{
    _Atomic uint32_t *seen = argument;
    uint32_t number = atomic_fetch_add(seen, 1);
    tkr_options options = fixture_options();
    char expected[64];
    char text[TKR_OPEN_ERROR_BYTES];
    tkr_producer *producer;

    options.anchor_day = (int32_t)(100 + number);
    (void)snprintf(expected, sizeof(expected), "tkr_options.anchor_day is %d: allowed is 1 to 31", options.anchor_day);
    for (int i = 0; i < ROUNDS; i++) {
        if (tkr_open(&options, &producer) != TKR_ECYCLE || tkr_open_error(text, sizeof(text)) != TKR_OK)
            return argument; /* not NULL */
        if (text[0] != '\0' && strcmp(text, expected) != 0)
            return argument; /* not NULL */
    }
    return NULL;
}

static void test_open_error_is_the_threads_own(void **state)
{
    pthread_t thread[THREADS];
    _Atomic uint32_t seen = 0;
    void *result;

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, fail_often, &seen), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], &result), 0);
        assert_null(result);
    }
}

/* One that too many others came after is gone, and is not taken for another. */
static void test_open_error_that_was_pushed_out_is_empty(void **state)
{
    tkr_options options = fixture_options();
    pthread_t thread;
    _Atomic uint32_t seen = 0;
    tkr_producer *producer;
    void *result;

    (void)state;
    options.anchor_day = 55;
    assert_int_equal(tkr_open(&options, &producer), TKR_ECYCLE);
    expect_words("is 55");
    assert_int_equal(pthread_create(&thread, NULL, fail_often, &seen), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_null(result);
    assert_string_equal(error_text(), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_open_error_names_the_directory_the_cause_and_the_variable),
        FIXTURE_TEST(test_open_error_says_that_a_directory_may_not_be_written),
        FIXTURE_TEST(test_open_error_names_the_option),
        FIXTURE_TEST(test_open_error_of_what_was_opened_is_empty),
        FIXTURE_TEST(test_open_error_is_cut_to_the_room_that_there_is),
        FIXTURE_TEST(test_open_error_names_the_variable_that_a_handler_reads),
        FIXTURE_TEST(test_open_error_is_the_threads_own),
        FIXTURE_TEST(test_open_error_that_was_pushed_out_is_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
