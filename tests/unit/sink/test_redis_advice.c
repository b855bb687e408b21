/* SPDX-License-Identifier: Apache-2.0 */
/* What servers say, word for word, and what that means: texts of Redis 7.0.15 and 8.0.6, and of Valkey 9.1.2. */
#include <string.h>

#include "sink/redis/advice.h"
#include "sink/redis/connection.h"
#include "sink/redis/info.h"
#include "sink/redis/script.h"
#include "support/test.h"

#define DENIED "Redis denies this user a command or a key: see its ACL"
#define CLUSTER "this Redis is part of a cluster, which is not supported yet"
#define CLUSTER_DOWN "this Redis is part of a cluster that is down, and clusters are not supported yet"
#define READ_ONLY "this Redis is a read-only replica"
#define DISK "Redis cannot save to its disk"
#define BUSY "Redis is kept busy by somebody's script"
#define MEMORY "Redis is out of memory"
#define LOADING "Redis is still loading its data"
#define AT_LINE " script: 7409dc87adab2c238a8a22749ea67db5bc6e8a2e, on @user_script:1."

static const struct row {
    const char *error;
    const char *means; /* begins so; NULL: it speaks for itself */
} rows[] = {
    /* rights */
    {"NOPERM this user has no permissions to run the 'hincrby' command", DENIED},
    {"NOPERM this user has no permissions to access one of the keys used as arguments", DENIED},
    {"NOPERM User u has no permissions to run the 'hincrby' command", DENIED},
    {"NOPERM No permissions to access a key", DENIED},
    {"NOPERM User u has no permissions to access database 3", DENIED},
    {"ERR The user executing the script can't run this command or subcommand", DENIED},
    {"ERR The user executing the script can't run this command or subcommand" AT_LINE, DENIED},
    {"ERR The user executing the script can't access at least one of the keys mentioned in the command arguments" AT_LINE,
     DENIED},
    {"ERR ACL failure in script: User u has no permissions to run the 'hincrby' command", DENIED},
    {"ERR ACL failure in script: User u has no permissions to run the 'hincrby' command" AT_LINE, DENIED},
    {"ERR ACL failure in script: No permissions to access a key script: on @user_script:1.", DENIED},
    /* who comes in */
    {"NOAUTH Authentication required.", "Redis wants a password: set REDIS_PASSWORD"},
    {"WRONGPASS invalid username-password pair or user is disabled.", "Redis does not know this user and password"},
    {"ERR invalid password", "Redis does not know this password"},
    {"ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is "
     "correct?",
     "Redis has no password: give REDIS_USERNAME too, or unset REDIS_PASSWORD"},
    {"ERR Client sent AUTH, but no password is set", "Redis has no password: unset REDIS_PASSWORD"},
    {"ERR wrong number of arguments for 'auth' command", "this Redis knows no users (it is older than 6): unset REDIS_USERNAME"},
    {"ERR max number of clients reached", "Redis has no connection left: raise its maxclients"},
    {"ERR max number of clients + cluster connections reached", "Redis has no connection left: raise its maxclients"},
    {"DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default user. "
     "In "
     "this mode connections are only accepted from the loopback interface.",
     "Redis is in protected mode, and takes no clients of other hosts"},
    {"DENIED Running in protected mode because protected mode is enabled and no password is set for the default user.",
     "Redis is in protected mode, and takes no clients of other hosts"},
    {"ERR DB index is out of range", "Redis has no database of this number"},
    /* a cluster */
    {"CROSSSLOT Keys in request don't hash to the same slot", CLUSTER},
    {"MOVED 3999 127.0.0.1:6381", CLUSTER},
    {"ASK 3999 127.0.0.1:6381", CLUSTER},
    {"TRYAGAIN Multiple keys request during rehashing of slot", CLUSTER},
    {"ERR SELECT is not allowed in cluster mode", CLUSTER},
    {"ERR Script attempted to access a non local key in a cluster node" AT_LINE, CLUSTER},
    {"ERR Script attempted to access keys that do not hash to the same slot" AT_LINE, CLUSTER},
    {"ERR Script attempted to access a slot not served" AT_LINE, CLUSTER},
    {"CLUSTERDOWN Hash slot not served", CLUSTER_DOWN},
    {"CLUSTERDOWN The cluster is down", CLUSTER_DOWN},
    {"CLUSTERDOWN The cluster is down and only accepts read commands", CLUSTER_DOWN},
    {"ERR Script attempted to execute a command while the cluster is down" AT_LINE, CLUSTER_DOWN},
    {"ERR Script attempted to execute a write command while the cluster is down and readonly" AT_LINE, CLUSTER_DOWN},
    /* states that pass */
    {"OOM command not allowed when used memory > 'maxmemory'.", MEMORY},
    {"OOM command not allowed when used memory > 'maxmemory'." AT_LINE, MEMORY},
    {"-OOM command not allowed when used memory > 'maxmemory'.", MEMORY}, /* as some hand it to a script */
    {"OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'", MEMORY},
    {"READONLY You can't write against a read only replica.", READ_ONLY},
    {"READONLY Can not run script with write flag on readonly replica", READ_ONLY},
    {"LOADING Redis is loading the dataset in memory", LOADING},
    {"LOADING Valkey is loading the dataset in memory", LOADING},
    {"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", BUSY},
    {"BUSY Valkey is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.", BUSY},
    {"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "this Redis is a replica that has lost"},
    {"MASTERDOWN Link with MASTER is down, replica-serve-stale-data is set to 'no' and 'allow-stale' flag is not set on the "
     "script.",
     "this Redis is a replica that has lost"},
    {"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify "
     "the "
     "data set are disabled",
     DISK},
    {"MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk. Writable scripts are "
     "blocked.",
     DISK},
    {"MISCONF Errors writing to the AOF file: No space left on device", DISK},
    {"NOREPLICAS Not enough good replicas to write.", "Redis lacks the replicas"},
    {"NOSCRIPT No matching script. Please use EVAL.", "Redis has forgotten the script"},
    {"NOSCRIPT No matching script.", "Redis has forgotten the script"},
    {"REDIRECT 127.0.0.1:6381", "this server is a replica: give the address of its primary"},
    {"ERR unknown command 'EVALSHA', with args beginning with: 'abc' '3' ", NULL},
    /* of one account's own, or of nobody's */
    {"WRONGTYPE Operation against a key holding the wrong kind of value", NULL},
    {"ERR hash value is not an integer", NULL},
    {"ERR increment or decrement would overflow", NULL},
    {"ERR Protocol error: invalid bulk length", NULL},
    {"EXECABORT Transaction discarded because of previous errors.", NULL},
    {"ERR ", NULL},
    {"", NULL},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void test_advice_of_each_error_is_the_right_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        const char *means = tkr_redis_advice(rows[i].error);

        if ((means == NULL) != (rows[i].means == NULL) ||
            (means != NULL && strncmp(means, rows[i].means, strlen(rows[i].means)) != 0))
            fail_msg("\"%s\" means \"%s\"", rows[i].error, means != NULL ? means : "nothing");
        assert_int_equal(tkr_redis_is_denied(rows[i].error), means != NULL && strcmp(means, DENIED) == 0);
    }
}

