/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sink/sink.h"
#include "sink/url.h"
#include "support/test.h"

/* Up to four variables, and what comes of them: a description, or NULL and a part of the sentence. */
struct row {
    const char *set[5];
    const char *described;
    const char *refused;
};

static const char *const all[] = {"TOKENRING_SINK",
                                  "TOKENRING_LEDGER",
                                  "TOKENRING_STATE_DIR",
                                  "REDIS_URL",
                                  "REDIS_SOCKET",
                                  "REDIS_HOST",
                                  "REDIS_PORT",
                                  "REDIS_USERNAME",
                                  "REDIS_PASSWORD",
                                  "REDIS_DB",
                                  "TOKENRING_REDIS_TIMEOUT_MS"};

/* Of another program's that look like ours. */
static bool unset_one(void)
{
    for (char **variable = environ; *variable != NULL; variable++) {
        char name[64];

        if (strncmp(*variable, "REDIS_", 6) != 0 && strncmp(*variable, "VALKEY_", 7) != 0)
            continue;
        (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(*variable, "="), *variable);
        assert_int_equal(unsetenv(name), 0);
        return true;
    }
    return false;
}

static void set_environment(const char *const set[])
{
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        assert_int_equal(unsetenv(all[i]), 0);
    while (unset_one())
        continue;
    assert_int_equal(setenv("HOME", "/home/u", 1), 0);
    for (; *set != NULL; set++) {
        char name[32];
        size_t len = strcspn(*set, "=");

        assert_in_range(len, 1, sizeof(name) - 1);
        memcpy(name, *set, len);
        name[len] = '\0';
        assert_int_equal(setenv(name, *set + len + 1, 1), 0);
    }
}

static int read_config(const char *const set[], struct tkr_sink_config *ret_config, tkr_message *ret_message)
{
    set_environment(set);
    ret_message->text[0] = '\0';
    return tkr_sink_config_read(ret_config, ret_message);
}

