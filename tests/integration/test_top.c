/* SPDX-License-Identifier: Apache-2.0 */
/* `tokenring top`: its figures against what was recorded, with and without a collector, and on a terminal. */
#include "integration/view_files.h"

#define SCRIPT TEST_SOURCE_DIR "/tests/integration/top_terminal.py"
#define TERMINAL_MS 800000
#define USERS 25

static const char *python; /* one that has pyte */

static void find_python(void)
{
    static const char *const programs[] = {"/usr/bin/python3", "python3"};

    for (size_t i = 0; python == NULL && i < sizeof(programs) / sizeof(programs[0]); i++) {
        const char *argv[] = {programs[i], "-c", "import pyte", NULL};
        struct process process;
        if (process_run(&process, argv, NULL, VIEW_DEADLINE_MS) == 0 && process_exit_code(&process) == 0)
            python = programs[i];
        process_end(&process);
    }
}

static bool has_screen(struct stage *stage)
{
    struct process process;
    bool has;

    VIEW_RUN(stage, &process, "top");
    has = strstr(process_text(&process, PROCESS_STDERR), "built without ncurses") == NULL;
    process_end(&process);
    return has;
}

/* Records calls of many users, until told to stop: the less the higher their number. */
static int record_on(struct stage *stage, int number)
{
    tkr_producer *producer = view_producer(stage);

    (void)number;
    for (int i = 0; !atomic_load(&stage->truth->stop); i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "user-%02d", i % USERS);
        view_record(producer, id, TKR_KIND_USER, i % 2 == 0 ? "gpt-4o" : "o1", 1000 - 30 * (i % USERS), 0);
        if (i % USERS == 0) {
            view_record(producer, "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", TKR_KIND_USER, NULL, 5000, 0);
            view_record(producer, "\xe2\x80\xaet", TKR_KIND_TEAM, NULL, 4000, 0);
        }
        process_sleep_ms(1);
    }
    tkr_close(producer);
    return 0;
}

static void test_terminal_shows_figures_takes_keys_and_is_left_as_it_was(void **state)
{
    struct stage *stage = *state;
    const char *argv[] = {python, SCRIPT, VIEW_COMMAND, stage->runtime, NULL};
    struct process process;
    pid_t gateway;

    if (python == NULL || !has_screen(stage)) {
        print_message("skipped: %s\n", python == NULL ? "no python with pyte (python3-pyte) to be a terminal"
                                                      : "tokenring was built without ncurses");
        skip();
    }
    stage_collector_start(stage, "1");
    gateway = stage_fork(stage, record_on, 0);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    assert_int_equal(setenv("SANITIZED", "1", 1), 0);
#endif
    assert_int_equal(process_run(&process, argv, NULL, TERMINAL_MS), 0);
    if (process_exit_code(&process) != 0)
        fail_msg("exit code %d: %s%s", process_exit_code(&process), process_text(&process, PROCESS_STDOUT),
                 process_text(&process, PROCESS_STDERR));
    process_end(&process);
    atomic_store(&stage->truth->stop, true);
    assert_int_equal(stage_exit_code(gateway), 0);
}

static void test_without_a_terminal_once_is_named(void **state)
{
    struct stage *stage = *state;
    struct process process;

    VIEW_RUN(stage, &process, "top");
    assert_int_equal(process_exit_code(&process), 2);
    assert_non_null(strstr(process_text(&process, PROCESS_STDERR), "--once"));
    assert_string_equal(process_text(&process, PROCESS_STDOUT), "");
    process_end(&process);
}

static void test_wrong_options_are_told(void **state)
{
    static const char *const wrong[][2] = {{"--interval=0", "--interval=0: allowed is a number of seconds from 0.1 to 3600"},
                                           {"--interval=1e9", "--interval=1e9: allowed is"},
                                           {"--interval=", "--interval=: allowed is"},
                                           {"--sort=tokens", "--sort=tokens: allowed are rate, calls, errors, cost, total, name"},
                                           {"--part=users", "--part=users: allowed are all, accounts, models, regions, "},
                                           {"--count=0", "--count=0: allowed is an integer from 1 to "},
                                           {"--limit=x", "--limit=x: allowed is an integer from 1 to "},
                                           {"x", "x: no operand is allowed"}};
    struct stage *stage = *state;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct process process;
        VIEW_RUN(stage, &process, "top", wrong[i][0]);
        if (process_exit_code(&process) != 2 || strstr(process_text(&process, PROCESS_STDERR), wrong[i][1]) == NULL)
            fail_msg("%s: exit code %d: %s", wrong[i][0], process_exit_code(&process), process_text(&process, PROCESS_STDERR));
        process_end(&process);
    }
}