static void test_error_with_advice_is_never_one_accounts_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        if (tkr_redis_error_is_poison(rows[i].error))
            assert_null(rows[i].means);
    }
}

static void test_states_in_which_nothing_can_be_written_are_known(void **state)
{
    static const char *const unwritable[] = {
        MEMORY, READ_ONLY, LOADING, DISK, "Redis lacks", "this Redis is a replica", CLUSTER_DOWN, "this server is a replica"};

    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        bool expected = false;

        for (size_t n = 0; rows[i].means != NULL && n < sizeof(unwritable) / sizeof(unwritable[0]); n++)
            expected |= strncmp(rows[i].means, unwritable[n], strlen(unwritable[n])) == 0;
        if (tkr_redis_is_unwritable(rows[i].error) != expected)
            fail_msg("\"%s\" is %s", rows[i].error, expected ? "not known to be so" : "taken for such");
    }
}

/* What follows AUTH, and keys, which hold ids, are left out. */
static void test_arguments_that_an_error_repeats_are_not_shown(void **state)
{
    static const char *const errors[] = {
        "ERR unknown command 'AUTH', with args beginning with: 'secret' ",
        "ERR unknown command `AUTH`, with args beginning with: `secret`, ",
        "ERR something about token_usage:secret:2026-11-01",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        tkr_message message;

        assert_int_equal(tkr_redis_refused_text(errors[i], &message), -1);
        assert_null(strstr(message.text, "secret"));
        assert_non_null(strstr(message.text, "..."));
    }
}

/* --- which server it is --- */

static void expect_server(const char *info, const char *name, const char *own, const char *redis, bool cluster)
{
    struct tkr_redis_server server;

    assert_true(tkr_redis_server_read(info, &server));
    assert_string_equal(server.name, name);
    assert_string_equal(server.own, own);
    assert_string_equal(server.redis, redis);
    assert_int_equal(server.cluster, cluster);
}

static void test_server_says_who_it_is(void **state)
{
    struct tkr_redis_server server;

    (void)state;
    expect_server("# Server\r\nredis_version:7.0.15\r\nredis_git_sha1:00000000\r\nredis_mode:standalone\r\nos:Linux\r\n", "", "",
                  "7.0.15", false);
    expect_server("# Server\r\nredis_version:8.0.6\r\nredis_mode:cluster\r\nos:Linux\r\n", "", "", "8.0.6", true);
    expect_server("# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\nvalkey_release_stage:ga\r\n"
                  "redis_git_sha1:00000000\r\nserver_mode:standalone\r\n",
                  "valkey", "9.1.2", "7.2.4", false);
    expect_server("# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\nserver_mode:cluster\r\n",
                  "valkey", "9.1.2", "7.2.4", true);
    expect_server("redis_version:7.2.4\r\nserver_name:other\r\n", "other", "", "7.2.4", false);
    assert_false(tkr_redis_server_read("# Server\r\nserver_mode:cluster\r\n", &server));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_advice_of_each_error_is_the_right_one),
        cmocka_unit_test(test_error_with_advice_is_never_one_accounts_own),
        cmocka_unit_test(test_states_in_which_nothing_can_be_written_are_known),
        cmocka_unit_test(test_arguments_that_an_error_repeats_are_not_shown),
        cmocka_unit_test(test_server_says_who_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