static const struct row good[] = {
    {{"TOKENRING_SINK=null"}, "null: totals are not kept", NULL},
    {{"TOKENRING_SINK=redis"}, "redis at 127.0.0.1:6379, db 0", NULL},
    {{"TOKENRING_LEDGER=/x/y.db"}, "sqlite at /x/y.db", NULL},
    {{"TOKENRING_STATE_DIR=/x"}, "sqlite at /x/ledger.db", NULL},
    {{"TOKENRING_LEDGER=/l.db", "TOKENRING_STATE_DIR=/x"}, "sqlite at /l.db", NULL},
    {{"TOKENRING_LEDGER=rel.db"}, "sqlite at /rel.db", NULL},
    {{"TOKENRING_LEDGER=:memory:"}, "sqlite at /:memory:", NULL},
    {{"TOKENRING_SINK=sqlite", "REDIS_URL=nonsense", "TOKENRING_LEDGER=/l"}, "sqlite at /l", NULL},
    {{"TOKENRING_SINK=", "REDIS_HOST=h"}, "redis at h:6379, db 0", NULL},
    {{"REDIS_HOST=h", "REDIS_PORT=1", "REDIS_DB=65535"}, "redis at h:1, db 65535", NULL},
    {{"REDIS_PORT=6380"}, "redis at 127.0.0.1:6380, db 0", NULL},
    {{"REDIS_PORT=tcp://10.0.0.7:65535"}, "redis at 10.0.0.7:65535, db 0", NULL},
    {{"REDIS_PORT=tcp://[fd00::1]:6379"}, "redis at [fd00::1]:6379, db 0", NULL},
    {{"REDIS_PORT=tcp://10.0.0.7:1", "REDIS_HOST=r"}, "redis at r:1, db 0", NULL},
    {{"REDIS_HOST=::1"}, "redis at [::1]:6379, db 0", NULL},
    {{"REDIS_HOST=[::1]"}, "redis at [::1]:6379, db 0", NULL},
    {{"REDIS_HOST=[fe80::1%eth0]", "REDIS_PORT=7"}, "redis at [fe80::1%eth0]:7, db 0", NULL},
    {{"REDIS_URL=redis://:p#a@ss@h:7/1"}, "redis at h:7, db 1", NULL},
    {{"REDIS_URL=redis://h", "REDIS_HOST=a,b"}, "redis at h:6379, db 0", NULL},
    {{"REDIS_HOST=h", "REDIS_TLS=False", "REDIS_SSL=0", "REDIS_CLUSTER=no"}, "redis at h:6379, db 0", NULL},
    {{"REDIS_HOST=h", "REDIS_USERNAME=u", "REDIS_PASSWORD=p", "REDIS_USER=other"}, "redis at h:6379, db 0", NULL},
    {{"REDIS_HOST=h", "REDIS_PASSWORD=p", "REDIS_PASS=other"}, "redis at h:6379, db 0", NULL},
    {{"REDIS_HOST=h", "REDIS_DATABASE=0"}, "redis at h:6379, db 0", NULL},
    {{"REDIS_HOST=h", "REDIS_DB=2", "REDIS_DATABASE=3"}, "redis at h:6379, db 2", NULL},
    {{"REDIS_HOST=h", "REDIS_URI=redis://other"}, "redis at h:6379, db 0", NULL},
    {{"REDIS_HOST=h", "REDIS_SENTINEL_PORT=tcp://10.0.0.1:26379", "REDIS_CLUSTER_SERVICE_HOST=10.0.0.2"},
     "redis at h:6379, db 0",
     NULL},
    {{"TOKENRING_SINK=sqlite", "TOKENRING_LEDGER=/l", "REDIS_TLS=1", "REDIS_URI=redis://h"}, "sqlite at /l", NULL},
    {{"TOKENRING_LEDGER=/l", "REDIS_TLS=1", "REDIS_USER=u"}, "sqlite at /l", NULL},
    {{"REDIS_SOCKET=/run/r.sock", "REDIS_HOST=h"}, "redis at unix:/run/r.sock, db 0", NULL},
    {{"REDIS_URL=redis://h"}, "redis at h:6379, db 0", NULL},
    {{"REDIS_URL=redis://h/"}, "redis at h:6379, db 0", NULL},
    {{"REDIS_URL=redis://h:7/9"}, "redis at h:7, db 9", NULL},
    {{"REDIS_URL=redis://h:7?db=2"}, "redis at h:7, db 2", NULL},
    {{"REDIS_URL=redis://[::1]:7/9"}, "redis at [::1]:7, db 9", NULL},
    {{"REDIS_URL=redis://[::1]"}, "redis at [::1]:6379, db 0", NULL},
    {{"REDIS_URL=redis://u:p@h:7", "REDIS_DB=4"}, "redis at h:7, db 4", NULL},
    {{"REDIS_URL=redis://:p@h:7/1", "REDIS_DB=4"}, "redis at h:7, db 1", NULL},
    {{"REDIS_URL=redis://h", "REDIS_SOCKET=/s", "REDIS_HOST=x", "REDIS_PORT=bad"}, "redis at h:6379, db 0", NULL},
    {{"REDIS_URL=unix:///run/r.sock"}, "redis at unix:/run/r.sock, db 0", NULL},
    {{"REDIS_URL=unix://u:p@/run/a%20b?db=3"}, "redis at unix:/run/a b, db 3", NULL},
    {{"REDIS_URL=unix://:p@/run/r@x.sock"}, "redis at unix:/run/r@x.sock, db 0", NULL},
};

