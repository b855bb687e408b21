/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/lookalike.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "sink/url.h"

#define INSTEAD_OF_TLS "give an address that is reached without TLS: a Unix socket, or a TLS tunnel on this host (stunnel)"
#define INSTEAD_OF_SENTINEL "give the address of the master: REDIS_URL, or REDIS_HOST and REDIS_PORT"
#define INSTEAD_OF_CLUSTER "give the address of a Redis that is no cluster: REDIS_URL, or REDIS_HOST and REDIS_PORT"

enum role { TLS, SENTINEL, CLUSTER, ADDRESS, USER, PASSWORD, DB };

/* Whole names only: beside services of such names Kubernetes sets REDIS_SENTINEL_PORT, REDIS_CLUSTER_SERVICE_HOST and the
 * like. */
static const struct lookalike {
    const char *name;
    enum role role;
    const char *ours; /* what is read instead; NULL: nothing is */
} lookalikes[] = {
    {"REDIS_TLS", TLS, NULL},
    {"REDIS_SSL", TLS, NULL},
    {"REDIS_USE_TLS", TLS, NULL},
    {"REDIS_USE_SSL", TLS, NULL},
    {"REDIS_TLS_ENABLED", TLS, NULL},
    {"REDIS_SSL_ENABLED", TLS, NULL},
    {"REDIS_SSL_CERT_REQS", TLS, NULL},
    {"REDIS_SSL_CA_CERTS", TLS, NULL},
    {"REDIS_TLS_CA_CERT", TLS, NULL},
    {"REDIS_TLS_CA_FILE", TLS, NULL},
    {"REDIS_SENTINEL", SENTINEL, NULL},
    {"REDIS_SENTINELS", SENTINEL, NULL},
    {"REDIS_SENTINEL_HOST", SENTINEL, NULL},
    {"REDIS_SENTINEL_HOSTS", SENTINEL, NULL},
    {"REDIS_SENTINEL_NODES", SENTINEL, NULL},
    {"REDIS_SENTINEL_URL", SENTINEL, NULL},
    {"REDIS_SENTINEL_MASTER", SENTINEL, NULL},
    {"REDIS_SENTINEL_MASTER_NAME", SENTINEL, NULL},
    {"REDIS_CLUSTER", CLUSTER, NULL},
    {"REDIS_USE_CLUSTER", CLUSTER, NULL},
    {"REDIS_CLUSTER_MODE", CLUSTER, NULL},
    {"REDIS_CLUSTER_ENABLED", CLUSTER, NULL},
    {"REDIS_CLUSTER_NODES", CLUSTER, NULL},
    {"REDIS_CLUSTER_HOSTS", CLUSTER, NULL},
    {"REDIS_CLUSTER_URL", CLUSTER, NULL},
    {"REDIS_STARTUP_NODES", CLUSTER, NULL},
    {"REDIS_URI", ADDRESS, "REDIS_URL"},
    {"REDIS_DSN", ADDRESS, "REDIS_URL"},
    {"REDIS_TLS_URL", ADDRESS, "REDIS_URL"},
    {"REDIS_CONNECTION_STRING", ADDRESS, "REDIS_URL"},
    {"VALKEY_URL", ADDRESS, "REDIS_URL"},
    {"REDIS_HOSTNAME", ADDRESS, "REDIS_HOST"},
    {"REDIS_HOSTS", ADDRESS, "REDIS_HOST"},
    {"REDIS_ADDR", ADDRESS, "REDIS_HOST and REDIS_PORT"},
    {"REDIS_ADDRESS", ADDRESS, "REDIS_HOST and REDIS_PORT"},
    {"REDIS_SERVER", ADDRESS, "REDIS_HOST and REDIS_PORT"},
    {"VALKEY_HOST", ADDRESS, "REDIS_HOST"},
    {"REDIS_SOCKET_PATH", ADDRESS, "REDIS_SOCKET"},
    {"REDIS_UNIX_SOCKET", ADDRESS, "REDIS_SOCKET"},
    {"REDIS_USER", USER, "REDIS_USERNAME"},
    {"REDIS_USER_NAME", USER, "REDIS_USERNAME"},
    {"REDIS_ACL_USER", USER, "REDIS_USERNAME"},
    {"REDIS_PASS", PASSWORD, "REDIS_PASSWORD"},
    {"REDIS_PASSWD", PASSWORD, "REDIS_PASSWORD"},
    {"REDIS_PWD", PASSWORD, "REDIS_PASSWORD"},
    {"REDIS_AUTH", PASSWORD, "REDIS_PASSWORD"},
    {"REDIS_PASSWORD_FILE", PASSWORD, "REDIS_PASSWORD"},
    {"REDIS_DATABASE", DB, "REDIS_DB"},
    {"REDIS_DB_INDEX", DB, "REDIS_DB"},
    {"REDIS_DB_NUMBER", DB, "REDIS_DB"},
};

#define COUNT (sizeof(lookalikes) / sizeof(lookalikes[0]))

static bool is_switched_off(const char *value)
{
    static const char *const off[] = {"0", "false", "no", "off", "none", "disabled", "n", "f"};

    for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
        if (strcasecmp(value, off[i]) == 0)
            return true;
    }
    return false;
}

