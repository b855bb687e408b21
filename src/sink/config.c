/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sink/lookalike.h"
#include "sink/sink.h"
#include "sink/url.h"

#define REDIS_HOST_DEFAULT "127.0.0.1"
#define REDIS_PORT_DEFAULT 6379
#define PORT_MAX 65535
#define DB_MAX 65535
#define CONNECT_TIMEOUT_MS 2000
#define COMMAND_TIMEOUT_MS 5000
#define COMMAND_TIMEOUT_MIN_MS 50
#define COMMAND_TIMEOUT_MAX_MS 600000
#define STATE_DIR_SYSTEM "/var/lib/tokenring"
#define STATE_DIR_USER "/.local/state/tokenring"
#define LEDGER_NAME "/ledger.db"
#define SHOWN_BYTES 100

/* Copies the variable's value when it has one. */
static int read_text(const char *name, char *ret_text, size_t size, tkr_message *ret_message)
{
    const char *value = tkr_setting_text(name);

    if (value == NULL)
        return 0;
    if (tkr_setting_ends_in_break(value)) /* read from a file: no name and no secret has one */
        return tkr_setting_refuse(ret_message, name, value, "allowed is a value without a line break");
    if (strlen(value) >= size)
        return tkr_message_set(ret_message, "%s: the value is longer than %zu bytes", name, size - 1);
    memcpy(ret_text, value, strlen(value) + 1);
    return 0;
}

bool tkr_sink_redis_named(void)
{
    return tkr_setting_text("REDIS_URL") != NULL || tkr_setting_text("REDIS_SOCKET") != NULL ||
           tkr_setting_text("REDIS_HOST") != NULL || tkr_setting_text("REDIS_PORT") != NULL;
}

static int read_kind(struct tkr_sink_config *config, tkr_message *ret_message)
{
    static const char *const names[] = {[TKR_SINK_REDIS] = "redis", [TKR_SINK_SQLITE] = "sqlite", [TKR_SINK_NULL] = "null"};
    const char *value = tkr_setting_text("TOKENRING_SINK");

    config->kind = tkr_sink_redis_named() ? TKR_SINK_REDIS : TKR_SINK_SQLITE;
    if (value == NULL)
        return 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(value, names[i]) == 0) {
            config->kind = (enum tkr_sink_kind)i;
            return 0;
        }
    }
    return tkr_setting_refuse(ret_message, "TOKENRING_SINK", value, "allowed is redis, sqlite or null");
}

/* "tcp://host:port", which Kubernetes puts there beside a service named redis. REDIS_HOST wins over its host. */
static int read_port_url(const char *value, struct tkr_sink_config *config, tkr_message *ret_message)
{
    char host[TKR_SINK_TEXT_BYTES];
    const char *colon = strrchr(value, ':');
    const char *begin = value + strlen("tcp://");
    size_t len = colon > begin ? (size_t)(colon - begin) : 0;
    int64_t port;

    if (len > 2 && begin[0] == '[' && begin[len - 1] == ']') {
        begin++;
        len -= 2;
    }
    if (len == 0 || len >= sizeof(host) || strcspn(begin, "/@ ") < len || !tkr_parse_integer(colon + 1, 1, PORT_MAX, &port))
        return tkr_setting_refuse(ret_message, "REDIS_PORT", value, "allowed is a port or tcp://host:port");
    memcpy(host, begin, len);
    host[len] = '\0';
    if (config->host[0] == '\0')
        memcpy(config->host, host, len + 1);
    config->port = (int)port;
    return 0;
}

static int read_port(struct tkr_sink_config *config, tkr_message *ret_message)
{
    const char *value = tkr_setting_text("REDIS_PORT");
    int64_t port = REDIS_PORT_DEFAULT;

    if (value != NULL && strncmp(value, "tcp://", 6) == 0)
        return read_port_url(value, config, ret_message);
    if (tkr_setting_integer("REDIS_PORT", 1, PORT_MAX, REDIS_PORT_DEFAULT, &port, ret_message) != 0)
        return -1;
    config->port = (int)port;
    return 0;
}

static bool is_ipv6(const char *host)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr binary;
    size_t len = strcspn(host, "%"); /* a zone follows, of a link-local one */

    if (len >= sizeof(address))
        return false;
    memcpy(address, host, len);
    address[len] = '\0';
    return inet_pton(AF_INET6, address, &binary) == 1;
}