static const struct row bad[] = {
    {{"TOKENRING_SINK=postgres"}, NULL, "TOKENRING_SINK=postgres: allowed is redis, sqlite or null"},
    {{"TOKENRING_SINK=Redis"}, NULL, "TOKENRING_SINK=Redis"},
    {{"REDIS_HOST=h", "REDIS_PORT=0"}, NULL, "REDIS_PORT=0"},
    {{"REDIS_HOST=h", "REDIS_PORT=65536"}, NULL, "REDIS_PORT=65536"},
    {{"REDIS_HOST=h", "REDIS_PORT=12x"}, NULL, "REDIS_PORT=12x"},
    {{"REDIS_PORT=tcp://h"}, NULL, "REDIS_PORT=tcp://h: allowed is a port or tcp://host:port"},
    {{"REDIS_PORT=tcp://h:0"}, NULL, "REDIS_PORT="},
    {{"REDIS_PORT=tcp://:6379"}, NULL, "REDIS_PORT="},
    {{"REDIS_PORT=udp://h:1"}, NULL, "REDIS_PORT="},
    {{"REDIS_HOST=h", "REDIS_DB=-1"}, NULL, "REDIS_DB=-1: allowed is an integer from 0 to 65535"},
    {{"REDIS_HOST=h", "REDIS_DB=65536"}, NULL, "REDIS_DB=65536"},
    {{"REDIS_HOST=redis://:secret@h"}, NULL, "REDIS_HOST=redis://***@h"},
    {{"REDIS_HOST=h:6379"}, NULL, "REDIS_HOST=h:6379: allowed is a host name or an address; for the port there is REDIS_PORT"},
    {{"REDIS_HOST=[::1]:6379"},
     NULL,
     "REDIS_HOST=[::1]:6379: allowed is a host name or an address; for the port there is REDIS_PORT"},
    {{"REDIS_HOST=u:secret"}, NULL, "REDIS_HOST=u:***: allowed is a host name"},
    {{"REDIS_HOST=[h]", "REDIS_PORT=x"}, NULL, "REDIS_PORT=x"},
    {{"REDIS_HOST=a,b,c"}, NULL, "REDIS_HOST=a,b,c: lists of hosts are not supported yet"},
    {{"REDIS_HOST=a b"}, NULL, "REDIS_HOST=a b: lists of hosts are not supported yet"},
    {{"REDIS_HOST=a:1,b:2"}, NULL, ": lists of hosts are not supported yet"},
    {{"REDIS_URL=redis://a,b/0"}, NULL, "REDIS_URL=redis://a,b/0: lists of hosts are not supported yet"},
    {{"REDIS_URL=redis://:secret@a:1,b:2/0"}, NULL, "REDIS_URL=redis://***@a:1,b:2/0: lists of hosts are not supported yet"},
    {{"REDIS_URL=redis://[::1]:1,[::2]:2"}, NULL, "lists of hosts are not supported yet"},
    {{"REDIS_HOST=h", "REDIS_PASSWORD=secret\n"}, NULL, "REDIS_PASSWORD: the value ends in a line break: set it without"},
    {{"REDIS_HOST=h", "REDIS_PASSWORD=secret\r\n"}, NULL, "REDIS_PASSWORD: the value ends in a line break"},
    {{"REDIS_HOST=h", "REDIS_PASSWORD=p", "REDIS_USERNAME=u\n"}, NULL, "REDIS_USERNAME: the value ends in a line break"},
    {{"REDIS_HOST=h\n"}, NULL, "REDIS_HOST: the value ends in a line break"},
    {{"REDIS_HOST=h", "REDIS_PORT=1\n"}, NULL, "REDIS_PORT: the value ends in a line break"},
    {{"REDIS_HOST=h", "REDIS_DB=1\r"}, NULL, "REDIS_DB: the value ends in a line break"},
    {{"REDIS_SOCKET=/s\n"}, NULL, "REDIS_SOCKET: the value ends in a line break"},
    {{"REDIS_URL=redis://:secret@h\n"}, NULL, "REDIS_URL: the value ends in a line break"},
    {{"TOKENRING_SINK=redis\n"}, NULL, "TOKENRING_SINK: the value ends in a line break"},
    {{"REDIS_URL=redis://:sec/ret@h"}, NULL, "in a user or password write '/' as %2F, '?' as %3F, '#' as %23, '@' as %40"},
    {{"REDIS_URL=redis://:sec?ret@h"}, NULL, "in a user or password write '/' as %2F"},
    {{"REDIS_URL=redis://:sec@x/ret@h/0"}, NULL, "REDIS_URL=redis://***@h/0: there is an '@' behind the host; in a user or"},
    {{"REDIS_URL=redis://u:sec%ret@h"}, NULL, "two hex digits; in a user or password write"},
    {{"REDIS_URL=unix://:sec/ret@/run/r.sock"}, NULL, "there is an '@' behind a '/'; in a user or password write '/' as %2F"},
    {{"REDIS_URL=redis://:secret@h/secret"}, NULL, "REDIS_URL=redis://***@h***: behind the host's '/' stands the db"},
    {{"REDIS_HOST=h", "REDIS_TLS=1"}, NULL, "REDIS_TLS is set, but TLS is not supported yet: unset it, and give an address"},
    {{"REDIS_URL=redis://h", "REDIS_SSL=True"}, NULL, "REDIS_SSL is set, but TLS is not supported yet"},
    {{"REDIS_HOST=h", "REDIS_SENTINELS=a:1,b:2"},
     NULL,
     "REDIS_SENTINELS is set, but Sentinel is not supported yet: unset it, and"},
    {{"REDIS_SENTINELS=a:1,b:2"}, NULL, "REDIS_SENTINELS is set, but Sentinel is not supported yet"},
    {{"REDIS_HOST=h", "REDIS_CLUSTER=true"}, NULL, "REDIS_CLUSTER is set, but clusters are not supported yet: unset it, and"},
    {{"REDIS_CLUSTER_NODES=a:1"}, NULL, "REDIS_CLUSTER_NODES is set, but clusters are not supported yet"},
    {{"REDIS_HOST=h", "REDIS_PASSWORD=secret", "REDIS_USER=u"}, NULL, "REDIS_USER is set, but not read: set REDIS_USERNAME"},
    {{"REDIS_HOST=h", "REDIS_PASS=secret"}, NULL, "REDIS_PASS is set, but not read: set REDIS_PASSWORD"},
    {{"REDIS_HOST=h", "REDIS_PASSWORD_FILE=/run/secret"}, NULL, "REDIS_PASSWORD_FILE is set, but not read: set REDIS_PASSWORD"},
    {{"REDIS_HOST=h", "REDIS_DATABASE=3"}, NULL, "REDIS_DATABASE is set, but not read: set REDIS_DB"},
    {{"REDIS_URI=redis://:secret@h"},
     NULL,
     "REDIS_URI is set, but not read: set REDIS_URL; or TOKENRING_SINK=sqlite for the local"},
    {{"TOKENRING_SINK=redis", "REDIS_URI=redis://:secret@h"}, NULL, "REDIS_URI is set, but not read: set REDIS_URL"},
    {{"VALKEY_URL=redis://:secret@h"}, NULL, "VALKEY_URL is set, but not read: set REDIS_URL"},
    {{"TOKENRING_SINK=redis://:secret@h"}, NULL, "TOKENRING_SINK=redis://***@h: allowed is redis, sqlite or null"},
    {{"TOKENRING_LEDGER=redis://:secret@h"}, NULL, "TOKENRING_LEDGER=redis://***@h: allowed is a path; for the URL of a Redis"},
    {{"TOKENRING_STATE_DIR=redis://:secret@h"}, NULL, "TOKENRING_STATE_DIR=redis://***@h: allowed is a path"},
    {{"REDIS_HOST=h", "REDIS_USERNAME=u"}, NULL, "REDIS_USERNAME=u: a user needs REDIS_PASSWORD too"},
    {{"REDIS_SOCKET=run/r.sock"}, NULL, "REDIS_SOCKET=run/r.sock: allowed is the absolute path"},
    {{"REDIS_URL=rediss://h"}, NULL, "REDIS_URL=rediss://h: TLS (rediss://) is not supported yet"},
    {{"REDIS_URL=h:6379"}, NULL, "allowed is redis://"},
    {{"REDIS_URL=http://h"}, NULL, "REDIS_URL=http://h: allowed is redis://"},
    {{"REDIS_URL=redis://"}, NULL, "the host is missing"},
    {{"REDIS_URL=redis://:secret@"}, NULL, "the host is missing"},
    {{"REDIS_URL=redis://:secret@h:0"}, NULL, "REDIS_URL=redis://***@h:0: the port is an integer from 1 to 65535"},
    {{"REDIS_URL=redis://h:65536"}, NULL, "REDIS_URL=redis://h:65536: the port"},
    {{"REDIS_URL=redis://h:"}, NULL, "the port"},
    {{"REDIS_URL=redis://u:secret"}, NULL, "REDIS_URL=redis://u:***: the port"},
    {{"REDIS_URL=redis://secret@h"}, NULL, "before the '@' there must be [user]:password"},
    {{"REDIS_URL=redis://u:@h"}, NULL, "a user needs a password"},
    {{"REDIS_URL=redis://:secret%4@h"}, NULL, "REDIS_URL=redis://***@h: user or password"},
    {{"REDIS_URL=redis://:secret%00@h"}, NULL, "REDIS_URL=redis://***@h: user or password"},
    {{"REDIS_URL=redis://:sec/ret@h"}, NULL, "REDIS_URL=redis://***@h"},
    {{"REDIS_URL=redis://h/x"}, NULL, "db, an integer from 0 to 65535"},
    {{"REDIS_URL=redis://h/65536"}, NULL, "db, an integer from 0 to 65535"},
    {{"REDIS_URL=redis://h/-1"}, NULL, "db, an integer from 0 to 65535"},
    {{"REDIS_URL=redis://h?password=secret"}, NULL, "REDIS_URL=redis://h***: of the options"},
    {{"REDIS_URL=redis://::1:6379"}, NULL, "an IPv6 address stands in brackets"},
    {{"REDIS_URL=redis://[::1"}, NULL, "an IPv6 address stands in brackets"},
    {{"REDIS_URL=redis://[::1]6379"}, NULL, "an IPv6 address stands in brackets"},
    {{"REDIS_URL=redis://a b"}, NULL, "no host name"},
    {{"REDIS_URL=unix://run"}, NULL, "path is missing"},
    {{"REDIS_URL=unix://run/r.sock"}, NULL, "path is absolute"},
    {{"REDIS_URL=unix:///r.sock?db=70000"}, NULL, "REDIS_URL=unix:///r.sock?db=70000: db is an integer"},
    {{"REDIS_URL=unix:///r%zz"}, NULL, "two hex digits"},
    {{"REDIS_HOST=h", "TOKENRING_REDIS_TIMEOUT_MS=49"}, NULL, "TOKENRING_REDIS_TIMEOUT_MS=49: allowed is an integer from 50"},
    {{"REDIS_HOST=h", "TOKENRING_REDIS_TIMEOUT_MS=600001"}, NULL, "to 600000"},
    {{"REDIS_HOST=h", "TOKENRING_REDIS_TIMEOUT_MS=5s"}, NULL, "TOKENRING_REDIS_TIMEOUT_MS=5s: allowed"},
};

