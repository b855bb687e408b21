/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: defaults, what is taken, and the sentence for what is not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/config.h"
#include "support/test.h"

static const char *const names[] = {"TOKENRING_RUNTIME_DIR",
                                    "TOKENRING_STATE_DIR",
                                    "TOKENRING_WORKERS",
                                    "TOKENRING_MAX_ACCOUNTS",
                                    "TOKENRING_MODELS",
                                    "TOKENRING_BOARD_ACCOUNTS",
                                    "TOKENRING_FLUSH_INTERVAL_MS",
                                    "TOKENRING_PARKED_RETRY_MS",
                                    "TOKENRING_LOG_RECORDED",
                                    "TOKENRING_ORPHANS",
                                    "TOKENRING_SINK",
                                    "TOKENRING_LEDGER",
                                    "REDIS_URL",
                                    "REDIS_SOCKET",
                                    "REDIS_HOST",
                                    "REDIS_PORT",
                                    "REDIS_USERNAME",
                                    "REDIS_PASSWORD",
                                    "REDIS_DB"};

static int clean(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        (void)unsetenv(names[i]);
    return 0;
}

static struct tkr_collector_config read_config(void)
{
    struct tkr_collector_config config;
    tkr_message message = {""};

    if (tkr_collector_config_read(&config, &message) != 0)
        fail_msg("%s", message.text);
    return config;
}

static void set(const char *name, const char *value)
{
    assert_int_equal(setenv(name, value, 1), 0);
}

static void test_nothing_set_gives_the_defaults(void **state)
{
    struct tkr_collector_config config;

    (void)state;
    set("TOKENRING_LEDGER", "/tmp/ledger.db"); /* without it, its folder depends on the machine */
    config = read_config();
    assert_in_range(config.workers, 1, 64);
    assert_int_equal(config.accounts_max, 1000000);
    assert_int_equal(config.models_max, 16);
    assert_int_equal(config.board_accounts, 65536);
    assert_int_equal(config.flush_interval_ms, 1000);
    assert_int_equal(config.parked_retry_ms, 30000);
    assert_int_equal(config.recorded_max, 0);
    assert_int_equal(config.orphans, TKR_ORPHAN_STREAMED);
    assert_string_equal(config.state_path, "");
    assert_true(config.runtime_path[0] == '/');
    assert_int_equal(config.sink.kind, TKR_SINK_SQLITE);
}

static void test_what_is_set_is_taken(void **state)
{
    static const char *const policies[] = {"streamed", "prompt", "reserve", "zero"};
    struct tkr_collector_config config;

    (void)state;
    set("TOKENRING_RUNTIME_DIR", "/dev/shm/x");
    set("TOKENRING_STATE_DIR", "/var/lib/x");
    set("TOKENRING_SINK", "null");
    set("TOKENRING_WORKERS", "64");
    set("TOKENRING_LOG_RECORDED", "1000000");
    set("TOKENRING_MAX_ACCOUNTS", "10000000");
    set("TOKENRING_MODELS", "3");
    set("TOKENRING_BOARD_ACCOUNTS", "1048576");
    set("TOKENRING_FLUSH_INTERVAL_MS", "3600000");
    set("TOKENRING_PARKED_RETRY_MS", "10");
    for (int i = 0; i < 4; i++) {
        set("TOKENRING_ORPHANS", policies[i]);
        config = read_config();
        assert_int_equal(config.orphans, i);
    }
    assert_string_equal(config.runtime_path, "/dev/shm/x");
    assert_false(config.runtime_own);
    assert_string_equal(config.state_path, "/var/lib/x");
    assert_int_equal(config.workers, 64);
    assert_int_equal(config.recorded_max, 1000000);
    assert_int_equal(config.accounts_max, 10000000);
    assert_int_equal(config.models_max, 3);
    assert_int_equal(config.board_accounts, 1048576);
    assert_int_equal(config.flush_interval_ms, 3600000);
    set("TOKENRING_WORKERS", "1");
    set("TOKENRING_MAX_ACCOUNTS", "1000");
    set("TOKENRING_MODELS", "0");
    set("TOKENRING_FLUSH_INTERVAL_MS", "10");
    config = read_config();
    assert_int_equal(config.workers, 1);
    assert_int_equal(config.accounts_max, 1000);
    assert_int_equal(config.models_max, 0);
    assert_int_equal(config.flush_interval_ms, 10);
}