/* An IPv6 address may stand in brackets, as in a URL. */
static void remove_brackets(char *host)
{
    size_t len = strlen(host);

    if (len < 2 || host[0] != '[' || host[len - 1] != ']')
        return;
    memmove(host, host + 1, len - 2);
    host[len - 2] = '\0';
}

static int read_host(struct tkr_sink_config *config, tkr_message *ret_message)
{
    const char *given = tkr_setting_text("REDIS_HOST");
    char *host = config->host;

    if (read_text("REDIS_HOST", host, sizeof(config->host), ret_message) != 0)
        return -1;
    remove_brackets(host);
    if (strpbrk(host, "/@") != NULL)
        return tkr_setting_refuse(ret_message, "REDIS_HOST", given,
                                  "allowed is a host name or an address; for a URL there is REDIS_URL");
    if (strpbrk(host, ",; \t\r\n") != NULL)
        return tkr_setting_refuse(ret_message, "REDIS_HOST", given, TKR_SINK_ONE_HOST);
    if (strpbrk(host, ":[]") != NULL && !is_ipv6(host))
        return tkr_setting_refuse(ret_message, "REDIS_HOST", given,
                                  "allowed is a host name or an address; for the port there is REDIS_PORT");
    return 0;
}

static int read_host_and_port(struct tkr_sink_config *config, tkr_message *ret_message)
{
    if (read_host(config, ret_message) != 0 || read_port(config, ret_message) != 0)
        return -1;
    if (config->host[0] == '\0')
        memcpy(config->host, REDIS_HOST_DEFAULT, sizeof(REDIS_HOST_DEFAULT));
    return 0;
}

static int check_socket(const struct tkr_sink_config *config, const char *name, tkr_message *ret_message)
{
    const size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

    if (config->socket[0] == '\0')
        return 0;
    if (config->socket[0] != '/')
        return tkr_setting_refuse(ret_message, name, config->socket, "allowed is the absolute path of a socket");
    if (strlen(config->socket) > max)
        return tkr_message_set(ret_message, "%s: the socket's path is longer than the %zu bytes that the system allows", name,
                               max);
    return 0;
}

static int read_credentials(struct tkr_sink_config *config, tkr_message *ret_message)
{
    int64_t db = 0;

    if (read_text("REDIS_USERNAME", config->username, sizeof(config->username), ret_message) != 0 ||
        read_text("REDIS_PASSWORD", config->password, sizeof(config->password), ret_message) != 0 ||
        tkr_setting_integer("REDIS_DB", 0, DB_MAX, 0, &db, ret_message) != 0)
        return -1;
    config->db = (int)db;
    return 0;
}

static int read_timeout(struct tkr_sink_config *config, tkr_message *ret_message)
{
    int64_t timeout_ms;

    if (tkr_setting_integer("TOKENRING_REDIS_TIMEOUT_MS", COMMAND_TIMEOUT_MIN_MS, COMMAND_TIMEOUT_MAX_MS, COMMAND_TIMEOUT_MS,
                            &timeout_ms, ret_message) != 0)
        return -1;
    config->command_timeout_ms = (int)timeout_ms;
    return 0;
}

/* REDIS_URL stands above all the others; what it leaves out comes from them. */
static int read_redis(struct tkr_sink_config *config, tkr_message *ret_message)
{
    const char *url = tkr_setting_text("REDIS_URL");

    config->port = REDIS_PORT_DEFAULT;
    if (read_timeout(config, ret_message) != 0 || read_credentials(config, ret_message) != 0)
        return -1;
    if (url != NULL) {
        if (tkr_sink_url_read("REDIS_URL", url, config, ret_message) != 0 || check_socket(config, "REDIS_URL", ret_message) != 0)
            return -1;
    } else if (tkr_setting_text("REDIS_SOCKET") != NULL) {
        if (read_text("REDIS_SOCKET", config->socket, sizeof(config->socket), ret_message) != 0 ||
            check_socket(config, "REDIS_SOCKET", ret_message) != 0)
            return -1;
    } else if (read_host_and_port(config, ret_message) != 0) {
        return -1;
    }
    if (config->username[0] != '\0' && config->password[0] == '\0')
        return tkr_setting_refuse(ret_message, "REDIS_USERNAME", config->username, "a user needs REDIS_PASSWORD too");
    return 0;
}