/* Calls that are recorded while top looks: its rates, times the seconds between its looks, are these calls. */
static void test_once_has_the_rates_of_what_is_recorded_meanwhile(void **state)
{
    struct stage *stage = *state;
    const char *argv[] = {VIEW_COMMAND, "top", "--once", "--json", "--interval", "2", NULL};
    struct process process;
    tkr_producer *producer;
    const json_t *alice;
    json_t *look;
    double seconds;

    stage_collector_start(stage, "1");
    producer = view_producer(stage);
    view_record(producer, "alice", TKR_KIND_USER, NULL, 90, 0);
    assert_int_equal(tkr_sync(producer, VIEW_DEADLINE_MS), TKR_OK);
    assert_int_equal(process_start(&process, argv, stage->env_list), 0);
    process_sleep_ms(1000);
    for (int i = 0; i < 50; i++)
        view_record(producer, "alice", TKR_KIND_USER, "gpt-4o", 190, i < 10 ? TKR_ERROR_TIMEOUT : 0);
    assert_int_equal(process_wait(&process, VIEW_DEADLINE_MS), 0);
    look = json_loads(process_text(&process, PROCESS_STDOUT), 0, NULL);
    if (look == NULL)
        fail_msg("%s%s", process_text(&process, PROCESS_STDOUT), process_text(&process, PROCESS_STDERR));
    seconds = json_real_value(json_object_get(look, "seconds"));
    assert_true(seconds >= 2 && seconds < 20);
    alice = view_row(json_object_get(look, "accounts"), "account", "alice");
    assert_non_null(alice);
    assert_int_equal(view_integer(alice, "tokens"), 100 + 50 * 200);
    assert_int_equal(view_integer(alice, "calls"), 51);
    assert_int_equal(view_integer(alice, "errors"), 10);
    assert_int_equal((int)(json_real_value(json_object_get(alice, "tokens_per_s")) * seconds + 0.5), 50 * 200);
    assert_int_equal((int)(json_real_value(json_object_get(alice, "errors_per_s")) * seconds + 0.5), 10);
    assert_int_equal((int)(json_real_value(json_object_get(look, "users_tokens_per_s")) * seconds + 0.5), 50 * 200);
    assert_int_equal((int)(json_real_value(json_object_get(look, "calls_per_s")) * seconds + 0.5), 50);
    assert_int_equal(view_integer(view_row(json_object_get(look, "models"), "model", "openai/gpt-4o"), "calls"), 50);
    assert_int_equal(view_integer(json_array_get(json_object_get(look, "regions"), 0), "pid"), getpid());
    assert_true(json_is_true(json_object_get(look, "law_holds")));
    json_decref(look);
    process_end(&process);
    tkr_close(producer);
}

static void test_what_a_crash_left_is_shown_without_a_collector(void **state)
{
    struct stage *stage = *state;
    struct process process;
    const char *text;

    stage_collector_start(stage, "1");
    (void)stage_exit_code(stage_fork(stage, view_die, 0));
    stage_wait_regions(stage, 0);
    process_signal(&stage->collector, SIGKILL);
    assert_int_equal(process_wait(&stage->collector, STAGE_DEADLINE_MS), 0);
    (void)stage_exit_code(stage_fork(stage, view_die, 0));
    VIEW_RUN(stage, &process, "top", "--once", "--interval", "0.1");
    text = process_text(&process, PROCESS_STDOUT);
    if (process_exit_code(&process) != 0 || strstr(text, "the collector is not running") == NULL ||
        strstr(text, "user-01") == NULL || strstr(text, " dead ") == NULL ||
        strstr(text, "in lanes 301 + dropped 0: holds") == NULL)
        fail_msg("exit code %d: %s%s", process_exit_code(&process), text, process_text(&process, PROCESS_STDERR));
    process_end(&process);
}

static void test_json_is_an_object_a_line_for_so_many_looks(void **state)
{
    struct stage *stage = *state;
    struct process process;
    const char *line;
    int lines = 0;

    stage_collector_start(stage, "1");
    VIEW_RUN(stage, &process, "top", "--json", "--interval", "0.1", "--count", "3");
    assert_int_equal(process_exit_code(&process), 0);
    for (line = process_text(&process, PROCESS_STDOUT); *line != '\0'; line = strchr(line, '\n') + 1) {
        json_t *look = json_loadb(line, strcspn(line, "\n"), 0, NULL);
        assert_true(json_is_object(look));
        assert_true(json_is_real(json_object_get(look, "calls_per_s")));
        json_decref(look);
        lines++;
    }
    assert_int_equal(lines, 3);
    process_end(&process);
}

static void test_missing_directory_is_told(void **state)
{
    struct stage *stage = *state;
    struct process process;

    VIEW_RUN(stage, &process, "top", "--once", "--runtime-dir", "/dev/shm/nobody-ever-made-this");
    assert_int_equal(process_exit_code(&process), 1);
    assert_non_null(strstr(process_text(&process, PROCESS_STDERR), "there is no runtime directory"));
    process_end(&process);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, stage_set_up, stage_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_without_a_terminal_once_is_named),
        T(test_wrong_options_are_told),
        T(test_once_has_the_rates_of_what_is_recorded_meanwhile),
        T(test_what_a_crash_left_is_shown_without_a_collector),
        T(test_json_is_an_object_a_line_for_so_many_looks),
        T(test_missing_directory_is_told),
        T(test_terminal_shows_figures_takes_keys_and_is_left_as_it_was),
    };

    find_python();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