static void test_bad_value_is_refused_with_name_value_and_what_is_allowed(void **state)
{
    static const struct {
        const char *name;
        const char *value;
        const char *allowed;
    } bad[] = {
        {"TOKENRING_WORKERS", "0", "1 to 64"},
        {"TOKENRING_WORKERS", "65", "1 to 64"},
        {"TOKENRING_WORKERS", "-1", "1 to 64"},
        {"TOKENRING_WORKERS", "two", "1 to 64"},
        {"TOKENRING_WORKERS", "2 ", "1 to 64"},
        {"TOKENRING_WORKERS", "99999999999999999999", "1 to 64"},
        {"TOKENRING_MAX_ACCOUNTS", "999", "1000 to 10000000"},
        {"TOKENRING_MAX_ACCOUNTS", "10000001", "1000 to 10000000"},
        {"TOKENRING_MAX_ACCOUNTS", "1e6", "1000 to 10000000"},
        {"TOKENRING_BOARD_ACCOUNTS", "1023", "1024 to 1048576"},
        {"TOKENRING_BOARD_ACCOUNTS", "1048577", "1024 to 1048576"},
        {"TOKENRING_MODELS", "17", "0 to 16"},
        {"TOKENRING_MODELS", "-1", "0 to 16"},
        {"TOKENRING_MODELS", "all", "0 to 16"},
        {"TOKENRING_FLUSH_INTERVAL_MS", "9", "10 to 3600000"},
        {"TOKENRING_FLUSH_INTERVAL_MS", "3600001", "10 to 3600000"},
        {"TOKENRING_FLUSH_INTERVAL_MS", "1s", "10 to 3600000"},
        {"TOKENRING_LOG_RECORDED", "1000001", "0 to 1000000"},
        {"TOKENRING_LOG_RECORDED", "all", "0 to 1000000"},
        {"TOKENRING_ORPHANS", "all", "streamed, prompt, reserve, zero"},
        {"TOKENRING_ORPHANS", "Streamed", "streamed, prompt, reserve, zero"},
        {"TOKENRING_SINK", "postgres", "redis"},
        {"REDIS_PORT", "70000", "65535"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct tkr_collector_config config;
        tkr_message message = {""};
        char start[128];
        (void)clean(NULL);
        if (strcmp(bad[i].name, "REDIS_PORT") == 0)
            set("REDIS_HOST", "localhost");
        set(bad[i].name, bad[i].value);
        (void)snprintf(start, sizeof(start), "%s=%s", bad[i].name, bad[i].value);
        assert_int_equal(tkr_collector_config_read(&config, &message), -1);
        if (strncmp(message.text, start, strlen(start)) != 0 || strstr(message.text, bad[i].allowed) == NULL)
            fail_msg("%s: %s", start, message.text);
    }
}

static void test_empty_value_is_as_good_as_none(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        set(names[i], "");
    set("TOKENRING_LEDGER", "/tmp/ledger.db");
    assert_int_equal(read_config().accounts_max, 1000000);
}

static void test_path_that_is_too_long_is_refused(void **state)
{
    struct tkr_collector_config config;
    tkr_message message = {""};
    static char path[2 * TKR_RUNTIME_PATH_BYTES];

    (void)state;
    memset(path, 'x', sizeof(path) - 1);
    path[0] = '/';
    set("TOKENRING_RUNTIME_DIR", path);
    assert_int_equal(tkr_collector_config_read(&config, &message), -1);
    assert_non_null(strstr(message.text, "TOKENRING_RUNTIME_DIR"));
    set("TOKENRING_RUNTIME_DIR", "/dev/shm/x");
    set("TOKENRING_STATE_DIR", path);
    assert_int_equal(tkr_collector_config_read(&config, &message), -1);
    assert_non_null(strstr(message.text, "TOKENRING_STATE_DIR"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, clean)
    const struct CMUnitTest tests[] = {
        T(test_nothing_set_gives_the_defaults),
        T(test_what_is_set_is_taken),
        T(test_bad_value_is_refused_with_name_value_and_what_is_allowed),
        T(test_empty_value_is_as_good_as_none),
        T(test_path_that_is_too_long_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