static void test_config_good_values_are_described(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct tkr_sink_config config;
        tkr_message message;

        if (read_config(good[i].set, &config, &message) != 0)
            fail_msg("%s: %s", good[i].set[0], message.text);
        tkr_sink_describe(&config, &message);
        assert_string_equal(message.text, good[i].described);
    }
}

static void test_config_redis_timeout_is_taken(void **state)
{
    const char *const unset[] = {"REDIS_HOST=h", NULL};
    const char *const set[] = {"REDIS_HOST=h", "TOKENRING_REDIS_TIMEOUT_MS=250", NULL};
    struct tkr_sink_config config;
    tkr_message message;

    (void)state;
    assert_int_equal(read_config(unset, &config, &message), 0);
    assert_int_equal(config.command_timeout_ms, 5000);
    assert_int_equal(read_config(set, &config, &message), 0);
    assert_int_equal(config.command_timeout_ms, 250);
}

static void test_config_bad_values_are_refused_without_the_password(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct tkr_sink_config config = {.port = -7};
        tkr_message message;

        if (read_config(bad[i].set, &config, &message) == 0)
            fail_msg("%s was accepted", bad[i].set[0]);
        if (strstr(message.text, bad[i].refused) == NULL)
            fail_msg("%s: \"%s\" lacks \"%s\"", bad[i].set[0], message.text, bad[i].refused);
        assert_null(strstr(message.text, "secret"));
        assert_null(strstr(message.text, "ret@")); /* nor a part of it */
        assert_int_equal(config.port, -7);
    }
}