/* Joins prefix and name; a relative path is made absolute, so that all who share the environment mean the same file. */
static int set_ledger(struct tkr_sink_config *config, const char *prefix, const char *name, tkr_message *ret_message)
{
    char here[TKR_SINK_PATH_BYTES] = "";
    bool absolute = prefix[0] == '/';
    int n;

    if (!absolute && getcwd(here, sizeof(here) - 1) == NULL)
        return tkr_message_set(ret_message, "the ledger %.*s is relative to a working directory that is not there", SHOWN_BYTES,
                               prefix);
    n = snprintf(config->ledger, sizeof(config->ledger), "%s%s%s%s", here, absolute || strcmp(here, "/") == 0 ? "" : "/", prefix,
                 name);
    if (n < 0 || (size_t)n >= sizeof(config->ledger))
        return tkr_message_set(ret_message, "the ledger's path is longer than %zu bytes", sizeof(config->ledger) - 1);
    return 0;
}

static bool is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int read_ledger(struct tkr_sink_config *config, tkr_message *ret_message)
{
    const char *ledger;
    const char *state;
    const char *home = tkr_setting_text("HOME");

    if (tkr_setting_path("TOKENRING_LEDGER", &ledger, ret_message) != 0 ||
        tkr_setting_path("TOKENRING_STATE_DIR", &state, ret_message) != 0)
        return -1;
    if (ledger != NULL)
        return set_ledger(config, ledger, "", ret_message);
    if (state != NULL)
        return set_ledger(config, state, LEDGER_NAME, ret_message);
    if (is_directory(STATE_DIR_SYSTEM))
        return set_ledger(config, STATE_DIR_SYSTEM, LEDGER_NAME, ret_message);
    if (home != NULL)
        return set_ledger(config, home, STATE_DIR_USER LEDGER_NAME, ret_message);
    return tkr_message_set(ret_message, "there is no place for the ledger: set TOKENRING_LEDGER or TOKENRING_STATE_DIR, or HOME");
}

int tkr_sink_config_read(struct tkr_sink_config *ret_config, tkr_message *ret_message)
{
    struct tkr_sink_config config = {.connect_timeout_ms = CONNECT_TIMEOUT_MS, .command_timeout_ms = COMMAND_TIMEOUT_MS};

    if (read_kind(&config, ret_message) != 0)
        return -1;
    if (config.kind == TKR_SINK_REDIS && read_redis(&config, ret_message) != 0)
        return -1;
    if (config.kind == TKR_SINK_SQLITE && read_ledger(&config, ret_message) != 0)
        return -1;
    if (tkr_lookalike_check(&config, ret_message) != 0)
        return -1;
    *ret_config = config;
    return 0;
}

void tkr_sink_describe(const struct tkr_sink_config *config, tkr_message *ret_text)
{
    bool v6 = strchr(config->host, ':') != NULL;

    switch (config->kind) {
    case TKR_SINK_REDIS:
        if (config->socket[0] != '\0')
            (void)tkr_message_set(ret_text, "redis at unix:%s, db %d", config->socket, config->db);
        else
            (void)tkr_message_set(ret_text, "redis at %s%s%s:%d, db %d", v6 ? "[" : "", config->host, v6 ? "]" : "", config->port,
                                  config->db);
        break;
    case TKR_SINK_SQLITE:
        (void)tkr_message_set(ret_text, "sqlite at %s", config->ledger);
        break;
    case TKR_SINK_NULL:
        (void)tkr_message_set(ret_text, "null: totals are not kept");
        break;
    }
}

int tkr_sink_open(const struct tkr_sink_config *config, tkr_sink **ret_sink, tkr_message *ret_message)
{
    switch (config->kind) {
    case TKR_SINK_REDIS:
        return tkr_sink_redis_open(config, ret_sink, ret_message);
    case TKR_SINK_SQLITE:
        return tkr_sink_sqlite_open(config, ret_sink, ret_message);
    case TKR_SINK_NULL:
        return tkr_sink_null_open(config, ret_sink, ret_message);
    }
    return tkr_message_set(ret_message, "unknown sink %d", (int)config->kind);
}