/* Does it say what is done anyway? */
static bool says_the_same(const struct lookalike *lookalike, const char *value, const struct tkr_sink_config *config)
{
    const char *ours = lookalike->ours != NULL ? tkr_setting_text(lookalike->ours) : NULL;
    char db[16];

    (void)snprintf(db, sizeof(db), "%d", config->db);
    switch (lookalike->role) {
    case USER:
        return strcmp(value, config->username) == 0;
    case PASSWORD:
        return strcmp(value, config->password) == 0;
    case DB:
        return strcmp(value, db) == 0;
    case ADDRESS:
        return ours != NULL && strcmp(value, ours) == 0;
    default:
        return is_switched_off(value);
    }
}

/* Is something else done than it says, because nothing of ours says it? */
static bool is_missed(const struct lookalike *lookalike, const struct tkr_sink_config *config)
{
    switch (lookalike->role) {
    case USER:
        return config->username[0] == '\0';
    case PASSWORD:
        return config->password[0] == '\0';
    case DB:
        return config->db == 0 && tkr_setting_text("REDIS_DB") == NULL;
    case ADDRESS:
        return !tkr_sink_redis_named();
    default:
        return true;
    }
}

/* Without an address of a Redis only what names one is of interest. */
static bool concerns(const struct lookalike *lookalike, const struct tkr_sink_config *config)
{
    bool names_one = lookalike->role == SENTINEL || lookalike->role == CLUSTER || lookalike->role == ADDRESS;

    if (config->kind == TKR_SINK_REDIS)
        return true;
    return names_one && tkr_setting_text("TOKENRING_SINK") == NULL;
}

static int refuse(const struct lookalike *lookalike, const struct tkr_sink_config *config, tkr_message *ret_message)
{
    const char *name = lookalike->name;

    switch (lookalike->role) {
    case TLS:
        return tkr_message_set(ret_message, "%s is set, but TLS is not supported yet: unset it, and " INSTEAD_OF_TLS, name);
    case SENTINEL:
        return tkr_message_set(ret_message, "%s is set, but Sentinel is not supported yet: unset it, and " INSTEAD_OF_SENTINEL,
                               name);
    case CLUSTER:
        return tkr_message_set(ret_message, "%s is set, but clusters are not supported yet: unset it, and " INSTEAD_OF_CLUSTER,
                               name);
    case ADDRESS:
        return tkr_message_set(ret_message, "%s is set, but not read: set %s%s", name, lookalike->ours,
                               config->kind == TKR_SINK_REDIS ? "" : "; or TOKENRING_SINK=sqlite for the local ledger");
    default:
        return tkr_message_set(ret_message, "%s is set, but not read: set %s", name, lookalike->ours);
    }
}

int tkr_lookalike_check(const struct tkr_sink_config *config, tkr_message *ret_message)
{
    for (size_t i = 0; i < COUNT; i++) {
        const char *value = tkr_setting_text(lookalikes[i].name);

        if (value != NULL && concerns(&lookalikes[i], config) && !says_the_same(&lookalikes[i], value, config) &&
            is_missed(&lookalikes[i], config))
            return refuse(&lookalikes[i], config, ret_message);
    }
    return 0;
}

/* --- doubts --- */

static void doubt_names(const struct tkr_sink_config *config, tkr_sink_doubt *doubt, void *argument)
{
    tkr_message message;

    for (size_t i = 0; i < COUNT; i++) {
        const struct lookalike *lookalike = &lookalikes[i];
        const char *value = tkr_setting_text(lookalike->name);

        if (value == NULL || lookalike->ours == NULL || config->kind != TKR_SINK_REDIS || says_the_same(lookalike, value, config))
            continue;
        (void)tkr_message_set(&message, "%s is set, but not read: what holds is %s%s", lookalike->name, lookalike->ours,
                              lookalike->role == ADDRESS ? ", or another address of ours" : ", or REDIS_URL");
        doubt(&message, argument);
    }
}

/* Set for a Redis, of which there is no address. */
static void doubt_address(const struct tkr_sink_config *config, tkr_sink_doubt *doubt, void *argument)
{
    static const char *const names[] = {"REDIS_USERNAME", "REDIS_PASSWORD", "REDIS_DB"};
    tkr_message message;

    if (config->kind != TKR_SINK_SQLITE || tkr_setting_text("TOKENRING_SINK") != NULL)
        return;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (tkr_setting_text(names[i]) == NULL)
            continue;
        (void)tkr_message_set(
            &message,
            "%s is set, but no address of a Redis: totals go to the local ledger; set REDIS_URL or REDIS_HOST, or "
            "TOKENRING_SINK=sqlite",
            names[i]);
        doubt(&message, argument);
    }
}

static void doubt_url(const struct tkr_sink_config *config, tkr_sink_doubt *doubt, void *argument)
{
    const char *url = tkr_setting_text("REDIS_URL");
    tkr_message message;

    if (config->kind != TKR_SINK_REDIS || url == NULL || !tkr_sink_url_is_doubtful(url))
        return;
    (void)tkr_message_set(&message,
                          "REDIS_URL has a raw '@' or '#' in its user or password, which other programs take for its end: "
                          "write %%40 for '@', %%23 for '#'");
    doubt(&message, argument);
}

void tkr_sink_config_doubt(const struct tkr_sink_config *config, tkr_sink_doubt *doubt, void *argument)
{
    doubt_names(config, doubt, argument);
    doubt_address(config, doubt, argument);
    doubt_url(config, doubt, argument);
}