/* Whatever variable it stands in. */
static void test_config_password_is_never_shown(void **state)
{
    static const char *const values[] = {"redis://user:secret@h:6379/0",
                                         "redis://:secret@h",
                                         "user:secret@h",
                                         "user:secret",
                                         ":secret",
                                         "redis://user:secret",
                                         "redis://user:sec?ret",
                                         "redis://h?password=secret",
                                         "redis://:x@h/secret"};
    tkr_message described;

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
            const char *const set[] = {"REDIS_PASSWORD=p", NULL};
            struct tkr_sink_config config;
            tkr_message message = {""};

            set_environment(set);
            if (strncmp(all[i], "TOKENRING_L", 11) != 0 && strncmp(all[i], "TOKENRING_ST", 12) != 0)
                assert_int_equal(setenv("TOKENRING_SINK", "redis", 1), 0);
            assert_int_equal(setenv(all[i], values[v], 1), 0);
            if (tkr_sink_config_read(&config, &message) == 0)
                tkr_sink_describe(&config, &described);
            if (strstr(message.text, "secret") != NULL || strstr(message.text, "sec?ret") != NULL)
                fail_msg("%s=%s: %s", all[i], values[v], message.text);
        }
    }
}

/* --- doubts --- */

struct doubts {
    int count;
    tkr_message last;
};

static void take_doubt(const tkr_message *doubt, void *argument)
{
    struct doubts *doubts = argument;

    doubts->count++;
    doubts->last = *doubt;
}

static void test_config_what_does_no_harm_is_a_doubt(void **state)
{
    static const struct row doubtful[] = {
        {{"REDIS_HOST=h"}, NULL, NULL},
        {{"REDIS_URL=redis://u:p%40%23@h"}, NULL, NULL},
        {{"REDIS_URL=unix://:p@/run/r@x#y.sock"}, NULL, NULL},
        {{"REDIS_URL=redis://u:secret@x@h"}, NULL, "REDIS_URL has a raw '@' or '#' in its user or password"},
        {{"REDIS_URL=redis://u:secret#@h"}, NULL, "write %40 for '@', %23 for '#'"},
        {{"REDIS_HOST=h", "REDIS_URI=redis://:secret@other"},
         NULL,
         "REDIS_URI is set, but not read: what holds is REDIS_URL, or"},
        {{"REDIS_URL=redis://h", "REDIS_URI=redis://h"}, NULL, NULL},
        {{"REDIS_HOST=h", "REDIS_PASSWORD=p", "REDIS_PASS=secret"},
         NULL,
         "REDIS_PASS is set, but not read: what holds is REDIS_PASSWORD"},
        {{"REDIS_HOST=h", "REDIS_PASSWORD=p", "REDIS_PASS=p"}, NULL, NULL},
        {{"REDIS_HOST=h", "REDIS_DB=2", "REDIS_DATABASE=3"}, NULL, "REDIS_DATABASE is set, but not read"},
        {{"TOKENRING_LEDGER=/l", "REDIS_PASSWORD=secret"},
         NULL,
         "REDIS_PASSWORD is set, but no address of a Redis: totals go to the"},
        {{"TOKENRING_LEDGER=/l", "TOKENRING_SINK=sqlite", "REDIS_PASSWORD=secret"}, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(doubtful) / sizeof(doubtful[0]); i++) {
        struct doubts doubts = {.count = 0};
        struct tkr_sink_config config;
        tkr_message message;

        if (read_config(doubtful[i].set, &config, &message) != 0)
            fail_msg("%s: %s", doubtful[i].set[0], message.text);
        tkr_sink_config_doubt(&config, take_doubt, &doubts);
        if (doubts.count != (doubtful[i].refused != NULL))
            fail_msg("%s: %d doubts, the last: %s", doubtful[i].set[0], doubts.count, doubts.last.text);
        if (doubts.count > 0 && strstr(doubts.last.text, doubtful[i].refused) == NULL)
            fail_msg("%s: %s", doubtful[i].set[0], doubts.last.text);
        assert_null(strstr(doubts.last.text, "secret"));
    }
}

static void test_config_credentials_are_decoded_and_never_described(void **state)
{
    const char *const set[] = {"REDIS_URL=redis://us%3aer:p%40ss%2Fw%C3%A9:rd@h", "REDIS_USERNAME=x", "REDIS_PASSWORD=other",
                               NULL};
    struct tkr_sink_config config;
    tkr_message message;

    (void)state;
    assert_int_equal(read_config(set, &config, &message), 0);
    assert_string_equal(config.username, "us:er");
    assert_string_equal(config.password, "p@ss/w\xc3\xa9:rd");
    tkr_sink_describe(&config, &message);
    assert_string_equal(message.text, "redis at h:6379, db 0");
}

static void test_config_credentials_beside_the_address_are_taken(void **state)
{
    const char *const set[] = {"REDIS_URL=redis://h", "REDIS_USERNAME=x", "REDIS_PASSWORD=p:@/", NULL};
    struct tkr_sink_config config;
    tkr_message message;

    (void)state;
    assert_int_equal(read_config(set, &config, &message), 0);
    assert_string_equal(config.username, "x");
    assert_string_equal(config.password, "p:@/");
}

static void test_config_url_password_replaces_the_user_too(void **state)
{
    const char *const set[] = {"REDIS_URL=redis://:p@h", "REDIS_USERNAME=x", "REDIS_PASSWORD=q", NULL};
    struct tkr_sink_config config;
    tkr_message message;

    (void)state;
    assert_int_equal(read_config(set, &config, &message), 0);
    assert_string_equal(config.username, "");
    assert_string_equal(config.password, "p");
}

static void test_config_without_anything_is_a_local_ledger(void **state)
{
    const char *const set[] = {NULL};
    struct tkr_sink_config config;
    struct stat st;
    tkr_message message;
    bool system_wide = stat("/var/lib/tokenring", &st) == 0 && S_ISDIR(st.st_mode);

    (void)state;
    assert_int_equal(read_config(set, &config, &message), 0);
    assert_int_equal(config.kind, TKR_SINK_SQLITE);
    assert_string_equal(config.ledger, system_wide ? "/var/lib/tokenring/ledger.db" : "/home/u/.local/state/tokenring/ledger.db");
    assert_int_equal(unsetenv("HOME"), 0);
    assert_int_equal(tkr_sink_config_read(&config, &message), system_wide ? 0 : -1);
}

static void test_config_too_long_values_are_refused(void **state)
{
    char value[TKR_SINK_PATH_BYTES + 64];
    const char *const none[] = {NULL};
    const char *const names[] = {"TOKENRING_LEDGER", "TOKENRING_STATE_DIR", "REDIS_HOST", "REDIS_SOCKET",
                                 "REDIS_PASSWORD",   "REDIS_USERNAME",      "REDIS_URL"};
    struct tkr_sink_config config;
    tkr_message message;

    (void)state;
    memset(value, 'x', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        set_environment(none);
        if (i > 1)
            assert_int_equal(setenv("TOKENRING_SINK", "redis", 1), 0);
        memcpy(value, strcmp(names[i], "REDIS_URL") == 0 ? "unix:///" : "/xxxxxxx", 8);
        assert_int_equal(setenv(names[i], value, 1), 0);
        assert_int_equal(tkr_sink_config_read(&config, &message), -1);
        assert_int_not_equal(strlen(message.text), 0);
    }
}

static void test_config_every_kind_opens_and_closes_unconnected(void **state)
{
    const enum tkr_sink_kind kinds[] = {TKR_SINK_REDIS, TKR_SINK_SQLITE, TKR_SINK_NULL};
    const char *const names[] = {"redis", "sqlite", "null"};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct tkr_sink_config config = {.kind = kinds[i]};
        tkr_sink *sink;
        tkr_message message;

        assert_int_equal(tkr_sink_open(&config, &sink, &message), 0);
        assert_string_equal(sink->ops->name, names[i]);
        assert_in_range(sink->window, 1, 64);
        assert_in_range(sink->chunk_items_max, 1, 10000);
        sink->ops->close(sink);
    }
}

static void test_url_random_text_is_bounded(void **state)
{
    static const char alphabet[] = "redis://unix@:/?%[]#a0db=&";
    unsigned seed = 12345; /* fixed: the alphabet is the point, not the luck */

    (void)state;
    for (int i = 0; i < 100000; i++) {
        char text[40] = "redis://";
        struct tkr_sink_config config = {0};
        tkr_message message;
        int len = 8 + rand_r(&seed) % 30;

        for (int j = rand_r(&seed) % 9; j < len; j++)
            text[j] = alphabet[(size_t)rand_r(&seed) % (sizeof(alphabet) - 1)];
        text[len] = '\0';
        (void)tkr_sink_url_read("REDIS_URL", text, &config, &message); /* sanitizers look on */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_good_values_are_described),
        cmocka_unit_test(test_config_redis_timeout_is_taken),
        cmocka_unit_test(test_config_bad_values_are_refused_without_the_password),
        cmocka_unit_test(test_config_password_is_never_shown),
        cmocka_unit_test(test_config_what_does_no_harm_is_a_doubt),
        cmocka_unit_test(test_config_credentials_are_decoded_and_never_described),
        cmocka_unit_test(test_config_credentials_beside_the_address_are_taken),
        cmocka_unit_test(test_config_url_password_replaces_the_user_too),
        cmocka_unit_test(test_config_without_anything_is_a_local_ledger),
        cmocka_unit_test(test_config_too_long_values_are_refused),
        cmocka_unit_test(test_config_every_kind_opens_and_closes_unconnected),
        cmocka_unit_test(test_url_random_text_is_bounded),
    };

    if (chdir("/") != 0) /* relative paths are part of the tests */
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
